/* SPDX-License-Identifier: BSD-3-Clause */
/** Where to run: the CPU of the poll loop and the memory near it, by hwloc. */
#ifndef HAVEN_PLACEMENT_H
#define HAVEN_PLACEMENT_H

#include "error.h"

/**
 * CPU for the poll loop. `wanted` >= 0: that one, if this process may use it. Otherwise the
 * machine's allowed processing units are shared out by `index`, whole cores first, so that several
 * nodes on one machine do not meet before they must.
 * Errors: EINVAL (not allowed; the allowed ones are named), ESYS.
 */
int placement_cpu(int wanted, unsigned index, struct error_text *error);
/** Number of the NUMA node that the CPU belongs to, as the system counts; -1 when there is only
 * one, or nothing is known. */
int placement_numa_node(int cpu);
/** Let the calling thread take its future memory from the NUMA node of the CPU, where that is
 *  possible; elsewhere nothing changes. */
void placement_memory(int cpu);

#endif
