/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Copies between private memory and memory that somebody else reads or writes at the same time.
 *
 * Each word is one relaxed atomic access, so a copy that meets a change is mixed but not undefined:
 * whoever copies asks a version or sequence word afterwards whether it counts. Nothing is looked at
 * twice, and the thread sanitizer has nothing to forgive.
 */
#ifndef HAVEN_WORDS_H
#define HAVEN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "atomic.h"

typedef uint64_t shared_word __attribute__((may_alias));

/** Shared to private. Both aligned to 8, `bytes` a multiple of 8. */
static inline void words_load(void *to, const void *from, size_t bytes)
{
	shared_word *t = to;
	const shared_word *f = from;

	for (size_t i = 0; i < bytes / sizeof(*t); i++)
		t[i] = load_relaxed(&f[i]);
}

/** Private to shared. Both aligned to 8, `bytes` a multiple of 8. */
static inline void words_store(void *to, const void *from, size_t bytes)
{
	shared_word *t = to;
	const shared_word *f = from;

	for (size_t i = 0; i < bytes / sizeof(*t); i++)
		store_relaxed(&t[i], f[i]);
}

/** Shared to private, any alignment and length. */
static inline void bytes_load(void *to, const void *from, size_t n)
{
	const uint8_t *f = from;
	uint8_t *t = to;

	for (; n && (n < 8 || (uintptr_t)f % 8 != 0); n--)
		*t++ = load_relaxed(f++);
	for (; n >= 8; n -= 8, t += 8, f += 8) {
		uint64_t w = load_relaxed((const shared_word *)(const void *)f);

		memcpy(t, &w, sizeof(w));
	}
	for (; n; n--)
		*t++ = load_relaxed(f++);
}

/** Private to shared, any alignment and length. */
static inline void bytes_store(void *to, const void *from, size_t n)
{
	const uint8_t *f = from;
	uint8_t *t = to;

	for (; n && (n < 8 || (uintptr_t)t % 8 != 0); n--)
		store_relaxed(t++, *f++);
	for (; n >= 8; n -= 8, t += 8, f += 8) {
		uint64_t w;

		memcpy(&w, f, sizeof(w));
		store_relaxed((shared_word *)(void *)t, w);
	}
	for (; n; n--)
		store_relaxed(t++, *f++);
}

/** True when `n` shared bytes, from a multiple of 8 on, equal private ones. */
static inline bool bytes_equal(const void *shared, const void *mine, size_t n)
{
	const uint8_t *s = shared, *m = mine;
	uint64_t other = 0;

	for (; n >= 8; n -= 8, s += 8, m += 8) {
		uint64_t w;

		memcpy(&w, m, sizeof(w));
		other |= load_relaxed((const shared_word *)(const void *)s) ^ w;
	}
	for (; n; n--)
		other |= (uint64_t)(load_relaxed(s++) ^ *m++);
	return other == 0;
}

#endif
