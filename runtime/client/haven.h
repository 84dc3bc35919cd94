/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Haven client API: make one application highly available.
 *
 * The application attaches to the node (`havend`) of its machine, registers a *component*, gives
 * it one or more *checkpoints* (tables that are mirrored to the standby), and then, in each packet
 * loop, polls its *worker*, checks the *gate* before it emits, and commits what it changed.
 *
 *     haven_attach -> haven_component_register -> haven_table_create -> haven_component_ready
 *     per thread:  haven_worker_begin -> { haven_poll; haven_gate; haven_put...; haven_commit } ->
 *                  haven_worker_end
 *
 * Thread rules: a `struct haven`, its registration calls and haven_detach() belong to one thread at
 * a time. A `struct haven_worker` belongs to the thread that began it; calls that take one never
 * lock, allocate or enter the kernel. The library starts no thread, installs no signal handler,
 * prints nothing and never exits; it needs no DPDK.
 *
 * Errors: every int result is 0 or a negative `enum haven_error`, unless said otherwise.
 */
#ifndef HAVEN_H
#define HAVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "haven_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct haven;
struct haven_component;
struct haven_worker;
struct haven_table;

/** Registration of a component. Zero-initialise, then set what is needed. */
struct haven_component_config {
	const char *name;    /**< unique on the node, 1…31 bytes of [a-z0-9_.-] */
	const char *group;   /**< group of the cluster configuration; NULL: same as name */
	const char *release; /**< software release label; NULL: that of the node */
	enum haven_component_kind kind; /**< what it represents */
};

/** Shape of a mirrored table. Both nodes must create it alike or the node refuses the mirror. */
struct haven_table_config {
	const char *name;     /**< unique within the component, 1…31 bytes */
	uint32_t key_bytes;   /**< 1…256, the same for every entry */
	uint32_t value_bytes; /**< 0…1024, the same for every entry */
	uint32_t capacity;    /**< entries over all lanes, 1…64 Mi; divided evenly among lanes */
	uint32_t lanes;       /**< writing workers, 1…HAVEN_WORKERS_MAX; worker n writes lane n */
	uint32_t lane_records; /**< log records per lane, a power of two 64…1 Mi; 0: 8192 */
};

/** What a worker's poll has seen change since its last poll. */
enum haven_change {
	HAVEN_CHANGE_ROLE = 1u << 0, /**< role or epoch of an instance changed: read haven_role() */
	HAVEN_CHANGE_NODE = 1u << 1, /**< the node died or restarted: gates are shut, reattach */
};

/* ---- attach and register (control path; may block up to 5 s, may allocate) ---------------- */

/**
 * Attach to the node whose run directory is `run_dir` (NULL: $HAVEN_RUN_DIR, else /run/haven).
 * Checks the peer's credentials and the layout version of the registry.
 * Errors: ENODE (not running), EVERSION, EPERM, ENOMEM, ESYS. `*out` is NULL after an error.
 */
int haven_attach(struct haven **out, const char *run_dir);
/** Detach in order: ends remaining workers of this thread, deregisters, unmaps. NULL is allowed. */
void haven_detach(struct haven *h);
/** The sentence that explains the last error of a call on `h`, never NULL. With `h` NULL: the
 *  last failed haven_attach() of this thread. Valid until the next call. */
const char *haven_last_error(const struct haven *h);
/** The general sentence of an error; accepts negative and positive values. */
const char *haven_strerror(int error);
/** The class of an error; accepts negative and positive values. */
enum haven_error_class haven_error_class(int error);

/** Register a component. Errors: EEXIST, ENOENT (no such group), EFULL, EINVAL, ENODE. */
int haven_component_register(struct haven *h, const struct haven_component_config *config,
			     struct haven_component **out);
/** Declare the component healthy and complete (its checkpoints exist): off-line becomes spare,
 *  and it may be assigned. Errors: ENODE, EREFUSED. */
int haven_component_ready(struct haven_component *c);
/** Take the component off-line in order; its instances move elsewhere. Workers must have ended. */
int haven_component_deregister(struct haven_component *c);
/** Number of instances of the component's group, 1…64. */
unsigned haven_instance_count(const struct haven_component *c);
/** Index (0…count-1) of an instance by name, or -ENOENT. */
int haven_instance_find(const struct haven_component *c, const char *name);

/**
 * Create the mirrored table `config` for instance `instance` of the component. The memory is this
 * application's; the node mirrors what is committed while the component is primary and applies
 * what it receives while it is secondary. Call before haven_component_ready().
 * Errors: EINVAL, ENOMEM, EFULL, EEXIST, EREFUSED.
 */
int haven_table_create(struct haven_component *c, unsigned instance,
		       const struct haven_table_config *config, struct haven_table **out);

/* ---- workers (one per packet loop) --------------------------------------------------------- */

/**
 * Claim a worker slot for the calling thread. The kernel marks the slot when this thread dies, and
 * the node sees that mark within microseconds. Errors: EFULL, ESYS.
 */
int haven_worker_begin(struct haven_component *c, struct haven_worker **out);
/** Release the slot in order. Must run on the thread that began it. */
void haven_worker_end(struct haven_worker *w);
/** Number of the worker, also of the lane it writes. */
unsigned haven_worker_lane(const struct haven_worker *w);
/**
 * Once per burst: report quiescence and progress, read role changes, and confirm them to the node.
 * A worker that does not poll is taken for stuck and keeps registry memory from being reused.
 * Never call between haven_put() and haven_commit() of one commit.
 * Returns a set of `enum haven_change`, 0 when nothing changed.
 */
unsigned haven_poll(struct haven_worker *w);

/** Role of the component for the instance, as of the last poll. */
enum haven_role haven_role(const struct haven_worker *w, unsigned instance);
/** Epoch of that role. */
uint64_t haven_epoch(const struct haven_worker *w, unsigned instance);
/**
 * May this worker emit for the instance right now? One load, one clock read, one compare.
 * Check before a burst is handed to the NIC; and after it with haven_gate_check().
 */
bool haven_gate(const struct haven_worker *w, unsigned instance);
/** Check after a burst of `packets` went out: counts it as a gate overrun when the gate had shut
 *  in between. Returns true when the burst was in time. */
bool haven_gate_check(struct haven_worker *w, unsigned instance, unsigned packets);

/* ---- tables (all calls: worker's own lane unless said otherwise) --------------------------- */

/** Insert or replace. The change is visible locally at once and to the standby after commit.
 *  Errors: EROLE, EFULL (table, or lane: commit, poll and retry). */
int haven_put(struct haven_worker *w, struct haven_table *t, const void *key, const void *value);
/** Delete. Errors: EROLE, ENOENT, EFULL (lane). */
int haven_delete(struct haven_worker *w, struct haven_table *t, const void *key);
/** Copy the value of a key of the worker's lane into `value` (value_bytes long).
 *  Errors: ENOENT, EAGAIN (changed under the reader too often). */
int haven_get(struct haven_worker *w, struct haven_table *t, const void *key, void *value);
/** The same in lane `lane` (0…lanes-1), from any thread. */
int haven_get_lane(const struct haven_table *t, unsigned lane, const void *key, void *value);
/**
 * Publish everything put or deleted by this worker since its last commit as one unit: the standby
 * applies all of it or nothing. Returns the sequence of its last record (0 < seq); haven_acked()
 * reaches it when every in-sync secondary has the unit. Never fails; without changes it returns
 * the sequence of the previous commit.
 */
uint64_t haven_commit(struct haven_worker *w, struct haven_table *t);
/** Greatest sequence of the worker's lane that the whole in-sync set holds. One load. */
uint64_t haven_acked(const struct haven_worker *w, const struct haven_table *t);
/** Live entries of a lane. */
uint32_t haven_table_count(const struct haven_table *t, unsigned lane);
/**
 * Visit live entries of one lane. `*cursor` starts at 0; copies up to `max` entries as key
 * followed by value (key_bytes + value_bytes each, packed) into `out`. Returns how many, 0 at the
 * end. Entries changed meanwhile may be missed or seen once; none is seen torn.
 */
unsigned haven_table_scan(const struct haven_table *t, unsigned lane, uint32_t *cursor, void *out,
			  unsigned max);

/* ---- registry look-up ---------------------------------------------------------------------- */

/** What the registry tells about a component. */
struct haven_component_info {
	char name[HAVEN_NAME_MAX];
	char group[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint64_t handle; /**< generation-checked; never reused within a node's life */
	int32_t pid;
	uint8_t kind; /**< enum haven_component_kind */
	uint8_t ready;
	uint8_t instances;
	uint8_t role[HAVEN_INSTANCES_MAX]; /**< enum haven_role per instance of its group */
};
/** Look a component of this node up by name. Lock-free. Errors: ENOENT, EAGAIN. */
int haven_lookup(struct haven_worker *w, const char *name, struct haven_component_info *out);

#ifdef __cplusplus
}
#endif
#endif
