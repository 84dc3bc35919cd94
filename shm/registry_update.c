/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: components, their gates and lane lines.
 *
 * A component is found through index -> directory slot -> object. Readers run beside every change:
 *   add      object, then directory (C1), then index
 *   update   new object, then directory (C1); the old object is retired
 *   remove   index, then directory; object, slot, gates and lane lines are retired
 * What is retired is reused only when every reader slot has passed the epoch opened after it was
 * unlinked (rcu.h).
 */
#include <string.h>

#include "clock.h"
#include "rcu.h"
#include "registry_inner.h"

/** Items looked at per turn of the poll loop. */
#define RECLAIM_MAX 64
/** Objects that adding leaves for updates: one for each component that may exist. */
#define OBJECTS_KEPT REGISTRY_COMPONENTS_MAX

static uint32_t slot_of(uint64_t handle)
{
	return (uint32_t)(handle & ((1u << REGISTRY_SLOT_BITS) - 1));
}

/** Slot of a live handle, REGISTRY_NONE when it is stale. */
static uint32_t slot_check(const struct registry_writer *w, uint64_t handle)
{
	uint32_t slot = slot_of(handle);

	if (slot >= REGISTRY_COMPONENTS_MAX || w->slot[slot] != PLACE_USED ||
	    w->handle[slot] != handle)
		return REGISTRY_NONE;
	return slot;
}

/** First fit of `count` neighbours. */
static uint32_t places_find(const uint8_t *places, uint32_t n, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < n; i++) {
		run = places[i] == PLACE_FREE ? run + 1 : 0;
		if (run == count)
			return i + 1 - count;
	}
	return REGISTRY_NONE;
}

/** Position of the name in the index, or the place where it may go; REGISTRY_NONE: index full. */
static uint32_t index_seek(const struct registry *r, const char *name, bool *found)
{
	uint32_t free_at = REGISTRY_NONE, at = registry_hash(r, name);

	*found = false;
	for (uint32_t i = 0; i < r->index_slots; i++, at = (at + 1) & (r->index_slots - 1)) {
		uint32_t entry = load_relaxed(&r->index[at]);

		if (entry == REGISTRY_INDEX_EMPTY)
			return free_at == REGISTRY_NONE ? at : free_at;
		if (entry - 1 >= REGISTRY_COMPONENTS_MAX) { /* deleted */
			free_at = free_at == REGISTRY_NONE ? at : free_at;
			continue;
		}
		if (strcmp(registry_object(r, r->writer->object[entry - 1])->name, name) == 0) {
			*found = true;
			return at;
		}
	}
	return free_at;
}

/** Take an entry out. Deleted entries at the end of a run become empty again, so that look-ups do
 *  not grow longer over time; nothing stands behind them that a reader could miss. */
static void index_remove(struct registry *r, uint32_t at)
{
	uint32_t mask = r->index_slots - 1;

	store_release(&r->index[at], REGISTRY_INDEX_DELETED);
	if (load_relaxed(&r->index[(at + 1) & mask]) != REGISTRY_INDEX_EMPTY)
		return;
	for (uint32_t i = 0; i < r->index_slots; i++, at = (at - 1) & mask) {
		if (load_relaxed(&r->index[at]) != REGISTRY_INDEX_DELETED)
			return;
		store_release(&r->index[at], REGISTRY_INDEX_EMPTY);
	}
}

/** Fill a free object with `*c`. Readers without a slot see the version change (C2). */
static uint32_t object_fill(struct registry *r, const struct registry_component *c)
{
	struct registry_writer *w = r->writer;
	uint32_t place = w->free_object[--w->free_objects];
	struct registry_component *o = registry_object(r, place), copy = *c;

	copy.version = load_relaxed(&o->version) | 1;
	store_relaxed(&o->version, copy.version);
	fence_release(); /* C2 */
	memcpy(o, &copy, sizeof(copy));
	store_release(&o->version, copy.version + 1); /* C2 */
	return place;
}

/** Let slot `slot` show the object at `place`. */
static void object_publish(struct registry *r, uint32_t slot, uint32_t place)
{
	r->writer->object[slot] = place;
	store_release(&r->directory[slot],
		      r->arena_offset + place * sizeof(struct registry_component)); /* C1 */
}

static void retire(struct registry *r, uint64_t epoch, enum retired_kind kind, uint32_t first,
		   uint32_t count)
{
	struct registry_writer *w = r->writer;

	HAVEN_ASSERT(w->retired_count < REGISTRY_RETIRED_MAX);
	w->retired[(w->retired_head + w->retired_count++) % REGISTRY_RETIRED_MAX] =
		(struct registry_retired){.epoch = epoch,
					  .at_ns = clock_now_ns(),
					  .first = first,
					  .count = count,
					  .kind = kind};
}

static int component_check(const struct registry_component *c, struct error_text *error)
{
	if (c->name[0] == 0 || !memchr(c->name, 0, sizeof(c->name)) ||
	    !memchr(c->group, 0, sizeof(c->group)) || !memchr(c->release, 0, sizeof(c->release)))
		return error_set(error, HAVEN_EINVAL,
				 "component: name must have 1 to %d bytes, group and release at "
				 "most that",
				 HAVEN_NAME_MAX - 1);
	if (c->instances > HAVEN_INSTANCES_MAX)
		return error_set(error, HAVEN_EINVAL, "component %s: %u instances, at most %d",
				 c->name, c->instances, HAVEN_INSTANCES_MAX);
	return 0;
}

static void gates_take(struct registry *r, const struct registry_component *c, uint32_t slot)
{
	for (uint32_t i = 0; i < c->instances; i++) {
		struct registry_gate *g = &r->gates[c->gate_first + i];

		r->writer->gate[c->gate_first + i] = PLACE_USED;
		store_relaxed(&g->component, slot);
		store_relaxed(&g->instance, (uint16_t)(c->instance_first + i));
		store_relaxed(&g->assigned_node, (uint16_t)HAVEN_NODE_NONE);
		/* A new generation in any case: nobody has confirmed it yet. */
		registry_gate_change(g, HAVEN_OFFLINE, 0);
	}
}

int registry_add(struct registry *r, struct registry_component *c, struct error_text *error)
{
	struct registry_writer *w = r->writer;
	uint32_t slot, at, gate = 0;
	int status = component_check(c, error);
	bool found;

	if (status)
		return status;
	at = index_seek(r, c->name, &found);
	if (found)
		return error_set(error, HAVEN_EEXIST, "a component named %s is registered already",
				 c->name);
	slot = places_find(w->slot, REGISTRY_COMPONENTS_MAX, 1);
	if (c->instances)
		gate = places_find(w->gate, REGISTRY_GATES_MAX, c->instances);
	if (at == REGISTRY_NONE || slot == REGISTRY_NONE || gate == REGISTRY_NONE ||
	    w->free_objects <= OBJECTS_KEPT)
		return error_set(error, HAVEN_EFULL,
				 "no room for component %s: %u components, %u gates and what "
				 "slow readers hold fill the registry",
				 c->name, REGISTRY_COMPONENTS_MAX, REGISTRY_GATES_MAX);
	c->handle = ++w->generation << REGISTRY_SLOT_BITS | slot;
	c->gate_first = (uint16_t)gate;
	c->lane_first = 0;
	c->lanes = 0;
	w->slot[slot] = PLACE_USED;
	w->handle[slot] = c->handle;
	gates_take(r, c, slot);
	object_publish(r, slot, object_fill(r, c));
	store_release(&r->index[at], slot + 1);
	return 0;
}

int registry_update(struct registry *r, const struct registry_component *c, struct rcu_domain *rcu)
{
	struct registry_writer *w = r->writer;
	uint32_t slot = slot_check(w, c->handle), old;
	const struct registry_component *now;
	struct registry_component next = *c;

	if (slot == REGISTRY_NONE)
		return -HAVEN_ESTALE;
	old = w->object[slot];
	now = registry_object(r, old);
	memcpy(next.name, now->name, sizeof(next.name));
	next.version = now->version;
	next.gate_first = now->gate_first;
	next.instances = now->instances;
	next.instance_first = now->instance_first;
	if (memcmp(&next, now, sizeof(next)) == 0)
		return 0;
	if (w->free_objects == 0)
		return -HAVEN_EFULL;
	object_publish(r, slot, object_fill(r, &next));
	retire(r, rcu_retire_epoch(rcu), RETIRED_OBJECT, old, 1);
	return 0;
}

int registry_lanes_reserve(struct registry *r, uint32_t count)
{
	struct registry_writer *w = r->writer;
	uint32_t first;

	if (count == 0)
		return -HAVEN_EFULL;
	first = places_find(w->lane, REGISTRY_LANES_MAX, count);
	if (first == REGISTRY_NONE)
		return -HAVEN_EFULL;
	for (uint32_t i = first; i < first + count; i++) {
		w->lane[i] = PLACE_USED;
		r->lanes[i] = (struct registry_lane){.component = REGISTRY_NONE};
	}
	return (int)first;
}

/** Retire those of the lines first … first+count-1 that are in use and that `owner` (or, with
 *  REGISTRY_NONE, anybody) has; one item for each run of neighbours. */
static void lanes_retire(struct registry *r, uint64_t epoch, uint32_t first, uint32_t count,
			 uint32_t owner)
{
	struct registry_writer *w = r->writer;
	uint32_t run = 0;

	for (uint32_t i = first; i < first + count; i++) {
		if (w->lane[i] == PLACE_USED &&
		    (owner == REGISTRY_NONE || load_relaxed(&r->lanes[i].component) == owner)) {
			w->lane[i] = PLACE_RETIRED;
			run++;
		} else if (run) {
			retire(r, epoch, RETIRED_LANES, i - run, run);
			run = 0;
		}
	}
	if (run)
		retire(r, epoch, RETIRED_LANES, first + count - run, run);
}

void registry_lanes_release(struct registry *r, uint32_t first, uint32_t count,
			    struct rcu_domain *rcu)
{
	if (first >= REGISTRY_LANES_MAX || count > REGISTRY_LANES_MAX - first)
		return;
	lanes_retire(r, rcu_retire_epoch(rcu), first, count, REGISTRY_NONE);
}

int registry_remove(struct registry *r, uint64_t handle, struct rcu_domain *rcu)
{
	struct registry_writer *w = r->writer;
	uint32_t slot = slot_check(w, handle), at;
	const struct registry_component *c;
	uint64_t epoch;
	bool found;

	if (slot == REGISTRY_NONE)
		return -HAVEN_ESTALE;
	c = registry_object(r, w->object[slot]);
	at = index_seek(r, c->name, &found);
	if (found)
		index_remove(r, at);
	store_release(&r->directory[slot], 0);
	w->slot[slot] = PLACE_RETIRED;
	for (uint32_t i = 0; i < c->instances; i++) {
		registry_gate_set(r, c->gate_first + i, HAVEN_OFFLINE,
				  load_relaxed(&r->gates[c->gate_first + i].epoch), 0);
		w->gate[c->gate_first + i] = PLACE_RETIRED;
	}
	epoch = rcu_retire_epoch(rcu);
	retire(r, epoch, RETIRED_OBJECT, w->object[slot], 1);
	if (c->instances)
		retire(r, epoch, RETIRED_GATES, c->gate_first, c->instances);
	lanes_retire(r, epoch, 0, REGISTRY_LANES_MAX, slot);
	retire(r, epoch, RETIRED_SLOT, slot, 1);
	return 0;
}

static void reclaim_one(struct registry *r, const struct registry_retired *x)
{
	struct registry_writer *w = r->writer;

	switch (x->kind) {
	case RETIRED_OBJECT:
		w->free_object[w->free_objects++] = x->first;
		break;
	case RETIRED_SLOT:
		w->slot[x->first] = PLACE_FREE;
		break;
	case RETIRED_GATES:
		for (uint32_t i = x->first; i < x->first + x->count; i++) {
			store_relaxed(&r->gates[i].component, REGISTRY_NONE);
			w->gate[i] = PLACE_FREE;
		}
		break;
	case RETIRED_LANES:
		for (uint32_t i = x->first; i < x->first + x->count; i++) {
			store_relaxed(&r->lanes[i].component, REGISTRY_NONE);
			w->lane[i] = PLACE_FREE;
		}
		break;
	}
}

void registry_reclaim(struct registry *r, struct rcu_domain *rcu)
{
	struct registry_writer *w = r->writer;
	uint64_t passed, now;

	if (w->retired_count == 0)
		return;
	passed = rcu_poll(rcu);
	now = clock_now_ns();
	for (int i = 0; i < RECLAIM_MAX && w->retired_count; i++) {
		const struct registry_retired *x = &w->retired[w->retired_head];

		if (x->epoch > passed)
			break;
		if (now - x->at_ns > rcu->grace_max_ns)
			rcu->grace_max_ns = now - x->at_ns;
		reclaim_one(r, x);
		w->retired_head = (w->retired_head + 1) % REGISTRY_RETIRED_MAX;
		w->retired_count--;
	}
	rcu->grace_from_ns = w->retired_count ? w->retired[w->retired_head].at_ns : 0;
}
