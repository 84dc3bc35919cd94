/* SPDX-License-Identifier: BSD-3-Clause */
#include "publish.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "node.h"

struct event publish_event_init(enum event_kind kind, enum event_severity severity)
{
	return (struct event){.kind = (uint16_t)kind,
			      .severity = (uint8_t)severity,
			      .node = HAVEN_NODE_NONE,
			      .instance = 0xff};
}

void publish_event(struct haven_node *n, struct event *e, uint64_t now)
{
	e->at_ns = now;
	e->wall_ns = clock_wall_ns();
	if (!e->epoch)
		e->epoch = brain_view(n->brain)->epoch;
	event_ring_publish(n->registry.events, n->registry.shape.events, e);
	n->publish.events[e->severity]++;
}

/* ---- status --------------------------------------------------------------------------------- */

static void fill_loop(struct haven_node *n, struct registry_status *s)
{
	const struct loop *l = &n->loop;

	s->poll_gap_max_ns = l->gap_max_ns;
	s->poll_gap_recent_max_ns =
		l->gap_second_ns > l->gap_recent_ns ? l->gap_second_ns : l->gap_recent_ns;
	s->stalls = l->stalls;
	s->polls = l->polls;
	s->frames_in = l->frames_in;
	s->frames_out = l->frames_out;
	s->bad_length = l->fault[FRAME_BAD_LENGTH];
	s->bad_version = l->fault[FRAME_BAD_VERSION];
	s->bad_type = l->fault[FRAME_BAD_TYPE];
	s->bad_peer = l->fault[FRAME_BAD_PEER];
	s->bad_tag = l->fault[FRAME_BAD_TAG] + l->fault[FRAME_BAD_KEY];
	s->bad_replay = l->fault[FRAME_BAD_REPLAY] + brain_replays(n->brain);
	s->bad_body = l->fault[FRAME_BAD_BODY];
	s->gate_overruns = n->local.gate_overruns;
}

static void fill_peer(struct haven_node *n, unsigned i, struct registry_peer *p, uint64_t now)
{
	struct brain_peer_status b;

	brain_peer(n->brain, i, now, &b);
	p->incarnation = b.incarnation;
	p->last_heard_ns = i == n->self ? now : b.last_heard_ns;
	p->beats_received = b.beats_received;
	p->beats_lost = b.beats_lost;
	p->rtt_ns = b.rtt_ns;
	p->epoch = b.epoch;
	p->frames_bad = n->loop.peer_faults[i];
	p->alive = b.alive;
	p->member = b.member;
	p->links_up = b.links_up;
	p->links_gray = b.links_gray;
	p->links_held = b.links_held;
	p->held = b.held;
	p->fencing = (n->local.fencing & node_bit(i)) != 0;
	memcpy(p->loss_percent, b.loss_percent, sizeof(p->loss_percent));
	p->key_id = i == n->self ? auth_key_id(n->auth) : auth_peer_key_id(n->auth, i);
}

static void fill_instance(struct haven_node *n, unsigned i, struct registry_instance *r,
			  const struct view *v)
{
	const struct view_instance *in = &v->instance[i];

	r->holder = v->epoch ? in->holder : HAVEN_NODE_NONE;
	r->role = (uint8_t)brain_role(n->brain, i);
	r->assigned = in->assigned;
	r->in_sync = in->in_sync;
	r->ready = 0;
	for (unsigned k = 0; k < n->config->n_nodes; k++) {
		if (brain_ready_of(n->brain, k) & ((uint64_t)1 << i))
			r->ready |= node_bit(k);
	}
	brain_mirror_status(n->brain, i, &r->sync_percent, &r->lag_records);
	r->since_ns = n->publish.instance[i].since_ns;
	r->since_wall_ns = n->publish.instance[i].since_wall_ns;
	r->since_epoch = n->publish.instance[i].since_epoch;
}

/* Gates name the holder, so that an application can say where the work is. */
static void fill_gates(struct haven_node *n, const struct view *v)
{
	for (unsigned k = 0; k < n->local.n_components; k++) {
		const struct local_component *c = n->local.component[k];

		for (unsigned i = 0; i < c->object.hot.instances; i++)
			store_relaxed(
				&n->registry.gates[c->object.hot.gate_first + i].assigned_node,
				(uint16_t)v->instance[c->object.hot.instance_first + i].holder);
	}
}

static void note_view(struct haven_node *n, const struct view *v, uint64_t now)
{
	struct publish *p = &n->publish;
	uint64_t wall = clock_wall_ns();

	p->epoch = v->epoch;
	p->since_ns = now;
	p->since_wall_ns = wall;
	for (unsigned i = 0; i < n->config->n_instances; i++) {
		if (p->instance[i].since_epoch && p->instance[i].holder == v->instance[i].holder)
			continue;
		p->instance[i].holder = v->instance[i].holder;
		p->instance[i].since_ns = now;
		p->instance[i].since_wall_ns = wall;
		p->instance[i].since_epoch = v->epoch;
	}
}

static void fill_status(struct haven_node *n, uint64_t now)
{
	struct registry_status *s = &n->publish.status;
	const struct view *v = brain_view(n->brain);
	uint64_t lease = brain_lease_until(n->brain);

	s->updated_ns = now;
	s->epoch = v->epoch;
	s->has_view = v->epoch != 0;
	s->lease_until_ns = lease;
	s->has_lease = lease > now;
	s->admitted = brain_admitted(n->brain);
	s->view_since_ns = n->publish.since_ns;
	s->view_since_wall_ns = n->publish.since_wall_ns;
	s->members = v->members;
	fill_loop(n, s);
	for (unsigned i = 0; i < n->config->n_nodes; i++)
		fill_peer(n, i, &s->peer[i], now);
	for (unsigned i = 0; i < n->config->n_instances; i++)
		fill_instance(n, i, &s->instance[i], v);
	registry_status_publish(&n->registry, s);
	fill_gates(n, v);
	meters_publish(n, now);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void look_at_ports(struct haven_node *n, uint64_t now)
{
	for (unsigned i = 0; i < n->n_ports; i++) {
		uint32_t bit = 1u << i;
		bool up = port_link_up(&n->port[i]);
		struct event e;

		if (up == ((n->publish.ports_up & bit) != 0))
			continue;
		n->publish.ports_up ^= bit;
		e = publish_event_init(up ? EVENT_PORT_UP : EVENT_PORT_DOWN,
				       up ? EVENT_INFO : EVENT_WARNING);
		e.node = n->self;
		e.a = i;
		snprintf(e.detail, sizeof(e.detail), "%s", n->port[i].name);
		publish_event(n, &e, now);
	}
}

/* ---- snapshot for the own control thread ------------------------------------------------------
 */

static void snapshot_reusable(struct rcu_head *head)
{
	struct publish_snapshot *s = caa_container_of(head, struct publish_snapshot, rcu);

	store_release(&s->busy, 0);
}

/* Replaces the snapshot when the view has changed. Without a free place the next turn tries again:
 * the loop neither waits nor allocates. */
static void snapshot_refresh(struct haven_node *n, const struct view *v)
{
	struct publish *p = &n->publish;
	struct publish_snapshot *old = p->snapshot, *s = NULL;

	if (old && old->epoch == v->epoch)
		return;
	for (unsigned i = 0; i < PUBLISH_SNAPSHOTS && !s; i++) {
		if (!load_acquire(&p->pool[i].busy))
			s = &p->pool[i];
	}
	if (!s)
		return;
	s->busy = 1;
	s->epoch = v->epoch;
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		s->holder[i] = i < n->config->n_instances && v->epoch ? v->instance[i].holder
								      : HAVEN_NODE_NONE;
	rcu_assign_pointer(p->snapshot, s);
	if (old)
		call_rcu(&old->rcu, snapshot_reusable);
}

/* ---- entry points ------------------------------------------------------------------------------
 */

static void publish_names(struct haven_node *n)
{
	struct registry_status *s = &n->publish.status;
	const struct config *c = n->config;

	s->self = n->self;
	s->n_nodes = (uint8_t)c->n_nodes;
	s->n_instances = (uint8_t)c->n_instances;
	for (unsigned i = 0; i < c->n_nodes; i++) {
		struct registry_peer *p = &s->peer[i];

		memcpy(p->name, c->node[i].name, sizeof(p->name));
		memcpy(p->release, c->node[i].release, sizeof(p->release));
		p->configured = 1;
		p->voter = config_is_voter(&c->node[i]);
		p->witness = c->node[i].witness;
		p->self = i == n->self;
		s->n_voters = (uint8_t)(s->n_voters + p->voter);
	}
	for (unsigned i = 0; i < c->n_instances; i++) {
		struct registry_instance *r = &s->instance[i];

		memcpy(r->name, c->instance[i], sizeof(r->name));
		memcpy(r->group, c->group[c->instance_group[i]].name, sizeof(r->group));
		r->holder = HAVEN_NODE_NONE;
		r->wanted_secondaries = n->brain_config.instance[i].secondaries;
	}
}

void publish_init(struct haven_node *n, uint64_t now)
{
	struct event e = publish_event_init(EVENT_NODE_START, EVENT_NOTICE);

	publish_names(n);
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		n->publish.instance[i].holder = HAVEN_NODE_NONE;
	e.node = n->self;
	e.a = n->incarnation;
	snprintf(e.detail, sizeof(e.detail), "release %s, CPU %d, %s", n->me->release, n->cpu,
		 settings_now(n)->busy ? "busy" : "polite");
	publish_event(n, &e, now);
	fill_status(n, now);
	snapshot_refresh(n, brain_view(n->brain));
}

void publish_status(struct haven_node *n, uint64_t now)
{
	struct publish *p = &n->publish;
	const struct view *v = brain_view(n->brain);

	if (!p->dirty && now < p->next_ns)
		return;
	if (p->epoch != v->epoch)
		note_view(n, v, now);
	p->dirty = false;
	p->next_ns = now + PUBLISH_STATUS_NS;
	fill_status(n, now);
	look_at_ports(n, now);
	snapshot_refresh(n, v);
}

void publish_stop(struct haven_node *n, uint64_t now)
{
	struct event e = publish_event_init(EVENT_NODE_STOP, EVENT_NOTICE);

	e.node = n->self;
	publish_event(n, &e, now);
	fill_status(n, now);
}
