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

static const struct bench_case *const cases[] = {
	&bench_gate,         &bench_table,  &bench_registry,
	&bench_rcu,          &bench_detect, &bench_failover,
	&bench_false_alarms, &bench_mirror, &bench_heartbeat,
	&bench_takeover,     NULL};

static void usage(FILE *to)
{
	fputs("usage: haven-bench CASE [--quick] [--json FILE] [--local] [--peers] [--picture "
	      "FILE]\n"
	      "       haven-bench --list | --help\n"
	      "  --quick      a fraction of the work, to try a case out\n"
	      "  --json FILE  also write the result as one object (bench/1)\n"
	      "  --local      detect: on this machine, between processes\n"
	      "  --peers      detect: between nodes, beside FRR, keepalived and corosync\n"
	      "               mirror: also Redis with a replica, and corosync's CPG\n"
	      "  --rounds N   failover: faults per cause (default 1000, at most 10000);\n"
	      "               takeover: of each size (default 20)\n"
	      "  --hot, --warm   takeover: these standbys only\n"
	      "  --picture FILE  false-alarms: draw the curve as PNG (needs gnuplot)\n"
	      "  --list       names of the cases, one a line\n"
	      "cases:\n",
	      to);
	for (const struct bench_case *const *c = cases; *c; c++)
		fprintf(to, "  %-12s %s\n", (*c)->name, (*c)->claim);
}

static int list(void)
{
	for (const struct bench_case *const *c = cases; *c; c++)
		puts((*c)->name);
	return 0;
}

static const struct bench_case *case_find(const char *name)
{
	for (const struct bench_case *const *c = cases; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int measure(const struct bench_case *chosen, struct bench *b, const char *file)
{
	json_t *environment = bench_environment(), *whole;
	int code;

	b->case_name = chosen->name;
	b->sample = calloc(BENCH_SAMPLES_MAX, sizeof(*b->sample));
	if (!b->sample) {
		fputs("haven-bench: memory ran out\n", stderr);
		return 1;
	}
	bench_cpus(); /* learns what we may use before anything is pinned */
	code = chosen->run(b);
	if (!code) {
		bench_watch_stalls(b, b->quick ? NSEC_PER_SEC / 10 : NSEC_PER_SEC);
		bench_print(b);
	}
	whole = bench_json(b, environment);
	if (!code && file && json_dump_file(whole, file, JSON_INDENT(2))) {
		fprintf(stderr, "haven-bench: cannot write %s\n", file);
		code = 1;
	}
	json_decref(whole);
	free(b->sample);
	return code;
}

int main(int argc, char **argv)
{
	enum {
		JSON = 'j',
		QUICK = 'q',
		LOCAL = 'o',
		PEERS = 'p',
		PICTURE = 'i',
		ROUNDS = 'r',
		HOT = 't',
		WARM = 'w',
		LIST = 'l',
		HELP = 'h'
	};
	static const struct option options[] = {{"json", required_argument, NULL, JSON},
						{"quick", no_argument, NULL, QUICK},
						{"local", no_argument, NULL, LOCAL},
						{"peers", no_argument, NULL, PEERS},
						{"picture", required_argument, NULL, PICTURE},
						{"rounds", required_argument, NULL, ROUNDS},
						{"hot", no_argument, NULL, HOT},
						{"warm", no_argument, NULL, WARM},
						{"list", no_argument, NULL, LIST},
						{"help", no_argument, NULL, HELP},
						{NULL, 0, NULL, 0}};
	const struct bench_case *chosen;
	const char *file = NULL;
	static struct bench b;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case JSON:
			file = optarg;
			break;
		case QUICK:
			b.quick = true;
			break;
		case LOCAL:
			b.local = true;
			break;
		case PEERS:
			b.peers = true;
			break;
		case HOT:
			b.hot = true;
			break;
		case WARM:
			b.warm = true;
			break;
		case ROUNDS:
			b.rounds = (unsigned)atoi(optarg);
			if (b.rounds < 1 || b.rounds > BENCH_ROUNDS_LIMIT) {
				fputs("haven-bench: --rounds wants 1 to 10000\n", stderr);
				return 2;
			}
			break;
		case PICTURE:
			b.picture = optarg;
			break;
		case LIST:
			return list();
		case HELP:
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	chosen = optind == argc - 1 ? case_find(argv[optind]) : NULL;
	if (!chosen) {
		if (optind == argc - 1)
			fprintf(stderr, "haven-bench: there is no case %s\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return measure(chosen, &b, file);
}
