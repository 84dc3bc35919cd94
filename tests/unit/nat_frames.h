/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Frames for the tests of the translator: made and checked by plain arithmetic of their own, byte
 * by byte, so that nothing of the code under test judges itself.
 */
#ifndef NAT_FRAMES_H
#define NAT_FRAMES_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "prng.h"

#define FRAME_MAX 1514u

/** What a frame is made of. Addresses and ports in host byte order. */
struct frame_spec {
	uint8_t to[6], from[6];
	uint32_t src, dst;
	uint16_t src_port, dst_port; /**< ICMP: src_port is the identifier */
	uint8_t proto, ttl, tcp_flags, icmp_type;
	uint8_t options; /**< words of IP options */
	bool no_udp_checksum;
	unsigned payload; /**< bytes */
	uint64_t seed;    /**< of the payload */
};

static inline void set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void set32(uint8_t *p, uint32_t v)
{
	set16(p, v >> 16);
	set16(p + 2, v & 0xffff);
}

static inline unsigned get16be(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline uint32_t get32be(const uint8_t *p)
{
	return (uint32_t)get16be(p) << 16 | get16be(p + 2);
}

/** One's complement sum after RFC 1071, in 64 bits and big-endian. */
static inline uint64_t sum_bytes(const uint8_t *p, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint64_t)p[i] << 8;
	return sum;
}

static inline unsigned sum_finish(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned)(~sum & 0xffff);
}

static inline unsigned l4_checksum_at(uint8_t proto)
{
	return proto == 6 ? 16 : proto == 17 ? 6 : 2;
}

/** Full recomputation of the transport checksum: 0 when it is right. */
static inline unsigned l4_residue(const uint8_t *ip, unsigned l4_bytes)
{
	const uint8_t *l4 = ip + (ip[0] & 15u) * 4;
	uint64_t sum = sum_bytes(l4, l4_bytes);

	if (ip[9] != 1)
		sum += sum_bytes(ip + 12, 8) + ip[9] + l4_bytes;
	return sum_finish(sum);
}

static inline unsigned ip_residue(const uint8_t *ip)
{
	return sum_finish(sum_bytes(ip, (ip[0] & 15u) * 4));
}

/** True when IP and transport checksums are right (a UDP checksum of zero is none). */
static inline bool frame_checksums_right(const uint8_t *frame)
{
	const uint8_t *ip = frame + 14;
	unsigned header = (ip[0] & 15u) * 4, total = get16be(ip + 2);

	if (ip_residue(ip) != 0)
		return false;
	if (ip[9] == 17 && get16be(ip + header + 6) == 0)
		return true;
	return l4_residue(ip, total - header) == 0;
}

static inline void frame_fill(uint8_t *p, unsigned n, uint64_t seed)
{
	struct prng r = {seed};

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)prng_next(&r);
}

static inline unsigned l4_header_bytes(uint8_t proto)
{
	return proto == 6 ? 20 : 8;
}

/** Returns the frame's length. */
static inline unsigned frame_make(uint8_t *f, const struct frame_spec *s)
{
	unsigned header = 20 + s->options * 4u, l4_header = l4_header_bytes(s->proto);
	unsigned l4_bytes = l4_header + s->payload, total = header + l4_bytes;
	uint8_t *ip = f + 14, *l4 = ip + header;
	unsigned checksum;

	memset(f, 0, 14 + header + l4_header);
	memcpy(f, s->to, 6);
	memcpy(f + 6, s->from, 6);
	set16(f + 12, 0x0800);
	ip[0] = (uint8_t)(0x40 | header / 4);
	set16(ip + 2, total);
	set16(ip + 4, (unsigned)s->seed & 0xffff);
	ip[8] = s->ttl ? s->ttl : 64;
	ip[9] = s->proto;
	set32(ip + 12, s->src);
	set32(ip + 16, s->dst);
	memset(ip + 20, 1, s->options * 4u); /* no operation */
	set16(ip + 10, sum_finish(sum_bytes(ip, header)));
	frame_fill(l4 + l4_header, s->payload, s->seed);
	if (s->proto == 1) {
		l4[0] = s->icmp_type;
		set16(l4 + 4, s->src_port);
	} else {
		set16(l4, s->src_port);
		set16(l4 + 2, s->dst_port);
	}
	if (s->proto == 6) {
		l4[12] = 0x50;
		l4[13] = s->tcp_flags;
	}
	if (s->proto == 17)
		set16(l4 + 4, l4_bytes);
	checksum = l4_residue(ip, l4_bytes);
	if (s->proto == 17 && checksum == 0)
		checksum = 0xffff;
	if (!(s->proto == 17 && s->no_udp_checksum))
		set16(l4 + l4_checksum_at(s->proto), checksum);
	return 14 + total;
}

/** An ICMP error of `type` that quotes `quoted_bytes` bytes of the IP packet in `about`. */
static inline unsigned frame_make_error(uint8_t *f, const struct frame_spec *s, uint8_t type,
					const uint8_t *about, unsigned quoted_bytes)
{
	struct frame_spec error = *s;
	uint8_t *ip = f + 14, *l4 = ip + 20;
	unsigned bytes;

	error.proto = 1;
	error.icmp_type = type;
	error.src_port = 0;
	error.payload = quoted_bytes;
	error.options = 0;
	bytes = frame_make(f, &error);
	memcpy(l4 + 8, about + 14, quoted_bytes);
	set16(l4 + 2, 0);
	set16(l4 + 2, sum_finish(sum_bytes(l4, 8 + quoted_bytes)));
	return bytes;
}

#endif
