/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Inside of the client library: what stands behind the opaque types of haven.h.
 *
 * Three paths share these objects. The control path (attach, register, begin, end, reattach,
 * detach) runs under `haven.control`, a private mutex of this process, and talks to the node. The
 * packet path (poll, enter, gate, put, commit, acked, look-ups) reads fields that no longer change
 * once a worker has begun, so it needs no lock; fields that do change under it say so. The path of
 * requests (requests.c) has a mutex of its own, taken after `control` where both are needed.
 *
 * Life time: a `struct haven` is kept by its owner and by every worker and reader begun on it.
 * Detaching ends the owner's hold, the last one to end frees the rest. So memory whose mark a
 * thread still owns is never unmapped, and a worker that outlives the detach finds shut gates, not
 * freed memory.
 *
 * An *attachment* is one incarnation of the node as this process sees it: connection, mapped
 * registry, and where the own gates and lane lines stand in it. `haven.now` is the newest; workers
 * and readers go over to it one by one (attachment.c).
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
#include "requests.h"
#include "table.h"

/** Longest wait for the node's answer to one request. */
#define CLIENT_CALL_TIMEOUT_MS 5000
/** Records that a commit adds of a checkpoint in mode DIRTY, when nothing else is wanted. */
#define CLIENT_PUSH_RECORDS 64u
/** Components with instances, and tables, of one attachment. */
#define CLIENT_COMPONENTS_MAX 64u
#define CLIENT_TABLES_MAX 256u
/** Attachments kept for threads that have not gone over to a newer one. */
#define CLIENT_ATTACHMENTS_MAX 8u

struct attachment {
	struct registry registry; /**< mapped read-only */
	uint64_t serial;          /**< 1, 2, 3, … */
	uint64_t changes_base;    /**< makes counts of changes differ between attachments */
	struct attachment *older; /**< under control */
	int socket;               /**< shut down on loss of the node, closed when freed */
	uint32_t gone;            /**< 1 once the node is known to be gone; atomic, never back */
	const struct registry_client *line; /**< where the node answers requests */
	/** First gate of each component, first lane line of each table, by their numbers. Written
	 *  under control before the attachment, or the component or table, is published. */
	const struct registry_gate *gates[CLIENT_COMPONENTS_MAX];
	const struct registry_lane *lanes[CLIENT_TABLES_MAX];
};

struct haven {
	/** The newest attachment. Written under control with release (A1), read by everybody. In a
	 *  line of its own: it is looked at in every poll. */
	_Alignas(HAVEN_CACHE_LINE) struct attachment *now;
	uint8_t pad[HAVEN_CACHE_LINE - sizeof(struct attachment *)];
	pthread_mutex_t control;
	struct attachment *next; /**< being handed over to, not published; under control */
	struct error_text error; /**< of the last failed control call */
	char *run_dir;
	uint32_t references; /**< owner, workers and readers; atomic */
	uint32_t forked;     /**< 1 in the child of a fork(); atomic */
	struct client_segment *segment;
	int segment_fd;                     /**< kept for the next node */
	struct haven_component *components; /**< under control */
	struct haven_reader *readers;       /**< workers included; under control */
	struct requests *requests;
	struct haven *fork_next; /**< list of fork.c */
};

struct haven_component {
	struct haven *haven;
	struct haven_component *next;
	/** In the order of their making, by which the node numbers them: so must the next one.
	 *  Appended with release (T), walked by workers. */
	struct haven_table *tables;
	uint64_t handle;
	unsigned number; /**< in attachment.gates */
	unsigned instances;
	unsigned instance_first; /**< cluster-wide number of the first instance */
	uint32_t workers;        /**< begun and not ended; under control */
	bool ready;
	bool restore; /**< the new node has not its attributes yet */
	uint8_t kind;
	char name[HAVEN_NAME_MAX], group[HAVEN_NAME_MAX], release[HAVEN_NAME_MAX];
};

struct haven_table {
	struct haven_component *component;
	struct haven_table *next;
	unsigned number; /**< in attachment.lanes */
	unsigned instance;
	unsigned n_lanes;
	uint32_t warm_records;  /**< as configured */
	unsigned push_records;  /**< of one commit (mode DIRTY) */
	int fd;                 /**< kept for the next node */
	uint32_t restore_taken; /**< number of the newest restore that was taken; under control */
	struct table table;
};

/** What a worker has taken note of for one instance. Written by its own poll only. */
struct client_seen {
	uint64_t generation; /**< equals what stands in client_worker.confirmed */
	uint32_t role;       /**< enum haven_role */
	uint64_t epoch;
	uint64_t term; /**< grows whenever the role was not, or may not have been, primary */
};

/** A held packet, and what it waits for. */
struct client_held {
	void *packet;
	const struct haven_table *table;
	uint64_t seq;
	uint64_t term; /**< of its instance, when it was held */
};

/** Ring of held packets. Its worker's alone. */
struct client_hold {
	struct client_held *slot; /**< NULL: the worker has none */
	uint32_t mask;
	uint32_t head, tail; /**< numbers grow for ever; slot = number & mask */
	enum haven_hold_overflow overflow;
};

/** A claimed slot and the attachment that its thread works with. Also the head of a worker. */
struct haven_reader {
	struct haven *haven;
	struct client_worker *slot;
	struct attachment *at; /**< written by its thread (release, A2), read under control */
	const struct registry *registry;
	const uint64_t *rcu_epoch;
	unsigned index; /**< slot number */
	unsigned depth; /**< of sections */
	bool worker;
	struct haven_reader *next; /**< under control */
};

struct haven_worker {
	struct haven_reader reader; /**< first: a worker is a reader that is never off-line */
	struct haven_component *component;
	const struct registry_gate *gates;
	uint64_t progress;
	uint64_t checked_ns; /**< when the node's socket was last looked at */
	unsigned instances;
	bool lost; /**< this worker has been told that the node is gone */
	struct client_hold hold;
	struct client_seen seen[HAVEN_INSTANCES_MAX];
};

/* ---- attachment.c: all under control, but for the first three ------------------------------- */

bool attachment_lost(const struct attachment *at);
/** Remember that the node is gone: shuts every gate of this attachment at the workers' next polls.
 */
void attachment_lose(struct attachment *at);
/** Ask the kernel whether the connection still stands; loses the attachment if not. */
bool attachment_hung_up(struct attachment *at);
/** Connect to the node, pass the client segment, map the registry that comes back. `seen`: the
 *  newest request whose answer was read. The caller publishes or frees it. */
int attachment_open(struct haven *h, uint64_t seen, struct attachment **out);
/** One request and its answer. When no answer comes the connection is given up: what was carried
 *  out unheard would leave the two sides with different ideas. */
int attachment_call(struct haven *h, struct attachment *at, struct message *m, int fd,
		    int *reply_fd);
/** Make it the newest. Every slot in use is watched by its node already. */
void attachment_publish(struct haven *h, struct attachment *at);
/** Free former attachments that no thread uses any more. Returns how many are left, the newest
 *  included. */
unsigned attachment_reap(struct haven *h);
void attachment_free(struct attachment *at);
/** Its own thread: go over to the newest attachment, and enter it. */
void attachment_move(struct haven_reader *r);

/* ---- attach.c -------------------------------------------------------------------------------- */

/** attachment_call() with the newest one. */
int client_call(struct haven *h, struct message *m, int fd, int *reply_fd);
/** Give one hold back; the last one frees everything. */
void client_release(struct haven *h);
/** Copy a name of at most HAVEN_NAME_MAX - 1 bytes of [a-z0-9_.-]; false when it is not one. */
bool client_name_copy(char *to, const char *from);

/* ---- component.c, checkpoint.c: under control ------------------------------------------------ */

/** Free the component and its tables (memory of this process only). */
void component_free(struct haven_component *c);
/** Register it with the node of `at`, or hand it over when it has a handle, and note its gates. */
int component_announce(struct haven_component *c, struct attachment *at);
/** The same for a table. */
int table_announce(struct haven_table *t, struct attachment *at);
/** May the worker write its lane of the table, as of its last poll? Its own thread; no lock.
 *  Errors: EROLE, EINVAL (table of another component, no such lane). */
int checkpoint_writable(const struct haven_worker *w, const struct haven_table *t);
/** Log slots of its lane up to here may be overwritten, as far as its node says. */
uint64_t checkpoint_consumed(const struct haven_worker *w, const struct haven_table *t);

/* ---- reader.c -------------------------------------------------------------------------------- */

/** Claim a slot for the calling thread and let the node watch it; `c` NULL: for a reader that
 *  belongs to no component. Under control. */
int reader_start(struct haven *h, struct haven_component *c, struct haven_reader *r);
/** Give the slot back and leave the list. Under control; client_release() is left to the caller. */
void reader_stop(struct haven_reader *r);
/** True on the thread that began it: the mark can be given back by its owner alone. */
bool reader_is_mine(const struct haven_reader *r);

/* ---- fork.c ---------------------------------------------------------------------------------- */

/** Have it cut off in the children of this process. Errors: ENOMEM. */
int fork_enlist(struct haven *h);
void fork_delist(struct haven *h);

#endif
