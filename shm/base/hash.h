/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Non-cryptographic hashes for look-up and digests. Keys that an attacker may choose are hashed
 * with a seed that he cannot know.
 */
#ifndef HAVEN_HASH_H
#define HAVEN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Finaliser of splitmix64: every input bit changes about half of the output bits. */
static inline uint64_t hash_mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/** Hash of `n` bytes, eight at a time. */
static inline uint64_t hash_bytes(const void *data, size_t n, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ (0x9e3779b97f4a7c15ull * (n + 1));
	uint64_t v;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = hash_mix64(h ^ v) + 0x9e3779b97f4a7c15ull;
	}
	if (n) {
		v = 0;
		memcpy(&v, p, n);
		h = hash_mix64(h ^ v ^ ((uint64_t)n << 56));
	}
	return hash_mix64(h);
}

#endif
