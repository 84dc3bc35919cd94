/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lane's one writer. It runs in the application (primary) and in the node (replica). In the
 * node the segment is hostile: every index is loaded once, checked against the geometry and only
 * then used; a contradiction is ECORRUPT. Every refusal is decided before the first store.
 */
#include <string.h>

#include "table.h"
#include "table_place.h"
#include "words.h"

/** Where a key is, or where it would go. */
struct spot {
	uint32_t *head;
	uint32_t *link;       /**< word that names the entry */
	uint32_t index;       /**< the key's entry, or the free one it would get */
	uint32_t next_free;   /**< of a free one taken from the free list */
	bool found, recycled; /**< recycled: the free one comes from the free list */
	struct table_entry *entry;
};

/** A block has its entry, written or not. */
static int spot_block(const struct table_place *p, const void *key, struct spot *s)
{
	s->index = table_place_block(p, key);
	if (s->index == 0)
		return -HAVEN_EINVAL;
	s->entry = table_place_entry(p, s->index);
	s->found = load_relaxed(&s->entry->seq) != 0;
	return 0;
}

static int spot_find(const struct table *t, const struct table_place *p, const void *key,
		     struct spot *s)
{
	uint32_t *link;

	if (table_is_region(t))
		return spot_block(p, key, s);
	link = table_place_head(p, key, t->hash_seed);
	s->head = link;
	s->found = false;
	for (unsigned step = 0; step < TABLE_CHAIN_MAX; step++) {
		uint32_t index = load_relaxed(link);

		if (index == 0)
			return 0;
		if (!table_place_valid(p, index))
			return -HAVEN_ECORRUPT;
		s->entry = table_place_entry(p, index);
		if (memcmp(s->entry->data, key, p->g->shape.key_bytes) == 0) {
			s->found = true;
			s->index = index;
			s->link = link;
			return 0;
		}
		link = &s->entry->next;
	}
	return -HAVEN_ECORRUPT;
}

/** Choose, but do not take yet, a free entry. */
static int spot_choose_free(const struct table_place *p, struct spot *s)
{
	s->index = load_relaxed(&p->header->free_head);
	s->recycled = s->index != 0;
	if (!s->recycled) {
		s->index = load_relaxed(&p->header->never_used);
		if (s->index == p->g->lane_entries + 1)
			return -HAVEN_EFULL;
	}
	if (!table_place_valid(p, s->index))
		return -HAVEN_ECORRUPT;
	s->entry = table_place_entry(p, s->index);
	s->next_free = load_relaxed(&s->entry->next);
	return 0;
}

static void copy_value(const struct table_place *p, struct table_entry *e, const void *value)
{
	if (p->g->shape.value_bytes)
		bytes_store(e->data + p->g->shape.key_bytes, value, p->g->shape.value_bytes);
}

static void spot_replace(const struct table_place *p, const struct spot *s, uint64_t seq,
			 const void *value)
{
	uint32_t odd = table_place_open(s->entry);

	store_relaxed(&s->entry->seq, seq);
	copy_value(p, s->entry, value);
	table_place_shut(s->entry, odd);
}

static void spot_insert(const struct table_place *p, const struct spot *s, uint64_t seq,
			const void *key, const void *value)
{
	struct table_lane_header *h = p->header;
	uint32_t odd = table_place_open(s->entry);

	store_relaxed(&s->entry->seq, seq);
	bytes_store(s->entry->data, key, p->g->shape.key_bytes);
	copy_value(p, s->entry, value);
	store_relaxed(&s->entry->next, load_relaxed(s->head));
	table_place_shut(s->entry, odd);
	if (s->recycled)
		store_relaxed(&h->free_head, s->next_free);
	else
		/* release: a scan up to here finds the entry written. */
		store_release(&h->never_used, s->index + 1);
	store_release(s->head, s->index); /* T2 */
	store_relaxed(&h->live, load_relaxed(&h->live) + 1);
}

/** First write of a block. Its value is logged, or spare: a death in here is made good. */
static void spot_begin(const struct table_place *p, const struct spot *s, uint64_t seq,
		       const void *key, const void *value)
{
	struct table_lane_header *h = p->header;
	uint32_t odd;

	/* Before the block changes: whoever takes over looks at it. */
	if (load_relaxed(&h->never_used) <= s->index)
		store_release(&h->never_used, s->index + 1);
	odd = table_place_open(s->entry);
	store_relaxed(&s->entry->seq, seq);
	bytes_store(s->entry->data, key, p->g->shape.key_bytes);
	copy_value(p, s->entry, value);
	table_place_shut(s->entry, odd);
	store_relaxed(&h->live, load_relaxed(&h->live) + 1);
}

static void spot_put(const struct table *t, const struct table_place *p, const struct spot *s,
		     uint64_t seq, const void *key, const void *value)
{
	if (s->found)
		spot_replace(p, s, seq, value);
	else if (table_is_region(t))
		spot_begin(p, s, seq, key, value);
	else
		spot_insert(p, s, seq, key, value);
}

static void spot_remove(const struct table_place *p, const struct spot *s, uint64_t seq)
{
	struct table_lane_header *h = p->header;
	uint32_t odd;

	store_release(s->link, load_relaxed(&s->entry->next));
	store_release(&h->unlinks, load_relaxed(&h->unlinks) + 1); /* T5 */
	/* Without this fence a reader could see the entry in its next use, miss his key there, and
	 * still find `unlinks` unchanged. */
	fence_release();
	odd = table_place_open(s->entry);
	store_relaxed(&s->entry->seq, 0);
	words_store(s->entry->data, &seq, sizeof(seq)); /* entries are padded: there is room */
	store_relaxed(&s->entry->next, load_relaxed(&h->free_head));
	table_place_shut(s->entry, odd);
	store_relaxed(&h->free_head, s->index);
	store_relaxed(&h->live, load_relaxed(&h->live) - 1);
}

/** Room for record `next` and those after it, in the log and in the commit. */
static uint64_t log_room(const struct table_place *p, uint64_t next, uint64_t consumed)
{
	uint64_t staged = next - 1 - load_relaxed(&p->header->committed_seq);
	uint64_t logged = next - 1 > consumed ? next - 1 - consumed : 0;
	uint64_t in_log = p->g->shape.lane_records - logged;
	uint64_t in_commit = TABLE_COMMIT_RECORDS_MAX - staged;

	/* The numbers are the application's: they may contradict each other in any way. */
	if (staged >= TABLE_COMMIT_RECORDS_MAX || logged >= p->g->shape.lane_records)
		return 0;
	return in_log < in_commit ? in_log : in_commit;
}

uint64_t table_room(const struct table *t, unsigned lane, uint64_t consumed_seq)
{
	struct table_place p;

	if (lane >= t->geometry.shape.lanes)
		return 0;
	p = table_place(t, lane);
	return log_room(&p, load_relaxed(&p.header->next_seq), consumed_seq);
}

static void record_write(const struct table_place *p, struct table_record *r, uint64_t seq,
			 enum table_op op, const void *key, const void *value)
{
	uint32_t value_bytes = p->g->shape.value_bytes;

	store_relaxed(&r->seq, 0);
	fence_release(); /* T7: the number stands there only while the rest is its own */
	r->op = (uint16_t)op;
	r->flags = 0;
	r->pad = 0;
	memcpy(r->data, key, p->g->shape.key_bytes);
	if (value_bytes && value)
		memcpy(r->data + p->g->shape.key_bytes, value, value_bytes);
	else if (value_bytes)
		memset(r->data + p->g->shape.key_bytes, 0, value_bytes);
	store_release(&r->seq, seq);
	fence_release(); /* T6, T7: whole before anything of the entry changes */
}

/** Mode DIRTY: the latest value, which a later push logs. */
static void put_dirty(const struct table_place *p, const struct spot *s, const void *key,
		      const void *value)
{
	uint64_t seq = load_relaxed(&s->entry->seq);

	record_write(p, table_place_spare(p), seq, TABLE_OP_PUT, key, value);
	table_place_changing(p, TABLE_APPLYING);
	table_dirty_mark(p, s->index);
	spot_replace(p, s, seq, value);
	table_place_changing(p, TABLE_AT_REST);
}

void table_push_one(const struct table_place *p, uint32_t index)
{
	struct table_entry *e = table_place_entry(p, index);
	uint64_t seq = load_relaxed(&p->header->next_seq);
	uint32_t odd;

	record_write(p, table_place_record(p, seq), seq, TABLE_OP_PUT, e->data,
		     e->data + p->g->shape.key_bytes);
	odd = table_place_open(e);
	store_relaxed(&e->seq, seq);
	table_place_shut(e, odd);
	table_dirty_unmark(p, index);
	store_release(&p->header->next_seq, seq + 1);
}

int table_put(struct table *t, unsigned lane, const void *key, const void *value,
	      uint64_t consumed_seq)
{
	struct table_place p;
	struct spot s;
	uint64_t seq;
	int status;

	if (lane >= t->geometry.shape.lanes)
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	seq = load_relaxed(&p.header->next_seq);
	status = spot_find(t, &p, key, &s);
	if (!status && s.found && table_is_dirty(t)) {
		put_dirty(&p, &s, key, value);
		return 0;
	}
	if (!status && log_room(&p, seq, consumed_seq) == 0)
		return -HAVEN_EFULL;
	if (!status && !s.found && !table_is_region(t))
		status = spot_choose_free(&p, &s);
	if (status)
		return status;
	record_write(&p, table_place_record(&p, seq), seq, TABLE_OP_PUT, key, value);
	spot_put(t, &p, &s, seq, key, value);
	/* release: see table_next(). */
	store_release(&p.header->next_seq, seq + 1);
	return 0;
}

int table_delete(struct table *t, unsigned lane, const void *key, uint64_t consumed_seq)
{
	struct table_place p;
	struct spot s;
	uint64_t seq;
	int status;

	if (lane >= t->geometry.shape.lanes || table_is_region(t))
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	seq = load_relaxed(&p.header->next_seq);
	status = spot_find(t, &p, key, &s);
	if (status)
		return status;
	if (!s.found)
		return -HAVEN_ENOENT;
	if (log_room(&p, seq, consumed_seq) == 0)
		return -HAVEN_EFULL;
	record_write(&p, table_place_record(&p, seq), seq, TABLE_OP_DELETE, key, NULL);
	if (table_is_dirty(t))
		table_dirty_unmark(&p, s.index);
	spot_remove(&p, &s, seq);
	store_release(&p.header->next_seq, seq + 1);
	return 0;
}

uint64_t table_commit(struct table *t, unsigned lane)
{
	struct table_place p;
	uint64_t last;

	if (lane >= t->geometry.shape.lanes)
		return 0;
	p = table_place(t, lane);
	last = load_relaxed(&p.header->next_seq) - 1;
	if (last != load_relaxed(&p.header->committed_seq)) {
		table_place_record(&p, last)->flags = TABLE_RECORD_COMMIT;
		store_release(&p.header->committed_seq, last); /* T3 */
	}
	return last;
}

int table_apply(struct table *t, unsigned lane, enum table_op op, uint64_t seq, const void *key,
		const void *value)
{
	struct table_place p;
	struct spot s;
	int status;

	if (lane >= t->geometry.shape.lanes || seq == 0 || !table_takes(t, lane, op, key))
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	status = spot_find(t, &p, key, &s);
	if (status || (s.found && load_relaxed(&s.entry->seq) >= seq))
		return status;
	if (op == TABLE_OP_DELETE && !s.found)
		return 0;
	if (!s.found && !table_is_region(t))
		status = spot_choose_free(&p, &s);
	if (status)
		return status;
	if (op == TABLE_OP_PUT && (s.found || table_is_region(t)))
		record_write(&p, table_place_spare(&p), seq, op, key, value);
	table_place_changing(&p, TABLE_APPLYING);
	if (op == TABLE_OP_DELETE)
		spot_remove(&p, &s, seq);
	else
		spot_put(t, &p, &s, seq, key, value);
	/* A commit is under way until table_applied(); an entry of a transfer stands for itself. */
	if (seq <= load_relaxed(&p.header->committed_seq))
		table_place_changing(&p, TABLE_AT_REST);
	return 0;
}

void table_applied(struct table *t, unsigned lane, uint64_t seq)
{
	struct table_place p;

	if (lane >= t->geometry.shape.lanes)
		return;
	p = table_place(t, lane);
	store_release(&p.header->next_seq, seq + 1);
	store_release(&p.header->committed_seq, seq);
	table_place_changing(&p, TABLE_AT_REST);
}
