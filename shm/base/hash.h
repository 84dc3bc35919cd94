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

__extension__ typedef unsigned __int128 hash_wide;

/** Both halves of the product, folded: one multiplication mixes 128 bits into 64. */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	hash_wide p = (hash_wide)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/**
 * Hash of four words (a name of 32 bytes, padded with zeros): two rounds of multiplication, about
 * 4 ns. The constants are digits of pi, so that no word of text makes a factor 0.
 */
static inline uint64_t hash_words4(const uint64_t w[4], uint64_t seed)
{
	uint64_t a = hash_fold(w[0] ^ 0x243f6a8885a308d3ull, w[1] ^ 0x13198a2e03707344ull ^ seed);
	uint64_t b = hash_fold(w[2] ^ 0xa4093822299f31d0ull, w[3] ^ 0x082efa98ec4e6c89ull ^ seed);

	return hash_fold(a ^ 0x452821e638d01377ull, b ^ 0xbe5466cf34e90c6cull);
}

#endif
