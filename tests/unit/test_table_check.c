/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"
#include "table_check.h"
#include "table_place.h"

static struct table table;
static struct error_text error;
static void *memory;
static struct table_report report;
static unsigned told[TABLE_FINDING_COUNT];
static char sentences[4096];

static void tell(void *context, unsigned lane, enum table_finding kind, const char *sentence)
{
	size_t used = strlen(sentences);

	(void)context;
	told[kind]++;
	snprintf(sentences + used, sizeof(sentences) - used, "%u %s: %s\n", lane,
		 table_finding_name(kind), sentence);
}

static uint64_t check(void)
{
	memset(told, 0, sizeof(told));
	sentences[0] = 0;
	cr_assert_eq(table_check(&table, &report, tell, NULL), 0);
	return report.findings;
}

static void make(enum table_kind kind, enum table_mode mode)
{
	const struct table_shape shape = {.name = "t",
					  .kind = kind,
					  .mode = mode,
					  .key_bytes = 4,
					  .value_bytes = 16,
					  .capacity = 100,
					  .lanes = 2,
					  .lane_records = 64};
	struct table_geometry g;

	free(memory);
	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	memory = aligned_alloc(128, (g.total_bytes + 127) / 128 * 128);
	table_format(&table, &g, memory, 5);
}

static void put(unsigned lane, uint32_t key)
{
	uint8_t value[16] = {1};

	cr_assert_eq(table_put(&table, lane, &key, value, table_committed(&table, lane)), 0);
	table_commit(&table, lane);
}

static void drop(unsigned lane, uint32_t key)
{
	cr_assert_eq(table_delete(&table, lane, &key, table_committed(&table, lane)), 0);
	table_commit(&table, lane);
}

/** Ten entries in lane 0, two of them free again. */
static void fill(enum table_kind kind, enum table_mode mode)
{
	make(kind, mode);
	for (uint32_t key = 0; key < 10; key++)
		put(0, key);
	if (kind == TABLE_KEYED) {
		drop(0, 3);
		drop(0, 7);
	}
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_eq(report.unfinished + report.moving, 0, "%s", sentences);
}

static struct table_place at(unsigned lane)
{
	return table_place(&table, lane);
}

static struct table_entry *entry(uint32_t index)
{
	struct table_place p = at(0);

	return table_place_entry(&p, index);
}

/** After the statement the check finds this. */
#define FINDS(want, ...)                                                                           \
	do {                                                                                       \
		fill(TABLE_KEYED, TABLE_MODE_LOG);                                                 \
		__VA_ARGS__;                                                                       \
		check();                                                                           \
		cr_assert_gt(told[want], 0, "%s is not found after %s; %s",                        \
			     table_finding_name(want), #__VA_ARGS__, sentences);                   \
	} while (0)

/** The head in whose chain this key is. */
static uint32_t *head_of(uint32_t key)
{
	struct table_place p = at(0);

	return table_place_head(&p, &key, table.hash_seed);
}

/** A head without a chain. */
static uint32_t *empty_head(void)
{
	struct table_place p = at(0);

	for (uint32_t i = 0; i < p.g->lane_heads; i++)
		if (p.heads[i] == 0)
			return &p.heads[i];
	return NULL;
}

Test(table_check, everything_of_a_whole_table_is_looked_at)
{
	fill(TABLE_KEYED, TABLE_MODE_LOG);
	cr_assert_eq(report.lanes, 2);
	cr_assert_eq(report.entries, 8);
	cr_assert_eq(report.records, 128);
	cr_assert_eq(report.heads, 128);
}

Test(table_check, whatever_is_done_to_a_table_it_stays_whole)
{
	struct prng p = {.state = 11};

	for (unsigned form = 0; form < 4; form++) {
		enum table_kind kind = form & 1 ? TABLE_REGION : TABLE_KEYED;

		make(kind, form & 2 ? TABLE_MODE_DIRTY : TABLE_MODE_LOG);
		for (unsigned i = 0; i < 3000; i++) {
			uint32_t key = (uint32_t)prng_below(&p, 50);
			uint8_t value[16] = {(uint8_t)i};
			uint64_t consumed = table_committed(&table, 0);

			if (prng_below(&p, 3))
				cr_assert_eq(table_put(&table, 0, &key, value, consumed), 0);
			else if (kind == TABLE_KEYED)
				table_delete(&table, 0, &key, consumed);
			if (prng_below(&p, 4) == 0)
				table_push(&table, 0, 3, consumed);
			if (prng_below(&p, 4) == 0)
				table_commit(&table, 0);
			if (prng_below(&p, 500) == 0)
				table_lane_begin(&table, 0);
			if (prng_below(&p, 900) == 0)
				table_lane_clear(&table, 0, 1000 * i);
			cr_assert_eq(check(), 0, "form %u, step %u: %s", form, i, sentences);
			cr_assert_eq(report.moving, 0);
		}
	}
}

Test(table_check, positions_that_contradict_each_other)
{
	FINDS(TABLE_BAD_POSITION, at(0).header->next_seq = 0);
	FINDS(TABLE_BAD_POSITION, at(0).header->committed_seq = 99);
	FINDS(TABLE_BAD_POSITION, at(0).header->next_seq = 1000);
}

Test(table_check, log_slots_that_no_writer_has_filled)
{
	struct table_place p;

	FINDS(TABLE_BAD_RECORD, p = at(0), table_place_record(&p, 5)->seq = 6);
	FINDS(TABLE_BAD_RECORD, p = at(0), table_place_record(&p, 5)->op = 3);
	FINDS(TABLE_BAD_RECORD, p = at(0), table_place_record(&p, 5)->flags = 2);
}

Test(table_check, chains_that_lead_astray)
{
	FINDS(TABLE_BAD_CHAIN, *head_of(1) = 1000);
	FINDS(TABLE_BAD_CHAIN, entry(*head_of(1))->next = *head_of(1));
	FINDS(TABLE_BAD_ENTRY, *empty_head() = *head_of(1));
	FINDS(TABLE_BAD_ENTRY, entry(*head_of(1))->data[3] ^= 0x55);
	FINDS(TABLE_BAD_ENTRY, entry(*head_of(1))->seq = 0);
	FINDS(TABLE_BAD_ENTRY, entry(*head_of(1))->version |= 1);
}

Test(table_check, free_entries_and_counts)
{
	FINDS(TABLE_BAD_FREE, at(0).header->free_head = 0);
	FINDS(TABLE_BAD_FREE, at(0).header->free_head = 77);
	FINDS(TABLE_BAD_FREE, at(0).header->free_head = *head_of(1));
	FINDS(TABLE_BAD_FREE, entry(at(0).header->free_head)->next = at(0).header->free_head);
	FINDS(TABLE_BAD_FREE, entry(at(0).header->free_head)->seq = 4);
	FINDS(TABLE_BAD_COUNT, at(0).header->live = 9);
	FINDS(TABLE_BAD_COUNT, at(0).header->never_used = 0);
	FINDS(TABLE_BAD_COUNT, at(0).header->never_used = 1000);
}

Test(table_check, marks_of_mode_dirty)
{
	uint32_t key = 1;
	uint8_t value[16] = {2};

	fill(TABLE_KEYED, TABLE_MODE_DIRTY);
	cr_assert_eq(table_put(&table, 0, &key, value, 0), 0);
	cr_assert_eq(table_dirty(&table, 0), 1);
	cr_assert_eq(check(), 0, "%s", sentences);
	at(0).header->dirty = 2;
	check();
	cr_assert_eq(told[TABLE_BAD_MARK], 1, "%s", sentences);
	at(0).dirty[0] |= 1ull << at(0).header->free_head;
	check();
	cr_assert_eq(told[TABLE_BAD_MARK], 1, "a mark too many, which the count agrees with: %s",
		     sentences);
}

Test(table_check, blocks_that_do_not_say_their_number)
{
	fill(TABLE_REGION, TABLE_MODE_LOG);
	cr_assert_eq(report.entries, 10);
	entry(4)->data[0] ^= 1;
	check();
	cr_assert_eq(told[TABLE_BAD_ENTRY], 1, "%s", sentences);
	entry(4)->data[0] ^= 1;
	entry(4)->version |= 1;
	check();
	cr_assert_eq(told[TABLE_BAD_ENTRY], 1, "%s", sentences);
}

Test(table_check, a_change_under_way_is_unfinished_and_no_error)
{
	struct table_place p;

	FINDS(TABLE_UNFINISHED, at(0).header->changing = TABLE_APPLYING,
	      entry(*head_of(1))->version |= 1);
	cr_assert_eq(report.findings, 0, "%s", sentences);
	FINDS(TABLE_UNFINISHED, p = at(0),
	      table_place_record(&p, p.header->next_seq)->op = TABLE_OP_PUT,
	      table_place_record(&p, p.header->next_seq)->seq = p.header->next_seq);
	cr_assert_eq(report.findings, 0, "%s", sentences);
	/* Whoever takes over makes it good. */
	table_lane_begin(&table, 0);
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_eq(report.unfinished, 0);
}

Test(table_check, nobody_need_hear_of_it)
{
	fill(TABLE_KEYED, TABLE_MODE_LOG);
	at(0).header->live = 3;
	cr_assert_eq(table_check(&table, &report, NULL, NULL), 0);
	cr_assert_eq(report.findings, 1);
	cr_assert_str_eq(table_finding_name(TABLE_FINDING_COUNT), "?");
}
