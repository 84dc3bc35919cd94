/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table under test: making it in a start state, and judging what stands in it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "table_check.h"
#include "table_place.h"
#include "table_stage.h"

#define SEED 5u
#define CHAINED 4u
#define CHURN 70u

struct table yard_table;
static enum yard yard;

static const struct table_shape shape[YARD_COUNT] = {
	[YARD_TABLE] = {.name = "yard",
			.key_bytes = 8,
			.value_bytes = TABLE_VALUE_BYTES,
			.capacity = 12,
			.lanes = 2,
			.lane_records = 64},
	[YARD_REGION] = {.name = "yard",
			 .key_bytes = 4,
			 .value_bytes = TABLE_VALUE_BYTES,
			 .capacity = 2 * TABLE_KEYS,
			 .lanes = 2,
			 .lane_records = 64,
			 .kind = TABLE_REGION},
	[YARD_DIRTY] = {.name = "yard",
			.key_bytes = 8,
			.value_bytes = TABLE_VALUE_BYTES,
			.capacity = 12,
			.lanes = 2,
			.lane_records = 64,
			.mode = TABLE_MODE_DIRTY},
};

static uint32_t chain_of(uint64_t key)
{
	return (uint32_t)hash_bytes(&key, sizeof(key), SEED) & 7;
}

static const void *block_key(unsigned lane, unsigned k)
{
	static uint32_t key[2][TABLE_KEYS];

	key[lane][k] = htole32(lane * TABLE_KEYS + k);
	return &key[lane][k];
}

static const void *key_in(unsigned lane, unsigned k)
{
	static uint64_t key[TABLE_KEYS];
	uint64_t candidate = 1;

	HAVEN_ASSERT(k < TABLE_KEYS);
	if (yard == YARD_REGION)
		return block_key(lane, k);
	for (unsigned n = 0; n < TABLE_KEYS && !key[TABLE_KEYS - 1]; candidate++) {
		if (n >= CHAINED || chain_of(candidate) == 0)
			key[n++] = candidate;
	}
	return &key[k];
}

const void *table_key(unsigned k)
{
	return key_in(TABLE_LANE, k);
}

void table_value(unsigned k, unsigned revision, uint8_t value[TABLE_VALUE_BYTES])
{
	uint64_t words[2] = {0x0101010101010101ull * (k + 1) + revision, 0};

	words[1] = ~words[0];
	memcpy(value, words, sizeof(words));
}

unsigned table_present(const struct crash_case *c)
{
	static const unsigned count[START_COUNT] = {
		[START_EMPTY] = 0,   [START_ONE] = 1,  [START_FULL] = 6,
		[START_RETIRED] = 3, [START_WRAP] = 3, [START_DEAD] = 4,
	};

	return count[c->start];
}

/* ---- making it ------------------------------------------------------------------------------- */

static uint64_t newest(unsigned lane)
{
	return table_next(&yard_table, lane) - 1;
}

static void put(struct crash_case *c, unsigned lane, unsigned k, unsigned revision)
{
	uint8_t value[TABLE_VALUE_BYTES];

	table_value(k, revision, value);
	CRASH_EXPECT(c, table_put(&yard_table, lane, key_in(lane, k), value, newest(lane)) == 0);
}

static void wind_up(void)
{
	struct table_place p = table_place(&yard_table, TABLE_LANE);

	p.header->committed_seq = UINT32_MAX - 4;
	p.header->next_seq = UINT32_MAX - 3;
	p.header->unlinks = UINT32_MAX;
	for (uint32_t i = 1; i <= p.g->lane_entries; i++)
		table_place_entry(&p, i)->version = UINT32_MAX - 3;
}

/** Mode DIRTY: everything is in a record. */
static void push_all(struct crash_case *c)
{
	while (yard == YARD_DIRTY && table_dirty(&yard_table, TABLE_LANE)) {
		CRASH_EXPECT(c, table_push(&yard_table, TABLE_LANE, 8, newest(TABLE_LANE)) > 0);
		table_commit(&yard_table, TABLE_LANE);
	}
}

/** In the middle of one of these a writer dies. */
static void work_of_the_dead(struct crash_case *c)
{
	static uint8_t value[TABLE_VALUE_BYTES];
	uint64_t next = newest(TABLE_LANE) + 1;

	table_value(1, 99, value);
	if (yard == YARD_REGION && c->variant % 5 == 2) {
		table_lane_begin(&yard_table, TABLE_LANE);
		return;
	}
	switch (c->variant % 5) {
	case 0:
		table_put(&yard_table, TABLE_LANE, table_key(1), value, next - 1);
		break;
	case 1:
		table_put(&yard_table, TABLE_LANE, table_key(8), value, next - 1);
		break;
	case 2:
		table_delete(&yard_table, TABLE_LANE, table_key(1), next - 1);
		break;
	case 3:
		table_apply(&yard_table, TABLE_LANE, TABLE_OP_PUT, next, table_key(1), value);
		break;
	default:
		if (yard == YARD_REGION)
			table_apply(&yard_table, TABLE_LANE, TABLE_OP_PUT, next, table_key(8),
				    value);
		else
			table_apply(&yard_table, TABLE_LANE, TABLE_OP_DELETE, next, table_key(1),
				    NULL);
		break;
	}
}

static struct table_known known_now(unsigned k)
{
	struct table_known known = {.values = 1};
	int status = table_get(&yard_table, TABLE_LANE, table_key(k), known.value[0]);

	if (status == -HAVEN_ENOENT)
		known = (struct table_known){.absent = true};
	return known;
}

static void note(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	for (unsigned k = 0; k < TABLE_KEYS; k++) {
		s->now[k] = s->after[k] = known_now(k);
		memcpy(s->pushed[k], s->now[k].value[0], TABLE_VALUE_BYTES);
		memcpy(s->pushed_after[k], s->now[k].value[0], TABLE_VALUE_BYTES);
	}
	s->committed = s->committed_after = table_committed(&yard_table, TABLE_LANE);
	s->logged = s->committed;
	s->moving = TABLE_KEYS;
	while (s->records < TABLE_LOGGED &&
	       table_read_record(&yard_table, TABLE_LANE, s->logged - s->records,
				 (struct table_record *)(void *)s->record[s->records]) == 0)
		s->records++;
}

/** What the dead one was at may have happened or not, in whole. */
static void expect_of_the_dead(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);
	bool region = yard == YARD_REGION;
	unsigned form = c->variant % 5;
	bool new_key = form == 1 || (region && form == 4);

	s->now[1].absent = !region && (form == 2 || form == 4);
	s->now[8].absent = true;
	s->now[8].values = new_key;
	table_value(1, 99, s->now[8].value[0]);
	s->now[1].values = form == 0 || form == 3 ? 2 : 1;
	table_value(1, 99, s->now[1].value[1]);
	memcpy(s->after, s->now, sizeof(s->now));
	s->moving = new_key ? 8 : 1;
}

/** An empty table of the wanted kind. Returns its size. */
static uint64_t yard_format(struct crash_case *c)
{
	static struct table_geometry g[YARD_COUNT];
	static void *memory[YARD_COUNT];

	if (!memory[yard]) {
		CRASH_EXPECT(c, table_geometry_make(&shape[yard], &g[yard], NULL) == 0);
		memory[yard] = mmap(NULL, g[yard].total_bytes, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		HAVEN_ASSERT(memory[yard] != MAP_FAILED);
	}
	table_format(&yard_table, &g[yard], memory[yard], SEED);
	return g[yard].total_bytes;
}

void table_make(struct crash_case *c, enum yard kind, bool taken_over)
{
	unsigned first = table_present(c);
	uint64_t bytes;

	yard = kind;
	if (c->start == START_RETIRED && yard != YARD_REGION)
		first = 5;
	bytes = yard_format(c);
	if (c->start == START_WRAP)
		wind_up();
	put(c, 0, 0, 1);
	put(c, 0, 1, 1);
	table_commit(&yard_table, 0);
	for (unsigned k = 0; k < first; k++)
		put(c, TABLE_LANE, k, c->variant);
	for (unsigned i = 0; i < CHURN && c->start == START_FULL; i++) {
		put(c, TABLE_LANE, i % first, c->variant + i);
		table_commit(&yard_table, TABLE_LANE);
	}
	for (unsigned i = 0; i < 2 && c->start == START_RETIRED && yard != YARD_REGION; i++)
		CRASH_EXPECT(c,
			     table_delete(&yard_table, TABLE_LANE, table_key((i + c->variant) % 5),
					  newest(TABLE_LANE)) == 0);
	table_commit(&yard_table, TABLE_LANE);
	push_all(c);
	if (c->start == START_DEAD && taken_over) {
		crash_death(c, work_of_the_dead, yard_table.base, bytes, 1 + c->variant / 5 * 3);
		table_lane_begin(&yard_table, TABLE_LANE);
		push_all(c);
	}
	note(c);
	if (c->start == START_DEAD && !taken_over) {
		expect_of_the_dead(c);
		crash_death(c, work_of_the_dead, yard_table.base, bytes, 1 + c->variant / 5);
	}
}

/* ---- judges ---------------------------------------------------------------------------------- */

static bool value_known(const struct table_known *known, const uint8_t *value)
{
	for (uint32_t i = 0; i < known->values; i++) {
		if (memcmp(known->value[i], value, TABLE_VALUE_BYTES) == 0)
			return true;
	}
	return false;
}

/** `torn`: a value that its writer is at may be told as changing. */
static void key_judge(struct crash_case *c, const struct table *t, unsigned k,
		      const struct table_known *known, bool torn)
{
	uint8_t value[TABLE_VALUE_BYTES];
	int status = table_get(t, TABLE_LANE, table_key(k), value);

	if (status == 0)
		CRASH_CHECK(c, value_known(known, value), "key %u shows a value that it never had",
			    k);
	else if (status == -HAVEN_ENOENT)
		CRASH_CHECK(c, known->absent, "key %u is lost", k);
	else
		CRASH_CHECK(c, torn && status == -HAVEN_EAGAIN, "key %u cannot be read: error %d",
			    k, -status);
}

static void records_judge(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);
	uint64_t space[8];
	struct table_record *record = (struct table_record *)(void *)space;

	if (s->replica)
		return;
	for (uint32_t i = 0; i < s->records; i++) {
		int status = table_read_record(&yard_table, TABLE_LANE, s->logged - i, record);

		CRASH_CHECK(c,
			    status == 0 && memcmp(record, s->record[i],
						  yard_table.geometry.record_bytes) == 0,
			    "record %llu of the log is not what it was",
			    (unsigned long long)(s->logged - i));
	}
	for (uint64_t seq = s->committed + 1;
	     seq <= table_committed(&yard_table, TABLE_LANE) && s->committed_after != s->committed;
	     seq++) {
		CRASH_CHECK(c, table_read_record(&yard_table, TABLE_LANE, seq, record) == 0,
			    "record %llu is committed and not there", (unsigned long long)seq);
		CRASH_CHECK(c, seq != s->committed_after || (record->flags & TABLE_RECORD_COMMIT),
			    "the last record of a commit is not marked");
	}
}

void table_view(struct crash_case *c, bool over)
{
	const struct table_stage *s = table_stage(c);
	uint64_t committed = table_committed(&yard_table, TABLE_LANE);
	uint8_t value[TABLE_VALUE_BYTES], want[TABLE_VALUE_BYTES];

	for (unsigned k = 0; k < TABLE_KEYS; k++)
		key_judge(c, &yard_table, k, over ? &s->after[k] : &s->now[k],
			  !over && (k == s->moving || s->moving == TABLE_KEYS + 1));
	CRASH_CHECK(c, committed == s->committed || committed == s->committed_after,
		    "committed up to %llu", (unsigned long long)committed);
	CRASH_CHECK(c, !over || committed == s->committed_after, "committed up to %llu at the end",
		    (unsigned long long)committed);
	records_judge(c);
	for (unsigned k = 0; k < 2; k++) {
		table_value(k, 1, want);
		CRASH_CHECK(c,
			    table_get(&yard_table, 0, key_in(0, k), value) == 0 &&
				    memcmp(value, want, sizeof(want)) == 0,
			    "the other lane changed");
	}
}

/** Every block is at rest, and those that were written are counted. */
static void audit_blocks(struct crash_case *c, const struct table *t, const char *when)
{
	struct table_place p = table_place(t, TABLE_LANE);
	uint32_t used = table_scan_end(t, TABLE_LANE), live = 0;

	for (uint32_t i = 1; i <= p.g->lane_entries; i++) {
		const struct table_entry *e = table_place_entry(&p, i);

		live += e->seq != 0;
		CRASH_CHECK(c, !(e->version & 1), "%s: block %u is being written", when, i - 1);
		CRASH_CHECK(c, e->seq == 0 || i < used, "%s: block %u is above the scan", when,
			    i - 1);
		CRASH_CHECK(c, e->seq == 0 || table_place_block(&p, e->data) == i,
			    "%s: block %u has another's number", when, i - 1);
		CRASH_CHECK(c, e->seq <= p.header->committed_seq,
			    "%s: block %u is of a record that does not exist", when, i - 1);
	}
	CRASH_CHECK(c, p.header->live == live, "%s: %u blocks written, %u counted", when, live,
		    p.header->live);
	CRASH_CHECK(c, p.header->next_seq == p.header->committed_seq + 1,
		    "%s: the log does not follow its commit", when);
}

/** Every entry is either in the chain of its key, once, or in the free list, once. */
static void audit(struct crash_case *c, const struct table *t, const char *when)
{
	struct table_place p = table_place(t, TABLE_LANE);
	uint32_t used = table_scan_end(t, TABLE_LANE), linked = 0, spare = 0, live = 0;
	uint8_t seen[64] = {0};

	if (yard == YARD_REGION) {
		audit_blocks(c, t, when);
		return;
	}
	for (uint32_t h = 0; h < p.g->lane_heads; h++) {
		for (uint32_t i = p.heads[h]; i && linked <= used; linked++) {
			struct table_entry *e = table_place_entry(&p, i);

			CRASH_CHECK(c, i < used && !seen[i]++ && e->seq,
				    "%s: entry %u is linked twice or free", when, i);
			CRASH_CHECK(c, table_place_head(&p, e->data, t->hash_seed) == &p.heads[h],
				    "%s: entry %u is in a wrong chain", when, i);
			i = e->next;
		}
	}
	for (uint32_t i = p.header->free_head; i && spare <= used; spare++) {
		struct table_entry *e = table_place_entry(&p, i);

		CRASH_CHECK(c, i < used && !seen[i]++ && e->seq == 0,
			    "%s: entry %u is free twice or in use", when, i);
		i = e->next;
	}
	for (uint32_t i = 1; i < used; i++) {
		struct table_entry *e = table_place_entry(&p, i);

		live += e->seq != 0;
		CRASH_CHECK(c, seen[i] == 1, "%s: entry %u is lost", when, i);
		CRASH_CHECK(c, !(e->version & 1), "%s: entry %u is being changed", when, i);
		CRASH_CHECK(c, e->seq <= p.header->committed_seq,
			    "%s: entry %u is of a record that does not exist", when, i);
	}
	CRASH_CHECK(c, live == linked && p.header->live == live && linked + spare + 1 == used,
		    "%s: %u live, %u linked, %u free, %u counted of %u", when, live, linked, spare,
		    p.header->live, used - 1);
	CRASH_CHECK(c, p.header->next_seq == p.header->committed_seq + 1,
		    "%s: the log does not follow its commit", when);
}

/** Every value that is in no committed record is marked, nothing free is, and all are counted. */
static void marks_judge(struct crash_case *c, const struct table *t)
{
	const struct table_stage *s = table_stage(c);
	bool over = table_committed(t, TABLE_LANE) > s->committed;
	struct table_place p = table_place(t, TABLE_LANE);
	uint32_t used = table_scan_end(t, TABLE_LANE), marked = 0;

	for (uint32_t i = 1; i <= p.g->lane_entries; i++) {
		const struct table_entry *e = table_place_entry(&p, i);
		bool mark = p.dirty[i / 64] >> i % 64 & 1;

		marked += mark;
		CRASH_CHECK(c, !mark || (i < used && e->seq), "entry %u is marked and free", i);
		CRASH_CHECK(c, !mark || (p.dirty_words[i / 64 / 64] >> i / 64 % 64 & 1),
			    "entry %u is marked where no push finds it", i);
		/* Above the end of a scan stands what an emptied lane left behind. */
		for (unsigned k = 0; k < TABLE_KEYS && i < used && e->seq && !mark; k++) {
			const uint8_t *pushed = over ? s->pushed_after[k] : s->pushed[k];

			CRASH_CHECK(c,
				    memcmp(e->data, table_key(k), p.g->shape.key_bytes) != 0 ||
					    memcmp(e->data + p.g->shape.key_bytes, pushed,
						   TABLE_VALUE_BYTES) == 0,
				    "the value of key %u is in no record and not marked", k);
		}
	}
	CRASH_CHECK(c, marked == p.header->dirty, "%u entries marked, %u counted", marked,
		    p.header->dirty);
}

/** All blocks can be written. */
static void capacity_blocks(struct crash_case *c, struct table *t)
{
	uint8_t value[TABLE_VALUE_BYTES];

	for (unsigned k = 0; k < TABLE_KEYS; k++) {
		if (table_get(t, TABLE_LANE, table_key(k), value) != 0)
			continue;
		CRASH_CHECK(c,
			    table_put(t, TABLE_LANE, table_key(k), value,
				      table_next(t, TABLE_LANE) - 1) == 0,
			    "after a take-over block %u cannot be written", k);
	}
	table_commit(t, TABLE_LANE);
	audit(c, t, "used after a take-over");
}

/** All of the pool can be used. */
static void capacity(struct crash_case *c, struct table *t)
{
	uint32_t live = table_live(t, TABLE_LANE), room = 0;
	uint8_t value[TABLE_VALUE_BYTES] = {0};
	uint64_t key[2] = {1u << 20, 0};

	while (table_put(t, TABLE_LANE, key, value, table_next(t, TABLE_LANE) - 1) == 0) {
		key[0]++;
		room++;
	}
	CRASH_CHECK(c, live + room == t->geometry.lane_entries,
		    "after a take-over there is room for %u beside %u of %u", room, live,
		    t->geometry.lane_entries);
	while (room--) {
		key[0]--;
		CRASH_CHECK(c, table_delete(t, TABLE_LANE, key, table_next(t, TABLE_LANE) - 1) == 0,
			    "after a take-over nothing can be deleted");
	}
	table_commit(t, TABLE_LANE);
	audit(c, t, "used after a take-over");
}

/** What havenctl checkpoint verify would say: a death is no finding, and a take-over leaves nothing
 *  unfinished. */
static void verify(struct crash_case *c, const struct table *t, bool taken_over)
{
	struct table_report report;

	CRASH_CHECK(c, table_check(t, &report, NULL, NULL) == 0 && report.findings == 0,
		    "%s the check finds something",
		    taken_over ? "after a take-over" : "at a death");
	CRASH_CHECK(c, !taken_over || report.unfinished == 0, "a take-over leaves a change open");
}

void table_recover(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);
	size_t bytes = yard_table.geometry.total_bytes;
	struct table t = yard_table;
	uint8_t *again = malloc(bytes);

	t.base = aligned_alloc(64, (bytes + 63) / 64 * 64);
	HAVEN_ASSERT(t.base && again);
	memcpy(t.base, yard_table.base, bytes);
	verify(c, &t, false);
	table_lane_begin(&t, TABLE_LANE);
	verify(c, &t, true);
	audit(c, &t, "after a take-over");
	for (unsigned k = 0; k < TABLE_KEYS; k++)
		key_judge(c, &t, k, &s->now[k], false);
	if (yard == YARD_DIRTY)
		marks_judge(c, &t);
	memcpy(again, t.base, bytes);
	table_lane_begin(&t, TABLE_LANE);
	CRASH_CHECK(c, memcmp(again, t.base, bytes) == 0, "a second take-over changes something");
	if (yard == YARD_REGION)
		capacity_blocks(c, &t);
	else
		capacity(c, &t);
	for (unsigned k = 0; k < TABLE_KEYS; k++)
		key_judge(c, &t, k, &s->now[k], false);
	table_lane_clear(&t, TABLE_LANE, t.geometry.lane_entries);
	audit(c, &t, "cleared after a take-over");
	free(t.base);
	free(again);
}
