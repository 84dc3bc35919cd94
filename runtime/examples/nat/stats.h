/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Statistics file: JSON, replaced as a whole. The packet loop only copies what it has into a
 * snapshot; a thread of its own writes it, so that no file system stands in the loop's way.
 */
#ifndef NAT_STATS_H
#define NAT_STATS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "nat.h"

struct stats_snapshot {
	struct nat_counts counts;
	struct nat_takeover takeover[NAT_TAKEOVERS_MAX];
	uint64_t n_takeovers;
	uint64_t at_ns, epoch, committed, acked;
	uint64_t turn_max_ns; /**< longest turn of the loop since the last snapshot */
	uint32_t role, flows, table_flows, held, waiting;
	bool open, attached;
};

struct stats {
	const char *path, *name, *instance;
	struct stats_snapshot snapshot;
	uint32_t full;    /**< snapshot belongs to the thread (1) or to the loop (0); atomic */
	uint32_t wanted;  /**< SIGUSR1 has come; atomic */
	uint32_t stop;    /**< atomic */
	uint64_t next_ns; /**< of the loop */
	bool running;
	pthread_t thread;
};

/** Start the writer. `path` NULL: statistics are off and every call does nothing. False when the
 *  thread cannot be started. */
bool stats_start(struct stats *s, const char *path, const char *name, const char *instance);
/** Loop: hand a snapshot over when one is due. */
void stats_turn(struct stats *s, struct nat *n, uint64_t turn_max_ns);
/** Last snapshot, then end the writer. */
void stats_stop(struct stats *s, struct nat *n);

#endif
