/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What one seed stands for: cluster shape, timers and how often each class of fault strikes. Drawn
 * from the seed alone, so that the seed and the command line replay a run exactly.
 */
#ifndef HAVEN_SIM_OPTIONS_H
#define HAVEN_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_NODES 32
/** Small clusters draw the properties of this many nodes, needed or not. */
#define SIM_NODES_SMALL 7
#define SIM_INSTANCES 2
#define SIM_LANES 2
#define SIM_LINKS 2
/** Keys of a lane; more than its pool holds, so that a full table happens too. */
#define SIM_KEYS 40

/** Classes of faults. Up to SIM_FAULT_REPLAY their rate is parts per million of frames, the stall's
 *  is parts per million of poll turns, the others strike on average once per `rate` leases. */
enum sim_fault {
	SIM_FAULT_LOSS = 0,
	SIM_FAULT_DUPLICATE,
	SIM_FAULT_LATE, /**< a frame is delayed on its own: reordering, up to ten leases */
	SIM_FAULT_CORRUPT,
	SIM_FAULT_REPLAY,
	SIM_FAULT_STALL,
	SIM_FAULT_CUT,
	SIM_FAULT_PARTITION,
	SIM_FAULT_CLOG,
	SIM_FAULT_CRASH,
	SIM_FAULT_PAUSE,
	SIM_FAULT_KILL,
	SIM_FAULT_STOP,
	SIM_FAULT_UNREADY,
	SIM_FAULT_SWITCHOVER,
	SIM_FAULT_STORM,   /**< a node dies again and again, soon after each start */
	SIM_FAULT_FLAP,    /**< a path is cut and healed at about the period of the lease */
	SIM_FAULT_SUSPEND, /**< a machine sleeps: nothing runs, and what is sent to it is lost */
	SIM_FAULT_DRIFT,   /**< a clock changes its rate, within the bound */
	SIM_FAULT_OUTAGE,  /**< many nodes lose their memory at about the same time */
	SIM_FAULT_FENCE,   /**< one of two voters has the silent other one killed, and is told so */
	SIM_FAULT_FLIP,    /**< a bit flips in the memory of a secondary's copy */
	SIM_FAULT_LEAVE,   /**< a node ends in order, and comes back */
	SIM_FAULT_CLOCK,   /**< a node finds that its clock stood still, or that its rate is off */
	SIM_FAULT_COUNT
};
/** Classes that runs of SIM_LENGTH_CLASSIC know. */
#define SIM_FAULT_CLASSIC_COUNT SIM_FAULT_STORM

enum sim_mode { SIM_MODE_MIXED = 0, SIM_MODE_2W, SIM_MODE_3, SIM_MODE_2F };

/** How long faults last: most seeds are short and dense, some are long. Classic: as every seed was
 *  before there were lengths, so that a seed that failed then still runs as it did. */
enum sim_length { SIM_LENGTH_DRAWN = 0, SIM_LENGTH_SHORT, SIM_LENGTH_LONG, SIM_LENGTH_CLASSIC };

struct sim_options {
	uint64_t seed;
	enum sim_length length;
	uint8_t nodes, links, instances, lanes;
	uint8_t secondaries;
	uint32_t voters, witnesses;
	uint32_t keys;
	uint32_t per_frame; /**< records in a mirror frame at most, 0: as many as fit */
	uint32_t mirror_window, mirror_flight; /**< as in struct brain_config */
	bool mirror_split;
	uint64_t interval_ns, suspect_ns, lease_ns, guard_ns, stall_ns, mirror_timeout_ns;
	uint32_t rate_ppm;
	uint64_t delay_ns;     /**< base delay of a link is drawn up to this */
	uint64_t work_ns;      /**< mean time between commits of an application */
	uint64_t confirm_ns;   /**< an application looks at its gate at least this often */
	uint64_t wake_ns;      /**< a node's turn begins so soon after a frame has come … */
	uint64_t pace_ns;      /**< … and so soon after the turn before it */
	uint64_t span_ns;      /**< greatest length of a fault that lasts */
	uint32_t warm_records; /**< a secondary keeps so many before it applies, 0: it is hot */
	uint64_t verify_ns;    /**< from one compared block to the next, 0: none is */
	uint64_t flap_ns;      /**< period of a flapping path */
	uint64_t calm_ns;      /**< faults begin at this instant … */
	uint64_t safety_ns;    /**< … and end at this one */
	uint64_t bound_ns;     /**< by then after the end everything must be whole again */
	uint32_t rate[SIM_FAULT_COUNT];
};

/** What the command line fixes; 0 or SIM_MODE_MIXED: drawn. */
struct sim_overrides {
	enum sim_mode mode;
	enum sim_length length;
	unsigned nodes;
};

void sim_options_draw(struct sim_options *o, uint64_t seed, const struct sim_overrides *fixed);
void sim_options_print(const struct sim_options *o, FILE *to);
const char *sim_fault_name(unsigned fault);
/** Bit per node of the cluster. */
static inline uint32_t sim_all_nodes(const struct sim_options *o)
{
	return o->nodes < 32 ? (1u << o->nodes) - 1 : UINT32_MAX;
}
/** Nodes whose clocks and paths are drawn, so that all small clusters draw alike. */
static inline unsigned sim_drawn_nodes(const struct sim_options *o)
{
	return o->nodes <= SIM_NODES_SMALL ? SIM_NODES_SMALL : SIM_NODES;
}

#endif
