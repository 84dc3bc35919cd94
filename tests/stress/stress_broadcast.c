/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The broadcast ring: one writer, three readers of different pace. Whatever they do, what a reader
 * got and what he was told to have missed add up to what was written.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "broadcast.h"
#include "hash.h"
#include "haven_assert.h"
#include "prng.h"
#include "stress.h"

#define READERS 3u
#define WORDS 9u

static const struct broadcast_shape shape = {.slots = 16, .record_bytes = WORDS * sizeof(uint64_t)};
static struct broadcast *ring;
static struct {
	_Alignas(HAVEN_CACHE_LINE) uint64_t read, missed, first, last;
} tally[READERS];

static void record_make(uint64_t seq, uint64_t *record)
{
	for (unsigned k = 0; k < WORDS; k++)
		record[k] = hash_mix64(seq * WORDS + k);
}

static void take(struct stress_thread *t, uint64_t *position)
{
	uint64_t got[WORDS], want[WORDS];
	uint64_t seq = broadcast_read(ring, &shape, position, got, &tally[t->number].missed);

	if (!seq)
		return;
	record_make(seq, want);
	for (unsigned k = 0; k < WORDS; k++) {
		if (got[k] != want[k])
			stress_fail(t->stress, "record %llu is torn", (unsigned long long)seq);
	}
	if (tally[t->number].read++ == 0)
		tally[t->number].first = seq;
	tally[t->number].last = seq;
	if (tally[t->number].read + tally[t->number].missed != seq - tally[t->number].first + 1)
		stress_fail(t->stress, "at record %llu: read %llu, missed %llu, began with %llu",
			    (unsigned long long)seq, (unsigned long long)tally[t->number].read,
			    (unsigned long long)tally[t->number].missed,
			    (unsigned long long)tally[t->number].first);
}

static void reader(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed + t->number};
	uint64_t position = 0;
	bool last;

	do {
		last = stress_stopped(t->stress);
		for (uint64_t n = last ? shape.slots + 1 : prng_below(&random, 8); n; n--)
			take(t, &position);
		if (prng_below(&random, 4) < t->number)
			sched_yield();
		stress_round(t);
	} while (!last);
}

/** Planted: a second writer, where the ring allows one. */
static void intruder(struct stress_thread *t)
{
	while (!stress_stopped(t->stress)) {
		uint64_t record[WORDS];

		record_make(load_relaxed(&ring->head) + 1, record);
		broadcast_publish(ring, &shape, record);
		stress_round(t);
	}
}

static void run(struct stress *s)
{
	void (*const bodies[])(struct stress_thread *) = {reader, reader, reader, intruder};
	unsigned n = stress_planted(s, "two-writers") ? READERS + 1 : READERS;
	struct stress_thread threads[READERS + 1];
	struct prng random = {.state = s->seed};
	uint64_t written = 0;

	ring = aligned_alloc(HAVEN_CACHE_LINE, broadcast_bytes(&shape));
	HAVEN_ASSERT(ring != NULL);
	broadcast_init(ring, &shape);
	stress_start(s, threads, n, bodies);
	stress_begin(s);
	while (stress_more(s, written, threads, n)) {
		for (uint64_t burst = prng_below(&random, 6); burst; burst--) {
			uint64_t record[WORDS];

			record_make(written + 1, record);
			if (broadcast_publish(ring, &shape, record) != ++written)
				stress_fail(s, "record %llu has another number",
					    (unsigned long long)written);
		}
		if (prng_below(&random, 8) == 0)
			sched_yield();
	}
	stress_finish(s, threads, n);
	printf("%llu records;", (unsigned long long)written);
	for (unsigned i = 0; i < READERS; i++) {
		printf(" %llu read + %llu missed;", (unsigned long long)tally[i].read,
		       (unsigned long long)tally[i].missed);
		if (tally[i].last != written)
			stress_fail(s, "reader %u ended at %llu of %llu", i,
				    (unsigned long long)tally[i].last, (unsigned long long)written);
	}
	putchar(' ');
	free(ring);
}

const struct stress_case stress_broadcast_case = {"broadcast", "two-writers", run};
