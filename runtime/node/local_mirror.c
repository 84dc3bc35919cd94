/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lanes of local tables and the brain's slots for them. The node writes a lane only while it holds
 * the baton (local_gate_baton()).
 */
#include "clock.h"
#include "haven_assert.h"
#include "mirror_digest.h"
#include "node.h"

int local_slots_reserve(struct haven_node *n, struct local_component *c, struct local_table *t)
{
	struct local_slot *slots = n->local.slot;
	unsigned run = 0;

	for (unsigned s = 0; s < BRAIN_SLOTS_MAX; s++) {
		run = slots[s].component ? 0 : run + 1;
		if (run < t->lanes)
			continue;
		t->slot_first = (uint16_t)(s + 1 - run);
		for (unsigned lane = 0; lane < t->lanes; lane++)
			slots[t->slot_first + lane] = (struct local_slot){
				.component = c, .table = t, .lane = (uint8_t)lane};
		return t->slot_first;
	}
	return -HAVEN_EFULL;
}

static void slot_open(struct haven_node *n, struct local_component *c, struct local_table *t,
		      unsigned lane)
{
	const struct table_geometry *g = &t->table.geometry;
	struct brain_event e = {
		.kind = BRAIN_SLOT_OPEN,
		.slot = (uint16_t)(t->slot_first + lane),
		.stream = {.instance = (uint8_t)(c->object.hot.instance_first + t->instance),
			   .checkpoint = t->number,
			   .lane = (uint8_t)lane},
		.shape = mirror_io_shape_digest(&g->shape),
		.record_bytes = (uint16_t)mirror_io_record_bytes(g),
		.digest_bytes = (uint16_t)mirror_digest_bytes(g),
		.lane_records = g->shape.lane_records,
	};

	loop_post(n, &e);
}

void local_slots_open(struct haven_node *n, struct local_component *c)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		for (unsigned lane = 0; lane < c->table[k]->lanes; lane++)
			slot_open(n, c, c->table[k], lane);
		c->table[k]->open = true;
	}
}

void local_slots_close(struct haven_node *n, struct local_component *c)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		struct local_table *t = c->table[k];

		for (unsigned lane = 0; lane < t->lanes; lane++) {
			struct brain_event e = {.kind = BRAIN_SLOT_CLOSE,
						.slot = (uint16_t)(t->slot_first + lane)};

			t->lane[lane].reset_waits = false;
			if (t->open)
				loop_post(n, &e);
		}
		t->open = false;
	}
}

const struct local_slot *local_slot(const struct haven_node *n, unsigned slot)
{
	const struct local_slot *s;

	if (slot >= BRAIN_SLOTS_MAX)
		return NULL;
	s = &n->local.slot[slot];
	return s->component && s->table->open ? s : NULL;
}

static struct registry_lane *slot_line(struct haven_node *n, const struct local_slot *s)
{
	return &n->registry.lanes[s->table->lane_first + s->lane];
}

static void slot_answer(struct haven_node *n, unsigned slot, uint64_t seq, bool good)
{
	struct brain_event e = {
		.kind = BRAIN_APPLIED, .slot = (uint16_t)slot, .seq = seq, .up = good};

	loop_post(n, &e);
}

void local_acked(struct haven_node *n, unsigned slot, uint64_t seq, uint64_t consumed)
{
	const struct local_slot *s = local_slot(n, slot);
	struct registry_lane *line;
	uint64_t committed;

	if (!s)
		return;
	line = slot_line(n, s);
	committed = s->table->lane[s->lane].committed;
	store_release(&line->consumed_seq, consumed);
	store_release(&line->acked_seq, seq);
	store_relaxed(&line->lag_records, committed != LOCAL_NOT_TOLD && committed > seq
						  ? (uint32_t)(committed - seq)
						  : 0);
}

static void lane_reset(struct haven_node *n, unsigned slot, const struct local_slot *s,
		       uint64_t seq)
{
	struct registry_lane *line = slot_line(n, s);

	mirror_io_reset(&s->table->table, s->lane, &s->table->lane[s->lane].stage, seq);
	local_warm_show(n, s->table, s->lane);
	/* What was acknowledged stays told, unless the lane starts below it: then it is gone. */
	if (seq < line->consumed_seq)
		store_release(&line->consumed_seq, seq);
	if (seq < line->acked_seq)
		store_release(&line->acked_seq, seq);
	store_release(&line->applied_seq, seq);
	store_relaxed(&line->lag_records, 0);
	slot_answer(n, slot, seq, true);
}

void local_reset(struct haven_node *n, unsigned slot, uint64_t seq)
{
	const struct local_slot *s = local_slot(n, slot);
	struct local_lane *lane;

	if (!s) {
		slot_answer(n, slot, 0, false);
		return;
	}
	lane = &s->table->lane[s->lane];
	lane->reset_waits = false;
	if (local_gate_baton(s->component, s->table->instance)) {
		lane_reset(n, slot, s, seq);
		return;
	}
	/* A worker still has to say that it stopped writing. A secondary's session waits for it;
	 * a holder that was to begin afresh must not act before. */
	lane->reset_waits = true;
	lane->reset_seq = seq;
	if (brain_view(n->brain)
		    ->instance[s->component->object.hot.instance_first + s->table->instance]
		    .holder == n->self)
		slot_answer(n, slot, 0, false);
}

void local_resets_scan(struct haven_node *n, struct local_component *c)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		struct local_table *t = c->table[k];

		for (unsigned lane = 0; t->open && lane < t->lanes; lane++) {
			unsigned slot = t->slot_first + lane;

			if (!t->lane[lane].reset_waits || !local_gate_baton(c, t->instance))
				continue;
			t->lane[lane].reset_waits = false;
			lane_reset(n, slot, local_slot(n, slot), t->lane[lane].reset_seq);
		}
	}
}

bool local_reset_waits(const struct local_component *c, unsigned i)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		for (unsigned lane = 0; lane < c->table[k]->lanes; lane++) {
			if (c->table[k]->instance == i && c->table[k]->lane[lane].reset_waits)
				return true;
		}
	}
	return false;
}

void local_apply(struct haven_node *n, unsigned slot, const struct frame *frame)
{
	const struct local_slot *s = local_slot(n, slot);
	const struct frame_mirror *m = &frame->u.mirror;
	uint64_t applied = 0, from, start;
	struct mirror_stage *stage;
	int err;

	if (!s || !local_gate_baton(s->component, s->table->instance)) {
		slot_answer(n, slot, 0, false);
		return;
	}
	stage = &s->table->lane[s->lane].stage;
	from = stage->in_table;
	start = stage->log_records ? clock_now_ns() : 0;
	err = mirror_io_apply(&s->table->table, s->lane, stage, (enum mirror_kind)m->kind,
			      m->payload, m->payload_bytes, &applied);
	if (stage->log_records) {
		local_warm_measure(s->table, stage->in_table - from, clock_now_ns() - start);
		local_warm_show(n, s->table, s->lane);
	}
	store_release(&slot_line(n, s)->applied_seq, applied);
	slot_answer(n, slot, applied, err == 0);
}

void local_lanes_begin(struct local_component *c, unsigned i)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		for (unsigned lane = 0; c->table[k]->instance == i && lane < c->table[k]->lanes;
		     lane++)
			c->table[k]->lane[lane].committed = LOCAL_NOT_TOLD;
	}
}

/* Between two looks a writer can commit at most what its log holds, and never less than before. */
static int lane_commit(struct haven_node *n, struct local_table *t, unsigned lane)
{
	struct local_lane *l = &t->lane[lane];
	uint64_t seq = table_committed(&t->table, lane);
	uint32_t end = table_scan_end(&t->table, lane);
	struct brain_event e = {.kind = BRAIN_COMMITTED,
				.slot = (uint16_t)(t->slot_first + lane),
				.seq = seq,
				.count = end};

	if (seq == l->committed && end == l->scan_end)
		return 0;
	if (l->committed != LOCAL_NOT_TOLD &&
	    (seq < l->committed || seq - l->committed > t->table.geometry.shape.lane_records))
		return -HAVEN_ECORRUPT;
	l->committed = seq;
	l->scan_end = end;
	store_relaxed(&n->registry.lanes[t->lane_first + lane].committed_seq, seq);
	loop_post(n, &e);
	return 1;
}

/* Stored only when it differs: a worker reads the line all the time. */
static void lane_show(struct haven_node *n, const struct local_table *t, unsigned lane)
{
	struct registry_lane *line = &n->registry.lanes[t->lane_first + lane];
	uint32_t room = table_geometry_room(&t->table.geometry, lane);
	uint32_t live = table_live(&t->table, lane), dirty = table_dirty(&t->table, lane);
	uint64_t committed = table_committed(&t->table, lane);

	/* The application's word: what it says of itself must not contradict the registry. */
	live = live < room ? live : room;
	dirty = dirty < live ? dirty : live;
	if (load_relaxed(&line->dirty) > live)
		store_relaxed(&line->dirty, dirty);
	if (load_relaxed(&line->live) != live)
		store_release(&line->live, live);
	if (load_relaxed(&line->dirty) != dirty)
		store_release(&line->dirty, dirty);
	if (load_relaxed(&line->committed_seq) != committed)
		store_relaxed(&line->committed_seq, committed);
}

void local_lanes_show(struct haven_node *n, const struct local_component *c)
{
	for (unsigned k = 0; k < c->n_tables; k++) {
		for (unsigned lane = 0; lane < c->table[k]->lanes; lane++)
			lane_show(n, c->table[k], lane);
	}
}

int local_commits(struct haven_node *n, struct local_component *c, unsigned i)
{
	int moved = 0;

	for (unsigned k = 0; k < c->n_tables; k++) {
		struct local_table *t = c->table[k];

		if (t->instance != i || !t->open)
			continue;
		for (unsigned lane = 0; lane < t->lanes; lane++) {
			int result = lane_commit(n, t, lane);

			if (result < 0)
				return result;
			moved += result;
		}
	}
	return moved;
}
