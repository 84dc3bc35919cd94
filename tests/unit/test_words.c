/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "prng.h"
#include "words.h"

#define ROOM 96u

static uint64_t shared[ROOM / 8], mine[ROOM / 8];
static uint8_t *const there = (uint8_t *)shared, *const here = (uint8_t *)mine;

static void scramble(struct prng *p)
{
	for (unsigned i = 0; i < ROOM; i++) {
		there[i] = (uint8_t)prng_next(p);
		here[i] = (uint8_t)prng_next(p);
	}
}

Test(words, bytes_of_any_place_and_length_are_copied_and_no_others)
{
	struct prng p = {.state = 5};

	for (unsigned from = 0; from < 16; from++) {
		for (unsigned n = 0; n < 70; n++) {
			unsigned to = (unsigned)prng_below(&p, 16);
			uint8_t before[ROOM];

			scramble(&p);
			memcpy(before, here, ROOM);
			bytes_load(here + to, there + from, n);
			cr_assert_eq(memcmp(here + to, there + from, n), 0);
			cr_assert_eq(memcmp(here, before, to), 0);
			cr_assert_eq(memcmp(here + to + n, before + to + n, ROOM - to - n), 0);
			memcpy(before, there, ROOM);
			scramble(&p);
			memcpy(there, before, ROOM);
			bytes_store(there + from, here + to, n);
			cr_assert_eq(memcmp(there + from, here + to, n), 0);
			cr_assert_eq(memcmp(there, before, from), 0);
			cr_assert_eq(memcmp(there + from + n, before + from + n, ROOM - from - n),
				     0);
		}
	}
}

Test(words, equal_means_every_byte)
{
	struct prng p = {.state = 6};

	for (unsigned n = 0; n < 70; n++) {
		unsigned at = (unsigned)prng_below(&p, 8);

		scramble(&p);
		memcpy(here + at, there, n);
		cr_assert(bytes_equal(there, here + at, n));
		for (unsigned i = 0; i < n; i++) {
			here[at + i] ^= (uint8_t)(1u << prng_below(&p, 8));
			cr_assert(!bytes_equal(there, here + at, n), "byte %u of %u", i, n);
			here[at + i] = there[i];
		}
	}
}

Test(words, words_go_both_ways)
{
	struct prng p = {.state = 7};

	scramble(&p);
	words_load(mine, shared, 40);
	cr_assert_eq(memcmp(mine, shared, 40), 0);
	scramble(&p);
	words_store(shared, mine, 40);
	cr_assert_eq(memcmp(mine, shared, 40), 0);
	cr_assert_neq(memcmp(mine, shared, ROOM), 0);
}
