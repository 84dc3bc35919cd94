/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_fault.h"

#include "watch_clock.h"
#include "sim_world.h"

static unsigned fault_node(struct sim_world *w)
{
	return (unsigned)prng_below(&w->prng, w->options.nodes);
}

/* Half of the time the node that acts now: the one that matters most. */
static unsigned fault_target(struct sim_world *w, unsigned instance)
{
	if (prng_below(&w->prng, 2))
		for (unsigned n = 0; n < w->options.nodes; n++)
			if (sim_app_may_act(w, &w->node[n], instance))
				return n;
	return fault_node(w);
}

static void fault_schedule(struct sim_world *w, enum sim_fault fault)
{
	uint64_t mean = w->options.lease_ns * w->options.rate[fault];

	if (w->options.rate[fault])
		sim_schedule(w, w->now + sim_between(w, mean / 10, mean * 2), SIM_EV_FAULT,
			     SIM_NONE, SIM_NONE, fault);
}

void sim_fault_begin(struct sim_world *w)
{
	for (unsigned f = SIM_FAULT_CUT; f < SIM_FAULT_COUNT; f++)
		fault_schedule(w, (enum sim_fault)f);
}

static void fault_cut(struct sim_world *w, unsigned from, uint64_t span)
{
	unsigned to = fault_node(w);
	unsigned link = (unsigned)prng_below(&w->prng, w->options.links + 1u);

	if (to == from)
		to = (to + 1) % w->options.nodes;
	sim_trace_add(&w->trace, w->now, SIM_TR_CUT, from, SIM_NONE, to, link, span);
	for (unsigned l = 0; l < w->options.links; l++)
		if (l == link || link == w->options.links)
			sim_net_cut(w, from, to, l, w->now + span);
}

static void fault_partition(struct sim_world *w, unsigned node, uint64_t span)
{
	uint32_t side = prng_below(&w->prng, 2)
				? 1u << node
				: (uint32_t)prng_below(&w->prng, (uint64_t)1 << w->options.nodes);
	uint64_t ways = prng_below(&w->prng, 4); /* 0: out of the side only, 1: into it only */

	sim_trace_add(&w->trace, w->now, SIM_TR_PARTITION, SIM_NONE, SIM_NONE, side, ways < 2,
		      span);
	for (unsigned s = 0; s < w->options.nodes; s++) {
		for (unsigned d = 0; d < w->options.nodes; d++) {
			bool out = (side >> s & 1) && !(side >> d & 1);
			bool in = !(side >> s & 1) && (side >> d & 1);

			for (unsigned l = 0; l < w->options.links; l++)
				if ((out && ways != 1) || (in && ways != 0))
					sim_net_cut(w, s, d, l, w->now + span);
		}
	}
}

static void fault_clog(struct sim_world *w, unsigned from, uint64_t span)
{
	unsigned to = fault_node(w);

	sim_trace_add(&w->trace, w->now, SIM_TR_CLOG, from, SIM_NONE, to, 0, span);
	for (unsigned l = 0; l < w->options.links; l++)
		w->net.path[from][to][l].clog_until = w->now + span;
}

static void fault_pause(struct sim_world *w, unsigned node, uint64_t span, bool machine)
{
	struct sim_node *n = &w->node[node];

	if (!n->up)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_NODE_PAUSE, node, SIM_NONE, span, machine, 0);
	n->paused_until = w->now + span;
	sim_node_woken(w, n); /* a second signal replaces the first */
	sim_node_sleeps(w, n, n->paused_until);
	for (unsigned i = 0; machine && i < w->options.instances; i++)
		sim_app_stop(w, n, i, n->paused_until);
}

static void fault_unready(struct sim_world *w, unsigned node, unsigned instance, uint64_t span)
{
	struct sim_node *n = &w->node[node];

	if (!n->up || !n->app[instance].alive)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_UNREADY, node, instance, span, 0, 0);
	n->app[instance].ready = false;
	sim_node_wake(w, n, 20000);
	sim_schedule(w, w->now + span, SIM_EV_READY, node, instance, n->app[instance].life);
}

static void fault_kill(struct sim_world *w, unsigned node, unsigned instance, uint64_t span)
{
	if (!w->node[node].app[instance].alive)
		return;
	sim_app_kill(w, &w->node[node], instance, sim_duration(w, 1000, w->options.interval_ns));
	sim_schedule(w, w->now + span, SIM_EV_APP_UP, node, instance, 0);
}

static void fault_switchover(struct sim_world *w, unsigned node, unsigned instance)
{
	struct sim_node *n = &w->node[node];

	if (!n->up)
		return;
	n->switchover[instance] = true;
	n->switchover_to = prng_below(&w->prng, 2) ? HAVEN_NODE_NONE : (uint8_t)fault_node(w);
	sim_node_wake(w, n, 20000);
}

void sim_fault_storm(struct sim_world *w, unsigned node, uint32_t again)
{
	uint64_t down = sim_duration(w, 1000, w->options.lease_ns / 2);

	if (!w->faults_on)
		return;
	sim_node_crash(w, &w->node[node], prng_below(&w->prng, 2), down);
	if (again > 1)
		sim_schedule(w, w->now + down + sim_duration(w, 1000, w->options.lease_ns * 2),
			     SIM_EV_STORM, node, SIM_NONE, again - 1);
}

void sim_fault_flap(struct sim_world *w, unsigned from, unsigned to, uint32_t again)
{
	uint64_t period = w->options.flap_ns;
	uint64_t until = w->now + period / 4 + prng_below(&w->prng, period / 2);

	if (!w->faults_on)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_CUT, from, SIM_NONE, to, w->options.links,
		      until - w->now);
	for (unsigned d = 0; d < w->options.nodes; d++)
		for (unsigned l = 0; (d == to || to == SIM_NONE) && l < w->options.links; l++)
			sim_net_cut(w, from, d, l, until);
	if (again > 1)
		sim_schedule(w, w->now + period, SIM_EV_FLAP, from, to, again - 1);
}

static void fault_suspend(struct sim_world *w, unsigned node, uint64_t span)
{
	fault_pause(w, node, span, true);
	if (w->node[node].up) {
		w->node[node].deaf_until = w->now + span;
		sim_net_flush(w, &w->node[node]);
	}
}

static void fault_drift(struct sim_world *w, unsigned node)
{
	int64_t bound = (int64_t)w->options.rate_ppm * 500;
	int64_t rate = (int64_t)sim_between(w, 0, (uint64_t)bound * 2 + 1) - bound;

	if (prng_below(&w->prng, 2))
		rate = w->node[node].clock.rate_ppb < 0 ? bound : -bound;
	sim_trace_add(&w->trace, w->now, SIM_TR_DRIFT, node, SIM_NONE, (uint64_t)(rate + bound),
		      (uint64_t)bound, 0);
	sim_clock_set_rate(&w->node[node].clock, w->now, rate);
	sim_check_clock(w, &w->node[node]);
}

/* One of two asks for the silent other one's death when it would be allowed to make use of it, gets
 * it (the machine's power is cut: nothing there runs on) and is told some time after. */
static void fault_fence(struct sim_world *w, unsigned node, uint64_t down)
{
	struct sim_node *n = &w->node[node], *other = &w->node[!node];

	if (!n->up || n->fence_asked || w->now < n->paused_until ||
	    brain_fence_refusal(n->brain, !node))
		return;
	n->fence_asked = true;
	n->fence_life = brain_view(n->brain)->incarnation[!node];
	n->fence_epoch = brain_view(n->brain)->epoch;
	for (unsigned i = 0; i < w->options.instances; i++)
		sim_app_kill(w, other, i, 0);
	sim_node_crash(w, other, true, down);
	sim_schedule(w, w->now + sim_duration(w, 1000, w->options.lease_ns * 2), SIM_EV_FENCED,
		     node, SIM_NONE, n->life);
}

/* Only the finding is simulated: a clock that really is out of bounds is outside the promise. */
static void fault_clock(struct sim_world *w, unsigned node, uint64_t span)
{
	struct sim_node *n = &w->node[node];

	if (!n->up || n->clock_bad_until)
		return;
	n->clock_finding = prng_below(&w->prng, 2) ? CLOCK_SUSPENDED : CLOCK_DISAGREES;
	if (n->clock_finding == CLOCK_DISAGREES)
		n->clock_bad_until = w->now + span;
	sim_node_wake(w, n, 20000);
}

/* Now and then all of them: somebody ends the whole cluster. */
static void fault_leave(struct sim_world *w, unsigned node, uint64_t down)
{
	bool all = prng_below(&w->prng, 4) == 0;

	for (unsigned n = 0; n < w->options.nodes; n++)
		if (n == node || all)
			sim_node_leave(w, &w->node[n], down);
}

/* As after a cut of the power: nearly everybody forgets. */
static void fault_outage(struct sim_world *w)
{
	uint64_t spared = prng_below(&w->prng, 2) ? fault_node(w) : SIM_NONE;

	for (unsigned n = 0; n < w->options.nodes; n++)
		if (n != spared && prng_below(&w->prng, 8))
			sim_schedule(w, w->now + sim_duration(w, 100, w->options.lease_ns),
				     SIM_EV_STORM, n, SIM_NONE, 1);
}

static void fault_now(struct sim_world *w, enum sim_fault fault, unsigned node, unsigned instance,
		      uint64_t span)
{
	uint64_t lease = w->options.lease_ns;

	switch (fault) {
	case SIM_FAULT_CUT:
		fault_cut(w, node, span);
		break;
	case SIM_FAULT_PARTITION:
		fault_partition(w, node, sim_duration(w, lease / 4, w->options.span_ns));
		break;
	case SIM_FAULT_CLOG:
		fault_clog(w, node, span);
		break;
	case SIM_FAULT_CRASH:
		sim_node_crash(w, &w->node[node], prng_below(&w->prng, 2), span);
		break;
	case SIM_FAULT_PAUSE:
		span = sim_duration(w, 1000, w->options.span_ns * 2);
		fault_pause(w, node, span, prng_below(&w->prng, 2));
		break;
	case SIM_FAULT_KILL:
		fault_kill(w, node, instance, span);
		break;
	case SIM_FAULT_STOP:
		sim_app_stop(w, &w->node[node], instance, w->now + span);
		break;
	case SIM_FAULT_UNREADY:
		fault_unready(w, node, instance, span);
		break;
	case SIM_FAULT_SWITCHOVER:
		fault_switchover(w, node, instance);
		break;
	case SIM_FAULT_STORM:
		sim_fault_storm(w, node, 2 + (uint32_t)prng_below(&w->prng, 6));
		break;
	case SIM_FAULT_FLAP:
		sim_fault_flap(w, node, prng_below(&w->prng, 2) ? SIM_NONE : fault_node(w),
			       2 + (uint32_t)prng_below(&w->prng, 8));
		break;
	case SIM_FAULT_SUSPEND:
		fault_suspend(w, node, sim_duration(w, lease / 8, w->options.span_ns));
		break;
	case SIM_FAULT_DRIFT:
		fault_drift(w, node);
		break;
	case SIM_FAULT_OUTAGE:
		fault_outage(w);
		break;
	case SIM_FAULT_FENCE:
		fault_fence(w, node, span);
		break;
	case SIM_FAULT_FLIP:
		sim_flip_strike(w, instance);
		break;
	case SIM_FAULT_LEAVE:
		fault_leave(w, node, span);
		break;
	case SIM_FAULT_CLOCK:
		fault_clock(w, node, span);
		break;
	case SIM_FAULT_LOSS:
	case SIM_FAULT_DUPLICATE:
	case SIM_FAULT_LATE:
	case SIM_FAULT_CORRUPT:
	case SIM_FAULT_REPLAY:
	case SIM_FAULT_STALL:
	case SIM_FAULT_COUNT:
		break; /* these strike frames and turns, not at instants of their own */
	}
}

void sim_fault_strike(struct sim_world *w, enum sim_fault fault)
{
	unsigned instance = (unsigned)prng_below(&w->prng, w->options.instances);
	unsigned node = fault_target(w, instance);
	uint64_t span = sim_duration(w, 1000, w->options.span_ns);

	if (!w->faults_on)
		return;
	w->stats.faults[fault]++;
	fault_schedule(w, fault);
	fault_now(w, fault, node, instance, span);
}

void sim_fault_end(struct sim_world *w)
{
	w->faults_on = false;
	sim_net_heal(w);
	sim_trace_add(&w->trace, w->now, SIM_TR_HEALED, SIM_NONE, SIM_NONE, 0, 0, 0);
	for (unsigned k = 0; k < w->options.nodes; k++) {
		struct sim_node *n = &w->node[k];

		n->paused_until = n->deaf_until = 0;
		if (n->clock_bad_until)
			n->clock_bad_until = w->now;
		if (n->leave_asked || n->leaving)
			sim_node_crash(w, n, false, 0);
		sim_node_woken(w, n);
		if (!n->up) {
			sim_node_start(w, n); /* starts its applications too */
			continue;
		}
		if (n->in_turn) /* a stall ends too */
			sim_schedule(w, w->now + 1000, SIM_EV_TICK, k, SIM_NONE, ++n->turn);
		sim_node_wake(w, n, 1000);
		for (unsigned i = 0; i < w->options.instances; i++) {
			struct sim_app *app = &n->app[i];

			if (w->options.witnesses & node_bit(k))
				continue;
			if (!app->alive)
				sim_schedule(w, w->now, SIM_EV_APP_UP, k, i, 0);
			app->stopped_until = 0;
			app->ready = app->alive;
			if (app->stopped)
				sim_app_nudge(w, n, i);
		}
	}
}
