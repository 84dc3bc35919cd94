/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "haven_types.h"

/* An interruption of a busy loop that a person would call a stall. */
#define STALL_NS (100 * NSEC_PER_USEC)

void bench_section(struct bench *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(b->section, sizeof(b->section), format, args);
	va_end(args);
}

static struct bench_result *line_new(struct bench *b, const char *format, va_list args)
{
	struct bench_result *r = &b->result[b->n < BENCH_RESULTS_MAX ? b->n++ : b->n - 1];

	memset(r, 0, sizeof(*r));
	r->unit = b->unit ? b->unit : "ns";
	memcpy(r->section, b->section, sizeof(r->section));
	vsnprintf(r->name, sizeof(r->name), format, args);
	return r;
}

struct bench_result *bench_line(struct bench *b, const char *format, ...)
{
	struct bench_result *r;
	va_list args;

	va_start(args, format);
	r = line_new(b, format, args);
	va_end(args);
	return r;
}

void bench_begin(struct bench *b)
{
	b->samples = 0;
	b->operations = 0;
	b->round_stalls = 0;
}

void bench_add(struct bench *b, uint64_t ns, unsigned operations)
{
	if (b->samples == BENCH_SAMPLES_MAX)
		return;
	b->sample[b->samples++] = (double)ns / operations;
	b->operations += operations;
	b->batch = operations;
}

void bench_stalled(struct bench *b, uint64_t times)
{
	b->round_stalls += times;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *value, unsigned n)
{
	if (n == 0)
		return 0;
	qsort(value, n, sizeof(*value), by_value);
	return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

/* Samples are sorted. */
static double percentile(const struct bench *b, double part)
{
	size_t at = (size_t)(part * (double)b->samples);

	return b->sample[at < b->samples ? at : b->samples - 1] / (b->unit_ns > 0 ? b->unit_ns : 1);
}

/* Median over the rounds of the figure that stands at `offset`. */
static double over_rounds(const struct bench_result *r, size_t offset)
{
	double value[BENCH_ROUNDS_MAX];

	for (unsigned i = 0; i < r->rounds; i++)
		memcpy(&value[i], (const char *)&r->round[i] + offset, sizeof(value[i]));
	return median(value, r->rounds);
}

void bench_round(struct bench *b, struct bench_result *r)
{
	double middle;

	r->n += b->operations;
	r->stalls += b->round_stalls;
	if (!b->samples || r->rounds == BENCH_ROUNDS_MAX)
		return;
	qsort(b->sample, b->samples, sizeof(*b->sample), by_value);
	middle = b->sample[b->samples / 2];
	for (size_t i = b->samples; i-- > 0 && !b->latencies;) {
		if ((b->sample[i] - middle) * b->batch < (double)STALL_NS)
			break;
		r->stalls++;
	}
	r->round[r->rounds++] = (struct bench_figures){
		.p50 = percentile(b, 0.5),
		.p90 = percentile(b, 0.9),
		.p99 = percentile(b, 0.99),
		.p999 = percentile(b, 0.999),
		.max = percentile(b, 1),
	};
	r->all.p50 = over_rounds(r, offsetof(struct bench_figures, p50));
	r->all.p90 = over_rounds(r, offsetof(struct bench_figures, p90));
	r->all.p99 = over_rounds(r, offsetof(struct bench_figures, p99));
	r->all.p999 = over_rounds(r, offsetof(struct bench_figures, p999));
	if (r->round[r->rounds - 1].max > r->all.max)
		r->all.max = r->round[r->rounds - 1].max;
}

struct bench_result *bench_end(struct bench *b, const char *format, ...)
{
	struct bench_result *r;
	va_list args;

	va_start(args, format);
	r = line_new(b, format, args);
	va_end(args);
	bench_round(b, r);
	return r;
}

void bench_compare(struct bench_result *ours, const struct bench_result *peer, double goal)
{
	if (ours->peers < BENCH_PEERS_MAX)
		ours->peer[ours->peers++] = (struct bench_peer){.line = peer, .goal = goal};
}

double bench_ratio(const struct bench_result *ours, const struct bench_peer *peer)
{
	const struct bench_result *theirs = peer->line;
	double value[BENCH_ROUNDS_MAX];

	if (ours->rounds != theirs->rounds)
		return theirs->all.p50 > 0 ? ours->all.p50 / theirs->all.p50 : 0;
	for (unsigned i = 0; i < ours->rounds; i++)
		value[i] = theirs->round[i].p50 > 0 ? ours->round[i].p50 / theirs->round[i].p50 : 0;
	return median(value, ours->rounds);
}

void bench_watch_stalls(struct bench *b, uint64_t ns)
{
	uint64_t begin = clock_now_ns(), last = begin, now;

	for (; (now = clock_now_ns()) - begin < ns; last = now) {
		if (now - last > b->stall_max_ns)
			b->stall_max_ns = now - last;
		b->stalls += now - last > STALL_NS;
	}
}
