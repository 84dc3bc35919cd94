/* SPDX-License-Identifier: BSD-3-Clause */
/** The list and show commands: one part of what status knows, each. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model.h"
#include "session.h"
#include "verdict.h"

static int list_print(struct context *c, const char *schema, json_t *rows,
		      const struct column *columns, unsigned n)
{
	if (c->quiet) {
		json_decref(rows);
		return EXIT_GOOD;
	}
	if (c->out.json) {
		output_json(schema, rows);
		return EXIT_GOOD;
	}
	output_table(&c->out, rows, columns, n);
	json_decref(rows);
	return EXIT_GOOD;
}

static int node_list_run(struct context *c)
{
	static const struct column columns[] = {
		{"name", "NODE", COLUMN_TEXT},
		{"kind", "KIND", COLUMN_TEXT},
		{"state", "STATE", COLUMN_TEXT},
		{"process", "PROCESS", COLUMN_TEXT},
		{"heard_ago_ns", "HEARD", COLUMN_DURATION_NS},
		{"rtt_ns", "RTT", COLUMN_DURATION_NS},
		{"links_up", "LINK", COLUMN_COUNT},
		{"key", "KEY", COLUMN_COUNT},
		{"loss_percent", "LOSS", COLUMN_PERCENT},
		{"views_behind", "BACK", COLUMN_COUNT},
		{"release", "RELEASE", COLUMN_TEXT},
	};
	struct session s;
	int code = session_open(&s, c);

	if (!code)
		code = list_print(c, "node-list/1", model_nodes(&s), columns,
				  HAVEN_ARRAY_LEN(columns));
	session_close(&s);
	return code;
}

static int instance_list_run(struct context *c)
{
	static const struct column columns[] = {
		{"name", "INSTANCE", COLUMN_TEXT},    {"group", "GROUP", COLUMN_TEXT},
		{"holder", "HOLDER", COLUMN_TEXT},    {"secondaries", "SECONDARIES", COLUMN_LIST},
		{"in_sync", "IN SYNC", COLUMN_LIST},  {"sync_percent", "TRANSFER", COLUMN_PERCENT},
		{"lag_records", "LAG", COLUMN_COUNT}, {"redundancy", "REDUNDANCY", COLUMN_TEXT},
	};
	struct session s;
	int code = session_open(&s, c);

	if (!code) {
		json_t *rows = model_instances(&s);
		json_t *verdict = json_object();

		verdict_make(&s, verdict, rows);
		json_decref(verdict);
		code = list_print(c, "instance-list/1", rows, columns, HAVEN_ARRAY_LEN(columns));
	}
	session_close(&s);
	return code;
}

static int component_list_run(struct context *c)
{
	static const struct column columns[] = {
		{"name", "COMPONENT", COLUMN_TEXT}, {"node", "NODE", COLUMN_TEXT},
		{"group", "GROUP", COLUMN_TEXT},    {"kind", "KIND", COLUMN_TEXT},
		{"state", "STATE", COLUMN_TEXT},    {"pid", "PID", COLUMN_COUNT},
		{"roles", "ROLES", COLUMN_LIST},
	};
	struct session s;
	int code = session_open(&s, c);

	if (!code)
		code = list_print(c, "component-list/1", model_components(&s), columns,
				  HAVEN_ARRAY_LEN(columns));
	session_close(&s);
	return code;
}

/* Rows of `list` whose `key` is `name`; takes the reference to `list`. */
static json_t *only(json_t *list, const char *key, const char *name)
{
	json_t *kept = json_array();
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row) if (!strcmp(get_text(row, key), name))
		json_array_append(kept, row);
	json_decref(list);
	return kept;
}

static const struct column show_components[] = {
	{"name", "COMPONENT", COLUMN_TEXT},
	{"node", "NODE", COLUMN_TEXT},
	{"group", "GROUP", COLUMN_TEXT},
	{"kind", "KIND", COLUMN_TEXT},
	{"state", "STATE", COLUMN_TEXT},
	{"pid", "PID", COLUMN_COUNT},
	{"registered_ago_ns", "SINCE", COLUMN_DURATION_NS},
	{"release", "RELEASE", COLUMN_TEXT},
};

static const struct column show_gates[] = {
	{"instance", "GATE OF", COLUMN_TEXT},
	{"node", "NODE", COLUMN_TEXT},
	{"role", "ROLE", COLUMN_TEXT},
	{"open", "OPEN", COLUMN_YES},
	{"valid_for_ns", "FOR", COLUMN_DURATION_NS},
	{"epoch", "EPOCH", COLUMN_COUNT},
	{"generation", "GENERATION", COLUMN_COUNT},
};

static const struct column show_lanes[] = {
	{"instance", "LANE OF", COLUMN_TEXT},       {"node", "NODE", COLUMN_TEXT},
	{"checkpoint", "TABLE", COLUMN_COUNT},      {"lane", "LANE", COLUMN_COUNT},
	{"acked_seq", "ACKED", COLUMN_COUNT},       {"applied_seq", "APPLIED", COLUMN_COUNT},
	{"consumed_seq", "CONSUMED", COLUMN_COUNT}, {"lag_records", "LAG", COLUMN_COUNT},
	{"waiting_records", "KEPT", COLUMN_COUNT},  {"takeover_ns", "TO APPLY", COLUMN_DURATION_NS},
};

static void component_show_text(const struct output *o, const json_t *data)
{
	const json_t *rows = json_object_get(data, "lanes");

	output_table(o, json_object_get(data, "components"), show_components,
		     HAVEN_ARRAY_LEN(show_components));
	putchar('\n');
	output_table(o, json_object_get(data, "gates"), show_gates, HAVEN_ARRAY_LEN(show_gates));
	if (!json_array_size(rows))
		return;
	putchar('\n');
	output_table(o, rows, show_lanes, HAVEN_ARRAY_LEN(show_lanes));
}

static int component_show_run(struct context *c)
{
	struct session s;
	json_t *data, *found;
	int code = session_open(&s, c);

	if (code) {
		session_close(&s);
		return code;
	}
	found = only(model_components(&s), "name", c->args[0]);
	if (!json_array_size(found)) {
		json_decref(found);
		session_close(&s);
		return output_fail(&c->out, EXIT_NO_OBJECT, "see havenctl component list",
				   "no node here has a component \"%s\"", c->args[0]);
	}
	data = json_object();
	json_object_set_new(data, "components", found);
	json_object_set_new(data, "gates", only(model_gates(&s), "component", c->args[0]));
	json_object_set_new(data, "lanes", only(model_lanes(&s), "component", c->args[0]));
	session_close(&s);
	if (c->out.json && !c->quiet) {
		output_json("component/1", data);
		return EXIT_GOOD;
	}
	if (!c->quiet)
		component_show_text(&c->out, data);
	json_decref(data);
	return EXIT_GOOD;
}

const struct command command_node_list = {
	.name = "node list",
	.arguments = "",
	.summary = "nodes of the cluster, as seen from here",
	.details = "List the nodes of the cluster as the node with the newest view sees them.",
	.run = node_list_run,
};

const struct command command_instance_list = {
	.name = "instance list",
	.arguments = "",
	.summary = "instances, who serves them, who is in sync",
	.details = "List the instances with holder, secondaries and the state of their redundancy.",
	.run = instance_list_run,
};

const struct command command_component_list = {
	.name = "component list",
	.arguments = "",
	.summary = "components registered on the nodes here",
	.details = "List the components that are registered on the nodes read.",
	.run = component_list_run,
};

const struct command command_component_show = {
	.name = "component show",
	.arguments = "NAME",
	.args_min = 1,
	.args_max = 1,
	.objects = "component",
	.summary = "one component with its gates and lanes",
	.details =
		"Show a component on every node read: its state, its gates and its log lanes with "
		"what is acknowledged and applied.",
	.run = component_show_run,
};
