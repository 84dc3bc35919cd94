/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <arpa/inet.h>
#include <string.h>

#define ETHER_TYPE_IPV4 0x0800
#define IP_HEADER_MIN 20u
#define UDP_HEADER 8u
#define TCP_HEADER_MIN 20u
#define ICMP_HEADER 8u
/* RFC 792: an error quotes the IP header and at least eight bytes behind it. */
#define QUOTED_MIN 8u

#define IP_FRAGMENT_OFFSET 0x1fff

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* ---- checksums ------------------------------------------------------------------------------ */

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t packet_checksum(const uint8_t *data, unsigned bytes, uint32_t sum)
{
	/* 64 KiB of 16-bit words do not overflow 32 bits. Words are summed in the order of this
	 * machine: a one's complement sum is the same in either (RFC 1071, section 2 B). */
	for (; bytes >= 2; bytes -= 2, data += 2)
		sum += get16(data);
	if (bytes) {
		uint8_t last[2] = {data[0], 0};

		sum += get16(last);
	}
	return (uint16_t)~sum_fold(sum);
}

uint32_t packet_pseudo_sum(const struct packet_header *h)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 2; i++)
		sum += (h->address[i] & 0xffff) + (h->address[i] >> 16);
	return sum + htons(h->proto) + htons(h->l4_bytes);
}

/* HC' = ~(~HC + ~m + m'), RFC 1624 equation 3. */
static void checksum_swap16(uint8_t *at, uint16_t before, uint16_t after)
{
	uint32_t sum = (uint16_t)~get16(at);

	sum += (uint16_t)~before;
	sum += after;
	put16(at, (uint16_t)~sum_fold(sum));
}

static void checksum_swap32(uint8_t *at, uint32_t before, uint32_t after)
{
	checksum_swap16(at, (uint16_t)before, (uint16_t)after);
	checksum_swap16(at, (uint16_t)(before >> 16), (uint16_t)(after >> 16));
}

/* ---- taking apart -----------------------------------------------------------------------------
 */

/* Ports, or the identifier, of `l4_bytes` of a transport header that may be cut short. */
static enum nat_count transport_read(struct packet_header *h)
{
	switch (h->proto) {
	case PACKET_TCP:
	case PACKET_UDP:
		h->port[PACKET_SOURCE] = get16(h->l4);
		h->port[PACKET_DESTINATION] = get16(h->l4 + 2);
		return COUNT_NONE;
	case PACKET_ICMP:
		if (h->l4[0] != ICMP_ECHO && h->l4[0] != ICMP_ECHO_REPLY)
			return COUNT_UNSUPPORTED;
		h->port[PACKET_SOURCE] = h->port[PACKET_DESTINATION] = get16(h->l4 + 4);
		return COUNT_NONE;
	default:
		return COUNT_UNSUPPORTED;
	}
}

/* The IPv4 header at `ip` with `bytes` bytes from there on; `quoted`: it may be cut short. */
static enum nat_count header_read(uint8_t *ip, unsigned bytes, bool quoted, struct packet_header *h)
{
	unsigned header, total;

	if (bytes < IP_HEADER_MIN || ip[0] >> 4 != 4)
		return COUNT_MALFORMED;
	header = (ip[0] & 0xfu) * 4;
	total = ntohs(get16(ip + 2));
	if (header < IP_HEADER_MIN || header > bytes || total < header)
		return COUNT_MALFORMED;
	if (total > bytes) {
		if (!quoted)
			return COUNT_MALFORMED;
		total = bytes;
	}
	if (ntohs(get16(ip + 6)) & IP_FRAGMENT_OFFSET)
		return COUNT_FRAGMENT;
	h->ip = ip;
	h->l4 = ip + header;
	h->l4_bytes = (uint16_t)(total - header);
	h->proto = ip[9];
	h->address[PACKET_SOURCE] = get32(ip + 12);
	h->address[PACKET_DESTINATION] = get32(ip + 16);
	return h->l4_bytes < QUOTED_MIN ? COUNT_MALFORMED : COUNT_NONE;
}

static bool icmp_is_error(uint8_t type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

static enum nat_count error_read(struct packet *p)
{
	struct packet_header *h = &p->header;
	enum nat_count verdict;

	/* Its checksum is computed anew later, which must not heal a damaged one. */
	if (packet_checksum(h->l4, h->l4_bytes, 0) != 0)
		return COUNT_BAD_CHECKSUM;
	verdict = header_read(h->l4 + ICMP_HEADER, h->l4_bytes - ICMP_HEADER, true, &p->quoted);
	if (verdict == COUNT_NONE)
		verdict = transport_read(&p->quoted);
	p->error = true;
	return verdict;
}

enum nat_count packet_parse(uint8_t *frame, unsigned bytes, struct packet *p)
{
	struct packet_header *h = &p->header;
	enum nat_count verdict;

	memset(p, 0, sizeof(*p));
	if (bytes < PACKET_ETHER_BYTES)
		return COUNT_MALFORMED;
	if (ntohs(get16(frame + 12)) != ETHER_TYPE_IPV4)
		return COUNT_UNSUPPORTED;
	verdict = header_read(frame + PACKET_ETHER_BYTES, bytes - PACKET_ETHER_BYTES, false, h);
	if (verdict != COUNT_NONE)
		return verdict;
	if (packet_checksum(h->ip, (unsigned)(h->l4 - h->ip), 0) != 0)
		return COUNT_BAD_CHECKSUM;
	if (h->proto == PACKET_ICMP) {
		p->icmp_type = h->l4[0];
		if (icmp_is_error(p->icmp_type))
			return error_read(p);
	}
	if (h->proto == PACKET_TCP) {
		if (h->l4_bytes < TCP_HEADER_MIN)
			return COUNT_MALFORMED;
		p->tcp_flags = h->l4[13];
	}
	return transport_read(h);
}

/* ---- rewriting ----------------------------------------------------------------------------------
 */

/* Where the transport checksum stands, NULL when it is not present or not used. */
static uint8_t *transport_checksum(const struct packet_header *h)
{
	unsigned at = h->proto == PACKET_TCP ? 16 : h->proto == PACKET_UDP ? 6 : 2;

	if (at + 2 > h->l4_bytes)
		return NULL;
	/* RFC 768: a sender that computed none transmits zero, and so do we. */
	if (h->proto == PACKET_UDP && get16(h->l4 + at) == 0)
		return NULL;
	return h->l4 + at;
}

/*
 * Zero has two forms in one's complement, and equation 3 does not know which one is meant. To UDP
 * zero says that there is no checksum. An ICMP message of nothing but zeros (an echo reply, number
 * and identifier 0) has the other form; any other sum is right with either.
 */
static void zero_settle(const struct packet_header *h, uint8_t *checksum)
{
	if (h->proto == PACKET_UDP ||
	    (h->proto == PACKET_ICMP && packet_checksum(h->l4, h->l4_bytes, 0) == 0xffff))
		put16(checksum, 0xffff);
}

void packet_readdress(struct packet_header *h, enum packet_end end, uint32_t address)
{
	uint8_t *at = h->ip + (end == PACKET_SOURCE ? 12 : 16);

	checksum_swap32(h->ip + 10, h->address[end], address);
	put32(at, address);
	h->address[end] = address;
}

void packet_rewrite(struct packet_header *h, enum packet_end end, uint32_t address, uint16_t port)
{
	uint8_t *checksum = transport_checksum(h);
	bool icmp = h->proto == PACKET_ICMP;
	uint8_t *at = h->l4 + (icmp ? 4 : end == PACKET_SOURCE ? 0 : 2);

	if (checksum) {
		if (!icmp)
			checksum_swap32(checksum, h->address[end], address);
		checksum_swap16(checksum, get16(at), port);
	}
	put16(at, port);
	if (checksum && get16(checksum) == 0)
		zero_settle(h, checksum);
	h->port[end] = port;
	if (icmp)
		h->port[PACKET_SOURCE] = h->port[PACKET_DESTINATION] = port;
	packet_readdress(h, end, address);
}

void packet_seal_error(struct packet *p)
{
	struct packet_header *h = &p->header;

	put16(h->l4 + 2, 0);
	put16(h->l4 + 2, packet_checksum(h->l4, h->l4_bytes, 0));
}

bool packet_hop(struct packet_header *h)
{
	uint16_t before = get16(h->ip + 8);

	if (h->ip[8] <= 1)
		return false;
	h->ip[8]--;
	checksum_swap16(h->ip + 10, before, get16(h->ip + 8));
	return true;
}

void packet_set_macs(uint8_t *frame, const uint8_t *destination, const uint8_t *source)
{
	memcpy(frame, destination, PACKET_MAC_BYTES);
	memcpy(frame + PACKET_MAC_BYTES, source, PACKET_MAC_BYTES);
}
