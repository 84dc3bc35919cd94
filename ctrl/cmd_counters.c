/* SPDX-License-Identifier: BSD-3-Clause */
/** havenctl counters: what the nodes count, as the registries describe it. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "counters.h"
#include "session.h"

struct gathering {
	const char *pattern; /**< NULL: everything */
	json_t *rows;
	unsigned damaged; /**< entries, or whole sections, that could not be read */
	struct histogram_copy copy;
};

/* "name" or "name{labels}", as a glob; a word without wildcards may stand anywhere in it. */
static bool matches(const char *pattern, const struct counter_entry *e)
{
	char full[COUNTER_NAME_MAX + COUNTER_LABELS_MAX + 4];

	if (!pattern)
		return true;
	snprintf(full, sizeof(full), "%s{%s}", e->name, e->labels);
	if (!strpbrk(pattern, "*?["))
		return strstr(full, pattern) != NULL;
	return fnmatch(pattern, e->name, 0) == 0 || fnmatch(pattern, full, 0) == 0;
}

static json_t *labels_object(const struct counter_entry *e)
{
	char key[COUNTER_LABELS_MAX], value[COUNTER_LABELS_MAX];
	const char *rest = e->labels;
	json_t *o = json_object();

	while ((rest = counter_label(rest, key, value)))
		put_text(o, key, value);
	return o;
}

static void put_histogram(json_t *o, const struct histogram_copy *copy)
{
	static const struct {
		const char *key;
		uint32_t ppm;
	} quantiles[] = {{"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p999", 999000}};

	put_count(o, "count", copy->count);
	put_count(o, "mean", histogram_mean(copy));
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(quantiles); i++)
		put_count(o, quantiles[i].key, histogram_quantile(copy, quantiles[i].ppm));
	put_count(o, "max", copy->max);
}

static void gather_entry(struct gathering *g, const struct node *n, const struct counters_view *v,
			 const struct counter_entry *e)
{
	json_t *o = json_object();

	put_text(o, "node", node_name(n));
	put_text(o, "name", e->name);
	json_object_set_new(o, "labels", labels_object(e));
	put_text(o, "kind", counter_kind_name(e->kind));
	put_text(o, "unit", e->unit);
	put_text(o, "help", e->help);
	if (e->kind == COUNTER_HISTOGRAM) {
		counters_histogram(v, e, &g->copy);
		put_histogram(o, &g->copy);
	} else {
		put_count(o, "value", counters_value(v, e));
	}
	json_array_append_new(g->rows, o);
}

static void gather_node(struct gathering *g, const struct node *n)
{
	struct counters_view v;

	if (!node_readable(n))
		return;
	if (counters_open(&v, n->registry.counters, n->registry.shape.counters_bytes, NULL)) {
		g->damaged++;
		return;
	}
	for (uint32_t i = 0; i < v.n; i++) {
		struct counter_entry e;

		if (counters_get(&v, i, &e))
			g->damaged++;
		else if (matches(g->pattern, &e))
			gather_entry(g, n, &v, &e);
	}
}

/* ---- text ------------------------------------------------------------------------------------ */

static void cell_labels(const json_t *labels, char *out, size_t size)
{
	size_t used = 0;
	const char *key;
	json_t *value;

	out[0] = 0;
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
	{
		int n = snprintf(out + used, size - used, "%s%s=%s", used ? "," : "", key,
				 json_string_value(value));

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* "ns" becomes a duration, everything else stays a number with its unit. */
static void put_cell(json_t *row, const json_t *o, const char *key)
{
	const char *unit = get_text(o, "unit");
	uint64_t value = get_count(o, key);
	char text[64];

	if (strcmp(unit, "ns") == 0)
		format_duration(value, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put_text(row, key, text);
}

/* A row of texts for a table; histograms and single values have tables of their own. */
static json_t *table_row(const json_t *o, bool histogram)
{
	static const char *const keys[] = {"p50", "p90", "p99", "p999", "max"};
	char name[COUNTER_NAME_MAX + COUNTER_LABELS_MAX + 4], labels[COUNTER_LABELS_MAX];
	json_t *row = json_object();

	cell_labels(json_object_get(o, "labels"), labels, sizeof(labels));
	snprintf(name, sizeof(name), labels[0] ? "%s{%s}" : "%s%s", get_text(o, "name"), labels);
	put_text(row, "node", get_text(o, "node"));
	put_text(row, "name", name);
	put_text(row, "unit", get_text(o, "unit"));
	if (!histogram) {
		put_count(row, "value", get_count(o, "value"));
		return row;
	}
	put_count(row, "count", get_count(o, "count"));
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(keys); i++)
		put_cell(row, o, keys[i]);
	return row;
}

static bool is_histogram(const json_t *o)
{
	return strcmp(get_text(o, "kind"), counter_kind_name(COUNTER_HISTOGRAM)) == 0;
}

static json_t *table_rows(const json_t *all, bool histograms)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *o = json_array_get(all, i);

		if (is_histogram(o) == histograms)
			json_array_append_new(rows, table_row(o, histograms));
	}
	return rows;
}

static void print_tables(const struct context *c, const json_t *all)
{
	static const struct column single[] = {
		{"node", "NODE", COLUMN_TEXT},
		{"name", "COUNTER", COLUMN_TEXT},
		{"value", "VALUE", COLUMN_COUNT},
		{"unit", "UNIT", COLUMN_TEXT},
	};
	static const struct column histogram[] = {
		{"node", "NODE", COLUMN_TEXT},   {"name", "HISTOGRAM", COLUMN_TEXT},
		{"count", "N", COLUMN_COUNT},    {"p50", "P50", COLUMN_RIGHT},
		{"p90", "P90", COLUMN_RIGHT},    {"p99", "P99", COLUMN_RIGHT},
		{"p999", "P99.9", COLUMN_RIGHT}, {"max", "MAX", COLUMN_RIGHT},
	};
	json_t *rows = table_rows(all, false);

	if (json_array_size(rows))
		output_table(&c->out, rows, single, HAVEN_ARRAY_LEN(single));
	json_decref(rows);
	rows = table_rows(all, true);
	if (json_array_size(rows)) {
		putchar('\n');
		output_table(&c->out, rows, histogram, HAVEN_ARRAY_LEN(histogram));
	}
	json_decref(rows);
}

static int gathered(struct context *c, struct gathering *g)
{
	if (g->pattern && !json_array_size(g->rows) && !g->damaged)
		return output_fail(&c->out, EXIT_NO_OBJECT,
				   "havenctl counters shows all of them; quote a pattern with "
				   "wildcards",
				   "no counter fits \"%s\"", g->pattern);
	if (!c->quiet && c->out.json)
		output_json("counters/1", json_incref(g->rows));
	else if (!c->quiet)
		print_tables(c, g->rows);
	if (g->damaged)
		return output_fail(&c->out, EXIT_REFUSED, "see havenctl registry verify",
				   "%u counters are damaged and not shown", g->damaged);
	return EXIT_GOOD;
}

static int counters_run(struct context *c)
{
	struct gathering *g = calloc(1, sizeof(*g));
	struct session s;
	int code;

	if (!g)
		return output_fail(&c->out, EXIT_REFUSED, NULL, "memory ran out");
	g->pattern = c->n_args ? c->args[0] : NULL;
	g->rows = json_array();
	code = session_open(&s, c);
	for (unsigned i = 0; !code && i < s.n; i++)
		gather_node(g, s.node[i]);
	if (!code)
		code = gathered(c, g);
	session_close(&s);
	json_decref(g->rows);
	free(g);
	return code;
}

const struct command command_counters = {
	.name = "counters",
	.arguments = "[PATTERN]",
	.args_max = 1,
	.summary = "what the nodes count: polls, frames, gaps, grace periods",
	.details =
		"Show the counters of the nodes read, also of a node that is dead or of a copied "
		"registry (--run-dir FILE). PATTERN is a glob for the name, or for name{labels}; "
		"without wildcards it may stand anywhere in it. A histogram is shown with the "
		"number of its values, quantiles that lie at most 1/32 above the true ones, and "
		"the exact maximum. Values are at most a millisecond old.",
	.run = counters_run,
};
