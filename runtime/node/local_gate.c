/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gates of local components, and who holds the baton of their tables.
 *
 * The generation of a gate grows with every change of role or epoch, and a worker confirms the one
 * it acts by. `closed_generation` is the first one after the last primary: a worker that has
 * confirmed it, or a later one, writes nothing any more and emits nothing any more.
 */
#include "haven_assert.h"
#include "node.h"

static uint32_t gate_index(const struct local_component *c, unsigned i)
{
	return c->object.hot.gate_first + i;
}

/* True when every living worker has confirmed this generation or a later one. */
static bool gate_confirmed(const struct local_component *c, unsigned i, uint64_t generation)
{
	uint8_t living = c->workers & (uint8_t)~c->dead_workers;

	for (unsigned w = 0; w < HAVEN_WORKERS_MAX; w++) {
		uint64_t confirmed;

		if (!(living & (1u << w)))
			continue;
		/* Pairs with the worker's release (P1): what it wrote as primary is seen. */
		confirmed = load_acquire(&c->client->segment->worker[w].confirmed[i]);
		if (confirmed < generation)
			return false;
	}
	return true;
}

static void gate_tell_role(struct haven_node *n, const struct local_component *c, unsigned i,
			   enum haven_role before, uint64_t now)
{
	const struct local_gate *g = &c->gate[i];
	struct event e = publish_event_init(EVENT_ROLE, EVENT_NOTICE);

	e.node = n->self;
	e.instance = (uint8_t)(c->object.hot.instance_first + i);
	e.a = before;
	e.b = g->role;
	publish_event(n, &e, now);
}

void local_gate_shut(struct haven_node *n, struct local_component *c, unsigned i,
		     enum haven_role role, uint64_t now)
{
	struct local_gate *g = &c->gate[i];
	uint32_t index = gate_index(c, i);
	enum haven_role before = g->role;

	HAVEN_ASSERT(role != HAVEN_PRIMARY);
	registry_gate_set(&n->registry, index, role, g->epoch, 0);
	g->role = role;
	if (before == HAVEN_PRIMARY)
		g->closed_generation = registry_gate_generation(&n->registry, index);
	if (before != role)
		gate_tell_role(n, c, i, before, now);
	n->publish.dirty = true;
}

/* The component shows the highest role of its instances. Without room for it the next change shows
 * it; the gates are what counts. */
static void gate_show_role(struct haven_node *n, struct local_component *c, uint64_t now)
{
	uint8_t highest = HAVEN_OFFLINE;

	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		if (c->gate[i].role > highest)
			highest = (uint8_t)c->gate[i].role;
	}
	if (c->object.hot.state == highest)
		return;
	c->object.hot.state = highest;
	c->object.cold.updated_ns = now;
	registry_update(&n->registry, &c->object, &n->rcu);
}

void local_gate_role(struct haven_node *n, unsigned instance, enum haven_role role, uint64_t epoch,
		     uint64_t valid_until_ns, uint64_t now)
{
	struct local_component *c = n->local.by_instance[instance];
	struct local_gate *g;
	enum haven_role before;
	unsigned i;

	if (!c || c->state == LOCAL_FAILED)
		return;
	i = instance - c->object.hot.instance_first;
	g = &c->gate[i];
	if (role == HAVEN_PRIMARY && (c->state != LOCAL_READY || local_reset_waits(c, i)))
		role = HAVEN_SECONDARY; /* the brain has been, or is being, told otherwise */
	c->gate[i].draining = role == HAVEN_PRIMARY && local_warm_waits(c, i);
	if (c->gate[i].draining)
		role = HAVEN_SECONDARY;
	if (g->role == role && g->epoch == epoch) {
		if (role == HAVEN_PRIMARY)
			registry_gate_renew(&n->registry, gate_index(c, i), valid_until_ns);
	} else if (role == HAVEN_PRIMARY) {
		before = g->role;
		g->epoch = epoch;
		g->role = role;
		registry_gate_set(&n->registry, gate_index(c, i), role, epoch, valid_until_ns);
		if (before != role)
			gate_tell_role(n, c, i, before, now);
	} else {
		g->epoch = epoch;
		local_gate_shut(n, c, i, role, now);
	}
	if (role == HAVEN_PRIMARY) {
		if (valid_until_ns > g->last_valid_until_ns)
			g->last_valid_until_ns = valid_until_ns;
		local_lanes_begin(c, i);
	}
	gate_show_role(n, c, now);
}

void local_gate_lease(struct haven_node *n, uint64_t valid_until_ns)
{
	for (unsigned k = 0; k < n->local.n_components; k++) {
		struct local_component *c = n->local.component[k];

		for (unsigned i = 0; i < c->object.hot.instances; i++) {
			struct local_gate *g = &c->gate[i];

			if (g->role != HAVEN_PRIMARY)
				continue;
			registry_gate_renew(&n->registry, gate_index(c, i), valid_until_ns);
			if (valid_until_ns > g->last_valid_until_ns)
				g->last_valid_until_ns = valid_until_ns;
		}
	}
}

static void gate_closed(struct haven_node *n, unsigned instance, uint64_t number)
{
	struct brain_event e = {
		.kind = BRAIN_GATE_CLOSED, .instance = (uint8_t)instance, .seq = number};

	loop_post(n, &e);
}

void local_gate_close(struct haven_node *n, unsigned instance, uint64_t number, uint64_t now)
{
	struct local_component *c = n->local.by_instance[instance];
	unsigned i;

	if (!c) {
		gate_closed(n, instance, number);
		return;
	}
	i = instance - c->object.hot.instance_first;
	if (c->gate[i].role == HAVEN_PRIMARY)
		local_gate_shut(n, c, i, HAVEN_SECONDARY, now);
	c->gate[i].closing = true;
	c->gate[i].closing_number = number;
}

/*
 * Certain is: every living worker has said so; or no gate of this instance that was ever published
 * reaches this far, so that whoever still looks at it finds it shut. Only the first brings the
 * final committed sequences with it; after the second, what the workers still write is not theirs
 * to write and is never looked at.
 */
void local_gate_scan(struct haven_node *n, struct local_component *c, uint64_t now)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		struct local_gate *g = &c->gate[i];

		if (!g->closing)
			continue;
		if (!gate_confirmed(c, i, g->closed_generation) &&
		    now <= g->last_valid_until_ns + n->brain_config.guard_ns)
			continue;
		local_commits(n, c, i);
		g->closing = false;
		gate_closed(n, c->object.hot.instance_first + i, g->closing_number);
	}
}

bool local_gate_baton(const struct local_component *c, unsigned i)
{
	return c->gate[i].role != HAVEN_PRIMARY &&
	       gate_confirmed(c, i, c->gate[i].closed_generation);
}
