/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Where things stand in a checkpoint segment. Addresses follow from the private geometry alone;
 * indices that were read from the segment are checked here before they become an address.
 */
#ifndef HAVEN_TABLE_PLACE_H
#define HAVEN_TABLE_PLACE_H

#include <endian.h>
#include <string.h>

#include "hash.h"
#include "table.h"

#define TABLE_LANES_OFFSET 256u
#define TABLE_ALIGN 128u
HAVEN_STATIC_ASSERT(sizeof(struct table_header) <= TABLE_LANES_OFFSET, "the lanes follow it");

/** One lane of one table, resolved. */
struct table_place {
	const struct table_geometry *g;
	struct table_lane_header *header;
	uint8_t *log;
	uint32_t *heads;
	uint8_t *entries;
	uint64_t *dirty;              /**< a bit for each entry, by its index (mode DIRTY) */
	uint64_t *dirty_words;        /**< a bit for each word of these that may not be 0 */
	uint32_t block_first, blocks; /**< of a region: the lane's; of a table 0 */
};

static inline bool table_is_dirty(const struct table *t)
{
	return t->geometry.shape.mode == TABLE_MODE_DIRTY;
}

/** Words of 64 bits for bits 0 to `last`. */
static inline uint32_t table_bit_words(uint32_t last)
{
	return last / 64 + 1;
}

static inline bool table_is_region(const struct table *t)
{
	return t->geometry.shape.kind == TABLE_REGION;
}

static inline struct table_place table_place(const struct table *t, unsigned lane)
{
	const struct table_geometry *g = &t->geometry;
	uint8_t *at = t->base + TABLE_LANES_OFFSET + (uint64_t)lane * g->lane_bytes;
	uint64_t *dirty = (uint64_t *)(void *)(at + g->dirty_offset);
	uint32_t first = 0, blocks = 0;

	if (table_is_region(t)) {
		first = lane * g->lane_entries;
		if (first < g->shape.capacity)
			blocks = g->shape.capacity - first;
		if (blocks > g->lane_entries)
			blocks = g->lane_entries;
	}
	return (struct table_place){.g = g,
				    .header = (struct table_lane_header *)(void *)at,
				    .log = at + g->log_offset,
				    .heads = (uint32_t *)(void *)(at + g->heads_offset),
				    .entries = at + g->entries_offset,
				    .dirty = dirty,
				    .dirty_words = dirty + table_bit_words(g->lane_entries),
				    .block_first = first,
				    .blocks = blocks};
}

/** Entry of the block that this key names, 0 when the lane has none. */
static inline uint32_t table_place_block(const struct table_place *p, const void *key)
{
	uint32_t block;

	memcpy(&block, key, sizeof(block));
	block = le32toh(block) - p->block_first; /* below the first: far above the last */
	return block < p->blocks ? block + 1 : 0;
}

/** Log slot of record `seq`. */
static inline struct table_record *table_place_record(const struct table_place *p, uint64_t seq)
{
	uint64_t slot = seq & (p->g->shape.lane_records - 1);

	return (struct table_record *)(void *)(p->log + slot * p->g->record_bytes);
}

/** What a replica's value is about to be replaced by (T6): a record that is in no log. */
static inline struct table_record *table_place_spare(const struct table_place *p)
{
	uint64_t slot = p->g->shape.lane_records;

	return (struct table_record *)(void *)(p->log + slot * p->g->record_bytes);
}

/** Open an entry for change: readers that overlap with it start again (T1). */
static inline uint32_t table_place_open(struct table_entry *e)
{
	uint32_t odd = load_relaxed(&e->version) | 1;

	store_relaxed(&e->version, odd);
	fence_release();
	return odd;
}

static inline void table_place_shut(struct table_entry *e, uint32_t odd)
{
	store_release(&e->version, odd + 1); /* T1 */
}

/** T6: seen before what follows, and after what came before. */
static inline void table_place_changing(const struct table_place *p, enum table_changing changing)
{
	store_release(&p->header->changing, changing);
	fence_release();
}

/** True when `index` names an entry: 1…lane_entries. */
static inline bool table_place_valid(const struct table_place *p, uint32_t index)
{
	return index - 1 < p->g->lane_entries;
}

/** Entry of a valid index. */
static inline struct table_entry *table_place_entry(const struct table_place *p, uint32_t index)
{
	uint64_t at = (uint64_t)(index - 1) * p->g->entry_bytes;

	return (struct table_entry *)(void *)(p->entries + at);
}

static inline uint32_t *table_place_head(const struct table_place *p, const void *key,
					 uint64_t hash_seed)
{
	uint64_t h = hash_bytes(key, p->g->shape.key_bytes, hash_seed);

	return p->heads + (h & (p->g->lane_heads - 1));
}

/* ---- table_dirty.c: bits of the lane's writer, which nobody else reads ----------------------- */

void table_dirty_mark(const struct table_place *p, uint32_t index);
void table_dirty_unmark(const struct table_place *p, uint32_t index);
/** No bit is set below index `end`; none was ever set from there on. */
void table_dirty_none(const struct table_place *p, uint32_t end);
/** table_write.c: log what entry `index` holds; there is room. Takes its bit away. */
void table_push_one(const struct table_place *p, uint32_t index);
/** Exactly the bits of what is in use below `end` are set. */
void table_dirty_all(const struct table_place *p, uint32_t end);

#endif
