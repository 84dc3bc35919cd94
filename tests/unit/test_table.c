/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "interrupt.h"
#include "prng.h"
#include "table.h"
#include "table_place.h"

#define EVERYTHING UINT64_MAX /* consumed_seq of a node that needs no log slot any more */

static struct error_text error;

static struct table_shape shape_of(uint32_t key, uint32_t value, uint32_t capacity, uint32_t lanes)
{
	return (struct table_shape){.name = "flows",
				    .key_bytes = key,
				    .value_bytes = value,
				    .capacity = capacity,
				    .lanes = lanes,
				    .lane_records = 64};
}

/** A table in plain memory of exactly its size, so that a sanitizer sees every step outside. */
static struct table table_of(struct table_shape shape, uint64_t seed)
{
	struct table_geometry g;
	struct table t;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	table_format(&t, &g, aligned_alloc(8, g.total_bytes), seed);
	return t;
}

static int put(struct table *t, unsigned lane, uint32_t key, uint64_t value)
{
	return table_put(t, lane, &key, &value, EVERYTHING);
}

static int del(struct table *t, unsigned lane, uint32_t key)
{
	return table_delete(t, lane, &key, EVERYTHING);
}

static int get(const struct table *t, unsigned lane, uint32_t key, uint64_t *value)
{
	return table_get(t, lane, &key, value);
}

/* ---- shape, creation, mapping --------------------------------------------------------------- */

Test(table, shapes_out_of_range_are_refused_and_the_field_is_named)
{
	const struct {
		struct table_shape shape;
		const char *field;
	} bad[] = {
		{shape_of(0, 8, 10, 1), "key_bytes"},
		{shape_of(257, 8, 10, 1), "key_bytes"},
		{shape_of(4, 1025, 10, 1), "value_bytes"},
		{shape_of(4, 8, 0, 1), "capacity"},
		{shape_of(4, 8, TABLE_CAPACITY_MAX + 1, 1), "capacity"},
		{shape_of(4, 8, 10, 0), "lanes"},
		{shape_of(4, 8, 10, HAVEN_WORKERS_MAX + 1), "lanes"},
		{shape_of(UINT32_MAX, UINT32_MAX, 10, 1), "key_bytes"},
	};
	struct table_shape shape = shape_of(4, 8, 10, 1);
	struct table_geometry g;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(bad); i++) {
		cr_assert_eq(table_geometry_make(&bad[i].shape, &g, &error), -HAVEN_EINVAL);
		cr_assert_not_null(strstr(error.text, bad[i].field), "%s", error.text);
	}
	shape.lane_records = 100;
	cr_assert_eq(table_geometry_make(&shape, &g, &error), -HAVEN_EINVAL);
	shape.lane_records = 32;
	cr_assert_eq(table_geometry_make(&shape, &g, &error), -HAVEN_EINVAL);
	shape.lane_records = 64;
	memset(shape.name, 'x', sizeof(shape.name));
	cr_assert_eq(table_geometry_make(&shape, &g, &error), -HAVEN_EINVAL);
	shape.name[0] = 0;
	cr_assert_eq(table_geometry_make(&shape, &g, &error), -HAVEN_EINVAL);
}

Test(table, the_greatest_shape_has_a_geometry_without_overflow)
{
	struct table_shape shape = shape_of(TABLE_KEY_MAX, TABLE_VALUE_MAX, TABLE_CAPACITY_MAX, 1);
	struct table_geometry g;

	shape.lane_records = 1u << 20;
	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0);
	cr_assert_eq(g.lane_entries, TABLE_CAPACITY_MAX);
	cr_assert_geq(g.lane_heads, g.lane_entries);
	cr_assert_gt(g.total_bytes,
		     (uint64_t)TABLE_CAPACITY_MAX * (TABLE_KEY_MAX + TABLE_VALUE_MAX));
}

Test(table, what_the_application_creates_the_node_maps)
{
	struct table_shape shape = shape_of(4, 8, 100, 2);
	struct table app, node;
	uint64_t value = 0;
	int fd;

	cr_assert_eq(table_create(&app, &shape, &fd, &error), 0, "%s", error.text);
	cr_assert_eq(table_map(&node, fd, &shape, &error), 0, "%s", error.text);
	close(fd);
	cr_assert_neq(app.base, node.base);
	cr_assert_eq(put(&app, 1, 7, 70), 0);
	cr_assert_eq(get(&node, 1, 7, &value), 0);
	cr_assert_eq(value, 70);
	cr_assert_eq(get(&node, 0, 7, &value), -HAVEN_ENOENT, "another lane is another table");
	table_unmap(&node);
	table_unmap(&app);
}

Test(table, two_segments_hash_with_different_seeds)
{
	struct table_shape shape = shape_of(4, 8, 100, 1);
	struct table a, b;
	int fd_a, fd_b;

	cr_assert_eq(table_create(&a, &shape, &fd_a, &error), 0);
	cr_assert_eq(table_create(&b, &shape, &fd_b, &error), 0);
	cr_assert_neq(a.hash_seed, b.hash_seed);
	table_unmap(&a);
	table_unmap(&b);
	close(fd_a);
	close(fd_b);
}

Test(table, map_refuses_what_was_not_registered_so)
{
	struct table_shape shape = shape_of(4, 8, 100, 2), other = shape;
	struct table app, node;
	struct table_header *h;
	int fd, bare;

	cr_assert_eq(table_create(&app, &shape, &fd, &error), 0);
	h = (struct table_header *)(void *)app.base;
	other.capacity = 200;
	cr_assert_eq(table_map(&node, fd, &other, &error), -HAVEN_ESIZE);
	other = shape;
	other.key_bytes = 8;
	other.value_bytes = 4;
	cr_assert_eq(table_map(&node, fd, &other, &error), -HAVEN_ECORRUPT,
		     "same size, other shape");
	other = shape;
	strcpy(other.name, "other");
	cr_assert_eq(table_map(&node, fd, &other, &error), -HAVEN_ECORRUPT);
	other.key_bytes = 0;
	cr_assert_eq(table_map(&node, fd, &other, &error), -HAVEN_EINVAL);
	h->layout_version = 9;
	cr_assert_eq(table_map(&node, fd, &shape, &error), -HAVEN_EVERSION);
	cr_assert_not_null(strstr(error.text, "9"), "%s", error.text);
	h->layout_version = TABLE_LAYOUT_VERSION;
	h->magic = 0;
	cr_assert_eq(table_map(&node, fd, &shape, &error), -HAVEN_ECORRUPT);
	bare = memfd_create("bare", MFD_ALLOW_SEALING);
	cr_assert_eq(ftruncate(bare, (off_t)app.geometry.total_bytes), 0);
	cr_assert_eq(table_map(&node, bare, &shape, &error), -HAVEN_EINVAL, "not sealed");
	close(bare);
	close(fd);
	table_unmap(&app);
}

Test(table, a_table_that_does_not_fit_into_memory_is_an_error)
{
	struct table_shape shape = shape_of(TABLE_KEY_MAX, TABLE_VALUE_MAX, TABLE_CAPACITY_MAX, 1);
	struct table t;
	struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
	int fd = -1;

	/* A limit on files stands in for a machine that is too small. */
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(table_create(&t, &shape, &fd, &error), -HAVEN_ENOMEM);
	cr_assert_eq(fd, -1);
	cr_assert_not_null(strstr(error.text, "bytes"), "%s", error.text);
}

/* ---- contents against an oracle -----------------------------------------------------------------
 */

#define KEYS 64u

struct oracle {
	bool present[KEYS];
	uint64_t value[KEYS];
	unsigned live;
};

static void check_equal(const struct table *t, unsigned lane, const struct oracle *o)
{
	cr_assert_eq(table_live(t, lane), o->live);
	for (uint32_t k = 0; k < KEYS; k++) {
		uint64_t value = 0;
		int status = get(t, lane, k, &value);

		cr_assert_eq(status, o->present[k] ? 0 : -HAVEN_ENOENT);
		if (o->present[k])
			cr_assert_eq(value, o->value[k]);
	}
}

/** Digest of the oracle: that of a table filled with it in another order under another seed. */
static uint64_t oracle_digest(const struct table *like, const struct oracle *o)
{
	struct table t = table_of(like->geometry.shape, 12345);
	uint64_t digest;

	for (uint32_t k = KEYS; k-- > 0;)
		if (o->present[k])
			cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 1000 + k, &k, &o->value[k]),
				     0);
	digest = table_digest(&t, 0);
	free(t.base);
	return digest;
}

/** Replay committed records of the log into a replica, whole commits only. */
static void replay(const struct table *from, struct table *to, unsigned lane)
{
	uint64_t slot[8], last = table_committed(to, lane);
	struct table_record *r = (struct table_record *)slot;

	for (uint64_t seq = last + 1; seq <= table_committed(from, lane); seq++) {
		cr_assert_eq(table_read_record(from, lane, seq, r), 0);
		cr_assert_eq(r->seq, seq);
		cr_assert_eq(table_apply(to, lane, (enum table_op)r->op, seq, r->data, r->data + 4),
			     0);
		if (r->flags & TABLE_RECORD_COMMIT)
			table_applied(to, lane, last = seq);
	}
	cr_assert_eq(last, table_committed(from, lane), "the last record ends its commit");
}

static void run_against_oracle(uint64_t seed, uint32_t capacity)
{
	struct table t = table_of(shape_of(4, 8, capacity, 1), seed);
	struct table replica = table_of(shape_of(4, 8, capacity, 1), ~seed);
	struct oracle o = {.live = 0};
	struct prng p = {.state = seed};

	for (int step = 0; step < 3000; step++) {
		uint32_t key = (uint32_t)prng_below(&p, KEYS);
		uint64_t value = prng_next(&p), consumed = table_committed(&replica, 0);
		bool log_full = table_next(&t, 0) - consumed > 64;
		int status;

		switch (prng_below(&p, 8)) {
		default:
			status = table_put(&t, 0, &key, &value, consumed);
			if (log_full || (!o.present[key] && o.live == capacity)) {
				cr_assert_eq(status, -HAVEN_EFULL);
				break;
			}
			cr_assert_eq(status, 0);
			o.live += !o.present[key];
			o.present[key] = true;
			o.value[key] = value;
			break;
		case 5:
		case 6:
			status = table_delete(&t, 0, &key, consumed);
			if (!o.present[key]) {
				cr_assert_eq(status, -HAVEN_ENOENT);
			} else if (log_full) {
				cr_assert_eq(status, -HAVEN_EFULL);
			} else {
				cr_assert_eq(status, 0);
				o.present[key] = false;
				o.live--;
			}
			break;
		case 7:
			cr_assert_eq(table_commit(&t, 0), table_next(&t, 0) - 1);
			check_equal(&t, 0, &o);
			if (prng_below(&p, 2)) {
				replay(&t, &replica, 0);
				check_equal(&replica, 0, &o);
				cr_assert_eq(table_digest(&t, 0), table_digest(&replica, 0));
				cr_assert_eq(table_digest(&t, 0), oracle_digest(&t, &o));
			}
		}
	}
	free(t.base);
	free(replica.base);
}

Test(table, behaves_as_a_map_and_its_log_rebuilds_it, .timeout = 60)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		run_against_oracle(seed, seed % 2 ? KEYS : KEYS / 3);
}

Test(table, digests_tell_contents_apart)
{
	struct table a = table_of(shape_of(4, 8, 100, 1), 1),
		     b = table_of(shape_of(4, 8, 100, 1), 2);

	cr_assert_eq(table_digest(&a, 0), table_digest(&b, 0));
	put(&a, 0, 1, 10);
	cr_assert_neq(table_digest(&a, 0), table_digest(&b, 0));
	put(&b, 0, 1, 11);
	cr_assert_neq(table_digest(&a, 0), table_digest(&b, 0));
	put(&b, 0, 1, 10);
	cr_assert_eq(table_digest(&a, 0), table_digest(&b, 0));
	free(a.base);
	free(b.base);
}

Test(table, every_key_and_value_size_works)
{
	struct prng p = {.state = 6};

	for (int round = 0; round < 150; round++) {
		uint32_t key_bytes = 1 + (uint32_t)prng_below(&p, TABLE_KEY_MAX);
		uint32_t value_bytes = (uint32_t)prng_below(&p, TABLE_VALUE_MAX + 1);
		struct table t;
		uint8_t key[TABLE_KEY_MAX], value[TABLE_VALUE_MAX], got[TABLE_VALUE_MAX];
		uint64_t seq, data[(TABLE_KEY_MAX + TABLE_VALUE_MAX) / 8];

		if (round < 8)
			key_bytes = 1 + (uint32_t)round, value_bytes = 0;
		t = table_of(shape_of(key_bytes, value_bytes, 5, 1), 3);
		for (unsigned i = 0; i < 5; i++) {
			memset(key, (int)i, sizeof(key));
			memset(value, (int)(i + 100), sizeof(value));
			cr_assert_eq(table_put(&t, 0, key, value, EVERYTHING), 0);
		}
		for (unsigned i = 0; i < 5; i++) {
			memset(key, (int)i, sizeof(key));
			memset(value, (int)(i + 100), sizeof(value));
			cr_assert_eq(table_get(&t, 0, key, got), 0);
			cr_assert_eq(memcmp(got, value, value_bytes), 0);
			cr_assert_eq(table_read_entry(&t, 0, i + 1, &seq, data), 0);
			cr_assert_eq(memcmp(data, key, key_bytes), 0);
			cr_assert_eq(table_delete(&t, 0, key, EVERYTHING), 0);
			cr_assert_eq(table_get(&t, 0, key, got), -HAVEN_ENOENT);
		}
		free(t.base);
	}
}

/* ---- refusals change nothing --------------------------------------------------------------------
 */

static void *copy_of(const struct table *t)
{
	return memcpy(malloc(t->geometry.total_bytes), t->base, t->geometry.total_bytes);
}

#define REFUSED(t, call, wanted)                                                                   \
	do {                                                                                       \
		void *before = copy_of(t);                                                         \
                                                                                                   \
		cr_assert_eq(call, wanted);                                                        \
		cr_assert_eq(memcmp(before, (t)->base, (t)->geometry.total_bytes), 0,              \
			     "a refusal changed something");                                       \
		free(before);                                                                      \
	} while (0)

Test(table, a_full_pool_refuses_new_keys_only)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);

	for (uint32_t k = 0; k < 10; k++)
		cr_assert_eq(put(&t, 0, k, k), 0);
	REFUSED(&t, put(&t, 0, 10, 1), -HAVEN_EFULL);
	cr_assert_eq(put(&t, 0, 9, 99), 0);
	cr_assert_eq(del(&t, 0, 3), 0);
	cr_assert_eq(put(&t, 0, 10, 1), 0);
	REFUSED(&t, put(&t, 0, 3, 1), -HAVEN_EFULL);
	free(t.base);
}

Test(table, a_full_log_refuses_until_the_node_has_consumed)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint32_t key = 1;
	uint64_t value = 0;

	for (value = 1; value <= 64; value++)
		cr_assert_eq(table_put(&t, 0, &key, &value, 0), 0);
	table_commit(&t, 0);
	REFUSED(&t, table_put(&t, 0, &key, &value, 0), -HAVEN_EFULL);
	REFUSED(&t, table_delete(&t, 0, &key, 0), -HAVEN_EFULL);
	cr_assert_eq(table_put(&t, 0, &key, &value, 1), 0);
	REFUSED(&t, table_put(&t, 0, &key, &value, 1), -HAVEN_EFULL);
	free(t.base);
}

Test(table, a_commit_longer_than_a_receiver_can_stage_is_refused)
{
	struct table_shape shape = shape_of(4, 8, 10, 1);
	struct table t;

	shape.lane_records = 1024;
	t = table_of(shape, 1);
	for (uint64_t i = 0; i < TABLE_COMMIT_RECORDS_MAX; i++)
		cr_assert_eq(put(&t, 0, 1, i), 0);
	REFUSED(&t, put(&t, 0, 1, 5), -HAVEN_EFULL);
	REFUSED(&t, del(&t, 0, 1), -HAVEN_EFULL);
	table_commit(&t, 0);
	cr_assert_eq(put(&t, 0, 1, 5), 0);
	free(t.base);
}

Test(table, a_lane_that_does_not_exist_is_refused_everywhere)
{
	struct table t = table_of(shape_of(4, 8, 10, 2), 1);
	uint64_t value = 0, seq, slot[8];
	uint32_t key = 0;

	REFUSED(&t, put(&t, 2, 1, 1), -HAVEN_EINVAL);
	REFUSED(&t, del(&t, 2, 1), -HAVEN_EINVAL);
	REFUSED(&t, table_apply(&t, 2, TABLE_OP_PUT, 1, &key, &value), -HAVEN_EINVAL);
	REFUSED(&t, (table_lane_clear(&t, 2, 5), 0), 0);
	REFUSED(&t, (table_lane_begin(&t, UINT32_MAX), 0), 0);
	REFUSED(&t, (table_applied(&t, 2, 5), 0), 0);
	cr_assert_eq(get(&t, 2, 1, &value), -HAVEN_EINVAL);
	cr_assert_eq(table_read_record(&t, 2, 1, (struct table_record *)slot), -HAVEN_EINVAL);
	cr_assert_eq(table_read_entry(&t, 2, 1, &seq, slot), -HAVEN_EINVAL);
	cr_assert_eq(table_commit(&t, 2), 0);
	cr_assert_eq(table_committed(&t, 2), 0);
	cr_assert_eq(table_live(&t, 2), 0);
	cr_assert_eq(table_scan_end(&t, 2), 1);
	free(t.base);
}

Test(table, apply_refuses_what_is_no_record)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t value = 0;
	uint32_t key = 0;

	REFUSED(&t, table_apply(&t, 0, (enum table_op)0, 1, &key, &value), -HAVEN_EINVAL);
	REFUSED(&t, table_apply(&t, 0, (enum table_op)3, 1, &key, &value), -HAVEN_EINVAL);
	REFUSED(&t, table_apply(&t, 0, TABLE_OP_PUT, 0, &key, &value), -HAVEN_EINVAL);
	free(t.base);
}

/* ---- commits, batons, replicas ------------------------------------------------------------------
 */

Test(table, a_commit_marks_its_last_record_and_only_that)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t slot[8];
	struct table_record *r = (struct table_record *)slot;

	cr_assert_eq(table_commit(&t, 0), 0, "nothing to commit");
	for (uint32_t k = 0; k < 3; k++)
		put(&t, 0, k, k);
	cr_assert_eq(table_committed(&t, 0), 0);
	cr_assert_eq(table_commit(&t, 0), 3);
	cr_assert_eq(table_commit(&t, 0), 3);
	del(&t, 0, 1);
	cr_assert_eq(table_commit(&t, 0), 4);
	for (uint64_t seq = 1; seq <= 4; seq++) {
		cr_assert_eq(table_read_record(&t, 0, seq, r), 0);
		cr_assert_eq(r->flags, seq >= 3 ? TABLE_RECORD_COMMIT : 0);
		cr_assert_eq(r->op, seq == 4 ? TABLE_OP_DELETE : TABLE_OP_PUT);
	}
	cr_assert_eq(table_read_record(&t, 0, 5, r), -HAVEN_ECORRUPT);
	cr_assert_eq(table_read_record(&t, 0, 68, r), -HAVEN_ECORRUPT, "overwritten long ago");
	free(t.base);
}

Test(table, of_two_records_of_a_key_the_later_wins_in_any_order)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t five = 5, nine = 9, got;
	uint32_t key = 1;

	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 9, &key, &nine), 0);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 5, &key, &five), 0);
	cr_assert_eq(get(&t, 0, key, &got), 0);
	cr_assert_eq(got, 9);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_DELETE, 7, &key, NULL), 0);
	cr_assert_eq(get(&t, 0, key, &got), 0, "an older deletion does not count");
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_DELETE, 10, &key, NULL), 0);
	cr_assert_eq(get(&t, 0, key, &got), -HAVEN_ENOENT);
	cr_assert_eq(table_apply(&t, 0, TABLE_OP_DELETE, 11, &key, NULL), 0, "gone is gone");
	free(t.base);
}

Test(table, a_promoted_replica_numbers_on)
{
	struct table primary = table_of(shape_of(4, 8, 10, 1), 1);
	struct table replica = table_of(shape_of(4, 8, 10, 1), 2);

	put(&primary, 0, 1, 10);
	put(&primary, 0, 2, 20);
	table_commit(&primary, 0);
	replay(&primary, &replica, 0);
	table_lane_begin(&replica, 0);
	cr_assert_eq(put(&replica, 0, 3, 30), 0);
	cr_assert_eq(table_commit(&replica, 0), 3);
	cr_assert_eq(table_live(&replica, 0), 3);
	free(primary.base);
	free(replica.base);
}

Test(table, what_was_never_committed_is_in_no_log_after_the_baton_comes_back)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t slot[8], seq, value;

	put(&t, 0, 1, 10);
	table_commit(&t, 0);
	put(&t, 0, 1, 11);
	put(&t, 0, 2, 20);
	del(&t, 0, 2);
	put(&t, 0, 3, 30);
	table_lane_begin(&t, 0);
	cr_assert_eq(table_next(&t, 0), 2);
	for (uint32_t i = 1; i < table_scan_end(&t, 0); i++) {
		table_read_entry(&t, 0, i, &seq, slot);
		cr_assert_leq(seq, 1, "entry %u waits for a record that will not come", i);
	}
	cr_assert_eq(get(&t, 0, 3, &value), 0);
	cr_assert_eq(put(&t, 0, 3, 31), 0);
	cr_assert_eq(table_commit(&t, 0), 2);
	free(t.base);
}

Test(table, a_lane_that_never_committed_starts_empty)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t value;

	put(&t, 0, 1, 10);
	table_lane_begin(&t, 0);
	cr_assert_eq(get(&t, 0, 1, &value), -HAVEN_ENOENT);
	cr_assert_eq(table_live(&t, 0), 0);
	cr_assert_eq(put(&t, 0, 1, 10), 0);
	cr_assert_eq(table_commit(&t, 0), 1);
	free(t.base);
}

/* ---- a writer that died ---------------------------------------------------------------------- */

/** The first entry of lane 0 that holds this key. */
static struct table_entry *entry_of(const struct table *t, uint32_t key)
{
	struct table_place p = table_place(t, 0);

	for (uint32_t i = 1; i <= p.g->lane_entries; i++) {
		struct table_entry *e = table_place_entry(&p, i);

		if (e->seq && memcmp(e->data, &key, sizeof(key)) == 0)
			return e;
	}
	cr_assert_fail("key %u has no entry", key);
	return NULL;
}

/** One head, so that all keys share a chain, and `keys` of them committed. */
static struct table chain_of(uint32_t keys)
{
	struct table t = table_of(shape_of(4, 8, 8, 1), 1);

	t.geometry.lane_heads = 1;
	for (uint32_t k = 1; k <= keys; k++)
		cr_assert_eq(put(&t, 0, k, k * 10), 0);
	table_commit(&t, 0);
	return t;
}

Test(table, a_dead_writers_entry_does_not_hide_the_keys_behind_it)
{
	struct table t = chain_of(3);
	uint64_t value;

	entry_of(&t, 3)->version |= 1; /* the newest stands first in its chain */
	cr_assert_eq(get(&t, 0, 1, &value), 0);
	cr_assert_eq(value, 10);
	cr_assert_eq(get(&t, 0, 3, &value), -HAVEN_EAGAIN);
	free(t.base);
}

Test(table, a_value_that_was_being_replaced_is_whole_after_the_take_over)
{
	struct table t = chain_of(2);
	uint64_t value = 0;
	struct table_entry *e;

	/* Killed in the middle of the value: the record is in the log, the number not yet. */
	cr_assert_eq(put(&t, 0, 1, 77), 0);
	table_place(&t, 0).header->next_seq--;
	e = entry_of(&t, 1);
	e->version |= 1;
	memset(e->data + 4, 0xee, 3);
	table_lane_begin(&t, 0);
	cr_assert_eq(get(&t, 0, 1, &value), 0);
	cr_assert_eq(value, 77);
	cr_assert_eq(get(&t, 0, 2, &value), 0);
	cr_assert_eq(value, 20);
	cr_assert_eq(table_next(&t, 0), table_committed(&t, 0) + 1);
	free(t.base);
}

Test(table, a_replicas_value_that_was_being_replaced_is_whole_after_the_take_over)
{
	struct table t = chain_of(2);
	uint64_t value = 88;
	uint32_t key = 1;
	struct table_entry *e;

	cr_assert_eq(table_apply(&t, 0, TABLE_OP_PUT, 3, &key, &value), 0);
	e = entry_of(&t, 1);
	e->version |= 1;
	memset(e->data + 4, 0xee, 3);
	table_lane_begin(&t, 0);
	cr_assert_eq(get(&t, 0, 1, &value), 0);
	cr_assert_eq(value, 88);
	cr_assert_leq(entry_of(&t, 1)->seq, table_committed(&t, 0));
	free(t.base);
}

Test(table, an_entry_that_a_dead_writer_left_outside_every_chain_is_free_again)
{
	struct table t = chain_of(3);
	struct table_place p = table_place(&t, 0);
	uint64_t value;

	/* Killed before the entry was linked … */
	cr_assert_eq(put(&t, 0, 9, 90), 0);
	p.heads[0] = entry_of(&t, 9)->next;
	p.header->next_seq--;
	table_lane_begin(&t, 0);
	cr_assert_eq(get(&t, 0, 9, &value), -HAVEN_ENOENT);
	cr_assert_eq(table_live(&t, 0), 3);
	/* … and after it was unlinked. */
	cr_assert_eq(del(&t, 0, 3), 0);
	p.header->next_seq--;
	p.header->free_head = 0;
	table_lane_begin(&t, 0);
	cr_assert_eq(table_live(&t, 0), 2);
	for (uint32_t k = 20; k < 26; k++)
		cr_assert_eq(put(&t, 0, k, k), 0, "the whole pool can be used");
	cr_assert_eq(put(&t, 0, 26, 26), -HAVEN_EFULL);
	for (uint32_t k = 1; k <= 2; k++)
		cr_assert_eq(get(&t, 0, k, &value), 0);
	free(t.base);
}

Test(table, a_lane_that_was_being_cleared_is_empty_after_the_take_over)
{
	struct table t = chain_of(3);
	struct table_place p = table_place(&t, 0);
	uint64_t value;

	p.header->changing = TABLE_CLEARING;
	table_lane_begin(&t, 0);
	cr_assert_eq(table_live(&t, 0), 0);
	cr_assert_eq(get(&t, 0, 1, &value), -HAVEN_ENOENT);
	cr_assert_eq(p.header->changing, TABLE_AT_REST);
	free(t.base);
}

Test(table, a_take_over_that_died_is_done_again)
{
	struct table t = chain_of(3);
	struct table_place p = table_place(&t, 0);
	struct table_entry *e = entry_of(&t, 2);
	uint64_t value;

	/* Its redo is over; a record that happens to stand in the log must not be written again. */
	cr_assert_eq(put(&t, 0, 2, 99), 0);
	p.header->next_seq--;
	memset(table_place_record(&p, 4)->data + 4, 0, 8);
	p.header->changing = TABLE_SETTLING;
	e->version |= 1;
	p.header->live = 77;
	table_lane_begin(&t, 0);
	cr_assert_eq(get(&t, 0, 2, &value), 0);
	cr_assert_eq(value, 99);
	cr_assert_eq(table_live(&t, 0), 3);
	free(t.base);
}

Test(table, clearing_empties_one_lane_whatever_it_held)
{
	struct table t = table_of(shape_of(4, 8, 4000, 2), 1);
	struct prng p = {.state = 1};
	uint64_t value;

	put(&t, 1, 77, 1);
	for (int round = 0; round < 60; round++) {
		/* few entries are cleared another way than many */
		uint32_t n = (uint32_t)prng_below(&p, round % 2 ? 2000 : 100);

		for (uint32_t k = 0; k < n; k++) {
			cr_assert_eq(put(&t, 0, k, k), 0);
			if (prng_below(&p, 4) == 0)
				del(&t, 0, k);
			table_commit(&t, 0);
		}
		table_lane_clear(&t, 0, 1000);
		cr_assert_eq(table_live(&t, 0), 0);
		cr_assert_eq(table_scan_end(&t, 0), 1);
		cr_assert_eq(table_committed(&t, 0), 1000);
		cr_assert_eq(table_next(&t, 0), 1001);
		cr_assert_eq(table_digest(&t, 0), 0);
		for (uint32_t k = 0; k < n; k++)
			cr_assert_eq(get(&t, 0, k, &value), -HAVEN_ENOENT);
	}
	cr_assert_eq(get(&t, 1, 77, &value), 0, "the other lane is untouched");
	free(t.base);
}

Test(table, a_free_entry_tells_which_record_freed_it)
{
	struct table t = table_of(shape_of(4, 8, 10, 1), 1);
	uint64_t seq, slot[8];

	put(&t, 0, 1, 10);
	put(&t, 0, 2, 20);
	del(&t, 0, 1);
	cr_assert_eq(table_read_entry(&t, 0, 1, &seq, slot), -HAVEN_ENOENT);
	cr_assert_eq(seq, 3);
	cr_assert_eq(table_read_entry(&t, 0, 2, &seq, slot), 0);
	cr_assert_eq(seq, 2);
	cr_assert_eq(table_read_entry(&t, 0, 0, &seq, slot), -HAVEN_ENOENT);
	cr_assert_eq(seq, 0);
	cr_assert_eq(table_read_entry(&t, 0, 11, &seq, slot), -HAVEN_ENOENT);
	cr_assert_eq(table_read_entry(&t, 0, UINT32_MAX, &seq, slot), -HAVEN_ENOENT);
	free(t.base);
}

/* ---- readers beside the writer ------------------------------------------------------------------
 */

#define STEADY 8u /* keys below are never deleted */
struct wide {
	uint64_t part[6]; /* all equal, and key + multiples of KEYS */
};
static struct table shared;
static uint32_t stop, wrong, seen;

static void *table_reader(void *unused)
{
	struct prng p = {.state = (uint64_t)(uintptr_t)&p};

	(void)unused;
	while (!load_relaxed(&stop)) {
		uint32_t key = (uint32_t)prng_below(&p, KEYS);
		struct wide w;
		int status = table_get(&shared, 0, &key, &w);
		uint64_t seq, data[8];

		if (key < STEADY && status == -HAVEN_ENOENT)
			store_relaxed(&wrong, 1);
		for (int i = 0; status == 0 && i < 6; i++)
			if (w.part[i] != w.part[0] || w.part[i] % KEYS != key)
				store_relaxed(&wrong, 2);
		store_relaxed(&seen, load_relaxed(&seen) + (status == 0));
		if (table_read_entry(&shared, 0, 1 + key % 32, &seq, data) == 0) {
			memcpy(&key, data, 4);
			memcpy(&w, (uint8_t *)data + 4, sizeof(w));
			for (int i = 0; i < 6; i++)
				if (w.part[i] != w.part[0] || w.part[i] % KEYS != key || seq == 0)
					store_relaxed(&wrong, 3);
		}
	}
	return NULL;
}

Test(table, readers_never_see_a_torn_value_nor_miss_a_steady_key, .timeout = 60)
{
	pthread_t thread[3];
	struct prng p = {.state = 21};

	shared = table_of(shape_of(4, sizeof(struct wide), KEYS / 2, 1), 5);
	/* few chains, so that entries wander from one to another all the time */
	shared.geometry.lane_heads = 4;
	for (uint32_t k = 0; k < STEADY; k++) {
		struct wide w = {{k, k, k, k, k, k}};

		cr_assert_eq(table_put(&shared, 0, &k, &w, EVERYTHING), 0);
	}
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, table_reader, NULL);
	for (uint64_t n = 1; n < 400000; n++) {
		uint32_t key = (uint32_t)prng_below(&p, KEYS);
		uint64_t v = n * KEYS + key;
		struct wide w = {{v, v, v, v, v, v}};

		if (key >= STEADY && prng_below(&p, 2))
			table_delete(&shared, 0, &key, EVERYTHING);
		else
			table_put(&shared, 0, &key, &w, EVERYTHING);
		if (n % 16 == 0)
			table_commit(&shared, 0);
	}
	store_relaxed(&stop, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	cr_assert_gt(seen, 0);
	cr_assert_eq(wrong, 0, "reader saw something impossible (%u)", wrong);
	free(shared.base);
}

#define INTERRUPTS 30000u
static struct prng interrupt_prng = {.state = 17};
static uint32_t interrupts;

/** Entries leave chains and turn up in others, values change. */
static void change_table(int unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		uint32_t key = STEADY + (uint32_t)prng_below(&interrupt_prng, KEYS - STEADY);
		uint64_t v = KEYS * (prng_next(&interrupt_prng) >> 8) + key;
		struct wide w = {{v, v, v, v, v, v}};

		if (table_delete(&shared, 0, &key, UINT64_MAX) != 0)
			table_put(&shared, 0, &key, &w, UINT64_MAX);
		key = (uint32_t)prng_below(&interrupt_prng, STEADY);
		for (int k = 0; k < 6; k++)
			w.part[k] = v - v % KEYS + key;
		table_put(&shared, 0, &key, &w, UINT64_MAX);
		table_commit(&shared, 0);
	}
	interrupts++;
}

Test(table, a_reader_interrupted_anywhere_sees_whole_values_and_every_steady_key, .timeout = 60)
{
	struct prng p = {.state = 18};
	uint32_t torn = 0, missed = 0, found = 0;

	shared = table_of(shape_of(4, sizeof(struct wide), KEYS / 2, 1), 5);
	shared.geometry.lane_heads = 2;
	for (uint32_t k = 0; k < STEADY; k++) {
		struct wide w = {{k, k, k, k, k, k}};

		cr_assert_eq(table_put(&shared, 0, &k, &w, EVERYTHING), 0);
	}
	interrupt_start(change_table);
	while (load_relaxed(&interrupts) < INTERRUPTS) {
		uint32_t key = (uint32_t)prng_below(&p, STEADY);
		struct wide w;
		int status = table_get(&shared, 0, &key, &w);

		missed += status == -HAVEN_ENOENT;
		found += status == 0;
		for (int i = 0; status == 0 && i < 6; i++)
			torn += w.part[i] != w.part[0] || w.part[i] % KEYS != key;
	}
	interrupt_stop();
	cr_assert_gt(found, 0);
	cr_assert_eq(torn, 0);
	cr_assert_eq(missed, 0, "%u look-ups missed a key that is always there", missed);
	free(shared.base);
}

/* ---- hostile segments
 * ---------------------------------------------------------------------------- */

/** Everything the node does with a segment it does not trust. */
static void use_everything(struct table *t, struct prng *p)
{
	uint64_t slot[8], seq, value = prng_next(p);
	uint32_t key = (uint32_t)prng_below(p, KEYS);
	unsigned lane = (unsigned)prng_below(p, t->geometry.shape.lanes);

	cr_assert_leq(table_live(t, lane), t->geometry.lane_entries);
	cr_assert_leq(table_scan_end(t, lane), t->geometry.lane_entries + 1);
	cr_assert_geq(table_scan_end(t, lane), 1);
	get(t, lane, key, &value);
	table_digest(t, lane);
	table_read_entry(t, lane, (uint32_t)prng_next(p), &seq, slot);
	table_read_record(t, lane, prng_next(p), (struct table_record *)slot);
	for (int i = 0; i < 10; i++) {
		key = (uint32_t)prng_below(p, KEYS);
		table_apply(t, lane, prng_below(p, 2) ? TABLE_OP_PUT : TABLE_OP_DELETE,
			    1 + prng_below(p, 1000), &key, &value);
		put(t, lane, key, value);
		del(t, lane, (uint32_t)prng_below(p, KEYS));
	}
	table_commit(t, lane);
	if (prng_below(p, 4) == 0)
		table_lane_begin(t, lane);
	if (prng_below(p, 8) == 0)
		table_lane_clear(t, lane, prng_below(p, 100));
}

Test(table, no_content_leads_a_reader_or_the_node_astray, .timeout = 60)
{
	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct table t = table_of(shape_of(4, 8, 40, 2), seed);
		struct prng p = {.state = seed};

		for (int round = 0; round < 40; round++) {
			for (int i = 0; i < 20; i++) {
				uint64_t at = prng_below(&p, t.geometry.total_bytes / 4) * 4;
				uint32_t v = (uint32_t)(prng_next(&p) >> (32 + prng_below(&p, 32)));

				memcpy(t.base + at, &v, sizeof(v));
			}
			use_everything(&t, &p);
		}
		free(t.base);
	}
}

static struct table hostile;

static void *spoil(void *unused)
{
	struct prng p = {.state = 77};

	(void)unused;
	while (!load_relaxed(&stop)) {
		uint64_t at = prng_below(&p, hostile.geometry.total_bytes / 4) * 4;

		store_relaxed((uint32_t *)(void *)(hostile.base + at),
			      (uint32_t)prng_below(&p, 60));
	}
	return NULL;
}

Test(table, content_that_changes_while_it_is_used_does_no_harm, .timeout = 60)
{
	struct prng p = {.state = 78};
	pthread_t thread;

	hostile = table_of(shape_of(4, 8, 40, 2), 1);
	pthread_create(&thread, NULL, spoil, NULL);
	for (int round = 0; round < 20000; round++)
		use_everything(&hostile, &p);
	store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
	free(hostile.base);
}

Test(table, chains_that_bite_their_tail_are_refused)
{
	struct table t = table_of(shape_of(4, 8, 40, 1), 1);
	const struct table_geometry *g = &t.geometry;
	uint8_t *lane = t.base + (g->total_bytes - g->lane_bytes);
	uint32_t *heads = (uint32_t *)(void *)(lane + g->heads_offset);
	uint64_t value = 1;

	put(&t, 0, 1000, 1);
	for (uint32_t i = 0; i < g->lane_heads; i++)
		heads[i] = 1;
	((struct table_entry *)(void *)(lane + g->entries_offset))->next = 1;
	REFUSED(&t, put(&t, 0, 2, 2), -HAVEN_ECORRUPT);
	REFUSED(&t, del(&t, 0, 2), -HAVEN_ECORRUPT);
	REFUSED(&t, table_apply(&t, 0, TABLE_OP_PUT, 9, "\2\0\0\0", &value), -HAVEN_ECORRUPT);
	cr_assert_eq(get(&t, 0, 2, &value), -HAVEN_EAGAIN);
	for (uint32_t i = 0; i < g->lane_heads; i++)
		heads[i] = g->lane_entries + 1;
	REFUSED(&t, put(&t, 0, 2, 2), -HAVEN_ECORRUPT);
	cr_assert_eq(get(&t, 0, 2, &value), -HAVEN_EAGAIN);
	free(t.base);
}
