/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From what is known to the next view: fill the planner's input, decide whether it is this node's
 * turn to propose, run the proposal, adopt what is decided.
 *
 * Who proposes. Anybody may; to keep proposals from colliding, nodes rank themselves by how early
 * they know best (the one that gives a role up, then the one that will take it over, then by index)
 * and each waits its rank times a few beats.
 */
#include "brain_internal.h"

#include <string.h>

HAVEN_STATIC_ASSERT((int)PLAN_FORMATION == (int)REASON_FORMATION &&
			    (int)PLAN_SWITCHOVER == (int)REASON_SWITCHOVER &&
			    (int)PLAN_STATE_LOST == (int)REASON_STATE_LOST &&
			    (int)PLAN_LEAVING == (int)REASON_LEAVING,
		    "plan reasons and recorded reasons are one list");

void brain_agree_on_beat(struct brain *b, unsigned node, const struct frame_beat *beat)
{
	struct agree_facts f;

	brain_facts(b, &f);
	agree_on_vote(&b->agree, &b->agree_config, node, beat, b->now);
	if (beat->prepare && !b->left &&
	    agree_on_prepare(&b->agree, &b->agree_config, &f, beat->prepare))
		b->beat_now = true;
}

/* Somebody in hearing hears it. */
static bool brain_reached(const struct brain *b, unsigned node)
{
	if (node == b->config.self || b->peer[node].alive)
		return true;
	for (unsigned n = 0; n < b->config.n_nodes; n++)
		if (b->peer[n].alive && (b->peer[n].last.heard & node_bit(node)))
			return true;
	return false;
}

/* A restarted voter is admitted only after the silence that its forgotten promises demand. */
static bool brain_admissible(const struct brain *b, unsigned node)
{
	const struct peer *p = &b->peer[node];

	if (node == b->config.self)
		return brain_is_admitted(b) || !brain_is_voter(b) || brain_amnesic_ready(b);
	return agree_admitted(&b->agree, node, p->incarnation) ||
	       (p->alive &&
		(!(b->config.voters & node_bit(node)) || (p->last.flags & BEAT_AMNESIC)));
}

static bool brain_has_majority(const struct brain *b, uint32_t hears)
{
	return (unsigned)__builtin_popcount(hears & b->config.voters) >=
	       agree_majority(&b->agree_config);
}

static void brain_plan_node(const struct brain *b, unsigned n, struct plan_node *out)
{
	const struct peer *p = &b->peer[n];
	bool same_epoch = p->last.epoch == b->agree.view.epoch;

	memset(out, 0, sizeof(*out));
	if (n == b->config.self) {
		out->alive = brain_admissible(b, n);
		out->intact = brain_is_admitted(b);
		out->hears = brain_hears(b);
		out->majority = brain_has_majority(b, out->hears | brain_fenced(b));
		out->ready = brain_ready(b);
		out->leaving = b->leaving;
		out->released = b->released;
		out->yielded = b->yielded;
		out->lost = ~b->complete;
		return;
	}
	if (!p->incarnation)
		return;
	out->alive = brain_reached(b, n) && brain_admissible(b, n) && !peer_has_left(p);
	out->leaving = (p->last.flags & BEAT_LEAVING) != 0;
	out->held = peer_is_held(p);
	out->intact = agree_admitted(&b->agree, n, p->incarnation);
	out->hears = p->last.heard | node_bit(n);
	out->majority = p->alive && same_epoch && brain_has_majority(b, out->hears);
	out->ready = p->last.ready;
	if (same_epoch) {
		out->released = p->last.released;
		out->yielded = p->last.yielded;
		out->lost = p->last.lost;
	}
}

static void brain_plan(struct brain *b, bool formation, struct plan_output *plan)
{
	const struct view *v = &b->agree.view;
	struct plan_input in;

	in.self = b->config.self;
	in.n_nodes = b->config.n_nodes;
	in.n_instances = b->config.n_instances;
	in.formation = formation;
	in.members = v->members;
	for (unsigned n = 0; n < b->config.n_nodes; n++)
		brain_plan_node(b, n, &in.node[n]);
	for (unsigned i = 0; i < b->config.n_instances; i++)
		in.instance[i] = (struct plan_instance){
			.eligible = b->config.instance[i].eligible,
			.preferred = b->config.instance[i].preferred,
			.secondaries = b->config.instance[i].secondaries,
			.holder = v->instance[i].holder,
			.assigned = v->instance[i].assigned,
			.in_sync = v->instance[i].in_sync,
			.caught_up = b->caught_up[i],
			.stuck = b->stuck[i],
			.target = b->target[i],
		};
	plan_make(&in, plan);
}

static void brain_compose(const struct brain *b, const struct plan_output *plan, bool formation,
			  struct view *v)
{
	*v = b->agree.view;
	v->epoch = b->agree.view.epoch + 1;
	v->author = b->config.self;
	v->formation = formation;
	v->n_nodes = b->config.n_nodes;
	v->n_instances = b->config.n_instances;
	v->members = plan->members;
	if (formation) {
		uint64_t floor = brain_floor(b);

		/* Of every voter, also of one that has fallen silent since it promised. */
		for (unsigned n = 0; n < b->config.n_nodes; n++)
			if (b->peer[n].last.floor > floor)
				floor = b->peer[n].last.floor;
		if (v->epoch <= floor)
			v->epoch = floor + 1;
	}
	for (unsigned n = 0; n < b->config.n_nodes; n++)
		if (plan->members & node_bit(n))
			v->incarnation[n] =
				n == b->config.self ? b->incarnation : b->peer[n].incarnation;
	for (unsigned i = 0; i < b->config.n_instances; i++) {
		v->instance[i].holder = plan->instance[i].holder;
		v->instance[i].assigned = plan->instance[i].assigned;
		v->instance[i].in_sync = plan->instance[i].in_sync;
		if (plan->state_lost & instance_bit(i))
			v->instance[i].lineage++;
	}
}

/* Every configured voter is here, with the same view, and those without memory are ready. */
static bool brain_all_present(const struct brain *b)
{
	if (brain_config_disputed(b))
		return false;
	for (unsigned n = 0; n < b->config.n_nodes; n++) {
		const struct peer *p = &b->peer[n];

		if (!(b->config.voters & node_bit(n)))
			continue;
		if (!brain_admissible(b, n))
			return false;
		if (n != b->config.self && (!p->alive || p->last.epoch != b->agree.view.epoch))
			return false;
	}
	return true;
}

static bool brain_needs_formation(const struct brain *b)
{
	struct agree_facts f;
	uint32_t here = brain_hears(b);

	brain_facts(b, &f);
	return !brain_has_majority(
		b, (here & agree_admitted_voters(&b->agree, &b->agree_config, &f)) | f.fenced);
}

static unsigned brain_index_rank(const struct brain *b)
{
	unsigned rank = 0;

	for (unsigned n = 0; n < b->config.self; n++)
		if ((b->config.voters & node_bit(n)) && b->peer[n].alive &&
		    agree_admitted(&b->agree, n, b->peer[n].incarnation))
			rank++;
	return rank;
}

/* 0: propose at once; n: after n back-offs. */
static unsigned brain_rank(const struct brain *b, const struct plan_output *plan)
{
	unsigned self = b->config.self;
	unsigned i = plan->about_instance;
	uint8_t coordinator = agree_coordinator(&b->agree, &b->agree_config, NULL);

	if (i < b->config.n_instances && (plan->moved & instance_bit(i))) {
		uint8_t from = b->agree.view.instance[i].holder;
		uint8_t to = plan->instance[i].holder;
		bool told = from != HAVEN_NODE_NONE &&
			    (from == self || (b->peer[from].alive &&
					      (b->peer[from].last.yielded & instance_bit(i))));

		if (from == self && (b->yielded & instance_bit(i)))
			return 0;
		if (to == self)
			return told ? 1 : 0;
		return 2 + brain_index_rank(b);
	}
	if (i < b->config.n_instances && plan->instance[i].holder != HAVEN_NODE_NONE &&
	    b->peer[plan->instance[i].holder].alive)
		return 2 + brain_index_rank(b);
	if (i < b->config.n_instances && plan->instance[i].holder == self)
		return 0;
	if (coordinator == self)
		return 0;
	return brain_index_rank(b) + (coordinator < HAVEN_NODES_MAX && b->peer[coordinator].alive);
}

static uint64_t brain_backoff_ns(const struct brain *b)
{
	return 3 * b->config.interval_ns;
}

/* A value accepted somewhere and never decided keeps its acceptors from granting: finish the slot.
 */
static bool brain_slot_hangs(const struct brain *b)
{
	const struct agree *a = &b->agree;

	return a->accepted && b->now - a->accepted_since_ns > 2 * brain_backoff_ns(b);
}

static void brain_report_plan(struct brain *b, const struct plan_output *plan,
			      struct brain_outputs *out)
{
	uint64_t new = plan->no_successor & ~b->no_successor;

	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (new &instance_bit(i))
			brain_note(b, out, NOTE_NO_SUCCESSOR, (uint8_t)i, HAVEN_NODE_NONE, 0, 0);
	b->no_successor |= new;
}

static void brain_second_phase(struct brain *b, struct brain_outputs *out)
{
	struct agree_facts f;
	struct plan_output plan;
	struct view v;
	bool forced, formation;

	brain_facts(b, &f);
	if (!agree_promises(&b->agree, &b->agree_config, &f, &forced, &formation, &v))
		return;
	/* Whoever has fallen silent since it promised may have the only whole copy: ask again. */
	if (!forced && formation && !brain_all_present(b))
		return;
	if (!forced) {
		brain_plan(b, formation, &plan);
		if (formation && plan.reason == PLAN_NONE)
			plan.reason = PLAN_FORMATION;
		if (plan.reason == PLAN_NONE && !brain_slot_hangs(b)) {
			b->agree.phase = AGREE_IDLE;
			b->want_since_ns = 0;
			return;
		}
		brain_compose(b, &plan, formation, &v);
		b->proposal_reason = formation ? REASON_FORMATION : plan.reason;
		b->reason_instance = plan.about_instance;
	}
	agree_propose_value(&b->agree, &b->agree_config, &f, &v, forced, b->now);
	brain_note(b, out, NOTE_VIEW_PROPOSED, b->reason_instance, b->config.self,
		   b->proposal_reason, v.epoch);
	b->beat_now = true;
}

static void brain_first_phase(struct brain *b, struct brain_outputs *out)
{
	struct agree *a = &b->agree;
	struct plan_output plan;
	struct agree_facts f;
	bool formation = brain_needs_formation(b);
	unsigned rank;

	if (b->now < b->retry_ns)
		return;
	brain_facts(b, &f);
	if (formation) {
		if (!brain_all_present(b) ||
		    b->config.self != (uint8_t)__builtin_ctz(b->config.voters))
			return;
		rank = 0;
	} else {
		if (!brain_is_admitted(b))
			return;
		brain_plan(b, false, &plan);
		brain_report_plan(b, &plan, out);
		if (plan.reason == PLAN_NONE && !brain_slot_hangs(b)) {
			b->want_since_ns = 0;
			return;
		}
		rank = plan.reason == PLAN_NONE ? 1 + brain_index_rank(b) : brain_rank(b, &plan);
	}
	if (!b->want_since_ns)
		b->want_since_ns = b->now;
	if (b->now - b->want_since_ns < rank * brain_backoff_ns(b))
		return;
	agree_propose(a, &b->agree_config, &f,
		      !formation && a->round_seen == 0 &&
			      agree_coordinator(a, &b->agree_config, &f) == b->config.self,
		      b->now);
	b->beat_now = true;
	brain_second_phase(b, out);
}

static void brain_give_up_proposal(struct brain *b)
{
	b->agree.phase = AGREE_IDLE;
	b->want_since_ns = 0;
	/* Nodes that collided do not collide again: their pauses differ. */
	b->retry_ns = b->now + b->config.interval_ns * (1 + b->config.self % 8u);
	b->plan_due = true;
}

/* Votes have decided a view. Where those without memory had to join in, a value that was accepted
 * before they forgot is decided as it is, and may contradict what they had decided since: nobody
 * can know, so it is said. */
static void brain_note_forgotten(struct brain *b, const struct view *v, const struct agree_facts *f)
{
	uint32_t admitted = agree_admitted_voters(&b->agree, &b->agree_config, f) | f->fenced;

	if (v->formation ||
	    (unsigned)__builtin_popcount(admitted) >= agree_majority(&b->agree_config))
		return;
	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (b->agree.view.instance[i].in_sync)
			b->lost_untold |= instance_bit(i);
}

static void brain_adopt(struct brain *b, const struct view *v, uint64_t start_ns,
			struct brain_outputs *out)
{
	struct view was = b->agree.view;
	bool author = b->agree.phase == AGREE_ACCEPT;

	agree_commit(&b->agree, v, start_ns);
	b->released = b->yielded = 0;
	b->want_since_ns = 0;
	b->retry_ns = 0;
	b->no_successor = 0;
	b->plan_due = b->beat_now = true;
	brain_note(b, out, NOTE_VIEW, 0xff, v->author, v->members, start_ns);
	brain_role_on_commit(b, &was);
	brain_mirror_on_commit(b, &was, out);
	for (unsigned n = 0; author && n < b->config.n_nodes; n++)
		b->view_pushed_ns[n] = 0; /* the author tells at once, others when asked */
	if (!author)
		for (unsigned n = 0; n < b->config.n_nodes; n++)
			b->view_pushed_ns[n] = b->now;
}

void brain_agree_on_view(struct brain *b, const struct frame_view *v, struct brain_outputs *out)
{
	struct agree *a = &b->agree;
	struct agree_facts f;

	if (v->view.n_nodes != b->config.n_nodes || v->view.n_instances != b->config.n_instances)
		return;
	brain_facts(b, &f);
	switch ((enum frame_view_kind)v->kind) {
	case FRAME_VIEW_COMMITTED:
		if (v->view.epoch > a->view.epoch) {
			const struct lease_terms *t = &b->agree_config.terms;

			brain_adopt(b, &v->view,
				    b->now + lease_stretch(t, lease_stretch(t, v->wait_ns)), out);
		}
		break;
	case FRAME_VIEW_PROPOSED:
	case FRAME_VIEW_FORCED:
		if (v->base == a->view.epoch && !b->left &&
		    agree_on_proposal(a, &b->agree_config, &f, v->ballot, &v->view,
				      v->kind == FRAME_VIEW_FORCED, b->now))
			b->beat_now = true;
		break;
	case FRAME_VIEW_ACCEPTED:
		if (v->base == a->view.epoch)
			agree_on_accepted_value(a, v->ballot, &v->view);
		break;
	}
}

void brain_agree_progress(struct brain *b, struct brain_outputs *out)
{
	struct agree *a = &b->agree;
	struct agree_facts f;
	struct view v;
	uint64_t start_ns;

	if (a->accepted || a->heard_ballot) {
		brain_facts(b, &f);
		if (!b->left && agree_reconsider(a, &b->agree_config, &f, b->now))
			b->beat_now = true;
		if (agree_decided(a, &b->agree_config, &f, &v, &start_ns)) {
			brain_note_forgotten(b, &v, &f);
			brain_adopt(b, &v, start_ns, out);
			return;
		}
	}
	if (b->left)
		return;
	switch (a->phase) {
	case AGREE_IDLE:
		if (b->plan_due || b->want_since_ns) {
			b->plan_due = false;
			brain_first_phase(b, out);
		}
		break;
	case AGREE_PREPARE:
		brain_second_phase(b, out);
		break;
	case AGREE_ACCEPT:
		break;
	}
	if (a->phase == AGREE_ACCEPT && (a->accepted || a->heard_ballot)) {
		brain_facts(b, &f);
		if (agree_decided(a, &b->agree_config, &f, &v, &start_ns)) {
			brain_note_forgotten(b, &v, &f);
			brain_adopt(b, &v, start_ns, out);
			return;
		}
	}
	if (a->phase != AGREE_IDLE &&
	    (b->now - a->phase_since_ns > 2 * brain_backoff_ns(b) || a->promised > a->ballot))
		brain_give_up_proposal(b);
}

static void brain_push_view(struct brain *b, unsigned node, enum frame_view_kind kind,
			    ballot_t ballot, const struct view *v, uint64_t wait_ns,
			    struct brain_outputs *out)
{
	struct frame *f = brain_frame(b, out, FRAME_VIEW, node, 0);

	if (!f)
		return;
	f->u.view.kind = (uint8_t)kind;
	f->u.view.ballot = ballot;
	f->u.view.base = kind == FRAME_VIEW_COMMITTED ? 0 : b->agree.view.epoch;
	f->u.view.wait_ns = wait_ns;
	f->u.view.view = *v;
}

static uint64_t brain_start_wait_ns(const struct brain *b)
{
	uint64_t until = 0;

	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (b->agree.act_from_ns[i] > until)
			until = b->agree.act_from_ns[i];
	return until > b->now ? until - b->now : 0;
}

void brain_agree_repeat(struct brain *b, unsigned node, struct brain_outputs *out)
{
	const struct agree *a = &b->agree;
	const struct peer *p = &b->peer[node];

	if (!p->incarnation)
		return;
	if (a->view.epoch && p->last.epoch < a->view.epoch &&
	    b->now - b->view_pushed_ns[node] >= b->config.interval_ns) {
		b->view_pushed_ns[node] = b->now;
		brain_push_view(b, node, FRAME_VIEW_COMMITTED, 0, &a->view, brain_start_wait_ns(b),
				out);
	}
	if (p->last.epoch != a->view.epoch)
		return;
	if (a->phase == AGREE_ACCEPT)
		brain_push_view(b, node, a->value_forced ? FRAME_VIEW_FORCED : FRAME_VIEW_PROPOSED,
				a->ballot, &a->value, 0, out);
	else if (a->accepted && p->last.prepare > a->accepted)
		brain_push_view(b, node, FRAME_VIEW_ACCEPTED, a->accepted, &a->accepted_view, 0,
				out);
}
