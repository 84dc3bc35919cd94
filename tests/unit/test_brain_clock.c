/* SPDX-License-Identifier: BSD-3-Clause */
/* A node finds that its clock cannot be trusted: it steps down, whatever its lease says. */
#include <criterion/criterion.h>

#include "brain_cluster.h"
#include "watch_clock.h"

#define A 0u
#define B 1u

static struct cluster *served(void)
{
	struct cluster *c = cluster_start(3);

	component_with_lane_up(c, A);
	component_with_lane_up(c, B);
	cluster_run(c, MS(60));
	cr_assert_eq(c->actor, A);
	cr_assert_eq(assignment(c, A)->in_sync, 3);
	return c;
}

static void finds(struct cluster *c, unsigned k, enum clock_finding finding)
{
	cluster_event(c, k,
		      (struct brain_event){.kind = BRAIN_CLOCK, .count = finding, .seq = MS(900)});
}

Test(brain_clock, a_clock_that_stood_still_ends_the_lease_at_once)
{
	struct cluster *c = served();

	isolate(c, A, true);
	finds(c, A, CLOCK_SUSPENDED);
	cr_expect_eq(c->actor, NOBODY, "by its clock the lease would run on");
	cr_expect_leq(brain_lease_until(c->node[A].brain), c->now);
	cr_expect_eq(c->node[A].notes[NOTE_CLOCK_STOOD], 1);
	cluster_end(c);
}

Test(brain_clock, echoes_of_beats_from_before_the_standstill_grant_nothing)
{
	struct cluster *c = served();

	/* Beats that a has sent are answered while it is suspended; the answers reach it after. */
	c->node[A].paused = true;
	cluster_run(c, MS(2));
	c->node[A].paused = false;
	finds(c, A, CLOCK_SUSPENDED);
	cr_expect_leq(brain_lease_until(c->node[A].brain), c->now);
	cluster_run(c, MS(20));
	cr_expect_gt(brain_lease_until(c->node[A].brain), c->now, "new beats bring a new lease");
	cluster_end(c);
}

Test(brain_clock, the_role_is_released_only_when_the_gate_is_shut)
{
	struct cluster *c = served();

	c->node[A].gate_stuck = true;
	finds(c, A, CLOCK_SUSPENDED);
	cluster_run(c, MS(5));
	cr_expect_eq(c->node[A].notes[NOTE_ROLE_RELEASED], 0, "the worker may still emit");
	cluster_event(c, A,
		      (struct brain_event){.kind = BRAIN_GATE_CLOSED, .seq = c->node[A].closing});
	cr_expect_eq(c->node[A].notes[NOTE_ROLE_RELEASED], 1);
	cr_expect(cluster_run_until_acts(c, B, MS(2)));
	cluster_end(c);
}

Test(brain_clock, a_rate_out_of_bounds_keeps_roles_away_until_it_is_right_again)
{
	struct cluster *c = served();

	finds(c, A, CLOCK_DISAGREES);
	cr_expect(cluster_run_until_acts(c, B, MS(20)));
	cluster_run(c, MS(100));
	node_dies(c, B);
	cluster_run(c, MS(200));
	cr_expect_eq(c->actor, NOBODY, "a takes nothing over");
	cr_expect_eq(c->node[A].notes[NOTE_CLOCK_BAD], 1);
	cluster_boot(c, B);
	component_with_lane_up(c, B);
	finds(c, A, CLOCK_AGREES);
	cluster_run(c, MS(200));
	cr_expect_neq(c->actor, NOBODY);
	cr_expect_eq(c->node[A].notes[NOTE_CLOCK_GOOD], 1);
	cr_expect_eq(brain_ready_of(c->node[B].brain, A), 1);
	cluster_end(c);
}
