/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Who owns what: for each slot of the registry the process that its component belongs to, for each
 * process the list of its components. Everything is O(1) but the sweeps of their caller; 16 bytes
 * per slot, made at start. Poll loop's (or start's, before it runs). Knows nothing of the registry
 * but slot numbers.
 *
 * The owner is a process (pid and start time), not a connection: so a process that comes back to a
 * restarted node is recognised by the kernel's word alone, whichever of its connections is first,
 * and has its components at once.
 *
 *   attached   at least one client of the process is attached
 *   pending    it had components in the registry of an earlier node; not heard of yet
 *   leaving    it ended, or its last client hung up: its components are being removed
 *
 * A process that leaves stays in the books until its components are gone; when it attaches again
 * meanwhile, that is another entry.
 */
#ifndef HAVEN_OWNER_H
#define HAVEN_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/** Processes known at a time. Applications attached are at most REGISTRY_CLIENTS_LIMIT; the rest is
 *  for those that leave and those that have not come back. */
#define OWNER_PROCESSES 4096u
#define OWNER_NONE UINT16_MAX
#define OWNER_NO_SLOT UINT32_MAX

enum owner_state { OWNER_FREE = 0, OWNER_ATTACHED, OWNER_PENDING, OWNER_LEAVING };

/** How a slot is owned. */
enum owner_use {
	OWNER_USE_NONE = 0, /**< free, or nobody's */
	OWNER_USE_LISTED,   /**< in the list of its process */
	OWNER_USE_LOCAL,    /**< a component with instances; `number` says which (local.h) */
};

struct owner_slot {
	uint32_t next, prev; /**< in the list, OWNER_NO_SLOT: end */
	uint32_t number;     /**< OWNER_USE_LOCAL: the caller's */
	uint16_t process;    /**< OWNER_USE_LISTED */
	uint8_t use;         /**< enum owner_use */
	uint8_t pending;     /**< not claimed since it was adopted */
};

struct owner_process {
	uint64_t pid_start_ticks;
	int32_t pid;
	uint32_t first, last; /**< of its list */
	uint32_t count;
	uint32_t clients;
	uint32_t claim; /**< next slot of the claiming sweep, OWNER_NO_SLOT: done */
	uint32_t swept; /**< components removed since it leaves, or claimed since it is back */
	uint16_t chain; /**< next of the same hash */
	uint16_t queue; /**< next that leaves, or next that claims */
	uint8_t state;  /**< enum owner_state */
	bool ended;     /**< the process has provably ended */
	bool queued;    /**< leaving: in that queue, else: in the claiming one */
};

struct owner_queue {
	uint16_t head, tail;
};

struct owner_books {
	struct owner_slot *slot;
	uint32_t slots;
	uint32_t n_pending; /**< processes in that state */
	uint32_t used;      /**< entries in use are below this index */
	struct owner_queue leaving, claiming;
	uint16_t bucket[OWNER_PROCESSES];
	struct owner_process process[OWNER_PROCESSES];
};

/** Returns 0 or -HAVEN_ENOMEM. */
int owner_books_new(struct owner_books *b, uint32_t slots);
void owner_books_free(struct owner_books *b);

/** Entry of a process that is attached or pending, OWNER_NONE: there is none. */
uint16_t owner_find(const struct owner_books *b, int32_t pid, uint64_t pid_start_ticks);
/** New entry in state pending. OWNER_NONE: the books are full. */
uint16_t owner_open(struct owner_books *b, int32_t pid, uint64_t pid_start_ticks);
/** A client of the process attaches; what is pending for it begins to be claimed. OWNER_NONE: the
 *  books are full. */
uint16_t owner_attach(struct owner_books *b, int32_t pid, uint64_t pid_start_ticks);
/** A client that attached lets go; after the last one the process leaves. */
void owner_detach(struct owner_books *b, uint16_t process);
/** The process has provably ended: it leaves, whoever is attached still. Idempotent. */
void owner_ended(struct owner_books *b, uint16_t process);
/** First process whose components are to be removed, or to be claimed; OWNER_NONE: none. */
static inline uint16_t owner_leaving(const struct owner_books *b)
{
	return b->leaving.head;
}
static inline uint16_t owner_claiming(const struct owner_books *b)
{
	return b->claiming.head;
}
/** All is done for the first of the leaving ones: its entry goes with its last client. */
void owner_left(struct owner_books *b);
/** All is done for the first of the claiming ones. */
void owner_claimed(struct owner_books *b);

/** Put a slot that nobody owns into the list of a process, at its end. */
void owner_add(struct owner_books *b, uint16_t process, uint32_t slot, bool pending);
/** Take a listed slot out. */
void owner_remove(struct owner_books *b, uint32_t slot);
/** A slot that is not listed is the caller's `number` from now on, or nobody's. */
void owner_local(struct owner_books *b, uint32_t slot, uint32_t number);
void owner_local_end(struct owner_books *b, uint32_t slot);

/** Process in whose list the slot is, OWNER_NONE: in none. */
static inline uint16_t owner_of(const struct owner_books *b, uint32_t slot)
{
	return b->slot[slot].use == OWNER_USE_LISTED ? b->slot[slot].process : OWNER_NONE;
}

#endif
