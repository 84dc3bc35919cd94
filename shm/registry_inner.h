/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the registry's own files share: places of objects, and the node's private bookkeeping.
 */
#ifndef HAVEN_REGISTRY_INNER_H
#define HAVEN_REGISTRY_INNER_H

#include "hash.h"
#include "registry.h"

#define REGISTRY_INDEX_SLOTS 1024u
#define REGISTRY_EVENTS_SLOTS 4096u
/** Objects: one for each component, as many again for updates, the rest for what readers hold. */
#define REGISTRY_ARENA_SLOTS (4 * REGISTRY_COMPONENTS_MAX)
#define REGISTRY_INDEX_EMPTY 0u
#define REGISTRY_INDEX_DELETED UINT32_MAX
#define REGISTRY_NONE UINT32_MAX
#define REGISTRY_SLOT_BITS 16
HAVEN_STATIC_ASSERT(REGISTRY_COMPONENTS_MAX <= 1u << REGISTRY_SLOT_BITS, "a handle names any slot");

enum registry_place { PLACE_FREE = 0, PLACE_USED, PLACE_RETIRED };

enum retired_kind { RETIRED_OBJECT = 0, RETIRED_SLOT, RETIRED_GATES, RETIRED_LANES };

struct registry_retired {
	uint64_t epoch, at_ns;
	uint32_t first, count;
	enum retired_kind kind;
};

/** Each object, slot, gate and lane line is retired once before it is reclaimed, so the queue never
 *  overflows. */
#define REGISTRY_RETIRED_MAX 2048u
HAVEN_STATIC_ASSERT(REGISTRY_ARENA_SLOTS + REGISTRY_COMPONENTS_MAX + REGISTRY_GATES_MAX +
				    REGISTRY_LANES_MAX <=
			    REGISTRY_RETIRED_MAX,
		    "room for everything that can be retired");

/** The node's own bookkeeping: decisions rest on it, not on the mapped words. */
struct registry_writer {
	uint64_t generation; /**< of the newest handle; never goes back */
	uint64_t handle[REGISTRY_COMPONENTS_MAX];
	uint8_t slot[REGISTRY_COMPONENTS_MAX]; /**< enum registry_place, also below */
	uint8_t gate[REGISTRY_GATES_MAX];
	uint8_t lane[REGISTRY_LANES_MAX];
	uint32_t object[REGISTRY_COMPONENTS_MAX]; /**< arena place of each slot's object */
	uint32_t free_object[REGISTRY_ARENA_SLOTS], free_objects;
	struct registry_retired retired[REGISTRY_RETIRED_MAX];
	uint32_t retired_head, retired_count;
};

/** Check the header against the file's size and set the addresses; `what` names it in sentences. */
int registry_bind(struct registry *r, const char *what, struct error_text *error);

/** Shut a gate and give it a role, an epoch and a new generation. */
void registry_gate_change(struct registry_gate *g, enum haven_role role, uint64_t epoch);

static inline struct registry_component *registry_object(const struct registry *r, uint32_t place)
{
	return (struct registry_component *)(void *)(r->base + r->arena_offset) + place;
}

static inline uint32_t registry_hash(const struct registry *r, const char *name)
{
	return (uint32_t)hash_bytes(name, strlen(name), REGISTRY_MAGIC) & (r->index_slots - 1);
}

#endif
