/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Digests of a block against a copy that is right, behind, ahead, or wrong in a bit: every bit of
 * an entry that means something is flipped once, and each time the comparison says so.
 */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "mirror_digest.h"
#include "prng.h"
#include "table_place.h"

#define KEYS 40u
#define KEY_BYTES 4u
#define VALUE_BYTES 8u

static struct error_text error;
/** Holder, secondary, and what lies between them. */
static struct table primary, replica;
static uint8_t payload[FRAME_MIRROR_PAYLOAD_MAX];
static struct frame_digest block;
static struct mirror_verdict verdict;

static void make(struct table *t, uint32_t kind, uint32_t mode, uint64_t seed)
{
	struct table_shape shape = {.name = "flows",
				    .key_bytes = KEY_BYTES,
				    .value_bytes = VALUE_BYTES,
				    .capacity = KEYS,
				    .lanes = 1,
				    .lane_records = 256,
				    .kind = kind,
				    .mode = mode};
	struct table_geometry g;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	free(t->base);
	table_format(t, &g, aligned_alloc(8, g.total_bytes), seed);
}

static void setup_as(uint32_t kind, uint32_t mode)
{
	make(&primary, kind, mode, 1);
	make(&replica, kind, mode, 2);
}

static void setup(void)
{
	setup_as(TABLE_KEYED, TABLE_MODE_LOG);
}

static void teardown(void)
{
	free(primary.base);
	free(replica.base);
}

TestSuite(mirror_digest, .init = setup, .fini = teardown);

static void put(uint32_t key, uint64_t value)
{
	cr_assert_eq(table_put(&primary, 0, &key, &value, UINT64_MAX), 0);
}

static void del(uint32_t key)
{
	cr_assert_eq(table_delete(&primary, 0, &key, UINT64_MAX), 0);
}

static uint64_t commit(void)
{
	return table_commit(&primary, 0);
}

/** The replica applies everything up to `seq`. */
static void follow(uint64_t seq)
{
	uint64_t slot[(sizeof(struct table_record) + KEY_BYTES + VALUE_BYTES) / 8 + 1];
	struct table_record *r = (struct table_record *)slot;

	for (uint64_t s = table_committed(&replica, 0) + 1; s <= seq; s++) {
		cr_assert_eq(table_read_record(&primary, 0, s, r), 0);
		cr_assert_eq(table_apply(&replica, 0, (enum table_op)r->op, s, r->data,
					 r->data + KEY_BYTES),
			     0);
	}
	table_applied(&replica, 0, seq);
}

static void ten_keys(void)
{
	for (uint32_t k = 0; k < 10; k++)
		put(k, k * 100);
	follow(commit());
}

static void tell(uint32_t first, uint32_t count)
{
	int bytes;

	block = (struct frame_digest){.first = first, .count = count};
	bytes = mirror_digest_fill(&primary, 0, &block, payload, sizeof(payload));
	cr_assert_geq(bytes, 0);
	block.payload = payload;
	block.payload_bytes = (uint16_t)bytes;
}

/** Entries found wrong in what was told. */
static uint32_t compare(void)
{
	cr_assert_eq(
		mirror_digest_compare(&replica, 0, table_committed(&replica, 0), &block, &verdict),
		0);
	return verdict.wrong;
}

/** The replica's entry of the key. */
static struct table_entry *entry_of(uint32_t key)
{
	struct table_place p = table_place(&replica, 0);

	for (uint32_t i = 1; i <= KEYS; i++) {
		struct table_entry *e = table_place_entry(&p, i);

		if (e->seq && memcmp(e->data, &key, sizeof(key)) == 0)
			return e;
	}
	cr_assert_fail("no entry of key %u", key);
	return NULL;
}

/* ---- copies that are right -------------------------------------------------------------------
 */

Test(mirror_digest, an_equal_copy_is_found_equal_block_by_block)
{
	ten_keys();
	tell(1, 4);
	cr_assert_eq(block.payload_bytes, 4 * (16 + KEY_BYTES));
	cr_assert_eq(block.position, 10);
	cr_assert_eq(block.live, 10);
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 4);
	tell(5, 20);
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 6);
}

Test(mirror_digest, a_copy_that_lags_is_compared_up_to_where_it_stands)
{
	ten_keys();
	put(3, 7);
	put(50, 8);
	commit();
	tell(1, 20);
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 9, "keys 3 and 50 are still to come");
}

Test(mirror_digest, what_changed_after_the_look_does_not_count)
{
	ten_keys();
	tell(1, 20);
	put(3, 7);
	del(4);
	put(50, 8);
	follow(commit());
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 8);
}

Test(mirror_digest, what_is_not_committed_is_not_told)
{
	ten_keys();
	put(3, 7);
	tell(1, 20);
	cr_assert_eq(block.payload_bytes, 9 * (16 + KEY_BYTES));
	cr_assert_eq(block.live, FRAME_LIVE_UNKNOWN);
	cr_assert_eq(compare(), 0);
}

Test(mirror_digest, the_number_is_not_told_while_a_record_is_half_done)
{
	struct table_place p = table_place(&primary, 0);

	ten_keys();
	table_place_record(&p, 11)->seq = 11; /* as a put begins */
	p.header->live++;
	tell(1, 20);
	cr_assert_eq(block.live, FRAME_LIVE_UNKNOWN);
}

Test(mirror_digest, in_mode_dirty_a_value_counts_from_its_push_on)
{
	setup_as(TABLE_KEYED, TABLE_MODE_DIRTY);
	ten_keys();
	put(3, 7); /* no record */
	tell(1, 20);
	cr_assert_eq(block.payload_bytes, 9 * (16 + KEY_BYTES));
	cr_assert_eq(compare(), 0);
	cr_assert_eq(table_push(&primary, 0, 10, UINT64_MAX), 1);
	follow(commit());
	tell(1, 20);
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 10);
	entry_of(3)->data[KEY_BYTES] ^= 1;
	cr_assert_eq(compare(), 1);
}

Test(mirror_digest, copies_compared_at_any_two_instants_are_found_right, .timeout = 60)
{
	struct prng prng = {7};
	unsigned compared = 0, counted = 0;

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t behind = table_committed(&replica, 0);

		for (uint64_t k = prng_below(&prng, 4); k > 0; k--) {
			uint32_t key = (uint32_t)prng_below(&prng, KEYS);
			uint64_t value = prng_next(&prng);

			if (prng_below(&prng, 3))
				table_put(&primary, 0, &key, &value, behind);
			else
				table_delete(&primary, 0, &key, behind);
		}
		if (prng_below(&prng, 2))
			commit();
		if (prng_below(&prng, 3) == 0)
			tell(1 + (uint32_t)prng_below(&prng, KEYS), 30);
		follow(behind + prng_below(&prng, table_committed(&primary, 0) - behind + 1));
		if (!block.payload)
			continue;
		cr_assert_eq(compare(), 0, "round %u: record %llu", round,
			     (unsigned long long)verdict.seq);
		compared += verdict.compared;
		counted += block.live != FRAME_LIVE_UNKNOWN &&
			   block.position == table_committed(&replica, 0);
	}
	cr_assert_gt(compared, 10000);
	cr_assert_gt(counted, 1000);
}

/* ---- copies that are wrong -------------------------------------------------------------------
 */

Test(mirror_digest, every_flipped_bit_of_key_value_and_number_is_found)
{
	struct table_entry *e;
	uint8_t *from;

	ten_keys();
	tell(1, 20);
	e = entry_of(6);
	from = (uint8_t *)&e->seq;
	for (unsigned bit = 0; bit < 8 * (8 + KEY_BYTES + VALUE_BYTES); bit++) {
		from[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(compare(), 1, "bit %u", bit);
		cr_assert_eq(verdict.seq, 7);
		cr_assert_arr_eq(verdict.key, "\6\0\0\0", KEY_BYTES);
		from[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(compare(), 0);
	}
}

Test(mirror_digest, an_entry_that_no_lookup_finds_is_missing)
{
	struct table_place p = table_place(&replica, 0);

	ten_keys();
	tell(1, 20);
	memset(p.heads, 0, p.g->lane_heads * sizeof(*p.heads));
	cr_assert_eq(compare(), 10);
	memset(p.heads, 0xff, p.g->lane_heads * sizeof(*p.heads));
	cr_assert_eq(compare(), 10, "heads that name no entry");
}

Test(mirror_digest, a_chain_without_end_is_left_after_a_while)
{
	struct table_place p = table_place(&replica, 0);
	uint32_t other = 99;
	uint64_t value = 0;

	ten_keys();
	tell(1, 20);
	for (uint32_t h = 0; h < p.g->lane_heads; h++)
		p.heads[h] = 1;
	table_place_entry(&p, 1)->next = 1;
	memcpy(table_place_entry(&p, 1)->data, &other, sizeof(other));
	cr_assert_eq(compare(), 10);
	cr_assert_neq(table_get(&replica, 0, &other, &value), -HAVEN_EINVAL);
}

Test(mirror_digest, an_entry_left_half_written_is_wrong)
{
	ten_keys();
	tell(1, 20);
	entry_of(2)->version |= 1;
	cr_assert_eq(compare(), 1);
}

Test(mirror_digest, an_entry_too_many_shows_in_the_number)
{
	uint32_t key = 77;
	uint64_t value = 1;

	ten_keys();
	cr_assert_eq(table_apply(&replica, 0, TABLE_OP_PUT, 5, &key, &value), 0);
	tell(1, 20);
	cr_assert_eq(compare(), 1);
	cr_assert_eq(verdict.seq, 0);
	block.live = FRAME_LIVE_UNKNOWN;
	cr_assert_eq(compare(), 0);
}

Test(mirror_digest, a_record_that_was_skipped_is_found)
{
	ten_keys();
	put(3, 7);
	commit();
	table_applied(&replica, 0, 11);
	tell(1, 20);
	cr_assert_eq(compare(), 1);
	cr_assert_eq(verdict.seq, 11);
}

Test(mirror_digest, a_block_of_a_region_is_compared_by_its_place)
{
	uint64_t words[3] = {1, 2, 3};

	setup_as(TABLE_REGION, TABLE_MODE_LOG);
	cr_assert_eq(table_region_write(&primary, 0, 16, words, sizeof(words), UINT64_MAX), 0);
	follow(commit());
	tell(1, 20);
	cr_assert_eq(compare(), 0);
	cr_assert_eq(verdict.compared, 3);
	entry_of(3)->data[KEY_BYTES + 7] ^= 0x80;
	cr_assert_eq(compare(), 1);
	cr_assert_arr_eq(verdict.key, "\3\0\0\0", KEY_BYTES);
}

/* ---- bounds -----------------------------------------------------------------------------------
 */

Test(mirror_digest, what_does_not_fit_or_is_malformed_is_refused)
{
	ten_keys();
	block = (struct frame_digest){.first = 1, .count = 10};
	cr_assert_eq(mirror_digest_fill(&primary, 0, &block, payload, 10 * 20 - 1), -HAVEN_ESIZE);
	tell(1, 10);
	block.payload_bytes--;
	cr_assert_eq(mirror_digest_compare(&replica, 0, 10, &block, &verdict), -HAVEN_ECORRUPT);
	cr_assert_eq(verdict.compared, 0);
}

Test(mirror_digest, a_lane_that_does_not_exist_has_nothing)
{
	uint64_t seq, data[4];
	uint32_t live, key = 1;

	cr_assert_eq(table_find(&replica, 1, &key, &seq, data), -HAVEN_EINVAL);
	cr_assert_not(table_live_at(&replica, 1, 0, &live));
	cr_assert_eq(table_read_settled(&replica, 1, 1, &seq, data), -HAVEN_EINVAL);
}
