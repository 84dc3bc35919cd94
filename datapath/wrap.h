/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What stands around a frame on the wire, per link:
 *
 *     Ethernet [VLAN] | frame                      type 0x88B5 (IEEE 802 local experimental)
 *     Ethernet [VLAN] | IPv4 or IPv6 | UDP | frame for nodes with routers between them
 *
 * On Ethernet alone the addresses are derived from the cluster's name and the node's index, so that
 * nothing has to be learned or resolved. With UDP the next hop is resolved (neighbour.h). A frame
 * with its tags is shorter than what an MTU of 1500 leaves, and IPv4 packets say "don't fragment".
 * Checksums are made and not checked: the frame's tag proves more.
 *
 * No state, no I/O. Bytes of a received packet are hostile.
 */
#ifndef HAVEN_WRAP_H
#define HAVEN_WRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRAP_ETHERTYPE 0x88B5u
#define WRAP_MAC_BYTES 6u
#define WRAP_IP_BYTES 16u
/** Longest of all: Ethernet, VLAN, IPv6, UDP. */
#define WRAP_BYTES_MAX (14u + 4u + 40u + 8u)
#define WRAP_UDP_PORT_DEFAULT 48556u

enum wrap_kind { WRAP_ETHERNET = 0, WRAP_UDP4, WRAP_UDP6 };

/** One end. */
struct wrap_address {
	uint8_t mac[WRAP_MAC_BYTES];
	uint8_t ip[WRAP_IP_BYTES]; /**< network order; IPv4: the first four bytes */
};

struct wrap {
	enum wrap_kind kind;
	uint16_t vlan; /**< 1…4094, 0: untagged */
	uint16_t udp_port;
	struct wrap_address self;
};

/** Derived Ethernet address of node `node` of the cluster named `cluster`. */
void wrap_mac(const char *cluster, uint8_t node, uint8_t out[WRAP_MAC_BYTES]);
/** Bytes in front of a frame. */
size_t wrap_bytes(const struct wrap *w);
/** Bytes of an address of this kind: 4 or 16; 0 on Ethernet alone. */
size_t wrap_ip_bytes(const struct wrap *w);
/** Write wrap_bytes() at `out`, in front of a frame of `frame_bytes`. */
void wrap_write(const struct wrap *w, const struct wrap_address *to, uint8_t *out,
		size_t frame_bytes);
/** The frame in a received packet that is for this end, NULL: it is not. */
uint8_t *wrap_read(const struct wrap *w, uint8_t *packet, size_t bytes, size_t *frame_bytes);

/** Ethernet header (with VLAN) towards `mac`. Returns its bytes. */
size_t wrap_write_ethernet(const struct wrap *w, const uint8_t mac[WRAP_MAC_BYTES], uint16_t type,
			   uint8_t *out);
/** What follows the Ethernet header, with its type and sender; NULL: another VLAN, or too short. */
uint8_t *wrap_read_ethernet(const struct wrap *w, uint8_t *packet, size_t bytes, uint16_t *type,
			    const uint8_t **sender, size_t *left);

#endif
