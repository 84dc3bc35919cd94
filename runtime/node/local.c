/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Life of local components: ready, leaving in order, failing, removal.
 *
 * A failed component is torn down in two steps. At once, at the first sign: its gates shut and the
 * brain hears that component and copy are gone, so that the work can move. Only later, with proof
 * that every thread of the process has ended, its memory is let go: until then somebody may still
 * run on it.
 */
#include <stdio.h>
#include <string.h>

#include "haven_assert.h"
#include "node.h"

struct local_component *local_find(struct haven_node *n, const struct local_client *client,
				   uint64_t handle)
{
	const struct owner_slot *s = &n->local.light.owners.slot[registry_slot_of(handle)];
	struct local_component *c;

	if (!registry_own(&n->registry, handle) || s->use != OWNER_USE_LOCAL)
		return NULL;
	c = n->local.component[s->number];
	return c->client == client ? c : NULL;
}

static uint32_t slot_of(const struct local_component *c)
{
	return registry_slot_of(c->object.hot.handle);
}

void local_enter(struct haven_node *n, struct local_component *c)
{
	struct local *l = &n->local;

	HAVEN_ASSERT(l->n_components < LOCAL_COMPONENTS_MAX);
	owner_local(&l->light.owners, slot_of(c), l->n_components);
	l->component[l->n_components++] = c;
	c->client->components++;
}

/* The last one takes its place. */
static void local_exit(struct haven_node *n, struct local_component *c)
{
	struct local *l = &n->local;
	uint32_t number = l->light.owners.slot[slot_of(c)].number;
	struct local_component *last = l->component[--l->n_components];

	owner_local_end(&l->light.owners, slot_of(c));
	if (last != c) {
		l->component[number] = last;
		owner_local(&l->light.owners, slot_of(last), number);
	}
	c->client->components--;
}

void local_tell_up(struct haven_node *n, struct local_component *c, unsigned i, bool up)
{
	struct brain_event e = {.kind = BRAIN_COMPONENT,
				.instance = (uint8_t)(c->object.hot.instance_first + i),
				.up = up};

	if (c->gate[i].told_up == up)
		return;
	c->gate[i].told_up = up;
	loop_post(n, &e);
}

static void tell_copy_lost(struct haven_node *n, const struct local_component *c)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		struct brain_event e = {.kind = BRAIN_COPY_LOST,
					.instance = (uint8_t)(c->object.hot.instance_first + i)};

		loop_post(n, &e);
	}
}

static void tell_event(struct haven_node *n, const struct local_component *c, enum event_kind kind,
		       enum event_severity severity, const char *proof, uint64_t now)
{
	struct event e = publish_event_init(kind, severity);

	e.node = n->self;
	e.a = (uint64_t)c->object.cold.pid;
	e.b = now;
	snprintf(e.detail, sizeof(e.detail), "%s%s%s", c->object.hot.name, proof ? ": " : "",
		 proof ? proof : "");
	publish_event(n, &e, now);
}

/*
 * A component that was claimed brings its tables, and its workers may be at work on them: they held
 * the baton under the earlier node, and what is written after its lease ended is written by a role
 * that no longer exists. So the tables are touched by nobody here before every worker is watched:
 * its confirmation of the new gate, whose generation is above all that the earlier node has shown,
 * tells that it stopped. The copy counts as not whole and is filled anew by whoever holds the
 * instance; were this node to hold it first, it would begin afresh and say so (state-lost).
 */
static int workers_announced(const struct local_component *c, struct error_text *error)
{
	for (unsigned k = 0; k < HAVEN_WORKERS_MAX; k++) {
		const struct client_worker *w = &c->client->segment->worker[k];

		if (!(c->client->watched & (1u << k)) &&
		    load_acquire(&w->state) == CLIENT_WORKER_LIVE &&
		    load_relaxed(&w->component) == c->object.hot.handle)
			return error_set(error, HAVEN_EREFUSED,
					 "worker %u of component %s is at work: announce it first",
					 k, c->object.hot.name);
	}
	return 0;
}

int local_ready(struct haven_node *n, struct local_component *c, uint64_t now,
		struct error_text *error)
{
	int err;

	if (c->state == LOCAL_READY)
		return 0;
	if (c->state != LOCAL_REGISTERED)
		return error_set(error, HAVEN_EREFUSED, "component %s is leaving or has failed",
				 c->object.hot.name);
	err = c->adopted ? workers_announced(c, error) : 0;
	if (err)
		return err;
	c->object.hot.flags |= REGISTRY_READY;
	c->object.cold.updated_ns = now;
	if (registry_update(&n->registry, &c->object, &n->rcu) != 0) {
		c->object.hot.flags &= (uint8_t)~REGISTRY_READY;
		return error_set(error, HAVEN_EAGAIN,
				 "the registry waits for a slow reader; try again");
	}
	c->state = LOCAL_READY;
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		c->gate[i].epoch = brain_view(n->brain)->epoch;
	local_slots_open(n, c);
	tell_event(n, c, EVENT_COMPONENT_READY, EVENT_INFO, NULL, now);
	return 0;
}

void local_fail(struct haven_node *n, struct local_component *c, uint64_t now, const char *cause)
{
	if (c->state == LOCAL_FAILED)
		return;
	c->state = LOCAL_FAILED;
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		local_gate_shut(n, c, i, HAVEN_OFFLINE, now);
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		local_tell_up(n, c, i, false);
	local_slots_close(n, c);
	tell_copy_lost(n, c);
	loop_pump(n, now);
	c->object.hot.flags = REGISTRY_DEAD;
	c->object.hot.state = HAVEN_OFFLINE;
	c->object.cold.updated_ns = now;
	/* Without room the old object stays until removal; the event tells it all the same. */
	registry_update(&n->registry, &c->object, &n->rcu);
	tell_event(n, c, EVENT_COMPONENT_DEAD, EVENT_CRITICAL, cause, now);
	if (c->leaving) {
		local_answer(n, c->leaving, -HAVEN_EREFUSED, "the component failed while leaving");
		c->leaving = NULL;
	}
}

void local_leave(struct haven_node *n, struct local_component *c, struct command *waiting,
		 uint64_t now)
{
	c->state = LOCAL_LEAVING;
	c->leaving = waiting;
	c->leave_by_ns = now + n->brain_config.mirror_timeout_ns;
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		local_tell_up(n, c, i, false);
}

/* The slots of an orderly leaver stay open until its work has moved: what it committed last is
 * still being mirrored. */
void local_remove(struct haven_node *n, struct local_component *c)
{
	struct local *l = &n->local;

	local_restore_drop(n, c);
	if (c->state == LOCAL_LEAVING) {
		local_slots_close(n, c);
		tell_copy_lost(n, c);
	}
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		l->by_instance[c->object.hot.instance_first + i] = NULL;
	for (unsigned s = 0; s < BRAIN_SLOTS_MAX; s++) {
		if (l->slot[s].component == c)
			l->slot[s] = (struct local_slot){0};
	}
	for (unsigned w = 0; w < HAVEN_WORKERS_MAX; w++) {
		if ((c->client->watched & (1u << w)) && c->client->worker[w].component == c)
			local_unwatch(n, c->client, w);
	}
	local_exit(n, c);
	registry_remove(&n->registry, c->object.hot.handle, &n->rcu);
}

void local_unwatch(struct haven_node *n, struct local_client *client, unsigned worker)
{
	struct local_worker *w = &client->worker[worker];
	uint8_t bit = (uint8_t)(1u << worker);

	if (!(client->watched & bit))
		return;
	client->watched &= (uint8_t)~bit;
	rcu_slot_drop(&n->rcu, w->rcu_slot);
	n->local.overruns_gone += w->overruns;
	if (!w->component)
		return;
	w->component->workers &= (uint8_t)~bit;
	w->component->dead_workers &= (uint8_t)~bit;
	w->component = NULL;
}

/* A client whose process lives keeps its place while a worker of it may still read the registry. */
void local_release(struct haven_node *n, struct local_client *client)
{
	struct local *l = &n->local;

	if (client->released || !client->hung_up || client->components || client->watched)
		return;
	local_requests_end(n, client);
	for (unsigned k = 0; k < l->n_clients; k++) {
		if (l->client[k] == client) {
			l->client[k] = l->client[--l->n_clients];
			break;
		}
	}
	client->released = true;
	command_push(&n->to_control, &client->release);
}

void local_stop(struct haven_node *n, uint64_t now)
{
	struct local *l = &n->local;

	local_restore_drop(n, NULL);
	for (unsigned k = 0; k < l->n_components; k++) {
		struct local_component *c = l->component[k];

		for (unsigned i = 0; i < c->object.hot.instances; i++)
			local_gate_shut(n, c, i, HAVEN_OFFLINE, now);
		if (c->leaving)
			local_answer(n, c->leaving, -HAVEN_ENODE, "the node is stopping");
		c->leaving = NULL;
		c->next_retired = c->client->retired;
		c->client->retired = c;
	}
	l->n_components = 0;
	if (l->switchover)
		local_answer(n, l->switchover, -HAVEN_ENODE, "the node is stopping");
	l->switchover = NULL;
}
