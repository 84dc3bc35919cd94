/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node ends in order: nobody suspects it, nobody waits for its lease, and with two voters nobody
 * has to prove that it is dead. That there is one primary at most at every instant is judged by the
 * cluster itself.
 */
#include <criterion/criterion.h>

#include "brain_cluster.h"

#define A 0u
#define B 1u
#define C 2u

/* a serves, b follows in sync; with three nodes c is a witness. */
static struct cluster *served(unsigned n)
{
	struct cluster *c = cluster_start(n);

	component_with_lane_up(c, A);
	component_with_lane_up(c, B);
	cluster_run(c, MS(60));
	cr_assert_eq(c->actor, A);
	cr_assert_eq(assignment(c, A)->in_sync, 3);
	return c;
}

static void asked_to_end(struct cluster *c, unsigned k)
{
	cluster_event(c, k, (struct brain_event){.kind = BRAIN_LEAVE});
}

/* The program ends as soon as its brain allows it; false: not within the time. */
static bool ends(struct cluster *c, unsigned k, uint64_t ns)
{
	for (uint64_t end = c->now + ns; c->now < end && !brain_left(c->node[k].brain);)
		cluster_tick(c);
	if (!brain_left(c->node[k].brain))
		return false;
	node_dies(c, k);
	return true;
}

Test(brain_leave, the_successor_acts_before_the_lease_would_have_ended)
{
	struct cluster *c = served(3);

	commits(c, A, 5);
	asked_to_end(c, A);
	cr_expect(cluster_run_until_acts(c, B, MS(2)), "the lease is 10 ms");
	cr_expect_eq(c->node[B].position, 5);
	cr_expect(ends(c, A, MS(10)));
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, B);
	for (unsigned k = B; k <= C; k++) {
		cr_expect_eq(c->node[k].notes[NOTE_LEFT], 1);
		cr_expect_eq(c->node[k].notes[NOTE_PEER_SUSPECT], 0);
	}
	cr_expect_eq(c->node[B].notes[NOTE_STATE_LOST], 0);
	cr_expect_eq(brain_view(c->node[B].brain)->members, 6);
	cluster_end(c);
}

Test(brain_leave, a_secondary_that_ends_holds_no_commit_up)
{
	struct cluster *c = served(3);

	asked_to_end(c, B);
	cr_expect(ends(c, B, MS(10)));
	commits(c, A, 3);
	cluster_run(c, MS(2));
	cr_expect_eq(c->node[A].acked, 3, "no silence has to be waited for");
	cr_expect_eq(assignment(c, A)->in_sync, 1);
	cluster_end(c);
}

Test(brain_leave, of_two_voters_the_other_one_goes_on_without_a_proof)
{
	for (unsigned k = A; k <= B; k++) {
		struct cluster *c = served(2);
		unsigned other = k == A ? B : A;

		asked_to_end(c, k);
		cr_expect(ends(c, k, MS(10)));
		cluster_run(c, MS(200));
		cr_expect_eq(c->actor, other, "its lease goes on");
		cr_expect_eq(c->node[other].notes[NOTE_FENCED], 0);
		cr_expect_eq(c->node[other].notes[NOTE_PEER_SUSPECT], 0);
		cr_expect_not_null(brain_fence_refusal(c->node[other].brain, k),
				   "no command is to be started");
		cluster_end(c);
	}
}

Test(brain_leave, who_comes_back_is_another_life_and_its_silence_counts_again)
{
	struct cluster *c = served(2);

	asked_to_end(c, A);
	cr_assert(ends(c, A, MS(10)));
	cluster_boot(c, A);
	component_with_lane_up(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, B);
	cr_expect_eq(assignment(c, B)->in_sync, 3);
	cr_expect_eq(brain_fenced_node(c->node[B].brain), NOBODY);
	node_dies(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, NOBODY, "this life has not left");
	cr_expect_eq(c->node[B].notes[NOTE_PEER_SUSPECT], 1);
	cluster_end(c);
}

Test(brain_leave, two_that_end_together_take_nothing_from_each_other)
{
	struct cluster *c = served(2);

	asked_to_end(c, A);
	asked_to_end(c, B);
	cluster_run(c, MS(450));
	cr_expect(brain_left(c->node[A].brain) && brain_left(c->node[B].brain));
	cr_expect_eq(c->actor, NOBODY);
	cr_expect_eq(brain_fenced_node(c->node[A].brain), NOBODY);
	cr_expect_eq(brain_fenced_node(c->node[B].brain), NOBODY);
	cluster_end(c);
}

Test(brain_leave, nobody_is_told_before_the_gate_is_shut)
{
	struct cluster *c = served(3);

	c->node[A].gate_stuck = true;
	asked_to_end(c, A);
	cluster_run(c, MS(30));
	cr_expect_not(brain_left(c->node[A].brain));
	cr_expect_eq(c->node[B].notes[NOTE_LEFT], 0);
	cr_expect_eq(c->actor, NOBODY, "nobody may act while it may emit");
	cluster_event(c, A,
		      (struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = c->node[A].closing});
	cr_expect(cluster_run_until_acts(c, B, MS(2)));
	cr_expect(ends(c, A, MS(10)));
	cluster_end(c);
}

Test(brain_leave, the_last_one_leaves_too)
{
	struct cluster *c = served(3);

	node_dies(c, B);
	node_dies(c, C);
	cluster_run(c, MS(50));
	asked_to_end(c, A);
	cr_expect(ends(c, A, MS(450)));
	cluster_end(c);
}
