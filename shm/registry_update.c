/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: components. Readers run beside every step, and the node may be killed between any two
 * stores; then nobody writes any more, and readers go on with what stands there.
 *
 * Order of the stores, each a release:
 *
 *   add      generation, gates, object; directory (C1); index entry (I1); told
 *   update   object; directory (C1); index entry (I1); told; new epoch, then retire
 *   remove   index entry; directory; gates shut; told; new epoch, then retire
 *   told     record in the ring of changes (W3); count of changes (W1)
 *
 * What readers may rely on, at any instant and after any death of the node:
 *
 *   A1  Whole: an object found by name or handle is whole, both parts, and its gates are those of
 *       its life (they were set up before it was shown).
 *   A2  Present: a component that is there all the time is found all the time, by name and by
 *       handle, whatever else is added, updated or removed. Its entry of the index never moves, its
 *       slot never changes, and both always show one of its objects.
 *   A3  Forward: who found an object by name finds that one or a later one by its handle, for
 *       the directory is stored first.
 *   A4  Gone: a handle that was removed is stale for ever. Slots come back under a greater
 *       generation, and each reader compares the whole handle.
 *   A5  Held: what was found inside an RCU section stays as it is until the section ends. It is
 *       retired with an epoch that is opened after the last step that hid it, and reused when every
 *       slot has passed that epoch (rcu.h).
 *   W1  Told: the count of changes is raised after the change is complete. Who reads the count
 *       first and looks up then has an answer that stands as long as the count does.
 *   W2  The count is raised before the epoch is opened. So a quiescent reader that shows the epoch
 *       in its slot sees the count, too: while it finds the count unchanged after its quiescent
 *       point, objects found before that point are not reused.
 *   W3  Listed: change number n stands in the ring of changes, whole, before the count shows n, and
 *       after the change is complete. So who reads the count p, lists the registry, and then reads
 *       the ring from position p on learns every change that his list may lack, in order; where
 *       the ring has overwritten some he is told how many, and lists again.
 *   A6  Unfinished: the most a death leaves is the newest step half done, which is: an object that
 *       nobody shows; a slot that the index does not name (added or removed by handle, not yet or
 *       no more by name); an entry of the index that shows the object before the newest; gates of a
 *       removed component still open until their lease ends; overflow counted one too high; a
 *       change in the ring that the count does not show yet.
 *       Each of them is legal for readers, registry_check() tells them as unfinished.
 */
#include "clock.h"
#include "rcu.h"
#include "registry_inner.h"
#include "words.h"

/** Items looked at per turn of the poll loop. */
#define RECLAIM_MAX 128

/** Fill a free object with `*c`. Readers without a slot see the version change (C2). */
static uint32_t object_fill(struct registry *r, struct registry_component *c)
{
	uint32_t place = registry_object_take(r);
	struct registry_hot *hot = &r->hot[place];

	c->hot.version = ++r->writer->fills * 2 - 1;
	store_relaxed(&hot->version, c->hot.version);
	fence_release(); /* C2: odd before anything changes */
	words_store(hot, &c->hot, sizeof(*hot));
	words_store(&r->cold[place], &c->cold, sizeof(c->cold));
	store_release(&hot->version, ++c->hot.version); /* C2 */
	return place;
}

/** Let slot `slot` show the object at `place`. */
static void object_show(struct registry *r, uint32_t slot, uint32_t place,
			const struct registry_hot *hot)
{
	struct writer_slot *s = &r->writer->slot[slot];

	s->own = *hot;
	s->place = place;
	store_release(&r->directory[slot], place + 1); /* C1 */
}

/** The change is complete: tell it. */
static void change_told(struct registry *r, enum registry_change_kind kind,
			const struct registry_hot *hot)
{
	registry_watch_tell(r, ++r->writer->changes, kind, hot); /* W3 */
	store_release(&r->header->changes, r->writer->changes);  /* W1 */
}

static bool terminated(const char *text)
{
	return memchr(text, 0, HAVEN_NAME_MAX) != NULL;
}

/** The first field out of its range, NULL: all good. */
static const char *component_refusal(const struct registry_component *c)
{
	if (!terminated(c->cold.group) || !terminated(c->cold.release))
		return "group or release is too long";
	if (c->hot.instances > HAVEN_INSTANCES_MAX)
		return "it has too many instances";
	if (c->hot.state >= HAVEN_ROLE_COUNT || c->hot.health >= HAVEN_HEALTH_COUNT)
		return "there is no such state or health";
	if (c->hot.load > REGISTRY_LOAD_MAX)
		return "its load is above its capacity";
	if (c->cold.n_depends > REGISTRY_DEPENDS_MAX)
		return "it depends on too many others";
	return NULL;
}

static int component_check(struct registry_component *c, struct registry_key *key,
			   struct error_text *error)
{
	const char *bad;

	if (!terminated(c->hot.name) || !registry_key_set(key, c->hot.name))
		return error_set(error, HAVEN_EINVAL, "component: its name must have 1 to %d bytes",
				 HAVEN_NAME_MAX - 1);
	bad = component_refusal(c);
	if (bad)
		return error_set(error, HAVEN_EINVAL, "component %s: %s", c->hot.name, bad);
	memcpy(c->hot.name, key->text, sizeof(c->hot.name)); /* padded */
	return 0;
}

/** Put a checked component into a free slot, under `handle`. */
static int component_place(struct registry *r, struct registry_component *c,
			   const struct registry_key *key, uint64_t handle,
			   struct error_text *error)
{
	uint32_t slot = registry_slot_of(handle), place;
	uint32_t gate = registry_gates_find(r, c->hot.instances);

	if (gate == REGISTRY_NONE)
		return error_set(error, HAVEN_EFULL,
				 "no room for component %s: it needs %u gates, the registry has "
				 "%u; give the registry more",
				 c->hot.name, c->hot.instances, r->shape.gates);
	c->hot.handle = handle;
	c->hot.gate_first = gate;
	c->cold.lane_first = 0;
	c->cold.lanes = 0;
	registry_slot_take(r->writer, slot);
	registry_gates_take(r, &c->hot, slot);
	place = object_fill(r, c);
	object_show(r, slot, place, &c->hot);
	registry_index_add(r, key, slot, place);
	change_told(r, REGISTRY_ADDED, &c->hot);
	return 0;
}

int registry_add(struct registry *r, struct registry_component *c, struct error_text *error)
{
	struct registry_writer *w = r->writer;
	struct registry_key key;
	int status = component_check(c, &key, error);

	if (status)
		return status;
	if (registry_index_seek(r, &key) != REGISTRY_NONE)
		return error_set(error, HAVEN_EEXIST, "a component named %s is registered already",
				 c->hot.name);
	if (w->free_slots == 0)
		return error_set(error, HAVEN_EFULL,
				 "no room for component %s: %u components, or what slow readers "
				 "hold of removed ones, fill the registry",
				 c->hot.name, r->components);
	if (w->generation >= REGISTRY_GENERATION_MAX)
		return error_set(error, HAVEN_EFULL,
				 "no handle is left for component %s; set the clock right and "
				 "start the node with an empty run directory",
				 c->hot.name);
	/* Before the handle is shown: a new node starts above what it finds here. */
	store_release(&r->header->generation, ++w->generation);
	return component_place(r, c, &key, w->generation << REGISTRY_SLOT_BITS | w->slot_head,
			       error);
}

int registry_adopt(struct registry *r, struct registry_component *c, struct error_text *error)
{
	struct registry_writer *w = r->writer;
	uint64_t handle = c->hot.handle;
	uint32_t slot = registry_slot_of(handle);
	struct registry_key key;
	int status = component_check(c, &key, error);

	if (status)
		return status;
	if (slot >= r->components)
		return error_set(error, HAVEN_EFULL,
				 "component %s was in slot %u; this registry has %u, give it more",
				 c->hot.name, slot, r->components);
	if (registry_index_seek(r, &key) != REGISTRY_NONE || w->slot[slot].use != USE_FREE)
		return error_set(error, HAVEN_EEXIST,
				 "a component named %s, or one in its slot, is registered already",
				 c->hot.name);
	if (handle >> REGISTRY_SLOT_BITS > w->generation || handle <= w->slot[slot].own.handle)
		return error_set(error, HAVEN_ESTALE,
				 "the handle of component %s is not from an earlier life of this "
				 "node, or it was removed since",
				 c->hot.name);
	return component_place(r, c, &key, handle, error);
}

int registry_update(struct registry *r, const struct registry_component *c, struct rcu_domain *rcu)
{
	struct registry_writer *w = r->writer;
	uint32_t slot = registry_slot_of(c->hot.handle), old, place;
	struct registry_component next = *c;
	const struct registry_hot *own;

	registry_index_fetch(r, slot, false);
	slot = registry_slot_live(r, c->hot.handle);
	if (slot == REGISTRY_NONE)
		return -HAVEN_ESTALE;
	if (component_refusal(c))
		return -HAVEN_EINVAL;
	own = &w->slot[slot].own;
	old = w->slot[slot].place;
	memcpy(next.hot.name, own->name, sizeof(next.hot.name));
	next.hot.version = own->version;
	next.hot.gate_first = own->gate_first;
	next.hot.instances = own->instances;
	next.hot.instance_first = own->instance_first;
	/* The one look at mapped words: what is shown already need not be shown again. */
	if (memcmp(&next.hot, own, sizeof(next.hot)) == 0 &&
	    memcmp(&next.cold, &r->cold[old], sizeof(next.cold)) == 0)
		return 0;
	/* The rest of the free objects is for adding: one for each free slot. */
	if (w->held == r->shape.spare)
		return -HAVEN_EFULL;
	place = object_fill(r, &next);
	object_show(r, slot, place, &next.hot);
	registry_index_show(r, slot, place);
	change_told(r, REGISTRY_UPDATED, &next.hot);
	w->held++;
	registry_retire(r, rcu_retire_epoch(rcu), RETIRED_OBJECT, old, 1);
	return 0;
}

int registry_remove(struct registry *r, uint64_t handle, struct rcu_domain *rcu)
{
	struct registry_writer *w = r->writer;
	uint32_t slot = registry_slot_of(handle);
	uint64_t epoch;

	registry_index_fetch(r, slot, true);
	slot = registry_slot_live(r, handle);
	if (slot == REGISTRY_NONE)
		return -HAVEN_ESTALE;
	registry_index_remove(r, slot);
	store_release(&r->directory[slot], 0);
	registry_gates_shut(r, &w->slot[slot].own);
	change_told(r, REGISTRY_REMOVED, &w->slot[slot].own);
	w->slot[slot].use = USE_RETIRED;
	epoch = rcu_retire_epoch(rcu); /* W2 */
	registry_lanes_retire(r, epoch, slot);
	registry_retire(r, epoch, RETIRED_COMPONENT, slot, 1);
	return 0;
}

const struct registry_hot *registry_own(const struct registry *r, uint64_t handle)
{
	uint32_t slot = registry_slot_live(r, handle);

	return slot == REGISTRY_NONE ? NULL : &r->writer->slot[slot].own;
}

const struct registry_hot *registry_own_find(const struct registry *r, const char *name)
{
	struct registry_key key;
	uint32_t slot;

	if (!registry_key_set(&key, name))
		return NULL;
	slot = registry_index_seek(r, &key);
	return slot == REGISTRY_NONE ? NULL : &r->writer->slot[slot].own;
}

const struct registry_hot *registry_own_slot(const struct registry *r, uint32_t slot)
{
	const struct writer_slot *s = slot < r->components ? &r->writer->slot[slot] : NULL;

	return s && s->use == USE_LIVE ? &s->own : NULL;
}

static void reclaim_one(struct registry *r, const struct writer_retired *x)
{
	struct registry_writer *w = r->writer;

	switch ((enum retired_kind)x->kind) {
	case RETIRED_OBJECT:
		registry_object_free(r, x->first);
		w->held--;
		break;
	case RETIRED_COMPONENT:
		registry_object_free(r, w->slot[x->first].place);
		registry_gates_free(r, &w->slot[x->first].own);
		registry_slot_free(w, x->first);
		break;
	case RETIRED_LANES:
		registry_lanes_free(r, x->first, x->count);
		break;
	}
}

static void grace_note(struct rcu_domain *rcu, uint64_t ns)
{
	if (ns > rcu->grace_max_ns)
		rcu->grace_max_ns = ns;
	if (rcu->grace)
		histogram_add(rcu->grace, ns);
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
		const struct writer_retired *x = &w->retired[w->retired_head];

		if (x->epoch > passed)
			break;
		grace_note(rcu, now - x->at_ns);
		reclaim_one(r, x);
		w->retired_head = w->retired_head + 1 == w->retired_max ? 0 : w->retired_head + 1;
		w->retired_count--;
	}
	rcu->grace_from_ns = w->retired_count ? w->retired[w->retired_head].at_ns : 0;
}
