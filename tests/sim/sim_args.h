/* SPDX-License-Identifier: BSD-3-Clause */
/** The command line of haven-sim. */
#ifndef HAVEN_SIM_ARGS_H
#define HAVEN_SIM_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sim_options.h"

#define SIM_JOBS_MAX 16u

struct sim_args {
	uint64_t from, to;
	bool single, trace, replay, expect_failure;
	unsigned jobs, lines;
	uint64_t time_limit_ns;
	const char *regress;
	struct sim_overrides fixed;
};

void sim_args_usage(FILE *to);
/** False when the command line is not a valid one. May be called again with other arguments. */
bool sim_args_parse(int argc, char **argv, struct sim_args *a);

#endif
