/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The registry segment: what the node tells everybody on its machine.
 *
 * Written by the node alone (its poll loop, except where a field says otherwise), mapped read-only
 * by applications and tools; a file `registry` in the run directory, so that it can be read when
 * the node is dead. Every place is an offset; nothing in it is a pointer.
 *
 *     header | status | gates[] | lanes[] | index[] | directory[] | events | arena (components)
 *
 * - *gates*: one cache line per (component, instance). The application's hot path reads only this.
 * - *lanes*: one cache line per (checkpoint, lane): acknowledgements and consumption.
 * - *status*: one block with a version word, read optimistically (struct registry_status).
 * - *components*: copy-on-update objects in the arena, found through a hash index of offsets;
 *   replaced objects are reused only after every reader slot passed (rcu.h).
 */
#ifndef HAVEN_REGISTRY_H
#define HAVEN_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomic.h"
#include "error.h"
#include "events.h"
#include "haven_assert.h"
#include "haven_types.h"

#define REGISTRY_MAGIC 0x6e76616873686d31ull /* "1mhshavn" */
#define REGISTRY_LAYOUT_VERSION 1u
#define REGISTRY_FILE "registry"
#define REGISTRY_GATES_MAX 256u
#define REGISTRY_LANES_MAX 256u
#define REGISTRY_COMPONENTS_MAX 256u
#define REGISTRY_STATUS_PEERS HAVEN_NODES_MAX

/** One (component, instance). Writer: node. Readers: the component's workers, tools. */
struct registry_gate {
	uint64_t valid_until_ns; /**< gate is open while role is primary and now is before this;
				      0 unless primary. Store order: shut first, open last (G1) */
	uint64_t epoch;          /**< epoch of the role */
	uint32_t role;           /**< enum haven_role */
	uint32_t generation;     /**< grows by one with every change of role or epoch, never by a
				      lease renewal; the application confirms it */
	uint32_t component;      /**< index of the owner in the directory, UINT32_MAX: free */
	uint16_t instance;       /**< cluster-wide instance number */
	uint16_t assigned_node;  /**< holder in the current view, HAVEN_NODE_NONE if none */
	uint32_t version;        /**< odd while role, epoch and generation change (G2) */
	uint32_t pad32;
	uint64_t pad[3];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_gate) == HAVEN_CACHE_LINE, "one line per gate");

/** One lane of one checkpoint. Writer: node. Readers: the lane's worker, tools. */
struct registry_lane {
	uint64_t acked_seq;    /**< every record up to here is held by the whole in-sync set (L1) */
	uint64_t consumed_seq; /**< log slots up to here may be overwritten (L2) */
	uint64_t applied_seq;  /**< on a secondary: last record of the last whole commit applied */
	uint32_t component;    /**< owner's index in the directory, UINT32_MAX: none. Set by whoever
				    reserved the line; removing the owner frees its lines */
	uint16_t instance;
	uint8_t checkpoint; /**< number of the checkpoint within the component */
	uint8_t lane;
	uint32_t lag_records; /**< committed minus acked, as last seen by the node */
	uint32_t resends;
	uint64_t pad[3];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_lane) == HAVEN_CACHE_LINE, "one line per lane");

/** What the node knows of a peer (or of itself: the entry of its own index). */
struct registry_peer {
	char name[HAVEN_NAME_MAX];
	uint64_t incarnation;   /**< 0: never heard */
	uint64_t last_heard_ns; /**< when its newest beat was taken; 0: never */
	uint64_t beats_received;
	uint64_t beats_lost; /**< gaps in its beat sequence */
	uint64_t rtt_ns;     /**< newest measured round trip, 0: unknown */
	uint64_t epoch;      /**< its view */
	uint64_t frames_bad; /**< frames in its name that failed a check */
	uint8_t configured, voter, witness, alive, member, self;
	uint8_t links_up; /**< bit per link on which it was heard lately */
	uint8_t pad;
	char release[HAVEN_NAME_MAX];
};

/** An instance as the current view has it. */
struct registry_instance {
	char name[HAVEN_NAME_MAX];
	char group[HAVEN_NAME_MAX];
	uint8_t holder; /**< node index or HAVEN_NODE_NONE */
	uint8_t role;   /**< enum haven_role of this node for it */
	uint8_t wanted_secondaries;
	uint8_t pad;
	uint32_t assigned;     /**< bit per node: secondaries */
	uint32_t in_sync;      /**< bit per node, holder included */
	uint32_t ready;        /**< bit per node with a healthy component for it, as far as known */
	uint32_t sync_percent; /**< progress of a running full transfer from this node, 0…100 */
	uint32_t lag_records;  /**< largest lag of its lanes on the holder */
	uint64_t since_ns;     /**< when the holder last changed */
	uint64_t since_wall_ns;
	uint64_t since_epoch;
};

/** The optimistic block. `version` is odd while the node writes. Writer: node. */
struct registry_status {
	uint64_t version; /**< pairs S1 (release) with S2 (acquire) */
	uint64_t updated_ns;
	uint64_t epoch;
	uint64_t lease_until_ns; /**< end of this node's lease, 0: none */
	uint64_t view_since_ns, view_since_wall_ns;
	uint64_t poll_gap_max_ns;        /**< longest turn of the poll loop since start */
	uint64_t poll_gap_recent_max_ns; /**< longest turn in the last whole second */
	uint64_t stalls;                 /**< turns longer than the stall limit */
	uint64_t polls;
	uint64_t frames_in, frames_out;
	uint64_t bad_length, bad_version, bad_type, bad_peer, bad_tag, bad_replay, bad_body;
	uint64_t gate_overruns; /**< sum over local workers */
	uint32_t members;       /**< bit per node */
	uint8_t self, n_nodes, n_instances, n_voters;
	uint8_t has_view, has_lease, admitted, pad;
	uint32_t pad2;
	struct registry_peer peer[REGISTRY_STATUS_PEERS];
	struct registry_instance instance[HAVEN_INSTANCES_MAX];
};

struct registry_header {
	uint64_t magic; /**< written last when the segment is made (H1) */
	uint32_t layout_version;
	uint32_t header_bytes;
	uint64_t size_bytes;
	uint64_t incarnation; /**< of the node that writes it */
	uint64_t started_ns, started_wall_ns;
	int32_t pid;
	uint32_t pad;
	uint64_t pid_start_ticks; /**< field 22 of /proc/PID/stat: tells pid reuse */
	char cluster[HAVEN_NAME_MAX];
	char node[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint64_t interval_ns, lease_ns, suspect_ns, guard_ns;
	uint64_t status_offset, gates_offset, lanes_offset, index_offset, directory_offset,
		events_offset, arena_offset, arena_bytes;
	uint32_t index_slots, directory_slots, events_slots, arena_slots;
	uint64_t stopped_ns; /**< set by an orderly stop, 0 while running or after a crash */
	uint64_t rcu_epoch;  /**< grace-period counter, see rcu.h; starts at 1, never 0 */
};

/** A component object in the arena. Immutable once published; replaced as a whole (C1: release
 * store of its offset in the directory). */
struct registry_component {
	uint64_t handle;  /**< (generation << 16) | directory index; checked by every reader */
	uint32_t version; /**< odd while the node fills this place: tells readers without a slot
			     that the place was reused under them (C2) */
	int32_t pid;
	uint64_t pid_start_ticks;
	uint64_t registered_ns;
	char name[HAVEN_NAME_MAX];
	char group[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint8_t kind;  /**< enum haven_component_kind */
	uint8_t ready; /**< it declared itself healthy and complete */
	uint8_t dead;  /**< proven dead; the slot is about to be reaped */
	uint8_t instances;
	uint16_t gate_first;     /**< index of its first gate; `instances` of them */
	uint16_t lane_first;     /**< index of its first lane line */
	uint16_t lanes;          /**< lane lines of all its checkpoints */
	uint16_t instance_first; /**< cluster-wide number of its group's first instance */
	uint8_t pad[4];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_component) % 8 == 0, "no tail padding");

/** A mapping of the registry. `base` is writable only in the node. The sizes are private copies,
 *  checked when it was mapped; the mapped words are never trusted again. */
struct registry {
	uint8_t *base;
	uint64_t size_bytes;
	struct registry_header *header;
	struct registry_status *status;
	struct registry_gate *gates;
	struct registry_lane *lanes;
	uint64_t *directory; /**< offset of the component object per slot, 0: none */
	uint32_t *index;     /**< open addressing: directory slot + 1, 0 empty, ~0 deleted */
	struct event_ring *events;
	uint32_t index_slots, directory_slots, events_slots, arena_slots;
	uint64_t arena_offset;
	int fd; /**< node: read-only descriptor to pass to clients; -1 in readers */
	bool writable;
	struct registry_writer *writer; /**< node only: free lists, retire queue */
};

/* ---- node side (poll loop or start-up; never concurrently) --------------------------------- */

/** Shape wanted by registry_create(); strings are copied. */
struct registry_config {
	const char *cluster, *node, *release;
	uint64_t incarnation, interval_ns, lease_ns, suspect_ns, guard_ns;
};
/** Make `run_dir`/registry anew (written aside, then renamed over an old one). Errors: ENOENT (no
 *  such directory), EPERM, ENOMEM (no room), EINVAL (a name does not fit), ESYS. */
int registry_create(struct registry *r, const char *run_dir, const struct registry_config *config,
		    struct error_text *error);
/** Mark an orderly stop and unmap. The file stays for post-mortem readers. */
void registry_destroy(struct registry *r);

struct rcu_domain;
/** Add a component; fills `c->handle`, `c->gate_first`, and sets its gates to off-line with a new
 *  generation. It has no lane lines yet. Errors: EINVAL (name, instances), EEXIST, EFULL. */
int registry_add(struct registry *r, struct registry_component *c, struct error_text *error);
/** Replace the object of `c->handle` by a copy of `*c`; the old one is retired. Name, gates and
 *  instances stay as they are. Without a difference nothing happens. Errors: ESTALE, EFULL (readers
 *  hold every replaced object). */
int registry_update(struct registry *r, const struct registry_component *c, struct rcu_domain *rcu);
/** Remove: shuts its gates; object, gates and lane lines (those whose `component` is it) are reused
 *  after the grace period. Errors: ESTALE. */
int registry_remove(struct registry *r, uint64_t handle, struct rcu_domain *rcu);
/** Reserve `count` lane lines, contiguous and zeroed, without an owner: the caller sets
 * `component`. Returns the first index or -HAVEN_EFULL. */
int registry_lanes_reserve(struct registry *r, uint32_t count);
/** Give reserved lane lines back, to be reused after the grace period. */
void registry_lanes_release(struct registry *r, uint32_t first, uint32_t count,
			    struct rcu_domain *rcu);
/** Free what the grace period has released; bounded work, called from the poll loop. */
void registry_reclaim(struct registry *r, struct rcu_domain *rcu);
/** Bracket of a status change. */
void registry_status_begin(struct registry *r);
void registry_status_end(struct registry *r);
/** Set a gate's role. The generation grows when role or epoch differ from what they are. Opening
 *  stores valid_until last, shutting stores 0 first; for any role but primary it is 0. */
void registry_gate_set(struct registry *r, uint32_t gate, enum haven_role role, uint64_t epoch,
		       uint64_t valid_until_ns);
/** Renew an open gate's end; no change of generation. */
void registry_gate_renew(struct registry *r, uint32_t gate, uint64_t valid_until_ns);

/* ---- reader side ---------------------------------------------------------------------------- */

/** Map `run_dir`/registry (or a copied file: `path` directly) read-only and check its layout.
 *  Errors: ENOENT, EVERSION (both named), ESIZE, ECORRUPT, EPERM. */
int registry_open(struct registry *r, const char *run_dir, struct error_text *error);
/** The same from a descriptor, which stays the caller's and may be closed afterwards. */
int registry_open_fd(struct registry *r, int fd, struct error_text *error);
void registry_close(struct registry *r);
/** Object by name, NULL if none. Inside an RCU section only; readers without a slot use
 *  registry_find_copy(). Strings in it end within their fields unless the file is corrupt. */
const struct registry_component *registry_find(const struct registry *r, const char *name);
/** Object by handle, NULL when stale. Same rule. */
const struct registry_component *registry_get(const struct registry *r, uint64_t handle);
/** Copy of the component `name`, for readers without a slot. Returns 0, -HAVEN_ENOENT or
 *  -HAVEN_EAGAIN (it changed under us again and again). */
int registry_find_copy(const struct registry *r, const char *name, struct registry_component *out);
/** Copy of directory slot `slot` if it holds a component; for tools without a reader slot: retries
 *  a bounded number of times. Returns 0, -HAVEN_ENOENT or -HAVEN_EAGAIN. */
int registry_copy_slot(const struct registry *r, uint32_t slot, struct registry_component *out);
/** Copy a gate whose role, epoch and generation belong together; false while it changes. Who acts
 * by `valid_until_ns` loads it (acquire) before he looks at the generation he has confirmed. */
bool registry_gate_copy(const struct registry_gate *gate, struct registry_gate *out);
/** Consistent copy of the status block; counts are within their arrays, strings end. Returns 0, or
 *  -HAVEN_EAGAIN when no clean view was had (the node may have died in the middle of a change). */
int registry_copy_status(const struct registry *r, struct registry_status *out);
/** True while the process that wrote it lives (pid and start time). */
bool registry_writer_alive(const struct registry *r);

#endif
