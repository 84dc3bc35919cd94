/* SPDX-License-Identifier: BSD-3-Clause */
#include "table_check.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table_place.h"
#include "words.h"

/** Looks at what seems wrong, the writer let run in between. */
#define LOOKS 50u
/** The same for all of a lane: a segment that is garbage takes no longer than that. */
#define LOOKS_LANE 20000u
/** Walks of a lane that moves. */
#define WALKS 5u

static const char *const names[] = {"unfinished", "bad-position", "bad-record", "bad-chain",
				    "bad-entry",  "bad-free",     "bad-count",  "bad-mark"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(names) == TABLE_FINDING_COUNT, "a label for each");

const char *table_finding_name(unsigned kind)
{
	return kind < TABLE_FINDING_COUNT ? names[kind] : "?";
}

/** The check of one lane. */
struct walk {
	const struct table *t;
	struct table_place p;
	unsigned lane;
	struct table_report *report;
	table_check_tell *tell;
	void *context;
	uint64_t *linked; /**< bit per entry that was met in a chain */
	uint64_t live;    /**< of the present walk */
	uint32_t looks;   /**< left for this lane */
	uint32_t open;    /**< entries that it found half written */
	bool twice;       /**< it met an entry again */
};

__attribute__((format(printf, 3, 4))) static void found(struct walk *k, enum table_finding kind,
							const char *format, ...)
{
	char sentence[160];
	va_list args;

	if (kind == TABLE_UNFINISHED)
		k->report->unfinished++;
	else
		k->report->findings++;
	if (!k->tell)
		return;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	k->tell(k->context, k->lane, kind, sentence);
}

/** After `n` looks, shall there be another one? Lets the writer run before it. */
static bool look_again(struct walk *k, unsigned n)
{
	if (n >= LOOKS || k->looks == 0)
		return false;
	k->looks--;
	sched_yield();
	return true;
}

/* ---- positions and log ------------------------------------------------------------------------
 */

static bool positions_bad(const struct walk *k)
{
	const struct table_lane_header *h = k->p.header;
	uint64_t committed = load_acquire(&h->committed_seq);
	uint64_t next = load_acquire(&h->next_seq);

	/* Read in this order the second is never the smaller one by more than the clearing of a
	 * replica, which is looked at again. */
	return next == 0 || committed > next - 1 ||
	       (next - 1 - committed > TABLE_COMMIT_RECORDS_MAX &&
		load_acquire(&h->committed_seq) == committed);
}

static void check_positions(struct walk *k)
{
	for (unsigned n = 0; positions_bad(k); n++) {
		if (look_again(k, n))
			continue;
		found(k, TABLE_BAD_POSITION,
		      "commits reach to %llu, the next record is number %llu",
		      (unsigned long long)load_relaxed(&k->p.header->committed_seq),
		      (unsigned long long)load_relaxed(&k->p.header->next_seq));
		return;
	}
}

/* A slot that is being filled has no number (T7). */
static bool record_bad(const struct walk *k, uint32_t slot)
{
	const struct table_record *r = table_place_record(&k->p, slot);
	uint8_t key[TABLE_KEY_MAX];
	uint64_t seq = load_acquire(&r->seq);
	uint16_t op, flags;

	if (seq == 0)
		return false;
	op = load_relaxed(&r->op);
	flags = load_relaxed(&r->flags);
	bytes_load(key, r->data, k->p.g->shape.key_bytes);
	fence_acquire();
	if (load_relaxed(&r->seq) != seq)
		return false;
	return (seq & (k->p.g->shape.lane_records - 1)) != slot || (flags & ~TABLE_RECORD_COMMIT) ||
	       (op != TABLE_OP_PUT && op != TABLE_OP_DELETE) ||
	       !table_takes(k->t, k->lane, (enum table_op)op, key);
}

static void check_log(struct walk *k)
{
	for (uint32_t slot = 0; slot < k->p.g->shape.lane_records; slot++) {
		k->report->records++;
		if (record_bad(k, slot))
			found(k, TABLE_BAD_RECORD, "log slot %u holds no record of its own", slot);
	}
}

/* ---- chains and blocks ----------------------------------------------------------------------- */

enum look { LOOK_GOOD = 0, LOOK_CHAIN, LOOK_KEY, LOOK_OPEN };

/* One entry of a chain: LOOK_GOOD and where the chain goes on. */
static enum look entry_look(const struct walk *k, uint32_t head, uint32_t index, uint32_t *next)
{
	const struct table_entry *e = table_place_entry(&k->p, index);
	uint8_t key[TABLE_KEY_MAX];
	uint32_t version = load_acquire(&e->version); /* T1 */
	uint64_t seq = load_relaxed(&e->seq);

	*next = load_acquire(&e->next);
	bytes_load(key, e->data, k->p.g->shape.key_bytes);
	fence_acquire();
	if ((version & 1) || load_relaxed(&e->version) != version)
		return LOOK_OPEN;
	if (seq == 0 || table_place_head(&k->p, key, k->t->hash_seed) != &k->p.heads[head])
		return LOOK_KEY;
	return LOOK_GOOD;
}

/* Follow one chain; `*at` is the entry that is wrong. Marks are set by a good walk alone. */
static enum look chain_look(struct walk *k, uint32_t head, bool mark, uint32_t *at)
{
	uint32_t index = load_acquire(&k->p.heads[head]); /* T2 */

	for (unsigned step = 0; index; step++) {
		uint32_t next;
		enum look look;

		*at = index;
		if (!table_place_valid(&k->p, index) || step == TABLE_CHAIN_MAX)
			return LOOK_CHAIN;
		look = entry_look(k, head, index, &next);
		if (look != LOOK_GOOD)
			return look;
		if (mark) {
			k->twice |= k->linked[index / 64] >> index % 64 & 1;
			k->linked[index / 64] |= 1ull << index % 64;
			k->live++;
		}
		index = next;
	}
	return LOOK_GOOD;
}

/* Torn by a death, or by nothing that is known? */
static bool change_under_way(const struct walk *k)
{
	uint64_t next = load_relaxed(&k->p.header->next_seq);

	return load_acquire(&k->p.header->changing) != TABLE_AT_REST ||
	       load_relaxed(&table_place_record(&k->p, next)->seq) == next;
}

static void tell_look(struct walk *k, enum look look, uint32_t head, uint32_t at)
{
	if (look == LOOK_CHAIN)
		found(k, TABLE_BAD_CHAIN, "the chain of head %u leads to entry %u and does not end",
		      head, at);
	else if (look == LOOK_KEY)
		found(k, TABLE_BAD_ENTRY, "entry %u is in the chain of head %u and not of it", at,
		      head);
}

static void walk_chains(struct walk *k, bool tell)
{
	for (uint32_t head = 0; head < k->p.g->lane_heads; head++) {
		uint32_t at = 0;
		enum look look = chain_look(k, head, false, &at);

		for (unsigned n = 0; tell && look != LOOK_GOOD && look_again(k, n); n++)
			look = chain_look(k, head, false, &at);
		k->open += look == LOOK_OPEN;
		if (look == LOOK_GOOD)
			chain_look(k, head, true, &at);
		else if (tell)
			tell_look(k, look, head, at);
	}
}

static enum look block_look(const struct walk *k, uint32_t index)
{
	const struct table_entry *e = table_place_entry(&k->p, index);
	uint8_t key[sizeof(uint32_t)];
	uint32_t version = load_acquire(&e->version); /* T1 */
	uint64_t seq = load_relaxed(&e->seq);

	bytes_load(key, e->data, sizeof(key));
	fence_acquire();
	if ((version & 1) || load_relaxed(&e->version) != version)
		return LOOK_OPEN;
	return seq == 0 || table_place_block(&k->p, key) == index ? LOOK_GOOD : LOOK_KEY;
}

static void walk_blocks(struct walk *k, bool tell)
{
	uint32_t end = table_scan_end(k->t, k->lane);

	for (uint32_t i = 1; i < end; i++) {
		enum look look = block_look(k, i);

		for (unsigned n = 0; tell && look != LOOK_GOOD && look_again(k, n); n++)
			look = block_look(k, i);
		if (load_relaxed(&table_place_entry(&k->p, i)->seq)) {
			k->live++;
			k->linked[i / 64] |= 1ull << i % 64;
		}
		if (tell && look == LOOK_KEY)
			found(k, TABLE_BAD_ENTRY, "block %u does not say its own number", i - 1);
		k->open += look == LOOK_OPEN;
	}
}

/* ---- what can be judged only of a lane that stands still --------------------------------------
 */

static bool is_linked(const struct walk *k, uint32_t index)
{
	return k->linked[index / 64] >> index % 64 & 1;
}

static void check_free(struct walk *k, uint32_t end)
{
	uint32_t index = load_relaxed(&k->p.header->free_head);
	uint64_t n = 0;

	for (; index && n < end; n++) {
		const struct table_entry *e;

		if (!table_place_valid(&k->p, index) || index >= end || is_linked(k, index)) {
			found(k, TABLE_BAD_FREE, "the list of free entries names %u, which is none",
			      index);
			return;
		}
		e = table_place_entry(&k->p, index);
		if (load_relaxed(&e->seq)) {
			found(k, TABLE_BAD_FREE, "entry %u is in use and in the list of free ones",
			      index);
			return;
		}
		index = load_relaxed(&e->next);
	}
	if (index || n + k->live != end - 1)
		found(k, TABLE_BAD_FREE, "%llu entries are in use and %llu free, of %u ever used",
		      (unsigned long long)k->live, (unsigned long long)n, end - 1);
}

static void check_marks(struct walk *k)
{
	uint32_t marks = 0;

	for (uint32_t i = 1; i <= k->p.g->lane_entries; i++) {
		if (!(load_relaxed(&k->p.dirty[i / 64]) >> i % 64 & 1))
			continue;
		marks++;
		if (!is_linked(k, i))
			found(k, TABLE_BAD_MARK, "entry %u is marked and not in use", i);
	}
	if (marks != load_relaxed(&k->p.header->dirty))
		found(k, TABLE_BAD_MARK, "%u entries are marked, the lane counts %u", marks,
		      load_relaxed(&k->p.header->dirty));
}

static void check_together(struct walk *k)
{
	const struct table_lane_header *h = k->p.header;
	uint32_t never_used = load_relaxed(&h->never_used);
	uint32_t end = table_scan_end(k->t, k->lane);

	if (never_used == 0 || never_used - 1 > k->p.g->lane_entries)
		found(k, TABLE_BAD_COUNT, "%u entries were ever used, the lane has %u",
		      never_used - 1, k->p.g->lane_entries);
	if (k->open) {
		found(k, TABLE_BAD_ENTRY, "%u entries are half written, and no change is under way",
		      k->open);
		return; /* what follows them was not met */
	}
	if (k->live != load_relaxed(&h->live))
		found(k, TABLE_BAD_COUNT, "%llu entries are in use, the lane counts %u",
		      (unsigned long long)k->live, load_relaxed(&h->live));
	if (k->twice)
		found(k, TABLE_BAD_CHAIN, "an entry is in two chains, or twice in one");
	if (!table_is_region(k->t))
		check_free(k, end);
	if (table_is_dirty(k->t))
		check_marks(k);
}

/* ---- the lane ---------------------------------------------------------------------------------
 */

static void walk_once(struct walk *k, bool tell)
{
	memset(k->linked, 0, table_bit_words(k->p.g->lane_entries) * sizeof(*k->linked));
	k->live = 0;
	k->open = 0;
	k->twice = false;
	if (table_is_region(k->t))
		walk_blocks(k, tell);
	else
		walk_chains(k, tell);
}

/* Walk until the lane stands still. The first walk tells what can be judged alone. */
static void lane_check(struct walk *k)
{
	bool still = false, torn = false;
	uint64_t before = k->report->findings;

	k->looks = LOOKS_LANE;
	check_positions(k);
	check_log(k);
	for (unsigned n = 0; n < WALKS && !still; n++) {
		struct table_lane_header head, then;

		words_load(&head, k->p.header, sizeof(head));
		fence_acquire();
		torn = change_under_way(k);
		walk_once(k, n == 0);
		fence_acquire();
		words_load(&then, k->p.header, sizeof(then));
		still = memcmp(&head, &then, sizeof(head)) == 0 && torn == change_under_way(k);
	}
	k->report->entries += k->live;
	k->report->moving += !still;
	if (still && torn)
		found(k, TABLE_UNFINISHED,
		      "a change is under way, its writer stands still or is dead");
	else if (still && k->report->findings == before)
		check_together(k);
}

int table_check(const struct table *t, struct table_report *out, table_check_tell *tell,
		void *context)
{
	struct walk k = {.t = t, .report = out, .tell = tell, .context = context};

	*out = (struct table_report){0};
	k.linked = calloc(table_bit_words(t->geometry.lane_entries), sizeof(*k.linked));
	if (!k.linked)
		return -HAVEN_ENOMEM;
	for (k.lane = 0; k.lane < t->geometry.shape.lanes; k.lane++) {
		k.p = table_place(t, k.lane);
		out->lanes++;
		out->heads += k.p.g->lane_heads;
		lane_check(&k);
	}
	free(k.linked);
	return 0;
}
