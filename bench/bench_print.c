/* SPDX-License-Identifier: BSD-3-Clause */
/* How results leave the program: a table for people, one object for machines (bench/1). */
#include <stdio.h>
#include <string.h>

#include "bench.h"

static bool met(const struct bench_result *ours, const struct bench_peer *peer)
{
	return bench_ratio(ours, peer) <= peer->goal;
}

/* The comparison that is nearest to its goal or furthest beyond; without goals the first. */
static const struct bench_peer *deciding(const struct bench_result *r)
{
	const struct bench_peer *worst = r->peers ? &r->peer[0] : NULL;

	for (unsigned i = 1; i < r->peers; i++) {
		const struct bench_peer *p = &r->peer[i];

		if (p->goal > 0 &&
		    (worst->goal <= 0 ||
		     bench_ratio(r, p) / p->goal > bench_ratio(r, worst) / worst->goal))
			worst = p;
	}
	return worst;
}

static void name_whole(const struct bench_result *r, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s", r->section, r->section[0] ? ": " : "", r->name);
}

static json_t *comparison_json(const struct bench_result *r, const struct bench_peer *p)
{
	json_t *o = json_pack("{s:s, s:f, s:f}", "peer_name", p->line->name, "peer",
			      p->line->all.p50, "ratio", bench_ratio(r, p));

	if (p->goal > 0) {
		json_object_set_new(o, "goal", json_real(p->goal));
		json_object_set_new(o, "met", json_boolean(met(r, p)));
	}
	return o;
}

static json_t *result_json(const struct bench_result *r)
{
	const struct bench_peer *worst = deciding(r);
	bool good = r->goal <= 0 || r->all.p50 <= r->goal, goals = r->goal > 0;
	json_t *o, *others;
	char name[160];

	name_whole(r, name, sizeof(name));
	o = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:i, s:I}", "name", name, "unit",
		      r->unit, "n", (json_int_t)r->n, "p50", r->all.p50, "p90", r->all.p90, "p99",
		      r->all.p99, "p999", r->all.p999, "max", r->all.max, "rounds", (int)r->rounds,
		      "stalls", (json_int_t)r->stalls);
	if (r->false_alarms > 0)
		json_object_set_new(o, "false_alarms", json_integer((json_int_t)r->false_alarms));
	if (r->updates_per_s > 0)
		json_object_set_new(o, "updates_per_s", json_real(r->updates_per_s));
	if (r->goal > 0)
		json_object_set_new(o, "goal_p50", json_real(r->goal));
	if (worst) {
		json_t *first = comparison_json(r, worst);

		json_object_update(o, first);
		json_decref(first);
		others = json_array();
		for (unsigned i = 0; i < r->peers; i++) {
			json_array_append_new(others, comparison_json(r, &r->peer[i]));
			goals = goals || r->peer[i].goal > 0;
			good = good && (r->peer[i].goal <= 0 || met(r, &r->peer[i]));
		}
		json_object_set_new(o, "peers", others);
	} else if (r->goal > 0) {
		json_object_set_new(o, "goal", json_real(r->goal));
	}
	if (goals)
		json_object_set_new(o, "met", json_boolean(good));
	return o;
}

json_t *bench_json(const struct bench *b, json_t *environment)
{
	json_t *results = json_array();

	for (unsigned i = 0; i < b->n; i++)
		json_array_append_new(results, result_json(&b->result[i]));
	json_object_set_new(environment, "stall_max_ns", json_integer((json_int_t)b->stall_max_ns));
	json_object_set_new(environment, "stalls_over_100us", json_integer((json_int_t)b->stalls));
	json_object_set_new(environment, "quick", json_boolean(b->quick));
	return json_pack("{s:s, s:s, s:o, s:o}", "schema", "bench/1", "case", b->case_name,
			 "environment", environment, "results", results);
}

struct tally {
	unsigned goals, met;
};

static const char *verdict(struct tally *t, bool good)
{
	t->goals++;
	t->met += good;
	return good ? "met" : "MISSED";
}

static void print_comparisons(const struct bench_result *r, struct tally *t)
{
	for (unsigned i = 0; i < r->peers; i++) {
		const struct bench_peer *p = &r->peer[i];

		printf("    %-30s / %-30s %8.3f", r->name, p->line->name, bench_ratio(r, p));
		if (p->goal > 0)
			printf("  goal %.3g %s", p->goal, verdict(t, met(r, p)));
		putchar('\n');
	}
}

static void print_line(const struct bench_result *r, struct tally *t)
{
	printf("  %-32s %10llu %9.1f %9.1f %9.1f %9.1f %10.1f %6llu", r->name,
	       (unsigned long long)r->n, r->all.p50, r->all.p90, r->all.p99, r->all.p999,
	       r->all.max, (unsigned long long)r->stalls);
	if (r->false_alarms > 0)
		printf("  %llu false alarms", (unsigned long long)r->false_alarms);
	if (r->updates_per_s > 0)
		printf("  %.0f updates/s", r->updates_per_s);
	if (r->goal > 0)
		printf("  goal %g %s", r->goal, verdict(t, r->all.p50 <= r->goal));
	putchar('\n');
}

void bench_print(const struct bench *b)
{
	struct tally t = {0};

	for (unsigned i = 0, from = 0; i < b->n; i++) {
		const struct bench_result *r = &b->result[i];

		if (i == 0 || strcmp(r->section, b->result[i - 1].section) != 0) {
			from = i;
			printf("%s%s\n  %-32s %10s %9s %9s %9s %9s %10s %6s\n", i ? "\n" : "",
			       r->section[0] ? r->section : b->case_name, r->unit, "n", "p50",
			       "p90", "p99", "p99.9", "max", "stalls");
		}
		print_line(r, &t);
		if (i + 1 == b->n || strcmp(r->section, b->result[i + 1].section) != 0)
			for (; from <= i; from++)
				print_comparisons(&b->result[from], &t);
	}
	printf("\nmedians over rounds, max of all; stalls: interruptions of over 100 us while the "
	       "line was measured\nafterwards a busy loop was stopped %llu times for over 100 us, "
	       "at "
	       "most %.0f us\n%u of %u goals met\n",
	       (unsigned long long)b->stalls, (double)b->stall_max_ns / 1e3, t.met, t.goals);
}
