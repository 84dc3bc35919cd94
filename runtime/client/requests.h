/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The application's end of the request ring (shm/request.h): who waits for which answer, which
 * components this process has told, and how both survive a restart of the node.
 *
 * The ring has one producer; a mutex of this process makes it one at a time. Those who may block
 * take it, the others try to take it and come back later.
 */
#ifndef HAVEN_CLIENT_REQUESTS_H
#define HAVEN_CLIENT_REQUESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "haven_registry.h"
#include "request.h"

struct attachment;
struct client_segment;
struct haven;

/** Somebody who waits in haven_request_call(). */
struct requests_wait {
	unsigned left; /**< answers to come */
};

/** Who asked for what, by seq % REQUEST_SLOTS. */
struct requests_note {
	struct requests_wait *wait; /**< NULL: nobody waits */
	struct haven_request *item; /**< of who waits */
	uint64_t tag;
	uint8_t kind;  /**< enum request_kind */
	bool posted;   /**< the answer is to be collected */
	bool settling; /**< requests_settle() waits for the answer */
};

/** A request that the new node could not carry out before its component was handed over. */
struct requests_again {
	struct request request;
	struct requests_note note;
};

struct requests {
	pthread_mutex_t lock; /**< for everything below */
	struct request_producer producer;
	struct attachment *at; /**< whose line the producer reads */
	/** A restart, step by step: no answer is read while `seen` is being handed over; those up
	 *  to `again_until` may have been carried out before; `settling` until every component is
	 *  where it was, and nothing new is pushed meanwhile. */
	bool frozen, settling;
	uint64_t again_until;
	uint32_t adopt_next;    /**< slot of `own` that is looked at next */
	unsigned settling_left; /**< answers that requests_settle() waits for */
	unsigned n_again;
	struct requests_again again[REQUEST_SLOTS];
	struct requests_note note[REQUEST_SLOTS];
	/** Answers to be collected: a ring. `posted` counts those under way, too. */
	struct haven_request done[REQUEST_SLOTS];
	unsigned done_first, done_count, posted;
	/** Handles of this process's components by their slots in the registry, 0: none. */
	uint64_t *own;
	uint32_t own_slots;
};

/** NULL: no memory. */
struct requests *requests_new(struct client_segment *segment, struct attachment *at);
/** NULL is allowed. */
void requests_free(struct requests *q);
/** Note a component that was registered through the socket, or that it is gone. */
void requests_own(struct requests *q, uint64_t handle, bool own);
/** Read the last answers of the former node. Returns the newest request whose answer was read; no
 *  further answer is read before requests_move() or requests_stay(). */
uint64_t requests_freeze(struct requests *q);
/** The next node did not take over. */
void requests_stay(struct requests *q);
/** Go on with the line of another node, or back with that of the former one when that node is gone
 *  before everything was settled. Returns 0 or -HAVEN_ENOMEM, and then nothing is changed. */
int requests_move(struct requests *q, struct attachment *at);
/**
 * Wait until the new node (haven.next) has answered what the former one had not, then hand over
 * what it does not have: components without instances with their content, and attributes of those
 * with instances (haven_component.restore). Called under haven.control until it returns 0. Errors:
 * EAGAIN
 * (`until_ns` has come), ENODE.
 */
int requests_settle(struct haven *h, uint64_t until_ns);
/** Push an update of a component with instances and wait for its answer, as haven_request_call().
 */
int requests_update(struct haven *h, uint64_t handle, const struct haven_attributes *attributes,
		    unsigned timeout_ms);

/** Form a request; -HAVEN_EINVAL when a field is out of its range. */
int requests_form(struct request *r, const struct haven_request *from);

#endif
