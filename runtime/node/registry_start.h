/* SPDX-License-Identifier: BSD-3-Clause */
/** The registry as this node's configuration wants it. */
#ifndef HAVEN_REGISTRY_START_H
#define HAVEN_REGISTRY_START_H

#include "config.h"
#include "error.h"

struct haven_node;

/** Whether this host has room for it; adds findings. `me` may be NULL: no node was named. */
void registry_start_check(struct config *c, const struct config_node *me);
/** Make it, near the CPU of the poll loop, and describe what the node counts. Errors: as
 *  registry_create(). */
int registry_start(struct haven_node *n, struct error_text *error);

#endif
