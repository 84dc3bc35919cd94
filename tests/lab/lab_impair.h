/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What a bad network does to the frames of one port: cuts one way or both, loss, doubling, flipped
 * bits, delay (which also reorders), and recordings of old frames that come again.
 */
#ifndef HAVEN_LAB_IMPAIR_H
#define HAVEN_LAB_IMPAIR_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "prng.h"

#define IMPAIR_LATE_MAX 512u
#define IMPAIR_RECORDS 256u

/** Settings of a port; parts per million of the frames, each way unless said otherwise. */
struct impair_settings {
	bool cut_in;  /**< nothing comes from the node */
	bool cut_out; /**< nothing reaches the node */
	uint32_t loss_ppm, dup_ppm, corrupt_ppm;
	uint32_t late_ppm; /**< held back for up to late_us; others overtake them */
	uint32_t late_us;
	uint32_t replay_ppm; /**< so often a recorded frame is sent to the node once more */
};

struct impair {
	struct impair_settings set;
	bool records;                          /**< keep recordings */
	uint64_t dropped, corrupted, replayed; /**< since start */
	/* Frames to the node that wait, in no order. */
	struct {
		struct rte_mbuf *m;
		uint64_t due_ns;
	} late[IMPAIR_LATE_MAX];
	unsigned n_late;
	/* Copies of frames that went to the node, over all its lives; the oldest goes first. */
	struct rte_mbuf *record[IMPAIR_RECORDS];
	uint64_t recorded;
};

/** A frame that came from the node: false when it is lost. It may have been changed. */
bool impair_in(struct impair *i, struct prng *prng, struct rte_mbuf *m);
/** A frame to the node. Calls `emit` for each frame that is to go now, copies and recordings
 *  included; owns `m`. */
void impair_out(struct impair *i, struct prng *prng, struct rte_mempool *pool, struct rte_mbuf *m,
		uint64_t now, void (*emit)(void *context, struct rte_mbuf *m), void *context);
/** Frames that are due. */
void impair_poll(struct impair *i, uint64_t now, void (*emit)(void *context, struct rte_mbuf *m),
		 void *context);

#endif
