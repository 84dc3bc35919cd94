/* SPDX-License-Identifier: BSD-3-Clause */
/** The two halves of the registry's benchmark. */
#ifndef HAVEN_CASE_REGISTRY_H
#define HAVEN_CASE_REGISTRY_H

#include "lookup.h"

#define CASE_SIZES 3u
#define CASE_SIZE_MAX 1000000u

extern const uint32_t case_sizes[CASE_SIZES];

/** What adding, updating, removing and iterating cost per component. `reader` is a process. */
int registry_costs(struct bench *b, struct crew_member *reader);

#endif
