/* SPDX-License-Identifier: BSD-3-Clause */
#include "wrap.h"

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <string.h>

#include "hash.h"
#include "haven_assert.h"

#define HOPS 255

HAVEN_STATIC_ASSERT(WRAP_BYTES_MAX == sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr) +
					      sizeof(struct rte_ipv6_hdr) +
					      sizeof(struct rte_udp_hdr),
		    "the longest headers");

void wrap_mac(const char *cluster, uint8_t node, uint8_t out[WRAP_MAC_BYTES])
{
	const uint8_t mac[WRAP_MAC_BYTES] = {
		0x02, 0x48, 0x56, (uint8_t)hash_bytes(cluster, strlen(cluster), 0), node, 0};

	memcpy(out, mac, sizeof(mac));
}

static size_t ethernet_bytes(const struct wrap *w)
{
	return sizeof(struct rte_ether_hdr) + (w->vlan ? sizeof(struct rte_vlan_hdr) : 0);
}

/** What each kind of link is made of. */
static const struct {
	uint16_t ethertype;
	uint8_t header_bytes, address_bytes; /**< of IP */
} kinds[] = {
	[WRAP_ETHERNET] = {WRAP_ETHERTYPE, 0, 0},
	[WRAP_UDP4] = {RTE_ETHER_TYPE_IPV4, sizeof(struct rte_ipv4_hdr), sizeof(rte_be32_t)},
	[WRAP_UDP6] = {RTE_ETHER_TYPE_IPV6, sizeof(struct rte_ipv6_hdr), WRAP_IP_BYTES},
};

static size_t ip_header_bytes(const struct wrap *w)
{
	return kinds[w->kind].header_bytes;
}

size_t wrap_bytes(const struct wrap *w)
{
	return ethernet_bytes(w) + ip_header_bytes(w) +
	       (w->kind == WRAP_ETHERNET ? 0 : sizeof(struct rte_udp_hdr));
}

size_t wrap_ip_bytes(const struct wrap *w)
{
	return kinds[w->kind].address_bytes;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

size_t wrap_write_ethernet(const struct wrap *w, const uint8_t mac[WRAP_MAC_BYTES], uint16_t type,
			   uint8_t *out)
{
	struct rte_ether_hdr eth = {.ether_type =
					    rte_cpu_to_be_16(w->vlan ? RTE_ETHER_TYPE_VLAN : type)};
	const struct rte_vlan_hdr vlan = {.vlan_tci = rte_cpu_to_be_16(w->vlan),
					  .eth_proto = rte_cpu_to_be_16(type)};

	memcpy(eth.src_addr.addr_bytes, w->self.mac, WRAP_MAC_BYTES);
	memcpy(eth.dst_addr.addr_bytes, mac, WRAP_MAC_BYTES);
	memcpy(out, &eth, sizeof(eth));
	if (w->vlan)
		memcpy(out + sizeof(eth), &vlan, sizeof(vlan));
	return ethernet_bytes(w);
}

/* The headers stand in front of the datagram, so the checksum functions find it behind them. */
static void write_udp4(const struct wrap *w, const struct wrap_address *to, uint8_t *out,
		       uint16_t datagram)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)out;
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(void *)(ip + 1);

	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
				    .total_length =
					    rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + datagram)),
				    .fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG),
				    .time_to_live = HOPS,
				    .next_proto_id = IPPROTO_UDP};
	memcpy(&ip->src_addr, w->self.ip, sizeof(ip->src_addr));
	memcpy(&ip->dst_addr, to->ip, sizeof(ip->dst_addr));
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->dgram_cksum = rte_ipv4_udptcp_cksum(ip, udp);
}

static void write_udp6(const struct wrap *w, const struct wrap_address *to, uint8_t *out,
		       uint16_t datagram)
{
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)(void *)out;
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(void *)(ip + 1);

	*ip = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(0x60000000),
				    .payload_len = rte_cpu_to_be_16(datagram),
				    .proto = IPPROTO_UDP,
				    .hop_limits = HOPS};
	memcpy(ip->src_addr, w->self.ip, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, to->ip, sizeof(ip->dst_addr));
	udp->dgram_cksum = rte_ipv6_udptcp_cksum(ip, udp);
}

void wrap_write(const struct wrap *w, const struct wrap_address *to, uint8_t *out,
		size_t frame_bytes)
{
	uint16_t datagram = (uint16_t)(sizeof(struct rte_udp_hdr) + frame_bytes);
	struct rte_udp_hdr udp = {.src_port = rte_cpu_to_be_16(w->udp_port),
				  .dst_port = rte_cpu_to_be_16(w->udp_port),
				  .dgram_len = rte_cpu_to_be_16(datagram)};

	out += wrap_write_ethernet(w, to->mac, kinds[w->kind].ethertype, out);
	if (w->kind == WRAP_ETHERNET)
		return;
	memcpy(out + ip_header_bytes(w), &udp, sizeof(udp));
	if (w->kind == WRAP_UDP4)
		write_udp4(w, to, out, datagram);
	else
		write_udp6(w, to, out, datagram);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

uint8_t *wrap_read_ethernet(const struct wrap *w, uint8_t *packet, size_t bytes, uint16_t *type,
			    const uint8_t **sender, size_t *left)
{
	size_t header = ethernet_bytes(w);
	struct rte_ether_hdr eth;
	struct rte_vlan_hdr vlan;

	if (bytes < header)
		return NULL;
	memcpy(&eth, packet, sizeof(eth));
	*type = rte_be_to_cpu_16(eth.ether_type);
	*sender = packet + offsetof(struct rte_ether_hdr, src_addr);
	*left = bytes - header;
	if (w->vlan == 0)
		return *type == RTE_ETHER_TYPE_VLAN ? NULL : packet + header;
	memcpy(&vlan, packet + sizeof(eth), sizeof(vlan));
	if (*type != RTE_ETHER_TYPE_VLAN || (rte_be_to_cpu_16(vlan.vlan_tci) & 0x0fff) != w->vlan)
		return NULL;
	*type = rte_be_to_cpu_16(vlan.eth_proto);
	return packet + header;
}

/** Bytes of the datagram of a whole, unfragmented IPv4 packet for this end; 0: it is none. */
static size_t read_udp4(const struct wrap *w, const uint8_t *at, size_t left)
{
	struct rte_ipv4_hdr ip;
	size_t total;

	if (left < sizeof(ip))
		return 0;
	memcpy(&ip, at, sizeof(ip));
	total = rte_be_to_cpu_16(ip.total_length);
	if (ip.version_ihl != RTE_IPV4_VHL_DEF || ip.next_proto_id != IPPROTO_UDP || total > left ||
	    total < sizeof(ip) || (ip.fragment_offset & ~rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG)) ||
	    memcmp(&ip.dst_addr, w->self.ip, sizeof(ip.dst_addr)) != 0)
		return 0;
	return total - sizeof(ip);
}

static size_t read_udp6(const struct wrap *w, const uint8_t *at, size_t left)
{
	struct rte_ipv6_hdr ip;
	size_t datagram;

	if (left < sizeof(ip))
		return 0;
	memcpy(&ip, at, sizeof(ip));
	datagram = rte_be_to_cpu_16(ip.payload_len);
	if (rte_be_to_cpu_32(ip.vtc_flow) >> 28 != 6 || ip.proto != IPPROTO_UDP ||
	    datagram > left - sizeof(ip) ||
	    memcmp(ip.dst_addr, w->self.ip, sizeof(ip.dst_addr)) != 0)
		return 0;
	return datagram;
}

static uint8_t *read_udp(const struct wrap *w, uint8_t *at, size_t left, size_t *frame_bytes)
{
	size_t datagram = w->kind == WRAP_UDP4 ? read_udp4(w, at, left) : read_udp6(w, at, left);
	struct rte_udp_hdr udp;
	size_t length;

	if (datagram < sizeof(udp))
		return NULL;
	at += ip_header_bytes(w);
	memcpy(&udp, at, sizeof(udp));
	length = rte_be_to_cpu_16(udp.dgram_len);
	if (udp.dst_port != rte_cpu_to_be_16(w->udp_port) || length < sizeof(udp) ||
	    length > datagram)
		return NULL;
	*frame_bytes = length - sizeof(udp);
	return at + sizeof(udp);
}

uint8_t *wrap_read(const struct wrap *w, uint8_t *packet, size_t bytes, size_t *frame_bytes)
{
	const uint8_t *sender;
	uint16_t type;
	size_t left;
	uint8_t *at = wrap_read_ethernet(w, packet, bytes, &type, &sender, &left);

	if (!at || memcmp(packet, w->self.mac, WRAP_MAC_BYTES) != 0 ||
	    type != kinds[w->kind].ethertype)
		return NULL;
	if (w->kind != WRAP_ETHERNET)
		return read_udp(w, at, left, frame_bytes);
	*frame_bytes = left;
	return at;
}
