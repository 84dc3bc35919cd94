/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside of the client library: what stands behind the opaque types of haven.h.
 *
 * Two paths share these objects. The control path (attach, register, begin, end, detach) runs under
 * `haven.control`, a private mutex of this process, and talks to the node. The packet path (poll,
 * gate, put, commit, acked) reads fields that no longer change once a worker has begun, so it needs
 * no lock; fields that do change under it say so.
 *
 * Life time: a `struct haven` is kept by its owner and by every worker begun on it. Detaching ends
 * the owner's hold, the last worker to end frees the rest. So memory whose mark a thread still owns
 * is never unmapped, and a worker that outlives the detach finds shut gates, not freed memory.
 */
#ifndef HAVEN_CLIENT_INTERNAL_H
#define HAVEN_CLIENT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client_segment.h"
#include "error.h"
#include "haven.h"
#include "message.h"
#include "registry.h"
#include "table.h"

/** Longest wait for the node's answer to one request. */
#define CLIENT_CALL_TIMEOUT_MS 5000

struct haven {
	pthread_mutex_t control;
	struct error_text error;  /**< of the last failed control call */
	int socket;               /**< shut down on loss of the node, closed when freed */
	uint32_t next_id;         /**< of the next request */
	uint32_t references;      /**< owner and workers; atomic */
	uint32_t node_gone;       /**< 1 once the node is known to be gone; atomic, never back */
	struct registry registry; /**< mapped read-only */
	struct client_segment *segment;
	struct haven_component *components; /**< under control */
	struct haven_worker *workers;       /**< under control */
};

struct haven_component {
	struct haven *haven;
	struct haven_component *next;
	struct haven_table *tables;        /**< pushed with release (T), walked by workers */
	const struct registry_gate *gates; /**< first of `instances` gate lines */
	uint64_t handle;
	unsigned instances;
	unsigned instance_first; /**< cluster-wide number of the first instance */
	uint32_t workers;        /**< begun and not ended; under control */
	bool ready;
	char name[HAVEN_NAME_MAX];
};

struct haven_table {
	struct haven_component *component;
	struct haven_table *next;
	const struct registry_lane *lanes; /**< first of the table's lane lines */
	unsigned instance;
	unsigned n_lanes;
	struct table table;
};

/** What a worker has taken note of for one instance. Written by its own poll only. */
struct client_seen {
	uint64_t generation; /**< equals what stands in client_worker.confirmed */
	uint32_t role;       /**< enum haven_role */
	uint64_t epoch;
};

struct haven_worker {
	struct haven *haven;
	struct haven_component *component;
	struct client_worker *slot;
	const struct registry_gate *gates;
	const uint64_t *rcu_epoch;
	uint64_t progress;
	uint64_t checked_ns; /**< when the node's socket was last looked at */
	unsigned index;      /**< slot number, and lane */
	unsigned instances;
	bool lost; /**< this worker has been told that the node is gone */
	struct haven_worker *next;
	struct client_seen seen[HAVEN_INSTANCES_MAX];
};

/** One request and its answer, under control. When no answer comes the connection is given up: what
 *  was carried out unheard would leave the two sides with different ideas. */
int client_call(struct haven *h, struct message *m, int fd, int *reply_fd);
/** Remember that the node is gone: shuts every gate of this attachment at the workers' next polls.
 */
void client_lose(struct haven *h);
bool client_lost(const struct haven *h);
/** Give one hold back; the last one frees everything. */
void client_release(struct haven *h);
/** Copy a name of at most HAVEN_NAME_MAX - 1 bytes of [a-z0-9_.-]; false when it is not one. */
bool client_name_copy(char *to, const char *from);

/** Free the component and its tables (memory of this process only), under control. */
void component_free(struct haven_component *c);

#endif
