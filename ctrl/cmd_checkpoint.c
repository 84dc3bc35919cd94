/* SPDX-License-Identifier: BSD-3-Clause */
/** checkpoint list and show: what each node has of each checkpoint, and what a failure would lose.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint.h"
#include "command.h"
#include "model.h"
#include "session.h"

static const struct column list_columns[] = {
	{"name", "CHECKPOINT", COLUMN_TEXT},  {"instance", "INSTANCE", COLUMN_TEXT},
	{"node", "NODE", COLUMN_TEXT},        {"role", "ROLE", COLUMN_TEXT},
	{"kind", "KIND", COLUMN_TEXT},        {"mode", "MODE", COLUMN_TEXT},
	{"entries", "ENTRIES", COLUMN_COUNT}, {"capacity", "CAPACITY", COLUMN_COUNT},
	{"lag_records", "LAG", COLUMN_COUNT}, {"at_risk", "AT RISK", COLUMN_RIGHT},
};

static const struct column lane_columns[] = {
	{"lane", "LANE", COLUMN_COUNT},         {"entries", "ENTRIES", COLUMN_COUNT},
	{"capacity", "CAPACITY", COLUMN_COUNT}, {"committed_seq", "COMMITTED", COLUMN_COUNT},
	{"acked_seq", "ACKED", COLUMN_COUNT},   {"applied_seq", "APPLIED", COLUMN_COUNT},
	{"lag_records", "LAG", COLUMN_COUNT},   {"waiting", "WAITING", COLUMN_COUNT},
};

/* For the table only: the figure, or that everything would be lost. */
static void put_risk(json_t *row)
{
	char text[24] = "-";

	if (get_yes(row, "at_risk_all"))
		snprintf(text, sizeof(text), "all");
	else if (json_is_integer(json_object_get(row, "at_risk_records")))
		snprintf(text, sizeof(text), "%" PRIu64, get_count(row, "at_risk_records"));
	put_text(row, "at_risk", text);
}

static void list_text(const struct output *o, json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) put_risk(row);
	output_table(o, rows, list_columns, HAVEN_ARRAY_LEN(list_columns));
}

/* The rows of all checkpoints, which the caller frees; 0 or the exit code. */
static int rows_read(struct context *c, json_t **rows)
{
	struct session s;
	int code = session_open(&s, c);

	if (!code)
		*rows = model_checkpoints(&s);
	session_close(&s);
	return code;
}

static int list_run(struct context *c)
{
	json_t *rows;
	int code = rows_read(c, &rows);

	if (code)
		return code;
	if (c->out.json && !c->quiet) {
		output_json("checkpoint-list/1", rows);
		return EXIT_GOOD;
	}
	if (!c->quiet)
		list_text(&c->out, rows);
	json_decref(rows);
	return EXIT_GOOD;
}

static void print_names(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
}

static void show_risk(const json_t *row)
{
	if (get_yes(row, "at_risk_all"))
		printf("  if this node fails now: everything is lost, no other node is in sync\n");
	else if (json_is_integer(json_object_get(row, "at_risk_records")))
		printf("  if this node fails now: %" PRIu64 " records are lost, none of them "
		       "acknowledged\n",
		       get_count(row, "at_risk_records"));
}

static void show_text(const struct output *o, const json_t *row)
{
	bool region = !strcmp(get_text(row, "kind"), "region");

	printf("%s of %s on %s: %s, component %s\n", get_text(row, "name"),
	       get_text(row, "instance"), get_text(row, "node"), get_text(row, "role"),
	       get_text(row, "component"));
	if (region)
		printf("  region, mode %s, blocks of %" PRIu64 " bytes", get_text(row, "mode"),
		       get_count(row, "value_bytes"));
	else
		printf("  table, mode %s, keys of %" PRIu64 " bytes, values of %" PRIu64,
		       get_text(row, "mode"), get_count(row, "key_bytes"),
		       get_count(row, "value_bytes"));
	printf("; %" PRIu64 " of %" PRIu64 " %s in use\n", get_count(row, "entries"),
	       get_count(row, "capacity"), region ? "blocks" : "entries");
	printf("  in sync: ");
	print_names(json_object_get(row, "in_sync"));
	printf("\n");
	show_risk(row);
	output_table(o, json_object_get(row, "lanes"), lane_columns, HAVEN_ARRAY_LEN(lane_columns));
}

static int show_run(struct context *c)
{
	json_t *rows, *found, *row;
	size_t i;
	int code = rows_read(c, &rows);

	if (code)
		return code;
	found = json_array();
	json_array_foreach(rows, i, row) if (checkpoint_named(c->args[0], get_text(row, "instance"),
							      get_text(row, "name")))
		json_array_append(found, row);
	json_decref(rows);
	if (!json_array_size(found)) {
		json_decref(found);
		return output_fail(&c->out, EXIT_NO_OBJECT, "see havenctl checkpoint list",
				   "no node here has a checkpoint \"%s\"", c->args[0]);
	}
	if (c->out.json && !c->quiet) {
		output_json("checkpoint/1", found);
		return EXIT_GOOD;
	}
	for (i = 0; !c->quiet && i < json_array_size(found); i++) {
		if (i)
			putchar('\n');
		show_text(&c->out, json_array_get(found, i));
	}
	json_decref(found);
	return EXIT_GOOD;
}

const struct command command_checkpoint_list = {
	.name = "checkpoint list",
	.arguments = "",
	.summary = "tables and regions, how full, and what a failure would lose",
	.details =
		"List the checkpoints of the nodes read. LAG is what the primary has committed and "
		"not every in-sync secondary has acknowledged; AT RISK is what would be lost if "
		"the node failed now: the lag, and in mode dirty the values that are in no record "
		"yet; \"all\" when no other node is in sync.",
	.run = list_run,
};

const struct command command_checkpoint_show = {
	.name = "checkpoint show",
	.arguments = "NAME",
	.args_min = 1,
	.args_max = 1,
	.objects = "checkpoint",
	.summary = "one checkpoint on every node, lane by lane",
	.details = "Show a checkpoint on every node read: its shape, who is in sync, and for each "
		   "lane how full it is, what is committed, acknowledged and applied. NAME is the "
		   "application's name for it, or INSTANCE/NAME where several instances have one "
		   "of that name.",
	.run = show_run,
};
