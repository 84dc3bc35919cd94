/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the comparison of copies reads: settled entries on the writer's side, where a reader's look
 * may be of any instant, and the entry that a look-up finds on the replica's side, whose one writer
 * is the caller. Both sides' memory is hostile: indices are checked, walks are bounded.
 */
#include <string.h>

#include "table.h"
#include "table_place.h"
#include "words.h"

uint64_t table_entry_digest(const struct table *t, const void *data)
{
	return hash_bytes(data, t->geometry.shape.key_bytes + t->geometry.shape.value_bytes,
			  TABLE_MAGIC);
}

static bool waits_for_push(const struct table_place *p, uint32_t index)
{
	return load_relaxed(&p->dirty[index / 64]) >> index % 64 & 1;
}

int table_read_settled(const struct table *t, unsigned lane, uint32_t index, uint64_t *seq,
		       void *data)
{
	int status = table_read_entry(t, lane, index, seq, data);
	const struct table_entry *e;
	struct table_place p;
	uint32_t version;
	uint64_t again;

	if (status || !table_is_dirty(t))
		return status;
	p = table_place(t, lane);
	e = table_place_entry(&p, index);
	version = load_acquire(&e->version); /* T1 */
	/* The mark is set before its value is written, and taken away after its record's number
	 * was: if it is not there now and the entry has not moved since, the value is the record's.
	 */
	if (waits_for_push(&p, index))
		return -HAVEN_EAGAIN;
	status = table_read_entry(t, lane, index, &again, data);
	fence_acquire();
	if (status || again != *seq || (version & 1) || load_relaxed(&e->version) != version)
		return -HAVEN_EAGAIN;
	return 0;
}

bool table_live_at(const struct table *t, unsigned lane, uint64_t committed_seq, uint32_t *live)
{
	struct table_place p;
	uint64_t next = committed_seq + 1;

	if (lane >= t->geometry.shape.lanes || table_next(t, lane) != next)
		return false;
	p = table_place(t, lane);
	*live = table_live(t, lane);
	/* T7: whoever changes what is in use has the record in its slot before. */
	fence_acquire();
	return load_relaxed(&table_place_record(&p, next)->seq) != next &&
	       load_relaxed(&p.header->next_seq) == next;
}

/** Index of the key's entry, 0: a look-up does not find it. */
static uint32_t find_index(const struct table *t, const struct table_place *p, const void *key)
{
	uint32_t index;

	if (table_is_region(t))
		return table_place_block(p, key);
	index = load_relaxed(table_place_head(p, key, t->hash_seed));
	for (unsigned step = 0; step < TABLE_CHAIN_MAX && table_place_valid(p, index); step++) {
		const struct table_entry *e = table_place_entry(p, index);

		if (memcmp(e->data, key, p->g->shape.key_bytes) == 0)
			return index;
		index = load_relaxed(&e->next);
	}
	return 0;
}

int table_find(const struct table *t, unsigned lane, const void *key, uint64_t *seq, void *data)
{
	struct table_place p;
	uint32_t index;

	if (lane >= t->geometry.shape.lanes)
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	index = find_index(t, &p, key);
	if (index == 0)
		return -HAVEN_ENOENT;
	return table_read_entry(t, lane, index, seq, data);
}
