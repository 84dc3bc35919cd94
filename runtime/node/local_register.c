/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop's side of what an application asks for through the socket: to attach, to register a
 * component with instances or to claim one from before the node was restarted, checkpoints,
 * workers. The form of a request was checked by the control thread; here it is checked against the
 * loop's own tables.
 */
#include <stdio.h>
#include <string.h>

#include "haven_assert.h"
#include "node.h"

static void answer_error(struct haven_node *n, struct command *c, int result,
			 const struct error_text *error)
{
	local_answer(n, c, result, result ? error->text : NULL);
}

void local_attach(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local *l = &n->local;
	struct error_text error = {""};
	int err = local_requests_begin(n, c->client, c->message.u.attach.seen, now, &error);

	if (err) {
		answer_error(n, c, err, &error);
		return;
	}
	HAVEN_ASSERT(l->n_clients < LOCAL_CLIENTS_MAX);
	l->client[l->n_clients++] = c->client;
	c->message.u.attach.client = c->client->line;
	local_answer(n, c, 0, NULL);
}

static int group_taken_by(const struct local_component *other, struct error_text *error)
{
	if (other->state == LOCAL_FAILED)
		return error_set(error, HAVEN_EAGAIN,
				 "component %s of process %d has failed, and the process has "
				 "not ended yet; remedy: end it",
				 other->object.hot.name, (int)other->object.cold.pid);
	return error_set(
		error, HAVEN_EEXIST, "component %s of process %d serves group %s on this node",
		other->object.hot.name, (int)other->object.cold.pid, other->object.cold.group);
}

/* Does somebody here serve this group already, or did before the node was restarted? A dead
 * predecessor is let go within microseconds of its end, so the newcomer is asked to try again. */
static int group_taken(struct haven_node *n, const struct local_component *c,
		       struct error_text *error)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		unsigned instance = c->object.hot.instance_first + i;
		const struct local_component *other = n->local.by_instance[instance];
		const struct registry_hot *pending =
			light_pending(&n->local.light, n->local.light.adopted[instance]);

		if (other)
			return group_taken_by(other, error);
		if (!pending || pending->handle == c->object.hot.handle)
			continue;
		if (light_name_leaving(&n->local.light, pending->name))
			return error_set(error, HAVEN_EAGAIN, "component %s is being removed",
					 pending->name);
		return error_set(error, HAVEN_EEXIST,
				 "component %s, from before the node was restarted, serves the "
				 "group; remedy: end its process",
				 pending->name);
	}
	return 0;
}

/* The component that an earlier node gave this handle, taken over by its owner: name and group are
 * the same; gates and instances are those that were prepared for it at start. */
static int claim(struct haven_node *n, struct local_component *comp, const struct registry_hot *own,
		 struct error_text *error)
{
	struct light *light = &n->local.light;
	const struct registry_hot *shown = registry_get(&n->registry, own->handle);
	struct registry_component next = comp->object;

	if (owner_of(&light->owners, registry_slot_of(own->handle)) != comp->client->process)
		return error_set(error, HAVEN_EPERM, "the handle is that of another process");
	if (strcmp(own->name, comp->object.hot.name) != 0 ||
	    own->instances != comp->object.hot.instances ||
	    own->instance_first != comp->object.hot.instance_first)
		return error_set(error, HAVEN_EINVAL,
				 "the handle is that of component %s of another group or name",
				 own->name);
	next.hot = *own;
	next.hot.kind = comp->object.hot.kind;
	next.hot.flags = 0;
	if (shown) {
		const struct registry_cold *cold = registry_cold_of(&n->registry, shown);

		next.cold = *cold;
		memcpy(next.cold.release, comp->object.cold.release, sizeof(next.cold.release));
		next.cold.updated_ns = comp->object.cold.registered_ns;
	}
	if (registry_update(&n->registry, &next, &n->rcu) != 0)
		return error_set(error, HAVEN_EAGAIN,
				 "the registry waits for a slow reader; try again");
	owner_remove(&light->owners, registry_slot_of(own->handle));
	comp->object = next;
	return 0;
}

static int registry_enter(struct haven_node *n, struct local_component *comp,
			  struct error_text *error)
{
	const struct registry_hot *own;
	int err;

	comp->adopted = comp->object.hot.handle != 0;
	own = comp->adopted ? light_pending(&n->local.light, comp->object.hot.handle) : NULL;
	if (own)
		return claim(n, comp, own, error);
	err = comp->adopted ? registry_adopt(&n->registry, &comp->object, error)
			    : registry_add(&n->registry, &comp->object, error);
	if (err == -HAVEN_EEXIST && light_name_leaving(&n->local.light, comp->object.hot.name))
		return error_set(error, HAVEN_EAGAIN, "component %s is being removed",
				 comp->object.hot.name);
	return err;
}

void local_register(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_component *comp = c->component;
	struct local *l = &n->local;
	struct error_text error = {""};
	struct event e = publish_event_init(EVENT_COMPONENT_UP, EVENT_INFO);
	int err;

	comp->object.hot.handle = c->message.handle;
	err = group_taken(n, comp, &error);
	if (!err && l->n_components == LOCAL_COMPONENTS_MAX)
		err = error_set(&error, HAVEN_EFULL, "this node has %d components already",
				LOCAL_COMPONENTS_MAX);
	comp->object.cold.registered_ns = now;
	if (!err)
		err = registry_enter(n, comp, &error);
	if (err) {
		answer_error(n, c, err, &error);
		return;
	}
	for (unsigned i = 0; i < comp->object.hot.instances; i++) {
		l->by_instance[comp->object.hot.instance_first + i] = comp;
		comp->gate[i].closed_generation =
			registry_gate_generation(&n->registry, comp->object.hot.gate_first + i);
	}
	local_enter(n, comp);
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
	HAVEN_ASSERT(registry_lanes_describe(&n->registry, t->lane_first, &t->table.geometry) == 0);
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

/* `comp` NULL: a reader of the registry that belongs to none. */
static int worker_refusal(struct haven_node *n, struct command *c,
			  const struct local_component *comp, struct error_text *error)
{
	uint32_t k = c->message.u.worker.worker;
	const struct local_component *before;
	const struct client_worker *w;

	if (k >= HAVEN_WORKERS_MAX)
		return error_set(error, HAVEN_EINVAL, "worker %u: 0 to %d", k,
				 HAVEN_WORKERS_MAX - 1);
	w = &c->client->segment->worker[k];
	before = c->client->worker[k].component;
	/* A slot that was given back and claimed again since the last look. */
	if ((c->client->watched & (1u << k)) && !(before && before->dead_workers & (1u << k)))
		local_unwatch(n, c->client, k);
	if ((c->client->watched & (1u << k)) || client_worker_marked(w))
		return error_set(error, HAVEN_EREFUSED, "the thread of worker %u is dead", k);
	if (load_acquire(&w->state) != CLIENT_WORKER_LIVE)
		return error_set(error, HAVEN_EREFUSED, "worker %u is not claimed", k);
	if (comp && (comp->state == LOCAL_FAILED || comp->state == LOCAL_LEAVING))
		return error_set(error, HAVEN_EREFUSED, "component %s is leaving or has failed",
				 comp->object.hot.name);
	return 0;
}

static int worker_watch(struct haven_node *n, struct command *c, struct local_component *comp,
			uint64_t now, struct error_text *error)
{
	uint32_t k = c->message.u.worker.worker;
	int err = worker_refusal(n, c, comp, error), slot;
	const struct client_worker *w;

	if (err)
		return err;
	w = &c->client->segment->worker[k];
	slot = rcu_slot_add(&n->rcu, &w->quiescent);
	if (slot < 0)
		return error_set(error, HAVEN_EFULL,
				 "all %d slots for readers of the registry are in use",
				 RCU_SLOTS_MAX);
	c->client->worker[k] = (struct local_worker){.component = comp,
						     .rcu_slot = slot,
						     .progress = load_relaxed(&w->progress),
						     .moved_ns = now};
	c->client->watched |= (uint8_t)(1u << k);
	if (comp)
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

void local_component_request(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_component *comp = local_find(n, c->client, c->message.handle);
	struct error_text error = {""};

	if (c->kind == COMMAND_WORKER && c->message.handle == 0) {
		answer_error(n, c, worker_watch(n, c, NULL, now, &error), &error);
		return;
	}
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
