/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const role_names[HAVEN_ROLE_COUNT] = {"off-line", "spare", "secondary",
							 "primary"};
static const char *const kind_names[] = {"process", "worker", "port", "link", "lcore"};

const char *model_role_name(unsigned role)
{
	return role < HAVEN_ROLE_COUNT ? role_names[role] : "?";
}

json_t *model_names(const struct node *n, uint32_t mask)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n->status.n_nodes; i++)
		if (mask & (UINT32_C(1) << i))
			json_array_append_new(list, json_string(node_peer_name(n, i)));
	return list;
}

/* Orders nodes by how much their word counts. */
static bool counts_more(const struct node *a, const struct node *b)
{
	bool runs_a = a->condition == NODE_RUNNING, runs_b = b->condition == NODE_RUNNING;

	if (runs_a != runs_b)
		return runs_a;
	if (a->status.has_view != b->status.has_view)
		return a->status.has_view;
	if (a->status.epoch != b->status.epoch)
		return a->status.epoch > b->status.epoch;
	return !runs_a && a->status.updated_ns > b->status.updated_ns;
}

const struct node *model_authority(const struct session *s)
{
	const struct node *best = NULL;

	for (unsigned i = 0; i < s->n; i++)
		if (node_readable(s->node[i]) && (!best || counts_more(s->node[i], best)))
			best = s->node[i];
	return best;
}

const struct node *model_visible(const struct session *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (node_readable(s->node[i]) && !strcmp(s->node[i]->header.node, name))
			return s->node[i];
	return NULL;
}

const struct node *model_witness_of(const struct session *s, unsigned i)
{
	const struct node *best = model_authority(s);
	unsigned holder = best->status.instance[i].holder;
	const struct node *own;

	if (holder >= HAVEN_NODES_MAX)
		return best;
	own = model_visible(s, node_peer_name(best, holder));
	if (own && own->condition == NODE_RUNNING && own->status.epoch >= best->status.epoch)
		return own;
	return best;
}

static json_t *bad_frames(const struct registry_status *s)
{
	json_t *o = json_object();

	put_count(o, "length", s->bad_length);
	put_count(o, "version", s->bad_version);
	put_count(o, "type", s->bad_type);
	put_count(o, "peer", s->bad_peer);
	put_count(o, "tag", s->bad_tag);
	put_count(o, "replay", s->bad_replay);
	put_count(o, "body", s->bad_body);
	return o;
}

static uint64_t bad_total(const struct registry_status *s)
{
	return s->bad_length + s->bad_version + s->bad_type + s->bad_peer + s->bad_tag +
	       s->bad_replay + s->bad_body;
}

static void registry_state(json_t *o, const struct node *n)
{
	const struct registry_status *s = &n->status;
	bool lease = s->lease_until_ns > n->taken_ns;

	put_count(o, "epoch", s->epoch);
	put_yes(o, "has_view", s->has_view);
	put_yes(o, "has_lease", lease);
	put_count(o, "lease_left_ns", lease ? s->lease_until_ns - n->taken_ns : 0);
	put_yes(o, "admitted", s->admitted);
	put_iso(o, "view_since", s->view_since_wall_ns);
	json_object_set_new(o, "members", model_names(n, s->members));
	put_count(o, "polls", s->polls);
	put_count(o, "poll_gap_max_ns", s->poll_gap_max_ns);
	put_count(o, "poll_gap_recent_max_ns", s->poll_gap_recent_max_ns);
	put_count(o, "stalls", s->stalls);
	put_count(o, "gate_overruns", s->gate_overruns);
	put_count(o, "frames_in", s->frames_in);
	put_count(o, "frames_out", s->frames_out);
	put_count(o, "frames_bad", bad_total(s));
	json_object_set_new(o, "bad_frames", bad_frames(s));
}

json_t *model_registries(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < s->n; i++) {
		const struct node *n = s->node[i];
		json_t *o = json_object();

		put_text(o, "node", node_name(n));
		put_text(o, "run_dir", n->path);
		put_text(o, "condition", node_condition_name(n->condition));
		if (node_readable(n)) {
			put_text(o, "cluster", n->header.cluster);
			put_text(o, "release", n->header.release);
			put_count(o, "pid", (uint64_t)n->header.pid);
			put_iso(o, "started_at", n->header.started_wall_ns);
			put_count(o, "state_age_ns", n->age_ns);
			put_yes(o, "torn", n->torn);
			put_count(o, "interval_ns", n->header.interval_ns);
			put_count(o, "suspect_ns", n->header.suspect_ns);
			put_count(o, "lease_ns", n->header.lease_ns);
			put_count(o, "guard_ns", n->header.guard_ns);
			registry_state(o, n);
		} else {
			put_text(o, "error", n->text.text);
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *peer_object(const struct node *n, unsigned i)
{
	const struct registry_peer *p = &n->status.peer[i];
	uint64_t epoch = p->self ? n->status.epoch : p->epoch;
	json_t *o = json_object();
	char incarnation[32];

	put_text(o, "name", p->name);
	put_text(o, "state", p->self || p->alive ? (p->member ? "member" : "outside") : "silent");
	put_yes(o, "alive", p->self || p->alive);
	put_yes(o, "member", p->member);
	put_yes(o, "voter", p->voter);
	put_yes(o, "witness", p->witness);
	put_yes(o, "self", p->self);
	put_text(o, "kind", p->witness ? "witness" : p->voter ? "voter" : "node");
	if (p->self || !p->last_heard_ns)
		put_null(o, "heard_ago_ns");
	else
		put_count(o, "heard_ago_ns",
			  n->taken_ns > p->last_heard_ns ? n->taken_ns - p->last_heard_ns : 0);
	if (p->self || !p->rtt_ns)
		put_null(o, "rtt_ns");
	else
		put_count(o, "rtt_ns", p->rtt_ns);
	put_count(o, "beats_received", p->beats_received);
	put_count(o, "beats_lost", p->beats_lost);
	put_count(o, "frames_bad", p->frames_bad);
	put_count(o, "epoch", epoch);
	if (epoch)
		put_count(o, "views_behind", n->status.epoch > epoch ? n->status.epoch - epoch : 0);
	else
		put_null(o, "views_behind");
	put_count(o, "links_up", (uint64_t)__builtin_popcount(p->links_up));
	put_text(o, "release", p->release);
	snprintf(incarnation, sizeof(incarnation), "%" PRIx64, p->incarnation);
	put_text(o, "incarnation", incarnation);
	return o;
}

json_t *model_peers(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		for (unsigned i = 0; node_readable(s->node[k]) && i < s->node[k]->status.n_nodes;
		     i++) {
			json_t *o = peer_object(s->node[k], i);

			put_text(o, "seen_by", node_name(s->node[k]));
			json_array_append_new(list, o);
		}
	return list;
}

json_t *model_nodes(const struct session *s)
{
	const struct node *best = model_authority(s);
	json_t *list = json_array();

	for (unsigned i = 0; best && i < best->status.n_nodes; i++) {
		const struct node *own = model_visible(s, node_peer_name(best, i));
		json_t *o = peer_object(best, i);

		if (own)
			put_text(o, "process", node_condition_name(own->condition));
		else
			put_null(o, "process");
		json_array_append_new(list, o);
	}
	return list;
}

json_t *model_instances(const struct session *s)
{
	const struct node *best = model_authority(s);
	json_t *list = json_array();

	for (unsigned i = 0; best && i < best->status.n_instances; i++) {
		const struct node *n = model_witness_of(s, i);
		const struct registry_instance *in = &n->status.instance[i];
		uint32_t holder = in->holder < HAVEN_NODES_MAX ? UINT32_C(1) << in->holder : 0;
		json_t *o = json_object();

		put_text(o, "name", in->name);
		put_text(o, "group", in->group);
		if (holder)
			put_text(o, "holder", node_peer_name(n, in->holder));
		else
			put_null(o, "holder");
		put_text(o, "seen_by", node_name(n));
		put_text(o, "role", model_role_name(in->role));
		put_count(o, "wanted_secondaries", in->wanted_secondaries);
		json_object_set_new(o, "secondaries", model_names(n, in->assigned & ~holder));
		json_object_set_new(o, "in_sync", model_names(n, in->in_sync));
		json_object_set_new(o, "ready", model_names(n, in->ready));
		put_count(o, "sync_percent", in->sync_percent);
		put_count(o, "lag_records", in->lag_records);
		put_iso(o, "since", in->since_wall_ns);
		put_count(o, "since_epoch", in->since_epoch);
		json_array_append_new(list, o);
	}
	return list;
}

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

static json_t *component_object(const struct node *n, const struct registry_component *c)
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
	json_object_set_new(o, "roles", model_component_roles(n, c));
	return o;
}

json_t *model_components(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		for (unsigned i = 0; node_readable(s->node[k]) && i < s->node[k]->components; i++)
			json_array_append_new(
				list, component_object(s->node[k], &s->node[k]->component[i]));
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

static void node_lanes(json_t *list, const struct node *n, const struct registry_component *c)
{
	for (unsigned k = 0;
	     k < c->cold.lanes && (uint64_t)c->cold.lane_first + k < n->registry.shape.lanes; k++) {
		const struct registry_lane *l = &n->registry.lanes[c->cold.lane_first + k];
		json_t *o = json_object();

		put_text(o, "node", node_name(n));
		put_text(o, "component", c->hot.name);
		put_text(o, "instance", node_instance_name(n, load_relaxed(&l->instance)));
		put_count(o, "checkpoint", load_relaxed(&l->checkpoint));
		put_count(o, "lane", load_relaxed(&l->lane));
		put_count(o, "acked_seq", load_acquire(&l->acked_seq));
		put_count(o, "applied_seq", load_acquire(&l->applied_seq));
		put_count(o, "consumed_seq", load_acquire(&l->consumed_seq));
		put_count(o, "lag_records", load_relaxed(&l->lag_records));
		put_count(o, "resends", load_relaxed(&l->resends));
		json_array_append_new(list, o);
	}
}

json_t *model_lanes(const struct session *s)
{
	json_t *list = json_array();

	for (unsigned k = 0; k < s->n; k++)
		for (unsigned i = 0; node_readable(s->node[k]) && i < s->node[k]->components; i++)
			node_lanes(list, s->node[k], &s->node[k]->component[i]);
	return list;
}
