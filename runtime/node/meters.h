/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the node counts, for everybody on the machine (shm/counters.h).
 *
 * The poll loop counts in its own memory, as it always did, and copies all of it into the registry
 * whenever the status is refreshed: once per PUBLISH_STATUS_NS, about one store per counter. So a
 * counter that is read is at most that old. Histograms stand in the registry itself and are added
 * to at once.
 */
#ifndef HAVEN_METERS_H
#define HAVEN_METERS_H

#include <stdint.h>

#include "config.h"
#include "error.h"
#include "events.h"
#include "frame.h"
#include "histogram.h"

struct haven_node;

#define METERS_FIXED_MAX 40
#define METERS_PEER_MAX 4
#define METERS_INSTANCE_MAX 2
#define METERS_MAX                                                                                 \
	(METERS_FIXED_MAX + METERS_PEER_MAX * HAVEN_NODES_MAX +                                    \
	 METERS_INSTANCE_MAX * HAVEN_INSTANCES_MAX)

struct meters_peer {
	uint64_t beats_received, beats_lost, frames_bad, rtt_ns;
};

struct meters_instance {
	uint64_t lag_records, sync_percent;
};

/** Poll loop only. */
struct meters {
	struct histogram loop_gap, silence, grace;
	uint32_t n;
	struct {
		const uint64_t *from;
		uint64_t *to;
	} cell[METERS_MAX];
	/** Gathered from elsewhere right before they are copied. */
	uint64_t frames_bad[FRAME_FAULT_COUNT];
	uint64_t epoch, clients, components, components_local, changes, held, retired, readers;
	struct meters_peer peer[HAVEN_NODES_MAX];
	struct meters_instance instance[HAVEN_INSTANCES_MAX];
};

/** Bytes that the counters of a node of this cluster need. */
uint32_t meters_bytes(const struct config *c);
/** Bytes that the registry keeps for counters unless the file says otherwise: some to spare. */
uint32_t meters_room(const struct config *c);
/** Describe all of them in the registry. Errors: EFULL, with what is needed. */
int meters_begin(struct haven_node *n, struct error_text *error);
/** Copy what was counted into the registry. */
void meters_publish(struct haven_node *n, uint64_t now);

#endif
