/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * ARP (RFC 826): frames, and a small cache of neighbours that ages. No DPDK, no Haven.
 *
 * Gratuitous frames carry a trailer in the padding behind the 28 ARP bytes: "HVEP", the epoch of
 * the announcing primary (8 bytes, big-endian) and one zero byte. Ordinary receivers ignore the
 * padding; a switch that reads it refuses frames of an older primary.
 */
#ifndef NAT_ARP_H
#define NAT_ARP_H

#include <stdbool.h>
#include <stdint.h>

#define ARP_FRAME_BYTES 60u
#define ARP_NEIGHBOURS 1024u /**< a power of two */
/** After so long a neighbour is asked for again; it stays in use meanwhile. */
#define ARP_STALE_NS (30ull * 1000000000ull)
/** After so long without an answer it is no neighbour any more. */
#define ARP_DEAD_NS (120ull * 1000000000ull)
/** Shortest time between two requests for one neighbour. */
#define ARP_ASK_NS (100ull * 1000000ull)

enum arp_opcode { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp_message {
	uint16_t opcode; /**< enum arp_opcode */
	uint8_t sender_mac[6], target_mac[6];
	uint32_t sender_ip, target_ip; /**< network byte order */
};

struct arp_neighbour {
	uint32_t ip; /**< network byte order; 0: free */
	uint8_t side;
	bool resolved; /**< `mac` is known */
	bool mirrored; /**< this primary has put it into the checkpoint */
	uint8_t mac[6];
	uint64_t heard_ns, asked_ns;
};

struct arp_cache {
	struct arp_neighbour neighbour[ARP_NEIGHBOURS];
};

/** Take a frame apart. False when it is no ARP frame for Ethernet and IPv4. */
bool arp_parse(const uint8_t *frame, unsigned bytes, struct arp_message *out);
/** Write a frame of ARP_FRAME_BYTES bytes to `to` (its Ethernet destination). `epoch` 0: no
 *  trailer. */
void arp_build(uint8_t *frame, const uint8_t *to, const struct arp_message *m, uint64_t epoch);

/** Neighbour of an address, NULL when nothing is known of it. */
struct arp_neighbour *arp_find(struct arp_cache *c, uint8_t side, uint32_t ip);
/** The same, made when it is missing; displaces the one unheard of for longest when there is no
 *  room. Never NULL. */
struct arp_neighbour *arp_touch(struct arp_cache *c, uint8_t side, uint32_t ip);
/** Note where an address is. Returns true when that is news. */
bool arp_learn(struct arp_cache *c, uint8_t side, uint32_t ip, const uint8_t *mac, uint64_t now);
/** True when the neighbour can be used; false when its address is unknown or too old. */
bool arp_usable(const struct arp_neighbour *n, uint64_t now);
/** True when it is time to ask for it; notes that it is asked now. */
bool arp_ask(struct arp_neighbour *n, uint64_t now);

#endif
