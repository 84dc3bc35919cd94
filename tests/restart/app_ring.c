/* SPDX-License-Identifier: BSD-3-Clause */
/* What the application asks for, and what must be answered. */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

static void push(struct app *a, enum app_step step, uint32_t index, struct request *r)
{
	uint64_t seq;

	app_name(a, r->name, index);
	if (step == STEP_GUEST_ADD || step == STEP_GUEST_REMOVE)
		snprintf(r->name, sizeof(r->name), "%s-guest-%u", a->prefix, index);
	r->component_kind = HAVEN_KIND_LINK;
	r->health = HAVEN_HEALTH_GOOD;
	seq = request_push(&a->producer, r);
	if (!seq)
		app_bad("no room in the ring");
	a->asked[seq % REQUEST_SLOTS] = (struct app_asked){step, index, r->load};
}

static void push_update(struct app *a, uint32_t index, uint32_t load)
{
	struct request r = {.kind = REQUEST_UPDATE, .handle = a->handle[index], .load = load};

	push(a, STEP_UPDATE, index, &r);
}

/* Each guest has at most one request under way. */
static void push_guest(struct app *a, uint32_t index)
{
	struct request r = {.kind = REQUEST_ADD};

	if (a->guest_asked[index] || (a->quiet && !a->guest_there[index]))
		return;
	if (a->guest_there[index]) {
		r.kind = REQUEST_REMOVE;
		r.handle = a->guest[index];
	}
	a->guest_asked[index] = true;
	push(a, a->guest_there[index] ? STEP_GUEST_REMOVE : STEP_GUEST_ADD, index, &r);
}

static void push_add(struct app *a)
{
	struct request r = {.kind = REQUEST_ADD};

	push(a, STEP_ADD, a->asked_add++, &r);
}

static void push_more(struct app *a)
{
	while (request_room(&a->producer) > REQUEST_SLOTS / 2) {
		if (a->asked_add < a->components)
			push_add(a);
		else if (a->calm)
			return;
		else if (a->known == 0 || prng_below(&a->prng, 4) == 0)
			push_guest(a, (uint32_t)prng_below(&a->prng, APP_GUESTS));
		else
			push_update(a, (uint32_t)prng_below(&a->prng, a->known),
				    (uint32_t)prng_below(&a->prng, REGISTRY_LOAD_MAX));
		if (a->asked_add == a->components && a->known == 0)
			return;
	}
}

/* Not now: the same again. */
static void again(struct app *a, const struct app_asked *asked)
{
	struct request r = {.kind = REQUEST_ADD};

	a->again++;
	if (asked->step == STEP_UPDATE) {
		push_update(a, asked->index, asked->load);
	} else if (asked->step == STEP_ADD) {
		push(a, STEP_ADD, asked->index, &r);
	} else if (asked->step == STEP_ADOPT) {
		r.kind = REQUEST_ADOPT;
		r.handle = a->handle[asked->index];
		r.load = asked->load;
		push(a, STEP_ADOPT, asked->index, &r);
	} else {
		a->guest_asked[asked->index] = false;
	}
}

static void answered(struct app *a, const struct app_asked *asked,
		     const struct registry_reply *reply)
{
	uint32_t i = asked->index;

	a->answered++;
	if (reply->result == -HAVEN_EAGAIN ||
	    (reply->result == -HAVEN_EFULL && asked->step != STEP_UPDATE)) {
		again(a, asked);
		return;
	}
	/* Of a registry that was lost: not asked for again yet, or a guest that is gone. */
	if (a->adopt && reply->result == -HAVEN_ESTALE && asked->step == STEP_UPDATE) {
		again(a, asked);
		return;
	}
	if (reply->result != 0 &&
	    !(a->adopt && reply->result == -HAVEN_ESTALE && asked->step == STEP_GUEST_REMOVE))
		app_bad("request %llu (step %u, component %u): %s", (unsigned long long)reply->seq,
			asked->step, i, error_sentence((int)reply->result));
	if ((asked->step == STEP_UPDATE || asked->step == STEP_ADOPT) &&
	    reply->handle != a->handle[i])
		app_bad("component %u has another handle", i);
	if (asked->step == STEP_ADD) {
		a->handle[i] = reply->handle;
		/* A retried one may be answered after its followers. */
		while (a->known < a->components && a->handle[a->known])
			store_release(&a->known, a->known + 1); /* K */
	} else if (asked->step == STEP_UPDATE || asked->step == STEP_ADOPT) {
		a->load[i] = asked->load;
	} else {
		a->guest[i] = reply->handle;
		a->guest_there[i] = asked->step == STEP_GUEST_ADD;
		a->guest_asked[i] = false;
	}
}

static void take_answers(struct app *a)
{
	struct registry_reply reply;
	struct app_asked asked;
	int got;

	while ((got = request_answered(&a->producer, &reply)) == 1) {
		asked = a->asked[reply.seq % REQUEST_SLOTS];
		answered(a, &asked, &reply);
	}
	if (got < 0)
		app_bad("the node's line contradicts itself");
}

void app_ring_turn(struct app *a)
{
	take_answers(a);
	if (!a->quiet)
		push_more(a);
}

bool app_ring_drain(struct app *a)
{
	a->quiet = true;
	for (bool guests = true; guests || a->producer.seen < a->producer.pushed;) {
		if (app_lost(a))
			return false;
		take_answers(a);
		guests = false;
		for (uint32_t g = 0; g < APP_GUESTS; g++) {
			guests = guests || a->guest_there[g] || a->guest_asked[g];
			if (request_room(&a->producer) > REQUEST_SLOTS / 2)
				push_guest(a, g);
		}
		sched_yield();
	}
	a->quiet = false;
	return true;
}

bool app_ring_adopt(struct app *a)
{
	for (uint32_t i = 0; i < a->known;) {
		struct request r = {
			.kind = REQUEST_ADOPT, .handle = a->handle[i], .load = a->load[i]};

		if (app_lost(a))
			return false;
		take_answers(a);
		if (request_room(&a->producer) > REQUEST_SLOTS / 2)
			push(a, STEP_ADOPT, i++, &r);
		else
			sched_yield();
	}
	while (a->producer.seen < a->producer.pushed) {
		if (app_lost(a))
			return false;
		take_answers(a);
		sched_yield();
	}
	return true;
}
