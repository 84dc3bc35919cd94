/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writer side. Three orders carry the guarantees of rcu.h:
 *
 *   Q1  rcu_quiescent(), rcu_leave() [release store of the slot] -> rcu_poll() [acquire load]:
 *       what the reader did before is over when the writer sees the new value.
 *   Q2  rcu_retire_epoch() [release increment] -> reader [acquire load of the counter]: who shows
 *       an epoch in his slot sees every unlink that came before that epoch was opened.
 *   Q3  the fence in rcu_retire_epoch() <-> the fence in rcu_enter(): of "writer unlinks, then
 *       looks at the slot" and "reader sets the slot, then follows links" at least one side sees
 *       the other. Either the writer finds the slot set, or the reader does not find the object.
 *
 * A slot is written by its own thread only, so its values follow each other in the order of that
 * thread's sections: a later value tells that the earlier section is over, too.
 */
#include "rcu.h"

#include <string.h>

#include "haven_types.h"

void rcu_domain_init(struct rcu_domain *d, uint64_t *epoch)
{
	memset(d, 0, sizeof(*d));
	d->epoch = epoch;
}

int rcu_slot_add(struct rcu_domain *d, const uint64_t *word)
{
	uint32_t i = 0;

	while (i < d->used && d->slot[i])
		i++;
	if (i == RCU_SLOTS_MAX)
		return -HAVEN_EFULL;
	d->slot[i] = word;
	if (i == d->used)
		d->used++;
	return (int)i;
}

void rcu_slot_drop(struct rcu_domain *d, int index)
{
	if (index < 0 || (uint32_t)index >= d->used)
		return;
	d->slot[index] = NULL;
	while (d->used && !d->slot[d->used - 1])
		d->used--;
}

uint64_t rcu_retire_epoch(struct rcu_domain *d)
{
	uint64_t epoch = load_relaxed(d->epoch) + 1; /* the writer is alone */

	store_release(d->epoch, epoch); /* Q2 */
	fence_seq();                    /* Q3 */
	return epoch;
}

uint64_t rcu_poll(const struct rcu_domain *d)
{
	uint64_t least = load_relaxed(d->epoch);

	for (uint32_t i = 0; i < d->used; i++) {
		uint64_t seen = d->slot[i] ? load_acquire(d->slot[i]) : 0; /* Q1 */

		if (seen && seen < least)
			least = seen;
	}
	return least;
}
