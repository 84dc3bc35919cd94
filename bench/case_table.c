/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The mirrored table without a mirror: what put, commit, get and scan cost the application at 1 k,
 * 100 k and 1 M entries of 16 + 48 bytes, a flow of a NAT. Everything committed counts as consumed,
 * so the log never fills.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "prng.h"
#include "table.h"

#define KEY_BYTES 16u
#define VALUE_BYTES 48u
#define GET_BATCH 64u

struct table_case {
	struct bench *bench;
	struct table table;
	uint32_t entries;
	uint64_t committed;
	struct prng prng;
};

static void key_make(uint8_t *key, uint64_t number)
{
	memset(key, 0, KEY_BYTES);
	memcpy(key, &number, sizeof(number));
	memcpy(key + 8, &number, 4);
}

static int put(struct table_case *c, uint64_t number)
{
	uint8_t key[KEY_BYTES], value[VALUE_BYTES] = {0};

	key_make(key, number);
	memcpy(value, &number, sizeof(number));
	return table_put(&c->table, 0, key, value, c->committed);
}

static int fill(struct table_case *c)
{
	for (uint32_t i = 0; i < c->entries; i++) {
		int error = put(c, i);

		if (error)
			return error;
		if (i % 128 == 127)
			c->committed = table_commit(&c->table, 0);
	}
	c->committed = table_commit(&c->table, 0);
	return 0;
}

/* Replaces of random keys, `batch` to a commit. */
static int measure_put(struct table_case *c, unsigned batch, unsigned commits)
{
	bench_begin(c->bench);
	for (unsigned i = 0; i < commits; i++) {
		uint64_t begin = clock_now_ns();

		for (unsigned k = 0; k < batch; k++) {
			int error = put(c, prng_below(&c->prng, c->entries));

			if (error)
				return error;
		}
		c->committed = table_commit(&c->table, 0);
		bench_add(c->bench, clock_now_ns() - begin, batch);
	}
	bench_end(c->bench, "put + commit of %u, %u entries", batch, c->entries);
	return 0;
}

static int measure_get(struct table_case *c, unsigned rounds)
{
	uint8_t key[KEY_BYTES], value[VALUE_BYTES];

	bench_begin(c->bench);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t begin = clock_now_ns();

		for (unsigned k = 0; k < GET_BATCH; k++) {
			int error;

			key_make(key, prng_below(&c->prng, c->entries));
			error = table_get(&c->table, 0, key, value);
			if (error)
				return error;
			bench_keep(value);
		}
		bench_add(c->bench, clock_now_ns() - begin, GET_BATCH);
	}
	bench_end(c->bench, "get, %u entries", c->entries);
	return 0;
}

static int measure_scan(struct table_case *c)
{
	uint32_t end = table_scan_end(&c->table, 0), found = 0;
	uint8_t data[KEY_BYTES + VALUE_BYTES];
	uint64_t seq;

	bench_begin(c->bench);
	for (uint32_t i = 1; i < end;) {
		uint64_t begin = clock_now_ns();
		unsigned n = 0;

		for (; n < GET_BATCH && i < end; n++, i++)
			found += table_read_entry(&c->table, 0, i, &seq, data) == 0;
		bench_add(c->bench, clock_now_ns() - begin, n);
	}
	bench_end(c->bench, "scan, %u entries", c->entries);
	return found == c->entries ? 0 : -HAVEN_ECORRUPT;
}

static int run_size(struct bench *b, uint32_t entries)
{
	const struct table_shape shape = {.name = "bench",
					  .key_bytes = KEY_BYTES,
					  .value_bytes = VALUE_BYTES,
					  .capacity = entries,
					  .lanes = 1,
					  .lane_records = 8192};
	struct table_case c = {.bench = b, .entries = entries, .prng = {1}};
	unsigned rounds = b->quick ? 1000 : 50000;
	struct table_geometry geometry;
	struct error_text text;
	void *memory;
	int error = table_geometry_make(&shape, &geometry, &text);

	memory = error ? NULL : aligned_alloc(4096, (geometry.total_bytes + 4095) / 4096 * 4096);
	if (!memory) {
		fprintf(stderr, "haven-bench: no table of %u entries: %s\n", entries,
			error ? text.text : "memory ran out");
		return 1;
	}
	table_format(&c.table, &geometry, memory, 42);
	table_lane_begin(&c.table, 0);
	error = fill(&c);
	if (!error)
		error = measure_put(&c, 1, rounds);
	if (!error)
		error = measure_put(&c, 32, rounds / 4);
	if (!error)
		error = measure_get(&c, rounds);
	if (!error)
		error = measure_scan(&c);
	free(memory);
	if (error)
		fprintf(stderr, "haven-bench: table of %u entries: %s\n", entries,
			error_sentence(error));
	return error ? 1 : 0;
}

static int run(struct bench *b)
{
	int code = run_size(b, 1000);

	if (!code)
		code = run_size(b, 100000);
	return code ? code : run_size(b, 1000000);
}

const struct bench_case bench_table = {"table", "changing mirrored state costs well under 1 us",
				       run};
