/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers of a table, in any process, beside a running writer that may be hostile. Bytes are copied
 * while they may change; whether the copy counts is decided by the entry's version afterwards. All
 * loops are bounded by the private geometry.
 */
#include <string.h>

#include "table.h"
#include "table_place.h"
#include "words.h"

#define WALK_TRIES 16

/** One look along a chain. Returns 0, -ENOENT, or -EAGAIN when something changed meanwhile. */
static int chain_walk(const struct table *t, const struct table_place *p, const void *key,
		      void *value)
{
	const struct table_shape *shape = &p->g->shape;
	uint32_t index = load_acquire(table_place_head(p, key, t->hash_seed)); /* T2 */

	for (unsigned step = 0; index && step < TABLE_CHAIN_MAX; step++) {
		const struct table_entry *e;
		uint32_t version, next;
		uint64_t seq;
		bool same;

		if (!table_place_valid(p, index))
			return -HAVEN_EAGAIN;
		e = table_place_entry(p, index);
		version = load_acquire(&e->version); /* T1 */
		seq = load_relaxed(&e->seq);
		next = load_acquire(&e->next); /* T2 */
		same = bytes_equal(e->data, key, shape->key_bytes);
		if (same && shape->value_bytes)
			bytes_load(value, e->data + shape->key_bytes, shape->value_bytes);
		fence_acquire();
		if (load_relaxed(&e->version) != version || seq == 0)
			return -HAVEN_EAGAIN;
		if (same)
			return version & 1 ? -HAVEN_EAGAIN : 0;
		/* An entry in a chain changes its value alone, so its key and link can be gone by,
		 * even if its writer died in the middle. One that left the chain under us cannot;
		 * then a miss does not count (T5). */
		index = next;
	}
	return index ? -HAVEN_EAGAIN : -HAVEN_ENOENT;
}

static int block_get(const struct table_place *p, const void *key, void *value)
{
	uint32_t index = table_place_block(p, key);
	const struct table_entry *e;

	if (index == 0)
		return -HAVEN_EINVAL;
	e = table_place_entry(p, index);
	for (int i = 0; i < WALK_TRIES; i++) {
		uint32_t version = load_acquire(&e->version); /* T1 */
		uint64_t seq = load_relaxed(&e->seq);

		bytes_load(value, e->data + p->g->shape.key_bytes, p->g->shape.value_bytes);
		fence_acquire();
		if (!(version & 1) && load_relaxed(&e->version) == version)
			return seq ? 0 : -HAVEN_ENOENT;
		cpu_relax();
	}
	return -HAVEN_EAGAIN;
}

int table_get(const struct table *t, unsigned lane, const void *key, void *value)
{
	struct table_place p;

	if (lane >= t->geometry.shape.lanes)
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	if (table_is_region(t))
		return block_get(&p, key, value);
	for (int i = 0; i < WALK_TRIES; i++) {
		uint64_t unlinks = load_acquire(&p.header->unlinks); /* T5 */
		int status = chain_walk(t, &p, key, value);

		if (status == 0)
			return 0;
		if (status == -HAVEN_ENOENT) {
			fence_acquire(); /* T5 */
			if (load_relaxed(&p.header->unlinks) == unlinks)
				return status;
		}
		cpu_relax();
	}
	return -HAVEN_EAGAIN;
}

uint64_t table_committed(const struct table *t, unsigned lane)
{
	if (lane >= t->geometry.shape.lanes)
		return 0;
	return load_acquire(&table_place(t, lane).header->committed_seq); /* T4 */
}

uint64_t table_next(const struct table *t, unsigned lane)
{
	if (lane >= t->geometry.shape.lanes)
		return 0;
	fence_acquire(); /* the changes seen before come from before the number we load */
	return load_acquire(&table_place(t, lane).header->next_seq);
}

uint32_t table_live(const struct table *t, unsigned lane)
{
	uint32_t live;

	if (lane >= t->geometry.shape.lanes)
		return 0;
	live = load_relaxed(&table_place(t, lane).header->live);
	return live < t->geometry.lane_entries ? live : t->geometry.lane_entries;
}

uint32_t table_scan_end(const struct table *t, unsigned lane)
{
	uint32_t end;

	if (lane >= t->geometry.shape.lanes)
		return 1;
	end = load_acquire(&table_place(t, lane).header->never_used);
	if (end == 0)
		return 1;
	return end <= t->geometry.lane_entries ? end : t->geometry.lane_entries + 1;
}

int table_read_record(const struct table *t, unsigned lane, uint64_t seq, struct table_record *out)
{
	const struct table_geometry *g = &t->geometry;
	struct table_place p;

	if (lane >= g->shape.lanes)
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	memcpy(out, table_place_record(&p, seq), g->record_bytes);
	if (out->seq != seq || (out->op != TABLE_OP_PUT && out->op != TABLE_OP_DELETE))
		return -HAVEN_ECORRUPT;
	out->flags &= TABLE_RECORD_COMMIT;
	return 0;
}

int table_read_entry(const struct table *t, unsigned lane, uint32_t index, uint64_t *seq,
		     void *data)
{
	const struct table_shape *shape = &t->geometry.shape;
	const struct table_entry *e;
	struct table_place p;
	uint64_t freed_by;
	uint32_t version;

	*seq = 0;
	if (lane >= shape->lanes)
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	if (!table_place_valid(&p, index))
		return -HAVEN_ENOENT;
	e = table_place_entry(&p, index);
	version = load_acquire(&e->version); /* T1 */
	*seq = load_relaxed(&e->seq);
	bytes_load(data, e->data, shape->key_bytes + shape->value_bytes);
	words_load(&freed_by, e->data, sizeof(freed_by));
	fence_acquire();
	if ((version & 1) || load_relaxed(&e->version) != version)
		return -HAVEN_EAGAIN;
	if (*seq)
		return 0;
	*seq = freed_by;
	return -HAVEN_ENOENT;
}

uint64_t table_digest(const struct table *t, unsigned lane)
{
	uint8_t data[TABLE_KEY_MAX + TABLE_VALUE_MAX];
	size_t bytes = t->geometry.shape.key_bytes + t->geometry.shape.value_bytes;
	uint32_t end = table_scan_end(t, lane);
	uint64_t sum = 0, seq;

	for (uint32_t i = 1; i < end; i++)
		if (table_read_entry(t, lane, i, &seq, data) == 0)
			sum += hash_bytes(data, bytes, TABLE_MAGIC);
	return sum;
}
