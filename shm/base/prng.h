/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Seeded generator for simulations, tests and traffic: splitmix64 (Steele, Lea, Flood 2014). Equal
 * seeds give equal sequences on every machine. Not for keys: those come from getrandom().
 */
#ifndef HAVEN_PRNG_H
#define HAVEN_PRNG_H

#include <stdint.h>

struct prng {
	uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
	uint64_t z = (p->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/** Uniform in [0, n); n > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)prng_next(p) * n) >> 64);
}

/** True with probability parts / 1 000 000. */
static inline int prng_chance_ppm(struct prng *p, uint32_t parts)
{
	return prng_below(p, 1000000) < parts;
}

#endif
