/* SPDX-License-Identifier: BSD-3-Clause */
#include "tune.h"

#include <criterion/criterion.h>
#include <math.h>

#include "clock.h"
#include "prng.h"

#define HOUR (3600 * NSEC_PER_SEC)
#define GAPS 20000u

static uint64_t gaps[GAPS];

/* Gaps whose length has the power-law tail P(longer than x) = (50 us / x)^alpha. */
static struct tune_gaps pareto(double alpha, unsigned n, uint64_t watched_ns)
{
	struct prng prng = {7};

	for (unsigned i = 0; i < n; i++) {
		double u = ((double)prng_below(&prng, 1u << 30) + 1) / (double)(1u << 30);

		gaps[i] = (uint64_t)(50e3 * pow(u, -1 / alpha));
	}
	tune_sort(gaps, n);
	return (struct tune_gaps){gaps, n, 50000, watched_ns};
}

Test(tune, rounding_goes_up_to_the_next_of_its_steps)
{
	cr_assert_eq(tune_round_up(1), 1);
	cr_assert_eq(tune_round_up(4), 5);
	cr_assert_eq(tune_round_up(50000), 50000);
	cr_assert_eq(tune_round_up(50001), 70000);
	cr_assert_eq(tune_round_up(70001), 100000);
}

Test(tune, counts_within_what_was_seen_are_counts)
{
	uint64_t few[] = {100000, 900000, 300000, 300000};
	struct tune_gaps g = {few, 4, 50000, HOUR / 2};

	tune_sort(few, 4);
	cr_assert_eq(few[0], 900000);
	cr_assert_float_eq(tune_at(&g, 50000).per_hour, 8, 1e-9);
	cr_assert_float_eq(tune_at(&g, 300000).per_hour, 2, 1e-9, "longer, not as long as");
	cr_assert(!tune_at(&g, 300000).extrapolated);
	cr_assert(tune_at(&g, 900000).extrapolated);
	cr_assert_gt(tune_at(&g, 300000).at_most, 2);
}

Test(tune, the_rule_of_three_holds_for_what_was_never_seen)
{
	struct tune_gaps g = {NULL, 0, 50000, HOUR};

	cr_assert_float_eq(tune_at(&g, 100000).at_most, 3, 0.1);
	cr_assert_float_eq(tune_at(&g, 100000).per_hour, 0, 1e-9);
}

Test(tune, a_fitted_tail_comes_close_to_the_true_one)
{
	for (double alpha = 1.5; alpha < 4; alpha += 0.5) {
		struct tune_gaps g = pareto(alpha, GAPS, HOUR);
		uint64_t limit = 4 * g.gap_ns[0];
		double wanted = GAPS * pow(50e3 / (double)limit, alpha);
		struct tune_point p = tune_at(&g, limit);

		cr_assert(p.extrapolated);
		cr_assert(p.per_hour > wanted / 4 && p.per_hour < wanted * 4, "alpha %.1f: %g, %g",
			  alpha, p.per_hour, wanted);
	}
}

Test(tune, the_rate_never_grows_with_the_limit)
{
	struct tune_gaps g = pareto(2, 3000, HOUR);
	double before = INFINITY;

	for (uint64_t limit = 50000; limit < NSEC_PER_SEC; limit = tune_round_up(limit + 1)) {
		double now = tune_at(&g, limit).per_hour;

		cr_assert_leq(now, before * 1.5, "at %llu", (unsigned long long)limit);
		before = now;
	}
}

Test(tune, proposed_timers_keep_the_rules_of_the_configuration_and_the_wanted_rate)
{
	for (double wanted = 1000; wanted > 0.001; wanted /= 10) {
		struct tune_gaps g = pareto(2, GAPS, HOUR);
		struct tune_timers t = tune_propose(&g, wanted, 5000);

		cr_assert_leq(t.per_hour, wanted);
		cr_assert_geq(t.lease_ns, 3 * t.interval_ns + 2 * t.guard_ns);
		cr_assert_geq(t.suspect_ns, 2 * t.interval_ns);
		cr_assert_lt(t.suspect_ns, t.lease_ns);
		cr_assert_lt(t.stall_ns, t.lease_ns);
		cr_assert_gt(t.interval_ns, 0);
	}
}

Test(tune, a_quiet_place_gets_short_timers_and_a_noisy_one_long_ones)
{
	struct tune_gaps quiet = {NULL, 0, 10000, HOUR};
	struct tune_timers short_ones = tune_propose(&quiet, 1, 0), long_ones;
	struct tune_gaps noisy = pareto(1.2, GAPS, HOUR);

	cr_assert_leq(short_ones.suspect_ns, 20000);
	long_ones = tune_propose(&noisy, 1, 0);
	cr_assert_gt(long_ones.suspect_ns, 10 * NSEC_PER_MSEC);
	cr_assert(tune_propose(&noisy, 1, 0).per_hour > 0);
}

Test(tune, gaps_that_are_all_alike_are_the_longest_to_be_expected)
{
	for (unsigned i = 0; i < 100; i++)
		gaps[i] = 400000;
	struct tune_gaps g = {gaps, 100, 50000, HOUR};

	cr_assert_eq(tune_limit(&g, 1), 500000);
}
