/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Warm standbys: commits are kept in a log and count as applied. Between the promotion and the open
 * gate the rest is applied, a bounded number of records a turn, so that heartbeats go on; the lease
 * runs meanwhile as it does while a worker is slow to confirm.
 */
#include "clock.h"
#include "node.h"

/** Records of a lane applied in one turn. */
#define DRAIN_RECORDS 256u
/** What one record takes until it was measured here, and from how many on a measurement counts. */
#define RECORD_NS_GUESS 250u
#define RECORDS_TO_MEASURE 16u

static uint32_t record_ns(const struct local_table *t)
{
	return t->record_ns ? t->record_ns : RECORD_NS_GUESS;
}

void local_warm_show(struct haven_node *n, const struct local_table *t, unsigned lane)
{
	struct registry_lane *line = &n->registry.lanes[t->lane_first + lane];

	if (!t->lane[lane].stage.log_records)
		return;
	store_relaxed(&line->record_ns, record_ns(t));
	store_relaxed(&line->waiting_records, (uint32_t)mirror_stage_waiting(&t->lane[lane].stage));
}

void local_warm_measure(struct local_table *t, uint64_t records, uint64_t ns)
{
	uint64_t each = records ? ns / records : 0;

	if (records < RECORDS_TO_MEASURE || each > UINT32_MAX / 2)
		return;
	t->record_ns = t->record_ns ? (uint32_t)((t->record_ns * 7ull + each) / 8) : (uint32_t)each;
	if (!t->record_ns)
		t->record_ns = 1;
}

bool local_warm_waits(const struct local_component *c, unsigned i)
{
	for (unsigned k = 0; k < c->n_tables; k++)
		for (unsigned lane = 0; c->table[k]->instance == i && lane < c->table[k]->lanes;
		     lane++)
			if (mirror_stage_waiting(&c->table[k]->lane[lane].stage))
				return true;
	return false;
}

/* Returns 0 or the error that says that the copy is not what it should be. */
static int drain_table(struct haven_node *n, struct local_table *t)
{
	int err = 0;

	for (unsigned lane = 0; !err && lane < t->lanes; lane++) {
		struct mirror_stage *stage = &t->lane[lane].stage;
		uint64_t from = stage->in_table, start = clock_now_ns();

		err = mirror_io_drain(&t->table, lane, stage, DRAIN_RECORDS);
		local_warm_measure(t, stage->in_table - from, clock_now_ns() - start);
		local_warm_show(n, t, lane);
	}
	return err;
}

/* The kept commits cannot be applied: its application has spoiled the table. */
static void drain_failed(struct haven_node *n, struct local_component *c, unsigned i, uint64_t now)
{
	struct brain_event lost = {.kind = BRAIN_COPY_LOST,
				   .instance = (uint8_t)(c->object.hot.instance_first + i)};

	c->gate[i].draining = false;
	loop_post(n, &lost);
	local_fail(n, c, now, "the commits that it keeps cannot be applied to its table");
}

/* One turn's part for one instance. Returns how many tables were worked on. */
static unsigned drain_instance(struct haven_node *n, struct local_component *c, unsigned i,
			       uint64_t now)
{
	unsigned instance = c->object.hot.instance_first + i, worked = 0;
	struct local_gate *g = &c->gate[i];

	if (brain_role(n->brain, instance) != HAVEN_PRIMARY || g->closing ||
	    c->state != LOCAL_READY) {
		g->draining = false;
		return 0;
	}
	if (!local_gate_baton(c, i))
		return 0;
	for (unsigned k = 0; k < c->n_tables; k++) {
		if (c->table[k]->instance != i)
			continue;
		worked++;
		if (drain_table(n, c->table[k])) {
			drain_failed(n, c, i, now);
			return worked;
		}
	}
	if (!local_warm_waits(c, i)) {
		g->draining = false;
		local_gate_role(n, instance, HAVEN_PRIMARY, brain_view(n->brain)->epoch,
				brain_lease_until(n->brain), now);
	}
	return worked;
}

unsigned local_warm_scan(struct haven_node *n, struct local_component *c, uint64_t now)
{
	unsigned worked = 0;

	for (unsigned i = 0; i < c->object.hot.instances; i++)
		if (c->gate[i].draining)
			worked += drain_instance(n, c, i, now);
	return worked;
}
