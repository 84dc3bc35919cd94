/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "watch_clock.h"

#define SECOND 1000000000ull
#define MILLI 1000000ull
/* 2.5 ticks a nanosecond */
#define TICKS(ns) ((ns)*5 / 2)

static struct watch_clock watch;
static struct clock_reading at;
static uint64_t evidence;

static void start(uint64_t ticks)
{
	watch_clock_init(&watch, MILLI, 200);
	at = (struct clock_reading){.own_ns = SECOND, .boot_ns = 77 * SECOND, .ticks = ticks};
	cr_assert_eq(watch_clock_look(&watch, &at, &evidence), CLOCK_FINE);
}

/* All three go on; then the clocks are looked at. */
static enum clock_finding after(uint64_t own, uint64_t boot, uint64_t ticks)
{
	at.own_ns += own;
	at.boot_ns += boot;
	at.ticks += ticks;
	return watch_clock_look(&watch, &at, &evidence);
}

static enum clock_finding even(uint64_t ns)
{
	return after(ns, ns, TICKS(ns));
}

Test(watch_clock, clocks_that_run_evenly_are_fine_also_after_a_long_stall_and_while_slewed)
{
	start(5);
	for (unsigned i = 0; i < 5000; i++)
		cr_assert_eq(even(MILLI), CLOCK_FINE);
	cr_expect_eq(even(100 * SECOND), CLOCK_FINE, "nobody looked for so long");
	cr_expect_eq(after(10 * SECOND, 10 * SECOND + 900 * MILLI, TICKS(10 * SECOND)), CLOCK_FINE,
		     "a time daemon slews by 9 percent");
}

Test(watch_clock, a_machine_that_was_suspended_is_seen_by_the_boot_clock)
{
	start(0);
	cr_expect_eq(after(MILLI, MILLI + 30 * SECOND, 0), CLOCK_SUSPENDED);
	cr_expect_eq(evidence, 30 * SECOND);
	cr_expect_eq(after(MILLI, MILLI, 0), CLOCK_FINE, "once");
	cr_expect_eq(after(MILLI, MILLI + MILLI / 2, 0), CLOCK_FINE, "below what can be told");
}

Test(watch_clock, a_paused_machine_is_seen_by_the_counter_once_it_is_calibrated)
{
	start(5);
	cr_expect_eq(after(MILLI, MILLI, TICKS(5 * SECOND)), CLOCK_FINE, "not calibrated yet");
	start(5);
	cr_assert_eq(even(SECOND), CLOCK_FINE);
	cr_expect_eq(after(MILLI, MILLI, TICKS(5 * SECOND + MILLI)), CLOCK_SUSPENDED);
	cr_expect_eq(evidence, 5 * SECOND);
	cr_expect_eq(even(SECOND), CLOCK_FINE, "the pause is no rate");
}

Test(watch_clock, a_rate_out_of_bounds_is_told_once_and_so_is_its_return)
{
	for (int slow = 0; slow < 2; slow++) {
		uint64_t off = 201, ticks = TICKS(SECOND);

		start(5);
		cr_assert_eq(even(SECOND), CLOCK_FINE);
		ticks = slow ? ticks - ticks / 1000000 * off : ticks + ticks / 1000000 * off;
		cr_expect_eq(after(SECOND, SECOND, ticks), CLOCK_DISAGREES);
		cr_expect_eq(evidence, 201);
		cr_expect_eq(after(SECOND, SECOND, ticks), CLOCK_FINE);
		cr_expect_eq(even(SECOND), CLOCK_AGREES);
		cr_expect_eq(evidence, 0);
	}
}

Test(watch_clock, exactly_the_bound_is_within_it)
{
	start(5);
	cr_assert_eq(even(SECOND), CLOCK_FINE);
	cr_expect_eq(after(SECOND, SECOND, TICKS(SECOND) / 1000000 * 1000200), CLOCK_FINE);
}

Test(watch_clock, a_counter_that_was_set_back_is_calibrated_anew)
{
	start(SECOND);
	cr_assert_eq(even(SECOND), CLOCK_FINE);
	at.ticks = 7;
	cr_expect_eq(after(MILLI, MILLI, 0), CLOCK_FINE);
	cr_expect_eq(after(SECOND, SECOND, 3 * SECOND), CLOCK_FINE, "another rate from now on");
	cr_expect_eq(after(SECOND, SECOND, 3 * SECOND), CLOCK_FINE);
	cr_expect_eq(after(SECOND, SECOND, 3 * SECOND + SECOND / 100), CLOCK_DISAGREES);
}
