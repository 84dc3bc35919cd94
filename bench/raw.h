/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What a port does without Haven: two processes, each on a CPU of its own, joined by memif as the
 * nodes of a world are.
 */
#ifndef HAVEN_RAW_H
#define HAVEN_RAW_H

#include <stdint.h>

#define RAW_TRIPS 20000u
/** Payload of a full frame: what a mirror frame has at most, headers included. */
#define RAW_FRAME_BYTES 1500u

struct raw_result {
	uint64_t listening;  /**< 1: the server's port is there; a client starts only beside it */
	uint64_t arrived;    /**< frames in all; writer: the receiving end */
	uint64_t frames, ns; /**< full frames that arrived, one way, as fast as they go */
	unsigned trips;
	uint64_t trip_ns[RAW_TRIPS]; /**< a frame of 64 bytes there and back */
};

/** Measure for `duration_ns`. `out` is shared memory. Returns 0, or 1 after telling why. */
int raw_measure(struct raw_result *out, uint64_t duration_ns);

#endif
