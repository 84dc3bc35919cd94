/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions: bytes in blocks that are records of the log, beside an oracle that is an array.
 */
#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"
#include "table.h"
#include "table_place.h"

#define EVERYTHING UINT64_MAX /* consumed_seq of a node that needs no log slot any more */
#define BLOCK 16u
#define BLOCKS 13u
#define LANES 3u /* of 5, 5 and 3 blocks */
#define BYTES (BLOCK * BLOCKS)

static struct error_text error;

static struct table_shape shape_of(uint32_t block, uint32_t blocks, uint32_t lanes)
{
	return (struct table_shape){.name = "bytes",
				    .key_bytes = 4,
				    .value_bytes = block,
				    .capacity = blocks,
				    .lanes = lanes,
				    .lane_records = 64,
				    .kind = TABLE_REGION};
}

/** In plain memory of exactly its size, so that a sanitizer sees every step outside. */
static struct table region_of(uint32_t block, uint32_t blocks, uint32_t lanes)
{
	struct table_shape shape = shape_of(block, blocks, lanes);
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), 7);
	return t;
}

static struct table_entry *entry_of(struct table *t, unsigned lane, uint32_t index)
{
	struct table_place p = table_place(t, lane);

	return table_place_entry(&p, index);
}

/** Replay committed records of the log into a replica, whole commits only. */
static void replay(const struct table *from, struct table *to, unsigned lane)
{
	uint64_t slot[(sizeof(struct table_record) + 4 + TABLE_VALUE_MAX) / 8 + 1];
	struct table_record *r = (struct table_record *)slot;

	for (uint64_t seq = table_committed(to, lane) + 1; seq <= table_committed(from, lane);
	     seq++) {
		cr_assert_eq(table_read_record(from, lane, seq, r), 0);
		cr_assert_eq(table_apply(to, lane, (enum table_op)r->op, seq, r->data, r->data + 4),
			     0);
		if (r->flags & TABLE_RECORD_COMMIT)
			table_applied(to, lane, seq);
	}
	cr_assert_eq(table_committed(to, lane), table_committed(from, lane));
}

Test(table_region, shapes_out_of_range_are_refused)
{
	struct table_shape s = shape_of(BLOCK, BLOCKS, LANES);
	struct table_geometry g;

	s.kind = TABLE_KIND_COUNT;
	cr_expect_eq(table_geometry_make(&s, &g, &error), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(error.text, "kind 2"));
	s = shape_of(BLOCK, BLOCKS, LANES);
	s.key_bytes = 8;
	cr_expect_eq(table_geometry_make(&s, &g, &error), -HAVEN_EINVAL);
	s = shape_of(0, BLOCKS, LANES);
	cr_expect_eq(table_geometry_make(&s, &g, &error), -HAVEN_EINVAL);
	s = shape_of(12, BLOCKS, LANES);
	cr_expect_eq(table_geometry_make(&s, &g, &error), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(error.text, "block_bytes 12"));
	s = shape_of(TABLE_VALUE_MAX + 8, BLOCKS, LANES);
	cr_expect_eq(table_geometry_make(&s, &g, &error), -HAVEN_EINVAL);
	s = shape_of(TABLE_VALUE_MAX, BLOCKS, LANES);
	cr_expect_eq(table_geometry_make(&s, &g, &error), 0);
}

Test(table_region, a_table_is_no_region_and_the_other_way_round)
{
	struct table_shape shape = shape_of(BLOCK, BLOCKS, LANES), keyed = shape;
	struct table_geometry g;
	uint64_t offset, bytes;
	struct table app, node;
	uint8_t b[BLOCK] = {0};
	int fd;

	keyed.kind = TABLE_KEYED;
	cr_assert_eq(table_create(&app, &shape, &fd, &error), 0);
	cr_assert_eq(table_map(&node, fd, &shape, &error), 0);
	table_unmap(&node);
	keyed.capacity = 5; /* of the same size or not: the kind is looked at */
	cr_expect_neq(table_map(&node, fd, &keyed, &error), 0);
	keyed.capacity = BLOCKS;
	((struct table_header *)(void *)app.base)->shape.kind = TABLE_KEYED;
	cr_expect_eq(table_map(&node, fd, &shape, &error), -HAVEN_ECORRUPT);
	table_unmap(&app);
	cr_assert_eq(table_geometry_make(&keyed, &g, &error), 0);
	table_format(&app, &g, aligned_alloc(8, g.total_bytes), 7);
	cr_expect_eq(table_region_write(&app, 0, 0, b, 1, EVERYTHING), -HAVEN_EINVAL);
	cr_expect_eq(table_region_read(&app, 0, b, 1), -HAVEN_EINVAL);
	table_region_span(&app, 0, &offset, &bytes);
	cr_expect_eq(bytes, 0);
	cr_expect(table_takes(&app, 0, TABLE_OP_DELETE, "key0"));
	cr_expect(table_takes(&app, 0, TABLE_OP_PUT, "key0"));
	cr_expect_not(table_takes(&app, 0, (enum table_op)0, "key0"));
	free(app.base);
}

Test(table_region, lanes_have_their_share_of_the_blocks)
{
	const uint64_t blocks[LANES] = {5, 5, 3};
	struct table t = region_of(BLOCK, BLOCKS, LANES), few = region_of(8, 5, 4);
	uint64_t offset, bytes, next = 0;

	for (unsigned lane = 0; lane < LANES; lane++) {
		table_region_span(&t, lane, &offset, &bytes);
		cr_expect_eq(offset, next);
		cr_expect_eq(bytes, blocks[lane] * BLOCK);
		next += bytes;
	}
	cr_expect_eq(next, BYTES);
	table_region_span(&t, LANES, &offset, &bytes);
	cr_expect_eq(bytes, 0);
	/* 2, 2, 1 and none. */
	table_region_span(&few, 2, &offset, &bytes);
	cr_expect_eq(offset, 32);
	cr_expect_eq(bytes, 8);
	table_region_span(&few, 3, &offset, &bytes);
	cr_expect_eq(bytes, 0);
	cr_expect_eq(table_region_write(&few, 3, 32, "12345678", 8, EVERYTHING), -HAVEN_EINVAL);
	free(t.base);
	free(few.base);
}

Test(table_region, what_is_written_is_read_and_the_rest_is_zero)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t got[BYTES], want[BYTES] = {0};
	uint64_t key = 0;

	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	memcpy(want + 10, "twenty bytes in three.", 20);
	cr_assert_eq(table_region_write(&t, 0, 10, "twenty bytes in three.", 20, EVERYTHING), 0);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	cr_expect_eq(table_live(&t, 0), 2);
	cr_expect_eq(table_scan_end(&t, 0), 3);
	cr_expect_eq(table_next(&t, 0), 3, "a record for each block");
	cr_expect_eq(table_commit(&t, 0), 2);
	cr_assert_eq(table_region_write(&t, 2, BYTES - 1, "x", 1, EVERYTHING), 0);
	want[BYTES - 1] = 'x';
	cr_assert_eq(table_region_write(&t, 0, 26, "", 0, EVERYTHING), 0, "nothing is no record");
	cr_expect_eq(table_next(&t, 0), 3);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	cr_assert_eq(table_region_read(&t, BYTES, got, 0), 0);
	cr_expect_eq(table_get(&t, 0, &key, got), 0, "a block is a value");
	free(t.base);
}

Test(table_region, what_is_not_the_lanes_is_refused_and_nothing_changes)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t b[BYTES + 1] = {1}, zero[BYTES] = {0}, got[BYTES];
	uint32_t key = htole32(5);

	cr_expect_eq(table_region_write(&t, LANES, 0, b, 1, EVERYTHING), -HAVEN_EINVAL);
	cr_expect_eq(table_region_write(&t, 1, 79, b, 2, EVERYTHING), -HAVEN_EINVAL, "lane 0's");
	cr_expect_eq(table_region_write(&t, 0, 79, b, 2, EVERYTHING), -HAVEN_EINVAL, "lane 1's");
	cr_expect_eq(table_region_write(&t, 0, 81, b, 0, EVERYTHING), -HAVEN_EINVAL);
	cr_expect_eq(table_region_write(&t, 2, 160, b, 49, EVERYTHING), -HAVEN_EINVAL, "too long");
	cr_expect_eq(table_region_write(&t, 0, 1, b, UINT64_MAX, EVERYTHING), -HAVEN_EINVAL);
	cr_expect_eq(table_region_read(&t, 0, b, BYTES + 1), -HAVEN_EINVAL);
	cr_expect_eq(table_region_read(&t, BYTES + 1, b, 0), -HAVEN_EINVAL);
	cr_expect_eq(table_region_read(&t, 8, b, UINT64_MAX), -HAVEN_EINVAL);
	cr_expect_eq(table_put(&t, 0, &key, b, EVERYTHING), -HAVEN_EINVAL, "block 5 is lane 1's");
	cr_expect_eq(table_get(&t, 0, &key, got), -HAVEN_EINVAL);
	cr_expect_eq(table_delete(&t, 1, &key, EVERYTHING), -HAVEN_EINVAL, "nothing is deleted");
	cr_expect_eq(table_apply(&t, 1, TABLE_OP_DELETE, 1, &key, NULL), -HAVEN_EINVAL);
	cr_expect_eq(table_apply(&t, 0, TABLE_OP_PUT, 1, &key, b), -HAVEN_EINVAL);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, zero, BYTES);
	for (unsigned lane = 0; lane < LANES; lane++)
		cr_expect_eq(table_next(&t, lane), 1);
	free(t.base);
}

Test(table_region, a_write_that_finds_no_room_for_all_of_it_changes_nothing)
{
	struct table t = region_of(8, 1000, 1);
	static uint8_t b[8000], got[8000], zero[8000];

	memset(b, 1, sizeof(b));
	/* 64 records fit into the log, of which the node has taken none. */
	cr_expect_eq(table_room(&t, 0, 0), 64);
	cr_expect_eq(table_room(&t, 1, 0), 0, "no such lane");
	cr_expect_eq(table_region_write(&t, 0, 0, b, 65 * 8, 0), -HAVEN_EFULL);
	cr_expect_eq(table_region_write(&t, 0, 4, b, 64 * 8, 0), -HAVEN_EFULL, "65 blocks, too");
	cr_assert_eq(table_region_read(&t, 0, got, 8000), 0);
	cr_expect_arr_eq(got, zero, 8000);
	cr_expect_eq(table_region_write(&t, 0, 0, b, 64 * 8, 0), 0);
	cr_expect_eq(table_room(&t, 0, 0), 0);
	cr_expect_eq(table_room(&t, 0, 10), 10);
	cr_expect_eq(table_room(&t, 0, EVERYTHING), 64);
	table_commit(&t, 0);
	/* With the log at hand it is the commit that is bounded. */
	for (unsigned i = 0; i < TABLE_COMMIT_RECORDS_MAX; i++)
		cr_assert_eq(table_region_write(&t, 0, 8 * i, b, 8, table_next(&t, 0) - 1), 0);
	cr_expect_eq(table_room(&t, 0, EVERYTHING), 0);
	cr_expect_eq(table_region_write(&t, 0, 0, b, 8, EVERYTHING), -HAVEN_EFULL);
	table_commit(&t, 0);
	cr_expect_eq(table_region_write(&t, 0, 0, b, 8, EVERYTHING), 0);
	free(t.base);
}

Test(table_region, a_replica_follows_commit_by_commit)
{
	struct table primary = region_of(BLOCK, BLOCKS, LANES);
	struct table replica = region_of(BLOCK, BLOCKS, LANES);
	uint8_t oracle[BYTES] = {0}, got[BYTES];
	struct prng r = {5};

	for (unsigned i = 0; i < 20000; i++) {
		unsigned lane = (unsigned)prng_below(&r, LANES);
		uint64_t offset, bytes, n;
		uint8_t b[BYTES];

		table_region_span(&primary, lane, &offset, &bytes);
		n = 1 + prng_below(&r, bytes);
		offset += prng_below(&r, bytes - n + 1);
		for (unsigned k = 0; k < n; k++)
			b[k] = (uint8_t)prng_next(&r);
		cr_assert_eq(table_region_write(&primary, lane, offset, b, n,
						table_committed(&primary, lane)),
			     0);
		memcpy(oracle + offset, b, n);
		if (prng_below(&r, 4) == 0 || table_room(&primary, lane, 0) < 8) {
			table_commit(&primary, lane);
			replay(&primary, &replica, lane);
		}
		if (i % 16 == 0) {
			cr_assert_eq(table_region_read(&primary, 0, got, BYTES), 0);
			cr_assert_arr_eq(got, oracle, BYTES);
		}
	}
	for (unsigned lane = 0; lane < LANES; lane++) {
		table_commit(&primary, lane);
		replay(&primary, &replica, lane);
		cr_expect_eq(table_digest(&primary, lane), table_digest(&replica, lane));
	}
	cr_assert_eq(table_region_read(&replica, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, oracle, BYTES);
	free(primary.base);
	free(replica.base);
}

Test(table_region, an_older_record_does_not_undo_a_newer_one)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t got[BLOCK];
	uint32_t key = 0;

	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 7, &key, "newer block 0000"), 0);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 6, &key, "older block 0000"), 0);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 7, &key, "older block 0000"), 0);
	cr_assert_eq(table_get(&t, 0, &key, got), 0);
	cr_expect_arr_eq(got, "newer block 0000", BLOCK);
	free(t.base);
}

Test(table_region, a_cleared_lane_is_zero_and_can_be_written)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t got[BYTES], want[BYTES] = {0};
	uint64_t seq;

	memset(got, 9, sizeof(got));
	cr_assert_eq(table_region_write(&t, 0, 0, got, 5 * BLOCK, EVERYTHING), 0);
	cr_assert_eq(table_region_write(&t, 1, 5 * BLOCK, got, BLOCK, EVERYTHING), 0);
	table_lane_clear(&t, 0, 40);
	cr_expect_eq(table_committed(&t, 0), 40);
	cr_expect_eq(table_live(&t, 0), 0);
	memset(want + 5 * BLOCK, 9, BLOCK);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	cr_expect_eq(table_read_entry(&t, 0, 1, &seq, got), -HAVEN_ENOENT);
	cr_expect_eq(seq, 0, "a block that was cleared was freed by no record");
	/* The block above the lowest: those below must not come back. */
	cr_assert_eq(table_region_write(&t, 0, 3 * BLOCK, "!", 1, EVERYTHING), 0);
	want[3 * BLOCK] = '!';
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	cr_expect_eq(table_commit(&t, 0), 41);
	free(t.base);
}

Test(table_region, a_reader_is_told_to_try_again_for_the_block_that_is_being_written)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t got[BYTES];

	cr_assert_eq(table_region_write(&t, 0, 0, "block 0", 7, EVERYTHING), 0);
	entry_of(&t, 0, 1)->version |= 1;
	cr_expect_eq(table_region_read(&t, 0, got, BLOCK + 1), -HAVEN_EAGAIN);
	cr_expect_eq(table_region_read(&t, BLOCK, got, BYTES - BLOCK), 0);
	free(t.base);
}

/* ---- taking over from a writer that died ---------------------------------------------------- */

/** Lane 0 with one committed block and one record that is written and not done. */
static struct table dying(uint32_t block, const char *bytes)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	struct table_place p = table_place(&t, 0);
	struct table_record *r;

	cr_assert_eq(table_region_write(&t, 0, 0, "old block 000000", BLOCK, EVERYTHING), 0);
	table_commit(&t, 0);
	block = htole32(block);
	r = table_place_record(&p, 2);
	r->op = TABLE_OP_PUT;
	memcpy(r->data, &block, 4);
	memcpy(r->data + 4, bytes, BLOCK);
	r->seq = 2;
	return t;
}

static void check_settled(struct table *t, uint32_t live)
{
	cr_expect_eq(table_live(t, 0), live);
	cr_expect_eq(table_next(t, 0), table_committed(t, 0) + 1);
	for (uint32_t i = 1; i < table_scan_end(t, 0); i++) {
		cr_expect_eq(entry_of(t, 0, i)->version & 1, 0);
		cr_expect_leq(entry_of(t, 0, i)->seq, table_committed(t, 0));
	}
}

Test(table_region, a_torn_block_is_written_again)
{
	struct table t = dying(0, "new block 111111");
	uint8_t got[BLOCK];

	entry_of(&t, 0, 1)->version |= 1;
	memcpy(entry_of(&t, 0, 1)->data + 4, "new bl", 6);
	table_lane_begin(&t, 0);
	check_settled(&t, 1);
	cr_assert_eq(table_region_read(&t, 0, got, BLOCK), 0);
	cr_expect_arr_eq(got, "new block 111111", BLOCK);
	free(t.base);
}

Test(table_region, a_torn_first_write_is_made_whole_key_and_all)
{
	struct table t = dying(3, "new block 111111");
	struct table_place p = table_place(&t, 0);
	uint8_t got[BLOCK];

	p.header->never_used = 5;
	entry_of(&t, 0, 4)->version |= 1;
	table_lane_begin(&t, 0);
	check_settled(&t, 2);
	cr_assert_eq(table_region_read(&t, 3 * BLOCK, got, BLOCK), 0);
	cr_expect_arr_eq(got, "new block 111111", BLOCK);
	cr_expect_eq(table_digest(&t, 0) != 0, true);
	cr_expect_eq(entry_of(&t, 0, 4)->data[0], 3);
	free(t.base);
}

Test(table_region, a_block_that_was_not_begun_stays_as_it_was)
{
	struct table t = dying(0, "new block 111111");
	uint8_t got[BLOCK];

	table_lane_begin(&t, 0);
	check_settled(&t, 1);
	cr_assert_eq(table_region_read(&t, 0, got, BLOCK), 0);
	cr_expect_arr_eq(got, "old block 000000", BLOCK);
	free(t.base);
}

Test(table_region, a_record_of_a_block_that_is_not_the_lanes_repairs_nothing)
{
	struct table t = dying(12, "new block 111111");
	uint8_t got[BYTES], want[BYTES] = "old block 000000";

	/* Nor does it hurt that a hostile writer left blocks open. */
	entry_of(&t, 0, 1)->version |= 1;
	table_place(&t, 0).header->never_used = UINT32_MAX;
	entry_of(&t, 0, 5)->version |= 1;
	table_lane_begin(&t, 0);
	check_settled(&t, 1);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, want, BYTES);
	free(t.base);
}

Test(table_region, uncommitted_remains_count_as_committed_and_are_in_no_log)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	uint8_t got[BLOCK];

	cr_assert_eq(table_region_write(&t, 0, 0, "old block 000000", BLOCK, EVERYTHING), 0);
	table_commit(&t, 0);
	cr_assert_eq(table_region_write(&t, 0, 0, "new block 111111", BLOCK, EVERYTHING), 0);
	cr_assert_eq(table_region_write(&t, 0, 64, "new block 111111", BLOCK, EVERYTHING), 0);
	table_lane_begin(&t, 0);
	check_settled(&t, 2);
	cr_expect_eq(table_commit(&t, 0), 1);
	cr_assert_eq(table_region_read(&t, 64, got, BLOCK), 0);
	cr_expect_arr_eq(got, "new block 111111", BLOCK);
	free(t.base);
}

Test(table_region, a_replica_that_died_in_the_middle_is_made_whole_by_its_spare_record)
{
	struct table t = region_of(BLOCK, BLOCKS, LANES);
	struct table_place p = table_place(&t, 0);
	uint32_t key = htole32(2);
	uint8_t got[BLOCK];

	table_applied(&t, 0, 10);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 11, &key, "new block 111111"), 0);
	cr_expect_eq(p.header->changing, TABLE_APPLYING, "until its commit is whole");
	entry_of(&t, 0, 3)->version |= 1;
	memset(entry_of(&t, 0, 3)->data, 0xff, 9);
	table_lane_begin(&t, 0);
	check_settled(&t, 1);
	cr_assert_eq(table_get(&t, 0, &key, got), 0);
	cr_expect_arr_eq(got, "new block 111111", BLOCK);
	free(t.base);
}

Test(table_region, a_death_while_the_lane_is_cleared_clears_it)
{
	struct table t = dying(0, "new block 111111");
	uint8_t got[BYTES], zero[BYTES] = {0};

	table_place(&t, 0).header->changing = TABLE_CLEARING;
	table_lane_begin(&t, 0);
	check_settled(&t, 0);
	cr_assert_eq(table_region_read(&t, 0, got, BYTES), 0);
	cr_expect_arr_eq(got, zero, BYTES);
	free(t.base);
}
