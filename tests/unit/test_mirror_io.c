/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mirror_io.h"
#include "prng.h"
#include "table_place.h"

#define ROOM FRAME_MIRROR_PAYLOAD_MAX
#define KEYS 40u
#define RECORDS 256u /* log slots */

static struct error_text error;

static struct table_shape shape_of(uint32_t key, uint32_t value, uint32_t capacity)
{
	return (struct table_shape){.name = "flows",
				    .key_bytes = key,
				    .value_bytes = value,
				    .capacity = capacity,
				    .lanes = 1,
				    .lane_records = RECORDS};
}

static struct table table_of(struct table_shape shape, uint64_t seed)
{
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), seed);
	return t;
}

/** Holder, secondary, and what lies between them. */
static struct table primary, replica;
static struct mirror_stage stage;
static uint8_t payload[ROOM];

static void setup_shape(struct table_shape shape)
{
	primary = table_of(shape, 1);
	replica = table_of(shape, 2);
	cr_assert_eq(mirror_stage_init(&stage, &replica.geometry), 0);
}

static void setup(void)
{
	setup_shape(shape_of(4, 8, KEYS));
}

static void teardown(void)
{
	free(primary.base);
	free(replica.base);
	mirror_stage_free(&stage);
}

TestSuite(mirror_io, .init = setup, .fini = teardown);

static int put(uint32_t key, uint64_t value)
{
	return table_put(&primary, 0, &key, &value, UINT64_MAX);
}

static int del(uint32_t key)
{
	return table_delete(&primary, 0, &key, UINT64_MAX);
}

static int fill_records(uint64_t first, uint32_t count)
{
	return mirror_io_fill_records(&primary, 0, first, count, payload, sizeof(payload));
}

static int fill_entries(uint32_t first, uint32_t count)
{
	return mirror_io_fill_entries(&primary, 0, first, count, payload, sizeof(payload));
}

static int apply(enum mirror_kind kind, int bytes, uint64_t *position)
{
	cr_assert_geq(bytes, 0);
	return mirror_io_apply(&replica, 0, &stage, kind, payload, (size_t)bytes, position);
}

static bool replica_has(uint32_t key, uint64_t value)
{
	uint64_t got;

	return table_get(&replica, 0, &key, &got) == 0 && got == value;
}

/* ---- shapes -----------------------------------------------------------------------------------
 */

Test(mirror_io, the_shape_digest_tells_shapes_apart)
{
	struct table_shape a = shape_of(4, 8, 100), b = a;

	cr_assert_eq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b.lane_records *= 2;
	memset(b.name + 6, 'x', sizeof(b.name) - 6); /* behind the end of the name */
	cr_assert_eq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b),
		     "the log is each side's own affair");
	b = a, b.name[0] = 'F';
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b = a, b.key_bytes = 8, b.value_bytes = 4;
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b = a, b.capacity++;
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b = a, b.lanes++;
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b = a, b.mode = TABLE_MODE_DIRTY;
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
	b = a, b.kind = TABLE_REGION;
	cr_assert_neq(mirror_io_shape_digest(&a), mirror_io_shape_digest(&b));
}

Test(mirror_io, a_record_has_ten_bytes_besides_key_and_value)
{
	cr_assert_eq(mirror_io_record_bytes(&primary.geometry), 22);
	put(0x04030201, 0);
	table_commit(&primary, 0);
	cr_assert_eq(fill_records(1, 1), 22);
	cr_assert_arr_eq(payload, "\1\0\0\0\0\0\0\0\1\1\1\2\3\4", 14);
}

/* ---- records ------------------------------------------------------------------------------------
 */

Test(mirror_io, a_commit_is_applied_when_its_last_record_has_come)
{
	uint64_t position = 9;

	put(1, 10);
	put(2, 20);
	put(3, 30);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, 2), &position), 0);
	cr_assert_eq(position, 0);
	cr_assert_eq(table_live(&replica, 0), 0, "half a commit is nothing");
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(3, 1), &position), 0);
	cr_assert_eq(position, 3);
	cr_assert_eq(table_committed(&replica, 0), 3);
	cr_assert(replica_has(1, 10) && replica_has(2, 20) && replica_has(3, 30));
}

Test(mirror_io, repeated_records_are_skipped_and_gaps_refused)
{
	uint64_t position;

	for (uint32_t i = 1; i <= 10; i++) {
		put(i, i);
		if (i % 4 == 0)
			table_commit(&primary, 0);
	}
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, 6), &position), 0);
	cr_assert_eq(position, 4);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(8, 2), &position), -HAVEN_ECORRUPT);
	cr_assert_eq(position, 4);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, 5), &position), 0);
	cr_assert_eq(position, 4);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(3, 8), &position), 0);
	cr_assert_eq(position, 10);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
}

Test(mirror_io, records_that_do_not_fit_or_are_not_there_are_refused)
{
	put(1, 1);
	table_commit(&primary, 0);
	cr_assert_eq(mirror_io_fill_records(&primary, 0, 1, 1, payload, 21), -HAVEN_ESIZE);
	cr_assert_eq(mirror_io_fill_records(&primary, 0, 1, UINT32_MAX, payload, ROOM),
		     -HAVEN_ESIZE);
	cr_assert_eq(fill_records(2, 1), -HAVEN_ECORRUPT);
	cr_assert_eq(mirror_io_fill_entries(&primary, 0, 1, UINT32_MAX, payload, ROOM),
		     -HAVEN_ESIZE);
	cr_assert_eq(fill_entries(0, 0), 0);
	cr_assert_eq(fill_entries(UINT32_MAX, 10), 0, "beyond the end there is nothing");
}

Test(mirror_io, a_malformed_payload_changes_nothing)
{
	int bytes;
	uint64_t position, digest;

	put(1, 10);
	table_commit(&primary, 0);
	put(2, 20);
	put(3, 30);
	table_commit(&primary, 0);
	bytes = fill_records(1, 3);
	digest = table_digest(&replica, 0);
	for (int at = 0; at < bytes; at++) {
		uint8_t good = payload[at];

		if (at % 22 >= 10)
			continue; /* keys and values may be anything */
		payload[at] ^= 0x80;
		cr_assert_eq(apply(MIRROR_RECORDS, bytes, &position), -HAVEN_ECORRUPT, "byte %d",
			     at);
		payload[at] = good;
		cr_assert_eq(position, 0);
		cr_assert_eq(stage.n, 0);
		cr_assert_eq(table_digest(&replica, 0), digest);
	}
	for (int cut = 0; cut < bytes; cut++)
		if (cut % 22)
			cr_assert_eq(apply(MIRROR_RECORDS, cut, &position), -HAVEN_ECORRUPT);
	cr_assert_eq(apply(MIRROR_RECORDS, 0, &position), -HAVEN_ECORRUPT);
	cr_assert_eq(
		mirror_io_apply(&replica, 0, &stage, (enum mirror_kind)9, payload, 22, &position),
		-HAVEN_EINVAL);
	cr_assert_eq(apply(MIRROR_RECORDS, bytes, &position), 0);
	cr_assert_eq(position, 3);
}

Test(mirror_io, a_commit_that_never_ends_is_refused)
{
	uint64_t position;

	for (uint32_t i = 0; i < RECORDS; i++)
		cr_assert_eq(put(1, i), 0);
	for (uint64_t seq = 1; seq <= RECORDS; seq += 32)
		cr_assert_eq(apply(MIRROR_RECORDS, fill_records(seq, 32), &position), 0);
	cr_assert_eq(stage.n, TABLE_COMMIT_RECORDS_MAX);
	/* one record more, as no writer of ours would make it */
	fill_records(RECORDS, 1);
	payload[0] = 1;
	payload[1] = 1;
	cr_assert_eq(apply(MIRROR_RECORDS, 22, &position), -HAVEN_ECORRUPT);
	table_commit(&primary, 0);
}

Test(mirror_io, a_commit_without_room_is_refused_as_a_whole_and_may_come_again)
{
	uint64_t position = 0, digest;
	uint32_t key = 1000;
	int bytes;

	cr_assert_eq(table_apply(&replica, 0, TABLE_OP_PUT, 1, &key, &position), 0);
	for (uint32_t k = 0; k < KEYS; k++) {
		cr_assert_eq(put(k, k), 0);
		if (k == KEYS - 11)
			table_commit(&primary, 0);
	}
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, KEYS - 10), &position), 0);
	digest = table_digest(&replica, 0);
	bytes = fill_records(KEYS - 9, 10);
	cr_assert_eq(apply(MIRROR_RECORDS, bytes, &position), -HAVEN_EFULL);
	cr_assert_eq(position, KEYS - 10);
	cr_assert_eq(table_digest(&replica, 0), digest);
	cr_assert_eq(table_apply(&replica, 0, TABLE_OP_DELETE, 2, &key, NULL), 0);
	cr_assert_eq(apply(MIRROR_RECORDS, bytes, &position), 0);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
}

Test(mirror_io, a_full_replica_takes_commits_that_make_their_own_room)
{
	uint64_t position;

	for (uint32_t k = 0; k < KEYS; k++)
		put(k, k);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, KEYS), &position), 0);
	for (uint32_t k = 0; k < 20; k++) {
		put(k + 5, 7);
		cr_assert_eq(del(k), 0);
		cr_assert_eq(put(k + 100, k), 0);
		cr_assert_eq(del(k + 100), 0);
		cr_assert_eq(put(k + 200, k), 0);
	}
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(KEYS + 1, 50), &position), 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(KEYS + 51, 50), &position), 0);
	cr_assert_eq(position, KEYS + 100);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
}

/* ---- entries
 * -------------------------------------------------------------------------------------- */

Test(mirror_io, entries_carry_the_table_without_its_history)
{
	uint64_t position, start;

	for (uint32_t k = 0; k < KEYS; k++) {
		put(k, k);
		put(k, k + 1);
		if (k % 3 == 0)
			del(k);
		table_commit(&primary, 0);
	}
	start = table_committed(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, start);
	for (uint32_t i = 1; i < table_scan_end(&primary, 0); i += 7)
		cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(i, 7), &position), 0);
	cr_assert_eq(position, start);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
	cr_assert_eq(table_committed(&replica, 0), start);
}

Test(mirror_io, resetting_forgets_everything)
{
	uint64_t position;

	put(1, 1);
	table_commit(&primary, 0);
	put(2, 2);
	put(3, 3);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, 2), &position), 0);
	mirror_io_reset(&replica, 0, &stage, 17);
	cr_assert_eq(table_live(&replica, 0), 0);
	cr_assert_eq(table_committed(&replica, 0), 17);
	cr_assert_eq(stage.n, 0);
	cr_assert_eq(apply(MIRROR_END, 0, &position), 0);
	cr_assert_eq(position, 17);
}

Test(mirror_io, what_was_changed_but_not_committed_keeps_the_replica_from_being_whole)
{
	uint64_t position;

	put(1, 10);
	put(2, 20);
	table_commit(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, 2);
	put(1, 11); /* hides the acknowledged value */
	del(2);     /* hides the acknowledged entry */
	cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(1, 2), &position), 0);
	cr_assert_eq(table_live(&replica, 0), 0);
	cr_assert_lt(position, 2, "the replica misses what was acknowledged");
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(3, 2), &position), 0);
	cr_assert_eq(position, 4);
	cr_assert_eq(table_digest(&replica, 0), table_digest(&primary, 0));
}

Test(mirror_io, a_deletion_alone_is_told_too)
{
	uint64_t position;

	put(1, 10);
	table_commit(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, 1);
	del(1);
	cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(1, 1), &position), 0);
	cr_assert_lt(position, 1);
}

Test(mirror_io, malformed_entries_change_nothing)
{
	uint64_t position, digest;
	int bytes;

	put(1, 10);
	put(2, 20);
	table_commit(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, 2);
	bytes = fill_entries(1, 2);
	digest = table_digest(&replica, 0);
	payload[22 + 8] = TABLE_OP_DELETE;
	cr_assert_eq(apply(MIRROR_ENTRIES, bytes, &position), -HAVEN_ECORRUPT);
	payload[22 + 8] = TABLE_OP_PUT;
	payload[9] = 1;
	cr_assert_eq(apply(MIRROR_ENTRIES, bytes, &position), -HAVEN_ECORRUPT);
	payload[9] = 0;
	for (int cut = 0; cut <= bytes; cut++)
		if (cut % 22 && cut % 22 != 8)
			cr_assert_eq(apply(MIRROR_ENTRIES, cut, &position), -HAVEN_ECORRUPT);
	memset(payload, 0, 8);
	cr_assert_eq(apply(MIRROR_ENTRIES, bytes, &position), -HAVEN_ECORRUPT);
	cr_assert_eq(table_digest(&replica, 0), digest);
	cr_assert_eq(position, 2);
}

/* ---- a whole transfer beside traffic
 * -------------------------------------------------------------- */

/** What the primary held at each commit of a run. */
#define COMMITS_MAX 20000u
static uint64_t digest_at[COMMITS_MAX];

struct traffic {
	struct prng prng;
	uint64_t consumed;
	unsigned capacity;
};

static void traffic_step(struct traffic *w)
{
	uint32_t key = (uint32_t)prng_below(&w->prng, KEYS);
	uint64_t value = prng_next(&w->prng);

	switch (prng_below(&w->prng, 5)) {
	default:
		table_put(&primary, 0, &key, &value, w->consumed);
		break;
	case 1:
	case 2:
		table_delete(&primary, 0, &key, w->consumed);
		break;
	case 3: {
		uint64_t seq = table_commit(&primary, 0);

		cr_assert_lt(seq, COMMITS_MAX);
		digest_at[seq] = table_digest(&primary, 0);
	}
	}
}

/** One frame of the session as the sender knows it: filled when it is sent. */
struct sent {
	enum mirror_kind kind;
	uint64_t first;
	uint32_t count;
};

/** The receiver gets the frame, filled now. Whatever position it reports is checked: if it is that
 *  of a commit, the replica must hold exactly what the primary held at that commit. */
static uint64_t deliver(const struct sent *f, struct traffic *w, bool complete)
{
	uint64_t position;
	int bytes = f->kind == MIRROR_RECORDS ? fill_records(f->first, f->count)
					      : fill_entries((uint32_t)f->first, f->count);

	cr_assert_eq(apply(f->kind, bytes, &position), 0);
	cr_assert_leq(position, table_committed(&replica, 0));
	if (complete && position == table_committed(&replica, 0))
		cr_assert_eq(table_digest(&replica, 0), digest_at[position]);
	if (position > w->consumed)
		w->consumed = position;
	return position;
}

/** A transfer to an empty replica. Frames are filled and applied late, beside any traffic. */
static void run_session(struct traffic *w)
{
	uint64_t start = table_committed(&primary, 0), next = start + 1, position = 0, end;
	uint32_t scan = 1, scan_end = table_scan_end(&primary, 0);

	w->consumed = start;
	mirror_io_reset(&replica, 0, &stage, start);
	while (scan < scan_end) {
		struct sent f = {MIRROR_ENTRIES, scan, 1 + (uint32_t)prng_below(&w->prng, 8)};
		uint64_t committed = table_committed(&primary, 0);

		if (committed >= next && prng_below(&w->prng, 2)) {
			f.kind = MIRROR_RECORDS;
			f.first = next;
			f.count = 1 + (uint32_t)prng_below(&w->prng, 50);
			if (f.count > committed - next + 1)
				f.count = (uint32_t)(committed - next + 1);
			next += f.count;
		} else {
			scan += f.count;
		}
		for (uint64_t n = prng_below(&w->prng, 6); n > 0; n--)
			traffic_step(w);
		deliver(&f, w, false);
	}
	/* The table is sent; from now on a reported commit means a whole replica. */
	end = table_committed(&primary, 0);
	while (position < end) {
		struct sent f = {MIRROR_RECORDS, next, 0};
		uint64_t committed = table_committed(&primary, 0);

		for (uint64_t n = prng_below(&w->prng, 6); n > 0; n--)
			traffic_step(w);
		if (committed < next) {
			cr_assert_eq(apply(MIRROR_END, 0, &position), 0);
			if (position == table_committed(&replica, 0))
				cr_assert_eq(table_digest(&replica, 0), digest_at[position]);
			continue;
		}
		f.count = 1 + (uint32_t)prng_below(&w->prng, 50);
		if (f.count > committed - next + 1)
			f.count = (uint32_t)(committed - next + 1);
		next += f.count;
		position = deliver(&f, w, true);
	}
	cr_assert_eq(table_digest(&replica, 0), digest_at[position]);
}

Test(mirror_io, a_transfer_beside_traffic_ends_in_equal_tables, .timeout = 60)
{
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct traffic w = {.prng = {.state = seed}, .consumed = 0};

		teardown();
		/* every other table is so small that it is always full */
		setup_shape(shape_of(4, 8, seed % 2 ? KEYS : KEYS / 4));
		digest_at[0] = table_digest(&primary, 0);
		for (uint64_t n = prng_below(&w.prng, 300); n > 0; n--) {
			w.consumed = table_committed(&primary, 0);
			traffic_step(&w);
		}
		run_session(&w);
		if (seed % 3 == 0)
			run_session(&w);
	}
}

/* ---- filling from a table that changes at the same time
 * ------------------------------------------- */

static uint32_t stop;

static void *busy_writer(void *unused)
{
	struct traffic w = {.prng = {.state = 5}, .consumed = UINT64_MAX};
	uint32_t key;
	uint64_t value;

	(void)unused;
	while (!load_relaxed(&stop)) {
		key = (uint32_t)prng_below(&w.prng, KEYS);
		value = key;
		if (prng_below(&w.prng, 3))
			table_put(&primary, 0, &key, &value, UINT64_MAX);
		else
			table_delete(&primary, 0, &key, UINT64_MAX);
		if (prng_below(&w.prng, 4) == 0)
			table_commit(&primary, 0);
	}
	table_commit(&primary, 0);
	return NULL;
}

Test(mirror_io, entries_filled_beside_a_running_writer_are_well_formed, .timeout = 60)
{
	pthread_t thread;
	uint64_t position;

	pthread_create(&thread, NULL, busy_writer, NULL);
	for (int round = 0; round < 30000; round++) {
		int bytes = fill_entries(1, KEYS);
		uint64_t committed = table_committed(&primary, 0);

		cr_assert_leq(bytes, 22 * (int)KEYS);
		for (int at = 0; at + 22 <= bytes; at += 22) {
			uint32_t key;
			uint64_t seq, value;

			memcpy(&seq, payload + at, 8);
			memcpy(&key, payload + at + 10, 4);
			memcpy(&value, payload + at + 14, 8);
			cr_assert_eq(key, value, "torn entry");
			cr_assert_leq(seq, committed);
			cr_assert_neq(seq, 0);
		}
		/* a receiver that has everything committed so far takes it */
		mirror_io_reset(&replica, 0, &stage, committed);
		cr_assert_eq(apply(MIRROR_ENTRIES, bytes, &position), 0);
		cr_assert_leq(position, committed);
	}
	store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
}

Test(mirror_io, any_payload_is_taken_or_refused_without_harm, .timeout = 60)
{
	struct prng p = {.state = 31};
	uint64_t position;

	for (int round = 0; round < 20000; round++) {
		size_t bytes = prng_below(&p, ROOM / 4), records = bytes / 22;
		uint8_t *exact = malloc(bytes ? bytes : 1);

		for (size_t i = 0; i < bytes; i++)
			exact[i] = (uint8_t)prng_next(&p);
		for (size_t i = 0; i < records && round % 4; i++) { /* nearly right */
			uint64_t seq =
				stage.applied + stage.n + 1 + i - prng_below(&p, 2) * (i == 3);

			memcpy(exact + i * 22, &seq, 8);
			exact[i * 22 + 8] = (uint8_t)(1 + prng_below(&p, 2));
			exact[i * 22 + 9] = prng_below(&p, 5) == 0;
			memset(exact + i * 22 + 11, 0, 3);
			exact[i * 22 + 10] = (uint8_t)prng_below(&p, KEYS);
		}
		if (round % 3)
			bytes = records * 22;
		mirror_io_apply(&replica, 0, &stage, round % 5 ? MIRROR_RECORDS : MIRROR_ENTRIES,
				exact, bytes, &position);
		cr_assert_leq(position, stage.applied);
		cr_assert_leq(stage.n, TABLE_COMMIT_RECORDS_MAX);
		cr_assert_eq(table_committed(&replica, 0), stage.applied);
		cr_assert_leq(table_live(&replica, 0), KEYS);
		free(exact);
	}
	cr_assert_gt(stage.applied, 0);
}

/* ---- regions --------------------------------------------------------------------------------- */

static struct table_shape region_shape(void)
{
	struct table_shape s = shape_of(4, 16, 30);

	s.kind = TABLE_REGION;
	s.lanes = 2; /* blocks 0 to 14 are those of lane 0 */
	return s;
}

static int write_at(uint64_t offset, const char *bytes)
{
	return table_region_write(&primary, 0, offset, bytes, strlen(bytes), UINT64_MAX);
}

Test(mirror_io, a_region_is_transferred_while_it_is_written)
{
	uint8_t a[15 * 16], b[15 * 16];
	uint64_t position;

	teardown();
	setup_shape(region_shape());
	cr_assert_eq(write_at(10, "before the session, over two blocks"), 0);
	cr_assert_eq(write_at(14 * 16, "the last"), 0);
	table_commit(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, table_committed(&primary, 0));
	cr_assert_eq(write_at(0, "meanwhile"), 0);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(1, 7), &position), 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(5, 1), &position), 0);
	cr_assert_eq(write_at(5 * 16, "and once more"), 0);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(8, 8), &position), 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(6, 1), &position), 0);
	cr_expect_eq(position, 6);
	cr_assert_eq(table_region_read(&primary, 0, a, sizeof(a)), 0);
	cr_assert_eq(table_region_read(&replica, 0, b, sizeof(b)), 0);
	cr_expect_arr_eq(a, b, sizeof(a));
	cr_expect_eq(table_digest(&primary, 0), table_digest(&replica, 0));
}

Test(mirror_io, records_of_blocks_that_are_not_the_lanes_are_refused_whole)
{
	const size_t record = 10 + 4 + 16;
	uint64_t position;

	teardown();
	setup_shape(region_shape());
	cr_assert_eq(write_at(0, "one"), 0);
	cr_assert_eq(write_at(16, "two"), 0);
	table_commit(&primary, 0);
	mirror_io_reset(&replica, 0, &stage, 0);
	cr_assert_eq(fill_records(1, 2), 2 * (int)record);
	payload[record + 10] = 15; /* the other lane's first block */
	cr_expect_eq(apply(MIRROR_RECORDS, 2 * (int)record, &position), -HAVEN_ECORRUPT);
	cr_assert_eq(fill_records(1, 2), 2 * (int)record);
	payload[8] = TABLE_OP_DELETE;
	cr_expect_eq(apply(MIRROR_RECORDS, 2 * (int)record, &position), -HAVEN_ECORRUPT);
	cr_assert_eq(fill_entries(1, 2), 2 * (int)record);
	payload[10] = 200;
	cr_expect_eq(apply(MIRROR_ENTRIES, 2 * (int)record, &position), -HAVEN_ECORRUPT);
	cr_expect_eq(table_live(&replica, 0), 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(1, 2), &position), 0);
	cr_expect_eq(position, 2);
	cr_expect_eq(table_live(&replica, 0), 2);
}

Test(mirror_io, in_mode_dirty_an_entry_that_will_not_stand_still_is_asked_for_again)
{
	struct table_shape shape = shape_of(4, 8, KEYS);
	struct table_place p;
	uint64_t position;

	teardown();
	shape.mode = TABLE_MODE_DIRTY;
	setup_shape(shape);
	for (uint32_t k = 0; k < 3; k++)
		cr_assert_eq(put(k, k), 0);
	table_commit(&primary, 0);
	cr_assert_eq(put(1, 100), 0);
	mirror_io_reset(&replica, 0, &stage, table_committed(&primary, 0));
	p = table_place(&primary, 0);
	table_place_entry(&p, 2)->version |= 1;
	/* No record follows that would bring the key: it must not be left out. */
	cr_expect_eq(fill_entries(1, 3), -HAVEN_EAGAIN);
	table_place_entry(&p, 2)->version += 1;
	cr_assert_eq(apply(MIRROR_ENTRIES, fill_entries(1, 3), &position), 0);
	cr_expect(replica_has(1, 100), "what was not pushed yet comes with the entries");
	cr_expect_eq(table_push(&primary, 0, 64, UINT64_MAX), 1);
	table_commit(&primary, 0);
	cr_assert_eq(apply(MIRROR_RECORDS, fill_records(4, 1), &position), 0);
	cr_expect_eq(position, 4);
	cr_expect_eq(table_digest(&primary, 0), table_digest(&replica, 0));
}
