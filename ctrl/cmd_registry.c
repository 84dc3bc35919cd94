/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "model.h"
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

/** Findings of one registry that are listed one by one; the rest is only counted. */
#define LISTED_MAX 100

struct listing {
	const struct node *node;
	json_t *findings, *unfinished;
	unsigned listed;
};

static void list_finding(void *context, enum registry_finding kind, const char *sentence)
{
	struct listing *l = context;
	json_t *o;

	if (l->listed++ >= LISTED_MAX)
		return;
	o = json_object();
	put_text(o, "node", node_name(l->node));
	put_text(o, "kind", registry_finding_name(kind));
	put_text(o, "text", sentence);
	json_array_append_new(kind == REGISTRY_UNFINISHED ? l->unfinished : l->findings, o);
}

/* One registry: adds what was looked at to `sum`. */
static void verify_node(const struct node *n, struct listing *l, struct registry_report *sum)
{
	struct registry_report report;
	int status;

	l->node = n;
	l->listed = 0;
	if (!node_readable(n)) {
		list_finding(l, REGISTRY_BAD_HEADER, n->text.text);
		sum->findings++;
		return;
	}
	status = registry_check(&n->registry, &report, list_finding, l);
	if (status == -HAVEN_ENOMEM) {
		list_finding(l, REGISTRY_BAD_HEADER, "no memory to check a registry of this size");
		report.findings++;
	}
	sum->buckets += report.buckets;
	sum->entries += report.entries;
	sum->components += report.components;
	sum->gates += report.gates;
	sum->lanes += report.lanes;
	sum->events += report.events;
	sum->changes += report.changes;
	sum->counters += report.counters;
	sum->findings += report.findings;
	sum->unfinished += report.unfinished;
	sum->moving |= report.moving;
}

static void print_listed(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		printf("%s: %s: %s\n", get_text(o, "node"), get_text(o, "kind"),
		       get_text(o, "text"));
	}
}

static void print_report(const struct listing *l, unsigned registries,
			 const struct registry_report *sum)
{
	print_listed(l->findings);
	print_listed(l->unfinished);
	printf("%u registries, %" PRIu64 " components, %" PRIu64 " index lines, %" PRIu64
	       " gates, %" PRIu64 " lanes, %" PRIu64 " events, %" PRIu64 " changes, %" PRIu64
	       " counters: %" PRIu64 " findings, %" PRIu64 " unfinished%s\n",
	       registries, sum->components, sum->buckets, sum->gates, sum->lanes, sum->events,
	       sum->changes, sum->counters, sum->findings, sum->unfinished,
	       sum->moving ? "; the node changed it all the time, so its totals were not compared"
			   : "");
}

static json_t *report_object(const struct listing *l, unsigned registries,
			     const struct registry_report *sum)
{
	json_t *data = json_object();

	put_count(data, "registries", registries);
	put_count(data, "components", sum->components);
	put_count(data, "index_lines", sum->buckets);
	put_count(data, "index_entries", sum->entries);
	put_count(data, "gates", sum->gates);
	put_count(data, "lanes", sum->lanes);
	put_count(data, "events", sum->events);
	put_count(data, "changes", sum->changes);
	put_count(data, "counters", sum->counters);
	put_count(data, "findings_total", sum->findings);
	put_count(data, "unfinished_total", sum->unfinished);
	put_yes(data, "moving", sum->moving);
	json_object_set(data, "findings", l->findings);
	json_object_set(data, "unfinished", l->unfinished);
	return data;
}

static int verify_run(struct context *c)
{
	struct listing l = {0};
	struct registry_report sum = {0};
	struct session s;
	int code = open_named(&s, c);

	if (code) {
		session_close(&s);
		return code;
	}
	l.findings = json_array();
	l.unfinished = json_array();
	for (unsigned i = 0; i < s.n; i++)
		verify_node(s.node[i], &l, &sum);
	if (c->out.json && !c->quiet)
		output_json("registry-verify/1", report_object(&l, s.n, &sum));
	else if (!c->quiet)
		print_report(&l, s.n, &sum);
	json_decref(l.findings);
	json_decref(l.unfinished);
	session_close(&s);
	return sum.findings ? EXIT_REFUSED : EXIT_GOOD;
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
		"Check that the registry contradicts itself nowhere: header, status, index, "
		"directory, components, gates, lanes, events, changes and counters. FILE is a "
		"registry file "
		"(a copy, too) or a run directory; without it the run directories are checked. "
		"Findings are printed and make the exit code 1. A change that was under way when "
		"the node died is told as unfinished, which is no error. Of each registry the "
		"first 100 are listed.",
	.run = verify_run,
};

const struct command command_registry_dump = {
	.name = "registry dump",
	.arguments = "[FILE]",
	.args_max = 1,
	.objects = "file",
	.summary = "everything in a registry",
	.details = "Print everything a registry says, for reports and post-mortem: what the node "
		   "is, peers, instances, components with health, load, weight, formats and "
		   "dependencies, gates, lanes. Also of a copied file or of a dead node.",
	.run = dump_run,
};
