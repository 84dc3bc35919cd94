/* SPDX-License-Identifier: BSD-3-Clause */
#include "histogram.h"

#include "haven_assert.h"

#define PPM 1000000u

HAVEN_STATIC_ASSERT(sizeof(struct histogram_words) == HAVEN_CACHE_LINE, "one line, then buckets");

/** Saturates: what stands in a broken file must not wrap around. */
static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void histogram_copy(const struct histogram_words *words, uint32_t buckets,
		    struct histogram_copy *out)
{
	HAVEN_ASSERT(buckets > HISTOGRAM_SUB && buckets <= HISTOGRAM_BUCKETS_MAX);
	out->sum_before = load_acquire(&words->sum); /* N2 */
	out->count = 0;
	out->buckets = buckets;
	for (uint32_t i = 0; i < buckets; i++) {
		out->bucket[i] = load_acquire(&words->bucket[i]); /* N1 */
		out->count = add(out->count, out->bucket[i]);
	}
	out->sum = load_relaxed(&words->sum);
	out->max = load_relaxed(&words->max);
}

uint64_t histogram_bucket_low(uint32_t bucket)
{
	uint32_t shift = bucket < 2 * HISTOGRAM_SUB ? 0 : bucket / HISTOGRAM_SUB - 1;

	return (uint64_t)(bucket - shift * HISTOGRAM_SUB) << shift;
}

uint64_t histogram_bucket_high(uint32_t bucket)
{
	uint32_t shift = bucket < 2 * HISTOGRAM_SUB ? 0 : bucket / HISTOGRAM_SUB - 1;

	return histogram_bucket_low(bucket) + (((uint64_t)1 << shift) - 1);
}

uint64_t histogram_quantile(const struct histogram_copy *copy, uint32_t ppm)
{
	unsigned __int128 wanted = (unsigned __int128)copy->count * (ppm < PPM ? ppm : PPM);
	uint64_t rank = (uint64_t)((wanted + PPM - 1) / PPM), seen = 0, high;
	uint32_t i = 0;

	if (copy->count == 0)
		return 0;
	if (rank == 0)
		rank = 1;
	for (; i < copy->buckets - 1; i++) {
		seen = add(seen, copy->bucket[i]);
		if (seen >= rank)
			break;
	}
	high = histogram_bucket_high(i);
	/* The last bucket holds what is beyond the range, too. */
	return i == copy->buckets - 1 || high > copy->max ? copy->max : high;
}

uint64_t histogram_mean(const struct histogram_copy *copy)
{
	return copy->count ? copy->sum / copy->count : 0;
}

const char *histogram_contradiction(const struct histogram_copy *copy)
{
	unsigned __int128 low = 0, high = copy->max;
	uint32_t last = copy->buckets - 1;

	for (uint32_t i = 0; i <= last; i++) {
		if (copy->bucket[i] && histogram_bucket_low(i) > copy->max)
			return "it has values above its maximum";
		low += (unsigned __int128)copy->bucket[i] * histogram_bucket_low(i);
		high += (unsigned __int128)copy->bucket[i] * histogram_bucket_high(i);
	}
	/* Sums beyond 2^64 have wrapped around, and the last bucket has no upper bound. */
	if (high >> 64 || copy->bucket[last])
		return NULL;
	if (low > copy->sum || high < copy->sum_before)
		return "its sum is not that of its values";
	return NULL;
}
