/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between processes: how long after the node published something a reader elsewhere sees it,
 * beside one transfer of a cache line; and how long memory that was retired is held by readers that
 * report once per poll, beside the poll of the slowest.
 *
 * News are measured as round trips: the node publishes, the reader sees it and echoes into a line
 * of its own, the node sees the echo. The way back is one transfer, half a bare round trip.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_crew.h"
#include "case_rcu.h"
#include "clock.h"
#include "prng.h"
#include "rcu.h"
#include "registry.h"

#define TRIP_BATCH 16u
#define GOAL_VISIBLE 1.25
#define GOAL_GRACE 1.0
/** What a reader does per poll in the grace period's measurement. */
#define POLL_NS 2000u
#define READERS_MAX 3u
/** The node's thread joins the crew after the readers' processes. */
#define NODE_MEMBER READERS_MAX

enum trip { TRIP_LINE = 0, TRIP_GATE, TRIP_COMPONENT, TRIP_COUNT };

/** Words of the jobs. */
enum { WORD_TRIP, WORD_TRIPS, WORD_GATE, WORD_HANDLE, WORD_SHARES_CPU };

struct reach {
	struct bench *b;
	struct crew crew;
	struct crew_member *reader[READERS_MAX], *node_thread;
	struct registry registry;
	struct rcu_domain rcu;
	struct registry_component component;
	uint64_t told; /**< number of the newest news */
};

static struct reach reach;

/* Number of the newest news that the reader can see. */
static uint64_t news_seen(const struct registry *r, const struct crew_member *m)
{
	const struct registry_hot *hot;

	switch ((enum trip)m->word[WORD_TRIP]) {
	case TRIP_GATE:
		return load_acquire(&r->gates[m->word[WORD_GATE]].valid_until_ns);
	case TRIP_COMPONENT:
		hot = registry_get(r, m->word[WORD_HANDLE]);
		return hot ? hot->load : 0;
	case TRIP_LINE:
	case TRIP_COUNT:
		break;
	}
	return load_acquire(&reach.crew.member[NODE_MEMBER].echo);
}

/* Runs in the reader: echo news until the last. */
static int job_echo(struct crew_member *m)
{
	uint64_t last = m->word[WORD_TRIPS], seen = 0;
	struct error_text text;
	struct registry r;

	if (registry_open(&r, m->text, &text)) {
		fprintf(stderr, "haven-bench: %s\n", text.text);
		return 1;
	}
	rcu_enter(&r.header->rcu_epoch, &m->slot);
	store_release(&m->echo, 0);
	while (seen < last && !crew_stopped(m)) {
		uint64_t now = news_seen(&r, m);

		if (now != seen) {
			seen = now;
			store_release(&m->echo, seen);
		}
		rcu_quiescent(&r.header->rcu_epoch, &m->slot);
	}
	rcu_leave(&m->slot);
	registry_close(&r);
	return 0;
}

/* A reader that has not begun sees nothing and holds nothing: wait until it does, or has failed. */
static void wait_online(const struct crew_member *m)
{
	while (load_acquire(&m->slot) == 0 && load_acquire(&m->done) != m->order)
		sched_yield();
}

static void tell(struct reach *x, enum trip trip)
{
	x->told++;
	if (trip == TRIP_GATE) {
		registry_gate_renew(&x->registry, x->component.hot.gate_first, x->told);
	} else if (trip == TRIP_COMPONENT) {
		x->component.hot.load = (uint32_t)x->told;
		registry_update(&x->registry, &x->component, &x->rcu);
		registry_reclaim(&x->registry, &x->rcu);
	} else {
		store_release(&x->node_thread->echo, x->told);
	}
}

/* Runs in the node's thread: tell, wait for the echo. Samples are sums over a batch. */
static int job_tell(struct crew_member *m)
{
	const uint64_t *echo = &reach.reader[0]->echo;
	enum trip trip = (enum trip)m->word[WORD_TRIP];

	for (uint64_t i = 0; i < m->word[WORD_TRIPS]; i += TRIP_BATCH) {
		uint64_t begin = clock_now_ns();

		for (unsigned k = 0; k < TRIP_BATCH; k++) {
			tell(&reach, trip);
			while (load_acquire(echo) != reach.told && !crew_stopped(m))
				cpu_relax();
		}
		crew_sample(m, clock_now_ns() - begin);
	}
	return 0;
}

/* The news are numbered by what is published: gate and load start at 0 again each time. */
static int trip_round(struct reach *x, enum trip trip, double *line_ns, struct bench_result *line)
{
	struct crew_member *node = x->node_thread, *reader = x->reader[0];
	uint64_t trips = x->b->quick ? 4096 : 32768;
	int code;

	x->told = 0;
	store_release(&node->echo, 0);
	registry_gate_renew(&x->registry, x->component.hot.gate_first, 0);
	x->component.hot.load = 0;
	registry_update(&x->registry, &x->component, &x->rcu);
	node->word[WORD_TRIP] = reader->word[WORD_TRIP] = trip;
	node->word[WORD_TRIPS] = reader->word[WORD_TRIPS] = trips;
	reader->word[WORD_GATE] = x->component.hot.gate_first;
	reader->word[WORD_HANDLE] = x->component.hot.handle;
	crew_start(reader, job_echo);
	wait_online(reader);
	crew_start(node, job_tell);
	code = crew_wait(reader);
	if (code)
		store_release(&node->stop, 1);
	code |= crew_wait(node);
	bench_begin(x->b);
	for (uint32_t i = 0; i < node->samples; i++) {
		double ns = (double)node->sample[i] / TRIP_BATCH;

		ns = trip == TRIP_LINE || ns < *line_ns ? ns / 2 : ns - *line_ns;
		bench_add(x->b, (uint64_t)(ns * TRIP_BATCH), TRIP_BATCH);
	}
	bench_round(x->b, line);
	if (trip == TRIP_LINE)
		*line_ns = line->round[line->rounds - 1].p50;
	return code;
}

static int measure_trips(struct reach *x)
{
	static const char *const name[] = {"cache line, one way", "gate renewed to seen",
					   "component updated to seen"};
	struct bench_result *line[TRIP_COUNT];
	unsigned rounds = x->b->quick ? 3 : 21;
	double line_ns = 0;
	int code = 0;

	bench_section(x->b, "news between two processes");
	for (unsigned i = 0; i < TRIP_COUNT; i++)
		line[i] = bench_line(x->b, "%s", name[i]);
	for (unsigned r = 0; r < rounds && !code; r++)
		for (enum trip i = 0; i < TRIP_COUNT && !code; i++)
			code = trip_round(x, i, &line_ns, line[i]);
	bench_compare(line[TRIP_GATE], line[TRIP_LINE], GOAL_VISIBLE);
	bench_compare(line[TRIP_COMPONENT], line[TRIP_LINE], 0);
	return code;
}

/* Runs in the reader: polls that take POLL_NS; samples are the times between reports. */
static int job_poll(struct crew_member *m)
{
	uint64_t last = clock_now_ns(), now;
	struct error_text text;
	struct registry r;

	if (registry_open(&r, m->text, &text)) {
		fprintf(stderr, "haven-bench: %s\n", text.text);
		return 1;
	}
	rcu_enter(&r.header->rcu_epoch, &m->slot);
	while (!crew_stopped(m)) {
		uint64_t begin = clock_now_ns();

		while ((now = clock_now_ns()) - begin < POLL_NS)
			;
		rcu_quiescent(&r.header->rcu_epoch, &m->slot);
		crew_sample(m, now - last);
		last = now;
		if (m->word[WORD_SHARES_CPU])
			sched_yield();
	}
	rcu_leave(&m->slot);
	registry_close(&r);
	return 0;
}

/* Runs in the node's thread: retire, look until it is free; at any phase of the readers' polls. */
static int job_grace(struct crew_member *m)
{
	struct prng prng = {m->word[WORD_TRIPS]};

	while (m->samples < m->word[WORD_TRIPS]) {
		uint64_t begin = clock_now_ns(), epoch = rcu_retire_epoch(&reach.rcu), now;

		while (rcu_poll(&reach.rcu) < epoch)
			cpu_relax();
		now = clock_now_ns();
		crew_sample(m, now - begin);
		begin = now + prng_below(&prng, 4 * POLL_NS);
		while (clock_now_ns() < begin)
			cpu_relax();
	}
	return 0;
}

static int grace_round(struct reach *x, unsigned readers, struct bench_result *poll,
		       struct bench_result *grace)
{
	struct crew_member *node = x->node_thread, *slowest = NULL;
	int code;

	node->word[WORD_TRIPS] = x->b->quick ? 500 : 4000;
	for (unsigned i = 0; i < readers; i++) {
		x->reader[i]->word[WORD_SHARES_CPU] = readers > 1;
		crew_start(x->reader[i], job_poll);
	}
	for (unsigned i = 0; i < readers; i++)
		wait_online(x->reader[i]);
	code = crew_do(node, job_grace);
	for (unsigned i = 0; i < readers; i++)
		store_release(&x->reader[i]->stop, 1);
	for (unsigned i = 0; i < readers; i++) {
		code |= crew_wait(x->reader[i]);
		/* Same time, fewest polls. */
		if (!slowest || x->reader[i]->samples < slowest->samples)
			slowest = x->reader[i];
	}
	bench_begin(x->b);
	for (uint32_t i = 0; i < slowest->samples; i++)
		bench_add(x->b, slowest->sample[i], 1);
	bench_round(x->b, poll);
	bench_begin(x->b);
	for (uint32_t i = 0; i < node->samples; i++)
		bench_add(x->b, node->sample[i], 1);
	bench_round(x->b, grace);
	return code;
}

static int measure_grace(struct reach *x, unsigned readers)
{
	unsigned rounds = x->b->quick ? 3 : 21;
	struct bench_result *poll, *grace;
	int code = 0;

	bench_section(x->b, "grace period, %u reader%s", readers, readers > 1 ? "s" : "");
	grace = bench_line(x->b, "retired to reusable");
	poll = bench_line(x->b, "poll of the slowest reader");
	for (unsigned r = 0; r < rounds && !code; r++)
		code = grace_round(x, readers, poll, grace);
	bench_compare(grace, poll, GOAL_GRACE);
	return code;
}

static int node_start(struct reach *x, const char *scratch)
{
	const struct registry_config config = {
		.cluster = "bench", .node = "bench", .release = "1", .incarnation = 1};
	struct error_text text;
	int status = registry_create(&x->registry, scratch, &config, &text);

	if (!status) {
		rcu_domain_init(&x->rcu, &x->registry.header->rcu_epoch);
		for (unsigned i = 0; i < READERS_MAX; i++)
			rcu_slot_add(&x->rcu, &x->reader[i]->slot);
		memcpy(x->component.hot.name, "port0", 6);
		x->component.hot.instances = 1;
		status = registry_add(&x->registry, &x->component, &text);
	}
	if (status) {
		fprintf(stderr, "haven-bench: %s\n", text.text);
		return 1;
	}
	registry_gate_set(&x->registry, x->component.hot.gate_first, HAVEN_PRIMARY, 1, 1);
	for (unsigned i = 0; i < READERS_MAX; i++)
		memcpy(x->reader[i]->text, scratch, strlen(scratch) + 1);
	return 0;
}

int rcu_reach(struct bench *b)
{
	char scratch[64];
	int code = 0;

	memset(&reach, 0, sizeof(reach));
	reach.b = b;
	if (crew_make(&reach.crew) || bench_scratch_make(scratch, sizeof(scratch)))
		return 1;
	for (unsigned i = 0; i < READERS_MAX && !code; i++)
		code = !(reach.reader[i] = crew_join(&reach.crew, 0, true));
	if (!code)
		code = !(reach.node_thread = crew_join(&reach.crew, 1, false));
	if (!code)
		code = node_start(&reach, scratch);
	if (!code)
		code = measure_trips(&reach);
	if (!code)
		code = measure_grace(&reach, 1);
	if (!code)
		code = measure_grace(&reach, READERS_MAX);
	crew_end(&reach.crew);
	registry_destroy(&reach.registry);
	bench_scratch_remove(scratch);
	return code;
}
