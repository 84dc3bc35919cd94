/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "links.h"
#include "prng.h"

#define GRAY 10u

/* Beats first…last, one in `every` is lost (0: none). */
static void run_beats(struct link *l, uint64_t first, uint64_t last, unsigned every)
{
	for (uint64_t seq = first; seq <= last; seq++)
		if (!every || seq % every)
			link_beat(l, seq);
}

Test(link, nothing_is_said_before_the_window_is_full)
{
	struct link l = {0};

	run_beats(&l, 1, LINK_WINDOW - 1, 2);
	cr_expect_eq(link_loss(&l), 0);
	cr_expect_not(link_score(&l, 1));
	link_beat(&l, LINK_WINDOW + 1);
	cr_expect_gt(link_loss(&l), 45);
	cr_expect(link_score(&l, 1));
}

Test(link, the_estimate_is_the_share_of_missing_numbers)
{
	for (unsigned every = 2; every <= 32; every *= 2) {
		struct link l = {0};

		run_beats(&l, 1, 1025, every);
		cr_expect_leq(abs((int)link_loss(&l) - (int)(100 / every)), 2, "%u: %u", every,
			      link_loss(&l));
	}
}

Test(link, late_and_doubled_beats_are_no_loss)
{
	struct prng p = {3};
	struct link l = {0};

	/* Pairs come in any order, some twice. */
	for (uint64_t seq = 1; seq < 400; seq += 2) {
		uint64_t first = seq + prng_below(&p, 2);

		link_beat(&l, first);
		link_beat(&l, 2 * seq + 1 - first);
		if (prng_below(&p, 2))
			link_beat(&l, seq);
	}
	cr_expect_eq(link_loss(&l), 0);
	link_beat(&l, 1);
	cr_expect_eq(link_loss(&l), 0, "older than the window");
}

Test(link, gray_has_a_begin_and_an_end_that_lie_apart)
{
	struct link l = {0};

	run_beats(&l, 1, 256, 0);
	cr_expect_not(link_score(&l, GRAY));
	run_beats(&l, 257, 512, 8);
	cr_expect(link_score(&l, GRAY));
	cr_expect(l.gray);
	run_beats(&l, 513, 768, 16); /* 6 %: below the begin, above the end */
	cr_expect_not(link_score(&l, GRAY));
	cr_expect(l.gray);
	run_beats(&l, 769, 1024, 0);
	cr_expect(link_score(&l, GRAY));
	cr_expect_not(l.gray);
}

Test(link, without_a_threshold_nothing_is_gray)
{
	struct link l = {0};

	run_beats(&l, 1, 512, 2);
	cr_expect_not(link_score(&l, 0));
	cr_expect_not(l.gray);
}

Test(link, an_outage_begins_a_new_window)
{
	struct link l = {0};

	run_beats(&l, 1, 128, 0);
	link_restart(&l);
	run_beats(&l, 1000, 1000 + LINK_WINDOW - 1, 0);
	cr_expect_eq(link_loss(&l), 0);
	link_beat(&l, 1000 + LINK_WINDOW - 1 + LINK_WINDOW);
	cr_expect_eq(link_loss(&l), 98, "a gap as long as the window");
}
