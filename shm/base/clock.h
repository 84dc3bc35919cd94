/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The clock. Every instant in Haven is nanoseconds of CLOCK_MONOTONIC_RAW: not slewed, shared by
 * all processes of a machine, about 18 ns through the vDSO. Pure floors never call this; they are
 * handed `now`.
 */
#ifndef HAVEN_CLOCK_H
#define HAVEN_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

static inline uint64_t clock_read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/** Now, in nanoseconds of the machine's raw monotonic clock. */
static inline uint64_t clock_now_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC_RAW);
}

/** As clock_now_ns(), and counting on while the machine is suspended; slewed. */
static inline uint64_t clock_boot_ns(void)
{
	return clock_read_ns(CLOCK_BOOTTIME);
}

/** Wall clock in nanoseconds since 1970, for people only. */
static inline uint64_t clock_wall_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

#endif
