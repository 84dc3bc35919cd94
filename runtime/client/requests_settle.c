/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests across a restart of the node.
 *
 * The former node may have died with requests pushed and not answered; whether it carried them out
 * is not known. The new node begins after the newest answer that was read (`seen`), so every one of
 * them is carried out by it, first of all (N4 in request.h). It has the components of the former
 * registry, as long as that file was there. When it was lost, an update finds nothing (ESTALE), or
 * a component with instances that has not been handed over yet (EAGAIN): such an update is kept.
 *
 *   1. freeze   the last answers of the former node are read, then none until the move
 *   2. move     answers come from the new node's line from now on
 *   3. settle   the answers to all old requests are awaited: now it is known what should be there;
 *               what is not there is handed over under its handle, with its content from the
 *               former registry; then the kept updates are pushed again,
 *               and the answers to all that are awaited, too
 *
 * Nothing new is pushed by anybody before 3 is through, or it would come before its component. Nor
 * do threads go over before that, or look-ups would find less than they did.
 */
#include <stdlib.h>
#include <string.h>

#include "client_internal.h"
#include "clock.h"
#include "requests_inner.h"

uint64_t requests_freeze(struct requests *q)
{
	uint64_t seen;

	pthread_mutex_lock(&q->lock);
	requests_hear(q);
	q->frozen = true;
	/* Whatever is under way may be carried out twice from now on. */
	q->again_until = q->producer.pushed;
	seen = q->producer.seen;
	pthread_mutex_unlock(&q->lock);
	return seen;
}

void requests_stay(struct requests *q)
{
	pthread_mutex_lock(&q->lock);
	q->frozen = false;
	pthread_mutex_unlock(&q->lock);
}

int requests_move(struct requests *q, struct attachment *at)
{
	uint32_t slots = at->registry.components;
	uint64_t *own = NULL;

	if (slots > q->own_slots) {
		own = calloc(slots, sizeof(*own));
		if (!own)
			return -HAVEN_ENOMEM;
	}
	pthread_mutex_lock(&q->lock);
	if (own) {
		memcpy(own, q->own, q->own_slots * sizeof(*own));
		free(q->own);
		q->own = own;
		q->own_slots = slots;
	}
	request_producer_move(&q->producer, at->line);
	q->at = at;
	q->adopt_next = 0;
	q->settling = true;
	q->frozen = false;
	pthread_mutex_unlock(&q->lock);
	return 0;
}

/* Content of a component as the former registry shows it. */
static bool content_find(const struct haven *h, uint64_t handle, struct request *r)
{
	struct registry_component c;

	if (registry_get_copy(&h->now->registry, handle, &c) != 0)
		return false;
	*r = (struct request){.handle = handle,
			      .component_kind = c.hot.kind,
			      .state = c.hot.state,
			      .health = c.hot.health,
			      .load = c.hot.load,
			      .weight = c.hot.weight,
			      .format_read_min = c.cold.format_read_min,
			      .format_read_max = c.cold.format_read_max,
			      .format_write = c.cold.format_write,
			      .n_depends = c.cold.n_depends};
	memcpy(r->depends, c.cold.depends, sizeof(r->depends));
	memcpy(r->name, c.hot.name, sizeof(r->name));
	memcpy(r->group, c.cold.group, sizeof(r->group));
	memcpy(r->release, c.cold.release, sizeof(r->release));
	return true;
}

static bool settle_push(struct requests *q, struct request *r, enum request_kind kind)
{
	struct requests_note note = {.kind = (uint8_t)kind, .settling = true};

	r->kind = (uint16_t)kind;
	if (!requests_push(q, r, &note))
		return false;
	q->settling_left++;
	return true;
}

/* Does the registry show the component with other attributes than these? */
static bool attributes_differ(const struct registry *r, const struct request *to)
{
	struct registry_component c;

	return registry_get_copy(r, to->handle, &c) != 0 || c.hot.health != to->health ||
	       c.hot.load != to->load || c.hot.weight != to->weight ||
	       c.cold.format_read_min != to->format_read_min ||
	       c.cold.format_read_max != to->format_read_max ||
	       c.cold.format_write != to->format_write || c.cold.n_depends != to->n_depends ||
	       memcmp(c.cold.depends, to->depends, sizeof(to->depends)) != 0;
}

/* Attributes of components with instances that were registered anew under their handle. */
static bool settle_restore(struct haven *h)
{
	for (struct haven_component *c = h->components; c; c = c->next) {
		struct request r;

		if (!c->restore)
			continue;
		if (content_find(h, c->handle, &r) && attributes_differ(&h->next->registry, &r) &&
		    !settle_push(h->requests, &r, REQUEST_UPDATE))
			return false;
		c->restore = false;
	}
	return true;
}

/* What the new registry does not show is handed over, or is nowhere to be found. */
static bool settle_adopt(struct haven *h)
{
	struct requests *q = h->requests;

	for (; q->adopt_next < q->own_slots; q->adopt_next++) {
		uint64_t handle = q->own[q->adopt_next];
		struct request r;

		if (!handle || registry_get(&q->at->registry, handle))
			continue;
		if (!content_find(h, handle, &r))
			q->own[q->adopt_next] = 0;
		else if (!settle_push(q, &r, REQUEST_ADOPT))
			return false;
	}
	return true;
}

static bool settle_again(struct requests *q)
{
	unsigned pushed = 0;

	for (; pushed < q->n_again; pushed++) {
		struct requests_again *again = &q->again[pushed];

		again->note.settling = true;
		if (!requests_push(q, &again->request, &again->note))
			break;
		q->settling_left++;
	}
	q->n_again -= pushed;
	memmove(q->again, q->again + pushed, q->n_again * sizeof(q->again[0]));
	return q->n_again == 0;
}

/* One look. True when everything is where it was. */
static bool settle_look(struct haven *h)
{
	struct requests *q = h->requests;

	requests_hear(q);
	if (q->producer.seen < q->again_until)
		return false;
	return settle_restore(h) && settle_adopt(h) && settle_again(q) && q->settling_left == 0;
}

int requests_settle(struct haven *h, uint64_t until_ns)
{
	struct requests *q = h->requests;
	unsigned looks = 0;
	int status = 0;

	pthread_mutex_lock(&q->lock);
	while (q->settling && !status) {
		if (settle_look(h))
			q->settling = false;
		else if (attachment_lost(q->at))
			status = -HAVEN_ENODE;
		else if (clock_now_ns() >= until_ns)
			status = -HAVEN_EAGAIN;
		else
			requests_pause(q, &looks);
	}
	pthread_mutex_unlock(&q->lock);
	if (status)
		error_set(&h->error, status,
			  status == -HAVEN_ENODE
				  ? "the node went away while components were handed over to it"
				  : "components are still being handed over to the node");
	return status;
}
