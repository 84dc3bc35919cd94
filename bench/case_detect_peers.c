/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From kill(SIGKILL) of a node until another node knows, beside what FRR, keepalived and corosync
 * need for the same. Those are started by the script `peers` in network namespaces of its own, one
 * after the other, after Haven's cluster is gone: on two CPUs they would disturb each other.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case_detect.h"
#include "clock.h"
#include "script.h"
#include "world.h"

#define KILLS 200u
#define KILLS_QUICK 3u
#define PEER_KILLS "30"
#define PEER_KILLS_QUICK "2"
#define OPEN_TIMEOUT_NS (5 * NSEC_PER_SEC)
/* Of the ratio: a hundred times faster; beside the fastest setting of any 25 times. */
#define GOAL_PEER 0.01
#define GOAL_FASTEST 0.04

struct own {
	uint64_t known_ns[KILLS], open_ns[KILLS];
	unsigned n, unopened, without_cause;
};

static int kill_once(struct world *w, struct own *own, uint64_t *whole_ns)
{
	int holder = world_whole(w);
	uint64_t at, opened;
	unsigned other;
	struct event e;

	if (holder < 0)
		return 1;
	other = holder == WORLD_A ? WORLD_B : WORLD_A;
	if (*whole_ns)
		own->without_cause += world_count(w, EVENT_PEER_SUSPECT, *whole_ns, clock_now_ns());
	at = world_strike(w, (unsigned)holder, false, SIGKILL);
	opened = world_opened(w, other, at, OPEN_TIMEOUT_NS);
	if (opened && world_event(w, other, EVENT_PEER_SUSPECT, at, &e)) {
		own->known_ns[own->n] = e.at_ns - at;
		own->open_ns[own->n++] = opened - at;
	} else {
		own->unopened++;
	}
	if (world_mend(w, (unsigned)holder, false) || world_whole(w) < 0)
		return 1;
	*whole_ns = clock_now_ns();
	return 0;
}

static struct bench_result *own_line(struct bench *b, const uint64_t *ns, unsigned n,
				     const char *name)
{
	bench_begin(b);
	for (unsigned i = 0; i < n; i++)
		bench_add(b, ns[i], 1);
	return bench_end(b, "%s", name);
}

/* Haven's own cluster. Sets `*known`, the line that peers are compared with. */
static int measure_own(struct bench *b, struct bench_result **known)
{
	const struct world_options options = {
		.timers = b->quick ? WORLD_TIMERS_CALM : WORLD_TIMERS_FAST, .turns = !b->quick};
	static struct own own;
	struct world world;
	uint64_t whole_ns = 0;
	int code = world_open(&world, &options);

	for (unsigned i = 0; i < (b->quick ? KILLS_QUICK : KILLS) && !code; i++)
		code = kill_once(&world, &own, &whole_ns);
	world_close(&world);
	if (code)
		return code;
	*known = own_line(b, own.known_ns, own.n, "Haven, kill to known");
	(*known)->false_alarms = own.without_cause;
	own_line(b, own.open_ns, own.n, "Haven, kill to open gate");
	if (own.unopened)
		printf("Haven: no failover after %u of %u kills\n", own.unopened,
		       own.n + own.unopened);
	return 0;
}

/* One peer's line: {"name", "class", "us": [...], "false": n} or {"name", "skipped"}. */
static struct bench_result *take(struct bench *b, const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *skipped = json_string_value(json_object_get(o, "skipped"));
	const json_t *us = json_object_get(o, "us");
	struct bench_result *r;

	if (!name || skipped || json_array_size(us) == 0) {
		printf("%s: left out: %s\n", name ? name : "a peer",
		       skipped ? skipped : "it says nothing");
		return NULL;
	}
	bench_begin(b);
	for (size_t i = 0; i < json_array_size(us); i++)
		bench_add(b, (uint64_t)(json_number_value(json_array_get(us, i)) * 1e3), 1);
	r = bench_end(b, "%s", name);
	r->false_alarms = (uint64_t)json_integer_value(json_object_get(o, "false"));
	return r;
}

static int measure_peers(struct bench *b, struct bench_result *known)
{
	const struct bench_result *line, *fastest = NULL;
	char *text = NULL;
	size_t size = 0;
	pid_t pid = 0;
	const char *arguments[] = {"--kills", b->quick ? PEER_KILLS_QUICK : PEER_KILLS, NULL};
	FILE *in = script_start("peers", arguments, &pid);

	if (!in)
		return 1;
	while (getline(&text, &size, in) > 0) {
		json_t *o = json_loads(text, 0, NULL);
		const char *class = json_string_value(json_object_get(o, "class"));

		line = take(b, o);
		/* BFD of keepalived has the smallest timers of all; its goal is the last. */
		if (line && class && strcmp(class, "BFD") != 0)
			bench_compare(known, line, GOAL_PEER);
		if (line && (!fastest || line->all.p50 < fastest->all.p50))
			fastest = line;
		json_decref(o);
	}
	free(text);
	if (fastest)
		bench_compare(known, fastest, GOAL_FASTEST);
	return script_end(in, pid);
}

int detect_peers(struct bench *b)
{
	struct bench_result *known = NULL;
	int code;

	if (geteuid() != 0) {
		fputs("haven-bench: --peers makes network namespaces: run it as root\n", stderr);
		return 1;
	}
	b->unit = "us";
	b->unit_ns = NSEC_PER_USEC;
	b->latencies = true;
	bench_section(b, "killed node, kill to known");
	code = measure_own(b, &known);
	return code ? code : measure_peers(b, known);
}
