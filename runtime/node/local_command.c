/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop's side of commands: the queue, switchovers, ends of connections and processes. What
 * applications ask for stands in local_register.c.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "haven_assert.h"
#include "node.h"

#define COMMANDS_PER_TURN 8u
#define REFUSALS_NS (100 * NSEC_PER_MSEC)
/** The brain answers in the same step or, when its outputs were full, in one of the next. */
#define SWITCHOVER_ANSWER_NS (2 * NSEC_PER_SEC)

/* Refusals of applications are news, but a fool who tries again and again must not wash everything
 * else out of the ring. */
static void tell_refusal(struct haven_node *n, const struct command *c, const char *text)
{
	struct event e = publish_event_init(EVENT_CLIENT_REFUSED, EVENT_NOTICE);
	uint64_t now = n->loop.turn_ns;

	if (c->kind > COMMAND_DEREGISTER || now < n->local.refusal_due_ns)
		return;
	n->local.refusal_due_ns = now + REFUSALS_NS;
	e.node = n->self;
	e.a = c->client ? (uint64_t)c->client->pid : 0;
	snprintf(e.detail, sizeof(e.detail), "%s", text);
	publish_event(n, &e, now);
}

void local_answer(struct haven_node *n, struct command *c, int result, const char *text)
{
	if (result && result != -HAVEN_EAGAIN && result != -HAVEN_ENODE && text)
		tell_refusal(n, c, text);
	c->message.result = (int16_t)result;
	if (text && text != c->message.text)
		snprintf(c->message.text, sizeof(c->message.text), "%s", text);
	command_push(&n->to_control, c);
}

static void do_switchover(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local *l = &n->local;

	if (l->switchover) {
		local_answer(n, c, -HAVEN_EAGAIN, "another switchover is being decided");
		return;
	}
	for (unsigned i = 0;
	     c->message.u.switchover.instance[0] == '\0' && i < n->config->n_instances; i++) {
		if (brain_role(n->brain, i) == HAVEN_PRIMARY)
			c->instances |= (uint64_t)1 << i;
	}
	if (!c->instances) {
		local_answer(n, c, -HAVEN_EREFUSED, "this node serves no instance");
		return;
	}
	l->switchover = c;
	l->switchover_pending = c->instances;
	l->switchover_until_ns = now + SWITCHOVER_ANSWER_NS;
	c->message.result = 0;
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++) {
		struct brain_event e = {
			.kind = BRAIN_SWITCHOVER, .instance = (uint8_t)i, .node = c->to};

		if (c->instances & ((uint64_t)1 << i))
			loop_post(n, &e);
	}
}

/* The word is bound to the view and the life that this node knows now; loop_pump() gives it to the
 * brain before any further frame is read, so nothing the brain was asked here has changed. */
static void do_confirm_dead(struct haven_node *n, struct command *c)
{
	const char *refusal = brain_fence_refusal(n->brain, c->to);
	const struct view *v = brain_view(n->brain);
	struct brain_event e = {.kind = BRAIN_FENCED,
				.node = c->to,
				.epoch = v->epoch,
				.count = BRAIN_PROOF_OPERATOR};

	if (n->config->two_voters == CONFIG_REFUSE)
		refusal = "the configuration does not let an operator decide; two_voters: operator "
			  "would, on both nodes";
	if (refusal) {
		local_answer(n, c, -HAVEN_EREFUSED, refusal);
		return;
	}
	e.seq = v->incarnation[c->to];
	snprintf(n->local.fence_word, sizeof(n->local.fence_word), "%s", c->message.u.confirm.why);
	loop_post(n, &e);
	local_answer(n, c, 0, NULL);
}

void local_switchover_done(struct haven_node *n, unsigned instance, int code, const char *text)
{
	struct local *l = &n->local;
	struct command *c = l->switchover;

	if (!c || instance >= HAVEN_INSTANCES_MAX ||
	    !(l->switchover_pending & ((uint64_t)1 << instance)))
		return;
	l->switchover_pending &= ~((uint64_t)1 << instance);
	if (code) {
		struct event e = publish_event_init(EVENT_SWITCHOVER_REFUSED, EVENT_NOTICE);

		c->message.result = (int16_t)code;
		snprintf(c->message.text, sizeof(c->message.text), "%s: %s",
			 n->config->instance[instance], text ? text : "refused");
		e.node = n->self;
		e.instance = (uint8_t)instance;
		snprintf(e.detail, sizeof(e.detail), "%s", text ? text : "");
		publish_event(n, &e, n->loop.turn_ns);
	}
	if (l->switchover_pending)
		return;
	l->switchover = NULL;
	local_answer(n, c, c->message.result, NULL);
}

void local_switchover_scan(struct haven_node *n, uint64_t now)
{
	struct command *c = n->local.switchover;

	if (!c || now < n->local.switchover_until_ns)
		return;
	n->local.switchover = NULL;
	local_answer(n, c, -HAVEN_ETIMEDOUT, "no decision in time; look at the status");
}

/* The connection is gone. In order, if nobody works any more; otherwise the application left its
 * work standing, or is dead and its mark has not come yet. */
static void do_hang_up(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_client *client = c->client;

	if (client->released) {
		local_answer(n, c, 0, NULL);
		return;
	}
	client->hung_up = true;
	/* Nothing runs on components without instances: they go at once. */
	owner_detach(&n->local.light.owners, client->process);
	for (unsigned k = n->local.n_components; k-- > 0;) {
		struct local_component *comp = n->local.component[k];

		if (comp->client != client || comp->state == LOCAL_FAILED)
			continue;
		for (unsigned w = 0; w < HAVEN_WORKERS_MAX; w++) {
			if ((comp->workers & (1u << w)) &&
			    load_acquire(&client->segment->worker[w].state) == CLIENT_WORKER_ENDED)
				local_unwatch(n, client, w);
		}
		if (comp->workers)
			local_fail(n, comp, now, "connection lost");
		else if (comp->state != LOCAL_LEAVING)
			local_leave(n, comp, NULL, now);
	}
	local_answer(n, c, 0, NULL);
}

/* Proof of death of the whole process: none of its threads runs any more. */
static void do_end(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_client *client = c->client;

	if (client->released) {
		local_answer(n, c, 0, NULL);
		return;
	}
	client->ended = true;
	if (!client->hung_up)
		owner_ended(&n->local.light.owners, client->process);
	for (unsigned k = n->local.n_components; k-- > 0;) {
		struct local_component *comp = n->local.component[k];

		if (comp->client != client)
			continue;
		local_fail(n, comp, now, "process ended");
		comp->dead_workers = comp->workers;
	}
	for (unsigned w = 0; w < HAVEN_WORKERS_MAX; w++) {
		const struct local_component *comp = client->worker[w].component;

		if ((client->watched & (1u << w)) && (!comp || comp->state != LOCAL_FAILED))
			local_unwatch(n, client, w);
	}
	local_answer(n, c, 0, NULL);
}

/* The same for a process that did not come back to this node. */
static void do_process_end(struct haven_node *n, struct command *c)
{
	struct owner_books *owners = &n->local.light.owners;
	uint16_t process = owner_find(owners, c->pid, c->pid_start_ticks);

	if (process != OWNER_NONE)
		owner_ended(owners, process);
	local_answer(n, c, 0, NULL);
}

unsigned local_commands(struct haven_node *n, uint64_t now)
{
	unsigned done = 0;
	struct command *c;

	while (done < COMMANDS_PER_TURN && (c = command_take(&n->to_loop))) {
		done++;
		switch (c->kind) {
		case COMMAND_ATTACH:
			local_attach(n, c, now);
			break;
		case COMMAND_REGISTER:
			local_register(n, c, now);
			break;
		case COMMAND_CHECKPOINT:
		case COMMAND_READY:
		case COMMAND_WORKER:
		case COMMAND_DEREGISTER:
			local_component_request(n, c, now);
			break;
		case COMMAND_SWITCHOVER:
			do_switchover(n, c, now);
			break;
		case COMMAND_CONFIRM_DEAD:
			do_confirm_dead(n, c);
			break;
		case COMMAND_FENCE:
			local_fence(n, c, now);
			break;
		case COMMAND_TABLE:
			local_table_command(n, c);
			break;
		case COMMAND_RESTORE:
			local_restore_command(n, c, now);
			break;
		case COMMAND_RESTORE_TAKE:
		case COMMAND_RESTORE_DONE:
			local_restore_application(n, c);
			break;
		case COMMAND_PING:
			local_answer(n, c, 0, NULL);
			break;
		case COMMAND_HANG_UP:
			do_hang_up(n, c, now);
			break;
		case COMMAND_ENDED:
			do_end(n, c, now);
			break;
		case COMMAND_PROCESS_ENDED:
			do_process_end(n, c);
			break;
		case COMMAND_EVICT:
		case COMMAND_RELEASE:
			HAVEN_ASSERT(false);
		}
		loop_pump(n, now);
	}
	return done;
}
