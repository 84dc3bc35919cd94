/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * RCU across processes: readers in any process, one writer (the node's poll loop).
 *
 * The writer owns a counter, `rcu_epoch` in the registry header. A reader slot holds the value of
 * the counter its owner saw at its last quiescent point, or 0 while it holds no reference.
 *
 *   Quiescent readers (packet loops): one acquire load of the counter per burst, and one release
 *   store into the own slot when it has changed.
 *   Enter/leave readers (tools): store the counter, then a full fence, then read; store 0 to leave.
 *
 * Guarantees
 *   R1 An object retired before epoch E was opened is not reused while a live slot shows a value
 *      in 1…E-1.
 *   R2 The writer never waits: rcu_poll() looks once at each slot and returns.
 *   R3 A slot is forgotten only through rcu_slot_drop(), which the caller may invoke only with
 *      proof that the slot's thread is dead. Time never frees anything: a stopped reader still
 *      holds its memory.
 *   R4 A slot's word is hostile input: any value in it delays reuse at worst.
 */
#ifndef HAVEN_RCU_H
#define HAVEN_RCU_H

#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"

#define RCU_SLOTS_MAX 512

struct histogram;

/** Node-private. */
struct rcu_domain {
	uint64_t *epoch;                     /**< the counter in the registry header */
	const uint64_t *slot[RCU_SLOTS_MAX]; /**< words in client segments, NULL: unused */
	uint32_t used;                       /**< slots in use are below this index */
	uint64_t grace_from_ns; /**< when the oldest object still waiting was retired, 0: none */
	uint64_t grace_max_ns;  /**< longest grace period seen */
	const struct histogram *grace; /**< where grace periods are counted, NULL: nowhere */
};

void rcu_domain_init(struct rcu_domain *d, uint64_t *epoch);
/** Watch a reader's word. Returns its index or -HAVEN_EFULL. */
int rcu_slot_add(struct rcu_domain *d, const uint64_t *word);
/** Forget a slot whose thread is provably dead or which was given back in order (R3). */
void rcu_slot_drop(struct rcu_domain *d, int index);
/** Open a new epoch and return it: what was unlinked before is free once rcu_poll() reaches it. */
uint64_t rcu_retire_epoch(struct rcu_domain *d);
/** Greatest epoch E such that everything retired with a value <= E may be reused: the least value
 * in a live slot, or the current epoch when no slot holds one. Never waits. */
uint64_t rcu_poll(const struct rcu_domain *d);

/* ---- reader side: `epoch` is the counter in the mapped registry, `word` the own slot -------- */

/** Quiescent point of a packet loop: no reference from before this call is used after it. Only for
 *  a slot that is not 0: a loop that comes back on line does so with rcu_enter(), whose fence makes
 *  the slot visible before anything is found. */
static inline void rcu_quiescent(const uint64_t *epoch, uint64_t *word)
{
	/* The acquire load (Q2) pairs with the writer's release of the counter, so that objects
	 * unlinked before it are not found again. */
	uint64_t now = load_acquire(epoch);

	/* release (Q1): loads of the section before this line complete before the store is seen.
	 * While no epoch was opened the slot says already what would be stored: nothing was retired
	 * since that the writer could give back, and the line stays shared with the writer. */
	if (__builtin_expect(load_relaxed(word) != now, 0))
		store_release(word, now);
}

/** Enter a section: afterwards nothing found is reused until rcu_leave(). */
static inline void rcu_enter(const uint64_t *epoch, uint64_t *word)
{
	store_relaxed(word, load_acquire(epoch));
	/* Without this fence the first loads of the section may run before the writer can see the
	 * slot, and he may reuse what they find (Q3, pairs with rcu_retire_epoch()). */
	fence_seq();
}

/** Leave a section, or take a quiescent reader off-line before it blocks. */
static inline void rcu_leave(uint64_t *word)
{
	store_release(word, 0);
}

#endif
