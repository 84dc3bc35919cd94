/* SPDX-License-Identifier: BSD-3-Clause */
#include "tune.h"

#include <math.h>
#include <stdlib.h>

#define HOUR_NS 3600e9
#define LIMIT_MIN_NS 10000u
#define LIMIT_MAX_NS 60000000000ull
/** Gaps that the tail is fitted to: enough for a slope, few enough to be the tail. */
#define TAIL_MIN 8u
#define TAIL_MAX 200u
/** One-sided 95 % of the normal distribution. */
#define Z95 1.645
/** Heartbeats within the time to suspect. */
#define BEATS 8u
/** A check and the wire after it must fit in the guard. */
#define GUARD_MIN_NS 20000u

static int longest_first(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

void tune_sort(uint64_t *gap_ns, size_t n)
{
	qsort(gap_ns, n, sizeof(*gap_ns), longest_first);
}

/** How many gaps are longer than the limit. */
static size_t longer_than(const struct tune_gaps *g, uint64_t limit_ns)
{
	size_t low = 0, high = g->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (g->gap_ns[middle] > limit_ns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/** Upper bound of a Poisson mean after `k` events (Wilson and Hilferty, 1931). */
static double bound95(size_t k)
{
	double n = (double)k + 1, root = 1 - 1 / (9 * n) + Z95 / (3 * sqrt(n));

	return n * root * root * root;
}

/** Expected number beyond the limit by the fitted tail, for a limit above the tail's start. */
static double tail_beyond(const struct tune_gaps *g, uint64_t limit_ns)
{
	size_t k = g->n / 4 < TAIL_MAX ? g->n / 4 : TAIL_MAX;
	double sum = 0, start;

	k = k < TAIL_MIN ? (g->n < TAIL_MIN ? g->n : TAIL_MIN) : k;
	if (k < 2)
		return 0;
	start = (double)g->gap_ns[k - 1];
	for (size_t i = 0; i + 1 < k; i++)
		sum += log((double)g->gap_ns[i] / start);
	if (sum <= 0)
		return 0; /* all alike: nothing longer is to be expected */
	return (double)k * pow((double)limit_ns / start, -(double)(k - 1) / sum);
}

struct tune_point tune_at(const struct tune_gaps *g, uint64_t limit_ns)
{
	size_t k = longer_than(g, limit_ns);
	double hours = (double)g->watched_ns / HOUR_NS;
	struct tune_point p = {.extrapolated = k == 0};

	p.at_most = bound95(k) / hours;
	p.per_hour = (k ? (double)k : tail_beyond(g, limit_ns)) / hours;
	return p;
}

static const unsigned steps[] = {1, 2, 3, 5, 7};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

uint64_t tune_round_up(uint64_t ns)
{
	for (uint64_t ten = 1;; ten *= 10) {
		for (unsigned i = 0; i < STEPS; i++) {
			if (steps[i] * ten >= ns)
				return steps[i] * ten;
		}
	}
}

static uint64_t round_down(uint64_t ns)
{
	uint64_t up = tune_round_up(ns);

	/* The step below: at most half of a step up is lost. */
	return up == ns ? ns : tune_round_up(up / 2 + (up / 2 == ns));
}

uint64_t tune_limit(const struct tune_gaps *g, double per_hour)
{
	uint64_t limit = g->floor_ns > LIMIT_MIN_NS ? tune_round_up(g->floor_ns) : LIMIT_MIN_NS;

	while (limit < LIMIT_MAX_NS && tune_at(g, limit).per_hour > per_hour)
		limit = tune_round_up(limit + 1);
	return limit;
}

struct tune_timers tune_propose(const struct tune_gaps *g, double per_hour, uint64_t path_ns)
{
	uint64_t limit = tune_limit(g, per_hour), least;
	struct tune_point p = tune_at(g, limit);
	struct tune_timers t = {.per_hour = p.per_hour, .extrapolated = p.extrapolated};

	t.suspect_ns = tune_round_up((limit + path_ns) * BEATS / (BEATS - 1));
	t.interval_ns = round_down(t.suspect_ns / BEATS);
	t.guard_ns = tune_round_up(t.suspect_ns / 20);
	if (t.guard_ns < GUARD_MIN_NS)
		t.guard_ns = GUARD_MIN_NS;
	/* One renewal may be lost in a gap of that length and the next is in time. */
	least = t.suspect_ns + 2 * t.interval_ns + 2 * t.guard_ns;
	t.lease_ns = tune_round_up(least);
	t.stall_ns = t.suspect_ns / 4;
	return t;
}
