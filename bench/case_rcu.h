/* SPDX-License-Identifier: BSD-3-Clause */
/** The two halves of the RCU's benchmark. */
#ifndef HAVEN_CASE_RCU_H
#define HAVEN_CASE_RCU_H

#include "bench.h"

/** How long news take to another process, and memory to come back from readers there. */
int rcu_reach(struct bench *b);

#endif
