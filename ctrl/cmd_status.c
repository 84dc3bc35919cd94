/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model.h"
#include "session.h"
#include "story.h"
#include "verdict.h"

static enum output_color severity_color(const char *name)
{
	if (!strcmp(name, "good") || !strcmp(name, "note"))
		return COLOR_GREEN;
	return strcmp(name, "degraded") ? COLOR_RED : COLOR_YELLOW;
}

static void show_problems(const struct output *o, const json_t *data)
{
	const char *verdict = get_text(data, "verdict");
	const json_t *list = json_object_get(data, "problems");

	printf("%s: ", get_text(data, "cluster"));
	output_color(o, severity_color(verdict));
	printf("%s", verdict);
	output_color(o, COLOR_PLAIN);
	putchar('\n');
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *problem = json_array_get(list, i);
		const char *severity = get_text(problem, "severity");

		output_color(o, severity_color(severity));
		printf("  %c ", strcmp(severity, "note") ? '!' : '-');
		output_color(o, COLOR_PLAIN);
		output_fold(get_text(problem, "message"), 4, 4);
	}
	putchar('\n');
}

static void show_redundancy(const json_t *instances)
{
	for (size_t i = 0; i < json_array_size(instances); i++) {
		const json_t *in = json_array_get(instances, i);
		const char *name = get_text(in, "name");

		printf("%s: ", name);
		output_fold(get_text(in, "text"), (unsigned)strlen(name) + 2, 4);
	}
	if (json_array_size(instances))
		putchar('\n');
}

static void show_step(const json_t *step)
{
	char after[32], line[640];

	format_duration(get_count(step, "after_ns"), after, sizeof(after));
	snprintf(line, sizeof(line), "%s: %s", get_text(step, "node"), get_text(step, "text"));
	printf("  +%9s  ", after);
	output_fold(line, 14, 14);
}

static void show_story(const struct output *o, const json_t *story)
{
	const json_t *steps = json_object_get(story, "steps");
	const char *from = get_text(story, "from"), *to = get_text(story, "to");
	char clock[64], took[32], line[512];

	if (!story || json_is_null(story))
		return;
	format_clock(get_count(story, "at_wall_ns"), clock, sizeof(clock));
	format_duration(get_count(story, "took_ns"), took, sizeof(took));
	output_color(o, COLOR_BOLD);
	printf("Last change");
	output_color(o, COLOR_PLAIN);
	if (*to && !strcmp(from, to))
		snprintf(line, sizeof(line),
			 ": %s %s was lost by %s and came back to it in %s; cause: %s", clock,
			 get_text(story, "instance"), from, took, get_text(story, "cause"));
	else if (*to && *from)
		snprintf(line, sizeof(line), ": %s %s moved from %s to %s in %s; cause: %s", clock,
			 get_text(story, "instance"), from, to, took, get_text(story, "cause"));
	else if (*to)
		snprintf(line, sizeof(line), ": %s %s came to %s in %s; cause: %s", clock,
			 get_text(story, "instance"), to, took, get_text(story, "cause"));
	else
		snprintf(line, sizeof(line), ": %s %s lost by %s, nobody took over; cause: %s",
			 clock, get_text(story, "instance"), *from ? from : "its holder",
			 get_text(story, "cause"));
	output_fold(line, 11, 2);
	for (size_t i = 0; i < json_array_size(steps); i++)
		show_step(json_array_get(steps, i));
	putchar('\n');
}

static void show_table(const struct output *o, const char *title, const json_t *rows,
		       const struct column *columns, unsigned n)
{
	if (!json_array_size(rows))
		return;
	output_color(o, COLOR_BOLD);
	printf("%s", title);
	output_color(o, COLOR_PLAIN);
	putchar('\n');
	output_table(o, rows, columns, n);
	putchar('\n');
}

static void show_tables(const struct output *o, const json_t *data)
{
	static const struct column nodes[] = {
		{"name", "NODE", COLUMN_TEXT},
		{"kind", "KIND", COLUMN_TEXT},
		{"state", "STATE", COLUMN_TEXT},
		{"process", "PROCESS", COLUMN_TEXT},
		{"heard_ago_ns", "HEARD", COLUMN_DURATION_NS},
		{"rtt_ns", "RTT", COLUMN_DURATION_NS},
		{"beats_lost", "LOST", COLUMN_COUNT},
		{"views_behind", "BEHIND", COLUMN_COUNT},
		{"release", "RELEASE", COLUMN_TEXT},
	};
	static const struct column instances[] = {
		{"name", "INSTANCE", COLUMN_TEXT},
		{"group", "GROUP", COLUMN_TEXT},
		{"holder", "HOLDER", COLUMN_TEXT},
		{"secondaries", "SECONDARIES", COLUMN_LIST},
		{"in_sync", "IN SYNC", COLUMN_LIST},
		{"lag_records", "LAG", COLUMN_COUNT},
		{"redundancy", "REDUNDANCY", COLUMN_TEXT},
	};
	static const struct column components[] = {
		{"name", "COMPONENT", COLUMN_TEXT}, {"node", "NODE", COLUMN_TEXT},
		{"kind", "KIND", COLUMN_TEXT},      {"state", "STATE", COLUMN_TEXT},
		{"pid", "PID", COLUMN_COUNT},       {"roles", "ROLES", COLUMN_LIST},
	};
	static const struct column loops[] = {
		{"node", "LOOP", COLUMN_TEXT},
		{"poll_gap_max_ns", "MAX GAP", COLUMN_DURATION_NS},
		{"poll_gap_recent_max_ns", "LAST 1 S", COLUMN_DURATION_NS},
		{"stalls", "STALLS", COLUMN_COUNT},
		{"frames_in", "FRAMES IN", COLUMN_COUNT},
		{"frames_out", "OUT", COLUMN_COUNT},
		{"frames_bad", "BAD", COLUMN_COUNT},
		{"gate_overruns", "OVERRUNS", COLUMN_COUNT},
	};
	char title[96];

	snprintf(title, sizeof(title), "Nodes, as %s sees them in view %" PRIu64,
		 get_text(data, "seen_by"), get_count(data, "epoch"));
	show_table(o, title, json_object_get(data, "nodes"), nodes, HAVEN_ARRAY_LEN(nodes));
	show_table(o, "Instances", json_object_get(data, "instances"), instances,
		   HAVEN_ARRAY_LEN(instances));
	show_table(o, "Components", json_object_get(data, "components"), components,
		   HAVEN_ARRAY_LEN(components));
	show_table(o, "Poll loops and frames", json_object_get(data, "registries"), loops,
		   HAVEN_ARRAY_LEN(loops));
}

static void show_bad_frames(const json_t *registries)
{
	for (size_t i = 0; i < json_array_size(registries); i++) {
		const json_t *registry = json_array_get(registries, i);
		json_t *bad = json_object_get(registry, "bad_frames");
		const char *reason;
		const json_t *count;
		char line[512];
		int used;

		if (!get_count(registry, "frames_bad"))
			continue;
		used = snprintf(line, sizeof(line),
				"bad frames at %s:", get_text(registry, "node"));
		json_object_foreach(bad, reason, count) if (json_integer_value(count) && used > 0 &&
							    (size_t)used < sizeof(line)) used +=
			snprintf(line + used, sizeof(line) - (size_t)used,
				 " %s %" JSON_INTEGER_FORMAT, reason, json_integer_value(count));
		output_fold(line, 0, 4);
	}
}

/* Warm standbys: what a takeover would have to do first. Lanes of one instance are applied one
 * after the other. */
static void show_takeovers(const json_t *lanes)
{
	for (size_t i = 0; i < json_array_size(lanes); i++) {
		const json_t *first = json_array_get(lanes, i);
		const char *instance = get_text(first, "instance"), *node = get_text(first, "node");
		uint64_t records = 0, ns = 0;
		char took[32], line[256];
		size_t before = 0;

		for (size_t k = 0; k < json_array_size(lanes); k++) {
			const json_t *lane = json_array_get(lanes, k);

			if (strcmp(get_text(lane, "instance"), instance) != 0 ||
			    strcmp(get_text(lane, "node"), node) != 0)
				continue;
			before += k < i;
			records += get_count(lane, "waiting_records");
			ns += get_count(lane, "takeover_ns");
		}
		if (before || !records)
			continue;
		format_duration(ns, took, sizeof(took));
		snprintf(line, sizeof(line),
			 "%s at %s is warm: a takeover needs applying %" PRIu64
			 " records, about %s",
			 instance, node, records, took);
		output_fold(line, 0, 4);
	}
}

static int status_run(struct context *c)
{
	struct session s;
	json_t *data, *instances;
	const struct node *best;
	int code = session_open(&s, c);

	if (code) {
		session_close(&s);
		return code;
	}
	best = model_authority(&s);
	data = json_object();
	put_text(data, "cluster", best->header.cluster);
	put_text(data, "seen_by", node_name(best));
	put_count(data, "epoch", best->status.epoch);
	instances = model_instances(&s);
	code = verdict_make(&s, data, instances);
	json_object_set_new(data, "last_change", story_make(&s));
	json_object_set_new(data, "instances", instances);
	json_object_set_new(data, "nodes", model_nodes(&s));
	json_object_set_new(data, "components", model_components(&s));
	json_object_set_new(data, "gates", model_gates(&s));
	json_object_set_new(data, "lanes", model_lanes(&s));
	json_object_set_new(data, "peers", model_peers(&s));
	json_object_set_new(data, "registries", model_registries(&s));
	session_close(&s);
	if (c->out.json && !c->quiet) {
		output_json("status/1", data);
		return code;
	}
	if (!c->quiet) {
		show_problems(&c->out, data);
		show_redundancy(instances);
		show_story(&c->out, json_object_get(data, "last_change"));
		show_tables(&c->out, data);
		show_takeovers(json_object_get(data, "lanes"));
		show_bad_frames(json_object_get(data, "registries"));
	}
	json_decref(data);
	return code;
}

const struct command command_status = {
	.name = "status",
	.arguments = "",
	.summary = "what is wrong, who serves what, what happened last",
	.details = "Show what is wrong first, then who serves each instance and whether its "
		   "redundancy is "
		   "whole, then what happened last, why and how long each step took, then nodes, "
		   "instances, components and poll loops. Everything is read from shared memory, "
		   "so it "
		   "works when a node hangs or is dead: its last state is shown with its age. With "
		   "several run directories (or a directory of them) all nodes of this machine are "
		   "shown "
		   "as one cluster. The exit code is the verdict: 0 good, 10 degraded, 11 "
		   "critical, 12 "
		   "when only the last state of dead or hung nodes is known. Without any registry "
		   "it is "
		   "3.",
	.run = status_run,
};
