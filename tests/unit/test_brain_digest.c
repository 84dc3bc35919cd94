/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies compared, as a holder and a secondary see it: what leads to a comparison, what follows. */
#include "brain_cluster.h"

/* Two whole copies; node 0 acts. */
static struct cluster *pair_in_sync(void)
{
	struct cluster *c = cluster_start(3);

	component_with_lane_up(c, 0);
	component_with_lane_up(c, 1);
	cr_assert(cluster_run_until_acts(c, 0, MS(200)));
	for (uint64_t end = c->now + MS(200); c->now < end && assignment(c, 0)->in_sync != 3;)
		cluster_tick(c);
	cr_assert_eq(assignment(c, 0)->in_sync, 3);
	return c;
}

static void run_until_in_sync(struct cluster *c, uint32_t in_sync)
{
	for (uint64_t end = c->now + MS(500); c->now < end && assignment(c, 0)->in_sync != in_sync;)
		cluster_tick(c);
	cr_assert_eq(assignment(c, 0)->in_sync, in_sync);
}

Test(brain_digest, a_holder_shows_its_blocks_at_the_pace_that_is_set)
{
	struct cluster *c = pair_in_sync();
	unsigned before = c->node[1].compared;

	cluster_run(c, MS(100));
	cr_assert_geq(c->node[1].compared - before, 45, "one every 2 ms");
	cr_assert_leq(c->node[1].compared - before, 51);
	cr_assert_eq(c->node[0].compared, 0);
	cr_assert_eq(c->node[1].notes[NOTE_COPY_DIFFERS], 0);
	cr_assert_eq(assignment(c, 0)->in_sync, 3);
	cluster_end(c);
}

Test(brain_digest, a_copy_that_differs_is_voted_out_and_fetched_anew)
{
	struct cluster *c = pair_in_sync();
	unsigned starts = c->node[0].notes[NOTE_SYNC_START];

	c->node[1].wrong = 2;
	run_until_in_sync(c, 1);
	c->node[1].wrong = 0;
	cr_assert_eq(c->node[1].notes[NOTE_COPY_DIFFERS], 1, "one alarm");
	cr_assert_eq(c->node[0].notes[NOTE_OUT_OF_SYNC], 1);
	run_until_in_sync(c, 3);
	cr_assert_eq(c->node[0].notes[NOTE_SYNC_START], starts + 1);
	cr_assert_eq(c->actor, 0, "who serves goes on");
	cluster_end(c);
}

Test(brain_digest, a_copy_that_differs_is_not_promoted)
{
	struct cluster *c = pair_in_sync();

	c->node[1].wrong = 1;
	while (!c->node[1].notes[NOTE_COPY_DIFFERS])
		cluster_tick(c);
	node_dies(c, 0); /* before anybody could decide anything */
	cr_assert_not(cluster_run_until_acts(c, 1, MS(20)));
	cluster_run(c, MS(300));
	if (c->actor == 1)
		cr_assert_gt(c->node[1].notes[NOTE_STATE_LOST], 0, "only as a loss that is told");
	cluster_end(c);
}

Test(brain_digest, the_same_difference_again_and_again_costs_ever_fewer_transfers)
{
	struct cluster *c = pair_in_sync();
	unsigned first, later;

	c->node[1].wrong = 1;
	cluster_run(c, MS(1000));
	first = c->node[1].notes[NOTE_COPY_DIFFERS];
	cr_assert_geq(first, 2);
	cluster_run(c, MS(4000));
	later = c->node[1].notes[NOTE_COPY_DIFFERS] - first;
	cr_assert_geq(later, 1, "it is not forgotten");
	cr_assert_leq(later, 5, "128 ms of rest, doubled each time");
	cluster_end(c);
}

Test(brain_digest, digests_of_another_session_or_epoch_are_not_looked_at)
{
	struct cluster *c = pair_in_sync();
	struct frame digest = {.type = 0}, f;
	unsigned before;

	while (digest.type != FRAME_DIGEST) {
		c->now += TICK_NS;
		cluster_feed(c, 0, (struct brain_event){.kind = BRAIN_TICK});
		for (unsigned o = 0; o < c->out.n; o++)
			if (c->out.out[o].kind == OUT_FRAME &&
			    c->out.out[o].frame.type == FRAME_DIGEST)
				digest = c->out.out[o].frame;
		cluster_drain(c);
	}
	for (unsigned k = 0; k < 4; k++) {
		before = c->node[1].compared;
		f = digest;
		f.counter += 1000 + k;
		f.u.digest.session += k == 0;
		f.u.digest.epoch += k == 1;
		f.u.digest.stream.lane = k == 2;
		cluster_feed(c, 1, (struct brain_event){.kind = BRAIN_FRAME, .frame = &f});
		cr_assert_eq(c->node[1].compared - before, k == 3, "%u", k);
	}
	cluster_end(c);
}

Test(brain_digest, an_answer_that_comes_too_late_changes_nothing)
{
	struct cluster *c = pair_in_sync();
	struct brain_event wrong = {.kind = BRAIN_COMPARED, .seq = 3, .count = 1};

	cluster_event(c, 0, wrong);
	cr_assert_eq(c->node[0].notes[NOTE_COPY_DIFFERS], 0, "a holder's copy is nobody's copy");
	component_dies(c, 1);
	cluster_event(c, 1, wrong);
	cr_assert_eq(c->node[1].notes[NOTE_COPY_DIFFERS], 0, "its lane is gone");
	cluster_end(c);
}
