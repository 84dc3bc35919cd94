/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the registry's own files share: the node's books.
 *
 * The node decides by these alone. The mapped words are what it tells; it never asks them, so a
 * registry that somebody scribbled on misleads its readers at worst.
 */
#ifndef HAVEN_REGISTRY_INNER_H
#define HAVEN_REGISTRY_INNER_H

#include "broadcast.h"
#include "counters.h"
#include "registry.h"

struct rcu_domain;

enum registry_use { USE_FREE = 0, USE_LIVE, USE_RETIRED };

/** One slot of the directory. */
struct writer_slot {
	struct registry_hot own; /**< as published; in a free slot only its handle counts: the last
				      one that was given out for the slot */
	uint32_t place;          /**< of the object */
	uint32_t lanes;          /**< lane lines that it owns */
	uint32_t next, prev;     /**< in the list of free slots, REGISTRY_NONE: end */
	enum registry_use use;
};

struct writer_gate {
	uint64_t epoch, generation;
	uint32_t version;
	uint8_t role; /**< enum haven_role */
	uint8_t use;  /**< enum registry_use */
};

struct writer_lane {
	uint32_t owner; /**< slot, REGISTRY_NONE: nobody */
	uint8_t use;    /**< enum registry_use */
};

enum retired_kind { RETIRED_OBJECT = 0, RETIRED_COMPONENT, RETIRED_LANES };

struct writer_retired {
	uint64_t epoch, at_ns;
	uint32_t first; /**< place, slot, or first lane line */
	uint32_t kind : 2;
	uint32_t count : 30; /**< of lane lines */
};

/** The file while it is made. */
struct registry_file {
	enum pages_kind kind;
	int run, home;     /**< the run directory, and where the file stands */
	const char *where; /**< path of the latter */
	char name[96];     /**< of the file */
	char fresh[104];   /**< until it is published */
	char before[256];  /**< what the run directory's link pointed to, "": there was none */
	bool made;         /**< `fresh` is there */
};

struct registry_writer {
	void *memory; /**< all arrays below, one populated mapping */
	size_t memory_bytes;
	struct registry_bucket *index; /**< as the mapped one, with slot + 1 for the place */
	struct writer_slot *slot;
	uint32_t *entry; /**< of the index, per slot: bucket * REGISTRY_BUCKET_ENTRIES + number;
			    small, so that a change knows its buckets before its slot has come */
	struct writer_gate *gate;
	struct writer_lane *lane;
	uint32_t *free_object;          /**< ring: the longest free is taken first */
	struct writer_retired *retired; /**< ring; an object or lane line waits at most once */
	uint64_t generation;            /**< of the newest handle; never goes back */
	uint64_t changes;
	uint32_t fills;                /**< objects filled; makes their versions differ (C2) */
	uint32_t slot_head, slot_tail; /**< list of free slots: taken from the head */
	uint32_t free_slots;
	uint32_t free_head, free_objects;
	uint32_t retired_head, retired_count, retired_max;
	uint32_t held; /**< objects replaced by updates and still waiting; at most shape.spare */
	uint32_t gate_from, lane_from; /**< nothing below is free */
	struct registry_file file;     /**< until it is published */
	struct counters counters;
};

/** Begin to bring the line at `p` here, to be written. A change touches half a dozen lines that lie
 *  anywhere in a large registry: their misses overlap when they are asked for first. */
static inline void registry_fetch(const void *p)
{
	__builtin_prefetch(p, 1);
}

/* ---- registry_shape.c ---- */

/** Header of a registry of this (complete) shape: counts, offsets, size. The rest is zero. */
struct registry_header registry_layout(const struct registry_shape *shape);
/** True when the header's counts are possible and its sections lie within `bytes`. */
bool registry_layout_fits(const struct registry_header *h, uint64_t bytes);

/* ---- registry_file.c ---- */

/** Make and map `r->size_bytes` zero bytes, and open `r->fd`. registry_file_end() must follow in
 * any case. */
int registry_file_make(struct registry *r, struct registry_file *f, const char *run_dir,
		       const struct registry_config *config, const struct registry_shape *shape,
		       struct error_text *error);
/** Give the file its name. */
int registry_file_publish(struct registry_file *f, struct error_text *error);
void registry_file_end(struct registry_file *f);

/* ---- registry_open.c ---- */

/** Check the header against the file's size and set the addresses; `what` names it in sentences. */
int registry_bind(struct registry *r, const char *what, struct error_text *error);

/* ---- registry_books.c ---- */

/** Make the node's books for a bound registry; slots are given out from `first_slot` on. Returns 0
 *  or -HAVEN_ENOMEM. */
int registry_books_new(struct registry *r, uint64_t generation, uint32_t first_slot);
void registry_books_free(struct registry *r);
/** Take a certain free slot. */
void registry_slot_take(struct registry_writer *w, uint32_t slot);
void registry_slot_free(struct registry_writer *w, uint32_t slot);
/** Slot of a live handle, REGISTRY_NONE when it is stale. */
uint32_t registry_slot_live(const struct registry *r, uint64_t handle);
/** Longest free object; there must be one. */
uint32_t registry_object_take(struct registry *r);
void registry_object_free(struct registry *r, uint32_t place);
void registry_retire(struct registry *r, uint64_t epoch, enum retired_kind kind, uint32_t first,
		     uint32_t count);

/* ---- registry_index.c: the index, private and mapped alike ---- */

/** Slot of the component of that name, REGISTRY_NONE: there is none. */
uint32_t registry_index_seek(const struct registry *r, const struct registry_key *key);
/** Enter a live slot whose object stands at `place`; there is always room. */
void registry_index_add(struct registry *r, const struct registry_key *key, uint32_t slot,
			uint32_t place);
/** Bring the directory's line and the buckets of a slot here; any number will do. `entry_too`: the
 *  private bucket will change, too. */
void registry_index_fetch(const struct registry *r, uint32_t slot, bool entry_too);
/** Let the slot's entry show another object. */
void registry_index_show(struct registry *r, uint32_t slot, uint32_t place);
void registry_index_remove(struct registry *r, uint32_t slot);

/* ---- registry_watch.c: the ring of changes ---- */

uint64_t registry_watch_bytes(uint32_t slots);
void registry_watch_init(struct registry *r);
/** Tell a complete change under its number, which the count of changes is raised to next. */
void registry_watch_tell(struct registry *r, uint64_t seq, enum registry_change_kind kind,
			 const struct registry_hot *hot);

/* ---- registry_read.c ---- */

/** Copy an object that may be replaced and reused meanwhile; true when the copy is whole. Nothing
 *  in it is checked. */
bool registry_object_copy(const struct registry *r, uint32_t place, struct registry_component *out);

/* ---- registry_gate.c ---- */

/** Gates for a new owner. Returns the first or REGISTRY_NONE; 0 for `count` 0. */
uint32_t registry_gates_find(struct registry *r, uint32_t count);
void registry_gates_take(struct registry *r, const struct registry_hot *hot, uint32_t slot);
/** Shut the gates of a removed component; reused after registry_gates_free(). */
void registry_gates_shut(struct registry *r, const struct registry_hot *hot);
void registry_gates_free(struct registry *r, const struct registry_hot *hot);
/** Retire every lane line that the slot owns. */
void registry_lanes_retire(struct registry *r, uint64_t epoch, uint32_t slot);
void registry_lanes_free(struct registry *r, uint32_t first, uint32_t count);

#endif
