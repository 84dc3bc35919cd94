/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The simulated world: one global virtual time, an event heap, nodes with their own clocks, and the
 * applications on them. Nothing here draws on anything but the seed; nothing is allocated after
 * sim_world_create().
 *
 * A function that finds a broken invariant calls sim_fail(); the run then stops at once.
 */
#ifndef HAVEN_SIM_WORLD_H
#define HAVEN_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "brain.h"
#include "clock.h"
#include "mirror_io.h"
#include "prng.h"
#include "sim_app.h"
#include "sim_check.h"
#include "sim_fault.h"
#include "sim_flip.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_options.h"
#include "sim_trace.h"
#include "table.h"

#define SIM_EVENTS_MAX 131072u
#define SIM_SLOT(instance, lane) ((uint16_t)((instance)*SIM_LANES + (lane)))
#define SIM_NEVER UINT64_MAX
#define SIM_TABLE_BYTES 32768u
/** Changes of one simulated commit. */
#define SIM_COMMIT_MAX 5u

enum sim_event_kind {
	SIM_EV_DRAIN = 0,  /**< a node's poll turn begins: frames, then local events */
	SIM_EV_TICK,       /**< and ends */
	SIM_EV_FRAME,      /**< frame `arg` reaches its node's port */
	SIM_EV_NODE_UP,    /**< the node's program starts */
	SIM_EV_APP_UP,     /**< an application starts */
	SIM_EV_APP_POLL,   /**< it looks at its gate */
	SIM_EV_APP_WORK,   /**< it takes work, if it may */
	SIM_EV_APP_COMMIT, /**< it finishes work it took while it might */
	SIM_EV_FAULT,      /**< fault of class `arg` strikes */
	SIM_EV_REPLAY,     /**< recorded frame `arg` is sent again */
	SIM_EV_READY,      /**< an unready component is ready again */
	SIM_EV_STORM,      /**< the node dies again, `arg` times in all */
	SIM_EV_FENCED,     /**< the node is told that the other one is dead */
	SIM_EV_FLAP,       /**< the path from node to `instance` goes down, `arg` times in all */
	SIM_EV_KIND_COUNT
};

struct sim_event {
	uint64_t at;
	uint64_t order; /**< equal instants: first come, first served */
	uint8_t kind, node, instance;
	uint32_t arg; /**< by kind; for nodes and applications: the life it belongs to */
};

/** What the node publishes per (component, instance); as struct registry_gate. It outlives the
 *  node's program: the application reads on in a dead registry. */
struct sim_gate {
	enum haven_role role;
	uint64_t epoch, valid_until_ns; /**< on the node's clock */
	uint64_t term_ns;               /**< greatest valid_until of the current open spell */
	uint32_t generation;
	uint32_t closed_generation; /**< of the newest OUT_CLOSE_GATE … */
	uint64_t closing_number;    /**< … and its seq */
	bool closing;               /**< the brain waits for BRAIN_GATE_CLOSED */
	bool closed_by_time;        /**< the last closing: the worker had not confirmed it */
};

/** One application: a process with a component of one instance. */
struct sim_app {
	bool alive, stopped, ready;
	uint32_t life;       /**< grows with every start; names scheduled events */
	uint32_t known_life; /**< life whose lanes the node has opened, 0: none */
	bool known_ready;
	uint64_t death_seen_at; /**< when the node notices that it died */
	uint64_t stopped_until;
	/* what its worker has confirmed */
	uint32_t confirmed;
	enum haven_role role;
	/* its table and the node's staging of what comes for it */
	struct table table;
	void *memory;
	struct sim_flip flip;
	struct mirror_stage stage[SIM_LANES];
	uint64_t told_seq[SIM_LANES]; /**< last BRAIN_COMMITTED */
	uint32_t told_end[SIM_LANES];
	bool told[SIM_LANES];
	uint64_t acked[SIM_LANES], consumed[SIM_LANES];
	bool working;    /**< a SIM_EV_APP_WORK is under way */
	bool draining;   /**< told primary, but its standby's log is still to be applied */
	bool promoted;   /**< confirmed as primary, has not acted since */
	uint8_t lane;    /**< of the current commit … */
	uint32_t staged; /**< … its changes so far */
	struct sim_record record[SIM_COMMIT_MAX];
};

struct sim_clock {
	uint64_t since_ns;  /**< global instant at which … */
	uint64_t offset_ns; /**< … it showed this */
	int64_t rate_ppb;
	uint64_t wall_skew_ns;
};

struct sim_node {
	bool up;
	uint32_t life;
	uint64_t incarnation;
	struct sim_clock clock;
	struct brain *brain;
	uint64_t epoch;                  /**< of its view as last seen by the checks … */
	uint64_t epoch_before;           /**< … and of the view before that */
	uint16_t lineage[SIM_INSTANCES]; /**< by that view */
	uint64_t turn_at, paused_until;
	uint64_t asleep_until, slept_ns, naps; /**< pauses and stalls of this node so far */
	uint64_t deaf_until;                   /**< its machine is suspended: what comes is lost */
	uint32_t turns;
	uint32_t turn; /**< id of the scheduled turn; others are void */
	bool in_turn;
	uint32_t rx[SIM_RX_MAX], rx_head, rx_count;
	struct sim_app app[SIM_INSTANCES];
	struct sim_gate gate[SIM_INSTANCES];
	uint64_t fence_life, fence_epoch; /**< of the other node, when its death was asked for */
	bool fence_asked, fence_done;
	bool leave_asked, leaving; /**< the program is to end; its brain knows */
	uint64_t leave_down_ns;    /**< how long it then stays down */
	uint32_t clock_finding;    /**< enum clock_finding to be told, 0: none */
	uint64_t clock_bad_until;  /**< global, 0: its rate is right */
	uint64_t leave_by_ns;      /**< on its clock: it ends, whatever its brain says */
	uint8_t switchover_to;
	bool switchover[SIM_INSTANCES];
};

struct sim_stats {
	uint64_t seeds, simulated_ns, events, steps, frames_sent, frames_taken, frames_dropped;
	uint64_t faults[SIM_FAULT_COUNT], sizes[SIM_NODES + 1];
	uint64_t acting, promotions, commits, records, acked, states_lost, formations, epochs;
	uint64_t flips, flips_found, compared, drained;
	uint64_t resets, applies, refused_applies, switchovers;
	uint64_t checks[SIM_CHECK_COUNT];
	uint64_t converge_max_leases_milli;
};

/** Where the checks apply what a warm standby keeps, to see what it would be promoted with. */
struct sim_look {
	struct table table;
	void *memory;
};

struct sim_world {
	struct sim_options options;
	struct prng prng;
	uint64_t now;
	uint64_t order;
	bool faults_on, work_on, failed;
	uint64_t hash; /**< of every event and output so far */
	struct sim_event *heap;
	uint32_t heap_count;
	struct table_geometry geometry;
	uint32_t shape;
	struct sim_node node[SIM_NODES];
	struct sim_net net;
	struct sim_check check;
	struct sim_trace trace;
	struct sim_look look;
	struct brain_outputs *outputs;
	struct sim_stats stats; /**< summed over all seeds of this world */
};

/** Make a world that can run any number of seeds one after the other. NULL: no memory. */
struct sim_world *sim_world_create(void);
void sim_world_destroy(struct sim_world *w);
/** Prepare it for one seed: all nodes down, starting soon. */
void sim_world_reset(struct sim_world *w, const struct sim_options *o);
/** Run the seed; true when nothing broke. */
bool sim_world_run(struct sim_world *w);

void sim_schedule(struct sim_world *w, uint64_t at, enum sim_event_kind kind, unsigned node,
		  unsigned instance, uint32_t arg);
/** Uniform in [low, high). */
uint64_t sim_between(struct sim_world *w, uint64_t low, uint64_t high);
/** Log-uniform duration in [low, high): as many short ones as long ones. */
uint64_t sim_duration(struct sim_world *w, uint64_t low, uint64_t high);
static inline void sim_hash(struct sim_world *w, uint64_t a, uint64_t b)
{
	w->hash = (w->hash ^ a) * 0x9e3779b97f4a7c15ull;
	w->hash = ((w->hash << 29 | w->hash >> 35) ^ b) * 0xbf58476d1ce4e5b9ull;
}

/** From now on its rate is another; it does not step. */
void sim_clock_set_rate(struct sim_clock *c, uint64_t at, int64_t rate_ppb);
/** The node's clock at global instant `at`, and the first global instant at which it shows
 *  `local`. */
uint64_t sim_clock_local(const struct sim_clock *c, uint64_t at);
uint64_t sim_clock_global(const struct sim_clock *c, uint64_t local);

#endif
