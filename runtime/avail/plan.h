/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The redundancy planner: what should the next view say? Pure function of what a node knows.
 *
 * Policy of this release: `2N`, hot standby (any number of secondaries per instance).
 *   - A holder keeps its role while its node lives and it has not given the role up.
 *   - A successor must have an intact, in-sync copy, a healthy component, and a majority in
 * hearing. Among several: the operator's target, else the present holder, else the preferred node,
 * else the lowest index. Incumbents win ties, so a returning node does not pull work back.
 *   - When every in-sync copy is provably gone, or there never was one, work starts afresh. If a
 *     secondary that was not in sync has a whole copy all the same, it starts from that one.
 *   - A formation cannot know what a forgotten majority decided: it keeps one copy per instance,
 * and says that something may be lost.
 *   - Secondaries are healthy nodes within the holder's hearing; a secondary that left, or that the
 *     holder finds stuck, leaves the in-sync set; one that has caught up joins it. A node that is
 *     held down, because it comes and goes, becomes no secondary: every time it went it would have
 *     to be voted out before commits go on.
 */
#ifndef HAVEN_PLAN_H
#define HAVEN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "haven_types.h"

struct plan_node {
	bool alive;     /**< somebody in hearing hears it, and it may be a member */
	bool intact;    /**< same incarnation as in the view: what it held it still holds */
	bool held;      /**< comes and goes: to be given nothing new */
	bool leaving;   /**< ends in order: ready for nothing */
	bool majority;  /**< it hears a majority of the voters: it can hold a lease */
	uint32_t hears; /**< nodes in its hearing */
	uint64_t ready; /**< bit per instance: healthy component */
	uint64_t released, yielded; /**< roles given up in this epoch; not wanted back */
	uint64_t lost;              /**< bit per instance: no complete copy */
};

struct plan_instance {
	uint32_t eligible;
	uint8_t preferred, secondaries;
	uint8_t holder; /**< of the current view, HAVEN_NODE_NONE: nobody */
	uint32_t assigned, in_sync;
	uint32_t caught_up; /**< holder only: secondaries that may join the in-sync set */
	uint32_t stuck;     /**< holder only: secondaries that acknowledge nothing */
	uint8_t target;     /**< operator's choice, HAVEN_NODE_NONE: none */
};

struct plan_input {
	uint8_t self, n_nodes, n_instances;
	bool formation;   /**< a majority of the voters has no memory */
	uint32_t members; /**< of the current view */
	struct plan_node node[HAVEN_NODES_MAX];
	struct plan_instance instance[HAVEN_INSTANCES_MAX];
};

/** The most telling reason for a change; the order is their weight, the numbers are recorded. */
enum plan_reason {
	PLAN_NONE = 0,
	PLAN_FORMATION,
	PLAN_ADMIT,
	PLAN_NODE_DEAD,
	PLAN_COMPONENT_DEAD,
	PLAN_LEASE_LOST,
	PLAN_SWITCHOVER,
	PLAN_ASSIGN,
	PLAN_IN_SYNC,
	PLAN_OUT_OF_SYNC,
	PLAN_STATE_LOST,
	PLAN_LEAVING,
};

struct plan_output {
	uint32_t members;
	struct {
		uint8_t holder;
		uint32_t assigned, in_sync;
	} instance[HAVEN_INSTANCES_MAX];
	enum plan_reason reason;
	uint8_t about_instance; /**< first instance the reason is about, 0xff: none */
	uint64_t moved;         /**< instances whose holder changes */
	uint64_t no_successor;  /**< instances that lost their holder and have no candidate */
	uint64_t state_lost;    /**< instances of which no copy in sync is left, or may be */
};

void plan_make(const struct plan_input *in, struct plan_output *out);

#endif
