/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * From measured gaps to timers. Pure.
 *
 * A gap is a time in which nobody looked: the loop that sends heartbeats (or the one that listens)
 * was interrupted, or the path was. A peer is suspected wrongly when gap and interval together are
 * longer than `suspect`. How often that happens is read off the measured gaps as long as there are
 * some of that length; beyond them the tail is continued as a power law through the longest ones
 * (Hill's estimator, 1975), which errs towards long timers: stalls of a host have fat tails.
 */
#ifndef HAVENCTL_TUNE_H
#define HAVENCTL_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Gaps of one place, sorted with tune_sort(): the longest first. Gaps shorter than `floor_ns` need
 *  not be in it. */
struct tune_gaps {
	const uint64_t *gap_ns;
	size_t n;
	uint64_t floor_ns, watched_ns;
};

/** One point of the curve. */
struct tune_point {
	double per_hour;   /**< gaps longer than the limit, expected */
	double at_most;    /**< the same with 95 % confidence, from what was seen alone */
	bool extrapolated; /**< longer than any gap seen */
};

struct tune_timers {
	uint64_t interval_ns, suspect_ns, lease_ns, guard_ns, stall_ns;
	double per_hour;   /**< suspicions of a living peer that this gives, expected */
	bool extrapolated; /**< by the fitted tail: nothing that long was seen */
};

void tune_sort(uint64_t *gap_ns, size_t n);
/** How often a gap is longer than `limit_ns` (at least floor_ns). */
struct tune_point tune_at(const struct tune_gaps *g, uint64_t limit_ns);
/** The smallest limit (of 1, 2, 3, 5, 7 times a power of ten) that is passed at most `per_hour`
 *  times an hour, from 10 us; 60 s when there is none. */
uint64_t tune_limit(const struct tune_gaps *g, double per_hour);
/** Timers for at most `per_hour` wrong suspicions an hour. `path_ns` is what the path may add. */
struct tune_timers tune_propose(const struct tune_gaps *g, double per_hour, uint64_t path_ns);
/** `ns` rounded up to 1, 2, 3, 5 or 7 times a power of ten. */
uint64_t tune_round_up(uint64_t ns);

#endif
