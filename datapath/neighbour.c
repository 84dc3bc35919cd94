/* SPDX-License-Identifier: BSD-3-Clause */
#include "neighbour.h"

#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <string.h>

#include "haven_assert.h"

#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_SOURCE_ADDRESS 1
#define ND_TARGET_ADDRESS 2
#define ND_SOLICITED_OVERRIDE 0x60000000u
/** Neighbor Discovery crosses no router. */
#define ND_HOPS 255

/** A solicitation or advertisement with its one option. */
struct nd_message {
	struct rte_ipv6_hdr ip;
	uint8_t type, code;
	rte_be16_t checksum;
	rte_be32_t flags;
	uint8_t target[WRAP_IP_BYTES];
	uint8_t option, option_words; /**< in units of 8 bytes */
	uint8_t mac[WRAP_MAC_BYTES];
} __attribute__((packed));
HAVEN_STATIC_ASSERT(sizeof(struct nd_message) + 18 <= NEIGHBOUR_BYTES_MAX, "fits the buffer");

bool neighbour_due(struct neighbour *n, uint64_t now)
{
	if (n->known && now - n->told_ns < NEIGHBOUR_FRESH_NS)
		return false;
	if (n->asked_ns && now - n->asked_ns < NEIGHBOUR_AGAIN_NS)
		return false;
	n->asked_ns = now;
	return true;
}

static void learn(const struct wrap *w, struct neighbour *n, unsigned count, const void *ip,
		  const uint8_t *mac, uint64_t now)
{
	if (mac[0] & 1) /* nobody's own */
		return;
	for (unsigned i = 0; i < count; i++) {
		if (memcmp(n[i].ip, ip, wrap_ip_bytes(w)) != 0)
			continue;
		memcpy(n[i].mac, mac, WRAP_MAC_BYTES);
		n[i].known = true;
		n[i].told_ns = now;
	}
}

/* ---- IPv4 -------------------------------------------------------------------------------------
 */

static size_t arp_write(const struct wrap *w, uint16_t operation, const uint8_t *mac,
			const void *ip, const uint8_t *to, uint8_t *out)
{
	struct rte_arp_hdr arp = {.arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER),
				  .arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
				  .arp_hlen = WRAP_MAC_BYTES,
				  .arp_plen = sizeof(rte_be32_t),
				  .arp_opcode = rte_cpu_to_be_16(operation)};
	size_t header = wrap_write_ethernet(w, to, RTE_ETHER_TYPE_ARP, out);

	memcpy(arp.arp_data.arp_sha.addr_bytes, w->self.mac, WRAP_MAC_BYTES);
	memcpy(&arp.arp_data.arp_sip, w->self.ip, sizeof(rte_be32_t));
	memcpy(arp.arp_data.arp_tha.addr_bytes, mac, WRAP_MAC_BYTES);
	memcpy(&arp.arp_data.arp_tip, ip, sizeof(rte_be32_t));
	memcpy(out + header, &arp, sizeof(arp));
	return header + sizeof(arp);
}

static size_t arp_take(const struct wrap *w, struct neighbour *n, unsigned count, const uint8_t *at,
		       size_t left, uint64_t now, uint8_t *out)
{
	struct rte_arp_hdr arp;
	uint16_t operation;

	if (left < sizeof(arp))
		return 0;
	memcpy(&arp, at, sizeof(arp));
	operation = rte_be_to_cpu_16(arp.arp_opcode);
	if (arp.arp_hardware != rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) ||
	    arp.arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	    arp.arp_hlen != WRAP_MAC_BYTES || arp.arp_plen != sizeof(rte_be32_t) ||
	    memcmp(&arp.arp_data.arp_tip, w->self.ip, sizeof(rte_be32_t)) != 0)
		return 0;
	learn(w, n, count, &arp.arp_data.arp_sip, arp.arp_data.arp_sha.addr_bytes, now);
	if (operation != RTE_ARP_OP_REQUEST)
		return 0;
	return arp_write(w, RTE_ARP_OP_REPLY, arp.arp_data.arp_sha.addr_bytes,
			 &arp.arp_data.arp_sip, arp.arp_data.arp_sha.addr_bytes, out);
}

/* ---- IPv6 -------------------------------------------------------------------------------------
 */

static size_t nd_write(const struct wrap *w, struct nd_message *m, const uint8_t *to,
		       const uint8_t *to_mac, uint8_t *out)
{
	size_t header = wrap_write_ethernet(w, to_mac, RTE_ETHER_TYPE_IPV6, out);

	m->ip = (struct rte_ipv6_hdr){
		.vtc_flow = rte_cpu_to_be_32(0x60000000),
		.payload_len = rte_cpu_to_be_16((uint16_t)(sizeof(*m) - sizeof(m->ip))),
		.proto = IPPROTO_ICMPV6,
		.hop_limits = ND_HOPS};
	memcpy(m->ip.src_addr, w->self.ip, WRAP_IP_BYTES);
	memcpy(m->ip.dst_addr, to, WRAP_IP_BYTES);
	m->option_words = 1;
	memcpy(m->mac, w->self.mac, WRAP_MAC_BYTES);
	m->checksum = 0;
	m->checksum = rte_ipv6_udptcp_cksum(&m->ip, &m->type);
	memcpy(out + header, m, sizeof(*m));
	return header + sizeof(*m);
}

static size_t nd_ask(const struct wrap *w, const uint8_t *ip, uint8_t *out)
{
	/* The solicited-node multicast address and its Ethernet form end in the last three bytes.
	 */
	uint8_t to[WRAP_IP_BYTES] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	uint8_t mac[WRAP_MAC_BYTES] = {0x33, 0x33, 0xff};
	struct nd_message m = {.type = ND_SOLICITATION, .option = ND_SOURCE_ADDRESS};

	memcpy(to + 13, ip + 13, 3);
	memcpy(mac + 3, ip + 13, 3);
	memcpy(m.target, ip, WRAP_IP_BYTES);
	return nd_write(w, &m, to, mac, out);
}

static size_t nd_take(const struct wrap *w, struct neighbour *n, unsigned count, const uint8_t *at,
		      size_t left, uint64_t now, uint8_t *out)
{
	struct nd_message m, answer = {.type = ND_ADVERTISEMENT, .option = ND_TARGET_ADDRESS};
	bool asks;

	if (left < sizeof(m))
		return 0;
	memcpy(&m, at, sizeof(m));
	asks = m.type == ND_SOLICITATION && m.option == ND_SOURCE_ADDRESS;
	if (m.ip.proto != IPPROTO_ICMPV6 || m.ip.hop_limits != ND_HOPS || m.code != 0 ||
	    m.option_words != 1 ||
	    (!asks && (m.type != ND_ADVERTISEMENT || m.option != ND_TARGET_ADDRESS)))
		return 0;
	if (!asks) {
		learn(w, n, count, m.target, m.mac, now);
		return 0;
	}
	if (memcmp(m.target, w->self.ip, WRAP_IP_BYTES) != 0)
		return 0;
	learn(w, n, count, m.ip.src_addr, m.mac, now);
	answer.flags = rte_cpu_to_be_32(ND_SOLICITED_OVERRIDE);
	memcpy(answer.target, w->self.ip, WRAP_IP_BYTES);
	return nd_write(w, &answer, m.ip.src_addr, m.mac, out);
}

/* ---- both -------------------------------------------------------------------------------------
 */

size_t neighbour_ask(const struct wrap *w, const struct neighbour *n,
		     uint8_t out[NEIGHBOUR_BYTES_MAX])
{
	static const uint8_t everybody[WRAP_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t nobody[WRAP_MAC_BYTES];

	return w->kind == WRAP_UDP6
		       ? nd_ask(w, n->ip, out)
		       : arp_write(w, RTE_ARP_OP_REQUEST, nobody, n->ip, everybody, out);
}

size_t neighbour_take(const struct wrap *w, struct neighbour *n, unsigned count, uint8_t *packet,
		      size_t bytes, uint64_t now, uint8_t out[NEIGHBOUR_BYTES_MAX])
{
	const uint8_t *sender, *at;
	uint16_t type;
	size_t left;

	at = wrap_read_ethernet(w, packet, bytes, &type, &sender, &left);
	if (at && w->kind == WRAP_UDP4 && type == RTE_ETHER_TYPE_ARP)
		return arp_take(w, n, count, at, left, now, out);
	if (at && w->kind == WRAP_UDP6 && type == RTE_ETHER_TYPE_IPV6)
		return nd_take(w, n, count, at, left, now, out);
	return 0;
}
