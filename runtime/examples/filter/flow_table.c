/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow_table.h"

#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_lcore.h>
#include <stdlib.h>
#include <string.h>

/* Work of one turn. */
#define FETCH_ENTRIES 64u
#define SWEEP_PLACES 64u

/* A flow that the checkpoint brings may be of a later release with more phases. */
static unsigned idle_seconds(const struct flow *f)
{
	return f->value.phase == FLOW_OPEN ? 300 : 10;
}

int flow_table_make(struct flow_table *t, uint32_t capacity)
{
	const struct rte_hash_parameters hash = {
		.name = "flows",
		.entries = capacity,
		.key_len = sizeof(struct flow_key),
		.hash_func = rte_jhash,
		.socket_id = (int)rte_socket_id(),
		/* A cuckoo hash alone may refuse a key before it is full. */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE};

	memset(t, 0, sizeof(*t));
	t->capacity = capacity;
	t->index = rte_hash_create(&hash);
	t->flow = calloc(capacity, sizeof(*t->flow));
	return t->index && t->flow ? 0 : -HAVEN_ENOMEM;
}

int flow_table_save(struct flow_table *t, struct haven_component *c, unsigned instance)
{
	const struct haven_table_config shape = {.name = "flows",
						 .key_bytes = sizeof(struct flow_key),
						 .value_bytes = sizeof(struct flow_value),
						 .capacity = t->capacity,
						 .lanes = 1};

	return haven_table_create(c, instance, &shape, &t->saved);
}

/* Into the hash alone. */
static struct flow *flow_add(struct flow_table *t, const struct flow_key *key,
			     const struct flow_value *value, uint64_t now)
{
	int32_t place = rte_hash_add_key(t->index, key);

	if (place < 0 || (uint32_t)place >= t->capacity)
		return NULL;
	t->flow[place] = (struct flow){.key = *key, .value = *value, .used = true, .last = now};
	return &t->flow[place];
}

static void flow_drop(struct flow_table *t, struct flow *f)
{
	rte_hash_del_key(t->index, &f->key);
	f->used = false;
}

struct flow *flow_find(struct flow_table *t, const struct flow_key *key, uint64_t now)
{
	int32_t place = rte_hash_lookup(t->index, key);
	struct flow_value value;

	if (place >= 0)
		return &t->flow[place];
	/* After a take-over a miss proves nothing until the whole checkpoint was read. */
	if (!t->whole && haven_get(t->worker, t->saved, key, &value) == 0)
		return flow_add(t, key, &value, now);
	return NULL;
}

struct flow *flow_open(struct flow_table *t, const struct flow_key *key, uint64_t now)
{
	const struct flow_value value = {.phase = FLOW_OPEN};
	struct flow *f = flow_add(t, key, &value, now);

	/* Refused, with nothing changed: the table is full, or the log until the standby caught up.
	 * The packet is dropped, and its sender tries again. */
	if (f && haven_put(t->worker, t->saved, key, &value) != 0) {
		flow_drop(t, f);
		return NULL;
	}
	return f;
}

bool flow_move(struct flow_table *t, struct flow *f, enum flow_phase phase)
{
	const struct flow_value value = {.phase = phase};

	if (haven_put(t->worker, t->saved, &f->key, &value) != 0)
		return false;
	f->value = value;
	return true;
}

/* Reads on in the checkpoint until the hash has everything. */
static void flow_fetch(struct flow_table *t, uint64_t now)
{
	struct {
		struct flow_key key;
		struct flow_value value;
	} entry[FETCH_ENTRIES];
	unsigned lane = haven_worker_lane(t->worker);
	unsigned n = haven_table_scan(t->saved, lane, &t->fetch_cursor, entry, FETCH_ENTRIES);

	for (unsigned i = 0; i < n; i++)
		if (rte_hash_lookup(t->index, &entry[i].key) < 0)
			flow_add(t, &entry[i].key, &entry[i].value, now);
	t->whole = n == 0;
}

static void flow_age(struct flow_table *t, uint64_t now)
{
	for (unsigned i = 0; i < SWEEP_PLACES; i++) {
		struct flow *f = &t->flow[t->sweep];

		t->sweep = (t->sweep + 1) % t->capacity;
		if (!f->used || now - f->last < idle_seconds(f) * rte_get_tsc_hz())
			continue;
		/* Refused while the log is full: the sweep comes by again. */
		if (haven_delete(t->worker, t->saved, &f->key) == 0)
			flow_drop(t, f);
	}
}

void flow_table_tend(struct flow_table *t, uint64_t now)
{
	if (!t->whole)
		flow_fetch(t, now);
	else
		flow_age(t, now);
}

void flow_table_forget(struct flow_table *t)
{
	rte_hash_reset(t->index);
	memset(t->flow, 0, t->capacity * sizeof(*t->flow));
	t->sweep = t->fetch_cursor = 0;
	t->whole = false;
}
