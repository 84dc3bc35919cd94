/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mode DIRTY: which entries wait for a push, and the push.
 *
 * The bitmap needs no order among its stores. A death in the middle of one is a death in the middle
 * of a change (T6) or of a record (T7), or leaves records without a commit; in each of these cases
 * the take-over makes the bits anew, all of them set. So nothing that was written is ever taken for
 * pushed, and at worst something is pushed twice.
 */
#include "table.h"
#include "table_place.h"
#include "words.h"

static void word_set(uint64_t *words, uint32_t bit)
{
	store_relaxed(&words[bit / 64], load_relaxed(&words[bit / 64]) | 1ull << bit % 64);
}

static void word_clear(uint64_t *words, uint32_t bit)
{
	store_relaxed(&words[bit / 64], load_relaxed(&words[bit / 64]) & ~(1ull << bit % 64));
}

static bool word_has(const uint64_t *words, uint32_t bit)
{
	return load_relaxed(&words[bit / 64]) >> bit % 64 & 1;
}

void table_dirty_mark(const struct table_place *p, uint32_t index)
{
	if (word_has(p->dirty, index))
		return;
	word_set(p->dirty_words, index / 64);
	word_set(p->dirty, index);
	store_relaxed(&p->header->dirty, load_relaxed(&p->header->dirty) + 1);
}

void table_dirty_unmark(const struct table_place *p, uint32_t index)
{
	if (!word_has(p->dirty, index))
		return;
	word_clear(p->dirty, index);
	if (load_relaxed(&p->dirty[index / 64]) == 0)
		word_clear(p->dirty_words, index / 64);
	store_relaxed(&p->header->dirty, load_relaxed(&p->header->dirty) - 1);
}

void table_dirty_none(const struct table_place *p, uint32_t end)
{
	uint32_t words = table_bit_words(end - 1);

	for (uint32_t i = 0; i < words; i++)
		store_relaxed(&p->dirty[i], 0);
	for (uint32_t i = 0; i < table_bit_words(words - 1); i++)
		store_relaxed(&p->dirty_words[i], 0);
	store_relaxed(&p->header->dirty, 0);
	store_relaxed(&p->header->push_from, 1);
}

void table_dirty_all(const struct table_place *p, uint32_t end)
{
	table_dirty_none(p, end);
	for (uint32_t i = 1; i < end; i++)
		if (load_relaxed(&table_place_entry(p, i)->seq))
			table_dirty_mark(p, i);
}

uint32_t table_dirty(const struct table *t, unsigned lane)
{
	uint32_t dirty;

	if (lane >= t->geometry.shape.lanes)
		return 0;
	dirty = load_relaxed(&table_place(t, lane).header->dirty);
	return dirty < t->geometry.lane_entries ? dirty : t->geometry.lane_entries;
}

/** Lowest bit of `words` from `from` on, 0…last; above `last` when there is none. */
static uint32_t next_bit(const uint64_t *words, uint32_t from, uint32_t last)
{
	uint64_t rest;

	if (from > last)
		return from;
	rest = load_relaxed(&words[from / 64]) >> from % 64;
	if (rest)
		return from + (uint32_t)__builtin_ctzll(rest);
	for (uint32_t w = from / 64 + 1; w < table_bit_words(last); w++) {
		rest = load_relaxed(&words[w]);
		if (rest)
			return w * 64 + (uint32_t)__builtin_ctzll(rest);
	}
	return last + 1;
}

/** First entry that waits, from `from` on; 0: none. */
static uint32_t next_dirty(const struct table_place *p, uint32_t from)
{
	uint32_t last = p->g->lane_entries, word;
	uint32_t index = next_bit(p->dirty, from, from | 63);

	if (index <= (from | 63))
		return index;
	word = next_bit(p->dirty_words, from / 64 + 1, table_bit_words(last) - 1);
	if (word >= table_bit_words(last))
		return 0;
	index = next_bit(p->dirty, word * 64, word * 64 + 63);
	return index / 64 == word ? index : 0;
}

unsigned table_push(struct table *t, unsigned lane, unsigned max, uint64_t consumed_seq)
{
	uint64_t room = table_room(t, lane, consumed_seq);
	struct table_place p;
	unsigned pushed = 0;
	uint32_t index;

	if (!table_is_dirty(t) || room == 0)
		return 0;
	p = table_place(t, lane);
	/* Another writer's word: it counts only if it names an entry. */
	index = load_relaxed(&p.header->push_from);
	if (!table_place_valid(&p, index))
		index = 1;
	while (pushed < max && pushed < room && load_relaxed(&p.header->dirty)) {
		index = next_dirty(&p, index);
		if (index == 0)
			index = next_dirty(&p, 1);
		if (!table_place_valid(&p, index)) {
			index = 1;
			break;
		}
		table_push_one(&p, index);
		pushed++;
		index = index < p.g->lane_entries ? index + 1 : 1;
	}
	store_relaxed(&p.header->push_from, index);
	return pushed;
}
