/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: the status bracket, the gates, and who owns gates and lane lines.
 */
#include "rcu.h"
#include "registry_inner.h"
#include "table.h"
#include "words.h"

void registry_status_begin(struct registry *r)
{
	store_relaxed(&r->status->version, load_relaxed(&r->status->version) | 1);
	fence_release(); /* S1: odd before anything changes */
}

void registry_status_end(struct registry *r)
{
	/* S1 (release): what changed is seen before the even version. */
	store_release(&r->status->version, (load_relaxed(&r->status->version) | 1) + 1);
}

void registry_status_publish(struct registry *r, const struct registry_status *next)
{
	const size_t from = sizeof(next->version);

	registry_status_begin(r);
	words_store((uint8_t *)r->status + from, (const uint8_t *)next + from,
		    sizeof(*next) - from);
	registry_status_end(r);
}

/* ---- gates ----------------------------------------------------------------------------------- */

void registry_gate_renew(struct registry *r, uint32_t gate, uint64_t valid_until_ns)
{
	HAVEN_ASSERT(gate < r->shape.gates);
	store_release(&r->gates[gate].valid_until_ns,
		      r->writer->gate[gate].role == HAVEN_PRIMARY ? valid_until_ns : 0);
}

/** Shut a gate and give it a role, an epoch and a new generation. */
static void gate_change(struct registry *r, uint32_t gate, enum haven_role role, uint64_t epoch)
{
	struct writer_gate *own = &r->writer->gate[gate];
	struct registry_gate *g = &r->gates[gate];

	own->role = (uint8_t)role;
	own->epoch = epoch;
	own->generation++;
	own->version += 2;
	/* Shut first (G1): who sees the new generation does not see the old end. */
	store_release(&g->valid_until_ns, 0);
	store_relaxed(&g->version, own->version - 1);
	fence_release(); /* G2: odd before anything changes */
	store_relaxed(&g->role, role);
	store_relaxed(&g->epoch, epoch);
	store_release(&g->generation, own->generation);
	store_release(&g->version, own->version); /* G2 */
}

void registry_gate_set(struct registry *r, uint32_t gate, enum haven_role role, uint64_t epoch,
		       uint64_t valid_until_ns)
{
	const struct writer_gate *own;

	HAVEN_ASSERT(gate < r->shape.gates);
	own = &r->writer->gate[gate];
	if (own->role != (uint8_t)role || own->epoch != epoch)
		gate_change(r, gate, role, epoch);
	registry_gate_renew(r, gate, valid_until_ns); /* open last (G1) */
}

uint64_t registry_gate_generation(const struct registry *r, uint32_t gate)
{
	HAVEN_ASSERT(gate < r->shape.gates);
	return r->writer->gate[gate].generation;
}

uint32_t registry_gates_find(struct registry *r, uint32_t count)
{
	struct registry_writer *w = r->writer;
	uint32_t run = 0;

	if (count == 0)
		return 0;
	while (w->gate_from < r->shape.gates && w->gate[w->gate_from].use != USE_FREE)
		w->gate_from++;
	for (uint32_t i = w->gate_from; i < r->shape.gates; i++) {
		run = w->gate[i].use == USE_FREE ? run + 1 : 0;
		if (run == count)
			return i + 1 - count;
	}
	return REGISTRY_NONE;
}

void registry_gates_take(struct registry *r, const struct registry_hot *hot, uint32_t slot)
{
	for (uint32_t i = 0; i < hot->instances; i++) {
		uint32_t gate = hot->gate_first + i;
		struct registry_gate *g = &r->gates[gate];

		r->writer->gate[gate].use = USE_LIVE;
		store_relaxed(&g->instance, (uint16_t)(hot->instance_first + i));
		store_relaxed(&g->assigned_node, (uint16_t)HAVEN_NODE_NONE);
		/* A new generation in any case: nobody has confirmed it yet. */
		gate_change(r, gate, HAVEN_OFFLINE, 0);
		store_release(&g->component, slot); /* A1 */
	}
}

void registry_gates_shut(struct registry *r, const struct registry_hot *hot)
{
	for (uint32_t i = 0; i < hot->instances; i++) {
		struct writer_gate *own = &r->writer->gate[hot->gate_first + i];

		registry_gate_set(r, hot->gate_first + i, HAVEN_OFFLINE, own->epoch, 0);
		own->use = USE_RETIRED;
	}
}

void registry_gates_free(struct registry *r, const struct registry_hot *hot)
{
	struct registry_writer *w = r->writer;

	if (hot->instances && hot->gate_first < w->gate_from)
		w->gate_from = hot->gate_first;
	for (uint32_t i = hot->gate_first; i < hot->gate_first + hot->instances; i++) {
		store_relaxed(&r->gates[i].component, REGISTRY_NONE);
		w->gate[i].use = USE_FREE;
	}
}

/* ---- lane lines ------------------------------------------------------------------------------ */

int registry_lanes_reserve(struct registry *r, uint32_t count)
{
	const struct registry_lane empty = {.component = REGISTRY_NONE};
	const struct registry_checkpoint unnamed = {.name = ""};
	struct registry_writer *w = r->writer;
	uint32_t run = 0, i;

	while (w->lane_from < r->shape.lanes && w->lane[w->lane_from].use != USE_FREE)
		w->lane_from++;
	for (i = w->lane_from; i < r->shape.lanes && run < count; i++)
		run = w->lane[i].use == USE_FREE ? run + 1 : 0;
	if (count == 0 || run < count)
		return -HAVEN_EFULL;
	for (uint32_t k = i - count; k < i; k++) {
		w->lane[k] = (struct writer_lane){.owner = REGISTRY_NONE, .use = USE_LIVE};
		words_store(&r->lanes[k], &empty, sizeof(empty));
		words_store(&r->checkpoints[k], &unnamed, sizeof(unnamed));
	}
	return (int)(i - count);
}

static bool lanes_in_range(const struct registry *r, uint32_t first, uint32_t count)
{
	return first < r->shape.lanes && count <= r->shape.lanes - first;
}

/** Are all of these reserved, and nobody's yet? */
static bool lanes_ownerless(const struct registry *r, uint32_t first, uint32_t count)
{
	if (!lanes_in_range(r, first, count))
		return false;
	for (uint32_t i = first; i < first + count; i++) {
		if (r->writer->lane[i].use != USE_LIVE || r->writer->lane[i].owner != REGISTRY_NONE)
			return false;
	}
	return true;
}

int registry_lanes_describe(struct registry *r, uint32_t first, const struct table_geometry *g)
{
	const struct table_shape *s = &g->shape;
	struct registry_checkpoint what = {.key_bytes = s->key_bytes,
					   .value_bytes = s->value_bytes,
					   .capacity = s->capacity,
					   .lane_records = s->lane_records,
					   .kind = (uint8_t)s->kind,
					   .mode = (uint8_t)s->mode,
					   .lanes = (uint8_t)s->lanes};

	if (!lanes_ownerless(r, first, s->lanes))
		return -HAVEN_EINVAL;
	memcpy(what.name, s->name, sizeof(what.name));
	for (uint32_t i = 0; i < s->lanes; i++) {
		what.lane_capacity = table_geometry_room(g, i);
		/* Nobody looks before the line has an owner (A1). */
		words_store(&r->checkpoints[first + i], &what, sizeof(what));
	}
	return 0;
}

int registry_lanes_give(struct registry *r, uint32_t first, uint32_t count, uint64_t handle)
{
	struct registry_writer *w = r->writer;
	uint32_t slot = registry_slot_live(r, handle);

	if (slot == REGISTRY_NONE)
		return -HAVEN_ESTALE;
	if (!lanes_ownerless(r, first, count))
		return -HAVEN_EINVAL;
	for (uint32_t i = first; i < first + count; i++) {
		w->lane[i].owner = slot;
		store_release(&r->lanes[i].component, slot); /* A1 */
	}
	w->slot[slot].lanes += count;
	return 0;
}

/** Retire those of the lines first … first+count-1 that are in use and that `owner` (or, with
 *  REGISTRY_NONE, anybody) has; one item for each run of neighbours. */
static void lanes_retire(struct registry *r, uint64_t epoch, uint32_t first, uint32_t count,
			 uint32_t owner)
{
	struct registry_writer *w = r->writer;
	uint32_t run = 0;

	for (uint32_t i = first; i < first + count; i++) {
		struct writer_lane *lane = &w->lane[i];

		if (lane->use == USE_LIVE && (owner == REGISTRY_NONE || lane->owner == owner)) {
			if (lane->owner != REGISTRY_NONE)
				w->slot[lane->owner].lanes--;
			lane->use = USE_RETIRED;
			run++;
		} else if (run) {
			registry_retire(r, epoch, RETIRED_LANES, i - run, run);
			run = 0;
		}
	}
	if (run)
		registry_retire(r, epoch, RETIRED_LANES, first + count - run, run);
}

void registry_lanes_retire(struct registry *r, uint64_t epoch, uint32_t slot)
{
	if (r->writer->slot[slot].lanes)
		lanes_retire(r, epoch, 0, r->shape.lanes, slot);
}

void registry_lanes_release(struct registry *r, uint32_t first, uint32_t count,
			    struct rcu_domain *rcu)
{
	if (lanes_in_range(r, first, count))
		lanes_retire(r, rcu_retire_epoch(rcu), first, count, REGISTRY_NONE);
}

void registry_lanes_free(struct registry *r, uint32_t first, uint32_t count)
{
	struct registry_writer *w = r->writer;

	if (first < w->lane_from)
		w->lane_from = first;
	for (uint32_t i = first; i < first + count; i++) {
		store_relaxed(&r->lanes[i].component, REGISTRY_NONE);
		w->lane[i] = (struct writer_lane){.owner = REGISTRY_NONE, .use = USE_FREE};
	}
}
