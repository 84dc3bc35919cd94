/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watching for changes. A position is a number of changes of one registry, so it means nothing in
 * that of the next node: who watches is told once that he must look at everything again.
 */
#include <string.h>

#include "client_internal.h"

HAVEN_STATIC_ASSERT((int)HAVEN_WATCH_ADDED == (int)REGISTRY_ADDED &&
			    (int)HAVEN_WATCH_UPDATED == (int)REGISTRY_UPDATED &&
			    (int)HAVEN_WATCH_REMOVED == (int)REGISTRY_REMOVED,
		    "public kinds are those of the ring");

void haven_watch_begin(const struct haven_reader *r, struct haven_watch *watch)
{
	*watch = (struct haven_watch){.position = registry_changes(r->registry),
				      .attachment = r->at->serial};
}

int haven_watch_next(const struct haven_reader *r, struct haven_watch *watch,
		     struct haven_component_change *out)
{
	struct registry_change change;

	if (watch->attachment != r->at->serial) {
		haven_watch_begin(r, watch);
		return -HAVEN_ESTALE;
	}
	if (!registry_watch_read(r->registry, &watch->position, &change, &watch->missed))
		return 0;
	memset(out, 0, sizeof(*out));
	out->handle = change.handle;
	out->kind = change.kind < REGISTRY_CHANGE_KINDS ? (enum haven_watch_kind)change.kind
							: HAVEN_WATCH_UPDATED;
	memcpy(out->name, change.name, sizeof(out->name));
	return 1;
}
