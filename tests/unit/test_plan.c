/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "plan.h"
#include "prng.h"

#define A 0u
#define B 1u
#define W 2u
#define NONE HAVEN_NODE_NONE
#define SET1(x) (1u << (x))
#define SET2(x, y) (SET1(x) | SET1(y))
#define ALL (SET2(A, B) | SET1(W))

/* The usual evening: a serves, b follows in sync, w only votes. Seen from a. */
static struct plan_input usual(void)
{
	struct plan_input in;

	memset(&in, 0, sizeof(in));
	in.self = A;
	in.n_nodes = 3;
	in.n_instances = 1;
	in.members = ALL;
	for (unsigned n = 0; n < 3; n++)
		in.node[n] = (struct plan_node){.alive = true,
						.intact = true,
						.majority = true,
						.hears = ALL,
						.ready = n != W};
	in.node[W].lost = 1;
	in.instance[0] = (struct plan_instance){.eligible = SET2(A, B),
						.preferred = A,
						.secondaries = 1,
						.holder = A,
						.assigned = SET1(B),
						.in_sync = SET2(A, B),
						.target = NONE};
	return in;
}

/* Seen from another node. */
static struct plan_input usual_at(uint8_t self)
{
	struct plan_input in = usual();

	in.self = self;
	return in;
}

static struct plan_output plan(const struct plan_input *in)
{
	struct plan_output out;

	plan_make(in, &out);
	return out;
}

static void expect(const struct plan_input *in, enum plan_reason reason, uint8_t holder,
		   uint32_t assigned, uint32_t in_sync)
{
	struct plan_output out = plan(in);

	cr_expect_eq(out.reason, reason, "reason %d", out.reason);
	cr_expect_eq(out.instance[0].holder, holder, "holder %u", out.instance[0].holder);
	cr_expect_eq(out.instance[0].assigned, assigned, "assigned %x", out.instance[0].assigned);
	cr_expect_eq(out.instance[0].in_sync, in_sync, "in sync %x", out.instance[0].in_sync);
	if (in->instance[0].holder != holder)
		cr_expect_eq(out.moved, 1);
}

/* The node is silent for everybody. */
static void silence(struct plan_input *in, unsigned n)
{
	in->node[n].alive = in->node[n].majority = false;
	for (unsigned k = 0; k < in->n_nodes; k++)
		in->node[k].hears &= ~SET1(n);
}

/* The component died; its memory went with it. */
static void component_dies(struct plan_input *in, unsigned n)
{
	in->node[n].ready = 0;
	in->node[n].lost = 1;
	if (in->instance[0].holder == n)
		in->node[n].released = in->node[n].yielded = 1;
}

/* ---- situations ---------------------------------------------------------------------------------
 */

Test(plan, all_is_well)
{
	struct plan_input in = usual();

	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
	in.self = B;
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
	in.self = W;
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
}

static struct plan_input never_served(void)
{
	struct plan_input in = usual();

	in.instance[0].holder = NONE;
	in.instance[0].assigned = in.instance[0].in_sync = 0;
	in.node[A].lost = in.node[B].lost = 1;
	return in;
}

Test(plan, first_assignment_goes_to_the_preferred_node)
{
	struct plan_input in = never_served();

	expect(&in, PLAN_ASSIGN, A, SET1(B), SET1(A));
	in.instance[0].preferred = B;
	expect(&in, PLAN_ASSIGN, B, SET1(A), SET1(B));
	in.instance[0].preferred = NONE;
	expect(&in, PLAN_ASSIGN, A, SET1(B), SET1(A));
}

Test(plan, first_assignment_waits_for_a_healthy_component_that_can_have_a_lease)
{
	struct plan_input in = never_served();

	in.node[A].ready = 0;
	expect(&in, PLAN_ASSIGN, B, 0, SET1(B));
	in.node[B].majority = false;
	expect(&in, PLAN_NONE, NONE, 0, 0);
}

Test(plan, holder_dead_and_its_secondary_takes_over)
{
	struct plan_input in = usual_at(B);

	silence(&in, A);
	expect(&in, PLAN_NODE_DEAD, B, 0, SET1(B));
	cr_expect_eq(plan(&in).members, SET2(B, W));
	cr_expect_eq(plan(&in).about_instance, 0);
}

Test(plan, holder_restarted_counts_as_dead)
{
	struct plan_input in = usual_at(B);

	in.node[A].intact = false;
	in.node[A].lost = 1;
	expect(&in, PLAN_NODE_DEAD, B, SET1(A), SET1(B));
}

Test(plan, holder_dead_without_a_secondary_in_sync)
{
	struct plan_input in = usual_at(B);

	silence(&in, A);
	in.instance[0].in_sync = SET1(A);
	expect(&in, PLAN_NODE_DEAD, NONE, 0, SET1(A));
	cr_expect_eq(plan(&in).no_successor, 1);
	cr_expect_eq(plan(&in).state_lost, 0, "it may come back");
}

Test(plan, holder_dead_and_the_secondary_has_lost_its_copy)
{
	struct plan_input in = usual_at(B);

	silence(&in, A);
	component_dies(&in, B);
	in.node[B].ready = 1; /* started again, empty */
	expect(&in, PLAN_NODE_DEAD, NONE, 0, SET1(A));
}

Test(plan, holder_back_with_its_copy_is_named_again)
{
	struct plan_input in = usual();

	in.instance[0].holder = NONE;
	in.instance[0].assigned = 0;
	in.instance[0].in_sync = SET1(A);
	expect(&in, PLAN_ASSIGN, A, SET1(B), SET1(A));
}

Test(plan, component_dead_and_its_secondary_takes_over)
{
	struct plan_input in = usual();

	component_dies(&in, A);
	expect(&in, PLAN_COMPONENT_DEAD, B, 0, SET1(B));
}

/* A component that came back empty may follow, but not lead. */
Test(plan, component_started_again_becomes_the_secondary)
{
	struct plan_input in = usual();

	component_dies(&in, A);
	in.node[A].ready = 1;
	expect(&in, PLAN_COMPONENT_DEAD, B, SET1(A), SET1(B));
}

Test(plan, switchover_goes_to_the_target)
{
	struct plan_input in = usual();

	in.n_nodes = 3;
	in.instance[0].eligible = ALL;
	in.node[W].ready = 1;
	in.node[W].lost = 0;
	in.instance[0].secondaries = 2;
	in.instance[0].assigned = SET2(B, W);
	in.instance[0].in_sync = ALL;
	in.instance[0].target = W;
	in.node[A].released = in.node[A].yielded = 1;
	expect(&in, PLAN_SWITCHOVER, W, SET2(A, B), SET1(W));
	in.node[W].ready = 0; /* the target failed meanwhile: another one will do */
	expect(&in, PLAN_SWITCHOVER, B, SET1(A), SET1(B));
}

Test(plan, nothing_moves_before_the_holder_has_released)
{
	struct plan_input in = usual();

	in.instance[0].target = B;
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
	in.node[A].ready = 0;
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
}

static void expect_renamed(const struct plan_input *in)
{
	struct plan_output out = plan(in);

	cr_expect_eq(out.reason, PLAN_LEASE_LOST);
	cr_expect_eq(out.instance[0].holder, A);
	cr_expect_eq(out.moved, 1, "named anew: it has to be told");
}

Test(plan, lease_lost_and_back_the_incumbent_wins)
{
	struct plan_input in = usual();

	in.node[A].released = 1; /* but not yielded */
	in.instance[0].preferred = B;
	expect_renamed(&in);
	in.self = B;
	expect_renamed(&in);
}

Test(plan, lease_lost_and_the_holder_still_without_a_majority)
{
	struct plan_input in = usual_at(B);

	in.node[A].released = 1;
	in.node[A].majority = false;
	expect(&in, PLAN_LEASE_LOST, B, SET1(A), SET1(B));
}

Test(plan, a_returning_preferred_node_does_not_pull_work_back)
{
	struct plan_input in = usual_at(B);

	in.members = SET2(B, W);
	in.instance[0].holder = B;
	in.instance[0].assigned = 0;
	in.instance[0].in_sync = SET1(B);
	in.node[A].intact = false;
	in.node[A].lost = 1;
	expect(&in, PLAN_ADMIT, B, SET1(A), SET1(B));
	in.members = ALL;
	in.node[A].intact = true;
	in.instance[0].assigned = SET1(A);
	in.instance[0].in_sync = SET2(A, B);
	in.node[A].lost = 0;
	expect(&in, PLAN_NONE, B, SET1(A), SET2(A, B));
}

Test(plan, a_stuck_secondary_leaves_the_in_sync_set)
{
	struct plan_input in = usual();

	in.instance[0].stuck = SET1(B);
	expect(&in, PLAN_OUT_OF_SYNC, A, SET1(B), SET1(A));
	in.self = B; /* others have nothing to say about that */
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
}

Test(plan, a_silent_secondary_leaves_with_its_node)
{
	struct plan_input in = usual();

	silence(&in, B);
	expect(&in, PLAN_NODE_DEAD, A, 0, SET1(A));
}

Test(plan, a_secondary_out_of_the_holder_s_hearing_is_not_kept)
{
	struct plan_input in = usual();

	in.node[A].hears = SET2(A, W);
	expect(&in, PLAN_OUT_OF_SYNC, A, 0, SET1(A));
}

Test(plan, a_node_that_is_held_down_becomes_no_secondary_and_stays_one)
{
	struct plan_input in = usual();

	in.node[B].held = true;
	expect(&in, PLAN_NONE, A, SET1(B), SET2(A, B));
	in.instance[0].assigned = 0;
	in.instance[0].in_sync = SET1(A);
	expect(&in, PLAN_NONE, A, 0, SET1(A));
	in.node[B].held = false;
	expect(&in, PLAN_ASSIGN, A, SET1(B), SET1(A));
}

Test(plan, a_node_that_is_held_down_takes_over_all_the_same)
{
	struct plan_input in = usual_at(B);

	in.node[B].held = true;
	in.node[A].alive = false;
	expect(&in, PLAN_NODE_DEAD, B, 0, SET1(B));
}

Test(plan, a_secondary_whose_component_died_leaves)
{
	struct plan_input in = usual();

	component_dies(&in, B);
	expect(&in, PLAN_OUT_OF_SYNC, A, 0, SET1(A));
}

Test(plan, who_caught_up_joins_when_the_holder_says_so)
{
	struct plan_input in = usual();

	in.instance[0].in_sync = SET1(A);
	expect(&in, PLAN_NONE, A, SET1(B), SET1(A));
	in.instance[0].caught_up = SET1(B);
	expect(&in, PLAN_IN_SYNC, A, SET1(B), SET2(A, B));
	in.self = W;
	expect(&in, PLAN_NONE, A, SET1(B), SET1(A));
}

/* Between catching up and the view that says so the component died, or the whole node. */
Test(plan, who_caught_up_and_lost_its_copy_does_not_join)
{
	struct plan_input in = usual();

	in.instance[0].in_sync = SET1(A);
	in.instance[0].caught_up = SET1(B);
	in.node[B].lost = 1;
	expect(&in, PLAN_NONE, A, SET1(B), SET1(A));
	in.node[B].lost = 0;
	in.node[B].intact = false;
	expect(&in, PLAN_ADMIT, A, SET1(B), SET1(A));
}

Test(plan, a_healthy_node_becomes_the_secondary)
{
	struct plan_input in = usual();

	in.instance[0].assigned = 0;
	in.instance[0].in_sync = SET1(A);
	expect(&in, PLAN_ASSIGN, A, SET1(B), SET1(A));
	in.instance[0].secondaries = 0;
	expect(&in, PLAN_NONE, A, 0, SET1(A));
}

Test(plan, present_secondaries_come_before_newcomers)
{
	struct plan_input in = usual();

	in.instance[0].eligible = ALL;
	in.instance[0].holder = A;
	in.instance[0].assigned = SET1(W);
	in.instance[0].in_sync = SET2(A, W);
	in.node[W].ready = 1;
	in.node[W].lost = 0;
	expect(&in, PLAN_NONE, A, SET1(W), SET2(A, W));
}

Test(plan, every_copy_provably_gone_and_work_starts_afresh)
{
	struct plan_input in = usual_at(B);

	in.node[A].intact = in.node[B].intact = false;
	in.node[A].lost = in.node[B].lost = 1;
	expect(&in, PLAN_NODE_DEAD, A, SET1(B), SET1(A));
	cr_expect_neq(plan(&in).state_lost, 0);
}

Test(plan, a_whole_copy_is_preferred_to_none)
{
	struct plan_input in = usual_at(B);

	/* The set in sync is gone; B was being given a replica, and has it. */
	in.instance[0].in_sync = SET1(A);
	in.node[A].intact = false;
	in.node[A].lost = 1;
	in.instance[0].preferred = A;
	expect(&in, PLAN_NODE_DEAD, B, SET1(A), SET1(B));
	cr_expect_eq(plan(&in).state_lost, 1);
	/* Whoever cannot serve does not keep the work from beginning. */
	in.node[B].ready = 0;
	expect(&in, PLAN_NODE_DEAD, A, 0, SET1(A));
}

Test(plan, a_formation_keeps_one_copy_and_says_that_something_may_be_lost)
{
	struct plan_input in = usual_at(B);

	in.formation = true;
	expect(&in, PLAN_NONE, A, SET1(B), SET1(A));
	cr_expect_eq(plan(&in).state_lost, 1);
	in.node[A].intact = false;
	in.node[A].lost = 1;
	expect(&in, PLAN_NODE_DEAD, B, SET1(A), SET1(B));
	cr_expect_eq(plan(&in).state_lost, 1);
}

Test(plan, a_formation_that_remembers_nothing_of_an_instance_says_so_too)
{
	struct plan_input in = usual_at(B);

	in.instance[0].holder = NONE;
	in.instance[0].assigned = in.instance[0].in_sync = 0;
	cr_expect_eq(plan(&in).state_lost, 0);
	in.formation = true;
	cr_expect_eq(plan(&in).state_lost, 1, "others may have begun after that view");
	in.members = 0;
	cr_expect_eq(plan(&in).state_lost, 0, "the very first one");
}

Test(plan, both_components_died_and_nobody_can_serve_yet)
{
	struct plan_input in = usual_at(B);
	struct plan_output out;

	component_dies(&in, A);
	component_dies(&in, B);
	expect(&in, PLAN_COMPONENT_DEAD, NONE, 0, 0);
	out = plan(&in);
	cr_expect_eq(out.state_lost, 1);
	cr_expect_eq(out.no_successor, 1);
}

Test(plan, a_silent_copy_is_not_a_lost_one)
{
	struct plan_input in = usual_at(B);

	silence(&in, A);
	in.node[A].intact = false; /* an old word: whoever is silent proves nothing */
	in.node[B].intact = false;
	in.node[B].lost = 1;
	expect(&in, PLAN_NODE_DEAD, NONE, 0, SET1(A));
	cr_expect_eq(plan(&in).state_lost, 0);
}

Test(plan, only_eligible_nodes_serve_or_follow)
{
	struct plan_input in = never_served();

	in.node[W].ready = 1;
	in.instance[0].eligible = SET1(W);
	expect(&in, PLAN_ASSIGN, W, 0, SET1(W));
	in = usual_at(B);
	in.instance[0].eligible = SET1(A);
	silence(&in, A);
	expect(&in, PLAN_NODE_DEAD, NONE, 0, SET2(A, B));
}

Test(plan, the_witness_dies_and_no_role_changes)
{
	struct plan_input in = usual();
	struct plan_output out;

	silence(&in, W);
	out = plan(&in);
	cr_expect_eq(out.reason, PLAN_NODE_DEAD);
	cr_expect_eq(out.about_instance, 0xff);
	cr_expect_eq(out.members, SET2(A, B));
	cr_expect_eq(out.instance[0].holder, A);
	cr_expect_eq(out.instance[0].in_sync, SET2(A, B));
	cr_expect_eq(out.moved, 0);
}

Test(plan, instances_do_not_disturb_each_other)
{
	struct plan_input in = usual();
	struct plan_output out;

	in.n_instances = 2;
	in.instance[1] = in.instance[0];
	in.instance[1].holder = B;
	in.instance[1].assigned = SET1(A);
	for (unsigned n = 0; n < 2; n++)
		in.node[n].ready = 3;
	in.node[A].released = in.node[A].yielded = 1;
	out = plan(&in);
	cr_expect_eq(out.moved, 1);
	cr_expect_eq(out.instance[0].holder, B);
	cr_expect_eq(out.instance[1].holder, B);
	cr_expect_eq(out.instance[1].in_sync, SET2(A, B));
}
