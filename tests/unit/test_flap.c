/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "flap.h"

#define FIRST_NS 100u
#define LIMIT_NS 1000u

static const struct flap_terms terms = {.first_ns = FIRST_NS, .limit_ns = LIMIT_NS};

/* Down and heard again at once. */
static enum flap_change fail(struct flap *f, uint64_t *run)
{
	flap_judge(f, &terms, false, ++*run);
	return flap_judge(f, &terms, true, ++*run);
}

Test(flap, the_first_outage_costs_nothing)
{
	struct flap f = {0};
	uint64_t run = 1;

	cr_expect_eq(flap_judge(&f, &terms, false, run), FLAP_SAME, "not heard yet is no failure");
	cr_expect_eq(flap_judge(&f, &terms, true, ++run), FLAP_UP);
	cr_expect_eq(flap_judge(&f, &terms, false, ++run), FLAP_DOWN);
	cr_expect_eq(flap_judge(&f, &terms, true, ++run), FLAP_UP);
}

Test(flap, the_delay_doubles_up_to_the_limit)
{
	static const uint64_t delay[] = {0, 100, 200, 400, 800, 1000, 1000};
	struct flap f = {0};
	uint64_t run = 1;

	flap_judge(&f, &terms, true, run);
	for (unsigned k = 0; k < sizeof(delay) / sizeof(delay[0]); k++) {
		cr_expect_eq(fail(&f, &run), delay[k] ? FLAP_HELD : FLAP_UP);
		cr_expect_eq(flap_delay_ns(&f, &terms), delay[k]);
	}
	for (unsigned k = 0; k < 100; k++)
		fail(&f, &run);
	cr_expect_eq(flap_delay_ns(&f, &terms), LIMIT_NS);
	cr_expect_eq(f.level, FLAP_LEVEL_MAX);
}

Test(flap, it_is_up_after_the_delay_without_a_break_and_not_before)
{
	struct flap f = {0};
	uint64_t run = 1;

	flap_judge(&f, &terms, true, run);
	fail(&f, &run);
	fail(&f, &run);
	cr_expect_eq(flap_judge(&f, &terms, true, run + FIRST_NS - 1), FLAP_SAME);
	cr_expect(flap_held(&f));
	cr_expect_eq(flap_judge(&f, &terms, true, run + FIRST_NS), FLAP_UP);
	cr_expect_not(flap_held(&f));
	run += FIRST_NS;
	fail(&f, &run);
	cr_expect_eq(flap_judge(&f, &terms, false, run + 50), FLAP_SAME, "it was not up");
	cr_expect_eq(f.level, 4, "failing while held down counts, too");
}

Test(flap, quiet_time_takes_the_failures_back)
{
	struct flap f = {0};
	uint64_t run = 1;

	flap_judge(&f, &terms, true, run);
	for (unsigned k = 0; k < 3; k++)
		fail(&f, &run);
	run += 2 * FIRST_NS;
	cr_assert_eq(flap_judge(&f, &terms, true, run), FLAP_UP);
	for (unsigned level = 3; level > 0; level--) {
		cr_expect_eq(f.level, level);
		flap_judge(&f, &terms, true, run + 2 * LIMIT_NS - 1);
		cr_expect_eq(f.level, level);
		run += 2 * LIMIT_NS;
		flap_judge(&f, &terms, true, run);
	}
	cr_expect_eq(f.level, 0);
}

Test(flap, an_excused_silence_is_no_failure)
{
	struct flap f = {0};
	uint64_t run = 1;

	flap_judge(&f, &terms, true, run);
	for (unsigned k = 0; k < 5; k++) {
		flap_excuse(&f);
		cr_expect_not(flap_held(&f));
		cr_expect_eq(flap_judge(&f, &terms, true, ++run), FLAP_UP);
	}
	cr_expect_eq(f.level, 0);
}

Test(flap, a_limit_of_zero_holds_nothing)
{
	const struct flap_terms never = {.first_ns = FIRST_NS, .limit_ns = 0};
	struct flap f = {0};

	for (uint64_t run = 1; run < 100; run += 2) {
		cr_expect_eq(flap_judge(&f, &never, true, run), FLAP_UP);
		cr_expect_eq(flap_judge(&f, &never, false, run + 1), FLAP_DOWN);
	}
}
