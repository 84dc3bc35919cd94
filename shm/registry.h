/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The registry segment: what the node tells everybody on its machine, up to a million components.
 *
 * Written by the node alone (its poll loop, except where a field says otherwise), mapped read-only
 * by applications and tools; a file `registry` in the run directory, so that it can be read when
 * the node is dead.
 *
 * - *gates*: one cache line per (component, instance). The application's hot path reads only this.
 * - *lanes*: one cache line per (checkpoint, lane): acknowledgements and consumption; and another
 *   one beside it that says which checkpoint that is.
 * - *clients*: one line and a ring of answers per attached application (request.h).
 * - *status*: one block with a version word, read optimistically (struct registry_status).
 * - *components*: copy-on-update objects, found by name through an index of one line per bucket and
 *   by handle through a directory; replaced objects are reused only after every reader slot passed
 *   (rcu.h). What readers may rely on stands as numbered guarantees in registry_update.c.
 * - *changes*: a broadcast ring that tells what was added, updated and removed.
 *
 * registry_layout.h has the layout, registry_look.h the look-ups.
 */
#ifndef HAVEN_REGISTRY_H
#define HAVEN_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "atomic.h"
#include "counters.h"
#include "error.h"
#include "events.h"
#include "haven_assert.h"
#include "haven_types.h"
#include "pages.h"
#include "registry_layout.h"
#include "registry_look.h"

/** Keys of one bulk look-up. */
#define REGISTRY_BULK_MAX 32u

/* ---- node side (poll loop or start-up; never concurrently) --------------------------------- */

/** What registry_create() is to make; strings are copied. */
struct registry_config {
	const char *cluster, *node, *release;
	uint64_t incarnation, interval_ns, lease_ns, suspect_ns, guard_ns;
	struct registry_shape shape;
	struct pages_options pages;
	const char *huge_dir; /**< absolute path of a hugetlbfs; for PAGES_HUGE only */
	/** What an earlier registry of this node has reached (registry_floors()), 0: none known. */
	uint64_t generation_floor, rcu_epoch_floor;
	/** An earlier registry was lost: who comes back asks for the handles it had, most of them
	 *  in the slots that are given out first. What is new begins in the middle. */
	bool after_loss;
};
/** Bytes of a registry of this shape; defaults are filled in. Returns 0 or -HAVEN_EINVAL with the
 *  sentence that names the field. */
int registry_shape_check(struct registry_shape *shape, uint64_t *bytes, struct error_text *error);
/** What a field of the shape takes, in the order of struct registry_shape. */
struct registry_part {
	const char *name;
	uint32_t count; /**< the field's value */
	uint64_t bytes; /**< of the file */
};
#define REGISTRY_PARTS 8
void registry_shape_parts(const struct registry_shape *shape,
			  struct registry_part out[REGISTRY_PARTS]);
/** Number of the largest part. */
unsigned registry_shape_largest(const struct registry_part part[REGISTRY_PARTS]);
/** Bytes of private memory that the node's books of a complete shape take. */
uint64_t registry_books_bytes(const struct registry_shape *shape);
/**
 * Make `run_dir`/registry anew (written aside, then renamed over an old one), every page of it and
 * of the node's books in place, so that the poll loop takes no fault. Generations start above
 * `generation_floor` and above the wall clock (ms since 2020): a handle is not given out again even
 * when the old file is lost, as long as handles were given out at less than one per ms on average.
 * On PAGES_HUGE the file stands in `huge_dir` and the run directory links to it; its pages stay
 * taken until a node is started there again, or the file is removed.
 * Errors: ENOENT (no such directory), EPERM, ENOMEM (no room: what is needed, what is free, and
 * which field takes most), EINVAL (a name does not fit, the shape, no hugetlbfs, no such NUMA
 * node), ESYS.
 */
int registry_create(struct registry *r, const char *run_dir, const struct registry_config *config,
		    struct error_text *error);
/** The same in two steps, so that what is adopted in between is there before anybody sees the file:
 *  until registry_publish() an old `run_dir`/registry stays what everybody finds, also when the
 *  node is killed. After an error of either step `r` is empty. `run_dir` and `huge_dir` must stay
 *  until the second step. */
int registry_prepare(struct registry *r, const char *run_dir, const struct registry_config *config,
		     struct error_text *error);
int registry_publish(struct registry *r, struct error_text *error);
/** Give a prepared registry up. */
void registry_discard(struct registry *r);
/** Mark an orderly stop and unmap. The file stays for post-mortem readers. */
void registry_destroy(struct registry *r);

struct rcu_domain;
/** Add a component; fills `hot.handle`, `hot.gate_first`, and sets its gates to off-line with a new
 *  generation. It has no lane lines yet. Errors: EINVAL (name, instances, a field out of its
 *  range), EEXIST, EFULL. */
int registry_add(struct registry *r, struct registry_component *c, struct error_text *error);
/** As registry_add(), under the handle it has already, from the registry of an earlier incarnation.
 *  Errors: those, and EEXIST (name or slot is taken), ESTALE (its generation is above this
 *  registry's, or the handle was removed from it), EFULL (no such slot here, no gates). */
int registry_adopt(struct registry *r, struct registry_component *c, struct error_text *error);
/** Replace the object of `c->hot.handle` by a copy of `*c`; the old one is retired. Name, gates and
 *  instances stay as they are. Without a difference nothing happens. Errors: ESTALE, EINVAL (a
 *  field out of its range), EFULL (readers hold shape.spare replaced objects). */
int registry_update(struct registry *r, const struct registry_component *c, struct rcu_domain *rcu);
/** Remove: shuts its gates; object, slot, gates and lane lines are reused after the grace period,
 *  the longest unused first. Errors: ESTALE. */
int registry_remove(struct registry *r, uint64_t handle, struct rcu_domain *rcu);
/** The node's own truth about a live component (never the mapped words), NULL: stale. */
const struct registry_hot *registry_own(const struct registry *r, uint64_t handle);
/** The same by name, and by slot of the directory. */
const struct registry_hot *registry_own_find(const struct registry *r, const char *name);
const struct registry_hot *registry_own_slot(const struct registry *r, uint32_t slot);
/** Reserve `count` lane lines, contiguous and zeroed, without an owner. Returns the first index or
 *  -HAVEN_EFULL. */
int registry_lanes_reserve(struct registry *r, uint32_t count);
struct table_geometry;
/** Say what reserved lane lines that have no owner yet belong to. Errors: EINVAL (not reserved, or
 *  owned already; not as many as the checkpoint has lanes). */
int registry_lanes_describe(struct registry *r, uint32_t first, const struct table_geometry *g);
/** Give reserved lane lines to a component, which is shown in them (release); removing it frees
 *  them. Errors: ESTALE, EINVAL (not reserved, or owned already). */
int registry_lanes_give(struct registry *r, uint32_t first, uint32_t count, uint64_t handle);
/** Give reserved lane lines back, to be reused after the grace period. */
void registry_lanes_release(struct registry *r, uint32_t first, uint32_t count,
			    struct rcu_domain *rcu);
/** Components `far` and `near` will be changed soon, `near` first: bring here what that touches, so
 *  that the misses of several changes overlap. Handles may be stale or any number. */
void registry_expect(const struct registry *r, uint64_t far, uint64_t near);
/** Free what the grace period has released; bounded work, called from the poll loop. */
void registry_reclaim(struct registry *r, struct rcu_domain *rcu);
/** Where the node adds what it counts (counters.h). */
struct counters *registry_counters(struct registry *r);
/** How full the registry is, from the node's own books. */
struct registry_usage {
	uint32_t components; /**< slots that are not free */
	uint32_t held;    /**< replaced objects that readers may still hold, at most shape.spare */
	uint32_t retired; /**< all that waits for a grace period: objects, components, lanes */
};
struct registry_usage registry_used(const struct registry *r);
/** Bracket of a status change. */
void registry_status_begin(struct registry *r);
void registry_status_end(struct registry *r);
/** Replace all of the status by `*next`, whose version is not looked at. */
void registry_status_publish(struct registry *r, const struct registry_status *next);
/** Set a gate's role. The generation grows when role or epoch differ from what they are. Opening
 *  stores valid_until last, shutting stores 0 first; for any role but primary it is 0. */
void registry_gate_set(struct registry *r, uint32_t gate, enum haven_role role, uint64_t epoch,
		       uint64_t valid_until_ns);
/** Renew an open gate's end; no change of generation. */
void registry_gate_renew(struct registry *r, uint32_t gate, uint64_t valid_until_ns);
/** The generation that a gate has now, from the node's own books. */
uint64_t registry_gate_generation(const struct registry *r, uint32_t gate);

/* ---- reader side ---------------------------------------------------------------------------- */

/** Map `run_dir`/registry (or a copied file: `path` directly) read-only and check its layout.
 *  Errors: ENOENT, EVERSION (both named), ESIZE, ECORRUPT, EPERM. */
int registry_open(struct registry *r, const char *run_dir, struct error_text *error);
/** The same from a descriptor, which stays the caller's and may be closed afterwards. */
int registry_open_fd(struct registry *r, int fd, struct error_text *error);
void registry_close(struct registry *r);

/* Inside an RCU section only (rcu.h); readers without a slot use the copies below. Strings of an
 * object end within their fields unless the file is corrupt. By key and by handle:
 * registry_find_key(), registry_get(), registry_cold_of(), registry_changes() in registry_look.h.
 */

/** False: empty or too long. */
bool registry_key_set(struct registry_key *key, const char *name);
/** Object by name, NULL if none. */
const struct registry_hot *registry_find(const struct registry *r, const char *name);
/** Look up `n` keys, at most REGISTRY_BULK_MAX, at once: the misses of the cache overlap.
 *  `out[i]` is the object of `keys[i]` or NULL. Returns how many were found. */
unsigned registry_find_bulk(const struct registry *r, const struct registry_key *const *keys,
			    unsigned n, const struct registry_hot **out);
/** Next component in the order of slots, NULL at the end; `*cursor` starts at 0. Inside one RCU
 *  section every component that is there all the time is visited exactly once. */
const struct registry_hot *registry_next(const struct registry *r, uint32_t *cursor);

/* Copies, for readers without a slot: optimistic, with a bounded number of retries. They return 0,
 * an error as named, or -HAVEN_EAGAIN when it changed under them again and again. */

/** ENOENT: there is no component of this name. */
int registry_find_copy(const struct registry *r, const char *name, struct registry_component *out);
/** ESTALE: the handle's component is gone. */
int registry_get_copy(const struct registry *r, uint64_t handle, struct registry_component *out);
/** Whatever the slot shows. ENOENT: nothing. */
int registry_copy_slot(const struct registry *r, uint32_t slot, struct registry_component *out);
/** The same of a registry whose node is dead: without tries, EAGAIN: no node left it so. */
int registry_copy_dead(const struct registry *r, uint32_t slot, struct registry_component *out);
/** Copy a gate whose role, epoch and generation belong together; false while it changes. Who acts
 * by `valid_until_ns` loads it (acquire) before he looks at the generation he has confirmed. */
bool registry_gate_copy(const struct registry_gate *gate, struct registry_gate *out);
/** Copy lane line `i` and what it belongs to; texts end, numbers may be any when the file is
 * corrupt. False: it has no owner, or changes owners right now. */
bool registry_lane_copy(const struct registry *r, uint32_t i, struct registry_lane *lane,
			struct registry_checkpoint *what);
/** Consistent copy of the status block; counts are within their arrays, strings end. Returns 0, or
 *  -HAVEN_EAGAIN when no clean view was had (the node may have died in the middle of a change). */
int registry_copy_status(const struct registry *r, struct registry_status *out);
/**
 * What a successor must start above: generations of handles and of gates, the epoch of readers.
 * Each is raised to what `r` shows if that is more. Returns 0 or -HAVEN_ECORRUPT: no node can have
 * come so far, and nothing is changed.
 */
int registry_floors(const struct registry *r, uint64_t *generation, uint64_t *rcu_epoch);
/** True while the process that wrote it lives (pid and start time). */
bool registry_writer_alive(const struct registry *r);

/**
 * The change after number `*position`: its number (copied to `out`), `*position` moves there; 0
 * when there is none yet. Numbers count from 1; registry_changes() is that of the newest, 0 means
 * the registry as it was made, empty. Adds to `*missed` exactly how many changes after `*position`
 * were overwritten before they could be read (W3). Any thread or process; `out->name` ends.
 */
uint64_t registry_watch_read(const struct registry *r, uint64_t *position,
			     struct registry_change *out, uint64_t *missed);

/* ---- check: of a live, a dead or a copied registry (registry_check.c) ------------------------ */

/** What can be wrong; registry_finding_name() gives the stable label. */
enum registry_finding {
	REGISTRY_UNFINISHED = 0, /**< no error: a change was under way when the node died (A6) */
	REGISTRY_BAD_HEADER,     /**< counters of the header contradict themselves */
	REGISTRY_BAD_STATUS,     /**< counts or roles of the status block */
	REGISTRY_BAD_PLACE,      /**< an entry or slot shows a place that does not exist */
	REGISTRY_BAD_OBJECT,     /**< an object that is shown is not whole or out of its ranges */
	REGISTRY_BAD_HANDLE,     /**< a handle of another slot, or newer than the newest */
	REGISTRY_BAD_ENTRY,      /**< tag, bucket or slot do not fit the name of the entry */
	REGISTRY_BAD_OVERFLOW,   /**< a look-up would stop too early or go on for nothing */
	REGISTRY_NAMED_TWICE,    /**< two entries of the index for one component */
	REGISTRY_NOT_NAMED,      /**< more than one component that the index does not name */
	REGISTRY_BAD_GATE,       /**< role, owner or validity of a gate */
	REGISTRY_BAD_LANE,       /**< owner of a lane line, what it says of its checkpoint, or fewer
				      lines than claimed */
	REGISTRY_BAD_EVENT,      /**< an event of unknown kind, or missing from the ring */
	REGISTRY_BAD_CHANGE,     /**< a change of unknown kind or slot, or missing from its ring */
	REGISTRY_BAD_COUNTER,    /**< description, place or histogram of a counter */
	REGISTRY_FINDING_COUNT
};
/** Stable label ("bad-place"), never NULL. */
const char *registry_finding_name(unsigned kind);
struct registry_report {
	/** looked at */
	uint64_t buckets, entries, components, gates, lanes, events, changes, counters;
	uint64_t findings; /**< without the unfinished */
	uint64_t unfinished;
	bool moving; /**< it changed all the time: counts over all of it could not be compared */
};
/** Walk everything: header, index, directory, objects, gates, lanes, rings, counters. Needs about 9
 * bytes per component and 4 per bucket. `tell` (may be NULL) gets one sentence per finding; the
 * names in it may hold any bytes. Returns 0, -HAVEN_ECORRUPT or -HAVEN_ENOMEM. Never faults and
 * ends soon, whatever the bytes. */
int registry_check(const struct registry *r, struct registry_report *report,
		   void (*tell)(void *context, enum registry_finding kind, const char *sentence),
		   void *context);

#endif
