/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: pushing, and telling answers to who asked. Restarts stand in requests_settle.c.
 */
#include "requests.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client_internal.h"
#include "clock.h"
#include "requests_inner.h"

/** Looks before a waiting thread sleeps between two of them. */
#define WAIT_SPINS 64u
#define WAIT_SLEEP_NS 20000
/** Looks between two questions to the kernel whether the node is there. */
#define WAIT_CHECKS 64u

HAVEN_STATIC_ASSERT((int)HAVEN_REQUEST_ADD == (int)REQUEST_ADD &&
			    (int)HAVEN_REQUEST_UPDATE == (int)REQUEST_UPDATE &&
			    (int)HAVEN_REQUEST_REMOVE == (int)REQUEST_REMOVE,
		    "public kinds are those of the ring");

struct requests *requests_new(struct client_segment *segment, struct attachment *at)
{
	struct requests *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->own_slots = at->registry.components;
	q->own = calloc(q->own_slots, sizeof(*q->own));
	if (!q->own) {
		free(q);
		return NULL;
	}
	pthread_mutex_init(&q->lock, NULL);
	q->producer = (struct request_producer){.ring = &segment->requests, .line = at->line};
	q->at = at;
	return q;
}

void requests_free(struct requests *q)
{
	if (!q)
		return;
	pthread_mutex_destroy(&q->lock);
	free(q->own);
	free(q);
}

/* ---- form ----------------------------------------------------------------------------------- */

static bool label_set(char *to, const char *from)
{
	return !from || client_name_copy(to, from);
}

static bool attributes_set(struct request *r, const struct haven_attributes *a)
{
	if ((unsigned)a->kind >= HAVEN_KIND_COUNT || (unsigned)a->state >= HAVEN_ROLE_COUNT ||
	    (unsigned)a->health >= HAVEN_HEALTH_COUNT || a->load > HAVEN_LOAD_MAX ||
	    a->n_depends > HAVEN_DEPENDS_MAX || a->format_read_min > a->format_read_max ||
	    !label_set(r->group, a->group) || !label_set(r->release, a->release))
		return false;
	for (unsigned i = 0; i < a->n_depends; i++) {
		if (a->depends[i] == 0)
			return false;
		r->depends[i] = a->depends[i];
	}
	r->component_kind = (uint8_t)a->kind;
	r->state = (uint8_t)a->state;
	r->health = (uint8_t)a->health;
	r->load = a->load;
	r->weight = a->weight;
	r->format_read_min = a->format_read_min;
	r->format_read_max = a->format_read_max;
	r->format_write = a->format_write;
	r->n_depends = a->n_depends;
	return true;
}

int requests_form(struct request *r, const struct haven_request *from)
{
	memset(r, 0, sizeof(*r));
	r->kind = (uint16_t)from->kind;
	switch (from->kind) {
	case HAVEN_REQUEST_ADD:
		if (!from->attributes || !client_name_copy(r->name, from->attributes->name))
			return -HAVEN_EINVAL;
		break;
	case HAVEN_REQUEST_UPDATE:
		if (!from->attributes)
			return -HAVEN_EINVAL;
		r->handle = from->handle;
		break;
	case HAVEN_REQUEST_REMOVE:
		r->handle = from->handle;
		return 0;
	default:
		return -HAVEN_EINVAL;
	}
	return attributes_set(r, from->attributes) ? 0 : -HAVEN_EINVAL;
}

/* ---- what this process has told -------------------------------------------------------------- */

static void own_set(struct requests *q, uint64_t handle)
{
	uint32_t slot = registry_slot_of(handle);

	if (slot < q->own_slots)
		q->own[slot] = handle;
}

static void own_clear(struct requests *q, uint64_t handle)
{
	uint32_t slot = registry_slot_of(handle);

	if (slot < q->own_slots && q->own[slot] == handle)
		q->own[slot] = 0;
}

static bool own_has(const struct requests *q, uint64_t handle)
{
	uint32_t slot = registry_slot_of(handle);

	return slot < q->own_slots && q->own[slot] == handle;
}

void requests_own(struct requests *q, uint64_t handle, bool own)
{
	pthread_mutex_lock(&q->lock);
	if (own)
		own_set(q, handle);
	else
		own_clear(q, handle);
	pthread_mutex_unlock(&q->lock);
}

/* An add may have been carried out without its answer being heard: then the name is taken by a
 * component of this very process. Returns its handle, 0: another's. */
static uint64_t own_by_name(struct requests *q, const char *name)
{
	const struct registry *r = &q->at->registry;
	struct registry_component c;

	if (registry_find_copy(r, name, &c) != 0 || c.hot.instances != 0 ||
	    c.cold.pid != q->at->line->pid ||
	    c.cold.pid_start_ticks != q->at->line->pid_start_ticks)
		return 0;
	own_set(q, c.hot.handle);
	return c.hot.handle;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer_tell(struct requests *q, const struct requests_note *note, uint64_t handle,
			int result)
{
	if (note->settling)
		q->settling_left--;
	if (note->wait) {
		note->item->result = result;
		note->item->handle = handle;
		note->wait->left--;
	}
	if (note->posted) {
		unsigned last = (q->done_first + q->done_count++) % REQUEST_SLOTS;

		q->done[last] = (struct haven_request){.kind = (enum haven_request_kind)note->kind,
						       .result = result,
						       .handle = handle,
						       .tag = note->tag};
	}
}

/* The new node did not have the component yet when it came to this update: it is asked again when
 * the component is handed over. */
static bool answer_too_early(struct requests *q, const struct requests_note *note,
			     const struct request *asked, int result)
{
	if (note->kind != REQUEST_UPDATE || asked->seq > q->again_until ||
	    (result != -HAVEN_ESTALE && result != -HAVEN_EAGAIN) || !own_has(q, asked->handle))
		return false;
	q->again[q->n_again] = (struct requests_again){.request = *asked, .note = *note};
	q->again[q->n_again++].note.settling = false;
	if (note->settling)
		q->settling_left--;
	return true;
}

static void answer_take(struct requests *q, const struct registry_reply *reply)
{
	struct requests_note *note = &q->note[reply->seq % REQUEST_SLOTS];
	const struct request *asked = &q->producer.ring->slot[reply->seq % REQUEST_SLOTS];
	int result = reply->result > -(int64_t)HAVEN_ERROR_COUNT && reply->result <= 0
			     ? (int)reply->result
			     : -HAVEN_ECORRUPT;
	uint64_t handle = note->kind == REQUEST_ADD ? reply->handle : asked->handle;

	if (answer_too_early(q, note, asked, result))
		return;
	if (note->kind == REQUEST_ADD && !result)
		own_set(q, handle);
	else if (note->kind == REQUEST_ADD)
		handle = result == -HAVEN_EEXIST ? own_by_name(q, asked->name) : 0;
	else if (result == -HAVEN_ESTALE || (note->kind == REQUEST_REMOVE && !result) ||
		 (note->kind == REQUEST_ADOPT && result))
		own_clear(q, handle);
	answer_tell(q, note, handle, result);
}

void requests_hear(struct requests *q)
{
	struct registry_reply reply;
	int got = 0;

	if (q->frozen)
		return;
	while ((got = request_answered(&q->producer, &reply)) == 1)
		answer_take(q, &reply);
	if (got < 0)
		attachment_lose(q->at);
}

/* ---- pushing --------------------------------------------------------------------------------- */

bool requests_push(struct requests *q, const struct request *r, const struct requests_note *note)
{
	uint64_t seq;

	if (request_room(&q->producer) == 0)
		return false;
	/* The note first: an answer may be there as soon as the request is. */
	q->note[(q->producer.pushed + 1) % REQUEST_SLOTS] = *note;
	seq = request_push(&q->producer, r);
	HAVEN_ASSERT(seq == q->producer.pushed);
	return true;
}

/* Nothing new goes in front of what is still to be handed over to a new node. */
static bool may_push(const struct requests *q)
{
	return !q->frozen && !q->settling;
}

void requests_pause(struct requests *q, unsigned *looks)
{
	const struct timespec nap = {.tv_nsec = WAIT_SLEEP_NS};

	pthread_mutex_unlock(&q->lock);
	if (++*looks < WAIT_SPINS)
		sched_yield();
	else
		nanosleep(&nap, NULL);
	pthread_mutex_lock(&q->lock);
	if (*looks % WAIT_CHECKS == 0)
		attachment_hung_up(q->at);
}

/* Who waited does so no longer; what was pushed stays pushed. */
static void wait_abandon(struct requests *q, const struct requests_wait *wait)
{
	for (unsigned i = 0; i < REQUEST_SLOTS; i++)
		if (q->note[i].wait == wait)
			q->note[i].wait = NULL;
	for (unsigned i = 0; i < q->n_again; i++)
		if (q->again[i].note.wait == wait)
			q->again[i].note.wait = NULL;
}

/* Push as many as there is room for. Returns how many items are done with pushing. */
static unsigned call_push(struct requests *q, struct haven_request *items, unsigned from,
			  unsigned n, struct requests_wait *wait)
{
	struct requests_note note = {.wait = wait};
	struct request r;

	for (; from < n && may_push(q) && request_room(&q->producer); from++) {
		int status = requests_form(&r, &items[from]);

		items[from].result = status;
		if (status)
			continue;
		note.item = &items[from];
		note.kind = (uint8_t)r.kind;
		requests_push(q, &r, &note);
		/* Stands until the answer comes. */
		items[from].result = -HAVEN_ETIMEDOUT;
		wait->left++;
	}
	return from;
}

static int call_wait(struct requests *q, struct haven_request *items, unsigned n, uint64_t until_ns)
{
	struct requests_wait wait = {0};
	unsigned pushed = 0, looks = 0;
	int status = 0;

	for (;;) {
		requests_hear(q);
		if (!attachment_lost(q->at))
			pushed = call_push(q, items, pushed, n, &wait);
		if (pushed == n && wait.left == 0)
			return 0;
		if (attachment_lost(q->at))
			status = -HAVEN_ENODE;
		else if (clock_now_ns() >= until_ns)
			status = -HAVEN_ETIMEDOUT;
		if (status)
			break;
		requests_pause(q, &looks);
	}
	wait_abandon(q, &wait);
	for (unsigned i = 0; i < n; i++)
		if (i >= pushed || items[i].result == -HAVEN_ETIMEDOUT)
			items[i].result = status;
	return status;
}

int haven_request_call(struct haven *h, struct haven_request *requests, unsigned n,
		       unsigned timeout_ms)
{
	struct requests *q = h->requests;
	int status = 0;

	pthread_mutex_lock(&q->lock);
	attachment_hung_up(q->at);
	(void)call_wait(q, requests, n, clock_now_ns() + timeout_ms * NSEC_PER_MSEC);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < n && !status; i++)
		status = requests[i].result;
	return status;
}

int haven_request_post(struct haven *h, const struct haven_request *requests, unsigned n)
{
	struct requests *q = h->requests;
	unsigned taken = 0;
	int status = 0;

	if (load_relaxed(&h->forked))
		return -HAVEN_ENODE;
	if (pthread_mutex_trylock(&q->lock) != 0)
		return 0;
	/* The line of answers is in the node's cache: it is fetched when that is needed. */
	if (request_room(&q->producer) < n)
		requests_hear(q);
	while (taken < n && may_push(q) && q->posted < REQUEST_SLOTS) {
		struct requests_note note = {.posted = true, .tag = requests[taken].tag};
		struct request r;

		status = requests_form(&r, &requests[taken]);
		note.kind = (uint8_t)r.kind;
		if (status || !requests_push(q, &r, &note))
			break;
		q->posted++;
		taken++;
	}
	pthread_mutex_unlock(&q->lock);
	return taken ? (int)taken : status;
}

unsigned haven_request_collect(struct haven *h, struct haven_request *answers, unsigned max)
{
	struct requests *q = h->requests;
	unsigned n = 0;

	if (pthread_mutex_trylock(&q->lock) != 0)
		return 0;
	requests_hear(q);
	for (; n < max && q->done_count; n++) {
		answers[n] = q->done[q->done_first];
		q->done_first = (q->done_first + 1) % REQUEST_SLOTS;
		q->done_count--;
		q->posted--;
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

int requests_update(struct haven *h, uint64_t handle, const struct haven_attributes *attributes,
		    unsigned timeout_ms)
{
	struct haven_attributes a = *attributes;
	struct haven_request r = {.kind = HAVEN_REQUEST_UPDATE, .handle = handle, .attributes = &a};

	/* Of a component with instances they are what was registered. */
	a.group = a.release = NULL;
	a.kind = HAVEN_KIND_PROCESS;
	a.state = HAVEN_OFFLINE;
	return haven_request_call(h, &r, 1, timeout_ms);
}
