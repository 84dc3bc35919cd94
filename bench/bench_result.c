/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"

/* An interruption of a busy loop that a person would call a stall. */
#define STALL_NS (100 * NSEC_PER_USEC)

void bench_begin(struct bench *b)
{
	b->samples = 0;
	b->operations = 0;
}

void bench_add(struct bench *b, uint64_t ns, unsigned operations)
{
	if (b->samples == BENCH_SAMPLES_MAX)
		return;
	b->sample[b->samples++] = (double)ns / operations;
	b->operations += operations;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double percentile(const struct bench *b, double part)
{
	size_t at = (size_t)(part * (double)b->samples);

	return b->sample[at < b->samples ? at : b->samples - 1];
}

struct bench_result *bench_end(struct bench *b, const char *format, ...)
{
	struct bench_result *r = &b->result[b->n < BENCH_RESULTS_MAX ? b->n++ : b->n - 1];
	va_list args;

	*r = (struct bench_result){.unit = "ns", .n = b->operations};
	va_start(args, format);
	vsnprintf(r->name, sizeof(r->name), format, args);
	va_end(args);
	if (!b->samples)
		return r;
	qsort(b->sample, b->samples, sizeof(*b->sample), by_value);
	r->p50 = percentile(b, 0.5);
	r->p90 = percentile(b, 0.9);
	r->p99 = percentile(b, 0.99);
	r->p999 = percentile(b, 0.999);
	r->max = b->sample[b->samples - 1];
	return r;
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

static json_t *result_json(const struct bench_result *r)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f}", "name", r->name, "unit",
			      r->unit, "n", (json_int_t)r->n, "p50", r->p50, "p90", r->p90, "p99",
			      r->p99, "p999", r->p999, "max", r->max);

	if (r->peer > 0) {
		json_object_set_new(o, "peer", json_real(r->peer));
		json_object_set_new(o, "peer_name", json_string(r->peer_name));
		json_object_set_new(o, "ratio", json_real(r->p50 / r->peer));
	}
	if (r->goal > 0) {
		json_object_set_new(o, "goal", json_real(r->goal));
		json_object_set_new(o, "met", json_boolean(r->p50 <= r->goal));
	}
	return o;
}

json_t *bench_json(const struct bench *b, json_t *environment)
{
	json_t *results = json_array();

	for (unsigned i = 0; i < b->n; i++)
		json_array_append_new(results, result_json(&b->result[i]));
	json_object_set_new(environment, "stall_max_ns", json_integer((json_int_t)b->stall_max_ns));
	json_object_set_new(environment, "stalls_over_100us", json_integer((json_int_t)b->stalls));
	return json_pack("{s:s, s:s, s:o, s:o}", "schema", "bench/1", "case", b->case_name,
			 "environment", environment, "results", results);
}

void bench_print(const struct bench *b)
{
	printf("%-34s %10s %8s %8s %8s %8s %10s\n", b->case_name, "n", "p50", "p90", "p99", "p99.9",
	       "max");
	for (unsigned i = 0; i < b->n; i++) {
		const struct bench_result *r = &b->result[i];

		printf("%-34s %10llu %8.1f %8.1f %8.1f %8.1f %10.1f", r->name,
		       (unsigned long long)r->n, r->p50, r->p90, r->p99, r->p999, r->max);
		if (r->peer > 0)
			printf("  %s %.1f, ratio %.2f", r->peer_name, r->peer, r->p50 / r->peer);
		putchar('\n');
	}
	printf("in ns per operation; a busy loop on this machine was stopped %llu times for over "
	       "100 us, at most %.0f us\n",
	       (unsigned long long)b->stalls, (double)b->stall_max_ns / 1e3);
}
