/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "prng.h"

#define TOP_BITS 36u
#define LAST (HISTOGRAM_BUCKETS(TOP_BITS) - 1)

static struct histogram h;
static struct histogram_copy copy;

static void setup(void)
{
	h.words = aligned_alloc(HAVEN_CACHE_LINE, HISTOGRAM_BYTES(TOP_BITS));
	memset(h.words, 0, HISTOGRAM_BYTES(TOP_BITS));
	h.last = LAST;
}

static void teardown(void)
{
	free(h.words);
}

TestSuite(histogram, .init = setup, .fini = teardown);

static void take_copy(void)
{
	histogram_copy(h.words, LAST + 1, &copy);
}

/* ---- buckets --------------------------------------------------------------------------------- */

static void expect_bucket(uint64_t value)
{
	uint32_t i = histogram_index(value);
	uint64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);

	cr_assert_lt(i, HISTOGRAM_BUCKETS_MAX);
	cr_assert(low <= value && value <= high, "%lu in %lu…%lu", value, low, high);
	cr_assert_leq(high - low, low / HISTOGRAM_SUB, "bucket %u is too wide", i);
	cr_assert_eq(histogram_index(low), i);
	cr_assert_eq(histogram_index(high), i);
}

Test(histogram, buckets_follow_each_other_without_gap_or_overlap)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS_MAX; i++) {
		cr_assert_eq(histogram_bucket_low(i), next, "bucket %u", i);
		next = histogram_bucket_high(i) + 1;
	}
	cr_assert_eq(next, 0, "the last one ends with the largest number");
}

Test(histogram, each_value_falls_into_a_bucket_of_bounded_width)
{
	struct prng rng = {.state = 1};

	for (uint64_t v = 0; v < 1 << 18; v++)
		expect_bucket(v);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t power = (uint64_t)1 << bit;

		expect_bucket(power - 1);
		expect_bucket(power);
		expect_bucket(power + 1);
	}
	expect_bucket(UINT64_MAX);
	for (int i = 0; i < 100000; i++)
		expect_bucket(prng_next(&rng) >> prng_below(&rng, 64));
}

Test(histogram, the_range_is_cut_as_its_size_says)
{
	for (unsigned top = HISTOGRAM_TOP_BITS_MIN; top <= HISTOGRAM_TOP_BITS_MAX; top++) {
		uint64_t largest = top == 64 ? UINT64_MAX : ((uint64_t)1 << top) - 1;

		cr_assert_eq(histogram_index(largest), HISTOGRAM_BUCKETS(top) - 1);
		cr_assert_eq(HISTOGRAM_BYTES(top) % HAVEN_CACHE_LINE, 0);
	}
	cr_assert_eq(HISTOGRAM_BYTES(36), 8192 + 64);
}

/* ---- quantiles ------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/** Values of very different shapes, all in the range. */
static uint64_t draw(struct prng *rng, unsigned shape)
{
	switch (shape) {
	case 0:
		return prng_below(rng, 100);
	case 1:
		return 1000 + prng_below(rng, 1000000);
	case 2: /* each magnitude as often */
		return prng_next(rng) >> (64 - TOP_BITS + prng_below(rng, TOP_BITS));
	case 3: /* two heaps far from each other */
		return prng_below(rng, 10) ? 200 + prng_below(rng, 20)
					   : 40000000 + prng_below(rng, 9999);
	case 4:
		return 123456789;
	default: /* around powers of two */
		return ((uint64_t)1 << prng_below(rng, TOP_BITS)) - prng_below(rng, 2);
	}
}

static void expect_quantile(const uint64_t *sorted, uint64_t n, uint32_t ppm)
{
	uint64_t rank = (n * ppm + 999999) / 1000000, told = histogram_quantile(&copy, ppm);
	uint64_t exact = sorted[rank ? rank - 1 : 0];

	cr_assert_geq(told, exact, "n %lu ppm %u: told %lu, is %lu", n, ppm, told, exact);
	cr_assert_leq(told - exact, exact / HISTOGRAM_SUB, "n %lu ppm %u: told %lu, is %lu", n, ppm,
		      told, exact);
	cr_assert_leq(told, sorted[n - 1], "never above the maximum");
}

Test(histogram, quantiles_are_true_within_the_promised_error, .timeout = 60)
{
	static const uint32_t known[] = {0,      1,      1000,   500000, 900000,
					 990000, 999000, 999999, 1000000};
	static uint64_t value[3000];
	struct prng rng = {.state = 7};

	for (int round = 0; round < 600; round++) {
		uint64_t n = 1 + prng_below(&rng, HISTOGRAM_SUB * (round % 90 + 1)), sum = 0;

		memset(h.words, 0, HISTOGRAM_BYTES(TOP_BITS));
		for (uint64_t i = 0; i < n; i++) {
			value[i] = draw(&rng, (unsigned)round % 6);
			histogram_add(&h, value[i]);
			sum += value[i];
		}
		take_copy();
		qsort(value, n, sizeof(value[0]), by_number);
		cr_assert_eq(copy.count, n);
		cr_assert_eq(copy.max, value[n - 1]);
		cr_assert_eq(histogram_mean(&copy), sum / n);
		cr_assert_null(histogram_contradiction(&copy));
		for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			expect_quantile(value, n, known[i]);
		for (int i = 0; i < 20; i++)
			expect_quantile(value, n, (uint32_t)prng_below(&rng, 1000001));
	}
}

Test(histogram, no_values_give_zeros)
{
	take_copy();
	cr_assert_eq(copy.count, 0);
	cr_assert_eq(histogram_quantile(&copy, 500000), 0);
	cr_assert_eq(histogram_mean(&copy), 0);
	cr_assert_null(histogram_contradiction(&copy));
}

Test(histogram, small_values_are_exact)
{
	for (uint64_t v = 0; v < 2 * HISTOGRAM_SUB; v++)
		histogram_add(&h, v);
	take_copy();
	for (uint64_t v = 0; v < 2 * HISTOGRAM_SUB; v++)
		cr_assert_eq(histogram_quantile(
				     &copy, (uint32_t)((v + 1) * 1000000 / (2 * HISTOGRAM_SUB))),
			     v);
}

Test(histogram, what_is_beyond_the_range_is_told_as_the_maximum)
{
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 5);
	histogram_add(&h, (uint64_t)1 << TOP_BITS);
	histogram_add(&h, (uint64_t)1 << 60);
	take_copy();
	cr_assert_eq(copy.bucket[LAST], 2);
	cr_assert_eq(histogram_quantile(&copy, 800000), 5);
	cr_assert_eq(histogram_quantile(&copy, 850000), (uint64_t)1 << 60);
	cr_assert_null(histogram_contradiction(&copy));
}

/* ---- readers beside the writer --------------------------------------------------------------- */

static uint32_t done;

static void *write_values(void *argument)
{
	struct prng rng = {.state = 3};

	(void)argument;
	for (int i = 0; i < 3000000; i++)
		histogram_add(&h, draw(&rng, 2));
	store_release(&done, 1);
	return NULL;
}

Test(histogram, a_copy_taken_at_any_time_contradicts_itself_nowhere, .timeout = 60)
{
	uint64_t before = 0, copies = 0;
	pthread_t writer;

	cr_assert_eq(pthread_create(&writer, NULL, write_values, NULL), 0);
	while (!load_acquire(&done)) {
		take_copy();
		cr_assert_null(histogram_contradiction(&copy), "%s",
			       histogram_contradiction(&copy));
		cr_assert_geq(copy.count, before);
		cr_assert_leq(histogram_quantile(&copy, 1000000), copy.max);
		before = copy.count;
		copies++;
	}
	pthread_join(writer, NULL);
	take_copy();
	cr_assert_eq(copy.count, 3000000);
	cr_assert_gt(copies, 0);
}

Test(histogram, a_writer_killed_between_two_stores_leaves_no_contradiction)
{
	histogram_add(&h, 1000);
	h.words->max = 77777; /* it was about to count 77777 */
	take_copy();
	cr_assert_null(histogram_contradiction(&copy));
	cr_assert_eq(copy.count, 1);
	h.words->sum += 77777;
	take_copy();
	cr_assert_null(histogram_contradiction(&copy));
	cr_assert_leq(histogram_quantile(&copy, 1000000), 1000 + 1000 / HISTOGRAM_SUB);
}

Test(histogram, what_no_writer_leaves_is_found)
{
	for (int i = 0; i < 100; i++)
		histogram_add(&h, 1000 + (uint64_t)i);
	take_copy();
	cr_assert_null(histogram_contradiction(&copy));
	h.words->bucket[histogram_index(5000)]++;
	take_copy();
	cr_assert_not_null(histogram_contradiction(&copy), "a value above the maximum");
	h.words->bucket[histogram_index(5000)]--;
	h.words->bucket[histogram_index(1000)] += 50;
	take_copy();
	cr_assert_not_null(histogram_contradiction(&copy), "more values than the sum is of");
	h.words->bucket[histogram_index(1000)] -= 50;
	h.words->sum += 1 << 20;
	take_copy();
	cr_assert_not_null(histogram_contradiction(&copy), "a sum of more values");
}

Test(histogram, any_content_gives_numbers)
{
	struct prng rng = {.state = 9};

	for (int round = 0; round < 300; round++) {
		for (uint32_t i = 0; i <= LAST; i++)
			h.words->bucket[i] = prng_next(&rng) >> prng_below(&rng, 64);
		h.words->max = prng_next(&rng);
		h.words->sum = prng_next(&rng);
		take_copy();
		for (uint32_t ppm = 0; ppm <= 1000000; ppm += 100000)
			cr_assert_leq(histogram_quantile(&copy, ppm), copy.max);
		histogram_contradiction(&copy);
		histogram_mean(&copy);
	}
}
