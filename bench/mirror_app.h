/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The application of the mirror benchmark: on the node that holds the work it runs one job after
 * the other, on the standby it only polls. Bench and applications share one mapping.
 */
#ifndef HAVEN_MIRROR_APP_H
#define HAVEN_MIRROR_APP_H

#include "world.h"

#define MIRROR_SAMPLES (1u << 16)
#define MIRROR_KEYS 4096u
#define MIRROR_VALUE_BYTES 64u

enum mirror_kind {
	MIRROR_STREAM = 0, /**< commits of `batch` records, as fast as the lane takes them */
	MIRROR_WAIT,       /**< the same, each waited for until it is acknowledged */
	MIRROR_DIRTY,      /**< the same in mode `dirty`, where a put is no record */
};

struct mirror_job {
	enum mirror_kind kind;
	unsigned batch;
	uint64_t duration_ns;
};

/** Writer: the application that holds the work, but for `job` and `number` (the bench). */
struct mirror_shared {
	struct mirror_job job;
	_Alignas(64) uint64_t number;  /**< of the job, from 1; stored last (release) */
	_Alignas(64) uint64_t done;    /**< number of the last job that ended (release) */
	bool failed;                   /**< the role was lost, or a call failed */
	uint64_t puts, records;        /**< made; put in the lane and acknowledged */
	uint64_t from_ns, until_ns;    /**< first put; last acknowledgement */
	uint64_t waits;                /**< times that the lane was full */
	unsigned n;                    /**< samples */
	uint64_t cost[MIRROR_SAMPLES]; /**< ns per batch of puts with its commit; MIRROR_WAIT: until
					    it is acknowledged */
	uint64_t lag[MIRROR_SAMPLES];  /**< records committed and not acknowledged */
};

/** A world_serve; the world's context is a struct mirror_shared. */
void mirror_app_serve(struct haven *h, struct world *w, unsigned node);

#endif
