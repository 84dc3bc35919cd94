/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Requests of an application to its node without a system call: components added, updated, removed
 * by the hundred thousand, health and load as often as they change.
 *
 *     client segment: request_ring (application writes)  ->  node
 *     registry:       registry_client, one per attached application (node writes)  ->  application
 *
 * Single producer, single consumer. The application is the producer (one thread at a time), the
 * node's poll loop the consumer. Each side writes only its own memory: the ring's head and slots
 * stand in the application's segment, how far it was taken and the answers in the registry. The
 * node reads the ring as hostile input: a slot is copied once, then checked, then used.
 *
 *   Q4  request_push(): slot, then head (release) -> request_take(): head (acquire), then slot.
 *   Q5  request_answer(): reply, then `answered` (release) -> request_answered(): `answered`
 *       (acquire), then reply. A slot is reused only after its answer was seen, so a request is
 *       never overwritten before the node has copied it, and a reply never before it was read.
 *
 * Guarantees
 *   N1 A request is carried out at most once by one incarnation of the node, in order.
 *   N2 A producer killed anywhere leaves whole requests only: what the head does not show is not
 *      there.
 *   N3 Whatever the ring's bytes, taking one request costs a bounded amount of work and touches
 *      nothing outside the segment. A head that runs ahead of what the ring can hold is told
 *      (ECORRUPT); the node then evicts that application and nobody else notices.
 *   N4 A new incarnation of the node begins at the request after the last one whose answer the
 *      application has seen. What the one before did unheard is not done twice: an add finds its
 *      component and answers its handle, a removal that finds nothing is good, updates are the
 *      same again.
 */
#ifndef HAVEN_REQUEST_H
#define HAVEN_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "haven_assert.h"
#include "haven_types.h"
#include "registry_layout.h"

/** Requests under way at a time; a power of two, and as many replies per application. */
#define REQUEST_SLOTS REGISTRY_REPLIES

enum request_kind {
	REQUEST_ADD = 1, /**< reply: handle. Errors: EINVAL, EEXIST, EFULL, EAGAIN (the name is that
			     of a component that is being removed) */
	REQUEST_UPDATE,  /**< everything but the name is replaced; of a component with instances
			      health, load, weight, formats and dependencies only. Errors: ESTALE,
			      EPERM (another's), EINVAL, EAGAIN (slow readers hold replaced objects;
			      one with instances is to be claimed first) */
	REQUEST_REMOVE,  /**< Errors: ESTALE, EPERM (another's, or one with instances: it leaves
			      through the socket) */
	REQUEST_ADOPT,   /**< add under `handle`, from an earlier incarnation. Errors: those of
			      registry_adopt(), after which it can be added under another handle; 0
			      when it is there already and the asker's own */
	REQUEST_KIND_COUNT
};

/** One request. Writer: application. Reader: node, by copying. */
struct request {
	uint64_t seq;    /**< 1, 2, 3, … for the life of the segment */
	uint64_t handle; /**< update, remove, adopt */
	uint16_t kind;   /**< enum request_kind */
	uint8_t component_kind, state, health, pad[3];
	uint32_t load, weight;
	uint64_t depends[REGISTRY_DEPENDS_MAX];
	char name[HAVEN_NAME_MAX], group[HAVEN_NAME_MAX], release[HAVEN_NAME_MAX];
	uint16_t format_read_min, format_read_max, format_write, n_depends;
	uint64_t reserved;
};
HAVEN_STATIC_ASSERT(sizeof(struct request) == 192, "three lines");

/** Part of the client segment. */
struct request_ring {
	_Alignas(HAVEN_CACHE_LINE) uint64_t head; /**< seq of the newest request (Q4), 0: none */
	uint64_t pad[7];
	struct request slot[REQUEST_SLOTS];
};

/* ---- application ---------------------------------------------------------------------------- */

/** The application's private end. */
struct request_producer {
	struct request_ring *ring;
	const struct registry_client *line; /**< in the registry of the node attached to */
	uint64_t pushed;                    /**< seq of the newest request */
	uint64_t seen;                      /**< seq of the newest answer that was read */
};

/** How many more fit now. */
unsigned request_room(const struct request_producer *p);
/** Add a copy of `*r`; its seq is filled in. Returns the seq, 0 when there is no room. */
uint64_t request_push(struct request_producer *p, const struct request *r);
/** The next answer in order: 1 and `*out`, 0 when there is none yet, -HAVEN_ECORRUPT when the
 * node's line contradicts itself. */
int request_answered(struct request_producer *p, struct registry_reply *out);
/** The node has a new incarnation: go on with another line. What was pushed and not answered stays
 *  pushed (N4); tell the node request_producer.seen when attaching. */
void request_producer_move(struct request_producer *p, const struct registry_client *line);

/* ---- node ----------------------------------------------------------------------------------- */

/** The node's private end. */
struct request_consumer {
	const struct request_ring *ring;
	struct registry_client *line;
	uint64_t taken;
};

/** Begin after request `seen`; `line` is emptied. */
void request_consumer_init(struct request_consumer *c, const struct request_ring *ring,
			   struct registry_client *line, uint64_t seen);
/** Copy the next request: 1 and `*out`, 0: none, -HAVEN_ECORRUPT: head or seq are impossible. One
 *  request is answered before the next is taken. */
int request_take(struct request_consumer *c, struct request *out);
/** Handle in the request `n` after the one taken last: a hint at what will be asked, any number. */
uint64_t request_ahead(const struct request_consumer *c, unsigned n);
/** Answer the request taken last. */
void request_answer(struct request_consumer *c, int result, uint64_t handle);

#endif
