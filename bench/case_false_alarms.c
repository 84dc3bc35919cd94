/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * How often a living peer would be suspected, against the time-out that suspects it. A small
 * cluster runs undisturbed; each node keeps the histogram of the silences that its judge saw
 * between two beats of a peer (counter `peer_silence`), its own stalls taken off as the judge takes
 * them off. A silence longer than a time-out is a suspicion under that time-out: one run gives the
 * whole curve.
 *
 * The time-outs in force are long, so that no verdict disturbs the run.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "counters.h"
#include "haven_assert.h"
#include "histogram.h"
#include "world.h"

#define SECONDS 120u
#define SECONDS_QUICK 2u
#define COUNTER "peer_silence"
#define TIMERS(interval)                                                                           \
	"interval: " interval ", suspect: 400ms, lease: 800ms, guard: 1ms, rate_ppm: 200, "        \
	"stall: 50us, stuck: 5s, mirror_timeout: 2s"
/* With nothing seen in a time, fewer than this many are to be expected in it, with 95 %. */
#define NONE_SEEN 3.0

static const uint64_t timeout_us[] = {40,   60,   80,   100,  150,   200,   300,   500,   1000,
				      2000, 3000, 5000, 7000, 10000, 20000, 50000, 100000};
#define TIMEOUTS HAVEN_ARRAY_LEN(timeout_us)

struct alarms {
	struct bench *bench;
	struct world world;
	double hours; /**< watched, times the directions between nodes */
	uint64_t beats;
	uint64_t over[TIMEOUTS]; /**< silences of all directions longer than this */
	uint64_t max_ns;
};

/** Silences that a node has seen since it started. Returns 0 or 1 after telling why. */
static int silences(struct alarms *f, unsigned node, struct histogram_copy *out)
{
	static struct registry_status alive;
	const struct registry *r = &f->world.registry[node];
	struct counters_view view;
	struct counter_entry entry;
	struct error_text error;

	if (world_status(&f->world, node, &alive) &&
	    counters_open(&view, r->counters, r->shape.counters_bytes, &error) == 0) {
		for (uint32_t i = 0; i < view.n; i++) {
			if (counters_get(&view, i, &entry) || strcmp(entry.name, COUNTER) != 0)
				continue;
			counters_histogram(&view, &entry, out);
			return 0;
		}
	}
	fputs("haven-bench: a node does not show its counter " COUNTER "\n", stderr);
	return 1;
}

static void take(struct alarms *f, const struct histogram_copy *from,
		 const struct histogram_copy *to)
{
	for (uint32_t k = 0; k < to->buckets; k++) {
		uint64_t n = to->bucket[k] - from->bucket[k];

		f->beats += n;
		if (n)
			f->max_ns = histogram_bucket_high(k);
		/* A bucket across a time-out counts as beyond it. */
		for (unsigned i = 0; i < TIMEOUTS; i++) {
			if (histogram_bucket_high(k) > timeout_us[i] * NSEC_PER_USEC)
				f->over[i] += n;
		}
	}
}

static int watch(struct alarms *f, unsigned seconds)
{
	static struct histogram_copy before[WORLD_NODES], after;
	uint64_t from, until;
	int code = world_whole(&f->world) < 0;

	for (unsigned i = 0; i < WORLD_NODES && !code; i++)
		code = silences(f, i, &before[i]);
	from = clock_now_ns();
	if (!code)
		sleep(seconds);
	until = clock_now_ns();
	for (unsigned i = 0; i < WORLD_NODES && !code; i++) {
		code = silences(f, i, &after);
		if (!code)
			take(f, &before[i], &after);
	}
	f->hours =
		(double)(until - from) / (3600.0 * NSEC_PER_SEC) * WORLD_NODES * (WORLD_NODES - 1);
	return code;
}

static void lines(struct alarms *f)
{
	f->bench->unit = "/h";
	f->bench->unit_ns = 1;
	f->bench->latencies = true;
	bench_section(f->bench, "suspicions of one living peer per hour, by time-out");
	for (unsigned i = 0; i < TIMEOUTS; i++) {
		double n = f->over[i] ? (double)f->over[i] : NONE_SEEN;
		struct bench_result *r;

		bench_begin(f->bench);
		bench_add(f->bench, (uint64_t)(n / f->hours + 0.5), 1);
		r = bench_end(f->bench, "%llu us%s", (unsigned long long)timeout_us[i],
			      f->over[i] ? "" : " (none seen: fewer than)");
		r->n = f->beats;
	}
	printf("%llu beats in %.3f peer hours, longest silence %.0f us; what was not seen comes "
	       "fewer than %.0f times an hour, with 95 %%\n",
	       (unsigned long long)f->beats, f->hours, (double)f->max_ns / 1e3,
	       NONE_SEEN / f->hours);
}

static int picture(const struct alarms *f, const char *file, const char *interval)
{
	FILE *to = strchr(file, '\'') ? NULL : popen("gnuplot", "w");

	if (!to) {
		fputs("haven-bench: no picture: gnuplot does not start, or a quote in the name\n",
		      stderr);
		return 1;
	}
	fprintf(to,
		"set terminal pngcairo size 900,560\nset output '%s'\nset logscale xy\nset grid\n"
		"set title 'Suspicions of one living peer, beats every %s, %.3f peer hours'\n"
		"set xlabel 'time-out (us)'\nset ylabel 'per hour'\nset key top right\n"
		"plot '-' using 1:2 with linespoints pt 7 title 'seen', '-' using 1:2 with points "
		"pt 11 "
		"title 'none seen: below this with 95%%'\n",
		file, interval, f->hours);
	for (unsigned seen = 2; seen-- > 0;) {
		for (unsigned i = 0; i < TIMEOUTS; i++) {
			if ((f->over[i] > 0) == (seen == 1))
				fprintf(to, "%llu %g\n", (unsigned long long)timeout_us[i],
					(seen ? (double)f->over[i] : NONE_SEEN) / f->hours);
		}
		fputs("e\n", to);
	}
	if (pclose(to) == 0)
		return 0;
	fprintf(stderr, "haven-bench: gnuplot made no picture %s; is it installed?\n", file);
	return 1;
}

static int run(struct bench *b)
{
	static struct alarms f;
	/* Tried out beside other work, and without the right to real-time priority. */
	const struct world_options options = {.timers = b->quick ? TIMERS("200us") : TIMERS("20us"),
					      .turns = !b->quick};
	int code;

	memset(&f, 0, sizeof(f));
	f.bench = b;
	code = world_open(&f.world, &options);
	if (!code)
		code = watch(&f, b->quick ? SECONDS_QUICK : SECONDS);
	world_close(&f.world);
	if (code)
		return code;
	lines(&f);
	return b->picture ? picture(&f, b->picture, b->quick ? "200 us" : "20 us") : 0;
}

const struct bench_case bench_false_alarms = {
	"false-alarms", "how often a living peer is suspected, by time-out", run};
