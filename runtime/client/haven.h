/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Haven client API: make one application highly available.
 *
 * The application attaches to the node (`havend`) of its machine, registers a *component*, gives
 * it one or more *checkpoints* (tables and regions that are mirrored to the standby), and then, in
 * each packet loop, polls its *worker*, checks the *gate* before it emits, and commits what it
 * changed.
 *
 *     haven_attach -> haven_component_register -> haven_table_create -> haven_component_ready
 *     per thread:  haven_worker_begin -> { haven_poll; haven_gate; haven_put...; haven_commit } ->
 *                  haven_worker_end
 *
 * Thread rules: a `struct haven`, its registration calls and haven_detach() belong to one thread at
 * a time; haven_reattach() and requests may come from any thread until haven_detach() begins. A
 * `struct haven_worker` or `haven_reader` belongs to the thread that began it; calls that take one,
 * but for begin and end, never lock, allocate or enter the kernel. A thread that ends without
 * ending its worker fails the component, by design; one that leaves a reader behind harms nobody.
 * The library starts no thread, installs no signal handler, prints nothing and never exits; it
 * needs no DPDK.
 *
 * fork(): the child takes no part. Its memory of segments and tables is a private copy, its
 * connection is closed; every call there finds the node gone (haven_poll: HAVEN_CHANGE_NODE), and
 * all that is left to do is haven_detach(), or an attachment of its own.
 *
 * Errors: every int result is 0 or a negative `enum haven_error`, unless said otherwise.
 */
#ifndef HAVEN_H
#define HAVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "haven_registry.h"
#include "haven_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct haven;
struct haven_component;
struct haven_worker;
struct haven_table;
struct haven_region;

/** Registration of a component. Zero-initialise, then set what is needed. */
struct haven_component_config {
	const char *name;    /**< unique on the node, 1…31 bytes of [a-z0-9_.-] */
	const char *group;   /**< group of the cluster configuration; NULL: same as name */
	const char *release; /**< software release label; NULL: that of the node */
	enum haven_component_kind kind; /**< what it represents */
	/** Health, load, weight, formats and dependencies to begin with; the rest of it is not
	 *  looked at. NULL: none of them is known. */
	const struct haven_attributes *attributes;
};

/** How the changes of a checkpoint reach the standby. */
enum haven_mode {
	/** Every change is a record, commits are all or nothing. Asynchronous as it stands: the
	 *  standby lags by what haven_commit() minus haven_acked() says, at most lane_records.
	 *  Synchronous by what is done with that: haven_hold(), or waiting for haven_acked(). */
	HAVEN_MODE_LOG = 0,
	/**
	 * For counters: new and deleted entries are records, but a put of a key that is there, or a
	 * write of a block once written, only marks it. Each haven_commit() logs the latest value
	 * of at most `push_records` marked entries, fewer if the lane has no room, in turn: none is
	 * logged twice while another one waits.
	 *
	 * The bound: a successor has all keys of the acknowledged commits, each with a value that
	 * it had (never a torn one) and not older than its last push that was acknowledged. With D
	 * entries marked at most, a value written is in one of the next ceil(D / push_records)
	 * commits that find room in the lane, itself or a newer one. haven_dirty_count() says how
	 * many wait now. Keep committing when nothing is written, or the last of them wait for
	 * ever.
	 */
	HAVEN_MODE_DIRTY = 1,
};

/** Shape of a mirrored table. Both nodes must create it alike or the node refuses the mirror. */
struct haven_table_config {
	const char *name;     /**< unique within the component, 1…31 bytes */
	uint32_t key_bytes;   /**< 1…256, the same for every entry */
	uint32_t value_bytes; /**< 0…1024, the same for every entry */
	uint32_t capacity;    /**< entries over all lanes, 1…64 Mi; divided evenly among lanes */
	uint32_t lanes;       /**< writing workers, 1…HAVEN_WORKERS_MAX; worker n writes lane n */
	uint32_t lane_records; /**< log records per lane, a power of two 64…1 Mi; 0: 8192 */
	enum haven_mode mode;
	uint32_t push_records; /**< HAVEN_MODE_DIRTY: records that one haven_commit() adds at most,
				  1…256; 0: 64. Each side's own affair */
	/**
	 * 0: as a standby this side is hot, every commit is applied as it comes. 1…1 Mi: it is
	 * warm. It keeps up to so many records of each lane, in memory of the node, acknowledges a
	 * commit once it is kept, and applies what it keeps when it is promoted, before the gate
	 * opens; or the oldest of them when there is no room. Then a standby costs a copy of each
	 * record instead of a change of the table, and a takeover costs what havenctl says. Until
	 * then readers on the standby see the table without what is kept. Each side's own affair.
	 */
	uint32_t warm_records;
};

/** Shape of a mirrored region: `bytes` bytes, zero at first, in blocks. A block is what is mirrored
 *  when any byte of it is written, and what a reader sees whole. */
struct haven_region_config {
	const char *name;     /**< unique within the component, tables included, 1…31 bytes */
	uint64_t bytes;       /**< a multiple of block_bytes, at most 64 Mi blocks */
	uint32_t block_bytes; /**< a multiple of 8 in 8…1024 */
	uint32_t lanes; /**< writing workers, 1…HAVEN_WORKERS_MAX; worker n writes the n-th of as
			   many runs of blocks, of equal length but for the last: see
			   haven_region_span() */
	uint32_t lane_records; /**< as in a table */
	enum haven_mode mode;  /**< as in a table */
	uint32_t push_records; /**< as in a table */
	uint32_t warm_records; /**< as in a table */
};

/** What a worker's poll has seen change since its last poll. */
enum haven_change {
	HAVEN_CHANGE_ROLE = 1u << 0, /**< role or epoch of an instance changed: read haven_role() */
	HAVEN_CHANGE_NODE = 1u << 1, /**< the node died or stopped; roles are off-line. Told once;
					  haven_reattach() finds the next one */
	HAVEN_CHANGE_REATTACHED = 1u << 2, /**< this worker now works with another node. What it
						found in the registry is void; roles are off-line
						and acknowledgements unknown until this node says
						them */
};

/* ---- attach and register (control path; may block up to 5 s, may allocate) ---------------- */

/**
 * Attach to the node whose run directory is `run_dir` (NULL: $HAVEN_RUN_DIR, else /run/haven).
 * Checks the peer's credentials and the layout version of the registry.
 * Errors: ENODE (not running), EVERSION, EPERM, ENOMEM, ESYS. `*out` is NULL after an error.
 */
int haven_attach(struct haven **out, const char *run_dir);
/** Detach in order: ends remaining workers and readers of this thread, deregisters, unmaps. NULL is
 *  allowed. */
void haven_detach(struct haven *h);
/**
 * Go on with the next incarnation of the node: after HAVEN_CHANGE_NODE, or any time, again and
 * again until it returns 0; does nothing while the node is there. Everything is handed over as it
 * is: components with their handles, tables with their content, workers, readers, requests without
 * an answer. Each worker goes over at its next haven_poll(), each reader at its next
 * haven_reader_enter(); until then all that was found stays readable, and the memory of the former
 * node's registry is given back by the first control call after the last of them did. Roles are
 * off-line until the new node gives them. A component of which a worker died stays off-line.
 * Errors: ENODE (no node is there yet), EAGAIN and ETIMEDOUT (not done yet) mean: call again. Any
 * other one (EEXIST, EVERSION, EREFUSED, ECORRUPT, …) says why this node does not take the
 * application back: detach and attach anew.
 */
int haven_reattach(struct haven *h);
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
/** Tell its health, load, weight, formats and dependencies; the rest of `attributes` is not looked
 *  at. From a packet loop: haven_request_post() with its handle. Errors: EINVAL, EAGAIN, ENODE,
 *  ETIMEDOUT. */
int haven_component_update(struct haven_component *c, const struct haven_attributes *attributes);
/** Its handle in the registry, the same for all its life. */
uint64_t haven_component_handle(const struct haven_component *c);
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

/** The same for a region. It is a checkpoint like a table: see haven_region_table(). */
int haven_region_create(struct haven_component *c, unsigned instance,
			const struct haven_region_config *config, struct haven_region **out);

/* ---- workers (one per packet loop) --------------------------------------------------------- */

/**
 * Claim a worker slot for the calling thread. The kernel marks the slot when this thread dies, and
 * the node sees that mark within microseconds. Errors: EFULL (the text says who has the slots),
 * ENODE, ENOMEM, ESYS.
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

/** Insert or replace. The change is visible locally at once and to the standby after commit (in
 *  HAVEN_MODE_DIRTY a replaced value after its push).
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
/** Greatest sequence of the worker's lane that the whole in-sync set holds, as far as the node that
 *  this worker works with knows (it starts at 0 after HAVEN_CHANGE_REATTACHED). */
uint64_t haven_acked(const struct haven_worker *w, const struct haven_table *t);
/** Entries (blocks) of a lane whose latest value is in no record yet; 0 in HAVEN_MODE_LOG. From any
 *  thread. */
uint32_t haven_dirty_count(const struct haven_table *t, unsigned lane);
/** Live entries of a lane. */
uint32_t haven_table_count(const struct haven_table *t, unsigned lane);
/**
 * Visit live entries of one lane. `*cursor` starts at 0; copies up to `max` entries as key
 * followed by value (key_bytes + value_bytes each, packed) into `out`. Returns how many, 0 at the
 * end. Entries changed meanwhile may be missed or seen once; none is seen torn.
 */
unsigned haven_table_scan(const struct haven_table *t, unsigned lane, uint32_t *cursor, void *out,
			  unsigned max);

/* ---- regions ------------------------------------------------------------------------------- */

/**
 * Write `n` bytes from byte `offset` on. They are visible locally at once, block by block, and to
 * the standby after haven_commit() of haven_region_table(): all of them or none, with whatever else
 * is of that commit. Each block touched is one record; 256 records are the most of a commit.
 * Errors: EROLE, EINVAL (bytes that are not the worker's), EFULL (lane: commit, poll and retry). A
 * write that is refused changes nothing.
 */
int haven_region_write(struct haven_worker *w, struct haven_region *r, uint64_t offset,
		       const void *bytes, uint64_t n);
/** Copy `n` bytes from byte `offset` on, from any thread. Each block is whole; two blocks may be of
 *  different commits. Errors: EINVAL, EAGAIN (changed under the reader too often; `out` is spoilt).
 */
int haven_region_read(const struct haven_region *r, uint64_t offset, void *out, uint64_t n);
/** The bytes that worker `lane` writes: `*bytes` of them from `*offset` on, 0 when it has none. */
void haven_region_span(const struct haven_region *r, unsigned lane, uint64_t *offset,
		       uint64_t *bytes);
/** The region as a checkpoint, for haven_commit(), haven_acked(), haven_hold() and the counts. Its
 *  keys are numbers of blocks, 4 bytes little-endian; nothing of it can be deleted. */
struct haven_table *haven_region_table(struct haven_region *r);

/* ---- restore: a snapshot file comes back ----------------------------------------------------- */

/** Entries that one haven_restore_step() puts at most. */
#define HAVEN_RESTORE_MAX 256u
struct haven_restore;

/**
 * Does an operator want a snapshot restored (`havenctl checkpoint restore`) into a checkpoint of
 * the component? `*out` is NULL when not. Otherwise the file was read and checked as a whole, and
 * `*out` is to be given to the workers (haven_restore_step()) and then to haven_restore_finish().
 * An application that offers this asks now and then, about once a second; it costs a look at a word
 * per checkpoint. Control path: when something is wanted it reads the file and allocates. Errors:
 * ECORRUPT, ESIZE, EVERSION, EINVAL (the file; whoever wants it is told), ENODE, ENOMEM,
 * ETIMEDOUT.
 */
int haven_restore_wanted(struct haven_component *c, struct haven_restore **out);
/** The same with a file of the application's own choice, at start-up for instance. */
int haven_restore_open(struct haven_table *t, const char *path, struct haven_restore **out);
/** The checkpoint that it goes into. */
struct haven_table *haven_restore_table(const struct haven_restore *r);
/**
 * Put the next `max` entries of the worker's own lane, 1…HAVEN_RESTORE_MAX, and commit them: they
 * are records like any others. What the file does not name stays as it is. Call once per turn,
 * never between haven_put() and haven_commit(). Returns how many entries are left in this lane, at
 * most INT_MAX: 0, it is done. While the lane's log is full nothing is put and it is to be called
 * again. Errors: EROLE (not primary; it may be again), EFULL (the table has no room for more: what
 * is left is given up), EINVAL (worker or lane of another component).
 */
int haven_restore_step(struct haven_worker *w, struct haven_restore *r, unsigned max);
/**
 * No worker uses it any more. Tells the operator how it went, and frees it. `*entries` (may be
 * NULL): how many were put. Control path. Returns 0 when all lanes are done; else EAGAIN, it was
 * cut short, or the error that a step has met.
 */
int haven_restore_finish(struct haven_restore *r, uint64_t *entries);

/* ---- output commit: packets wait for the state they depend on ------------------------------- */

/** What haven_hold() does when the worker's ring is full. */
enum haven_hold_overflow {
	HAVEN_HOLD_REFUSE = 0,  /**< EFULL: the packet stays the caller's, to be dropped by him */
	HAVEN_HOLD_DROP_OLDEST, /**< makes room: the oldest packet is handed back at once */
	HAVEN_HOLD_WAIT, /**< EAGAIN: the packet stays the caller's, who holds it again after the
			    next haven_release(), and takes no new work until then */
};
#define HAVEN_HOLD_PACKETS_MAX (1u << 20)

/**
 * Give the worker a ring for `packets` held packets, a power of two 1…HAVEN_HOLD_PACKETS_MAX. A
 * packet is an opaque pointer, never looked at. Call once, on the worker's thread, before its loop;
 * haven_worker_end() frees the ring, not what is in it: haven_hold_drain() first. The other calls
 * neither allocate, lock nor enter the kernel. Errors: EINVAL, EEXIST (it has one), ENOMEM.
 */
int haven_hold_create(struct haven_worker *w, uint32_t packets, enum haven_hold_overflow overflow);
/**
 * Hold a packet until the worker's commit `seq` of `t` (what haven_commit() returned) is
 * acknowledged by the whole in-sync set: whatever the world then sees of the packet, whoever takes
 * over knows. Packets leave in the order in which they were held. `*evicted` (may be NULL, but for
 * HAVEN_HOLD_DROP_OLDEST) is the packet that had to make room and must be dropped, or NULL.
 * After an error the packet stays the caller's. Errors: EFULL, EAGAIN (see the policy), EROLE (drop
 * it), EINVAL (no ring, nothing committed up to `seq`, table of another component or lane).
 */
int haven_hold(struct haven_worker *w, struct haven_table *t, uint64_t seq, void *packet,
	       void **evicted);
/**
 * Take out what need not wait any longer, `max` packets at most, from the oldest on; call it once
 * per turn. Returns how many stand in `out` (room for `max`): acknowledged, they may leave if the
 * gate is open. `dropped` (room for `max`) gets `*n_dropped` others: the role was lost since they
 * were held, for good or for a moment, so that their state may be lost; they must not leave. A new
 * epoch of an unbroken term is no such loss.
 */
unsigned haven_release(struct haven_worker *w, void **out, void **dropped, unsigned max,
		       unsigned *n_dropped);
/** Take everything out, `max` packets at most, whatever is acknowledged; none of it may leave.
 *  Returns how many; 0 when the ring is empty. */
unsigned haven_hold_drain(struct haven_worker *w, void **out, unsigned max);
/** Packets held. */
uint32_t haven_hold_count(const struct haven_worker *w);

#ifdef __cplusplus
}
#endif
#endif
