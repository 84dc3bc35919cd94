/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_flip.h"

#include <stddef.h>

#include "sim_world.h"
#include "table_place.h"

static uint8_t *flip_byte(const struct sim_app *app)
{
	const struct table_place p = table_place(&app->table, app->flip.lane);

	return (uint8_t *)table_place_entry(&p, app->flip.index) + app->flip.at;
}

bool sim_flip_stands(const struct sim_app *app, unsigned lane)
{
	struct table_place p;

	if (!app->flip.on || app->flip.lane != lane)
		return false;
	p = table_place(&app->table, lane);
	return table_place_entry(&p, app->flip.index)->version == app->flip.version;
}

bool sim_flip_hide(const struct sim_app *app, unsigned lane)
{
	if (!sim_flip_stands(app, lane) || app->flip.reported)
		return false;
	*flip_byte(app) ^= app->flip.mask;
	return true;
}

void sim_flip_show(const struct sim_app *app)
{
	*flip_byte(app) ^= app->flip.mask;
}

bool sim_flip_reported(const struct sim_app *app)
{
	return app->flip.on && app->flip.reported;
}

void sim_flip_gone(struct sim_app *app, unsigned lane)
{
	if (app->flip.lane == lane)
		app->flip.on = false;
}

/* A copy that counts, and that its node alone writes. */
static bool flip_target(const struct sim_world *w, const struct sim_node *n, unsigned i)
{
	const struct sim_app *app = &n->app[i];
	const struct view_instance *in = &w->check.view.instance[i];
	unsigned node = sim_node_index(w, n);

	return n->up && n->epoch == w->check.view.epoch && in->holder != node &&
	       (in->in_sync & node_bit(node)) && app->alive && app->known_life == app->life &&
	       app->role != HAVEN_PRIMARY && n->gate[i].role != HAVEN_PRIMARY &&
	       sim_claims_whole(n, i) && !sim_flip_reported(app) &&
	       !sim_flip_stands(app, app->flip.lane);
}

/* One of the bits of the value, or of the record's number: one that is set, and not the last. */
static void flip_entry(struct sim_world *w, struct sim_app *app, const struct table_entry *e)
{
	struct sim_flip *f = &app->flip;
	uint64_t seq = e->seq;

	f->version = e->version;
	f->reported = false;
	f->on = true;
	f->at = (uint32_t)(offsetof(struct table_entry, data) + w->geometry.shape.key_bytes +
			   prng_below(&w->prng, w->geometry.shape.value_bytes));
	f->mask = (uint8_t)(1u << prng_below(&w->prng, 8));
	if ((seq & (seq - 1)) && prng_below(&w->prng, 4) == 0) {
		unsigned bit = (unsigned)__builtin_ctzll(seq);

		f->at = (uint32_t)offsetof(struct table_entry, seq) + bit / 8;
		f->mask = (uint8_t)(1u << bit % 8);
	}
	*flip_byte(app) ^= f->mask;
}

void sim_flip_strike(struct sim_world *w, unsigned instance)
{
	unsigned lane = (unsigned)prng_below(&w->prng, w->options.lanes);
	unsigned from = (unsigned)prng_below(&w->prng, w->options.nodes);
	uint32_t entry = (uint32_t)prng_below(&w->prng, w->geometry.lane_entries);

	for (unsigned k = 0; k < w->options.nodes; k++) {
		struct sim_node *n = &w->node[(from + k) % w->options.nodes];
		struct sim_app *app = &n->app[instance];
		struct table_place p;

		if (!flip_target(w, n, instance))
			continue;
		p = table_place(&app->table, lane);
		for (uint32_t e = 0; e < w->geometry.lane_entries; e++) {
			app->flip.lane = (uint8_t)lane;
			app->flip.index = (entry + e) % w->geometry.lane_entries + 1;
			if (!table_place_entry(&p, app->flip.index)->seq)
				continue;
			flip_entry(w, app, table_place_entry(&p, app->flip.index));
			w->stats.flips++;
			sim_trace_add(&w->trace, w->now, SIM_TR_FLIP, sim_node_index(w, n),
				      instance, lane, app->flip.index, app->flip.at);
			return;
		}
	}
}

void sim_flip_compared(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		       uint32_t wrong)
{
	struct sim_app *app = &n->app[instance];

	w->stats.compared++;
	w->stats.checks[SIM_C7]++;
	if (!wrong)
		return;
	if (!sim_flip_stands(app, lane))
		sim_fail(w, SIM_C7, sim_node_index(w, n), instance,
			 "a copy is called wrong that nothing happened to (lane, entries)", lane,
			 wrong, 0);
	app->flip.reported = true;
	w->stats.flips_found++;
}

void sim_flip_role(struct sim_app *app)
{
	if (sim_flip_hide(app, app->flip.lane))
		app->flip.on = false;
}

void sim_flip_promoted(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	const struct sim_flip *f = &n->app[instance].flip;

	w->stats.checks[SIM_C8]++;
	if (f->on && f->reported)
		sim_fail(w, SIM_C8, sim_node_index(w, n), instance,
			 "a copy is promoted that was found to be wrong (lane, entry)", f->lane,
			 f->index, 0);
}
