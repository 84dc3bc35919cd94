/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_args.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define TRACE_LINES 120u

void sim_args_usage(FILE *to)
{
	fputs("haven-sim --seeds FROM-TO | --seed N | --regress FILE\n"
	      "  --trace            print every event of the seed\n"
	      "  --lines N          lines of trace to print on failure (120)\n"
	      "  --nodes 3...32     number of nodes (drawn)\n"
	      "  --length short|long|classic   how long faults last (drawn)\n"
	      "  --mode 2w|3|2f|mixed   two nodes and a witness, all alike, two nodes of which "
	      "one\n"
	      "                     has the other killed; mixed: the first two (mixed)\n"
	      "  --jobs N           worker processes (1)\n"
	      "  --time-limit S     stop after S seconds, successfully\n"
	      "  --replay-check     run each seed twice and compare\n"
	      "  --expect-failure   exit 0 only if a seed fails\n",
	      to);
}

static bool parse_number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool parse_range(const char *text, struct sim_args *a)
{
	char first[32];
	const char *dash = strchr(text, '-');

	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return false;
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = '\0';
	return parse_number(first, &a->from) && parse_number(dash + 1, &a->to) && a->from <= a->to;
}

static bool parse_mode(const char *text, struct sim_overrides *fixed)
{
	if (!strcmp(text, "2w"))
		fixed->mode = SIM_MODE_2W;
	else if (!strcmp(text, "3"))
		fixed->mode = SIM_MODE_3;
	else if (!strcmp(text, "2f"))
		fixed->mode = SIM_MODE_2F;
	else if (!strcmp(text, "mixed"))
		fixed->mode = SIM_MODE_MIXED;
	else
		return false;
	return true;
}

static bool parse_length(const char *text, struct sim_overrides *fixed)
{
	static const char *const names[] = {"", "short", "long", "classic"};

	for (unsigned k = SIM_LENGTH_SHORT; k <= SIM_LENGTH_CLASSIC; k++) {
		fixed->length = (enum sim_length)k;
		if (!strcmp(text, names[k]))
			return true;
	}
	return false;
}

static bool parse_option(int option, const char *value, struct sim_args *a)
{
	uint64_t number = 0;
	bool is_number = value && parse_number(value, &number);

	switch (option) {
	case 's':
		return parse_range(value, a);
	case '1':
		a->from = a->to = number;
		a->single = true;
		return is_number;
	case 'g':
		a->regress = value;
		return true;
	case 't':
		a->trace = true;
		return true;
	case 'l':
		a->lines = (unsigned)number;
		return is_number;
	case 'n':
		a->fixed.nodes = (unsigned)number;
		return is_number && number >= 3 && number <= SIM_NODES;
	case 'm':
		return parse_mode(value, &a->fixed);
	case 'L':
		return parse_length(value, &a->fixed);
	case 'j':
		a->jobs = (unsigned)number;
		return is_number && number >= 1 && number <= SIM_JOBS_MAX;
	case 'T':
		a->time_limit_ns = number * NSEC_PER_SEC;
		return is_number;
	case 'r':
		a->replay = true;
		return true;
	case 'x':
		a->expect_failure = true;
		return true;
	}
	return false;
}

bool sim_args_parse(int argc, char **argv, struct sim_args *a)
{
	static const struct option options[] = {{"seeds", required_argument, NULL, 's'},
						{"seed", required_argument, NULL, '1'},
						{"regress", required_argument, NULL, 'g'},
						{"trace", no_argument, NULL, 't'},
						{"lines", required_argument, NULL, 'l'},
						{"nodes", required_argument, NULL, 'n'},
						{"mode", required_argument, NULL, 'm'},
						{"length", required_argument, NULL, 'L'},
						{"jobs", required_argument, NULL, 'j'},
						{"time-limit", required_argument, NULL, 'T'},
						{"replay-check", no_argument, NULL, 'r'},
						{"expect-failure", no_argument, NULL, 'x'},
						{NULL, 0, NULL, 0}};
	int option;

	optind = 0;
	*a = (struct sim_args){.from = 1, .to = 0, .jobs = 1, .lines = TRACE_LINES};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!parse_option(option, optarg, a))
			return false;
	return optind == argc && (a->from <= a->to || a->regress);
}
