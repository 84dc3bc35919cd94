/* SPDX-License-Identifier: BSD-3-Clause */
/** The registry as this node's configuration wants it. */
#ifndef HAVEN_REGISTRY_START_H
#define HAVEN_REGISTRY_START_H

#include "config.h"
#include "error.h"
#include "registry.h"

struct haven_node;

/** Whether this host has room for it; adds findings. `me` may be NULL: no node was named. */
void registry_start_check(struct config *c, const struct config_node *me);
/** What the configuration asks for, near the CPU of the poll loop. */
void registry_start_want(const struct haven_node *n, struct registry_config *out);
/** registry_prepare(); a sandbox that forbids to choose the NUMA node is no error unless the
 *  configuration names one. */
int registry_start_prepare(struct haven_node *n, struct registry_config *wanted,
			   struct error_text *error);
/** Warn when huge pages were asked for and not given: the node runs all the same. */
void registry_start_tell(const struct haven_node *n);

#endif
