/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the node tells: events and the status block to everybody on the machine (registry), and a
 * snapshot of the view to its own control thread under RCU.
 */
#ifndef HAVEN_PUBLISH_H
#define HAVEN_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu.h>

#include "events.h"
#include "haven_types.h"
#include "registry.h"

struct haven_node;

#define PUBLISH_STATUS_NS 1000000u
#define PUBLISH_SNAPSHOTS 4

/** The view as other threads of the node see it. Immutable while it is published. */
struct publish_snapshot {
	struct rcu_head rcu;
	uint32_t busy; /**< published, or waiting for its grace period */
	uint64_t epoch;
	uint8_t holder[HAVEN_INSTANCES_MAX];
};

struct publish {
	struct registry_status status; /**< filled here, then shown as a whole */
	bool dirty;                    /**< view or role changed: refresh at the end of this turn */
	uint64_t next_ns;
	uint64_t epoch, since_ns, since_wall_ns;
	struct {
		uint8_t holder;
		uint64_t since_ns, since_wall_ns, since_epoch;
	} instance[HAVEN_INSTANCES_MAX];
	uint32_t ports_up;
	uint64_t events[EVENT_CRITICAL + 1]; /**< told so far, by severity */
	/** Read by others inside rcu_read_lock(); replaced as a whole. */
	struct publish_snapshot *snapshot;
	struct publish_snapshot pool[PUBLISH_SNAPSHOTS];
};

void publish_init(struct haven_node *n, uint64_t now);
/** Fill what is known (time, wall clock, epoch) and broadcast. */
void publish_event(struct haven_node *n, struct event *e, uint64_t now);
/** An event of `kind` with an empty body: no node, no instance. */
struct event publish_event_init(enum event_kind kind, enum event_severity severity);
/** Refresh the status block if it is due or something changed. */
void publish_status(struct haven_node *n, uint64_t now);
/** Status for the last time, at an orderly stop. */
void publish_stop(struct haven_node *n, uint64_t now);

#endif
