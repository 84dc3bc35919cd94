/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Going on with the next incarnation of the node.
 *
 * The order of the steps is what keeps the promises:
 *
 *   1. the last answers of the former node are read, and none after that
 *   2. ATTACH: the same client segment, `seen`; the new registry is mapped
 *   3. REGISTER with its handle for each component with instances, then its tables. Gates of the
 *      new registry have generations above all that the former one has shown. What a worker has
 *      confirmed so far therefore confirms none of them: the new node does not touch a lane before
 *      the lane's worker has gone over, read the new gate and confirmed that (worker.c). This is
 *      checked here, for it carries the baton across the restart.
 *   4. WORKER for each living slot: watched before anything is found in the new registry
 *   5. READY for each component that was; it waits for the confirmations of 3 anyway
 *   6. requests go on with the new node's line; components without instances that the new node does
 *      not have are handed over (requests_settle.c). This may take more than one call
 *   7. the attachment is published; each thread goes over at its next poll or enter, and finds all
 *      that it found before
 *
 * When a step up to 5 fails, or the node goes away before 7, the connection is closed, and the new
 * node lets go of what it took; the former attachment stays the newest, and the next call begins
 * anew. Workers come last because a component whose connection ends with workers at work counts as
 * failed.
 */
#include <string.h>
#include <time.h>

#include "client_internal.h"
#include "clock.h"

/** How long one call waits for what is settled through requests. */
#define REATTACH_SETTLE_NS (1 * NSEC_PER_SEC)
#define READY_TRIES 100u
#define READY_NAP_NS (1 * NSEC_PER_MSEC)

static bool has_dead_worker(const struct haven *h, const struct haven_component *c)
{
	for (const struct haven_reader *r = h->readers; r; r = r->next)
		if (r->worker && load_relaxed(&r->slot->component) == c->handle &&
		    client_worker_marked(r->slot))
			return true;
	return false;
}

/* Step 3: no worker may have confirmed what the new gates say, before he has seen them. */
static int baton_check(struct haven *h, const struct haven_component *c,
		       const struct attachment *at)
{
	const struct registry_gate *gates = at->gates[c->number];

	for (const struct haven_reader *r = h->readers; r; r = r->next) {
		if (!r->worker || load_relaxed(&r->slot->component) != c->handle)
			continue;
		for (unsigned i = 0; i < c->instances; i++)
			if (load_relaxed(&r->slot->confirmed[i]) >=
			    load_relaxed(&gates[i].generation))
				return error_set(
					&h->error, HAVEN_ECORRUPT,
					"the node's gates for %s count from below what its "
					"workers know; detach and attach anew",
					c->name);
	}
	return 0;
}

static int hand_over_component(struct haven *h, struct haven_component *c, struct attachment *at)
{
	bool known = registry_get(&at->registry, c->handle) != NULL;
	int status = component_announce(c, at);

	if (!status)
		status = baton_check(h, c, at);
	/* A node that did not know it has only what the message says. */
	if (!status && !known)
		c->restore = true;
	for (struct haven_table *t = c->tables; t && !status; t = t->next)
		status = table_announce(t, at);
	return status;
}

static int hand_over_slots(struct haven *h, struct attachment *at)
{
	int status = 0;

	for (struct haven_reader *r = h->readers; r && !status; r = r->next) {
		struct message m = {.type = MESSAGE_WORKER,
				    .handle = load_relaxed(&r->slot->component)};

		if (client_worker_marked(r->slot))
			continue;
		m.u.worker.worker = r->index;
		status = attachment_call(h, at, &m, -1, NULL);
		/* Its thread ended meanwhile: it needs no watching. */
		if (status == -HAVEN_EREFUSED && client_worker_marked(r->slot))
			status = 0;
	}
	return status;
}

/* A slow reader of the registry may keep the node waiting; it is asked again, for a while. */
static int ready_say(struct haven *h, struct attachment *at, const struct haven_component *c)
{
	const struct timespec nap = {.tv_nsec = READY_NAP_NS};
	int status = -HAVEN_EAGAIN;

	for (unsigned i = 0; i < READY_TRIES && status == -HAVEN_EAGAIN; i++) {
		struct message m = {.type = MESSAGE_READY, .handle = c->handle};

		if (i)
			nanosleep(&nap, NULL);
		status = attachment_call(h, at, &m, -1, NULL);
	}
	return status;
}

static int hand_over_ready(struct haven *h, struct attachment *at)
{
	int status = 0;

	for (struct haven_component *c = h->components; c && !status; c = c->next) {
		if (!c->ready || has_dead_worker(h, c))
			continue;
		status = ready_say(h, at, c);
		/* A worker died since: this component stays off-line, the others go on. */
		if (status == -HAVEN_EREFUSED && has_dead_worker(h, c))
			status = 0;
	}
	return status;
}

/* Steps 1 to 5. */
static int reattach_open(struct haven *h)
{
	uint64_t seen = requests_freeze(h->requests);
	struct attachment *at;
	int status = attachment_open(h, seen, &at);

	for (struct haven_component *c = h->components; c && !status; c = c->next)
		status = hand_over_component(h, c, at);
	if (!status)
		status = hand_over_slots(h, at);
	if (!status)
		status = hand_over_ready(h, at);
	if (!status)
		status = requests_move(h->requests, at);
	if (!status) {
		h->next = at;
		return 0;
	}
	requests_stay(h->requests);
	if (at)
		attachment_free(at);
	return status;
}

/* The new node went away before everything was settled. */
static void reattach_back(struct haven *h)
{
	(void)requests_move(h->requests, h->now); /* it has room: it had it before */
	attachment_free(h->next);
	h->next = NULL;
}

static int reattach(struct haven *h)
{
	int status = 0;

	if (load_relaxed(&h->forked))
		return error_set(&h->error, HAVEN_EREFUSED,
				 "this process is a child of the one that attached; detach and "
				 "attach anew");
	if (h->next && attachment_hung_up(h->next))
		reattach_back(h);
	if (!h->next && attachment_hung_up(h->now)) {
		if (attachment_reap(h) == CLIENT_ATTACHMENTS_MAX)
			return error_set(&h->error, HAVEN_EAGAIN,
					 "a thread has not polled since the node was restarted %u "
					 "times",
					 CLIENT_ATTACHMENTS_MAX - 1);
		status = reattach_open(h);
	}
	if (!status && h->next)
		status = requests_settle(h, clock_now_ns() + REATTACH_SETTLE_NS);
	if (!status && h->next) {
		attachment_publish(h, h->next);
		h->next = NULL;
	}
	attachment_reap(h);
	return status;
}

int haven_reattach(struct haven *h)
{
	int status;

	pthread_mutex_lock(&h->control);
	status = reattach(h);
	pthread_mutex_unlock(&h->control);
	return status;
}
