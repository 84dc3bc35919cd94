/* SPDX-License-Identifier: BSD-3-Clause */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const role_names[HAVEN_ROLE_COUNT] = {"off-line", "spare", "secondary",
							 "primary"};

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

static json_t *registry_shape(const struct node *n)
{
	const struct registry_shape *shape = &n->registry.shape;
	const struct registry_header *h = n->registry.header;
	json_t *o = json_object();

	put_count(o, "layout_version", REGISTRY_LAYOUT_VERSION);
	put_count(o, "size_bytes", n->registry.size_bytes);
	put_count(o, "components", shape->components);
	put_count(o, "spare", shape->spare);
	put_count(o, "gates", shape->gates);
	put_count(o, "lanes", shape->lanes);
	put_count(o, "events", shape->events);
	put_count(o, "changes", shape->changes);
	put_count(o, "counters_bytes", shape->counters_bytes);
	put_count(o, "used", n->components);
	put_count(o, "changes_made", registry_changes(&n->registry));
	put_count(o, "generation", load_relaxed(&h->generation));
	put_count(o, "reader_epoch", load_relaxed(&h->rcu_epoch));
	return o;
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
			json_object_set_new(o, "registry", registry_shape(n));
			registry_state(o, n);
		} else {
			put_text(o, "error", n->text.text);
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *link_loss(const struct registry_peer *p)
{
	json_t *list = json_array();

	for (unsigned l = 0; l < HAVEN_LINKS_MAX; l++)
		json_array_append_new(list, json_integer(p->loss_percent[l]));
	return list;
}

static uint64_t loss_worst(const struct registry_peer *p)
{
	uint64_t worst = 0;

	for (unsigned l = 0; l < HAVEN_LINKS_MAX; l++)
		if (p->loss_percent[l] > worst)
			worst = p->loss_percent[l];
	return worst;
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
	put_count(o, "links_gray", (uint64_t)__builtin_popcount(p->links_gray));
	put_count(o, "links_held", (uint64_t)__builtin_popcount(p->links_held));
	put_yes(o, "held", p->held);
	put_yes(o, "fencing", p->fencing);
	json_object_set_new(o, "link_loss_percent", link_loss(p));
	put_count(o, "loss_percent", loss_worst(p));
	if (p->key_id == REGISTRY_NO_KEY)
		put_null(o, "key");
	else
		put_count(o, "key", p->key_id);
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
