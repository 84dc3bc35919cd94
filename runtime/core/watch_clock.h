/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Does the node's clock count all of the time, at the rate that it should? Pure: the caller reads
 * the clocks, at one and the same instant.
 *
 * The node's clock (CLOCK_MONOTONIC_RAW) stands still while the machine is suspended, and may stand
 * still while a virtual machine is paused; leases would then last longer than their promises. Two
 * others tell: CLOCK_BOOTTIME counts on while the machine is suspended, and the processor's time
 * stamp counter counts on while a hypervisor has stopped the clock that it offers. The counter also
 * tells the rate: it is calibrated against the node's clock in the first window and compared with
 * it in each later one.
 *
 * Not seen: a pause that stops the counter, too; a wrong rate that was there from the start; with
 * the counter as the kernel's clock source, any rate at all, for then both are one clock.
 */
#ifndef HAVEN_WATCH_CLOCK_H
#define HAVEN_WATCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum clock_finding {
	CLOCK_FINE = 0,
	CLOCK_SUSPENDED, /**< it stood still: evidence is for how long, ns */
	CLOCK_DISAGREES, /**< its rate left the bound: evidence is the difference, ppm */
	CLOCK_AGREES,    /**< its rate is within the bound again: evidence likewise */
};

struct clock_reading {
	uint64_t own_ns;  /**< the node's clock */
	uint64_t boot_ns; /**< CLOCK_BOOTTIME */
	uint64_t ticks;   /**< time stamp counter, 0: none that counts evenly */
};

struct watch_clock {
	uint64_t jump_ns;   /**< less than this is no standstill */
	uint32_t bound_ppm; /**< on the difference of rates */
	bool disagrees;
	struct clock_reading last;    /**< own_ns 0: none yet */
	struct clock_reading from;    /**< begin of the window */
	uint64_t rate_ns, rate_ticks; /**< calibration: so many ticks in so many ns, 0: none yet */
};

/** Length of a window of the rate's comparison. */
#define WATCH_CLOCK_WINDOW_NS 1000000000ull

void watch_clock_init(struct watch_clock *w, uint64_t jump_ns, uint32_t bound_ppm);
/** Readings come in order; each is of one instant within a small part of `jump_ns`. */
enum clock_finding watch_clock_look(struct watch_clock *w, const struct clock_reading *r,
				    uint64_t *evidence);

#endif
