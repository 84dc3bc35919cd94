/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "command.h"
#include "model.h"
#include "ring.h"
#include "session.h"

/* A file named on the command line takes the place of the run directories. */
static int open_named(struct session *s, struct context *c)
{
	if (c->n_args) {
		c->run_dirs[0] = c->args[0];
		c->n_run_dirs = 1;
	}
	return session_open(s, c);
}

__attribute__((format(printf, 3, 4))) static void finding(json_t *list, const struct node *n,
							  const char *format, ...)
{
	char text[256];
	json_t *o = json_object();
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_text(o, "node", node_name(n));
	put_text(o, "text", text);
	json_array_append_new(list, o);
}

static void verify_gates(json_t *list, const struct node *n)
{
	for (unsigned i = 0; i < n->registry.shape.gates; i++) {
		const struct registry_gate *g = &n->registry.gates[i];
		uint32_t owner = load_relaxed(&g->component), role = load_relaxed(&g->role);

		if (owner == UINT32_MAX)
			continue;
		if (owner >= n->registry.components)
			finding(list, n, "gate %u names directory slot %" PRIu32 " of %" PRIu32, i,
				owner, n->registry.components);
		if (role >= HAVEN_ROLE_COUNT)
			finding(list, n, "gate %u has the unknown role %" PRIu32, i, role);
		if (role != HAVEN_PRIMARY && load_relaxed(&g->valid_until_ns))
			finding(list, n, "gate %u is not primary and yet valid", i);
	}
}

static void verify_components(json_t *list, const struct node *n)
{
	for (unsigned i = 0; i < n->components; i++) {
		const struct registry_component *c = &n->component[i];

		if ((uint64_t)c->hot.gate_first + c->hot.instances > n->registry.shape.gates)
			finding(list, n, "component %s claims gates beyond the last", c->hot.name);
		if ((uint64_t)c->cold.lane_first + c->cold.lanes > n->registry.shape.lanes)
			finding(list, n, "component %s claims lanes beyond the last", c->hot.name);
	}
}

static uint64_t verify_events(json_t *list, const struct node *n)
{
	struct event event;
	struct ring ring;
	uint64_t count = 0;

	ring_open(&ring, n);
	while (count < ring.slots && ring_next(&ring, &event) > 0) {
		count++;
		if (event.kind >= EVENT_KIND_COUNT)
			finding(list, n, "event %" PRIu64 " has the unknown kind %u", event.seq,
				event.kind);
	}
	return count;
}

static int verify_run(struct context *c)
{
	struct session s;
	json_t *data, *list;
	uint64_t components = 0, events = 0;
	int code = open_named(&s, c);

	if (code) {
		session_close(&s);
		return code;
	}
	data = json_object();
	list = json_array();
	for (unsigned i = 0; i < s.n; i++) {
		const struct node *n = s.node[i];

		if (!node_readable(n)) {
			finding(list, n, "%s", n->text.text);
			continue;
		}
		if (n->torn && n->condition == NODE_RUNNING)
			finding(list, n, "no clean copy of the status could be had");
		verify_gates(list, n);
		verify_components(list, n);
		events += verify_events(list, n);
		components += n->components;
	}
	put_count(data, "registries", s.n);
	put_count(data, "components", components);
	put_count(data, "events", events);
	json_object_set_new(data, "findings", list);
	if (!c->quiet && !c->out.json) {
		for (size_t i = 0; i < json_array_size(list); i++)
			printf("%s: %s\n", get_text(json_array_get(list, i), "node"),
			       get_text(json_array_get(list, i), "text"));
		printf("%u registries, %" PRIu64 " components, %" PRIu64 " events, %zu findings\n",
		       s.n, components, events, json_array_size(list));
	}
	code = json_array_size(list) ? EXIT_REFUSED : EXIT_GOOD;
	if (c->out.json && !c->quiet)
		output_json("registry-verify/1", json_incref(data));
	json_decref(data);
	session_close(&s);
	return code;
}

static int dump_run(struct context *c)
{
	struct session s;
	json_t *data;
	int code = open_named(&s, c);

	if (code) {
		session_close(&s);
		return code;
	}
	data = json_object();
	json_object_set_new(data, "registries", model_registries(&s));
	json_object_set_new(data, "peers", model_peers(&s));
	json_object_set_new(data, "instances", model_instances(&s));
	json_object_set_new(data, "components", model_components(&s));
	json_object_set_new(data, "gates", model_gates(&s));
	json_object_set_new(data, "lanes", model_lanes(&s));
	session_close(&s);
	/* A dump is for tools and reports; its text is the same tree, laid out. */
	if (c->out.json && !c->quiet) {
		output_json("registry/1", data);
		return EXIT_GOOD;
	}
	if (!c->quiet) {
		json_dumpf(data, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(data);
	return EXIT_GOOD;
}

const struct command command_registry_verify = {
	.name = "registry verify",
	.arguments = "[FILE]",
	.args_max = 1,
	.objects = "file",
	.summary = "check a registry, also a copied file or that of a dead node",
	.details =
		"Check that the registry contradicts itself nowhere. FILE is a registry file or a "
		"run directory; without it the run directories are checked. Findings are printed "
		"and make the exit code 1.",
	.run = verify_run,
};

const struct command command_registry_dump = {
	.name = "registry dump",
	.arguments = "[FILE]",
	.args_max = 1,
	.objects = "file",
	.summary = "everything in a registry",
	.details = "Print everything a registry says, for reports and post-mortem.",
	.run = dump_run,
};
