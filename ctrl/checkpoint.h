/* SPDX-License-Identifier: BSD-3-Clause */
/** One checkpoint of one node, named on the command line. */
#ifndef HAVENCTL_CHECKPOINT_H
#define HAVENCTL_CHECKPOINT_H

#include "model.h"
#include "session.h"
#include "table.h"

struct checkpoint {
	const struct node *node;
	struct registry_component component;
	uint32_t first;            /**< its first lane line */
	struct registry_lane lane; /**< a copy of that */
	struct registry_checkpoint what;
	enum haven_role role;
	uint64_t generation; /**< of its gate */
	const char *instance;
};

/** Is checkpoint `name` of `instance` meant by this NAME or INSTANCE/NAME? */
bool checkpoint_named(const char *given, const char *instance, const char *name);
/** Next checkpoint of the nodes read that `given` names (NULL: every one), in the order of nodes
 * and lane lines; `*cursor` starts at 0. False at the end. */
bool checkpoint_next(struct checkpoint *p, const struct session *s, uint64_t *cursor,
		     const char *given);
/** The one that NAME or INSTANCE/NAME means: the primary's, else that of an in-sync secondary, of a
 *  node that runs. Returns EXIT_GOOD or the code of a told error. */
int checkpoint_find(struct checkpoint *p, const struct session *s, const char *name);
/** Have the node hand out its segment and map it, to be read. The same. */
int checkpoint_map(const struct checkpoint *p, const struct context *c, struct table *t);
/** True while role and epoch of the node for it are what they were when it was found. */
bool checkpoint_same(const struct checkpoint *p);
struct table_shape checkpoint_shape(const struct checkpoint *p);

#endif
