/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "pool.h"
#include "prng.h"

Test(nat_pool, a_sequence_stays_in_the_pool_and_never_repeats)
{
	static uint8_t seen[65536];
	struct prng r = {1};

	for (int i = 0; i < 3000; i++) {
		struct pool p = {.first = 1 + (uint32_t)prng_below(&r, 65535)};
		unsigned n = 0;
		struct pool_walk w;
		uint16_t port;

		p.size = 1 + (uint32_t)prng_below(&r, 65536 - p.first);
		memset(seen, 0, sizeof(seen));
		pool_walk_begin(&p, &w, 17, (uint32_t)prng_next(&r), (uint16_t)prng_next(&r));
		while (pool_walk_next(&p, &w, &port)) {
			cr_assert_geq(port, p.first);
			cr_assert_lt(port, p.first + p.size);
			cr_assert_not(seen[port], "port %u twice, pool %u+%u", port, p.first,
				      p.size);
			seen[port] = 1;
			n++;
		}
		cr_assert_eq(n, p.size < POOL_PROBES ? p.size : POOL_PROBES);
	}
}

Test(nat_pool, every_small_pool_is_walked_completely)
{
	for (uint32_t size = 1; size <= POOL_PROBES; size++)
		for (uint32_t host = 0; host < 64; host++) {
			struct pool p = {.first = 1024, .size = size};
			struct pool_walk w;
			uint64_t seen[2] = {0, 0};
			uint16_t port;

			pool_walk_begin(&p, &w, 6, host, (uint16_t)(host * 7));
			while (pool_walk_next(&p, &w, &port))
				seen[(port - 1024) / 64] |= 1ull << (port - 1024) % 64;
			cr_assert_eq((unsigned)__builtin_popcountll(seen[0]) +
					     (unsigned)__builtin_popcountll(seen[1]),
				     size);
		}
}

Test(nat_pool, equal_endpoints_have_equal_sequences)
{
	const struct pool p = {.first = 1024, .size = 64512};
	struct pool_walk a, b;
	uint16_t x, y;

	pool_walk_begin(&p, &a, 17, 0x0a000002, 5000);
	pool_walk_begin(&p, &b, 17, 0x0a000002, 5000);
	while (pool_walk_next(&p, &a, &x)) {
		cr_assert(pool_walk_next(&p, &b, &y));
		cr_assert_eq(x, y);
	}
}

/* First choices are spread as by chance: with n balls in n boxes about 1/e of the boxes stay empty.
 */
Test(nat_pool, first_choices_are_spread)
{
	static uint8_t taken[65536];
	const struct pool p = {.first = 1024, .size = 64512};
	unsigned used = 0;

	for (uint32_t i = 0; i < p.size; i++) {
		struct pool_walk w;
		uint16_t port;

		pool_walk_begin(&p, &w, 6, 0x0a000000 + i / 60000, (uint16_t)(1024 + i % 60000));
		cr_assert(pool_walk_next(&p, &w, &port));
		used += !taken[port];
		taken[port] = 1;
	}
	cr_assert_gt(used, p.size * 61 / 100);
	cr_assert_lt(used, p.size * 66 / 100);
}

/* The figure of the header: at 95 % use nearly every new flow finds a port. */
Test(nat_pool, a_nearly_full_pool_still_serves)
{
	static uint8_t taken[65536];
	const struct pool p = {.first = 1024, .size = 64512};
	unsigned refused = 0, held = 0;
	struct prng r = {2};

	for (unsigned i = 0; held < p.size * 95 / 100; i++) {
		bool found = false;
		struct pool_walk w;
		uint16_t port;

		pool_walk_begin(&p, &w, 17, 0x0a000000 + i, (uint16_t)prng_next(&r));
		while (!found && pool_walk_next(&p, &w, &port))
			found = !taken[port];
		if (found) {
			taken[port] = 1;
			held++;
		}
		refused += !found;
	}
	cr_assert_lt(refused, held / 500, "%u of %u refused", refused, held);
}
