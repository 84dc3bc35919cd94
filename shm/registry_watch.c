/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of changes (broadcast.h). A change stands in it under its own number, which is the count
 * of changes that registry_changes() shows right afterwards (W3 in registry_update.c).
 */
#include "registry_inner.h"

static struct broadcast_shape shape_of(uint32_t slots)
{
	return (struct broadcast_shape){.slots = slots,
					.record_bytes = sizeof(struct registry_change)};
}

uint64_t registry_watch_bytes(uint32_t slots)
{
	const struct broadcast_shape shape = shape_of(slots);

	return broadcast_bytes(&shape);
}

void registry_watch_init(struct registry *r)
{
	const struct broadcast_shape shape = shape_of(r->shape.changes);

	broadcast_init(r->watch, &shape);
}

void registry_watch_tell(struct registry *r, uint64_t seq, enum registry_change_kind kind,
			 const struct registry_hot *hot)
{
	const struct broadcast_shape shape = shape_of(r->shape.changes);
	struct registry_change change = {
		.handle = hot->handle, .kind = kind, .slot = registry_slot_of(hot->handle)};

	memcpy(change.name, hot->name, sizeof(change.name));
	broadcast_publish_as(r->watch, &shape, seq, &change);
}

uint64_t registry_watch_read(const struct registry *r, uint64_t *position,
			     struct registry_change *out, uint64_t *missed)
{
	const struct broadcast_shape shape = shape_of(r->shape.changes);
	uint64_t from = *position, uncounted = 0, seq;
	struct registry_change change;

	seq = broadcast_read(r->watch, &shape, position, &change, &uncounted);
	/* The ring does not count for who starts at 0; here 0 is a known state, the empty one. */
	*missed += *position - from - (seq != 0);
	if (seq) {
		change.name[HAVEN_NAME_MAX - 1] = 0;
		*out = change;
	}
	return seq;
}
