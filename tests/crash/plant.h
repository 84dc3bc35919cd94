/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Bugs that the kill harness must find. Each is a source of the library compiled once more with
 * this file before it and one PLANT_ name defined: a step of it is put in another place. The
 * product knows nothing of it.
 */
#ifndef HAVEN_CRASH_PLANT_H
#define HAVEN_CRASH_PLANT_H

#include "client_segment.h"
#include "rcu.h"
#include "registry_inner.h"

#if defined(PLANT_SHOWN_BEFORE_FILLED)
/* registry_update.c: the slot shows an object before anything is in it. */
static inline uint32_t plant_object_take(struct registry *r, uint64_t handle)
{
	uint32_t place = registry_object_take(r);

	store_release(&r->directory[registry_slot_of(handle)], place + 1);
	return place;
}
#define registry_object_take(r) plant_object_take((r), c->hot.handle)

#elif defined(PLANT_RETIRED_BEFORE_UNLINKED)
/* registry_update.c: the epoch is opened before the last step that hides the component. Readers of
 * that epoch still find it. */
static inline void plant_index_remove(struct registry *r, uint32_t slot)
{
	store_release(&r->header->rcu_epoch, load_relaxed(&r->header->rcu_epoch) + 1);
	registry_index_remove(r, slot);
}
#define registry_index_remove(r, slot) plant_index_remove((r), (slot))
#define rcu_retire_epoch(domain) load_relaxed((domain)->epoch)

#elif defined(PLANT_LIVE_BEFORE_OWNED)
/* client_segment.c: the state says LIVE while the mark is nobody's; who dies then is missed. */
#define CLIENT_WORKER_CLAIMED CLIENT_WORKER_LIVE

#elif defined(PLANT_READERS_FORGOTTEN)
/* rcu.c: whatever stands in the slots, everything retired counts as free. */
#undef load_acquire
#define load_acquire(word) (0 * *(word))

#elif defined(PLANT_BLOCK_NOT_REDONE)
/* table_repair.c: the block that was being written is not found, and stays torn. */
#include "table_place.h"
#define table_place_block(place, key) (0 * (place)->blocks)

#elif defined(PLANT_MARKS_FORGOTTEN)
/* table_repair.c: what was pushed and not committed counts as pushed. */
#include "table_place.h"
#define table_dirty_all(place, end) ((void)0)

#else
#error "name the bug that is to be planted"
#endif

#endif
