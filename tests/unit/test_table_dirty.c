/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mode DIRTY: what is logged, what is pushed when, and that nothing written is ever forgotten.
 */
#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"
#include "table.h"
#include "table_place.h"

#define EVERYTHING UINT64_MAX /* consumed_seq of a node that needs no log slot any more */
#define MANY 10000u

static struct error_text error;

static struct table_shape shape_of(enum table_kind kind, uint32_t capacity, uint32_t mode)
{
	return (struct table_shape){.name = "counts",
				    .key_bytes = 4,
				    .value_bytes = 8,
				    .capacity = capacity,
				    .lanes = 1,
				    .lane_records = 256,
				    .kind = kind,
				    .mode = mode};
}

static struct table table_of(enum table_kind kind, uint32_t capacity)
{
	struct table_shape shape = shape_of(kind, capacity, TABLE_MODE_DIRTY);
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), 7);
	return t;
}

static int put(struct table *t, uint32_t key, uint64_t value)
{
	key = htole32(key);
	return table_put(t, 0, &key, &value, EVERYTHING);
}

static int del(struct table *t, uint32_t key)
{
	key = htole32(key);
	return table_delete(t, 0, &key, EVERYTHING);
}

static uint64_t get(const struct table *t, uint32_t key)
{
	uint64_t value = 0;

	key = htole32(key);
	return table_get(t, 0, &key, &value) == 0 ? value : UINT64_MAX;
}

/** New keys, committed. */
static void fill(struct table *t, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		cr_assert_eq(put(t, k, k), 0);
		if (k % 100 == 99)
			table_commit(t, 0);
	}
	table_commit(t, 0);
	cr_assert_eq(table_dirty(t, 0), 0, "what is new is logged");
}

static void replay(const struct table *from, struct table *to)
{
	uint64_t slot[16];
	struct table_record *r = (struct table_record *)slot;

	for (uint64_t seq = table_committed(to, 0) + 1; seq <= table_committed(from, 0); seq++) {
		cr_assert_eq(table_read_record(from, 0, seq, r), 0);
		cr_assert_eq(table_apply(to, 0, (enum table_op)r->op, seq, r->data, r->data + 4),
			     0);
		if (r->flags & TABLE_RECORD_COMMIT)
			table_applied(to, 0, seq);
	}
}

static uint64_t push(struct table *t, unsigned max)
{
	cr_assert_leq(table_push(t, 0, max, EVERYTHING), max);
	return table_commit(t, 0);
}

Test(table_dirty, the_mode_belongs_to_the_shape)
{
	struct table_shape shape = shape_of(TABLE_KEYED, 10, TABLE_MODE_COUNT);
	struct table_geometry g, dirty;
	struct table app, node;
	int fd;

	cr_expect_eq(table_geometry_make(&shape, &g, &error), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(error.text, "mode 2"));
	shape.mode = TABLE_MODE_LOG;
	cr_expect_eq(table_geometry_make(&shape, &g, &error), 0);
	shape.mode = TABLE_MODE_DIRTY;
	cr_expect_eq(table_geometry_make(&shape, &dirty, &error), 0);
	cr_expect_gt(dirty.total_bytes, g.total_bytes);
	cr_assert_eq(table_create(&app, &shape, &fd, &error), 0);
	((struct table_header *)(void *)app.base)->shape.mode = TABLE_MODE_LOG;
	cr_expect_eq(table_map(&node, fd, &shape, &error), -HAVEN_ECORRUPT);
	table_unmap(&app);
}

Test(table_dirty, a_value_that_replaces_another_is_no_record_until_it_is_pushed)
{
	struct table t = table_of(TABLE_KEYED, 100), replica = table_of(TABLE_KEYED, 100);

	fill(&t, 10);
	replay(&t, &replica);
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(put(&t, 3, 1000 + i), 0);
	cr_expect_eq(get(&t, 3), 1999);
	cr_expect_eq(table_dirty(&t, 0), 1);
	cr_expect_eq(table_commit(&t, 0), 10);
	cr_expect_eq(push(&t, 64), 11, "the latest value, once");
	cr_expect_eq(table_dirty(&t, 0), 0);
	cr_expect_eq(push(&t, 64), 11);
	replay(&t, &replica);
	cr_expect_eq(get(&replica, 3), 1999);
	cr_expect_eq(table_digest(&t, 0), table_digest(&replica, 0));
	cr_expect_eq(table_dirty(&replica, 0), 0);
	cr_expect_eq(table_dirty(&t, 1), 0, "no such lane");
	cr_expect_eq(table_push(&t, 1, 64, EVERYTHING), 0);
	free(t.base);
	free(replica.base);
}

Test(table_dirty, in_mode_log_nothing_is_marked)
{
	struct table_shape shape = shape_of(TABLE_KEYED, 10, TABLE_MODE_LOG);
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), 7);
	cr_assert_eq(put(&t, 1, 1), 0);
	cr_assert_eq(put(&t, 1, 2), 0);
	cr_expect_eq(table_dirty(&t, 0), 0);
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0);
	cr_expect_eq(table_commit(&t, 0), 2);
	free(t.base);
}

Test(table_dirty, none_is_pushed_twice_while_another_waits)
{
	static const uint32_t slow[] = {0, 63, 64, 4095, 4096, 8191, MANY - 1};
	struct table t = table_of(TABLE_KEYED, MANY), replica = table_of(TABLE_KEYED, MANY);
	unsigned commits = 0, waiting = 1;

	fill(&t, MANY);
	table_applied(&replica, 0, table_committed(&t, 0));
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(slow); i++)
		cr_assert_eq(put(&t, slow[i], 77), 0);
	/* Hot ones are written again before every commit, wherever the push stands. */
	while (commits < 100 && waiting) {
		for (uint32_t k = 100; k < 200; k++)
			cr_assert_eq(put(&t, k, 5000 + commits), 0);
		push(&t, 10);
		replay(&t, &replica);
		commits++;
		waiting = 0;
		for (unsigned i = 0; i < HAVEN_ARRAY_LEN(slow); i++)
			waiting += get(&replica, slow[i]) != 77;
	}
	cr_expect_leq(commits, (100 + 7 + 9) / 10, "one round is enough for all of them");
	free(t.base);
	free(replica.base);
}

Test(table_dirty, the_bitmap_finds_every_entry_however_far_apart)
{
	struct table t = table_of(TABLE_KEYED, MANY);
	struct prng r = {3};

	fill(&t, MANY);
	for (unsigned round = 0; round < 300; round++) {
		unsigned n = (unsigned)prng_below(&r, 30), marked;

		for (unsigned i = 0; i < n; i++)
			cr_assert_eq(put(&t, (uint32_t)prng_below(&r, MANY), round), 0);
		marked = table_dirty(&t, 0);
		cr_assert_leq(marked, n);
		cr_assert_eq(table_push(&t, 0, 256, EVERYTHING), marked);
		cr_assert_eq(table_dirty(&t, 0), 0);
		table_commit(&t, 0);
	}
	free(t.base);
}

Test(table_dirty, without_room_values_wait_and_are_written_all_the_same)
{
	struct table t = table_of(TABLE_KEYED, 1000);
	uint32_t key = 0, fresh = htole32(999);
	uint64_t value = 9;

	fill(&t, 500);
	for (uint32_t k = 0; k < 500; k++)
		cr_assert_eq(put(&t, k, 4), 0);
	cr_expect_eq(table_push(&t, 0, 256, 244), 0, "500 records, a log of 256");
	cr_expect_eq(table_put(&t, 0, &key, &value, 244), 0);
	cr_expect_eq(table_put(&t, 0, &fresh, &value, 244), -HAVEN_EFULL, "what is new is logged");
	cr_expect_eq(table_push(&t, 0, 256, 344), 100);
	table_commit(&t, 0);
	cr_expect_eq(table_dirty(&t, 0), 400);
	cr_expect_eq(table_push(&t, 0, 300, EVERYTHING), 256, "of one commit");
	cr_expect_eq(table_push(&t, 0, 256, EVERYTHING), 0);
	cr_expect_eq(table_put(&t, 0, &key, &value, 0), 0);
	free(t.base);
}

Test(table_dirty, what_is_deleted_waits_for_nothing)
{
	struct table t = table_of(TABLE_KEYED, 100), replica = table_of(TABLE_KEYED, 100);

	fill(&t, 10);
	cr_assert_eq(put(&t, 5, 50), 0);
	cr_assert_eq(del(&t, 5), 0);
	cr_expect_eq(table_dirty(&t, 0), 0);
	cr_assert_eq(put(&t, 20, 51), 0); /* in its place */
	cr_expect_eq(table_dirty(&t, 0), 0);
	cr_assert_eq(put(&t, 20, 52), 0);
	cr_assert_eq(del(&t, 6), 0);
	push(&t, 64);
	replay(&t, &replica);
	cr_expect_eq(get(&replica, 20), 52);
	cr_expect_eq(table_digest(&t, 0), table_digest(&replica, 0));
	free(t.base);
	free(replica.base);
}

Test(table_dirty, a_cleared_lane_has_nothing_to_push)
{
	struct table t = table_of(TABLE_KEYED, 1000);

	fill(&t, 1000);
	for (uint32_t k = 0; k < 1000; k += 3)
		cr_assert_eq(put(&t, k, 1), 0);
	push(&t, 100);
	table_lane_clear(&t, 0, 7000);
	cr_expect_eq(table_dirty(&t, 0), 0);
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0);
	cr_assert_eq(put(&t, 1, 1), 0);
	cr_assert_eq(put(&t, 1, 2), 0);
	cr_expect_eq(table_dirty(&t, 0), 1);
	cr_expect_eq(push(&t, 64), 7002);
	free(t.base);
}

Test(table_dirty, marks_outlast_a_loss_of_the_role)
{
	struct table t = table_of(TABLE_KEYED, 100);

	fill(&t, 10);
	cr_assert_eq(put(&t, 3, 33), 0);
	table_lane_begin(&t, 0);
	cr_expect_eq(table_dirty(&t, 0), 1);
	cr_expect_eq(push(&t, 64), 11);
	free(t.base);
}

Test(table_dirty, what_was_pushed_and_not_committed_is_pushed_again)
{
	struct table t = table_of(TABLE_KEYED, 100), replica = table_of(TABLE_KEYED, 100);

	fill(&t, 10);
	replay(&t, &replica);
	cr_assert_eq(del(&t, 9), 0);
	table_commit(&t, 0);
	cr_assert_eq(put(&t, 3, 33), 0);
	cr_assert_eq(table_push(&t, 0, 64, EVERYTHING), 1);
	cr_expect_eq(table_dirty(&t, 0), 0);
	table_lane_begin(&t, 0);
	cr_expect_eq(table_next(&t, 0), 12, "its record is gone");
	cr_expect_eq(table_dirty(&t, 0), 9, "nobody knows which it was: all of them wait");
	push(&t, 64);
	replay(&t, &replica);
	cr_expect_eq(get(&replica, 3), 33);
	free(t.base);
	free(replica.base);
}

Test(table_dirty, a_torn_value_is_written_again)
{
	struct table t = table_of(TABLE_KEYED, 100);
	struct table_place p = table_place(&t, 0);
	struct table_entry *e = table_place_entry(&p, 4);

	fill(&t, 10);
	cr_assert_eq(put(&t, 3, 0x3333333333333333), 0);
	/* As its writer would have left it in the middle. */
	p.header->changing = TABLE_APPLYING;
	e->version |= 1;
	memset(e->data + 4, 0xee, 3);
	table_lane_begin(&t, 0);
	cr_expect_eq(get(&t, 3), 0x3333333333333333);
	cr_expect_eq(table_dirty(&t, 0), 10);
	cr_expect_eq(p.header->changing, TABLE_AT_REST);
	free(t.base);
}

Test(table_dirty, words_that_contradict_each_other_end_a_push)
{
	struct table t = table_of(TABLE_KEYED, MANY);
	struct table_place p = table_place(&t, 0);

	fill(&t, MANY);
	p.header->dirty = 3;
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0, "none is marked");
	p.header->push_from = UINT32_MAX;
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0);
	p.dirty_words[0] |= 4;
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0, "nor in the word that is named");
	p.dirty_words[0] = 0;
	p.dirty[MANY / 64] |= 1ull << 63;
	p.dirty_words[MANY / 64 / 64] |= 1ull << MANY / 64 % 64;
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 0, "there is no such entry");
	p.dirty[MANY / 64] = p.dirty_words[MANY / 64 / 64] = 0;
	p.header->dirty = UINT32_MAX;
	cr_expect_eq(table_dirty(&t, 0), MANY);
	p.header->dirty = 0;
	cr_assert_eq(put(&t, MANY - 1, 5), 0);
	p.header->push_from = MANY;
	cr_expect_eq(table_push(&t, 0, 64, EVERYTHING), 1);
	cr_expect_eq(p.header->push_from, 1, "after the last the first");
	free(t.base);
}

Test(table_dirty, blocks_of_a_region_are_coalesced_likewise)
{
	struct table t = table_of(TABLE_REGION, 100), replica = table_of(TABLE_REGION, 100);
	uint8_t a[800], b[800];

	cr_assert_eq(table_region_write(&t, 0, 4, "sixteen bytes...", 16, 0), 0);
	cr_expect_eq(table_commit(&t, 0), 3, "three blocks for the first time");
	for (unsigned i = 0; i < 1000; i++)
		cr_assert_eq(table_region_write(&t, 0, 0, &i, sizeof(i), 0), 0);
	cr_expect_eq(table_dirty(&t, 0), 1);
	memset(a, 1, sizeof(a));
	cr_assert_eq(table_region_write(&t, 0, 0, a, 5 * 8, 0), 0);
	cr_expect_eq(table_dirty(&t, 0), 3);
	cr_expect_eq(table_next(&t, 0), 6, "two more blocks for the first time");
	push(&t, 64);
	replay(&t, &replica);
	cr_assert_eq(table_region_read(&t, 0, a, sizeof(a)), 0);
	cr_assert_eq(table_region_read(&replica, 0, b, sizeof(b)), 0);
	cr_expect_arr_eq(a, b, sizeof(a));
	free(t.base);
	free(replica.base);
}

Test(table_dirty, a_replica_never_lacks_a_key_nor_waits_longer_than_the_bound, .timeout = 60)
{
	enum { KEYS = 200, PUSH = 16 };
	struct table t = table_of(TABLE_KEYED, KEYS), replica = table_of(TABLE_KEYED, KEYS);
	const unsigned bound = (KEYS + PUSH - 1) / PUSH; /* commits */
	uint64_t count[KEYS] = {0}, was[KEYS] = {0};
	unsigned waits[KEYS] = {0};
	struct prng r = {11};

	for (unsigned turn = 0; turn < 3000; turn++) {
		for (unsigned i = (unsigned)prng_below(&r, 40); i--;) {
			uint32_t k = (uint32_t)prng_below(&r, KEYS);

			if (prng_below(&r, 50) == 0 && count[k]) {
				cr_assert_eq(del(&t, k), 0);
				count[k] = 0;
			} else {
				cr_assert_eq(put(&t, k, ++count[k]), 0);
			}
		}
		push(&t, PUSH);
		replay(&t, &replica);
		for (uint32_t k = 0; k < KEYS; k++) {
			uint64_t seen = get(&replica, k);

			cr_assert_eq(seen == UINT64_MAX, count[k] == 0, "keys are exact");
			cr_assert(count[k] == 0 || seen <= count[k], "a value it had");
			/* What was written when the wait began is there when the bound is over. */
			if (waits[k] == 0 || count[k] < was[k])
				was[k] = count[k];
			waits[k] = count[k] && seen < was[k] ? waits[k] + 1 : 0;
			cr_assert_leq(waits[k], bound);
		}
	}
	for (unsigned i = 0; i < bound; i++)
		push(&t, PUSH);
	cr_expect_eq(table_dirty(&t, 0), 0);
	replay(&t, &replica);
	cr_expect_eq(table_digest(&t, 0), table_digest(&replica, 0));
	free(t.base);
	free(replica.base);
}
