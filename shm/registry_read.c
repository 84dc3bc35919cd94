/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader side: look-ups that are not on the hot path, and copies for readers without a slot. What
 * they read may change under them or be garbage: every number is checked when it is used, and all
 * loops are bounded.
 */
#include <sched.h>
#include <unistd.h>

#include "client_segment.h"
#include "registry_inner.h"
#include "words.h"

#define COPY_TRIES 200
/** Tries after which the reader steps aside for a writer that was interrupted on this CPU. */
#define SPIN_TRIES 16
/** Slots whose objects are fetched ahead of an iteration. */
#define NEXT_AHEAD 16u

static void step_aside(int attempt)
{
	if (attempt < SPIN_TRIES)
		cpu_relax();
	else
		sched_yield();
}

bool registry_key_set(struct registry_key *key, const char *name)
{
	size_t length = strnlen(name, HAVEN_NAME_MAX);

	memset(key->text, 0, sizeof(key->text));
	if (length == 0 || length == HAVEN_NAME_MAX)
		return false;
	memcpy(key->text, name, length);
	return true;
}

const struct registry_hot *registry_find(const struct registry *r, const char *name)
{
	struct registry_key key;

	return registry_key_set(&key, name) ? registry_find_key(r, &key) : NULL;
}

unsigned registry_find_bulk(const struct registry *r, const struct registry_key *const *keys,
			    unsigned n, const struct registry_hot **out)
{
	const struct registry_bucket *bucket[REGISTRY_BULK_MAX];
	uint32_t match[REGISTRY_BULK_MAX];
	uint16_t tag[REGISTRY_BULK_MAX];
	unsigned found = 0;

	HAVEN_ASSERT(n <= REGISTRY_BULK_MAX);
	for (unsigned i = 0; i < n; i++) {
		uint64_t hash = registry_hash(r, keys[i]);

		bucket[i] = &r->index[hash & r->bucket_mask];
		tag[i] = registry_tag(hash);
		__builtin_prefetch(bucket[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t place;

		match[i] = registry_tags(bucket[i], tag[i]);
		place = match[i] ? load_relaxed(&bucket[i]->place[__builtin_ctz(match[i])]) - 1
				 : REGISTRY_NONE;
		if (place < r->objects)
			__builtin_prefetch(&r->hot[place]);
	}
	for (unsigned i = 0; i < n; i++) {
		out[i] = registry_bucket_find(r, bucket[i], match[i], keys[i]);
		/* Some names live behind a full bucket: they take the long way. */
		if (!out[i] && load_relaxed(&bucket[i]->overflow))
			out[i] = registry_find_key(r, keys[i]);
		found += out[i] != NULL;
	}
	return found;
}

const struct registry_hot *registry_next(const struct registry *r, uint32_t *cursor)
{
	while (*cursor < r->components) {
		uint32_t slot = (*cursor)++, place = registry_place_of(r, slot), ahead;

		ahead = slot + NEXT_AHEAD < r->components
				? load_relaxed(&r->directory[slot + NEXT_AHEAD]) - 1
				: REGISTRY_NONE;
		if (ahead < r->objects)
			__builtin_prefetch(&r->hot[ahead]);
		if (place != REGISTRY_NONE &&
		    registry_slot_of(load_relaxed(&r->hot[place].handle)) == slot)
			return &r->hot[place];
	}
	return NULL;
}

bool registry_object_copy(const struct registry *r, uint32_t place, struct registry_component *out)
{
	const struct registry_hot *hot = &r->hot[place];
	uint32_t version = load_acquire(&hot->version); /* C2 */

	words_load(&out->hot, hot, sizeof(out->hot));
	words_load(&out->cold, &r->cold[place], sizeof(out->cold));
	fence_acquire(); /* C2 */
	return !(version & 1) && load_relaxed(&hot->version) == version;
}

int registry_copy_dead(const struct registry *r, uint32_t slot, struct registry_component *out)
{
	uint32_t place = slot < r->components ? registry_place_of(r, slot) : REGISTRY_NONE;

	if (place == REGISTRY_NONE)
		return -HAVEN_ENOENT;
	/* Still shown by the slot after the copy: so it was this slot's object then. */
	if (!registry_object_copy(r, place, out) || registry_place_of(r, slot) != place)
		return -HAVEN_EAGAIN;
	out->hot.name[HAVEN_NAME_MAX - 1] = 0;
	out->cold.group[HAVEN_NAME_MAX - 1] = 0;
	out->cold.release[HAVEN_NAME_MAX - 1] = 0;
	return 0;
}

int registry_copy_slot(const struct registry *r, uint32_t slot, struct registry_component *out)
{
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		int status = registry_copy_dead(r, slot, out);

		if (status != -HAVEN_EAGAIN)
			return status;
	}
	return -HAVEN_EAGAIN;
}

int registry_get_copy(const struct registry *r, uint64_t handle, struct registry_component *out)
{
	int status = registry_copy_slot(r, registry_slot_of(handle), out);

	if (status == -HAVEN_ENOENT || (status == 0 && out->hot.handle != handle))
		return -HAVEN_ESTALE;
	return status;
}

int registry_find_copy(const struct registry *r, const char *name, struct registry_component *out)
{
	struct registry_key key;

	if (!registry_key_set(&key, name))
		return -HAVEN_ENOENT;
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		const struct registry_hot *hot = registry_find_key(r, &key);

		if (!hot)
			return -HAVEN_ENOENT;
		if (registry_get_copy(r, load_relaxed(&hot->handle), out) == 0 &&
		    strcmp(out->hot.name, name) == 0)
			return 0;
	}
	return -HAVEN_EAGAIN;
}

bool registry_gate_copy(const struct registry_gate *gate, struct registry_gate *out)
{
	uint32_t version = load_acquire(&gate->version); /* G2 */

	words_load(out, gate, sizeof(*out));
	fence_acquire(); /* G2 */
	return !(version & 1) && load_relaxed(&gate->version) == version;
}

bool registry_lane_copy(const struct registry *r, uint32_t i, struct registry_lane *lane,
			struct registry_checkpoint *what)
{
	uint32_t owner = load_acquire(&r->lanes[i].component); /* A1 */

	if (owner == REGISTRY_NONE)
		return false;
	words_load(lane, &r->lanes[i], sizeof(*lane));
	words_load(what, &r->checkpoints[i], sizeof(*what));
	fence_acquire();
	what->name[sizeof(what->name) - 1] = 0;
	/* A line is described while it has no owner. */
	return load_relaxed(&r->lanes[i].component) == owner;
}

static void status_tidy(struct registry_status *s)
{
	if (s->n_nodes > HAVEN_NODES_MAX)
		s->n_nodes = HAVEN_NODES_MAX;
	if (s->n_instances > HAVEN_INSTANCES_MAX)
		s->n_instances = HAVEN_INSTANCES_MAX;
	for (unsigned i = 0; i < REGISTRY_STATUS_PEERS; i++) {
		s->peer[i].name[HAVEN_NAME_MAX - 1] = 0;
		s->peer[i].release[HAVEN_NAME_MAX - 1] = 0;
	}
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++) {
		s->instance[i].name[HAVEN_NAME_MAX - 1] = 0;
		s->instance[i].group[HAVEN_NAME_MAX - 1] = 0;
	}
}

int registry_copy_status(const struct registry *r, struct registry_status *out)
{
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		uint64_t version = load_acquire(&r->status->version); /* S2 */

		if (version & 1)
			continue;
		words_load(out, r->status, sizeof(*out));
		fence_acquire(); /* S2 */
		if (load_relaxed(&r->status->version) != version)
			continue;
		status_tidy(out);
		return 0;
	}
	return -HAVEN_EAGAIN;
}

/** Epochs and generations are counted up; no node counts half through 64 bits. */
#define EPOCH_MAX (UINT64_MAX / 2)

int registry_floors(const struct registry *r, uint64_t *generation, uint64_t *rcu_epoch)
{
	uint64_t most = load_acquire(&r->header->generation);
	uint64_t epoch = load_relaxed(&r->header->rcu_epoch);

	/* The generation of a gate counts from 2^16 times that of the handles at start. */
	for (uint32_t i = 0; i < r->shape.gates; i++) {
		uint64_t gate = load_relaxed(&r->gates[i].generation) >> 16;

		if (gate >= most)
			most = gate + 1;
	}
	if (most > REGISTRY_GENERATION_MAX || epoch > EPOCH_MAX)
		return -HAVEN_ECORRUPT;
	if (most > *generation)
		*generation = most;
	if (epoch > *rcu_epoch)
		*rcu_epoch = epoch;
	return 0;
}

bool registry_writer_alive(const struct registry *r)
{
	int fd = process_pidfd(load_relaxed(&r->header->pid),
			       load_relaxed(&r->header->pid_start_ticks));
	bool alive;

	if (fd < 0)
		return false;
	alive = !process_ended(fd);
	close(fd);
	return alive;
}
