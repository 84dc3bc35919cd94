/* SPDX-License-Identifier: BSD-3-Clause */
/** checkpoint verify: the structures of live segments, and snapshot files. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint.h"
#include "snapshot_file.h"
#include "table_check.h"

/** Findings of one checkpoint that are listed one by one; the rest is only counted. */
#define LISTED_MAX 100u

struct listing {
	const struct checkpoint *checkpoint;
	json_t *findings, *unfinished;
	unsigned listed;
};

static void list_finding(void *context, unsigned lane, enum table_finding kind,
			 const char *sentence)
{
	struct listing *l = context;
	json_t *o;

	if (l->listed++ >= LISTED_MAX)
		return;
	o = json_object();
	put_text(o, "node", node_name(l->checkpoint->node));
	put_text(o, "instance", l->checkpoint->instance);
	put_text(o, "name", l->checkpoint->what.name);
	put_count(o, "lane", lane);
	put_text(o, "kind", table_finding_name(kind));
	put_text(o, "text", sentence);
	json_array_append_new(kind == TABLE_UNFINISHED ? l->unfinished : l->findings, o);
}

static void add(struct table_report *sum, const struct table_report *r)
{
	sum->lanes += r->lanes;
	sum->heads += r->heads;
	sum->entries += r->entries;
	sum->records += r->records;
	sum->findings += r->findings;
	sum->unfinished += r->unfinished;
	sum->moving += r->moving;
}

static int verify_one(const struct checkpoint *p, const struct context *c, struct listing *l,
		      struct table_report *sum)
{
	struct table_report report;
	struct table t;
	int status, code;

	if (p->node->condition != NODE_RUNNING)
		return output_fail(
			&c->out, EXIT_NOT_RUNNING, "see havenctl status",
			"node %s is not running: the segments of its applications cannot "
			"be had",
			node_name(p->node));
	code = checkpoint_map(p, c, &t);
	if (code)
		return code;
	l->checkpoint = p;
	l->listed = 0;
	status = table_check(&t, &report, list_finding, l);
	table_unmap(&t);
	if (status)
		return output_fail(&c->out, EXIT_REFUSED, NULL,
				   "no memory to check a checkpoint of this size");
	add(sum, &report);
	return EXIT_GOOD;
}

static void print_listed(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		printf("%s of %s on %s, lane %" PRIu64 ": %s: %s\n", get_text(o, "name"),
		       get_text(o, "instance"), get_text(o, "node"), get_count(o, "lane"),
		       get_text(o, "kind"), get_text(o, "text"));
	}
}

static void print_report(const struct context *c, const struct listing *l, unsigned checkpoints,
			 const struct table_report *sum)
{
	json_t *data;

	if (c->quiet)
		return;
	if (!c->out.json) {
		print_listed(l->findings);
		print_listed(l->unfinished);
		printf("%u checkpoints, %" PRIu64 " lanes, %" PRIu64 " chains, %" PRIu64
		       " entries in use, %" PRIu64 " log slots: %" PRIu64 " findings, %" PRIu64
		       " unfinished\n",
		       checkpoints, sum->lanes, sum->heads, sum->entries, sum->records,
		       sum->findings, sum->unfinished);
		if (sum->moving)
			printf("%u lanes were written all the time: their totals were not "
			       "compared\n",
			       sum->moving);
		return;
	}
	data = json_object();
	put_count(data, "checkpoints", checkpoints);
	put_count(data, "lanes", sum->lanes);
	put_count(data, "chains", sum->heads);
	put_count(data, "entries", sum->entries);
	put_count(data, "log_slots", sum->records);
	put_count(data, "moving_lanes", sum->moving);
	put_count(data, "findings_total", sum->findings);
	put_count(data, "unfinished_total", sum->unfinished);
	json_object_set(data, "findings", l->findings);
	json_object_set(data, "unfinished", l->unfinished);
	output_json("checkpoint-verify/1", data);
}

static int verify_live(struct context *c, const struct session *s)
{
	struct listing l = {.findings = json_array(), .unfinished = json_array()};
	const char *name = c->n_args ? c->args[0] : NULL;
	struct table_report sum = {0};
	struct checkpoint p;
	uint64_t cursor = 0;
	unsigned checkpoints = 0;
	int code = EXIT_GOOD;

	while (!code && checkpoint_next(&p, s, &cursor, name)) {
		code = verify_one(&p, c, &l, &sum);
		checkpoints++;
	}
	if (!code && name && !checkpoints)
		code = output_fail(&c->out, EXIT_NO_OBJECT, "see havenctl checkpoint list",
				   "no node here has a checkpoint \"%s\", nor is there such a file",
				   name);
	if (!code) {
		print_report(c, &l, checkpoints, &sum);
		code = sum.findings ? EXIT_REFUSED : EXIT_GOOD;
	}
	json_decref(l.findings);
	json_decref(l.unfinished);
	return code;
}

static int verify_file(struct context *c)
{
	struct error_text error = {""};
	struct snapshot_head head;
	int status, fd, code = snapshot_file_open(&c->out, c->args[0], &fd);

	if (code)
		return code;
	status = snapshot_file_check(fd, c->args[0], &head, &error);
	close(fd);
	if (status)
		return snapshot_tell(&c->out, status, NULL, &error);
	snapshot_print(c, &head, "checkpoint-file/1", c->args[0], "good");
	return EXIT_GOOD;
}

static int verify_run(struct context *c)
{
	struct session s;
	struct stat st;
	int code;

	if (c->n_args && stat(c->args[0], &st) == 0 && S_ISREG(st.st_mode))
		return verify_file(c);
	code = session_open(&s, c);
	if (!code)
		code = verify_live(c, &s);
	session_close(&s);
	return code;
}

const struct command command_checkpoint_verify = {
	.name = "checkpoint verify",
	.arguments = "[NAME | FILE]",
	.args_max = 1,
	.objects = "checkpoint",
	.summary = "check live checkpoints, or a snapshot file",
	.details =
		"Check that the segments of a checkpoint, or of all, contradict themselves "
		"nowhere: "
		"positions, log slots, the index, every entry, the list of free ones, counts. "
		"Nobody "
		"is stopped for it; totals of a lane that is written all the time are not "
		"compared, "
		"and a change that stands still in its middle is told as unfinished, which is no "
		"error. Findings are printed and make the exit code 1. If there is a file of the "
		"name, all of it is read as a snapshot: its head, the CRC-32C of every block, each "
		"entry.",
	.run = verify_run,
};
