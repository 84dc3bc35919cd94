/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What a node that starts takes over from the registry that an earlier one left in its run
 * directory: every component whose owner still lives, under the same handle, marked
 * REGISTRY_PENDING until the owner attaches.
 *
 * The old file is hostile input: cut short, torn, of another version or of another node. What of it
 * cannot be understood is not taken over, and that is told; the node starts in any case.
 */
#ifndef HAVEN_ADOPT_H
#define HAVEN_ADOPT_H

#include <stdint.h>

#include "error.h"
#include "light.h"
#include "registry.h"

/** How many instances a group has here and the number of the first, which may differ from those of
 *  the earlier node. Negative: this node does not serve such a group. */
typedef int (*adopt_group)(void *context, const char *group, uint16_t *instance_first);

struct adopt_report {
	uint32_t adopted;
	uint32_t processes; /**< owners of them */
	uint32_t dead;      /**< components whose owner has ended */
	uint32_t refused;   /**< components that have no place here: group, slot, gates */
	uint32_t damaged;   /**< slots whose content no node has written */
	uint64_t took_ns;
	struct error_text lost; /**< why nothing could be taken over, "" otherwise */
};

/** Open the registry in `run_dir` that was made for the same cluster and node, and raise the floors
 *  in `config` above what it shows. Returns 0; -HAVEN_ENOENT: there is none; or another negative
 *  error with its sentence in `report->lost`, and then there is nothing to take over. */
int adopt_open(struct registry *old, const char *run_dir, struct registry_config *config,
	       struct adopt_report *report);
/** Take over what is alive. `l` belongs to a new registry that nobody sees yet. */
void adopt_components(struct light *l, const struct registry *old, adopt_group group, void *context,
		      struct adopt_report *report);

#endif
