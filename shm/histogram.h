/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Log-linear histogram in shared memory: one writer, readers in any process at any time, the
 * writer dead or alive. The idea is that of HdrHistogram (Gil Tene): each power of two is cut into
 * the same number of equal buckets, here 32, so that the relative width of a bucket is bounded.
 *
 *     head line (sum, max) | bucket[0] | bucket[1] | …
 *
 * Range   0 … 2^top_bits - 1; values below 32 have a bucket each. What is larger is counted in the
 *         last bucket and told as the maximum, which is exact at any size.
 * Error   a quantile is told as the largest value of its bucket, never above the maximum:
 *         true <= told <= true * (1 + 1/32), for values in the range.
 * Size    (top_bits - 4) * 256 bytes and a line: 8 KiB for nanoseconds up to 68 s (top_bits 36).
 * Cost    histogram_add(): 24 instructions on x86-64, one branch that is taken for a new maximum
 *         only, two lines that the writer owns. No call, no lock, no fence.
 *
 * The writer uses plain stores, in the order maximum, sum, bucket. A reader copies bucket by
 * bucket, and the number of values is the sum over his copy; so every quantile is that of values
 * that were really added, though values added meanwhile may be in or not, and none lies above the
 * maximum (N1). A writer killed in between leaves one value in maximum or sum that is not counted.
 * The words are hostile input to readers: any content gives numbers in bounded work.
 */
#ifndef HAVEN_HISTOGRAM_H
#define HAVEN_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "atomic.h"

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_SUB (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_TOP_BITS_MIN 6
#define HISTOGRAM_TOP_BITS_MAX 64
#define HISTOGRAM_BUCKETS(top_bits) (((top_bits)-HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)
#define HISTOGRAM_BUCKETS_MAX HISTOGRAM_BUCKETS(HISTOGRAM_TOP_BITS_MAX)
/** Bytes of a histogram, whole cache lines. */
#define HISTOGRAM_BYTES(top_bits) (HAVEN_CACHE_LINE + 8u * HISTOGRAM_BUCKETS(top_bits))

/** As it stands in shared memory, zeroed at first. Writer: one thread. Readers: everybody. */
struct histogram_words {
	uint64_t sum; /**< of all values, modulo 2^64; stored after the buckets of earlier values
			 (N2) */
	uint64_t max; /**< of all values */
	uint64_t pad[6];
	uint64_t bucket[];
};

/** The writer's private handle. */
struct histogram {
	struct histogram_words *words;
	uint32_t last; /**< number of the last bucket */
};

/** Number of a value's bucket, in the widest range. */
static inline uint32_t histogram_index(uint64_t value)
{
	uint32_t shift = 63 - HISTOGRAM_SUB_BITS - (uint32_t)__builtin_clzll(value | HISTOGRAM_SUB);

	return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/** Writer: count a value. */
static inline void histogram_add(const struct histogram *h, uint64_t value)
{
	uint32_t i = histogram_index(value);
	uint64_t *bucket = &h->words->bucket[i < h->last ? i : h->last];

	if (value > load_relaxed(&h->words->max))
		store_relaxed(&h->words->max, value);
	store_release(&h->words->sum, load_relaxed(&h->words->sum) + value); /* N2 */
	store_release(bucket, load_relaxed(bucket) + 1);                     /* N1 */
}

/** A reader's private copy. */
struct histogram_copy {
	uint64_t count, max;
	uint64_t sum_before, sum; /**< before and after the buckets were copied */
	uint32_t buckets;
	uint64_t bucket[HISTOGRAM_BUCKETS_MAX];
};

/** Copy `buckets` (at most HISTOGRAM_BUCKETS_MAX) buckets and what goes with them. */
void histogram_copy(const struct histogram_words *words, uint32_t buckets,
		    struct histogram_copy *out);
/** Value below which `ppm` (0…1000000) parts per million of the values lie, told as described
 *  above; 0 when there are no values. */
uint64_t histogram_quantile(const struct histogram_copy *copy, uint32_t ppm);
/** Mean of the values, 0 when there are none. */
uint64_t histogram_mean(const struct histogram_copy *copy);
/** Smallest and largest value of a bucket of the widest range. */
uint64_t histogram_bucket_low(uint32_t bucket);
uint64_t histogram_bucket_high(uint32_t bucket);
/** NULL, or what in a copy no writer can have left, living or killed. */
const char *histogram_contradiction(const struct histogram_copy *copy);

#endif
