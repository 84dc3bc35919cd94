/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scenarios of whole brains. They read as transcripts: what happens to the cluster, and what it is
 * expected to look like then. That never two nodes act at once is checked after every instant
 * (brain_cluster.h) and not said again here.
 */
#include <criterion/criterion.h>

#include "brain_cluster.h"

#define A 0u
#define B 1u
#define W 2u

/* Stretched lease and guard: how long a voter without memory is silent. */
#define SILENCE_NS (MS(10) + 2000 + 500000)

/* Two nodes and a witness, formed, without components. */
static struct cluster *formed(void)
{
	struct cluster *c = cluster_start(3);

	cluster_run(c, MS(20));
	return c;
}

/* a serves, b follows in sync. */
static struct cluster *serving(void)
{
	struct cluster *c = formed();

	component_up(c, A);
	component_up(c, B);
	cluster_run(c, MS(10));
	cr_assert_eq(c->actor, A);
	cr_assert_eq(assignment(c, W)->in_sync, 3);
	return c;
}

/* The same with a checkpoint of 50 records that b has. */
static struct cluster *serving_with_lane(void)
{
	struct cluster *c = formed();

	component_with_lane_up(c, A);
	cluster_run(c, MS(5));
	cr_assert_eq(c->actor, A);
	commits(c, A, 50);
	component_with_lane_up(c, B);
	cluster_run(c, MS(20));
	cr_assert_eq(assignment(c, W)->in_sync, 3);
	cr_assert_eq(c->node[B].position, 50);
	return c;
}

static void expect_roles(const struct cluster *c, enum haven_role of_a, enum haven_role of_b)
{
	cr_expect_eq(c->node[A].role, of_a, "a is %d", c->node[A].role);
	cr_expect_eq(c->node[B].role, of_b, "b is %d", c->node[B].role);
}

static void expect_one_view(const struct cluster *c)
{
	for (unsigned k = 1; k < c->n; k++)
		cr_expect_eq(view_digest(brain_view(c->node[k].brain)),
			     view_digest(brain_view(c->node[A].brain)));
}

/* ---- beginning ----------------------------------------------------------------------------------
 */

Test(brain, three_nodes_form_after_the_silence)
{
	struct cluster *c = cluster_start(3);
	uint64_t floor = c->now / 1000, born = c->now;

	component_up(c, A);
	while (c->now + TICK_NS < born + SILENCE_NS) {
		cluster_tick(c);
		for (unsigned k = 0; k < 3; k++)
			cr_assert_eq(brain_view(c->node[k].brain)->epoch, 0, "silence is not over");
	}
	cluster_run(c, MS(5));
	expect_one_view(c);
	for (unsigned k = 0; k < 3; k++) {
		cr_expect(brain_admitted(c->node[k].brain));
		cr_expect_gt(brain_view(c->node[k].brain)->epoch, floor);
		cr_expect_eq(brain_view(c->node[k].brain)->members, 7);
	}
	cr_expect_eq(c->actor, A);
	cluster_end(c);
}

Test(brain, two_of_three_without_memory_do_not_form)
{
	struct cluster *c = cluster_start(3);

	node_dies(c, W);
	component_up(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(brain_view(c->node[A].brain)->epoch, 0);
	cr_expect_eq(c->actor, NOBODY);
	cluster_end(c);
}

Test(brain, the_first_component_serves_and_the_second_follows_in_sync)
{
	struct cluster *c = formed();

	cr_expect_eq(c->actor, NOBODY);
	component_up(c, B);
	cluster_run(c, MS(5));
	cr_expect_eq(c->actor, B);
	component_up(c, A);
	cluster_run(c, MS(10));
	cr_expect_eq(c->actor, B, "a is preferred, but b was first");
	expect_roles(c, HAVEN_SECONDARY, HAVEN_PRIMARY);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	expect_one_view(c);
	cluster_end(c);
}

Test(brain, a_quiet_cluster_stays_as_it_is)
{
	struct cluster *c = serving();
	uint64_t epoch = brain_view(c->node[W].brain)->epoch;

	for (unsigned k = 0; k < 2000; k++) {
		cluster_tick(c);
		cr_assert_eq(c->actor, A);
	}
	cr_expect_eq(brain_view(c->node[W].brain)->epoch, epoch);
	cluster_end(c);
}

Test(brain, silences_are_told_as_the_judge_counts_them)
{
	struct cluster *c = serving();

	for (unsigned k = 0; k < 3; k++)
		c->node[k].silence_ns = 0;
	cluster_run(c, MS(5));
	for (unsigned k = 0; k < 3; k++) {
		cr_expect_gt(c->node[k].silence_ns, 0);
		cr_expect_leq(c->node[k].silence_ns, INTERVAL_NS + TICK_NS);
	}
	c->cut[W][A] = true;
	cluster_run(c, INTERVAL_NS * 3);
	c->cut[W][A] = false;
	cluster_run(c, INTERVAL_NS * 2);
	cr_expect_geq(c->node[A].silence_ns, INTERVAL_NS * 3);
	cr_expect_leq(c->node[B].silence_ns, INTERVAL_NS + TICK_NS);
	cluster_end(c);
}

Test(brain, a_single_node_serves_alone)
{
	struct cluster *c = cluster_start(1);

	component_up(c, A);
	cluster_run(c, SILENCE_NS + MS(2));
	cr_assert_eq(c->actor, A);
	for (unsigned k = 0; k < 1000; k++) {
		cluster_tick(c);
		cr_assert_eq(c->actor, A);
	}
	component_dies(c, A);
	cr_expect_eq(c->actor, NOBODY);
	cluster_run(c, MS(5));
	component_up(c, A);
	cluster_run(c, MS(5));
	cr_expect_eq(c->actor, A, "its state is gone, it begins afresh");
	cr_expect_eq(assignment(c, A)->lineage, 1);
	cluster_end(c);
}

/* ---- the holder's node dies
 * ---------------------------------------------------------------------- */

static void expect_takeover_after_lease(struct cluster *c)
{
	uint64_t lease_end = brain_lease_until(c->node[A].brain);

	node_dies(c, A);
	while (c->now < lease_end + MS(3) && c->actor != B) {
		cluster_tick(c);
		cr_assert(c->now >= lease_end || c->actor == NOBODY, "a may be acting yet");
	}
	cr_expect_eq(c->actor, B);
	cr_expect_eq(assignment(c, B)->holder, B);
	cr_expect_eq(assignment(c, B)->in_sync, 2);
}

Test(brain, the_holder_s_node_dies_and_its_lease_is_waited_for)
{
	struct cluster *c = serving();

	expect_takeover_after_lease(c);
	cluster_end(c);
}

Test(brain, the_view_is_decided_while_the_lease_still_runs)
{
	struct cluster *c = serving();
	uint64_t lease_end = brain_lease_until(c->node[A].brain);

	node_dies(c, A);
	cluster_run(c, MS(7));
	cr_expect_lt(c->now, lease_end);
	cr_expect_eq(assignment(c, W)->holder, B);
	cr_expect_eq(c->actor, NOBODY);
	cr_expect_eq(c->node[B].role, HAVEN_SECONDARY);
	cluster_end(c);
}

Test(brain, the_successor_has_every_acknowledged_record)
{
	struct cluster *c = serving_with_lane();

	commits(c, A, 7);
	cluster_run(c, MS(2));
	cr_assert_eq(c->node[A].acked, 57);
	expect_takeover_after_lease(c);
	cr_expect_geq(c->node[B].position, 57);
	commits(c, B, 3);
	cluster_run(c, MS(2));
	cr_expect_eq(c->node[B].acked, 60, "nobody else is in sync");
	cluster_end(c);
}

Test(brain, a_secondary_that_is_not_in_sync_does_not_take_over)
{
	struct cluster *c = formed();

	component_with_lane_up(c, A);
	cluster_run(c, MS(5));
	component_up(c, B); /* its checkpoint does not exist: nothing can be mirrored */
	cluster_run(c, MS(10));
	cr_assert_eq(assignment(c, W)->in_sync, 1);
	node_dies(c, A);
	cluster_run(c, MS(100));
	cr_expect_eq(c->actor, NOBODY);
	cr_expect_eq(assignment(c, W)->holder, NOBODY);
	cr_expect_eq(assignment(c, W)->in_sync, 1, "only a may be named");
	cr_expect_gt(c->node[B].notes[NOTE_NO_SUCCESSOR] + c->node[W].notes[NOTE_NO_SUCCESSOR], 0);
	cluster_end(c);
}

/* ---- the holder gives up
 * ------------------------------------------------------------------------- */

Test(brain, a_dead_component_hands_over_in_the_same_instant)
{
	struct cluster *c = serving();
	uint64_t then = c->now;

	component_dies(c, A);
	cr_expect_eq(c->actor, B);
	cr_expect_eq(c->now, then, "no lease is waited for");
	expect_roles(c, HAVEN_OFFLINE, HAVEN_PRIMARY);
	cluster_run(c, MS(5));
	expect_one_view(c);
	cluster_end(c);
}

Test(brain, a_dead_component_with_a_checkpoint_hands_over_too)
{
	struct cluster *c = serving_with_lane();

	component_dies(c, A);
	cr_expect_eq(c->actor, B);
	cr_expect_eq(c->node[B].position, 50);
	component_with_lane_up(c, A);
	cluster_run(c, MS(20));
	cr_expect_eq(c->actor, B, "no failback");
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	cr_expect_eq(c->node[A].position, 50);
	cluster_end(c);
}

/* The wait for a dead holder's lease is over, and the first thing its successor hears after it is
 * that its own component has died. */
Test(brain, a_component_that_dies_as_its_turn_comes_is_never_primary)
{
	unsigned ticks = 0;
	struct cluster *c = serving();

	node_dies(c, A);
	while (c->actor != B && ticks++ < 1000)
		cluster_tick(c);
	cr_assert_eq(c->actor, B);
	cluster_end(c);
	c = serving();
	node_dies(c, A);
	cluster_run(c, (ticks - 1) * TICK_NS);
	c->now += TICK_NS;
	component_dies(c, B);
	cr_expect_eq(c->node[B].primaries, 0);
	cr_expect_eq(c->node[B].role, HAVEN_OFFLINE);
	cluster_end(c);
}

Test(brain, nothing_is_handed_over_before_the_gate_is_surely_shut)
{
	struct cluster *c = serving();

	c->node[A].gate_stuck = true;
	cluster_event(c, A, (struct brain_event){.kind = BRAIN_COMPONENT, .up = false});
	cluster_run(c, MS(3));
	cr_expect_eq(c->actor, NOBODY);
	cr_expect_eq(assignment(c, W)->holder, A);
	cluster_event(c, A,
		      (struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = c->node[A].closing});
	cr_expect_eq(c->actor, B);
	cluster_end(c);
}

/* The gate was shut, opened again and is being shut once more when its worker's word for the first
 * time arrives. */
Test(brain, a_gate_shut_again_is_not_shut_by_an_earlier_confirmation)
{
	struct cluster *c = serving();

	c->node[A].gate_stuck = true;
	cluster_event(c, A, (struct brain_event){.kind = BRAIN_COMPONENT, .up = false});
	cluster_event(
		c, A,
		(struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = c->node[A].closing - 1});
	cr_expect_eq(c->node[A].notes[NOTE_ROLE_RELEASED], 0);
	cluster_event(c, A,
		      (struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = c->node[A].closing});
	cr_expect_eq(c->node[A].notes[NOTE_ROLE_RELEASED], 1);
	cluster_end(c);
}

Test(brain, switchover_moves_the_role_in_the_same_instant_and_back)
{
	struct cluster *c = serving_with_lane();
	uint64_t then;

	commits(c, A, 5);
	cluster_run(c, MS(2));
	then = c->now;
	cr_expect_eq(switchover(c, A, B), 0);
	cr_expect_eq(c->actor, B);
	cr_expect_eq(c->now, then);
	cr_expect_eq(c->node[B].position, 55);
	cluster_run(c, MS(20));
	expect_roles(c, HAVEN_SECONDARY, HAVEN_PRIMARY);
	cr_assert_eq(assignment(c, W)->in_sync, 3, "the old primary follows");
	cr_expect_eq(switchover(c, B, NOBODY), 0, "to whoever is in sync");
	cr_expect_eq(c->actor, A);
	cluster_end(c);
}

Test(brain, switchover_waits_until_the_successor_has_everything)
{
	struct cluster *c = serving_with_lane();

	c->cut[A][B] = true;
	commits(c, A, 5);
	cr_expect_eq(switchover(c, A, B), 0);
	cluster_run(c, MS(1));
	cr_expect_eq(assignment(c, W)->holder, A);
	c->cut[A][B] = false;
	cluster_run(c, MS(3));
	cr_expect_eq(c->actor, B);
	cr_expect_eq(c->node[B].position, 55);
	cluster_end(c);
}

Test(brain, a_switchover_that_cannot_be_is_refused)
{
	struct cluster *c = serving();

	cr_expect_eq(switchover(c, B, A), -HAVEN_EREFUSED, "b does not hold it");
	cr_expect_eq(switchover(c, A, A), -HAVEN_EREFUSED, "a serves already");
	cr_expect_eq(switchover(c, A, W), -HAVEN_EREFUSED, "w may not serve");
	cr_expect_eq(switchover(c, A, 9), -HAVEN_EREFUSED, "no such node");
	component_dies(c, B);
	cr_expect_eq(switchover(c, A, B), -HAVEN_EREFUSED);
	cluster_run(c, MS(5));
	cr_expect_eq(switchover(c, A, NOBODY), -HAVEN_EREFUSED, "nobody is in sync");
	cr_expect_eq(c->actor, A);
	cluster_end(c);
}

/* ---- the others die
 * ------------------------------------------------------------------------------ */

Test(brain, the_witness_dies_and_nothing_happens)
{
	struct cluster *c = serving();

	node_dies(c, W);
	for (unsigned k = 0; k < 1000; k++) {
		cluster_tick(c);
		cr_assert_eq(c->actor, A);
	}
	expect_roles(c, HAVEN_PRIMARY, HAVEN_SECONDARY);
	cr_expect_eq(assignment(c, A)->in_sync, 3);
	cluster_end(c);
}

Test(brain, the_secondary_s_node_dies_and_records_are_acknowledged_without_it)
{
	struct cluster *c = serving_with_lane();

	node_dies(c, B);
	commits(c, A, 5);
	cluster_run(c, MS(2));
	cr_expect_eq(c->node[A].acked, 50, "b is still needed");
	for (unsigned k = 0; k < 200; k++) {
		cluster_tick(c);
		cr_assert_eq(c->actor, A);
	}
	cr_expect_eq(assignment(c, W)->in_sync, 1);
	cr_expect_eq(c->node[A].acked, 55);
	cluster_end(c);
}

Test(brain, a_restarted_node_is_silent_and_then_admitted_again)
{
	struct cluster *c = serving_with_lane();
	uint64_t born;

	node_dies(c, B);
	cluster_run(c, MS(20));
	cluster_boot(c, B);
	component_with_lane_up(c, B);
	born = c->now;
	while (c->now + TICK_NS < born + SILENCE_NS) {
		cluster_tick(c);
		cr_assert_not(brain_admitted(c->node[B].brain));
		cr_assert_eq(c->actor, A);
	}
	commits(c, A, 9);
	cluster_run(c, MS(20));
	cr_expect(brain_admitted(c->node[B].brain));
	cr_expect_eq(c->actor, A);
	expect_roles(c, HAVEN_PRIMARY, HAVEN_SECONDARY);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	cr_expect_eq(c->node[B].position, 59);
	cluster_end(c);
}

Test(brain, a_holder_that_restarts_before_anybody_noticed_has_lost_its_role)
{
	struct cluster *c = serving_with_lane();

	cluster_boot(c, A);
	component_with_lane_up(c, A);
	cr_expect_eq(c->actor, NOBODY);
	cr_expect(cluster_run_until_acts(c, B, MS(30)));
	cluster_run(c, MS(40));
	cr_expect_eq(c->actor, B);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	cr_expect_eq(c->node[A].position, 50);
	cluster_end(c);
}

/* ---- no majority
 * ---------------------------------------------------------------------------------- */

Test(brain, a_cut_off_holder_steps_down_before_its_promise_ends)
{
	struct cluster *c = serving();
	uint64_t lease_end;

	isolate(c, A, true);
	lease_end = brain_lease_until(c->node[A].brain);
	while (c->actor != B && c->now < lease_end + MS(5)) {
		cluster_tick(c);
		if (c->now >= lease_end)
			cr_assert_neq(c->node[A].role, HAVEN_PRIMARY, "it has told so");
	}
	cr_expect_eq(brain_lease_until(c->node[A].brain), lease_end);
	cr_expect_eq(c->node[A].notes[NOTE_LEASE_LOST], 1);
	cr_expect_eq(c->actor, B);
	isolate(c, A, false);
	cluster_run(c, MS(20));
	cr_expect_eq(c->actor, B);
	expect_roles(c, HAVEN_SECONDARY, HAVEN_PRIMARY);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	cluster_end(c);
}

Test(brain, everybody_is_cut_off_and_the_holder_comes_back_as_it_was)
{
	struct cluster *c = serving_with_lane();

	isolate(c, A, true);
	isolate(c, B, true);
	cluster_run(c, MS(30));
	cr_expect_eq(c->actor, NOBODY);
	expect_roles(c, HAVEN_SECONDARY, HAVEN_SECONDARY);
	isolate(c, A, false);
	isolate(c, B, false);
	cr_expect(cluster_run_until_acts(c, A, MS(10)), "the incumbent wins");
	cluster_run(c, MS(20));
	cr_expect_eq(c->actor, A);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	commits(c, A, 1);
	cluster_run(c, MS(2));
	cr_expect_eq(c->node[A].acked, 51);
	cluster_end(c);
}

Test(brain, the_whole_cluster_restarts_in_a_later_epoch)
{
	struct cluster *c = serving();
	uint64_t epoch = brain_view(c->node[W].brain)->epoch;

	for (unsigned k = 0; k < 3; k++)
		node_dies(c, k);
	cluster_run(c, MS(5));
	for (unsigned k = 0; k < 3; k++)
		cluster_boot(c, k);
	component_up(c, B);
	cluster_run(c, MS(30));
	cr_expect_eq(c->actor, B);
	cr_expect_gt(brain_view(c->node[W].brain)->epoch, epoch);
	cluster_end(c);
}

/* ---- stalls
 * ---------------------------------------------------------------------------------------- */

Test(brain, a_holder_that_slept_wakes_without_its_role)
{
	struct cluster *c = serving();

	c->node[A].paused = true;
	cr_expect(cluster_run_until_acts(c, B, MS(20)));
	cluster_run(c, MS(30));
	c->node[A].paused = false;
	cluster_tick(c);
	cr_expect_neq(c->node[A].role, HAVEN_PRIMARY);
	cr_expect_eq(c->actor, B);
	cluster_run(c, MS(20));
	expect_roles(c, HAVEN_SECONDARY, HAVEN_PRIMARY);
	cr_expect_eq(assignment(c, W)->in_sync, 3);
	cluster_end(c);
}

/* Its own sleep is no silence of the others. */
Test(brain, a_node_that_slept_suspects_nobody_for_it)
{
	struct cluster *c = serving();

	c->node[B].paused = true;
	cluster_run(c, MS(8));
	c->mail_count = 0; /* and what came meanwhile is lost */
	c->node[B].paused = false;
	cluster_run(c, MS(20));
	cr_expect_eq(c->node[B].notes[NOTE_STALL], 1);
	cr_expect_eq(c->node[B].notes[NOTE_PEER_SUSPECT], 0);
	cr_expect_eq(c->actor, A);
	cluster_end(c);
}
