/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * How fast state reaches the standby: values of 64 bytes, one lane, from an application on node a
 * to the replica in its twin on node b.
 *
 *   port     the same memif port without Haven: full frames one way, a short one there and back
 *   async    commits of 1, 32 and 128 records, as fast as the lane takes them
 *   sync     the same sizes, each commit waited for until it is acknowledged
 *   dirty    mode `dirty`: puts of the latest value, pushed as the lane has room
 *
 * Node and application of each side share a CPU, and the witness that of node a; so a second of
 * CPU time stands for both. Rates are printed as what one operation costs, so that smaller is
 * better everywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "case_mirror.h"
#include "clock.h"
#include "mirror_app.h"
#include "raw.h"

#define TIMERS                                                                                     \
	"interval: 500us, suspect: 200ms, lease: 400ms, guard: 1ms, rate_ppm: 200, stall: 5ms, "   \
	"stuck: 5s, mirror_timeout: 1s"
#define DURATION_NS (3 * NSEC_PER_SEC)
#define DURATION_QUICK_NS (NSEC_PER_SEC / 5)
/** Bytes of key and value, without what the wire adds. */
#define RECORD_BYTES (sizeof(uint64_t) + MIRROR_VALUE_BYTES)
#define GOAL_RECORD_NS 100.0 /* ten million records a second */
#define GOAL_PUT_NS 60.0
#define GOAL_BYTES (1 / 0.7) /* 70 % of the port's bytes a second */
#define GOAL_TRIPS 3.0

struct mirror {
	struct bench *bench;
	struct world world;
	struct mirror_shared *shared;
	struct bench_result *port_byte, *port_trip;
	struct mirror_lines own;
	uint64_t duration_ns;
};

static uint64_t cpu_ns(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static uint64_t side_ns(const struct mirror *m, unsigned node)
{
	return cpu_ns(m->world.node[node]) + cpu_ns(m->world.app[node]);
}

static struct bench_result *single(struct bench *b, double ns, const char *name)
{
	bench_begin(b);
	bench_add(b, (uint64_t)(ns * 1000 + 0.5), 1000);
	return bench_end(b, "%s", name);
}

static struct bench_result *samples(struct bench *b, const uint64_t *ns, unsigned n, unsigned per,
				    const char *name)
{
	bench_begin(b);
	for (unsigned i = 0; i < n; i++)
		bench_add(b, ns[i], per);
	return bench_end(b, "%s", name);
}

static int measure_port(struct mirror *m)
{
	struct raw_result *raw =
		mmap(NULL, sizeof(*raw), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (raw == MAP_FAILED || raw_measure(raw, m->duration_ns))
		return 1;
	bench_section(m->bench, "port without Haven");
	m->port_trip = samples(m->bench, raw->trip_ns, raw->trips, 1, "frame there and back");
	m->port_byte = single(
		m->bench, (double)raw->ns / ((double)raw->frames * RAW_FRAME_BYTES / RECORD_BYTES),
		"full frames, per 72 bytes");
	printf("port: %.2f GB/s, %.2f million full frames a second\n",
	       (double)raw->frames * RAW_FRAME_BYTES / (double)raw->ns,
	       (double)raw->frames * 1e3 / (double)raw->ns);
	munmap(raw, sizeof(*raw));
	return 0;
}

/* Have the holder's application do a job. */
static int run_job(struct mirror *m, enum mirror_kind kind, unsigned batch)
{
	struct mirror_shared *s = m->shared;
	uint64_t limit = clock_now_ns() + m->duration_ns + 20 * NSEC_PER_SEC;

	s->job = (struct mirror_job){kind, batch, m->duration_ns};
	store_release(&s->number, s->number + 1);
	while (load_acquire(&s->done) != s->number && clock_now_ns() < limit)
		usleep(1000);
	if (load_acquire(&s->done) == s->number && !s->failed && s->records > 0)
		return 0;
	fputs("haven-bench: the application lost its role, or nothing was acknowledged; is the "
	      "machine busy?\n",
	      stderr);
	return 1;
}

static uint64_t gap_max(struct mirror *m)
{
	static struct registry_status s;
	uint64_t most = 0;

	for (unsigned i = WORLD_A; i <= WORLD_B; i++) {
		if (world_status(&m->world, i, &s) && s.poll_gap_recent_max_ns > most)
			most = s.poll_gap_recent_max_ns;
	}
	return most;
}

static void print_lag(struct mirror *m)
{
	struct mirror_shared *s = m->shared;
	unsigned n = s->n < MIRROR_SAMPLES ? s->n : MIRROR_SAMPLES;
	uint64_t most = 0, sum = 0;

	for (unsigned i = 0; i < n; i++) {
		sum += s->lag[i];
		most = s->lag[i] > most ? s->lag[i] : most;
	}
	printf("lag %llu records on average, %llu at most; lane full %llu times",
	       (unsigned long long)(n ? sum / n : 0), (unsigned long long)most,
	       (unsigned long long)s->waits);
}

static int measure_stream(struct mirror *m, int holder, enum mirror_kind kind, unsigned batch)
{
	unsigned other = holder == WORLD_A ? WORLD_B : WORLD_A;
	struct mirror_shared *s = m->shared;
	uint64_t here = side_ns(m, (unsigned)holder), there = side_ns(m, other);
	const char *mode = kind == MIRROR_DIRTY ? "dirty" : "async";
	struct bench_result *r;
	char name[64];
	double took;

	if (run_job(m, kind, batch))
		return 1;
	here = side_ns(m, (unsigned)holder) - here;
	there = side_ns(m, other) - there;
	took = (double)(s->until_ns - s->from_ns);
	snprintf(name, sizeof(name), "%s %u: record at the standby", mode, batch);
	r = single(m->bench, took / (double)s->records, name);
	if (kind == MIRROR_STREAM && batch > 1) {
		r->goal = GOAL_RECORD_NS;
		bench_compare(r, m->port_byte, GOAL_BYTES);
		m->own.rate = r;
	}
	if (kind == MIRROR_DIRTY) {
		snprintf(name, sizeof(name), "%s %u: put made", mode, batch);
		single(m->bench, took / (double)s->puts, name);
	}
	snprintf(name, sizeof(name), "%s %u: put and its share of commit", mode, batch);
	r = samples(m->bench, s->cost, s->n < MIRROR_SAMPLES ? s->n : MIRROR_SAMPLES, batch, name);
	if (kind == MIRROR_STREAM && batch == 32)
		r->goal = GOAL_PUT_NS;
	printf("%s %u: %.2f million records a second, %.2f of puts, %.2f GB/s\n  ", mode, batch,
	       (double)s->records * 1e3 / took, (double)s->puts * 1e3 / took,
	       (double)s->records * RECORD_BYTES / took);
	print_lag(m);
	printf("\n  CPU %.0f ns a record here, %.0f there; longest poll gap %.0f us\n",
	       (double)here / (double)s->records, (double)there / (double)s->records,
	       (double)gap_max(m) / 1e3);
	return 0;
}

static int measure_wait(struct mirror *m, unsigned batch)
{
	struct mirror_shared *s = m->shared;
	struct bench_result *r;
	char name[64];

	if (run_job(m, MIRROR_WAIT, batch))
		return 1;
	snprintf(name, sizeof(name), "sync %u: put to acknowledged", batch);
	r = samples(m->bench, s->cost, s->n < MIRROR_SAMPLES ? s->n : MIRROR_SAMPLES, 1, name);
	if (batch == 1) {
		bench_compare(r, m->port_trip, GOAL_TRIPS);
		m->own.wait = r;
	}
	printf("sync %u: %.3f million records a second; longest poll gap %.0f us\n", batch,
	       (double)s->records * 1e3 / (double)(s->until_ns - s->from_ns),
	       (double)gap_max(m) / 1e3);
	return 0;
}

static int measure_all(struct mirror *m)
{
	static const unsigned batches[] = {1, 32, 128};
	int holder = world_whole(&m->world), code = holder < 0;

	bench_section(m->bench, "mirror over memif, 64-byte values");
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(batches) && !code; i++)
		code = measure_stream(m, holder, MIRROR_STREAM, batches[i]);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(batches) && !code; i++)
		code = measure_wait(m, batches[i]);
	return code ? code : measure_stream(m, holder, MIRROR_DIRTY, 32);
}

static int run(struct bench *b)
{
	struct mirror m = {.bench = b, .duration_ns = b->quick ? DURATION_QUICK_NS : DURATION_NS};
	struct world_options options = {.timers = TIMERS, .serve = mirror_app_serve};
	int code;

	b->latencies = true;
	m.shared = mmap(NULL, sizeof(*m.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (m.shared == MAP_FAILED) {
		fputs("haven-bench: memory ran out\n", stderr);
		return 1;
	}
	options.context = m.shared;
	code = measure_port(&m);
	if (!code)
		code = world_open(&m.world, &options) || measure_all(&m);
	world_close(&m.world);
	munmap(m.shared, sizeof(*m.shared));
	return !code && b->peers ? mirror_peers(b, &m.own) : code;
}

const struct bench_case bench_mirror = {"mirror",
					"state reaches the standby at the rate of the port", run};
