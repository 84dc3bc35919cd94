/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Haven client API, second part: the registry of components. Included by haven.h.
 *
 * Everything on a machine that others may want to know of is a component: a program, a packet loop,
 * a NIC port, a link, a core, a shard of flows. Those with instances take part in redundancy
 * (haven.h). The others, up to a million, are told by requests and found by look-ups.
 *
 *     tell:  haven_request_call(), or haven_request_post() and haven_request_collect()
 *     find:  haven_reader_begin -> { enter; find, find_bulk, find_handle, next; leave } -> end
 *     watch: haven_watch_begin -> { enter; watch_next; leave }
 *
 * Look-ups read shared memory: no lock, no call of the kernel, no wait for anybody. They work on
 * while the node is dead; haven_reattach() takes readers over to the next one.
 */
#ifndef HAVEN_REGISTRY_API_H
#define HAVEN_REGISTRY_API_H

#include <stdbool.h>
#include <stdint.h>

#include "haven_types.h"

#ifdef __cplusplus
extern "C" {
#define HAVEN_ALIGNED(bytes) alignas(bytes)
#else
#define HAVEN_ALIGNED(bytes) _Alignas(bytes)
#endif

struct haven;
struct haven_worker;
struct haven_reader;

/** Components that one component may need. */
#define HAVEN_DEPENDS_MAX 6
/** Capacity, in the unit of `load`. */
#define HAVEN_LOAD_MAX 1000000
/** Keys of one bulk look-up. */
#define HAVEN_BULK_MAX 32

/** What is told of a component. Zero-initialise, then set what is known. Strings are copied. */
struct haven_attributes {
	const char *name;    /**< when added: unique on the node, 1…31 bytes of [a-z0-9_.-] */
	const char *group;   /**< label of those that belong together, like a name; NULL: none */
	const char *release; /**< software release label; NULL: that of the node */
	enum haven_component_kind kind; /**< what it represents */
	enum haven_role state;
	enum haven_health health;
	uint32_t load;   /**< parts per million of its capacity, 0…HAVEN_LOAD_MAX */
	uint32_t weight; /**< share of work it should get, against others of its group; any unit */
	uint16_t format_read_min, format_read_max; /**< formats of state it can read, min ≤ max */
	uint16_t format_write;                     /**< format of state it writes */
	uint16_t n_depends;                        /**< 0…HAVEN_DEPENDS_MAX */
	uint64_t depends[HAVEN_DEPENDS_MAX];       /**< handles of components it needs */
};

/* ---- telling: components without instances ---------------------------------------------------
 *
 * Requests go through a ring in this process's shared memory and are carried out by the node's poll
 * loop in order, with no system call. Any thread may call at any time. A node that restarts
 * keeps what was added, under the same handles, and carries out what it had not answered; should
 * its registry be lost, too, haven_reattach() hands everything over again, and only a component
 * whose place another process has taken by then loses its handle (ESTALE: add it again). The
 * components go when the process ends or detaches.
 */

enum haven_request_kind {
	HAVEN_REQUEST_ADD = 1, /**< gives `handle`. Errors: EEXIST, EFULL */
	HAVEN_REQUEST_UPDATE,  /**< replaces all but the name; of a component with instances
				    health, load, weight, formats and dependencies only.
				    Errors: ESTALE, EPERM (another process's) */
	HAVEN_REQUEST_REMOVE   /**< Errors: ESTALE, EPERM */
};

/** One request and its answer. Further errors: EINVAL (a field out of its range), EAGAIN (the node
 *  waits for slow readers of replaced objects: ask again). */
struct haven_request {
	enum haven_request_kind kind;
	int result;                                /**< answer: 0 or a negative error */
	uint64_t handle;                           /**< update, remove; answer to add */
	const struct haven_attributes *attributes; /**< add, update */
	uint64_t tag;                              /**< caller's own, comes back with the answer */
};

/**
 * Push `n` requests and wait for their answers, `timeout_ms` at most; each gets its `result`, an
 * added one its `handle`. Returns 0 when all were carried out, else the first bad result.
 * Errors besides those of requests: ETIMEDOUT, ENODE (the node is gone) where no answer came: such
 * a request may still be carried out, now or by the next node. Asked again, an add that was carried
 * out gives EEXIST with its handle.
 */
int haven_request_call(struct haven *h, struct haven_request *requests, unsigned n,
		       unsigned timeout_ms);
/**
 * Push up to `n` requests without waiting: for packet loops and monitors. Costs one copy of 192
 * bytes each; never blocks, allocates or enters the kernel. Every answer must be collected: at most
 * 256 requests may be under way or uncollected. Returns how many were taken, 0…n (fewer when there
 * is no room now, or another thread is pushing), or a negative error: EINVAL when the first is
 * malformed, ENODE in the child of a fork().
 */
int haven_request_post(struct haven *h, const struct haven_request *requests, unsigned n);
/** Take up to `max` answers to posted requests, in their order: kind, handle, tag and result are
 *  set, attributes NULL. Never blocks. Returns how many. */
unsigned haven_request_collect(struct haven *h, struct haven_request *answers, unsigned max);

/* ---- finding -------------------------------------------------------------------------------- */

/**
 * A component as it stands in shared memory: read in place, never changing while it is held. An
 * update makes another one. The library refuses a node whose layout differs.
 */
struct haven_component_view {
	uint64_t handle;
	uint32_t reserved0;
	uint8_t kind;   /**< enum haven_component_kind */
	uint8_t state;  /**< enum haven_role: the highest of its instances, or as told */
	uint8_t health; /**< enum haven_health */
	uint8_t flags;  /**< set of enum haven_view_flag */
	char name[HAVEN_NAME_MAX];
	uint32_t load; /**< parts per million of its capacity */
	uint32_t reserved1;
	uint16_t instances; /**< 0: it takes no part in redundancy */
	uint16_t reserved2;
	uint32_t weight;
};
enum haven_view_flag {
	HAVEN_VIEW_READY = 1,   /**< healthy and complete by its own word */
	HAVEN_VIEW_DEAD = 2,    /**< proven dead */
	HAVEN_VIEW_PENDING = 4, /**< known from before a restart of the node, not heard of since */
};

/** A copy of everything the registry tells about a component. */
struct haven_component_info {
	char name[HAVEN_NAME_MAX];
	char group[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint64_t handle; /**< generation-checked; never given to another component */
	int32_t pid;     /**< of its process */
	uint8_t kind;    /**< enum haven_component_kind */
	uint8_t state;   /**< enum haven_role */
	uint8_t health;  /**< enum haven_health */
	uint8_t ready;
	uint32_t load, weight;
	uint16_t format_read_min, format_read_max, format_write;
	uint8_t n_depends;
	uint8_t instances;
	uint64_t depends[HAVEN_DEPENDS_MAX];
	uint8_t role[HAVEN_INSTANCES_MAX]; /**< enum haven_role per instance of its group */
};

/** A name made ready for look-ups, once for many. */
struct haven_key {
	HAVEN_ALIGNED(16) char text[HAVEN_NAME_MAX]; /**< padded with zeros */
};
/** False when the name is empty or longer than 31 bytes. */
bool haven_key_set(struct haven_key *key, const char *name);

/**
 * Claim a reader slot for the calling thread, which need not be a worker. Workers and readers of
 * one attachment share HAVEN_WORKERS_MAX slots; the slot of a thread that ends without
 * haven_reader_end() is lost to the process. May block up to 5 s.
 * Errors: EFULL (the text says who has the slots), ENODE, ENOMEM, ESYS.
 */
int haven_reader_begin(struct haven *h, struct haven_reader **out);
/** Give the slot back. Must run on the thread that began it, outside of a section. NULL is allowed.
 */
void haven_reader_end(struct haven_reader *r);
/** Begin a section: what is found stays as it is until haven_reader_leave(). Sections nest. One
 *  that lasts keeps memory of the registry from being reused, no more. */
void haven_reader_enter(struct haven_reader *r);
void haven_reader_leave(struct haven_reader *r);
/** The worker as a reader: what it finds stays until its next haven_poll(); enter and leave do
 *  nothing. Belongs to the worker. */
struct haven_reader *haven_worker_reader(struct haven_worker *w);

/* By the reader's own thread, inside a section. */

/** By name. NULL: there is none. */
const struct haven_component_view *haven_find(const struct haven_reader *r, const char *name);
const struct haven_component_view *haven_find_key(const struct haven_reader *r,
						  const struct haven_key *key);
/** `n` at once, 0…HAVEN_BULK_MAX (more are not looked at), faster than one by one: `out[i]` is that
 *  of `keys[i]` or NULL. Returns how many were found. */
unsigned haven_find_bulk(const struct haven_reader *r, const struct haven_key *const *keys,
			 unsigned n, const struct haven_component_view **out);
/** By handle. NULL: stale, its component was removed. */
const struct haven_component_view *haven_find_handle(const struct haven_reader *r, uint64_t handle);
/** All, one after the other; `*cursor` starts at 0. Within one section each component that is there
 *  all the time comes exactly once. NULL at the end. */
const struct haven_component_view *haven_next(const struct haven_reader *r, uint32_t *cursor);
/** Copy all of a component that was found in this section. */
void haven_describe(const struct haven_reader *r, const struct haven_component_view *view,
		    struct haven_component_info *out);
/**
 * Number that differs whenever a component was added, updated or removed, or another node is
 * attached: one load per burst says whether what was looked up before still stands. Load it before
 * looking up. A worker may even use what it found before, while the number is what it was.
 */
uint64_t haven_changes(const struct haven_reader *r);

enum haven_watch_kind { HAVEN_WATCH_ADDED = 0, HAVEN_WATCH_UPDATED, HAVEN_WATCH_REMOVED };
/** One change of a component. */
struct haven_component_change {
	uint64_t handle;
	enum haven_watch_kind kind;
	char name[HAVEN_NAME_MAX];
};
/** Where somebody who watches has come to. The caller's own; of its fields only `missed` is his. */
struct haven_watch {
	uint64_t position, attachment;
	uint64_t missed; /**< changes that were overwritten before they were read; exact */
};
/** Watch from now on: what is looked up afterwards, and the changes told, miss nothing. */
void haven_watch_begin(const struct haven_reader *r, struct haven_watch *watch);
/** The next change. Returns 1 and `*out`; 0: there is none now; -HAVEN_ESTALE, once: another node
 *  is attached, look at everything again, the changes since then follow. */
int haven_watch_next(const struct haven_reader *r, struct haven_watch *watch,
		     struct haven_component_change *out);

/** Copy of a component by name, for a worker. Errors: ENOENT. */
int haven_lookup(struct haven_worker *w, const char *name, struct haven_component_info *out);

#ifdef __cplusplus
}
#endif
#endif
