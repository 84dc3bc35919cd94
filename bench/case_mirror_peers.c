/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records of 72 bytes from one process to another one that keeps them, by Redis (primary and
 * replica) and by a process group of corosync. The script `mirror-peers` starts and ends them.
 */
#include <stdlib.h>
#include <string.h>

#include "case_mirror.h"
#include "clock.h"
#include "script.h"

#define MILLISECONDS "3000"
#define MILLISECONDS_QUICK "200"
/* Of the ratio: 30 times the records a second, a twentieth of the wait. */
#define GOAL_RATE (1 / 30.0)
#define GOAL_WAIT (1 / 20.0)

/* A part of a nanosecond counts where it is what one of many records cost. */
static void sample(struct bench *b, double ns, unsigned parts)
{
	bench_add(b, (uint64_t)(ns * parts + 0.5), parts);
}

/* One line: {"name", "class", "ns": [...]} or {"name", "skipped"}. */
static void take(struct bench *b, const struct mirror_lines *own, const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *class = json_string_value(json_object_get(o, "class"));
	const char *skipped = json_string_value(json_object_get(o, "skipped"));
	const json_t *ns = json_object_get(o, "ns");
	bool rate = class && strcmp(class, "rate") == 0, redis;
	struct bench_result *r;

	if (!name || skipped || json_array_size(ns) == 0) {
		printf("%s: left out: %s\n", name ? name : "a peer",
		       skipped ? skipped : "it says nothing");
		return;
	}
	bench_begin(b);
	for (size_t i = 0; i < json_array_size(ns); i++)
		sample(b, json_number_value(json_array_get(ns, i)), rate ? 1000 : 1);
	r = bench_end(b, "%s", name);
	redis = strncmp(name, "Redis", 5) == 0;
	bench_compare(rate ? own->rate : own->wait, r, !redis ? 0 : rate ? GOAL_RATE : GOAL_WAIT);
	if (rate)
		printf("%s: %.3f million records a second\n", name, 1e3 / r->all.p50);
}

int mirror_peers(struct bench *b, const struct mirror_lines *own)
{
	char tools[4096], *text = NULL;
	const char *arguments[] = {"--tools", tools, "--ms",
				   b->quick ? MILLISECONDS_QUICK : MILLISECONDS, NULL};
	size_t size = 0;
	pid_t pid = 0;
	FILE *in;

	if (!script_tools(tools, sizeof(tools)) ||
	    !(in = script_start("mirror-peers", arguments, &pid)))
		return 1;
	bench_section(b, "other programs, 64-byte values");
	while (getline(&text, &size, in) > 0) {
		json_t *o = json_loads(text, 0, NULL);

		take(b, own, o);
		json_decref(o);
	}
	free(text);
	return script_end(in, pid);
}
