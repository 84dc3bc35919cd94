/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two voters and no third: one of them dies, or seems to, and somebody outside says that it is
 * dead. That there is one primary at most at every instant is judged by the cluster itself.
 */
#include <criterion/criterion.h>

#include "brain_cluster.h"

#define A 0u
#define B 1u

/* a serves, b follows in sync. */
static struct cluster *pair(void)
{
	struct cluster *c = cluster_start(2);

	component_with_lane_up(c, A);
	component_with_lane_up(c, B);
	cluster_run(c, MS(60));
	cr_assert_eq(c->actor, A);
	cr_assert_eq(assignment(c, A)->in_sync, 3);
	return c;
}

static uint64_t life_of(const struct cluster *c, unsigned asked, unsigned node)
{
	return brain_view(c->node[asked].brain)->incarnation[node];
}

/* The word that `life` of `node` has ended, given to `k`; how it was answered. */
static int word(struct cluster *c, unsigned k, unsigned node, uint64_t life, uint64_t epoch)
{
	c->node[k].code = 1;
	cluster_event(
		c, k,
		(struct brain_event){
			.kind = BRAIN_FENCED, .node = (uint8_t)node, .seq = life, .epoch = epoch});
	return c->node[k].code;
}

static int word_now(struct cluster *c, unsigned k, unsigned node)
{
	return word(c, k, node, life_of(c, k, node), brain_view(c->node[k].brain)->epoch);
}

Test(brain_fence, silence_alone_promotes_nobody)
{
	struct cluster *c = pair();

	node_dies(c, A);
	cluster_run(c, MS(500));
	cr_expect_eq(c->actor, NOBODY);
	cluster_end(c);
}

Test(brain_fence, the_survivor_takes_over_when_the_other_is_proven_dead)
{
	struct cluster *c = pair();

	commits(c, A, 5);
	cluster_run(c, MS(5));
	node_dies(c, A);
	cluster_run(c, MS(50));
	cr_assert_eq(word_now(c, B, A), 0);
	cr_expect(cluster_run_until_acts(c, B, MS(20)));
	cr_expect_eq(c->node[B].position, 5);
	cr_expect_eq(c->node[B].notes[NOTE_FENCED], 1);
	cr_expect_eq(c->node[B].notes[NOTE_STATE_LOST], 0);
	cluster_run(c, MS(200));
	cr_expect_eq(c->actor, B, "its lease goes on");
	cluster_end(c);
}

Test(brain_fence, a_primary_whose_secondary_is_proven_dead_serves_on_alone)
{
	struct cluster *c = pair();

	node_dies(c, B);
	cluster_run(c, MS(50));
	cr_assert_eq(c->actor, NOBODY);
	cr_assert_eq(word_now(c, A, B), 0);
	cr_expect(cluster_run_until_acts(c, A, MS(20)));
	cluster_run(c, MS(20));
	commits(c, A, 3);
	cluster_run(c, MS(5));
	cr_expect_eq(c->node[A].acked, c->node[A].position);
	cluster_end(c);
}

Test(brain_fence, who_comes_back_is_admitted_with_its_new_life_and_the_word_is_void)
{
	struct cluster *c = pair();

	node_dies(c, A);
	cluster_run(c, MS(50));
	cr_assert_eq(word_now(c, B, A), 0);
	cr_assert(cluster_run_until_acts(c, B, MS(20)));
	cluster_boot(c, A);
	component_with_lane_up(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, B, "the returning node pulls nothing back");
	cr_expect_eq(life_of(c, B, A), c->node[A].incarnation);
	cr_expect_eq(brain_fenced_node(c->node[B].brain), NOBODY);
	cr_expect_eq(assignment(c, B)->in_sync, 3);
	cr_expect_eq(c->node[B].notes[NOTE_STATE_LOST], 0);
	node_dies(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, NOBODY, "another death needs another word");
	cluster_end(c);
}

Test(brain_fence, a_word_is_taken_only_of_a_silent_other_voter_as_the_view_names_it)
{
	struct cluster *c = pair();
	uint64_t epoch = brain_view(c->node[B].brain)->epoch;

	cr_expect_eq(word_now(c, B, A), -HAVEN_EREFUSED, "it is heard");
	node_dies(c, A);
	cluster_run(c, MS(50));
	cr_expect_eq(word(c, B, B, life_of(c, B, B), epoch), -HAVEN_EREFUSED, "oneself");
	cr_expect_eq(word(c, B, A, life_of(c, B, A) + 1, epoch), -HAVEN_EREFUSED, "another life");
	cr_expect_eq(word(c, B, A, life_of(c, B, A), epoch - 1), -HAVEN_EREFUSED, "another view");
	cr_expect_eq(word_now(c, B, A), 0);
	cr_expect_eq(word_now(c, B, A), -HAVEN_EREFUSED, "twice");
	cluster_end(c);
}

Test(brain_fence, a_node_without_memory_takes_no_word)
{
	struct cluster *c = pair();

	node_dies(c, A);
	node_dies(c, B);
	cluster_boot(c, B);
	component_with_lane_up(c, B);
	cluster_run(c, MS(100));
	cr_expect_eq(word_now(c, B, A), -HAVEN_EREFUSED);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, NOBODY);
	cluster_end(c);
}

Test(brain_fence, three_voters_need_nobody_s_word)
{
	struct cluster *c = cluster_start(3);

	cluster_run(c, MS(60));
	node_dies(c, A);
	cluster_run(c, MS(50));
	cr_expect_eq(word_now(c, B, A), -HAVEN_EREFUSED);
	cluster_end(c);
}

Test(brain_fence, a_wrong_word_makes_no_second_primary_and_is_an_alarm)
{
	struct cluster *c = pair();

	/* a is cut off, lives on, and its clients reach it. */
	isolate(c, A, true);
	cluster_run(c, MS(6));
	cr_assert_eq(c->actor, A, "its lease still runs");
	cr_assert_eq(word_now(c, B, A), 0);
	cr_expect(cluster_run_until_acts(c, B, MS(40)), "after the promise, as always");
	cr_expect_eq(c->node[B].notes[NOTE_FENCE_REVOKED], 0);
	isolate(c, A, false);
	cluster_run(c, MS(60));
	cr_expect_eq(c->node[B].notes[NOTE_FENCE_REVOKED], 1);
	cr_expect_eq(brain_fenced_node(c->node[B].brain), NOBODY);
	cr_expect_eq(c->actor, B);
	cr_expect_eq(view_digest(brain_view(c->node[A].brain)),
		     view_digest(brain_view(c->node[B].brain)));
	cluster_end(c);
}
