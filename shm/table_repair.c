/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking a lane over, whatever its last writer left.
 *
 * A region has no chains: a block that was torn is written again, and that is all.
 *
 * Chains are whole at every instant: an entry enters and leaves one by a single store. So what is
 * in a chain is what there is, and the rest is free; free list and counts are made anew from that.
 * The one thing that can be torn is the value of an entry that was being replaced, and what it was
 * to be stands in the log (T7) or in the spare record (T6).
 *
 * Each step leaves the lane such that the next death is found again: `changing` says so until the
 * last store. In the node the lane is hostile: every index is checked, every walk is bounded.
 */
#include <string.h>

#include "table.h"
#include "table_place.h"
#include "words.h"

/** The record that the dead writer was at, NULL: there is none. */
static const struct table_record *record_under_way(const struct table_place *p)
{
	uint64_t next = load_relaxed(&p->header->next_seq);
	const struct table_record *r = table_place_record(p, next);

	switch (load_relaxed(&p->header->changing)) {
	case TABLE_AT_REST:
		if (r->seq != next)
			return NULL;
		break;
	case TABLE_APPLYING:
		r = table_place_spare(p);
		if (r->seq == 0)
			return NULL;
		break;
	default:
		/* An earlier take-over had come past this when it died. */
		return NULL;
	}
	return r->op == TABLE_OP_PUT ? r : NULL;
}

/** First entry of the chain in which this key belongs, then the next one; 0: the end. */
static uint32_t step(const struct table_place *p, const uint32_t *link)
{
	uint32_t index = load_relaxed(link);

	return table_place_valid(p, index) ? index : 0;
}

/** The block that was being written, for the first time or again: its key may be missing, too. */
static void block_redo(const struct table_place *p, const struct table_record *r)
{
	const struct table_shape *shape = &p->g->shape;
	uint32_t index = table_place_block(p, r->data), odd;
	struct table_entry *e;

	if (index == 0)
		return;
	e = table_place_entry(p, index);
	if (!(load_relaxed(&e->version) & 1))
		return;
	odd = table_place_open(e);
	store_relaxed(&e->seq, r->seq);
	bytes_store(e->data, r->data, shape->key_bytes + shape->value_bytes);
	table_place_shut(e, odd);
}

/** Write the value again that was being replaced; what else is open in a chain is not torn. */
static void value_redo(const struct table *t, const struct table_place *p,
		       const struct table_record *r)
{
	const struct table_shape *shape = &p->g->shape;
	uint32_t index = step(p, table_place_head(p, r->data, t->hash_seed)), odd;

	for (unsigned n = 0; index && n < TABLE_CHAIN_MAX; n++) {
		struct table_entry *e = table_place_entry(p, index);

		index = step(p, &e->next);
		if (!(load_relaxed(&e->version) & 1) ||
		    memcmp(e->data, r->data, shape->key_bytes) != 0)
			continue;
		odd = table_place_open(e);
		store_relaxed(&e->seq, r->seq);
		if (shape->value_bytes)
			bytes_store(e->data + shape->key_bytes, r->data + shape->key_bytes,
				    shape->value_bytes);
		table_place_shut(e, odd);
		return;
	}
}

/** Is entry `wanted` in the chain of its key? */
static bool is_linked(const struct table *t, const struct table_place *p, uint32_t wanted)
{
	const struct table_entry *e = table_place_entry(p, wanted);
	uint32_t index = step(p, table_place_head(p, e->data, t->hash_seed));

	if (load_relaxed(&e->seq) == 0)
		return false;
	for (unsigned n = 0; index && index != wanted && n < TABLE_CHAIN_MAX; n++)
		index = step(p, &table_place_entry(p, index)->next);
	return index == wanted;
}

/** A number above `committed` would be taken for that of a record which is still to come; no such
 *  record exists any more. */
static void live_settle(struct table_entry *e, uint64_t committed)
{
	uint32_t odd;

	if (load_relaxed(&e->seq) <= committed && !(load_relaxed(&e->version) & 1))
		return;
	odd = table_place_open(e);
	if (load_relaxed(&e->seq) > committed)
		store_relaxed(&e->seq, committed);
	table_place_shut(e, odd);
}

/** Put an entry that is in no chain before `next` in the free list. One that did not get into its
 *  chain, or has just left it, counts as freed by the newest record. */
static void free_settle(struct table_entry *e, uint64_t committed, uint32_t next)
{
	uint64_t freed_by;
	uint32_t odd = load_relaxed(&e->version);

	words_load(&freed_by, e->data, sizeof(freed_by));
	/* Of one that is open nobody knows whether the number was written. */
	if (load_relaxed(&e->seq) || freed_by > committed || (odd & 1))
		freed_by = committed;
	else if (load_relaxed(&e->next) == next)
		return;
	odd = table_place_open(e);
	store_relaxed(&e->seq, 0);
	words_store(e->data, &freed_by, sizeof(freed_by));
	store_relaxed(&e->next, next);
	table_place_shut(e, odd);
}

/** After a writer that died: what is in a chain is what there is. */
static void entries_relink(struct table *t, const struct table_place *p, unsigned lane,
			   uint64_t committed)
{
	struct table_lane_header *h = p->header;
	uint32_t live = 0, free_head = 0;

	/* The dead one may have taken an entry out without saying so (T5). */
	store_release(&h->unlinks, load_relaxed(&h->unlinks) + 1);
	fence_release();
	for (uint32_t i = table_scan_end(t, lane); --i > 0;) {
		struct table_entry *e = table_place_entry(p, i);

		if (is_linked(t, p, i)) {
			live_settle(e, committed);
			live++;
		} else {
			free_settle(e, committed, free_head);
			free_head = i;
		}
	}
	store_relaxed(&h->free_head, free_head);
	store_relaxed(&h->live, live);
}

/** The same for blocks. One that is open after block_redo() was opened by no writer of ours. */
static void blocks_settle(struct table *t, const struct table_place *p, unsigned lane,
			  uint64_t committed)
{
	uint32_t live = 0;

	for (uint32_t i = table_scan_end(t, lane); --i > 0;) {
		struct table_entry *e = table_place_entry(p, i);

		if (load_relaxed(&e->seq) || (load_relaxed(&e->version) & 1))
			live_settle(e, committed);
		live += load_relaxed(&e->seq) != 0;
	}
	store_relaxed(&p->header->live, live);
}

/** After one that only left uncommitted records: chains and free list are as they should be. */
static void entries_settle(struct table *t, const struct table_place *p, unsigned lane,
			   uint64_t committed)
{
	for (uint32_t i = table_scan_end(t, lane); --i > 0;) {
		struct table_entry *e = table_place_entry(p, i);

		if (load_relaxed(&e->seq))
			live_settle(e, committed);
		else
			free_settle(e, committed, load_relaxed(&e->next));
	}
}

/** True when the last writer did not come to the end of a change. */
static bool is_torn(const struct table_place *p)
{
	uint64_t next = load_relaxed(&p->header->next_seq);

	return load_relaxed(&p->header->changing) != TABLE_AT_REST ||
	       table_place_record(p, next)->seq == next;
}

static void take_over(struct table *t, const struct table_place *p, unsigned lane,
		      uint64_t committed, bool torn)
{
	const struct table_record *under_way = record_under_way(p);

	if (under_way && table_is_region(t))
		block_redo(p, under_way);
	else if (under_way)
		value_redo(t, p, under_way);
	store_release(&p->header->changing, TABLE_SETTLING);
	fence_release();
	if (table_is_region(t))
		blocks_settle(t, p, lane, committed);
	else if (torn)
		entries_relink(t, p, lane, committed);
	else
		entries_settle(t, p, lane, committed);
	/* What was pushed and not committed is in no log, and nobody knows which that was. */
	if (table_is_dirty(t))
		table_dirty_all(p, table_scan_end(t, lane));
	store_release(&p->header->next_seq, committed + 1);
}

void table_lane_begin(struct table *t, unsigned lane)
{
	struct table_lane_header *h;
	struct table_place p;
	uint64_t committed;
	bool torn;

	if (lane >= t->geometry.shape.lanes)
		return;
	p = table_place(t, lane);
	h = p.header;
	committed = load_relaxed(&h->committed_seq);
	torn = is_torn(&p);
	if (!torn && load_relaxed(&h->next_seq) == committed + 1)
		return;
	if (committed == 0 || load_relaxed(&h->changing) == TABLE_CLEARING)
		table_lane_clear(t, lane, committed); /* nothing in it counts */
	else
		take_over(t, &p, lane, committed, torn);
	/* Last, for these two tell of what was under way. */
	table_place_record(&p, committed + 1)->seq = 0;
	store_release(&h->changing, TABLE_AT_REST);
}
