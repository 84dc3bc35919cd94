/* SPDX-License-Identifier: BSD-3-Clause */
/* A warm standby's log: what is kept counts, and the table has all of it once it is drained. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mirror_io.h"
#include "prng.h"

#define KEYS 40u
#define LOG 16u

static struct error_text error;
static struct table primary, replica;
static struct mirror_stage stage;
static uint8_t payload[FRAME_MIRROR_PAYLOAD_MAX];

static struct table table_new(uint64_t seed)
{
	struct table_shape shape = {.name = "flows",
				    .key_bytes = 4,
				    .value_bytes = 8,
				    .capacity = KEYS,
				    .lanes = 1,
				    .lane_records = 256};
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), seed);
	return t;
}

static void setup(void)
{
	primary = table_new(1);
	replica = table_new(2);
	cr_assert_eq(mirror_stage_init(&stage, &replica.geometry), 0);
	cr_assert_eq(mirror_stage_keep(&stage, LOG), 0);
}

static void teardown(void)
{
	free(primary.base);
	free(replica.base);
	mirror_stage_free(&stage);
}

TestSuite(mirror_warm, .init = setup, .fini = teardown);

static void put(uint32_t key, uint64_t value)
{
	cr_assert_eq(table_put(&primary, 0, &key, &value, UINT64_MAX), 0);
}

/** Everything committed since the last time comes to the standby. Returns what it acknowledges. */
static uint64_t mirror(void)
{
	uint64_t first = stage.applied + stage.n + 1, last = table_commit(&primary, 0), position;
	int bytes = mirror_io_fill_records(&primary, 0, first, (uint32_t)(last - first + 1),
					   payload, sizeof(payload));

	cr_assert_gt(bytes, 0);
	cr_assert_eq(mirror_io_apply(&replica, 0, &stage, MIRROR_RECORDS, payload, (size_t)bytes,
				     &position),
		     0);
	return position;
}

static bool replica_has(uint32_t key)
{
	uint64_t value;

	return table_get(&replica, 0, &key, &value) == 0;
}

Test(mirror_warm, what_is_kept_is_acknowledged_and_not_in_the_table)
{
	put(1, 1);
	put(2, 2);
	cr_assert_eq(mirror(), 2);
	cr_assert_eq(mirror_stage_waiting(&stage), 2);
	cr_assert_not(replica_has(1));
	cr_assert_eq(table_committed(&replica, 0), 0);
	cr_assert_eq(mirror_io_drain(&replica, 0, &stage, UINT64_MAX), 0);
	cr_assert_eq(mirror_stage_waiting(&stage), 0);
	cr_assert(replica_has(1) && replica_has(2));
	cr_assert_eq(table_committed(&replica, 0), 2);
}

Test(mirror_warm, a_commit_is_applied_whole_or_not_at_all)
{
	put(1, 1);
	put(2, 2);
	mirror();
	put(3, 3);
	mirror();
	cr_assert_eq(mirror_io_drain(&replica, 0, &stage, 1), 0);
	cr_assert_eq(table_committed(&replica, 0), 2);
	cr_assert_eq(mirror_stage_waiting(&stage), 1);
}

Test(mirror_warm, a_full_log_applies_as_much_as_is_in_the_way)
{
	for (uint32_t k = 0; k < LOG; k++) {
		put(k, k);
		mirror();
	}
	cr_assert_eq(mirror_stage_waiting(&stage), LOG);
	put(20, 1);
	put(21, 1);
	put(22, 1);
	cr_assert_eq(mirror(), LOG + 3);
	cr_assert_eq(mirror_stage_waiting(&stage), LOG);
	cr_assert_eq(table_committed(&replica, 0), 3);
}

Test(mirror_warm, a_commit_longer_than_the_log_is_applied_behind_the_others)
{
	put(1, 1);
	mirror();
	for (uint32_t k = 0; k < LOG + 1; k++)
		put(k, 7);
	cr_assert_eq(mirror(), LOG + 2);
	cr_assert_eq(mirror_stage_waiting(&stage), 0);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
}

Test(mirror_warm, entries_of_a_transfer_find_what_was_kept_applied)
{
	uint64_t position;
	int bytes;

	put(1, 1);
	mirror();
	bytes = mirror_io_fill_entries(&primary, 0, 1, 10, payload, sizeof(payload));
	cr_assert_eq(mirror_io_apply(&replica, 0, &stage, MIRROR_ENTRIES, payload, (size_t)bytes,
				     &position),
		     0);
	cr_assert_eq(mirror_stage_waiting(&stage), 0);
	cr_assert(replica_has(1));
}

Test(mirror_warm, a_new_session_forgets_what_was_kept)
{
	put(1, 1);
	mirror();
	mirror_io_reset(&replica, 0, &stage, 5);
	cr_assert_eq(mirror_stage_waiting(&stage), 0);
	cr_assert_eq(mirror_io_drain(&replica, 0, &stage, UINT64_MAX), 0);
	cr_assert_not(replica_has(1));
	cr_assert_eq(table_committed(&replica, 0), 5);
}

Test(mirror_warm, a_table_that_was_spoiled_is_reported)
{
	for (uint32_t k = 0; k < 10; k++)
		put(k, k);
	mirror();
	/* Its application fills it up with what nobody sent. */
	for (uint32_t k = 100; k < 100 + KEYS; k++) {
		uint64_t value = 0;

		cr_assert_eq(table_put(&replica, 0, &k, &value, UINT64_MAX), 0);
	}
	cr_assert_eq(mirror_io_drain(&replica, 0, &stage, UINT64_MAX), -HAVEN_EFULL);
	cr_assert_eq(mirror_stage_waiting(&stage), 10);
}

Test(mirror_warm, drained_at_any_instant_it_is_what_was_committed)
{
	struct prng prng = {3};

	for (unsigned round = 0; round < 5000; round++) {
		for (uint64_t k = 1 + prng_below(&prng, 20); k > 0; k--) {
			uint32_t key = (uint32_t)prng_below(&prng, KEYS);

			if (prng_below(&prng, 3))
				put(key, prng_next(&prng));
			else
				table_delete(&primary, 0, &key, UINT64_MAX);
		}
		if (table_commit(&primary, 0) > stage.applied)
			mirror();
		if (prng_below(&prng, 4) == 0)
			mirror_io_drain(&replica, 0, &stage, prng_below(&prng, LOG));
		if (prng_below(&prng, 8))
			continue;
		cr_assert_eq(mirror_io_drain(&replica, 0, &stage, UINT64_MAX), 0);
		cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
		cr_assert_eq(table_committed(&replica, 0), table_committed(&primary, 0));
	}
}
