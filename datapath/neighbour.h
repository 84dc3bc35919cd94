/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Next hops of a link that carries UDP: who has which Ethernet address. ARP (RFC 826) on IPv4,
 * Neighbor Discovery (RFC 4861) on IPv6, as far as a node with one address and fixed peers needs
 * it: it asks for its next hops, and it answers who asks for it.
 *
 * State without I/O: questions and answers are written into the caller's buffer. A received packet
 * is hostile; the worst a lie can do is send frames elsewhere, which the peers' silence shows and
 * the next question mends.
 */
#ifndef HAVEN_NEIGHBOUR_H
#define HAVEN_NEIGHBOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wrap.h"

/** Room for a question or an answer. */
#define NEIGHBOUR_BYTES_MAX 96u
/** A known address is asked for again after this. */
#define NEIGHBOUR_FRESH_NS 5000000000ull
/** Pause between two questions. */
#define NEIGHBOUR_AGAIN_NS 100000000ull

struct neighbour {
	uint8_t ip[WRAP_IP_BYTES];
	uint8_t mac[WRAP_MAC_BYTES];
	bool known;
	uint64_t asked_ns, told_ns; /**< 0: never */
};

/** True when it is time to ask (again); the caller then sends neighbour_ask(). */
bool neighbour_due(struct neighbour *n, uint64_t now);
/** Write the question. Returns its bytes. */
size_t neighbour_ask(const struct wrap *w, const struct neighbour *n,
		     uint8_t out[NEIGHBOUR_BYTES_MAX]);
/**
 * Look at a packet that is no frame: learns what it tells of any of the `count` neighbours. Returns
 * the bytes of the answer that is to be sent, 0: none.
 */
size_t neighbour_take(const struct wrap *w, struct neighbour *n, unsigned count, uint8_t *packet,
		      size_t bytes, uint64_t now, uint8_t out[NEIGHBOUR_BYTES_MAX]);

#endif
