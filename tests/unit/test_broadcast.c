/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broadcast.h"
#include "prng.h"

#define SLOTS 8u
#define WORDS 5u
#define STRIDE 64u

static const struct broadcast_shape shape = {.slots = SLOTS,
					     .record_bytes = WORDS * sizeof(uint64_t)};
static struct broadcast *ring;

static void setup(void)
{
	ring = aligned_alloc(64, broadcast_bytes(&shape));
	memset(ring, 0xa5, broadcast_bytes(&shape));
	broadcast_init(ring, &shape);
}

static void teardown(void)
{
	free(ring);
}

TestSuite(broadcast, .init = setup, .fini = teardown);

static uint64_t *seq_of(uint64_t seq)
{
	return (uint64_t *)(void *)((uint8_t *)(ring + 1) + seq % SLOTS * STRIDE);
}

static void publish(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint64_t n = ring->head + 1, record[WORDS];

		for (unsigned k = 0; k < WORDS; k++)
			record[k] = n * 1000 + k;
		cr_assert_eq(broadcast_publish(ring, &shape, record), n);
	}
}

static bool whole(const uint64_t *record, uint64_t seq)
{
	for (unsigned k = 0; k < WORDS; k++)
		if (record[k] != seq * 1000 + k)
			return false;
	return true;
}

Test(broadcast, takes_a_line_and_whole_lines_per_record)
{
	const struct broadcast_shape wide = {.slots = 4, .record_bytes = 64};

	cr_assert_eq(broadcast_bytes(&shape), 64 + SLOTS * 64);
	cr_assert_eq(broadcast_bytes(&wide), 64 + 4 * 128);
}

Test(broadcast, gives_nothing_before_the_first_record)
{
	uint64_t position = 0, missed = 0, out[WORDS];

	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 0);
	cr_assert_eq(position, 0);
	cr_assert_eq(missed, 0);
}

Test(broadcast, gives_each_reader_every_record_once_and_in_order)
{
	uint64_t a = 0, b = 0, missed = 0, out[WORDS];

	publish(3);
	for (uint64_t n = 1; n <= 3; n++) {
		cr_assert_eq(broadcast_read(ring, &shape, &a, out, &missed), n);
		cr_assert(whole(out, n));
	}
	cr_assert_eq(broadcast_read(ring, &shape, &a, out, &missed), 0);
	cr_assert_eq(broadcast_read(ring, &shape, &b, out, &missed), 1);
	cr_assert_eq(missed, 0);
}

Test(broadcast, a_newcomer_starts_at_the_oldest_and_has_missed_nothing)
{
	uint64_t position = 0, missed = 0, out[WORDS];

	publish(20);
	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 20 - SLOTS + 1);
	cr_assert_eq(missed, 0);
}

Test(broadcast, a_writer_that_died_inside_a_record_hides_only_the_record_it_replaced)
{
	uint64_t position = 0, missed = 0, out[WORDS];

	publish(SLOTS + 1); /* slot 1 holds 9, slot 2 holds 2 */
	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 2);
	store_relaxed(seq_of(3), 0); /* he was about to write 11 there */
	for (uint64_t n = 4; n <= SLOTS + 1; n++)
		cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), n);
	cr_assert_eq(missed, 1);
	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 0);
}

Test(broadcast, the_last_record_lost_is_counted_though_none_follows)
{
	uint64_t position = 0, missed = 0, out[WORDS];

	publish(2);
	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 1);
	store_relaxed(seq_of(2), 0);
	cr_assert_eq(broadcast_read(ring, &shape, &position, out, &missed), 0);
	cr_assert_eq(missed, 1);
	cr_assert_eq(position, 2);
}

/* Whatever a writer and two readers do in whatever order: what was read and what was missed add up
 * to what was written. */
Test(broadcast, read_and_missed_add_up_whatever_the_order)
{
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct prng random = {.state = seed};
		struct {
			uint64_t position, missed, read, first;
		} reader[2] = {{0}};

		broadcast_init(ring, &shape);
		for (unsigned step = 0; step < 200; step++) {
			unsigned what = (unsigned)prng_below(&random, 4);
			uint64_t out[WORDS], seq;

			if (what >= 2) {
				publish(prng_below(&random, what == 2 ? 3 : 2 * SLOTS));
				continue;
			}
			seq = broadcast_read(ring, &shape, &reader[what].position, out,
					     &reader[what].missed);
			if (!seq)
				continue;
			cr_assert(whole(out, seq), "seed %lu", seed);
			reader[what].first = reader[what].first ? reader[what].first : seq;
			reader[what].read++;
			cr_assert_eq(reader[what].read + reader[what].missed,
				     seq - reader[what].first + 1, "seed %lu", seed);
		}
	}
}

Test(broadcast, a_ring_of_garbage_ends)
{
	struct prng random = {.state = 7};

	for (unsigned round = 0; round < 2000; round++) {
		uint64_t *word = (uint64_t *)(void *)ring, position = 0, missed = 0, out[WORDS];

		for (size_t i = 0; i < broadcast_bytes(&shape) / 8; i++)
			word[i] = prng_below(&random, 3) ? prng_below(&random, 20)
							 : prng_next(&random);
		position = prng_below(&random, 2) ? prng_below(&random, 20) : prng_next(&random);
		for (unsigned i = 0; i < 3 * SLOTS; i++) {
			uint64_t before = position;
			uint64_t seq = broadcast_read(ring, &shape, &position, out, &missed);

			cr_assert(seq == 0 || (seq == position && seq > before));
		}
	}
}
