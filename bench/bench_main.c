/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * haven-bench: measures what Haven costs, with the state of the machine beside the figures.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"

static const struct bench_case *const cases[] = {&bench_gate,     &bench_table, &bench_failover,
						 &bench_registry, &bench_rcu,   NULL};

static void usage(FILE *to)
{
	fputs("usage: haven-bench CASE [--json FILE] [--quick]\n       haven-bench --list\n", to);
	for (const struct bench_case *const *c = cases; *c; c++)
		fprintf(to, "  %-10s %s\n", (*c)->name, (*c)->claim);
}

static const struct bench_case *case_find(const char *name)
{
	for (const struct bench_case *const *c = cases; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int measure(const struct bench_case *chosen, bool quick, const char *file)
{
	static struct bench b;
	json_t *environment = bench_environment(), *whole;
	int code;

	b.case_name = chosen->name;
	b.quick = quick;
	b.sample = calloc(BENCH_SAMPLES_MAX, sizeof(*b.sample));
	if (!b.sample) {
		fputs("haven-bench: memory ran out\n", stderr);
		return 1;
	}
	code = chosen->run(&b);
	if (!code) {
		bench_watch_stalls(&b, quick ? NSEC_PER_SEC / 10 : NSEC_PER_SEC);
		bench_print(&b);
	}
	whole = bench_json(&b, environment);
	if (!code && file && json_dump_file(whole, file, JSON_INDENT(2))) {
		fprintf(stderr, "haven-bench: cannot write %s\n", file);
		code = 1;
	}
	json_decref(whole);
	free(b.sample);
	return code;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", required_argument, NULL, 'j'},
						{"quick", no_argument, NULL, 'q'},
						{"list", no_argument, NULL, 'l'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	const struct bench_case *chosen;
	const char *file = NULL;
	bool quick = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j') {
			file = optarg;
		} else if (option == 'q') {
			quick = true;
		} else {
			usage(option == '?' ? stderr : stdout);
			return option == '?' ? 2 : 0;
		}
	}
	chosen = optind == argc - 1 ? case_find(argv[optind]) : NULL;
	if (!chosen) {
		usage(stderr);
		return 2;
	}
	return measure(chosen, quick, file);
}
