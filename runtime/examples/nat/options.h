/* SPDX-License-Identifier: BSD-3-Clause */
/** Command line of haven-nat. */
#ifndef NAT_OPTIONS_H
#define NAT_OPTIONS_H

#include <stdbool.h>

#include "io.h"
#include "nat.h"

struct options {
	struct nat_config nat;
	struct io_options io;
	const char *run_dir; /**< NULL: the library's choice */
	const char *name, *group, *instance, *release;
	const char *stats; /**< NULL: none */
	int ready_fd;      /**< -1: none */
	bool busy;
	char prefix[80];
};

/** Returns 0, or an exit status: 2 after a complaint on stderr, -1 when only help was wanted. */
int options_parse(struct options *o, int argc, char **argv);

#endif
