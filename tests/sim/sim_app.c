/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_app.h"

#include "hash.h"
#include "sim_node.h"
#include "sim_world.h"

void sim_app_nudge(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_app *app = &n->app[instance];
	uint64_t at = w->now + sim_between(w, 500, w->options.confirm_ns);

	if (!app->alive)
		return;
	if (app->stopped && at < app->stopped_until)
		at = app->stopped_until;
	sim_schedule(w, at, SIM_EV_APP_POLL, sim_node_index(w, n), instance, app->life);
}

void sim_app_start(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_app *app = &n->app[instance];
	struct sim_gate *gate = &n->gate[instance];

	if (app->alive || !n->up)
		return;
	if (app->known_life) { /* the node has not buried the last one yet */
		sim_schedule(w, w->now + w->options.interval_ns, SIM_EV_APP_UP,
			     sim_node_index(w, n), instance, n->life);
		return;
	}
	app->alive = app->ready = true;
	app->stopped = app->working = false;
	app->life++;
	app->role = HAVEN_OFFLINE;
	app->staged = 0;
	gate->generation++;
	gate->role = HAVEN_OFFLINE;
	gate->valid_until_ns = gate->term_ns = 0;
	app->confirmed = gate->generation;
	table_format(&app->table, &w->geometry, app->memory, prng_next(&w->prng));
	app->flip.on = app->draining = false;
	for (unsigned l = 0; l < w->options.lanes; l++) {
		mirror_io_reset(&app->table, l, &app->stage[l], 0);
		app->acked[l] = app->consumed[l] = app->told_seq[l] = 0;
		app->told[l] = false;
	}
	w->check.store[sim_node_index(w, n)][instance] = (struct sim_store){.epoch = 0};
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_START, sim_node_index(w, n), instance,
		      app->life, 0, 0);
	sim_node_wake(w, n, 20000);
}

void sim_app_kill(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t seen_ns)
{
	struct sim_app *app = &n->app[instance];

	if (!app->alive)
		return;
	sim_check_copy_ends(w, n, instance);
	app->alive = app->ready = false;
	app->role = HAVEN_OFFLINE;
	app->death_seen_at = w->now + seen_ns;
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_KILL, sim_node_index(w, n), instance, app->life,
		      seen_ns, 0);
	sim_check_ended(w, n, instance);
	sim_node_wake(w, n, seen_ns + 1000);
}

void sim_app_stop(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t until)
{
	struct sim_app *app = &n->app[instance];

	if (!app->alive)
		return;
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_STOP, sim_node_index(w, n), instance,
		      until - w->now, 0, 0);
	app->stopped = true;
	if (app->stopped_until < until)
		app->stopped_until = until;
}

/* True when the event belongs to a running process; a stopped one gets it when it continues. */
static bool app_runs(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life,
		     enum sim_event_kind kind)
{
	struct sim_app *app = &n->app[instance];

	if (!app->alive || app->life != life)
		return false;
	if (!app->stopped)
		return true;
	if (w->now < app->stopped_until) {
		sim_schedule(w, app->stopped_until + sim_between(w, 100, 2000), kind,
			     sim_node_index(w, n), instance, life);
		return false;
	}
	app->stopped = false;
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_CONTINUE, sim_node_index(w, n), instance, 0, 0,
		      0);
	return true;
}

bool sim_app_may_act(const struct sim_world *w, const struct sim_node *n, unsigned instance)
{
	const struct sim_app *app = &n->app[instance];
	const struct sim_gate *gate = &n->gate[instance];

	return app->alive && app->role == HAVEN_PRIMARY && app->confirmed == gate->generation &&
	       sim_node_now(w, n) < gate->valid_until_ns;
}

static void app_confirm(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_app *app = &n->app[instance];
	const struct sim_gate *gate = &n->gate[instance];

	app->role = gate->role;
	if (app->role == HAVEN_PRIMARY) {
		for (unsigned l = 0; l < w->options.lanes; l++)
			table_lane_begin(&app->table, l);
		app->promoted = true; /* judged when its gate is open */
	} else {
		sim_check_ended(w, n, instance);
	}
	app->confirmed = gate->generation;
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_CONFIRM, sim_node_index(w, n), instance,
		      app->role, gate->generation, table_committed(&app->table, 0));
	sim_check_acting(w, n, instance);
	if (app->role == HAVEN_PRIMARY && !app->working) {
		app->working = true;
		sim_schedule(w, w->now + sim_between(w, 1000, w->options.work_ns), SIM_EV_APP_WORK,
			     sim_node_index(w, n), instance, app->life);
	}
	sim_node_wake(w, n, 20000);
}

void sim_app_poll(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life)
{
	struct sim_app *app = &n->app[instance];

	if (!app_runs(w, n, instance, life, SIM_EV_APP_POLL))
		return;
	/* in the middle of a commit a worker does not poll */
	if (app->staged == 0 && app->confirmed != n->gate[instance].generation)
		app_confirm(w, n, instance);
}

static void app_put(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_app *app = &n->app[instance];
	uint64_t key = prng_below(&w->prng, w->options.keys);
	uint64_t id = sim_check_put(w);
	uint64_t value[2] = {id, hash_mix64(id)};
	bool put = prng_below(&w->prng, 4) != 0;
	int error;

	if (put)
		error = table_put(&app->table, app->lane, &key, value, app->consumed[app->lane]);
	else
		error = table_delete(&app->table, app->lane, &key, app->consumed[app->lane]);
	if (error)
		return; /* lane or pool full, or nothing to delete: the work is refused */
	app->record[app->staged++] = (struct sim_record){.id = id, .key = (uint8_t)key, .put = put};
}

void sim_app_work(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life)
{
	struct sim_app *app = &n->app[instance];
	unsigned changes;

	if (!app_runs(w, n, instance, life, SIM_EV_APP_WORK))
		return;
	if (app->role != HAVEN_PRIMARY || !w->work_on) {
		app->working = false;
		return;
	}
	sim_schedule(w, w->now + sim_between(w, 1000, w->options.work_ns * 2), SIM_EV_APP_WORK,
		     sim_node_index(w, n), instance, life);
	if (app->staged || !sim_app_may_act(w, n, instance))
		return;
	app->lane = (uint8_t)prng_below(&w->prng, w->options.lanes);
	changes = 1 + (unsigned)prng_below(&w->prng, SIM_COMMIT_MAX);
	while (changes-- > 0)
		app_put(w, n, instance);
	if (app->staged == 0)
		return;
	/* Mostly at once; sometimes the worker is slow between its look at the gate and its commit,
	 * which may then come when it is primary no more. */
	if (prng_below(&w->prng, 8))
		sim_app_commit(w, n, instance, life);
	else
		sim_schedule(w, w->now + sim_duration(w, 500, w->options.lease_ns),
			     SIM_EV_APP_COMMIT, sim_node_index(w, n), instance, life);
}

void sim_app_commit(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life)
{
	struct sim_app *app = &n->app[instance];
	uint64_t seq;

	if (!app_runs(w, n, instance, life, SIM_EV_APP_COMMIT))
		return;
	seq = table_commit(&app->table, app->lane);
	sim_trace_add(&w->trace, w->now, SIM_TR_APP_COMMIT, sim_node_index(w, n), instance,
		      app->lane, seq, app->staged);
	sim_check_commit(w, n, instance, app->lane, seq, app->record, app->staged);
	app->staged = 0;
	if (n->up)
		sim_node_wake(w, n, 5000);
	if (app->confirmed != n->gate[instance].generation)
		app_confirm(w, n, instance);
}
