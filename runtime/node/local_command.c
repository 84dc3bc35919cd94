/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop's side of requests: what an application asks for is checked against the loop's own
 * tables here; its form was checked by the control thread.
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

static void answer_error(struct haven_node *n, struct command *c, int result,
			 const struct error_text *error)
{
	local_answer(n, c, result, result ? error->text : NULL);
}

static void do_attach(struct haven_node *n, struct command *c)
{
	struct local *l = &n->local;

	if (l->n_clients == LOCAL_CLIENTS_MAX) {
		local_answer(n, c, -HAVEN_EFULL, "too many applications are attached to this node");
		return;
	}
	l->client[l->n_clients++] = c->client;
	local_answer(n, c, 0, NULL);
}

/* Does somebody here serve this group already? A dead predecessor is let go within microseconds of
 * its end, so the newcomer is asked to try again. */
static int group_taken(struct haven_node *n, const struct local_component *c,
		       struct error_text *error)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		const struct local_component *other =
			n->local.by_instance[c->object.hot.instance_first + i];

		if (other && other->state == LOCAL_FAILED)
			return error_set(
				error, HAVEN_EAGAIN,
				"component %s of process %d has failed, and the process has "
				"not ended yet; remedy: end it",
				other->object.hot.name, (int)other->object.cold.pid);
		if (other)
			return error_set(error, HAVEN_EEXIST,
					 "component %s of process %d serves group %s on this node",
					 other->object.hot.name, (int)other->object.cold.pid,
					 other->object.cold.group);
	}
	return 0;
}

static void do_register(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_component *comp = c->component;
	struct local *l = &n->local;
	struct error_text error = {""};
	struct event e = publish_event_init(EVENT_COMPONENT_UP, EVENT_INFO);
	int err;

	err = group_taken(n, comp, &error);
	if (!err && l->n_components == LOCAL_COMPONENTS_MAX)
		err = error_set(&error, HAVEN_EFULL, "this node has %d components already",
				LOCAL_COMPONENTS_MAX);
	comp->object.cold.registered_ns = now;
	if (!err)
		err = registry_add(&n->registry, &comp->object, &error);
	if (err) {
		answer_error(n, c, err, &error);
		return;
	}
	for (unsigned i = 0; i < comp->object.hot.instances; i++) {
		l->by_instance[comp->object.hot.instance_first + i] = comp;
		comp->gate[i].closed_generation =
			registry_gate_generation(&n->registry, comp->object.hot.gate_first + i);
	}
	l->component[l->n_components++] = comp;
	c->client->components++;
	c->component = NULL;
	c->message.handle = comp->object.hot.handle;
	c->message.u.reg.instances = (uint8_t)comp->object.hot.instances;
	c->message.u.reg.gate_first = (uint16_t)comp->object.hot.gate_first;
	c->message.u.reg.instance_first = comp->object.hot.instance_first;
	e.node = n->self;
	e.a = (uint64_t)comp->object.cold.pid;
	snprintf(e.detail, sizeof(e.detail), "%s", comp->object.hot.name);
	publish_event(n, &e, now);
	local_answer(n, c, 0, NULL);
}

static int checkpoint_refusal(const struct local_component *comp, const struct local_table *t,
			      struct error_text *error)
{
	if (comp->state != LOCAL_REGISTERED)
		return error_set(error, HAVEN_EREFUSED,
				 "checkpoints are created before the component is ready");
	if (t->instance >= comp->object.hot.instances)
		return error_set(error, HAVEN_EINVAL, "component %s has %u instances",
				 comp->object.hot.name, comp->object.hot.instances);
	if (comp->n_tables == LOCAL_TABLES_MAX)
		return error_set(error, HAVEN_EFULL, "component %s has %d checkpoints already",
				 comp->object.hot.name, LOCAL_TABLES_MAX);
	for (unsigned k = 0; k < comp->n_tables; k++) {
		if (comp->table[k]->instance == t->instance &&
		    strcmp(comp->table[k]->table.geometry.shape.name,
			   t->table.geometry.shape.name) == 0)
			return error_set(error, HAVEN_EEXIST, "checkpoint %s exists already",
					 t->table.geometry.shape.name);
	}
	return 0;
}

static int checkpoint_place(struct haven_node *n, struct local_component *comp,
			    struct local_table *t, struct error_text *error)
{
	int first = registry_lanes_reserve(&n->registry, t->lanes);

	if (first < 0)
		return error_set(error, HAVEN_EFULL, "the registry has no free lane lines");
	if (local_slots_reserve(n, comp, t) < 0) {
		registry_lanes_release(&n->registry, (uint32_t)first, t->lanes, &n->rcu);
		return error_set(error, HAVEN_EFULL, "this node mirrors %d lanes at most",
				 BRAIN_SLOTS_MAX);
	}
	t->lane_first = (uint32_t)first;
	t->number = (uint8_t)comp->n_tables;
	for (unsigned lane = 0; lane < t->lanes; lane++) {
		struct registry_lane *line = &n->registry.lanes[t->lane_first + lane];

		line->instance = (uint16_t)(comp->object.hot.instance_first + t->instance);
		line->checkpoint = t->number;
		line->lane = (uint8_t)lane;
		t->lane[lane].committed = LOCAL_NOT_TOLD;
	}
	HAVEN_ASSERT(registry_lanes_give(&n->registry, t->lane_first, t->lanes,
					 comp->object.hot.handle) == 0);
	return 0;
}

static void do_checkpoint(struct haven_node *n, struct command *c, struct local_component *comp)
{
	struct local_table *t = c->table;
	struct error_text error = {""};
	int err = checkpoint_refusal(comp, t, &error);

	if (!err)
		err = checkpoint_place(n, comp, t, &error);
	if (err) {
		answer_error(n, c, err, &error);
		return;
	}
	comp->table[comp->n_tables++] = t;
	if (comp->object.cold.lanes == 0)
		comp->object.cold.lane_first = t->lane_first;
	comp->object.cold.lanes += t->lanes;
	c->table = NULL;
	c->message.u.checkpoint.lane_first = t->lane_first;
	c->message.u.checkpoint.checkpoint = t->number;
	local_answer(n, c, 0, NULL);
}

static int worker_watch(struct haven_node *n, struct command *c, struct local_component *comp,
			uint64_t now, struct error_text *error)
{
	uint32_t k = c->message.u.worker.worker;
	const struct client_worker *w;
	struct local_worker *watch;
	int slot;

	if (k >= HAVEN_WORKERS_MAX)
		return error_set(error, HAVEN_EINVAL, "worker %u: 0 to %d", k,
				 HAVEN_WORKERS_MAX - 1);
	w = &c->client->segment->worker[k];
	watch = &c->client->worker[k];
	/* A slot that was given back and claimed again since the last look. */
	if (watch->component && !(watch->component->dead_workers & (1u << k)))
		local_unwatch(n, c->client, k);
	if (watch->component || client_worker_marked(w))
		return error_set(error, HAVEN_EREFUSED, "the thread of worker %u is dead", k);
	if (load_acquire(&w->state) != CLIENT_WORKER_LIVE)
		return error_set(error, HAVEN_EREFUSED, "worker %u is not claimed", k);
	if (comp->state == LOCAL_FAILED || comp->state == LOCAL_LEAVING)
		return error_set(error, HAVEN_EREFUSED, "component %s is leaving or has failed",
				 comp->object.hot.name);
	slot = rcu_slot_add(&n->rcu, &w->quiescent);
	if (slot < 0)
		return error_set(error, HAVEN_EFULL, "no reader slot is left");
	*watch = (struct local_worker){.component = comp,
				       .rcu_slot = slot,
				       .progress = load_relaxed(&w->progress),
				       .moved_ns = now};
	comp->workers |= (uint8_t)(1u << k);
	return 0;
}

static void do_deregister(struct haven_node *n, struct command *c, struct local_component *comp,
			  uint64_t now)
{
	for (unsigned k = 0; k < HAVEN_WORKERS_MAX; k++) {
		if ((comp->workers & (1u << k)) &&
		    load_acquire(&c->client->segment->worker[k].state) == CLIENT_WORKER_ENDED)
			local_unwatch(n, c->client, k);
	}
	if (comp->state == LOCAL_FAILED || comp->state == LOCAL_LEAVING)
		local_answer(n, c, -HAVEN_EREFUSED, "the component is leaving or has failed");
	else if (comp->workers)
		local_answer(n, c, -HAVEN_EREFUSED, "workers of the component have not ended");
	else
		local_leave(n, comp, c, now);
}

/* Requests that name a component of the asking client. */
static void do_component(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_component *comp = local_find(n, c->client, c->message.handle);
	struct error_text error = {""};

	if (!comp) {
		local_answer(n, c, -HAVEN_ESTALE,
			     "no component of this application has this handle");
		return;
	}
	if (c->kind == COMMAND_CHECKPOINT)
		do_checkpoint(n, c, comp);
	else if (c->kind == COMMAND_READY)
		answer_error(n, c, local_ready(n, comp, now, &error), &error);
	else if (c->kind == COMMAND_WORKER)
		answer_error(n, c, worker_watch(n, c, comp, now, &error), &error);
	else
		do_deregister(n, c, comp, now);
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
	for (unsigned k = n->local.n_components; k-- > 0;) {
		struct local_component *comp = n->local.component[k];

		if (comp->client != client)
			continue;
		local_fail(n, comp, now, "process ended");
		comp->dead_workers = comp->workers;
	}
	for (unsigned w = 0; w < HAVEN_WORKERS_MAX; w++) {
		if (client->worker[w].component &&
		    client->worker[w].component->state != LOCAL_FAILED)
			local_unwatch(n, client, w);
	}
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
			do_attach(n, c);
			break;
		case COMMAND_REGISTER:
			do_register(n, c, now);
			break;
		case COMMAND_CHECKPOINT:
		case COMMAND_READY:
		case COMMAND_WORKER:
		case COMMAND_DEREGISTER:
			do_component(n, c, now);
			break;
		case COMMAND_SWITCHOVER:
			do_switchover(n, c, now);
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
		case COMMAND_RELEASE:
			HAVEN_ASSERT(false);
		}
		loop_pump(n, now);
	}
	return done;
}
