/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the registries say of checkpoints: each node's own lines, put together by checkpoint. Every
 * number in them is bounded before it is used: the file may be damaged.
 */
#include <inttypes.h>
#include <string.h>

#include "model.h"
#include "table.h"

static const char *const kind_names[] = {[TABLE_KEYED] = "table", [TABLE_REGION] = "region"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kind_names) == TABLE_KIND_COUNT, "a name for each");
static const char *const mode_names[] = {[TABLE_MODE_LOG] = "log", [TABLE_MODE_DIRTY] = "dirty"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(mode_names) == TABLE_MODE_COUNT, "a name for each");

const char *model_checkpoint_kind(unsigned kind)
{
	return kind < HAVEN_ARRAY_LEN(kind_names) ? kind_names[kind] : "?";
}

const char *model_checkpoint_mode(unsigned mode)
{
	return mode < HAVEN_ARRAY_LEN(mode_names) ? mode_names[mode] : "?";
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* Role of the component's gate for this instance. */
static enum haven_role role_here(const struct node *n, const struct registry_component *c,
				 unsigned instance)
{
	uint64_t gate = (uint64_t)c->hot.gate_first + instance - c->hot.instance_first;
	uint32_t role;

	if (instance < c->hot.instance_first ||
	    instance - c->hot.instance_first >= c->hot.instances || gate >= n->registry.shape.gates)
		return HAVEN_OFFLINE;
	role = load_acquire(&n->registry.gates[gate].role);
	return role < HAVEN_ROLE_COUNT ? (enum haven_role)role : HAVEN_OFFLINE;
}

/* In sync beside this node itself: the others, one of which may be promoted. */
static uint32_t others_in_sync(const struct node *n, unsigned instance)
{
	if (instance >= n->status.n_instances)
		return 0;
	return n->status.instance[instance].in_sync & ~(UINT32_C(1) << n->status.self);
}

static json_t *lane_object(const struct registry_lane *lane, const struct registry_checkpoint *what)
{
	json_t *o = json_object();

	put_count(o, "lane", lane->lane);
	put_count(o, "entries", lane->live);
	put_count(o, "capacity", what->lane_capacity);
	put_count(o, "waiting", lane->dirty);
	put_count(o, "committed_seq", lane->committed_seq);
	put_count(o, "acked_seq", lane->acked_seq);
	put_count(o, "applied_seq", lane->applied_seq);
	put_count(o, "consumed_seq", lane->consumed_seq);
	put_count(o, "lag_records", minus(lane->committed_seq, lane->acked_seq));
	return o;
}

static json_t *checkpoint_new(const struct node *n, const struct registry_component *c,
			      const struct registry_lane *lane,
			      const struct registry_checkpoint *what)
{
	enum haven_role role = role_here(n, c, lane->instance);
	json_t *o = json_object();

	put_text(o, "name", what->name);
	put_text(o, "instance", node_instance_name(n, lane->instance));
	put_text(o, "node", node_name(n));
	put_text(o, "component", c->hot.name);
	put_count(o, "number", lane->checkpoint);
	put_text(o, "role", model_role_name(role));
	put_text(o, "kind", model_checkpoint_kind(what->kind));
	put_text(o, "mode", model_checkpoint_mode(what->mode));
	put_count(o, "key_bytes", what->key_bytes);
	put_count(o, "value_bytes", what->value_bytes);
	put_count(o, "entries", 0);
	put_count(o, "capacity", what->capacity);
	put_count(o, "lane_records", what->lane_records);
	put_count(o, "format_write", c->cold.format_write);
	put_count(o, "waiting", 0);
	put_count(o, "lag_records", 0);
	if (lane->instance < n->status.n_instances)
		json_object_set_new(o, "in_sync",
				    model_names(n, n->status.instance[lane->instance].in_sync));
	else
		json_object_set_new(o, "in_sync", json_array());
	/* What a failure of this node would lose now; of a node that serves nothing, nothing. */
	if (role == HAVEN_PRIMARY) {
		put_count(o, "at_risk_records", 0);
		put_yes(o, "at_risk_all", others_in_sync(n, lane->instance) == 0);
	} else {
		put_null(o, "at_risk_records");
		put_null(o, "at_risk_all");
	}
	json_object_set_new(o, "lanes", json_array());
	return o;
}

static void add(json_t *o, const char *key, uint64_t value)
{
	put_count(o, key, get_count(o, key) + value);
}

static void checkpoint_add(json_t *o, const struct registry_lane *lane,
			   const struct registry_checkpoint *what)
{
	uint64_t lag = minus(lane->committed_seq, lane->acked_seq);

	add(o, "entries", lane->live);
	add(o, "waiting", lane->dirty);
	/* A secondary acknowledges nothing to itself: its lag is the holder's to tell. */
	if (json_is_integer(json_object_get(o, "at_risk_records"))) {
		add(o, "lag_records", lag);
		add(o, "at_risk_records", lag + lane->dirty);
	}
	json_array_append_new(json_object_get(o, "lanes"), lane_object(lane, what));
}

/* The checkpoint's lanes stand side by side; a line that begins another one is its lane 0. */
static void node_checkpoints(json_t *list, const struct node *n)
{
	json_t *open = NULL;
	uint32_t owner = REGISTRY_NONE;
	unsigned number = 0;

	for (uint32_t i = 0; i < n->registry.shape.lanes; i++) {
		struct registry_checkpoint what;
		struct registry_component c;
		struct registry_lane lane;

		if (!registry_lane_copy(&n->registry, i, &lane, &what) ||
		    lane.component >= n->registry.components ||
		    registry_copy_slot(&n->registry, lane.component, &c)) {
			open = NULL;
			continue;
		}
		if (!open || owner != lane.component || number != lane.checkpoint ||
		    lane.lane == 0) {
			open = checkpoint_new(n, &c, &lane, &what);
			json_array_append_new(list, open);
			owner = lane.component;
			number = lane.checkpoint;
		}
		checkpoint_add(open, &lane, &what);
	}
}

json_t *model_checkpoints(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		if (node_readable(s->node[k]))
			node_checkpoints(list, s->node[k]);
	return list;
}
