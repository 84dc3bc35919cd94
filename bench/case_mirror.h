/* SPDX-License-Identifier: BSD-3-Clause */
/** The two halves of the benchmark of mirroring. */
#ifndef HAVEN_CASE_MIRROR_H
#define HAVEN_CASE_MIRROR_H

#include "bench.h"

/** Lines that peers are compared with. */
struct mirror_lines {
	struct bench_result *rate; /**< one record at the standby, commits of 128 */
	struct bench_result *wait; /**< one put until it is acknowledged */
};

/** The same by other projects' programs, after Haven's cluster is gone: on two CPUs they would
 *  disturb each other. What is not installed is left out with a line that says so. */
int mirror_peers(struct bench *b, const struct mirror_lines *own);

#endif
