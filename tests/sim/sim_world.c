/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_world.h"

#include <stdlib.h>
#include <string.h>

#include "haven_assert.h"

/* Simulated time after which a settled cluster must not have changed its mind. */
#define QUIET_LEASES 6u

struct sim_world *sim_world_create(void)
{
	struct sim_world *w = calloc(1, sizeof(*w));
	size_t brain = (brain_bytes(0) + 63) & ~(size_t)63;

	if (!w)
		return NULL;
	w->heap = calloc(SIM_EVENTS_MAX, sizeof(*w->heap));
	w->net.pool = calloc(SIM_POOL_FRAMES, sizeof(*w->net.pool));
	w->outputs = calloc(1, sizeof(*w->outputs));
	w->look.memory = aligned_alloc(64, SIM_TABLE_BYTES);
	for (unsigned n = 0; n < SIM_NODES; n++) {
		w->node[n].brain = aligned_alloc(64, brain);
		for (unsigned i = 0; i < SIM_INSTANCES; i++)
			w->node[n].app[i].memory = aligned_alloc(64, SIM_TABLE_BYTES);
	}
	return w;
}

void sim_world_destroy(struct sim_world *w)
{
	for (unsigned n = 0; n < SIM_NODES; n++) {
		free(w->node[n].brain);
		for (unsigned i = 0; i < SIM_INSTANCES; i++)
			free(w->node[n].app[i].memory);
	}
	free(w->look.memory);
	free(w->outputs);
	free(w->net.pool);
	free(w->heap);
	free(w);
}

/* ---- time -------------------------------------------------------------------------------------
 */

uint64_t sim_clock_local(const struct sim_clock *c, uint64_t at)
{
	uint64_t span = at - c->since_ns;
	int64_t whole = (int64_t)(span / NSEC_PER_SEC), rest = (int64_t)(span % NSEC_PER_SEC);

	return c->offset_ns + span +
	       (uint64_t)(whole * c->rate_ppb + rest * c->rate_ppb / 1000000000);
}

uint64_t sim_clock_global(const struct sim_clock *c, uint64_t local)
{
	uint64_t at;

	if (local <= c->offset_ns)
		return c->since_ns;
	at = c->since_ns +
	     (uint64_t)((__int128)(local - c->offset_ns) * 1000000000 / (1000000000 + c->rate_ppb));
	while (sim_clock_local(c, at) < local)
		at++;
	while (at > c->since_ns && sim_clock_local(c, at - 1) >= local)
		at--;
	return at;
}

void sim_clock_set_rate(struct sim_clock *c, uint64_t at, int64_t rate_ppb)
{
	c->offset_ns = sim_clock_local(c, at);
	c->since_ns = at;
	c->rate_ppb = rate_ppb;
}

uint64_t sim_between(struct sim_world *w, uint64_t low, uint64_t high)
{
	return high > low ? low + prng_below(&w->prng, high - low) : low;
}

uint64_t sim_duration(struct sim_world *w, uint64_t low, uint64_t high)
{
	unsigned doublings = 0;
	uint64_t from = low;

	while (low << (doublings + 1) < high)
		doublings++;
	from = low << prng_below(&w->prng, doublings + 1u);
	return sim_between(w, from, from * 2 < high ? from * 2 : high);
}

/* ---- event heap --------------------------------------------------------------------------------
 */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_schedule(struct sim_world *w, uint64_t at, enum sim_event_kind kind, unsigned node,
		  unsigned instance, uint32_t arg)
{
	struct sim_event e = {.at = at < w->now ? w->now : at,
			      .order = w->order++,
			      .kind = (uint8_t)kind,
			      .node = (uint8_t)node,
			      .instance = (uint8_t)instance,
			      .arg = arg};
	uint32_t k = w->heap_count;

	if (k == SIM_EVENTS_MAX) {
		sim_fail(w, SIM_BOUNDS, SIM_NONE, SIM_NONE, "the simulator's event heap is full", k,
			 kind, 0);
		return;
	}
	w->heap_count++;
	while (k > 0 && event_before(&e, &w->heap[(k - 1) / 2])) {
		w->heap[k] = w->heap[(k - 1) / 2];
		k = (k - 1) / 2;
	}
	w->heap[k] = e;
}

static struct sim_event event_pop(struct sim_world *w)
{
	struct sim_event top = w->heap[0];
	struct sim_event last = w->heap[--w->heap_count];
	uint32_t k = 0;

	for (;;) {
		uint32_t child = 2 * k + 1;

		if (child >= w->heap_count)
			break;
		if (child + 1 < w->heap_count && event_before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!event_before(&w->heap[child], &last))
			break;
		w->heap[k] = w->heap[child];
		k = child;
	}
	w->heap[k] = last;
	return top;
}

/* ---- one seed ----------------------------------------------------------------------------------
 */

static void world_shape(struct sim_world *w)
{
	struct table_shape shape = {.name = "flows",
				    .key_bytes = 8,
				    .value_bytes = 16,
				    .capacity = 64,
				    .lanes = w->options.lanes,
				    .lane_records = 64};
	struct error_text error;

	HAVEN_ASSERT(table_geometry_make(&shape, &w->geometry, &error) == 0);
	HAVEN_ASSERT(w->geometry.total_bytes <= SIM_TABLE_BYTES);
	w->shape = mirror_io_shape_digest(&shape);
}

static void world_stage(const struct sim_world *w, struct mirror_stage *s)
{
	int status = mirror_stage_init(s, &w->geometry);

	if (!status && w->options.warm_records)
		status = mirror_stage_keep(s, w->options.warm_records);
	HAVEN_ASSERT(status == 0);
}

static void world_reset_node(struct sim_world *w, struct sim_node *n, bool used)
{
	struct brain *brain = n->brain;
	int64_t bound = (int64_t)w->options.rate_ppm * 500; /* half of it, in parts per billion */
	void *memory[SIM_INSTANCES];

	for (unsigned i = 0; i < SIM_INSTANCES; i++) {
		memory[i] = n->app[i].memory;
		for (unsigned l = 0; l < SIM_LANES; l++)
			mirror_stage_free(&n->app[i].stage[l]);
	}
	memset(n, 0, sizeof(*n));
	n->brain = brain;
	for (unsigned i = 0; i < SIM_INSTANCES; i++) {
		n->app[i].memory = memory[i];
		for (unsigned l = 0; used && l < SIM_LANES; l++)
			world_stage(w, &n->app[i].stage[l]);
	}
	n->clock.offset_ns = sim_duration(w, NSEC_PER_SEC, (uint64_t)1 << 45);
	n->clock.rate_ppb = (int64_t)sim_between(w, 0, (uint64_t)bound * 2 + 1) - bound;
	if (prng_below(&w->prng, 3) == 0) /* at the very limit */
		n->clock.rate_ppb = n->clock.rate_ppb < 0 ? -bound : bound;
	n->clock.wall_skew_ns = sim_between(w, 0, 5 * NSEC_PER_SEC);
}

void sim_world_reset(struct sim_world *w, const struct sim_options *o)
{
	w->options = *o;
	w->prng.state = o->seed ^ 0x5851f42d4c957f2dull;
	w->now = w->order = 0;
	w->heap_count = 0;
	w->faults_on = w->failed = false;
	w->work_on = true;
	w->hash = o->seed;
	w->trace.count = 0;
	world_shape(w);
	for (unsigned n = 0; n < sim_drawn_nodes(o); n++)
		world_reset_node(w, &w->node[n], n < o->nodes);
	sim_net_reset(w);
	sim_check_reset(w);
	for (unsigned n = 0; n < o->nodes; n++)
		sim_schedule(w, sim_between(w, 0, o->lease_ns * 2), SIM_EV_NODE_UP, n, SIM_NONE, 0);
}

static void world_dispatch(struct sim_world *w, const struct sim_event *e)
{
	struct sim_node *n = &w->node[e->node < SIM_NODES ? e->node : 0];

	switch ((enum sim_event_kind)e->kind) {
	case SIM_EV_DRAIN:
		sim_node_drain(w, n, e->arg);
		break;
	case SIM_EV_TICK:
		sim_node_tick(w, n, e->arg);
		break;
	case SIM_EV_FRAME:
		sim_net_arrive(w, e->arg);
		break;
	case SIM_EV_NODE_UP:
		if (e->arg == n->life)
			sim_node_start(w, n);
		break;
	case SIM_EV_APP_UP:
		sim_app_start(w, n, e->instance);
		break;
	case SIM_EV_APP_POLL:
		sim_app_poll(w, n, e->instance, e->arg);
		break;
	case SIM_EV_APP_WORK:
		sim_app_work(w, n, e->instance, e->arg);
		break;
	case SIM_EV_APP_COMMIT:
		sim_app_commit(w, n, e->instance, e->arg);
		break;
	case SIM_EV_FAULT:
		sim_fault_strike(w, (enum sim_fault)e->arg);
		break;
	case SIM_EV_REPLAY:
		sim_net_replay(w, e->arg);
		break;
	case SIM_EV_READY:
		if (n->app[e->instance].alive && n->app[e->instance].life == e->arg)
			n->app[e->instance].ready = true;
		sim_node_wake(w, n, 20000);
		break;
	case SIM_EV_STORM:
		sim_fault_storm(w, e->node, e->arg);
		break;
	case SIM_EV_FENCED:
		if (n->life == e->arg && n->fence_asked) {
			n->fence_asked = false;
			n->fence_done = true;
			sim_node_wake(w, n, 20000);
		}
		break;
	case SIM_EV_FLAP:
		sim_fault_flap(w, e->node, e->instance, e->arg);
		break;
	case SIM_EV_KIND_COUNT:
		break;
	}
}

/* Run until `until` or a failure. */
static void world_run_to(struct sim_world *w, uint64_t until)
{
	while (!w->failed && w->heap_count && w->heap[0].at <= until) {
		struct sim_event e = event_pop(w);

		w->now = e.at;
		w->stats.events++;
		if (e.kind != SIM_EV_FRAME)
			sim_hash(w, e.at,
				 (uint64_t)e.kind << 16 | (uint64_t)e.node << 8 | e.instance);
		world_dispatch(w, &e);
	}
	if (!w->failed)
		w->now = until;
}

/* Run on until the cluster has been settled for a while; false when the deadline passes first. */
static bool world_rests(struct sim_world *w, uint64_t deadline)
{
	uint64_t epoch;

	while (!w->failed && w->now < deadline) {
		if (!sim_check_settled(w)) {
			world_run_to(w, w->now + w->options.interval_ns);
			continue;
		}
		epoch = w->check.view.epoch;
		world_run_to(w, w->now + w->options.lease_ns * QUIET_LEASES);
		if (sim_check_settled(w) && w->check.view.epoch == epoch)
			return true;
	}
	return false;
}

/* Faults have ended: the cluster must become whole, settle when work stops, and then stay. */
static void world_converge(struct sim_world *w)
{
	uint64_t start = w->now, deadline = w->now + w->options.bound_ns;
	uint64_t milli;

	while (!w->failed && !sim_check_whole(w) && w->now < deadline)
		world_run_to(w, w->now + w->options.interval_ns);
	if (!sim_check_whole(w))
		sim_fail(w, SIM_C11, SIM_NONE, SIM_NONE,
			 "not one acting primary with its secondaries in sync (after leases)",
			 w->options.bound_ns / w->options.lease_ns, 0, 0);
	if (w->failed)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_WHOLE, SIM_NONE, SIM_NONE, w->now - start, 0, 0);
	milli = (w->now - start) * 1000 / w->options.lease_ns;
	if (w->stats.converge_max_leases_milli < milli)
		w->stats.converge_max_leases_milli = milli;
	w->work_on = false;
	if (!world_rests(w, deadline))
		sim_fail(w, sim_check_settled(w) ? SIM_C12 : SIM_C11, SIM_NONE, SIM_NONE,
			 "no rest although nothing happens: copies differ or views change (epoch)",
			 w->check.view.epoch, 0, 0);
	w->stats.checks[SIM_C11]++;
	w->stats.checks[SIM_C12]++;
}

bool sim_world_run(struct sim_world *w)
{
	world_run_to(w, w->options.calm_ns);
	w->faults_on = true;
	sim_fault_begin(w);
	world_run_to(w, w->options.safety_ns);
	if (!w->failed) {
		sim_fault_end(w);
		world_converge(w);
	}
	w->stats.seeds++;
	w->stats.sizes[w->options.nodes]++;
	w->stats.simulated_ns += w->now;
	return !w->failed;
}
