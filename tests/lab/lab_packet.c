/* SPDX-License-Identifier: BSD-3-Clause */
#include <netinet/in.h>
#include <rte_arp.h>
#include <rte_hash_crc.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stddef.h>
#include <string.h>

#include "lab.h"

#define TRAILER_AT (sizeof(struct rte_ether_hdr) + sizeof(struct rte_arp_hdr))
#define TRAILER_BYTES 12
#define ARP_FRAME_BYTES 60

/* Both transports have a header of eight bytes. */
_Static_assert(sizeof(struct rte_udp_hdr) == sizeof(struct rte_icmp_hdr), "one layout for both");
#define L4_BYTES (sizeof(struct rte_udp_hdr) + sizeof(struct lab_payload))

struct data_frame {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	union {
		struct rte_udp_hdr udp;
		struct rte_icmp_hdr icmp;
	} l4;
	struct lab_payload payload;
} __attribute__((packed, aligned(2)));

static uint32_t payload_crc(const struct lab_payload *p)
{
	return ~rte_hash_crc(p, offsetof(struct lab_payload, crc), ~0u);
}

/* The filler depends on the sequence, so that a payload of another packet is noticed even if its
 * checksums are right. */
static void payload_fill(struct lab_payload *p)
{
	for (unsigned i = 0; i < sizeof(p->filler); i++)
		p->filler[i] = (uint8_t)(p->seq * 31 + i * 7 + p->flow);
}

static bool payload_intact(const struct lab_payload *p)
{
	struct lab_payload expected = *p;

	payload_fill(&expected);
	return p->crc == payload_crc(p) &&
	       memcmp(expected.filler, p->filler, sizeof(p->filler)) == 0;
}

struct rte_mbuf *packet_make(struct rte_mempool *pool, const struct rte_ether_addr *src,
			     const struct rte_ether_addr *dst, const struct lab_tuple *tuple,
			     struct lab_payload *payload)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct data_frame *f;

	if (!m)
		return NULL;
	f = (struct data_frame *)rte_pktmbuf_append(m, sizeof(*f));
	memset(f, 0, offsetof(struct data_frame, payload));
	f->eth.src_addr = *src;
	f->eth.dst_addr = *dst;
	f->eth.ether_type = htons(RTE_ETHER_TYPE_IPV4);
	f->ip.version_ihl = 0x45;
	f->ip.total_length = htons(sizeof(f->ip) + L4_BYTES);
	f->ip.packet_id = htons((uint16_t)payload->seq);
	f->ip.time_to_live = 64;
	f->ip.next_proto_id = tuple->proto;
	f->ip.src_addr = htonl(tuple->src_ip);
	f->ip.dst_addr = htonl(tuple->dst_ip);
	f->ip.hdr_checksum = rte_ipv4_cksum(&f->ip);
	payload->magic = LAB_MAGIC;
	payload_fill(payload);
	payload->crc = payload_crc(payload);
	f->payload = *payload;
	if (tuple->proto == IPPROTO_UDP) {
		f->l4.udp.src_port = htons(tuple->src_port);
		f->l4.udp.dst_port = htons(tuple->dst_port);
		f->l4.udp.dgram_len = htons(L4_BYTES);
		f->l4.udp.dgram_cksum = rte_ipv4_udptcp_cksum(&f->ip, &f->l4.udp);
	} else {
		f->l4.icmp.icmp_type =
			payload->direction ? RTE_IP_ICMP_ECHO_REPLY : RTE_IP_ICMP_ECHO_REQUEST;
		f->l4.icmp.icmp_ident = htons(tuple->src_port);
		f->l4.icmp.icmp_seq_nb = htons((uint16_t)payload->seq);
		f->l4.icmp.icmp_cksum = (uint16_t)~rte_raw_cksum(&f->l4.icmp, L4_BYTES);
	}
	return m;
}

static enum lab_packet_fault l4_read(const struct data_frame *f, struct lab_tuple *tuple)
{
	if (f->ip.next_proto_id == IPPROTO_UDP) {
		/* An absent checksum would be legal, but the sender set one. Over a right one the
		 * sum comes to zero, which this function never returns: it gives the other zero. */
		if (f->l4.udp.dgram_len != htons(L4_BYTES) || f->l4.udp.dgram_cksum == 0 ||
		    rte_ipv4_udptcp_cksum(&f->ip, &f->l4.udp) != 0xffff)
			return LAB_PACKET_L4_CHECKSUM;
		tuple->src_port = ntohs(f->l4.udp.src_port);
		tuple->dst_port = ntohs(f->l4.udp.dst_port);
		return LAB_PACKET_OK;
	}
	if (rte_raw_cksum(&f->l4.icmp, L4_BYTES) != 0xffff)
		return LAB_PACKET_L4_CHECKSUM;
	tuple->src_port = tuple->dst_port = ntohs(f->l4.icmp.icmp_ident);
	return LAB_PACKET_OK;
}

enum lab_packet_fault packet_read(const struct rte_mbuf *m, struct lab_tuple *tuple,
				  struct lab_payload *payload)
{
	const struct data_frame *f = rte_pktmbuf_mtod(m, const struct data_frame *);
	enum lab_packet_fault fault;

	if (m->nb_segs != 1 || rte_pktmbuf_data_len(m) < sizeof(*f) ||
	    f->eth.ether_type != htons(RTE_ETHER_TYPE_IPV4) || f->ip.version_ihl != 0x45 ||
	    f->ip.total_length != htons(sizeof(f->ip) + L4_BYTES) ||
	    (f->ip.next_proto_id != IPPROTO_UDP && f->ip.next_proto_id != IPPROTO_ICMP))
		return LAB_PACKET_FOREIGN;
	if (rte_raw_cksum(&f->ip, sizeof(f->ip)) != 0xffff)
		return LAB_PACKET_IP_CHECKSUM;
	tuple->proto = f->ip.next_proto_id;
	tuple->src_ip = ntohl(f->ip.src_addr);
	tuple->dst_ip = ntohl(f->ip.dst_addr);
	fault = l4_read(f, tuple);
	if (fault != LAB_PACKET_OK)
		return fault;
	*payload = f->payload;
	if (payload->magic != LAB_MAGIC)
		return LAB_PACKET_FOREIGN;
	return payload_intact(payload) ? LAB_PACKET_OK : LAB_PACKET_PAYLOAD;
}

struct rte_mbuf *packet_make_arp(struct rte_mempool *pool, uint16_t opcode,
				 const struct rte_ether_addr *sender, uint32_t sender_ip,
				 const struct rte_ether_addr *target, uint32_t target_ip)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ether_hdr *eth;
	struct rte_arp_hdr *arp;

	if (!m)
		return NULL;
	eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, ARP_FRAME_BYTES);
	memset(eth, 0, ARP_FRAME_BYTES);
	arp = (struct rte_arp_hdr *)(eth + 1);
	eth->src_addr = *sender;
	if (opcode == RTE_ARP_OP_REQUEST)
		memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	else
		eth->dst_addr = *target;
	eth->ether_type = htons(RTE_ETHER_TYPE_ARP);
	arp->arp_hardware = htons(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = htons(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = sizeof(uint32_t);
	arp->arp_opcode = htons(opcode);
	arp->arp_data.arp_sha = *sender;
	arp->arp_data.arp_sip = htonl(sender_ip);
	if (opcode != RTE_ARP_OP_REQUEST)
		arp->arp_data.arp_tha = *target;
	arp->arp_data.arp_tip = htonl(target_ip);
	return m;
}

bool packet_read_arp(const struct rte_mbuf *m, struct lab_arp *out)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_arp_hdr *arp = (const struct rte_arp_hdr *)(eth + 1);
	const uint8_t *trailer = (const uint8_t *)eth + TRAILER_AT;

	if (rte_pktmbuf_data_len(m) < TRAILER_AT || eth->ether_type != htons(RTE_ETHER_TYPE_ARP) ||
	    arp->arp_hardware != htons(RTE_ARP_HRD_ETHER) ||
	    arp->arp_protocol != htons(RTE_ETHER_TYPE_IPV4) ||
	    arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != sizeof(uint32_t))
		return false;
	*out = (struct lab_arp){.opcode = ntohs(arp->arp_opcode),
				.sender_ip = ntohl(arp->arp_data.arp_sip),
				.target_ip = ntohl(arp->arp_data.arp_tip),
				.sender = arp->arp_data.arp_sha};
	if (rte_pktmbuf_data_len(m) >= TRAILER_AT + TRAILER_BYTES &&
	    memcmp(trailer, "HVEP", 4) == 0)
		for (unsigned i = 4; i < TRAILER_BYTES; i++)
			out->epoch = out->epoch << 8 | trailer[i];
	return true;
}

bool packet_is_ipv4(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const struct rte_ether_hdr *)->ether_type ==
	       htons(RTE_ETHER_TYPE_IPV4);
}
