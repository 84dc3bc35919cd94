/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the registries say of components, their gates and their lanes. Every number in them is
 * bounded before it is used: the file may be damaged.
 */
#include <stdio.h>

#include "clock.h"
#include "haven_assert.h"
#include "model.h"

static const char *const kind_names[] = {"process", "worker", "port",   "link",
					 "lcore",   "shard",  "device", "service"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kind_names) == HAVEN_KIND_COUNT, "a label for every kind");

/* Index of a gate or lane line is taken from the component object: bounded before use. */
static const struct registry_gate *gate_of(const struct node *n, const struct registry_component *c,
					   unsigned k)
{
	uint64_t i = (uint64_t)c->hot.gate_first + k;

	return k < c->hot.instances && i < n->registry.shape.gates ? &n->registry.gates[i] : NULL;
}

json_t *model_component_roles(const struct node *n, const struct registry_component *c)
{
	json_t *list = json_array();
	const struct registry_gate *g;

	for (unsigned k = 0; (g = gate_of(n, c, k)); k++) {
		char text[2 * HAVEN_NAME_MAX];

		snprintf(text, sizeof(text), "%s=%s",
			 node_instance_name(n, c->hot.instance_first + k),
			 model_role_name(load_acquire(&g->role)));
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static const char *component_state(const struct node *n, const struct registry_component *c)
{
	if (c->hot.flags & REGISTRY_DEAD)
		return "dead";
	if (n->condition == NODE_DEAD || n->condition == NODE_STOPPED)
		return "unwatched";
	return c->hot.flags & REGISTRY_READY ? "ready" : "not ready";
}

static const char *const health_names[] = {
	[HAVEN_HEALTH_UNKNOWN] = "unknown",
	[HAVEN_HEALTH_GOOD] = "good",
	[HAVEN_HEALTH_DEGRADED] = "degraded",
	[HAVEN_HEALTH_FAILED] = "failed",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(health_names) == HAVEN_HEALTH_COUNT, "a name for each");

static const char *health_name(unsigned health)
{
	return health < HAVEN_HEALTH_COUNT ? health_names[health] : "?";
}

/* Names of the components it needs; those that are gone by their handle. */
static json_t *component_depends(const struct node *n, const struct registry_component *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->cold.n_depends && i < REGISTRY_DEPENDS_MAX; i++) {
		struct registry_component other;
		json_t *o = json_object();

		if (registry_get_copy(&n->registry, c->cold.depends[i], &other) == 0)
			put_text(o, "name", other.hot.name);
		else
			put_null(o, "name");
		put_count(o, "handle", c->cold.depends[i]);
		json_array_append_new(list, o);
	}
	return list;
}

static void component_attributes(json_t *o, const struct node *n,
				 const struct registry_component *c)
{
	put_count(o, "handle", c->hot.handle);
	put_text(o, "role", model_role_name(c->hot.state));
	put_text(o, "health", health_name(c->hot.health));
	put_count(o, "load_ppm", c->hot.load);
	put_count(o, "weight", c->hot.weight);
	put_yes(o, "pending", c->hot.flags & REGISTRY_PENDING);
	put_count(o, "updated_ago_ns",
		  c->cold.updated_ns && n->taken_ns > c->cold.updated_ns
			  ? n->taken_ns - c->cold.updated_ns
			  : 0);
	put_count(o, "format_read_min", c->cold.format_read_min);
	put_count(o, "format_read_max", c->cold.format_read_max);
	put_count(o, "format_write", c->cold.format_write);
	json_object_set_new(o, "depends", component_depends(n, c));
}

json_t *model_component(const struct node *n, const struct registry_component *c)
{
	json_t *o = json_object();

	put_text(o, "name", c->hot.name);
	put_text(o, "node", node_name(n));
	put_text(o, "group", c->cold.group);
	put_text(o, "release", c->cold.release);
	put_text(o, "kind",
		 c->hot.kind < HAVEN_ARRAY_LEN(kind_names) ? kind_names[c->hot.kind] : "?");
	put_text(o, "state", component_state(n, c));
	put_yes(o, "ready", c->hot.flags & REGISTRY_READY);
	put_yes(o, "dead", c->hot.flags & REGISTRY_DEAD);
	put_count(o, "pid", (uint64_t)c->cold.pid);
	put_count(o, "registered_ago_ns",
		  n->taken_ns > c->cold.registered_ns ? n->taken_ns - c->cold.registered_ns : 0);
	put_count(o, "lanes", c->cold.lanes);
	component_attributes(o, n, c);
	json_object_set_new(o, "roles", model_component_roles(n, c));
	return o;
}

json_t *model_components(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		for (unsigned i = 0; node_readable(s->node[k]) && i < s->node[k]->components; i++)
			json_array_append_new(
				list, model_component(s->node[k], &s->node[k]->component[i]));
	return list;
}

static void node_gates(json_t *list, const struct node *n, const struct registry_component *c)
{
	const struct registry_gate *g;

	for (unsigned k = 0; (g = gate_of(n, c, k)); k++) {
		uint64_t until = load_acquire(&g->valid_until_ns);
		uint32_t role = load_acquire(&g->role);
		json_t *o = json_object();
		bool open = role == HAVEN_PRIMARY && until > n->taken_ns;

		put_text(o, "node", node_name(n));
		put_text(o, "component", c->hot.name);
		put_text(o, "instance", node_instance_name(n, c->hot.instance_first + k));
		put_text(o, "role", model_role_name(role));
		put_yes(o, "open", open);
		put_count(o, "valid_for_ns", open ? until - n->taken_ns : 0);
		put_count(o, "epoch", load_relaxed(&g->epoch));
		put_count(o, "generation", load_relaxed(&g->generation));
		json_array_append_new(list, o);
	}
}

json_t *model_gates(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		for (unsigned i = 0; node_readable(s->node[k]) && i < s->node[k]->components; i++)
			node_gates(list, s->node[k], &s->node[k]->component[i]);
	return list;
}

static void node_lanes(json_t *list, const struct node *n)
{
	for (uint32_t i = 0; i < n->registry.shape.lanes; i++) {
		const struct registry_lane *l = &n->registry.lanes[i];
		uint32_t owner = load_acquire(&l->component);
		struct registry_component c;
		json_t *o;

		if (owner == REGISTRY_NONE || registry_copy_slot(&n->registry, owner, &c))
			continue;
		o = json_object();
		put_text(o, "node", node_name(n));
		put_text(o, "component", c.hot.name);
		put_text(o, "instance", node_instance_name(n, load_relaxed(&l->instance)));
		put_count(o, "checkpoint", load_relaxed(&l->checkpoint));
		put_count(o, "lane", load_relaxed(&l->lane));
		put_count(o, "acked_seq", load_acquire(&l->acked_seq));
		put_count(o, "applied_seq", load_acquire(&l->applied_seq));
		put_count(o, "consumed_seq", load_acquire(&l->consumed_seq));
		put_count(o, "lag_records", load_relaxed(&l->lag_records));
		put_count(o, "waiting_records", load_relaxed(&l->waiting_records));
		put_count(o, "takeover_ns",
			  (uint64_t)load_relaxed(&l->waiting_records) *
				  load_relaxed(&l->record_ns));
		json_array_append_new(list, o);
	}
}

json_t *model_lanes(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		if (node_readable(s->node[k]))
			node_lanes(list, s->node[k]);
	return list;
}
