/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mirrored table. The application's worker puts and deletes in lane 0; the node copies its log
 * (mirror) and applies it to lane 1, which stands for the other node's replica; readers look keys
 * up in both lanes and walk the entries, as a full transfer does. The log's slots are copied
 * plainly: that the order of commit and consumption allows it is what the sanitizer shows.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "prng.h"
#include "stress.h"
#include "table.h"

#define KEYS 96u
#define KEY_BYTES 12u
#define VALUE_WORDS 5u
#define VALUE_BYTES (VALUE_WORDS * 8u)
#define THREADS 4u

static struct table table;
static uint64_t consumed; /**< mirror (release) -> worker (acquire) */
static uint64_t records, commits, clears, hits, misses, walked;
/** What the mirror knows of each key: newest record and value, 0: not there. */
static struct {
	uint64_t seq, number;
} model[KEYS];

static void key_make(uint8_t *key, unsigned k)
{
	memset(key, 0x5a, KEY_BYTES);
	memcpy(key, &k, sizeof(k));
}

static void value_make(uint8_t *value, unsigned k, uint64_t number)
{
	for (unsigned i = 0; i < VALUE_WORDS; i++) {
		uint64_t w = i ? hash_mix64(number * KEYS + k + i) : number;

		memcpy(value + 8 * i, &w, sizeof(w));
	}
}

/** Number of the value if key and value belong together, 0: torn. */
static uint64_t value_number(const uint8_t *value, unsigned k)
{
	uint8_t want[VALUE_BYTES];
	uint64_t number;

	memcpy(&number, value, sizeof(number));
	value_make(want, k, number);
	return memcmp(value, want, sizeof(want)) == 0 ? number : 0;
}

static void reader(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed * 3 + t->number};
	unsigned lane = t->number % 2;

	while (!stress_stopped(t->stress)) {
		uint8_t key[KEY_BYTES], value[VALUE_BYTES];
		unsigned k = (unsigned)prng_below(&random, KEYS);
		int status;

		key_make(key, k);
		status = table_get(&table, lane, key, value);
		if (status == 0 && !value_number(value, k))
			stress_fail(t->stress, "lane %u, key %u: the value is torn", lane, k);
		/* Key 0 is put once and replaced only. */
		if (status == -HAVEN_ENOENT && k == 0 && lane == 0)
			stress_fail(t->stress, "a key that is there was not found");
		fetch_add_relaxed(status ? &misses : &hits, 1);
		stress_round(t);
		if (prng_below(&random, 64) == 0)
			sched_yield();
	}
}

/** A full transfer of lane 0: every entry that is read is whole. */
static void walker(struct stress_thread *t)
{
	while (!stress_stopped(t->stress)) {
		uint32_t end = table_scan_end(&table, 0);

		for (uint32_t i = 1; i < end; i++) {
			uint8_t data[KEY_BYTES + VALUE_BYTES];
			uint64_t seq;
			unsigned k;

			if (table_read_entry(&table, 0, i, &seq, data) != 0)
				continue;
			memcpy(&k, data, sizeof(k));
			if (k >= KEYS || !value_number(data + KEY_BYTES, k) || seq == 0)
				stress_fail(t->stress, "entry %u is torn", i);
			fetch_add_relaxed(&walked, 1);
		}
		if (table_live(&table, 0) > KEYS)
			stress_fail(t->stress, "more entries than keys");
		stress_round(t);
		sched_yield();
	}
}

/** Apply one record of lane 0 to the replica and the model. */
static void apply(struct stress *s, const struct table_record *r)
{
	const uint8_t *value = r->data + KEY_BYTES;
	unsigned k;

	memcpy(&k, r->data, sizeof(k));
	if (k >= KEYS || (r->op == TABLE_OP_PUT && !value_number(value, k))) {
		stress_fail(s, "record %llu is torn", (unsigned long long)r->seq);
		return;
	}
	model[k].seq = r->op == TABLE_OP_PUT ? r->seq : 0;
	model[k].number = r->op == TABLE_OP_PUT ? value_number(value, k) : 0;
	if (table_apply(&table, 1, r->op, r->seq, r->data, value) != 0)
		stress_fail(s, "record %llu is not applied", (unsigned long long)r->seq);
}

/** Empty the replica under its readers and fill it again from the model. */
static void refill(struct stress *s, uint64_t seq)
{
	table_lane_clear(&table, 1, seq);
	for (unsigned k = 0; k < KEYS; k++) {
		uint8_t key[KEY_BYTES], value[VALUE_BYTES];

		if (!model[k].seq)
			continue;
		key_make(key, k);
		value_make(value, k, model[k].number);
		if (table_apply(&table, 1, TABLE_OP_PUT, model[k].seq, key, value) != 0)
			stress_fail(s, "key %u is not applied", k);
	}
	clears++;
}

/* And the writer has the time to use them again: the mistake must show on any machine. */
static void give_back_early(uint64_t committed)
{
	store_release(&consumed, committed);
	for (unsigned k = 0; k < 1000 && table_committed(&table, 0) < committed + 64; k++)
		sched_yield();
}

static void mirror(struct stress_thread *t)
{
	union {
		struct table_record record;
		uint8_t bytes[256];
	} buffer;
	struct prng random = {.state = t->stress->seed * 7};
	bool last = false;
	uint64_t at = 0;

	for (;;) {
		uint64_t committed = table_committed(&table, 0);

		stress_round(t);
		if (committed == at) {
			if (last)
				return;
			last = stress_stopped(t->stress); /* once more after the end */
			sched_yield();
			continue;
		}
		/* Planted: the slots are given back before they were read. */
		if (stress_planted(t->stress, "early-consumed"))
			give_back_early(committed);
		while (at < committed) {
			if (table_read_record(&table, 0, ++at, &buffer.record) != 0) {
				stress_fail(t->stress, "record %llu is missing",
					    (unsigned long long)at);
				return;
			}
			apply(t->stress, &buffer.record);
		}
		if (!(buffer.record.flags & TABLE_RECORD_COMMIT))
			stress_fail(t->stress, "record %llu ends no commit",
				    (unsigned long long)at);
		table_applied(&table, 1, at);
		commits++;
		store_release(&consumed, at);
		if (prng_below(&random, 32) == 0)
			refill(t->stress, at);
	}
}

static uint64_t change(struct stress *s, struct prng *random, uint64_t number)
{
	unsigned k = (unsigned)prng_below(random, KEYS);
	uint8_t key[KEY_BYTES], value[VALUE_BYTES];
	int status;

	key_make(key, k);
	value_make(value, k, number);
	if (k && prng_below(random, 3) == 0)
		status = table_delete(&table, 0, key, load_acquire(&consumed));
	else
		status = table_put(&table, 0, key, value, load_acquire(&consumed));
	if (status != 0 && status != -HAVEN_EFULL && status != -HAVEN_ENOENT)
		stress_fail(s, "a change of key %u gave %d", k, status);
	if (status == -HAVEN_EFULL) {
		table_commit(&table, 0);
		sched_yield();
	}
	return status == 0;
}

static void run(struct stress *s)
{
	void (*const bodies[])(struct stress_thread *) = {reader, reader, walker, mirror};
	const struct table_shape shape = {.name = "stress",
					  .key_bytes = KEY_BYTES,
					  .value_bytes = VALUE_BYTES,
					  .capacity = 2 * KEYS,
					  .lanes = 2,
					  .lane_records = 64};
	struct prng random = {.state = s->seed};
	struct stress_thread threads[THREADS];
	uint8_t key[KEY_BYTES], value[VALUE_BYTES];
	struct table_geometry g;
	void *memory;

	HAVEN_ASSERT(table_geometry_make(&shape, &g, NULL) == 0);
	memory = aligned_alloc(4096, (g.total_bytes + 4095) / 4096 * 4096);
	HAVEN_ASSERT(memory != NULL);
	table_format(&table, &g, memory, s->seed);
	key_make(key, 0);
	value_make(value, 0, 1);
	HAVEN_ASSERT(table_put(&table, 0, key, value, 0) == 0);
	stress_start(s, threads, THREADS, bodies);
	stress_begin(s);
	while (stress_more(s, records, threads, THREADS)) {
		/* One more than the log's half, so that the mirror is waited for. */
		for (uint64_t n = prng_below(&random, 40); n; n--)
			records += change(s, &random, records + 2);
		table_commit(&table, 0);
		if (prng_below(&random, 8) == 0)
			sched_yield();
	}
	stress_finish(s, threads, THREADS);
	if (!s->failures && table_digest(&table, 0) != table_digest(&table, 1))
		stress_fail(s, "the replica differs");
	printf("%llu records mirrored in %llu batches, replica emptied %llu times; %llu looked up, "
	       "%llu not found or changing, %llu entries walked; ",
	       (unsigned long long)records, (unsigned long long)commits, (unsigned long long)clears,
	       (unsigned long long)hits, (unsigned long long)misses, (unsigned long long)walked);
	free(memory);
}

const struct stress_case stress_table_case = {"table", "early-consumed", run};
