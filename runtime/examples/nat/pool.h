/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The pool of outside ports, as a function and not as a state.
 *
 * For every inside endpoint there is one fixed sequence of candidate ports. A new flow takes the
 * first candidate that the flow table does not hold for its remote endpoint. So who owns a port is
 * written in one place only, the mirrored flow table; whoever takes over has the pool with it, and
 * can find the flow of an inside endpoint by walking the same sequence.
 */
#ifndef NAT_POOL_H
#define NAT_POOL_H

#include <stdbool.h>
#include <stdint.h>

/** Candidates looked at before the pool counts as full. With 95 % of the ports towards one remote
 *  endpoint in use, a free one is still found in all but 0.14 % of the cases. */
#define POOL_PROBES 128u

struct pool {
	uint32_t first; /**< 1…65535 */
	uint32_t size;  /**< first + size <= 65536 */
};

struct pool_walk {
	uint32_t at, stride, left;
};

/** Begin the sequence of an inside endpoint (any byte order, always the same one). */
void pool_walk_begin(const struct pool *p, struct pool_walk *w, uint8_t proto, uint32_t address,
		     uint16_t port);
/** Next candidate (host byte order), never one twice. False when the sequence has ended. */
bool pool_walk_next(const struct pool *p, struct pool_walk *w, uint16_t *port);

#endif
