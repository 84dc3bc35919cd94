/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What runs on this machine: attached clients, their components, workers and tables. Owned by the
 * poll loop; the control thread makes and frees the objects but touches none in between.
 *
 * Components with instances stand here, a few dozen. Those without, up to a million, are no objects
 * of the node at all: they stand in the registry and in the books of who owns what (light.h), come
 * through the request rings of the clients, and cost nothing while nobody asks for anything.
 *
 * Client memory is hostile: words are loaded once into private variables, indices are checked, and
 * the worst a lie can do is harm the component that tells it.
 *
 * The baton of a component's tables for one instance is with the node while the component is not
 * primary and each of its living workers has confirmed a gate generation later than the last
 * primary one. A dead worker confirms by the mark the kernel left in its word; nothing else counts
 * as death.
 *
 *   registered -> ready -> leaving (in order)  -> removed
 *                      \-> failed (dead, or gone without a word) -> removed after proof of death
 */
#ifndef HAVEN_LOCAL_H
#define HAVEN_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "brain.h"
#include "client_segment.h"
#include "command.h"
#include "events.h"
#include "light.h"
#include "mirror_io.h"
#include "registry.h"
#include "request.h"
#include "table.h"

struct haven_node;

/** The registry's shape says how many of these may attach. */
#define LOCAL_CLIENTS_MAX REGISTRY_CLIENTS_LIMIT
#define LOCAL_COMPONENTS_MAX 64
#define LOCAL_TABLES_MAX 16
#define LOCAL_NOT_TOLD UINT64_MAX
/** Words of workers that change often are looked at this often, not in every turn: each look takes
 *  the line away from the worker. */
#define LOCAL_LOOK_NS 100000u

struct local_lane {
	struct mirror_stage stage;
	uint64_t committed; /**< as last told to the brain, LOCAL_NOT_TOLD: anew */
	uint32_t scan_end;  /**< as last told */
	uint64_t reset_seq;
	bool reset_waits; /**< an OUT_RESET waits for the baton */
};

/** One checkpoint of one instance. */
struct local_table {
	struct table table;
	uint8_t instance;    /**< within the component */
	uint8_t number;      /**< within the component */
	bool open;           /**< the brain knows its slots */
	int read_fd;         /**< of the segment, for tools; control thread's. -1: none */
	uint32_t lane_first; /**< first lane line in the registry */
	uint16_t slot_first; /**< first slot of the brain */
	uint16_t lanes;
	uint32_t record_ns; /**< measured: one record of a warm standby applied; 0: not yet */
	struct local_lane lane[HAVEN_WORKERS_MAX];
};

struct local_gate {
	enum haven_role role;
	uint64_t epoch;
	bool told_up;                 /**< the brain was told that the component is there */
	bool closing;                 /**< the brain waits for BRAIN_GATE_CLOSED … */
	uint64_t closing_number;      /**< … with this */
	bool draining;                /**< told primary, what a warm standby keeps comes first */
	uint64_t closed_generation;   /**< first generation after the last primary one */
	uint64_t last_valid_until_ns; /**< greatest ever published */
};

enum local_state { LOCAL_REGISTERED = 0, LOCAL_READY, LOCAL_LEAVING, LOCAL_FAILED };

struct local_component {
	struct registry_component object; /**< as published */
	struct local_client *client;
	struct local_component *next_retired;
	enum local_state state;
	bool stuck;
	uint64_t stuck_ns;    /**< when it was last seen to poll before it was stuck */
	bool adopted;         /**< claimed under a handle from an earlier node */
	uint8_t workers;      /**< bit per worker slot of the client: watched */
	uint8_t dead_workers; /**< subset: marked */
	uint64_t leave_by_ns;
	struct command *leaving; /**< the request to answer, NULL: nobody waits */
	uint32_t n_tables;
	struct local_table *table[LOCAL_TABLES_MAX];
	struct local_gate gate[HAVEN_INSTANCES_MAX];
};

/** What is known of a worker slot of a client while its bit in `watched` is set. */
struct local_worker {
	struct local_component *component; /**< NULL: a reader that belongs to none */
	int rcu_slot;
	uint64_t progress, moved_ns, overruns;
};

struct local_client {
	struct client_segment *segment;
	int pidfd; /**< control thread's */
	int32_t pid;
	uint64_t pid_start_ticks;
	uint32_t components; /**< with instances, not yet removed */
	uint32_t line;       /**< its line in the registry */
	uint16_t process;    /**< of light.owners */
	uint8_t watched;     /**< bit per worker slot */
	bool ended, hung_up, released, evicted;
	struct request_consumer requests;
	uint64_t replay_until; /**< requests up to here may be known to an earlier node */
	struct local_worker worker[HAVEN_WORKERS_MAX];
	struct local_component *retired; /**< removed; freed with the client */
	struct command hang_up, end, release, evict;
	uint32_t in_flight; /**< control thread's: pushes of the first two not yet back */
	bool let_go;        /**< control thread's: the third has come */
};

/** A slot of the brain. */
struct local_slot {
	struct local_component *component; /**< NULL: free */
	struct local_table *table;
	uint8_t lane;
};

/** The snapshot that is being restored, one at a time. */
struct local_restore {
	struct command *waiting; /**< who is to be answered; NULL: nothing is being restored */
	struct local_component *component;
	struct local_table *table;
	uint32_t number; /**< of this one, or the last */
	bool taken;      /**< the application has the file */
	uint64_t take_by_ns;
};

struct local {
	struct light light;
	uint32_t n_clients, n_components;
	uint32_t turn; /**< the client whose requests were taken last */
	struct local_client *client[LOCAL_CLIENTS_MAX];
	struct local_component *component[LOCAL_COMPONENTS_MAX];
	struct local_component *by_instance[HAVEN_INSTANCES_MAX];
	struct local_slot slot[BRAIN_SLOTS_MAX];
	struct command *switchover; /**< waits for the brain's answers */
	uint64_t switchover_pending, switchover_until_ns;
	struct local_restore restore;
	char fence_word[64];                   /**< who said last that a node is dead, and why */
	uint64_t verify_blocks;                /**< blocks of entries whose digests were sent */
	uint64_t verify_entries, verify_wrong; /**< entries compared, and of these wrong */
	char verify_word[EVENT_DETAIL_MAX];    /**< the newest difference */
	uint32_t fencing;        /**< bit per node: the fence command runs against it */
	uint64_t refusal_due_ns; /**< no event about a refusal before this */
	uint64_t look_ns;        /**< next look at the often-changing words */
	uint64_t overruns_gone;  /**< gate overruns of workers that ended */
	uint64_t gate_overruns;
};

/* ---- local.c: life of components ------------------------------------------------------------ */

/** Tell the brain whether instance `i` may be given to the component, if that is news. */
void local_tell_up(struct haven_node *n, struct local_component *c, unsigned i, bool up);
/** The component failed: shut its gates, tell the brain, keep its memory until proof of death. */
void local_fail(struct haven_node *n, struct local_component *c, uint64_t now, const char *cause);
/** Leave in order; `waiting` is answered when it is done (NULL: nobody). */
void local_leave(struct haven_node *n, struct local_component *c, struct command *waiting,
		 uint64_t now);
/** Declare complete: the brain learns its lanes. Returns 0 or a negative error. */
int local_ready(struct haven_node *n, struct local_component *c, uint64_t now,
		struct error_text *error);
/** Take it out of the registry and of all tables here. */
void local_remove(struct haven_node *n, struct local_component *c);
/** Stop watching a worker slot: it ended in order, or its process has provably ended. */
void local_unwatch(struct haven_node *n, struct local_client *client, unsigned worker);
/** Give the client back to the control thread if nothing of it is used any more. */
void local_release(struct haven_node *n, struct local_client *client);
/** The node stops: shut every gate, answer who waits, leave everything to be freed by the control
 *  side. */
void local_stop(struct haven_node *n, uint64_t now);
/** Component of a handle that belongs to the client, NULL: none. O(1). */
struct local_component *local_find(struct haven_node *n, const struct local_client *client,
				   uint64_t handle);
/** A registered component becomes one of those here. */
void local_enter(struct haven_node *n, struct local_component *c);

/* ---- local_request.c: the rings of the clients ------------------------------------------------
 */

/** Begin to take requests of a client that attaches, after request `seen`. Errors: EFULL (lines,
 *  processes), ECORRUPT (its ring contradicts `seen`). */
int local_requests_begin(struct haven_node *n, struct local_client *client, uint64_t seen,
			 uint64_t now, struct error_text *error);
/** Give the client's line back. */
void local_requests_end(struct haven_node *n, struct local_client *client);
/** Take and carry out a bounded number of requests, fairly among clients, and go on with removing
 *  and claiming what processes left behind or came back to. Returns how much was done. */
unsigned local_requests(struct haven_node *n, uint64_t now);
/** Nothing more is taken from this client: its components fail, its connection is cut. */
void local_evict(struct haven_node *n, struct local_client *client, const char *why, uint64_t now);

/* ---- local_gate.c: gates and batons --------------------------------------------------------- */

/** The brain's word on the role of an instance here. */
void local_gate_role(struct haven_node *n, unsigned instance, enum haven_role role, uint64_t epoch,
		     uint64_t valid_until_ns, uint64_t now);
/** New end of the lease: gates of all local primaries follow. 0: shut. */
void local_gate_lease(struct haven_node *n, uint64_t valid_until_ns);
/** Shut the gate of an instance and answer BRAIN_GATE_CLOSED, with `number`, as soon as it is
 *  certain. */
void local_gate_close(struct haven_node *n, unsigned instance, uint64_t number, uint64_t now);
/** Shut one gate to `role`, which is not primary. */
void local_gate_shut(struct haven_node *n, struct local_component *c, unsigned i,
		     enum haven_role role, uint64_t now);
/** Answer closings that have become certain. */
void local_gate_scan(struct haven_node *n, struct local_component *c, uint64_t now);
/** True when the node may write the component's tables of its instance `i`. */
bool local_gate_baton(const struct local_component *c, unsigned i);

/* ---- local_scan.c: what each turn looks at --------------------------------------------------- */

/** Marks, confirmations, commits; now and then progress, ends, stuck workers. Returns how much was
 *  found. */
unsigned local_scan(struct haven_node *n, uint64_t now);

/* ---- local_command.c: the loop's side of requests -------------------------------------------- */

/** Carry out up to a bounded number of commands. Returns how many. */
unsigned local_commands(struct haven_node *n, uint64_t now);
/** local_register.c: carry out an application's command. */
void local_attach(struct haven_node *n, struct command *c, uint64_t now);
void local_register(struct haven_node *n, struct command *c, uint64_t now);
/** One that names a component of the asking client, or a reader that belongs to none. */
void local_component_request(struct haven_node *n, struct command *c, uint64_t now);
/** The brain's answer to a switchover of `instance`. */
void local_switchover_done(struct haven_node *n, unsigned instance, int code, const char *text);
/** Answer a switchover that nobody answered in time. */
void local_switchover_scan(struct haven_node *n, uint64_t now);
/** Answer a command: 0 or a negative error with its sentence. */
void local_answer(struct haven_node *n, struct command *c, int result, const char *text);

/* ---- local_checkpoint.c ---- */

/** An operator's commands: a descriptor to look into a checkpoint; have a snapshot restored. */
void local_table_command(struct haven_node *n, struct command *c);
void local_restore_command(struct haven_node *n, struct command *c, uint64_t now);
/** The application's side of the second: it takes the file, it is done. */
void local_restore_application(struct haven_node *n, struct command *c);
/** The component leaves (NULL: all do): whoever waits for it is told. */
void local_restore_drop(struct haven_node *n, const struct local_component *c);
/** Answer a restore that the application does not take. */
void local_restore_scan(struct haven_node *n, uint64_t now);

/* ---- local_fence.c ---- */

/** The control thread's word on the fence command, and its question whether to start it. */
void local_fence(struct haven_node *n, struct command *c, uint64_t now);

/* ---- local_mirror.c: lanes and the brain's slots --------------------------------------------- */

/** Reserve consecutive slots. Returns the first, or -HAVEN_EFULL. */
int local_slots_reserve(struct haven_node *n, struct local_component *c, struct local_table *t);
/** Tell the brain of a component's lanes, or that they are gone. */
void local_slots_open(struct haven_node *n, struct local_component *c);
void local_slots_close(struct haven_node *n, struct local_component *c);
/** The slot's table and lane, NULL when it is not open. */
const struct local_slot *local_slot(const struct haven_node *n, unsigned slot);
/** OUT_ACKED, OUT_RESET, OUT_APPLY. */
void local_acked(struct haven_node *n, unsigned slot, uint64_t seq, uint64_t consumed);
void local_reset(struct haven_node *n, unsigned slot, uint64_t seq);
void local_apply(struct haven_node *n, unsigned slot, const struct frame *frame);
/** local_digest.c: fill a frame of digests from lane `slot`. Returns the bytes of its payload at
 *  `out`, or a negative error: nothing to send. */
int local_digest(struct haven_node *n, unsigned slot, struct frame_digest *d, uint8_t *out);
/** OUT_COMPARE. */
void local_compare(struct haven_node *n, unsigned slot, uint64_t applied,
		   const struct frame_digest *d);
/** local_warm.c: does an instance keep commits that are not applied? */
bool local_warm_waits(const struct local_component *c, unsigned i);
/** One turn's part of what is applied before gates open. Returns how much was done. */
unsigned local_warm_scan(struct haven_node *n, struct local_component *c, uint64_t now);
/** Tell in the registry how much waits. */
void local_warm_show(struct haven_node *n, const struct local_table *t, unsigned lane);
/** So many records were applied in so long. */
void local_warm_measure(struct local_table *t, uint64_t records, uint64_t ns);
/** Resets that waited for the baton. */
void local_resets_scan(struct haven_node *n, struct local_component *c);
/** Show in the registry how full the component's lanes are and how far they came. */
void local_lanes_show(struct haven_node *n, const struct local_component *c);
/** At a promotion: the brain is to hear of every lane anew. */
void local_lanes_begin(struct local_component *c, unsigned i);
/** Tell the brain what was committed in the lanes of instance `i`. Returns how many lanes moved, or
 *  -HAVEN_ECORRUPT when one moved in a way that no writer's can. */
int local_commits(struct haven_node *n, struct local_component *c, unsigned i);
/** True when a lane of instance `i` is still to be emptied. */
bool local_reset_waits(const struct local_component *c, unsigned i);

#endif
