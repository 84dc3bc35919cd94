/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_node.h"

#include "brain_internal.h"
#include "watch_clock.h"
#include "mirror_digest.h"
#include "sim_carry.h"
#include "sim_world.h"

/* A brain that is not done after so many ticks at one instant never will be. */
#define TICKS_MAX 256u
/* Turns between two looks at a standby's content. */
#define STANDBY_TURNS 16u
#define WALL_START_NS 1763800000000000000ull

unsigned sim_node_index(const struct sim_world *w, const struct sim_node *n)
{
	return (unsigned)(n - w->node);
}

uint64_t sim_node_now(const struct sim_world *w, const struct sim_node *n)
{
	return sim_clock_local(&n->clock, w->now);
}

static void node_turn_at(struct sim_world *w, struct sim_node *n, uint64_t at)
{
	if (!n->up || n->in_turn)
		return;
	if (at < n->paused_until)
		at = n->paused_until;
	if (at >= n->turn_at)
		return;
	n->turn_at = at;
	sim_schedule(w, at, SIM_EV_DRAIN, sim_node_index(w, n), SIM_NONE, ++n->turn);
}

void sim_node_wake(struct sim_world *w, struct sim_node *n, uint64_t ns)
{
	node_turn_at(w, n, w->now + 500 + prng_below(&w->prng, ns + 1));
}

static void node_configure(const struct sim_options *o, unsigned self, struct brain_config *c)
{
	uint32_t eligible = sim_all_nodes(o) & ~o->witnesses;

	memset(c, 0, sizeof(*c));
	c->self = (uint8_t)self;
	c->n_nodes = o->nodes;
	c->n_instances = o->instances;
	c->voters = o->voters;
	c->witnesses = o->witnesses;
	c->interval_ns = o->interval_ns;
	c->suspect_ns = o->suspect_ns;
	c->lease_ns = o->lease_ns;
	c->guard_ns = o->guard_ns;
	c->rate_ppm = o->rate_ppm;
	c->stall_ns = o->stall_ns;
	c->mirror_timeout_ns = o->mirror_timeout_ns;
	c->mirror_window = o->mirror_window;
	c->mirror_flight = o->mirror_flight;
	c->mirror_split = o->mirror_split;
	c->hold_ns = o->suspect_ns;
	c->hold_max_ns = o->lease_ns * 10;
	c->gray_percent = 10;
	c->verify_ns = o->verify_ns;
	for (unsigned i = 0; i < o->instances; i++) {
		c->instance[i].eligible = eligible;
		c->instance[i].preferred = i == 0 ? HAVEN_NODE_NONE : (uint8_t)(i % o->nodes);
		c->instance[i].secondaries = o->secondaries;
	}
}

void sim_node_start(struct sim_world *w, struct sim_node *n)
{
	unsigned self = sim_node_index(w, n);
	uint64_t wall = WALL_START_NS + n->clock.wall_skew_ns + w->now;
	struct brain_config config;

	if (n->up)
		return;
	for (unsigned i = 0; i < w->options.instances; i++) {
		sim_app_kill(w, n, i, 0); /* one that outlived its node is turned away */
		n->app[i].known_life = 0;
		n->app[i].known_ready = false;
		n->gate[i] = (struct sim_gate){.generation = n->gate[i].generation + 1};
		n->switchover[i] = false;
		if (!(w->options.witnesses & node_bit(self)))
			sim_schedule(w, w->now + sim_duration(w, 1000, w->options.lease_ns * 2),
				     SIM_EV_APP_UP, self, i, 0);
	}
	n->up = true;
	n->clock_finding = 0;
	n->clock_bad_until = 0;
	n->in_turn = n->fence_asked = n->fence_done = n->leave_asked = n->leaving = false;
	n->turn_at = SIM_NEVER;
	n->incarnation = wall > n->incarnation ? wall : n->incarnation + 1;
	n->epoch = n->epoch_before = 0;
	node_configure(&w->options, self, &config);
	brain_init(n->brain, &config, n->incarnation, wall / 1000, sim_node_now(w, n));
	sim_trace_add(&w->trace, w->now, SIM_TR_NODE_START, self, SIM_NONE, n->incarnation,
		      wall / 1000, 0);
	sim_check_born(w, n);
	sim_node_wake(w, n, w->options.interval_ns);
}

void sim_node_crash(struct sim_world *w, struct sim_node *n, bool machine, uint64_t down_ns)
{
	if (!n->up)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_NODE_CRASH, sim_node_index(w, n), SIM_NONE, machine,
		      down_ns, 0);
	sim_check_died(w, n);
	for (unsigned i = 0; i < w->options.instances; i++)
		sim_check_copy_ends(w, n, i);
	n->up = false;
	n->in_turn = false;
	n->turn++;
	n->life++;
	n->paused_until = n->deaf_until = 0;
	sim_net_flush(w, n);
	for (unsigned i = 0; machine && i < w->options.instances; i++)
		sim_app_kill(w, n, i, 0);
	if (machine && prng_below(&w->prng, 2)) /* the clock counts from the boot */
		n->clock.offset_ns = sim_between(w, NSEC_PER_SEC, 1000 * NSEC_PER_SEC);
	sim_schedule(w, w->now + down_ns, SIM_EV_NODE_UP, sim_node_index(w, n), SIM_NONE, n->life);
}

void sim_node_leave(struct sim_world *w, struct sim_node *n, uint64_t down_ns)
{
	if (!n->up || n->leave_asked || n->leaving)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_NODE_LEAVE, sim_node_index(w, n), SIM_NONE, down_ns,
		      0, 0);
	n->leave_asked = true;
	n->leave_down_ns = down_ns;
	sim_node_wake(w, n, 20000);
}

/* As havend does: the program ends when the brain has said its word, or when that takes too long.
 */
static void node_end_in_order(struct sim_world *w, struct sim_node *n)
{
	if (n->leaving && (brain_left(n->brain) || sim_node_now(w, n) >= n->leave_by_ns))
		sim_node_crash(w, n, false, n->leave_down_ns);
}

/* One step and everything that follows from it at this instant. Returns brain_outputs.more. */
static bool node_feed(struct sim_world *w, struct sim_node *n, const struct brain_event *event,
		      uint64_t held_ns)
{
	static struct sim_answers answers;
	struct sim_command command = {false, false};
	struct brain_outputs *out = w->outputs;
	unsigned fed = 0;
	bool more = false;

	answers.n = 0;
	do {
		const struct brain_event *e = fed ? &answers.event[fed - 1] : event;

		if (e->kind == BRAIN_SWITCHOVER)
			command = sim_check_command(w, n, e->instance);
		brain_step(n->brain, sim_node_now(w, n), e, out);
		if (e->kind == BRAIN_SWITCHOVER)
			sim_check_answered(w, n, e->instance, &command, out);
		w->stats.steps++;
		more |= out->more;
		if (out->n > BRAIN_OUTPUTS_MAX)
			sim_fail(w, SIM_BOUNDS, sim_node_index(w, n), SIM_NONE,
				 "more outputs than a step may have (n, event)", out->n, e->kind,
				 0);
		sim_check_view(w, n);
		for (unsigned k = 0; k < out->n && !w->failed; k++) {
			if (answers.n == BRAIN_OUTPUTS_MAX)
				sim_fail(w, SIM_BOUNDS, sim_node_index(w, n), SIM_NONE,
					 "answers call forth more and more work", 0, 0, 0);
			else
				sim_carry_out(w, n, &out->out[k], event->frame, &answers, held_ns);
		}
	} while (fed++ < answers.n && !w->failed);
	return more;
}

/* ---- local events ------------------------------------------------------------------------------
 */

static void node_feed_instance(struct sim_world *w, struct sim_node *n, enum brain_event_kind kind,
			       unsigned i, bool up)
{
	struct brain_event e = {.kind = kind, .instance = (uint8_t)i, .up = up};

	node_feed(w, n, &e, 0);
}

static void node_feed_slot(struct sim_world *w, struct sim_node *n, enum brain_event_kind kind,
			   unsigned i, unsigned lane)
{
	struct brain_event e = {
		.kind = kind,
		.instance = (uint8_t)i,
		.slot = SIM_SLOT(i, lane),
		.stream = {.instance = (uint8_t)i, .checkpoint = 0, .lane = (uint8_t)lane},
		.shape = w->shape,
		.digest_bytes = (uint16_t)mirror_digest_bytes(&w->geometry),
		.record_bytes = (uint16_t)(w->options.per_frame
						   ? FRAME_MIRROR_PAYLOAD_MAX / w->options.per_frame
						   : mirror_io_record_bytes(&w->geometry)),
		.lane_records = w->geometry.shape.lane_records,
		.seq = table_committed(&n->app[i].table, lane),
		.count = table_scan_end(&n->app[i].table, lane)};

	node_feed(w, n, &e, 0);
}

static void node_watch_life(struct sim_world *w, struct sim_node *n, unsigned i)
{
	struct sim_app *app = &n->app[i];

	if (app->known_life && !app->alive && w->now >= app->death_seen_at) {
		node_feed_instance(w, n, BRAIN_COMPONENT, i, false);
		node_feed_instance(w, n, BRAIN_COPY_LOST, i, false);
		for (unsigned l = 0; l < w->options.lanes; l++)
			node_feed_slot(w, n, BRAIN_SLOT_CLOSE, i, l);
		app->known_life = 0;
		app->known_ready = false;
	}
	if (app->alive && !app->known_life) {
		app->known_life = app->life;
		for (unsigned l = 0; l < w->options.lanes; l++)
			node_feed_slot(w, n, BRAIN_SLOT_OPEN, i, l);
	}
	if (app->alive && app->ready != app->known_ready) {
		/* Until this step is over the brain may take a dying component for healthy. */
		app->known_ready = true;
		node_feed_instance(w, n, BRAIN_COMPONENT, i, app->ready);
		app->known_ready = app->ready;
	}
}

static void node_watch_gate(struct sim_world *w, struct sim_node *n, unsigned i)
{
	struct sim_gate *g = &n->gate[i];
	const struct sim_app *app = &n->app[i];
	bool dead = !app->alive && w->now >= app->death_seen_at;

	if (!g->closing)
		return;
	if (!dead && app->confirmed < g->closed_generation &&
	    sim_node_now(w, n) < g->term_ns + w->options.guard_ns)
		return;
	for (unsigned l = 0; n->app[i].known_life && app->alive && l < w->options.lanes; l++)
		node_feed_slot(w, n, BRAIN_COMMITTED, i, l); /* its last words */
	g->closed_by_time = !dead && app->confirmed < g->closed_generation;
	g->closing = false;
	sim_trace_add(&w->trace, w->now, SIM_TR_GATE_CLOSED, sim_node_index(w, n), i, 0, 0, 0);
	node_feed(w, n,
		  &(struct brain_event){.kind = BRAIN_GATE_CLOSED,
					.instance = (uint8_t)i,
					.seq = g->closing_number},
		  0);
}

static void node_watch_lanes(struct sim_world *w, struct sim_node *n, unsigned i)
{
	struct sim_app *app = &n->app[i];

	/* As havend does, whether the worker has confirmed or not: the entries that a transfer
	 * reads hold what it has committed under the role's last publication, too. */
	if (!app->known_life || (n->gate[i].role != HAVEN_PRIMARY && !n->gate[i].closing))
		return;
	for (unsigned l = 0; l < w->options.lanes; l++) {
		struct brain_event e = {.kind = BRAIN_COMMITTED,
					.instance = (uint8_t)i,
					.slot = SIM_SLOT(i, l),
					.seq = table_committed(&app->table, l),
					.count = table_scan_end(&app->table, l)};

		if (app->told[l] && e.seq == app->told_seq[l] && e.count == app->told_end[l])
			continue;
		app->told[l] = true;
		app->told_seq[l] = e.seq;
		app->told_end[l] = e.count;
		node_feed(w, n, &e, 0);
	}
}

static void node_watch_fence(struct sim_world *w, struct sim_node *n)
{
	struct brain_event e = {.kind = BRAIN_FENCED,
				.node = (uint8_t)!sim_node_index(w, n),
				.seq = n->fence_life,
				.epoch = n->fence_epoch,
				.count = BRAIN_PROOF_COMMAND};

	if (!n->fence_done)
		return;
	n->fence_done = false;
	node_feed(w, n, &e, 0);
}

/* Looked at before anything that came is taken, as havend does. */
static void node_watch_clock(struct sim_world *w, struct sim_node *n)
{
	struct brain_event e = {.kind = BRAIN_CLOCK, .seq = 1000000, .count = n->clock_finding};

	if (!n->clock_finding && n->clock_bad_until && w->now >= n->clock_bad_until) {
		n->clock_bad_until = 0;
		e.count = CLOCK_AGREES;
	}
	n->clock_finding = 0;
	if (e.count)
		node_feed(w, n, &e, 0);
}

static void node_watch_end(struct sim_world *w, struct sim_node *n)
{
	const struct brain_event e = {.kind = BRAIN_LEAVE};

	if (!n->leave_asked)
		return;
	n->leave_asked = false;
	n->leaving = true;
	n->leave_by_ns = sim_node_now(w, n) + 2 * brain_leave_limit_ns(&n->brain->config);
	node_feed(w, n, &e, 0);
}

static void node_watch(struct sim_world *w, struct sim_node *n)
{
	node_watch_end(w, n);
	node_watch_fence(w, n);
	for (unsigned i = 0; i < w->options.instances && !w->failed; i++) {
		node_watch_life(w, n, i);
		sim_warm_drain(w, n, i);
		node_watch_gate(w, n, i);
		node_watch_lanes(w, n, i);
		if (n->switchover[i]) {
			struct brain_event e = {.kind = BRAIN_SWITCHOVER,
						.instance = (uint8_t)i,
						.node = n->switchover_to};

			n->switchover[i] = false;
			node_feed(w, n, &e, 0);
		}
	}
}

/* ---- turns --------------------------------------------------------------------------------------
 */

static uint64_t node_stall(struct sim_world *w)
{
	if (!w->faults_on || !w->options.rate[SIM_FAULT_STALL] ||
	    !prng_chance_ppm(&w->prng, w->options.rate[SIM_FAULT_STALL]))
		return 0;
	w->stats.faults[SIM_FAULT_STALL]++;
	return sim_duration(w, 1000, w->options.lease_ns * 2);
}

void sim_node_drain(struct sim_world *w, struct sim_node *n, uint32_t turn)
{
	struct brain_event e = {.kind = BRAIN_FRAME};
	struct frame frame;
	uint32_t index;
	uint64_t stall, incarnation, seq;

	if (!n->up || turn != n->turn)
		return;
	n->turn_at = SIM_NEVER;
	if (w->now < n->paused_until) {
		sim_node_wake(w, n, 1000);
		return;
	}
	n->in_turn = true;
	node_watch_clock(w, n);
	while (!w->failed && sim_net_take(w, n, &frame, &e.link, &index)) {
		e.frame = &frame;
		incarnation = n->brain->peer[frame.src].incarnation;
		seq = n->brain->peer[frame.src].seq_in;
		stall = node_stall(w);
		node_feed(w, n, &e, stall);
		if (frame.type == FRAME_BEAT) {
			sim_check_heard(w, n, &frame);
			sim_check_peer(w, n, &frame, incarnation, seq);
		}
		sim_net_release(w, index);
	}
	if (w->failed)
		return;
	node_watch(w, n);
	stall = node_stall(w);
	if (!stall) {
		sim_node_tick(w, n, turn);
		return;
	}
	/* It stands still between draining and judging, while more arrives. */
	sim_trace_add(&w->trace, w->now, SIM_TR_NODE_STALL, sim_node_index(w, n), SIM_NONE, stall,
		      1, 0);
	sim_node_sleeps(w, n, w->now + stall);
	sim_schedule(w, w->now + stall, SIM_EV_TICK, sim_node_index(w, n), SIM_NONE, turn);
}

void sim_node_tick(struct sim_world *w, struct sim_node *n, uint32_t turn)
{
	struct brain_event e = {.kind = BRAIN_TICK};
	uint64_t interval = w->options.interval_ns, pace = w->options.pace_ns;
	unsigned ticks = 0;

	if (!n->up || turn != n->turn || w->failed)
		return;
	if (w->now < n->paused_until) {
		sim_schedule(w, n->paused_until, SIM_EV_TICK, sim_node_index(w, n), SIM_NONE, turn);
		return;
	}
	while (node_feed(w, n, &e, 0) && !w->failed) {
		if (++ticks == TICKS_MAX)
			sim_fail(w, SIM_BOUNDS, sim_node_index(w, n), SIM_NONE,
				 "the brain always has more to do", 0, 0, 0);
	}
	sim_check_brains(w, n);
	if (++n->turns % STANDBY_TURNS == 0)
		sim_check_standby(w, n);
	n->in_turn = false;
	sim_node_wake(w, n,
		      n->rx_count ? w->options.wake_ns : interval / 8 + prng_below(&w->prng, pace));
	node_end_in_order(w, n);
}
