/* SPDX-License-Identifier: BSD-3-Clause */
/** The two halves of the benchmark of detection. */
#ifndef HAVEN_CASE_DETECT_H
#define HAVEN_CASE_DETECT_H

#include "bench.h"

/** A killed node of a cluster, beside killed peers of other projects' programs. Needs root. */
int detect_peers(struct bench *b);

#endif
