/* SPDX-License-Identifier: BSD-3-Clause */
/** Parts of the case "heartbeat". */
#ifndef HAVEN_BENCH_CASE_HEARTBEAT_H
#define HAVEN_BENCH_CASE_HEARTBEAT_H

#include <stdio.h>

#include "bench.h"
#include "hearts.h"

/** What refusing a frame costs, by the reason. */
int heartbeat_refused(struct bench *b, struct hearts *h);
/** What good heartbeats wait among a flood of bad frames from one core. */
int heartbeat_flood(struct bench *b, struct hearts *h);

#endif
