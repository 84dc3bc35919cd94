/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The view: the epoch-numbered table that a majority of voters decides. Pure data.
 *
 * Sets of nodes are bit masks over node indices (cluster configuration order). Instances are
 * numbered in configuration order, all groups together.
 */
#ifndef HAVEN_VIEW_H
#define HAVEN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "haven_types.h"

struct view_instance {
	uint8_t holder;    /**< node that may act as primary, HAVEN_NODE_NONE: nobody */
	uint32_t assigned; /**< secondaries: in sync, or being given a replica */
	uint32_t in_sync;  /**< holder and secondaries that have every acknowledged record. With no
				holder: the nodes that alone may be named. Empty: state never
				existed or is provably lost */
	uint16_t lineage;  /**< grows by one whenever the state is given up as lost: what was
				acknowledged before is not in it */
};

struct view {
	uint64_t epoch;    /**< 0: no view; grows by one per decision, jumps at a formation */
	uint8_t author;    /**< node that wrote this view */
	uint8_t formation; /**< decided by every voter, because a majority had no memory */
	uint8_t n_nodes, n_instances;
	uint32_t members;                      /**< nodes that may hold roles */
	uint64_t incarnation[HAVEN_NODES_MAX]; /**< that each node had when last admitted, 0: never.
						    A voter votes only with the one named here */
	struct view_instance instance[HAVEN_INSTANCES_MAX];
};

/** Upper bound of an encoded view. */
#define VIEW_BYTES_MAX (8 + 4 + 4 + HAVEN_NODES_MAX * 8 + HAVEN_INSTANCES_MAX * 11)

void view_encode(const struct view *v, struct bytes_writer *w);
/** False when the bytes are not a well-formed view (counts, indices, unused bits). */
bool view_decode(struct view *v, struct bytes_reader *r);
/** Digest of the content; equal views have equal digests. */
uint64_t view_digest(const struct view *v);
/** True when everything but epoch and author is equal. */
bool view_same_body(const struct view *a, const struct view *b);
static inline uint32_t node_bit(unsigned node)
{
	return node < HAVEN_NODES_MAX ? (uint32_t)1 << node : 0;
}

#endif
