/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The step: advance the clocks, take the event, let everything follow from it, send what is due.
 *
 * Order inside a step matters in three places. The own lease is looked at (brain_role_refresh)
 * before any consequence of the event is told to others, so that a node that slept acts on nothing
 * with an expired lease. A component's end counts before that look: none is made primary when it is
 * dead. And a stall is accounted for before silence is judged.
 */
#include "brain_internal.h"

#include <string.h>

HAVEN_STATIC_ASSERT(4 * HAVEN_NODES_MAX + BRAIN_MIRROR_BUDGET < BRAIN_OUTPUTS_MAX,
		    "a full round of beats and views leaves room for the rest");

static uint32_t brain_window(uint32_t mirror_window)
{
	return mirror_window ? mirror_window : BRAIN_WINDOW;
}

size_t brain_bytes(uint32_t mirror_window)
{
	return sizeof(struct brain) + (size_t)BRAIN_SLOTS_MAX * BRAIN_SESSIONS *
					      brain_window(mirror_window) *
					      sizeof(struct mirror_tx_frame);
}

void brain_init(struct brain *b, const struct brain_config *config, uint64_t incarnation,
		uint64_t floor, uint64_t now)
{
	HAVEN_ASSERT(incarnation != 0 && config->self < config->n_nodes);
	HAVEN_ASSERT(config->n_nodes <= HAVEN_NODES_MAX &&
		     config->n_instances <= HAVEN_INSTANCES_MAX);
	memset(b, 0, sizeof(*b));
	b->config = *config;
	b->config.mirror_window = brain_window(config->mirror_window);
	b->agree_config = (struct agree_config){
		.self = config->self,
		.n_nodes = config->n_nodes,
		.n_instances = config->n_instances,
		.voters = config->voters,
		.terms = {.lease_ns = config->lease_ns,
			  .guard_ns = config->guard_ns,
			  .rate_ppm = config->rate_ppm},
	};
	b->peer_terms = (struct peer_terms){
		.suspect_ns = config->suspect_ns,
		.flap = {.first_ns = config->hold_ns, .limit_ns = config->hold_max_ns},
		.gray_percent = config->gray_percent,
	};
	b->incarnation = incarnation;
	b->config_digest = brain_config_digest(config);
	b->floor = floor;
	b->start_ns = b->now = b->last_tick_ns = b->next_beat_ns = now;
	b->run = 1;
	b->session_next = incarnation;
	agree_init(&b->agree);
	b->agree.view.n_nodes = config->n_nodes;
	b->agree.view.n_instances = config->n_instances;
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		b->target[i] = HAVEN_NODE_NONE;
	for (unsigned s = 0; s < BRAIN_SLOTS_MAX; s++)
		brain_slot_clear(b, s);
	brain_flight_init(b);
}

bool brain_room(struct brain_outputs *out, unsigned n)
{
	if (out->n + n <= BRAIN_OUTPUTS_MAX)
		return true;
	out->more = true;
	return false;
}

struct brain_output *brain_out(struct brain_outputs *out, enum brain_output_kind kind)
{
	struct brain_output *o;

	if (!brain_room(out, 1))
		return NULL;
	o = &out->out[out->n++];
	memset(o, 0, offsetof(struct brain_output, frame));
	o->kind = kind;
	o->node = HAVEN_NODE_NONE;
	o->instance = 0xff;
	return o;
}

void brain_note(struct brain *b, struct brain_outputs *out, enum brain_note note, uint8_t instance,
		uint8_t node, uint64_t x, uint64_t y)
{
	struct brain_output *o = brain_out(out, OUT_EVENT);

	if (!o)
		return;
	o->note = (uint8_t)note;
	o->instance = instance;
	o->node = node;
	o->epoch = b->agree.view.epoch;
	o->a = x;
	o->b = y;
}

struct frame *brain_frame(struct brain *b, struct brain_outputs *out, enum frame_type type,
			  unsigned node, uint16_t slot)
{
	struct brain_output *o;

	if (!b->peer[node].incarnation)
		return NULL;
	o = brain_out(out, OUT_FRAME);
	if (!o)
		return NULL;
	o->slot = slot;
	o->node = (uint8_t)node;
	o->links = type == FRAME_BEAT || type == FRAME_VIEW
			   ? UINT8_MAX
			   : brain_flight_links(b, node, slot, type != FRAME_MIRROR_ACK);
	o->frame.type = (uint8_t)type;
	o->frame.src = b->config.self;
	o->frame.dst = (uint8_t)node;
	o->frame.src_incarnation = b->incarnation;
	if (type != FRAME_BEAT)
		peer_address(&b->peer[node], &o->frame, false, b->now);
	return &o->frame;
}

uint32_t brain_hears(const struct brain *b)
{
	uint32_t mask = node_bit(b->config.self);

	for (unsigned n = 0; n < b->config.n_nodes; n++)
		if (b->peer[n].alive)
			mask |= node_bit(n);
	return mask;
}

bool brain_amnesic_ready(const struct brain *b)
{
	return brain_is_voter(b) && !brain_is_admitted(b) && !b->left &&
	       b->now - b->start_ns >= lease_promise_ns(&b->agree_config.terms);
}

void brain_facts(const struct brain *b, struct agree_facts *f)
{
	f->peers = b->peer;
	f->lease = &b->lease;
	f->own_incarnation = b->incarnation;
	f->own_released = b->released;
	f->own_lost = ~b->complete;
	f->amnesic_ready = brain_amnesic_ready(b);
	f->fenced = brain_fenced(b);
}

/* May this voter's echo be a promise to the node? Not once it has voted to displace it. */
static bool brain_grants(const struct brain *b, unsigned node)
{
	const struct agree *a = &b->agree;

	return brain_is_voter(b) && brain_is_admitted(b) && !b->left && !b->clock_bad &&
	       b->peer[node].seq_in && agree_admitted(a, node, b->peer[node].incarnation) &&
	       !(a->accepted && agree_displaces(a, &a->accepted_view, node));
}

static void brain_fill_beat(struct brain *b, unsigned node, struct frame_beat *beat)
{
	const struct agree *a = &b->agree;
	struct agree_facts facts;

	brain_facts(b, &facts);
	memset(beat, 0, sizeof(*beat));
	beat->epoch = a->view.epoch;
	beat->floor = brain_floor(b);
	beat->config = b->config_digest;
	beat->prepare = a->phase == AGREE_PREPARE ? a->ballot : 0;
	beat->promised = a->promised;
	beat->accepted = a->accepted;
	beat->accepted_digest = a->accepted_digest;
	beat->wait_ns = agree_wait_ns(a, &b->agree_config, &facts, b->now);
	beat->released = b->released;
	beat->yielded = b->yielded;
	beat->lost = ~b->complete;
	beat->ready = brain_ready(b);
	beat->heard = brain_hears(b);
	if (brain_grants(b, node))
		beat->flags |= BEAT_GRANT;
	if (facts.amnesic_ready)
		beat->flags |= BEAT_AMNESIC;
	if (b->config.witnesses & node_bit(b->config.self))
		beat->flags |= BEAT_WITNESS;
	if (b->leaving)
		beat->flags |= BEAT_LEAVING;
	if (b->left)
		beat->flags |= BEAT_LEFT;
}

static void brain_send_hello(struct brain *b, unsigned node, bool to_candidate,
			     struct brain_outputs *out)
{
	struct brain_output *o = brain_out(out, OUT_FRAME);

	if (!o)
		return;
	o->node = (uint8_t)node;
	o->links = UINT8_MAX;
	o->frame.type = FRAME_BEAT;
	o->frame.src = b->config.self;
	o->frame.dst = (uint8_t)node;
	o->frame.src_incarnation = b->incarnation;
	brain_fill_beat(b, node, &o->frame.u.beat);
	o->frame.u.beat.flags &= (uint8_t)~BEAT_GRANT;
	peer_address(&b->peer[node], &o->frame, to_candidate, b->now);
}

static void brain_send_beat(struct brain *b, unsigned node, struct brain_outputs *out)
{
	struct peer *p = &b->peer[node];
	struct frame *f;

	if (p->candidate)
		brain_send_hello(b, node, true, out);
	/* Also when there is a candidate: it may be a recording, and the living one must hear. */
	if (!p->incarnation)
		brain_send_hello(b, node, false, out);
	f = brain_frame(b, out, FRAME_BEAT, node, 0);
	if (!f)
		return;
	brain_fill_beat(b, node, &f->u.beat);
	peer_address(p, f, false, b->now);
	if (f->u.beat.flags & BEAT_GRANT)
		lease_promise(&b->lease, &b->agree_config.terms, node, p->seq_in_ns);
}

static void brain_send_beats(struct brain *b, struct brain_outputs *out)
{
	uint32_t to = b->beat_now || b->now >= b->next_beat_ns ? UINT32_MAX : b->beat_to;

	if (!to)
		return;
	if (!brain_room(out, 3u * b->config.n_nodes))
		return;
	if (b->now >= b->next_beat_ns) {
		b->next_beat_ns += b->config.interval_ns;
		if (b->next_beat_ns <= b->now)
			b->next_beat_ns = b->now + b->config.interval_ns;
	}
	if (b->left && to == UINT32_MAX)
		b->left_rounds++;
	b->beat_now = false;
	b->beat_to = 0;
	for (unsigned n = 0; n < b->config.n_nodes; n++) {
		if (n == b->config.self || !(to & node_bit(n)))
			continue;
		/* The beat first: it may carry the release that makes the proposal acceptable. */
		brain_send_beat(b, n, out);
		brain_agree_repeat(b, n, out);
	}
}

static void brain_on_beat(struct brain *b, unsigned node)
{
	const struct peer *p = &b->peer[node];
	const struct agree *a = &b->agree;

	/* A grant given in a later view is not for a role held in this one. */
	if ((b->config.voters & node_bit(node)) && p->last.epoch <= a->view.epoch &&
	    agree_admitted(a, node, p->incarnation))
		lease_grant_heard(&b->lease, node, p, b->now);
	if (p->last.epoch == a->view.epoch)
		brain_agree_on_beat(b, node, &p->last);
	brain_leave_on_beat(b, node);
}

/* Does the newest beat say anything that the planner has not been told by the one before it? What
 * changes with time alone is looked at once per interval. */
static bool brain_is_news(const struct frame_beat *was, const struct frame_beat *now)
{
	return was->epoch != now->epoch || was->released != now->released ||
	       was->yielded != now->yielded || was->lost != now->lost || was->ready != now->ready ||
	       was->heard != now->heard || was->flags != now->flags;
}

static void brain_on_frame(struct brain *b, const struct brain_event *e, struct brain_outputs *out)
{
	const struct frame *f = e->frame;
	struct peer *p = &b->peer[f->src];
	struct frame_beat was;
	enum peer_verdict verdict;
	uint64_t silence;

	if (f->src >= b->config.n_nodes || f->src == b->config.self || f->dst != b->config.self)
		return;
	if (brain_config_differs(b, f, out))
		return;
	was = p->last;
	silence = p->seq_in ? peer_silence(p, b->run) : 0;
	verdict = peer_receive(p, f, e->link, b->incarnation, b->now, b->run);
	if (verdict == PEER_TAKE && f->type == FRAME_BEAT) {
		out->silence_ns = silence;
		if (brain_is_news(&was, &p->last))
			b->plan_due = true;
	}
	if (verdict == PEER_PROVEN) {
		b->plan_due = true;
		agree_forget(&b->agree, f->src);
		b->lease.granted_ns[f->src] = 0;
		b->beat_to |= node_bit(f->src); /* it wants its own proof, nobody else does */
	}
	if (verdict != PEER_TAKE && verdict != PEER_PROVEN)
		return;
	brain_fence_on_heard(b, f->src, out);
	switch ((enum frame_type)f->type) {
	case FRAME_BEAT:
		brain_on_beat(b, f->src);
		break;
	case FRAME_VIEW:
		brain_agree_on_view(b, &f->u.view, out);
		break;
	case FRAME_MIRROR:
		brain_mirror_on_frame(b, f, out);
		break;
	case FRAME_MIRROR_ACK:
		brain_mirror_on_ack(b, f);
		break;
	case FRAME_DIGEST:
		brain_digest_on_frame(b, f, out);
		break;
	case FRAME_TYPE_END:
		break;
	}
}

static void brain_note_links(struct brain *b, unsigned n, uint8_t links, enum brain_note note,
			     struct brain_outputs *out)
{
	for (; links; links &= (uint8_t)(links - 1)) {
		unsigned l = (unsigned)__builtin_ctz(links);
		const struct link *link = &b->peer[n].link[l];
		uint64_t evidence = 0;

		if (note == NOTE_LINK_GRAY || note == NOTE_LINK_CLEAR)
			evidence = link_loss(link);
		else if (note == NOTE_LINK_HELD)
			evidence = flap_delay_ns(&link->flap, &b->peer_terms.flap);
		brain_note(b, out, note, 0xff, (uint8_t)n, l, evidence);
	}
}

static void brain_judge_peer(struct brain *b, unsigned n, struct brain_outputs *out)
{
	struct peer *p = &b->peer[n];
	struct peer_changes changes = peer_judge(p, &b->peer_terms, b->run);

	if (changes.alive && peer_has_left(p)) {
		brain_note(b, out, NOTE_LEFT, 0xff, (uint8_t)n, p->incarnation, 0);
		b->plan_due = b->beat_now = true;
	} else if (changes.alive) {
		brain_note(b, out, p->alive ? NOTE_PEER_UP : NOTE_PEER_SUSPECT, 0xff, (uint8_t)n,
			   p->alive ? 0 : peer_silence(p, b->run), b->config.suspect_ns);
		b->plan_due = b->beat_now = true;
	}
	if (changes.held)
		brain_note(b, out, NOTE_PEER_HELD, 0xff, (uint8_t)n,
			   flap_delay_ns(&p->flap, &b->peer_terms.flap), p->flap.level);
	brain_note_links(b, n, changes.down, NOTE_LINK_DOWN, out);
	brain_note_links(b, n, changes.up, NOTE_LINK_UP, out);
	brain_note_links(b, n, changes.links_held, NOTE_LINK_HELD, out);
	brain_note_links(b, n, changes.gray, NOTE_LINK_GRAY, out);
	brain_note_links(b, n, changes.clear, NOTE_LINK_CLEAR, out);
}

static void brain_judge_peers(struct brain *b, struct brain_outputs *out)
{
	for (unsigned n = 0; n < b->config.n_nodes; n++)
		if (n != b->config.self)
			brain_judge_peer(b, n, out);
}

static void brain_on_tick(struct brain *b, struct brain_outputs *out)
{
	uint64_t gap = b->now - b->last_tick_ns;

	if (gap == 0 && b->turn)
		return; /* the same turn continues */
	b->turn++;
	for (uint64_t left = b->watched; left;)
		b->looked[brain_take_slot(&left)]++;
	b->last_tick_ns = b->now;
	if (gap > b->config.stall_ns) {
		/* What came meanwhile has been drained by the caller; what is missing may yet come.
		 */
		brain_note(b, out, NOTE_STALL, 0xff, b->config.self, gap, 0);
		gap = b->config.stall_ns;
	}
	b->run += gap;
	brain_judge_peers(b, out);
	if (b->now >= b->next_plan_ns) {
		b->plan_due = true;
		b->next_plan_ns = b->now + b->config.interval_ns;
	}
}

static void brain_on_event(struct brain *b, const struct brain_event *e, struct brain_outputs *out)
{
	switch (e->kind) {
	case BRAIN_TICK:
		brain_on_tick(b, out);
		break;
	case BRAIN_FRAME:
		brain_on_frame(b, e, out);
		break;
	case BRAIN_COMPONENT:
		brain_role_on_component(b, e->instance, e->up);
		break;
	case BRAIN_COPY_LOST:
		brain_mirror_on_copy_lost(b, e->instance);
		break;
	case BRAIN_GATE_CLOSED:
		brain_role_on_gate_closed(b, e->instance, e->seq, out);
		break;
	case BRAIN_SLOT_OPEN:
	case BRAIN_SLOT_CLOSE:
		brain_mirror_on_slot(b, e);
		break;
	case BRAIN_COMMITTED:
		brain_mirror_on_committed(b, e);
		break;
	case BRAIN_APPLIED:
		brain_mirror_on_applied(b, e);
		break;
	case BRAIN_COMPARED:
		brain_digest_on_compared(b, e, out);
		break;
	case BRAIN_FENCED:
		brain_fence_on_proof(b, e, out);
		break;
	case BRAIN_SWITCHOVER:
		brain_role_on_switchover(b, e->instance, e->node, out);
		break;
	case BRAIN_CLOCK:
		brain_clock_on_finding(b, e, out);
		break;
	case BRAIN_LEAVE:
		brain_leave_on_ask(b);
		break;
	}
}

void brain_step(struct brain *b, uint64_t now, const struct brain_event *event,
		struct brain_outputs *out)
{
	HAVEN_ASSERT(now >= b->now);
	HAVEN_ASSERT(event->slot < BRAIN_SLOTS_MAX);
	out->n = 0;
	out->more = false;
	out->silence_ns = 0;
	/* What has died gets no role that the time passed since the last step would bring. */
	if (event->kind == BRAIN_COMPONENT && !event->up)
		brain_role_on_component(b, event->instance, false);
	/* A step at the same instant as the last one would find nothing new. */
	if (b->now != now || b->refresh_cut) {
		b->now = now;
		brain_role_refresh(b, out);
	}
	brain_on_event(b, event, out);
	brain_agree_progress(b, out);
	brain_role_refresh(b, out);
	brain_leave_progress(b, out);
	b->refresh_cut = out->more;
	if (event->kind == BRAIN_TICK)
		brain_mirror_tick(b, out);
	brain_send_beats(b, out);
}

const struct view *brain_view(const struct brain *b)
{
	return &b->agree.view;
}

uint64_t brain_lease_until(const struct brain *b)
{
	return b->lease.until_ns;
}

bool brain_admitted(const struct brain *b)
{
	return brain_is_admitted(b);
}

enum haven_role brain_role(const struct brain *b, unsigned instance)
{
	return (enum haven_role)b->role[instance];
}

bool brain_may_act(const struct brain *b, unsigned instance, uint64_t now)
{
	return b->role[instance] == HAVEN_PRIMARY && brain_holds(b, instance) &&
	       now >= b->agree.act_from_ns[instance] && now < b->lease.until_ns;
}

void brain_peer(const struct brain *b, unsigned node, uint64_t now, struct brain_peer_status *out)
{
	const struct peer *p = &b->peer[node];

	(void)now;
	memset(out, 0, sizeof(*out));
	out->alive = node == b->config.self || p->alive;
	out->member = (b->agree.view.members & node_bit(node)) != 0;
	out->held = peer_is_held(p);
	out->links_up = p->links_up;
	for (unsigned l = 0; l < HAVEN_LINKS_MAX; l++) {
		if (p->link[l].gray)
			out->links_gray |= (uint8_t)(1u << l);
		if (flap_held(&p->link[l].flap))
			out->links_held |= (uint8_t)(1u << l);
		out->loss_percent[l] = (uint8_t)link_loss(&p->link[l]);
	}
	out->incarnation = node == b->config.self ? b->incarnation : p->incarnation;
	out->last_heard_ns = p->seq_in_ns;
	out->beats_received = p->beats_received;
	out->beats_lost = p->beats_lost;
	out->rtt_ns = p->rtt_ns;
	out->epoch = node == b->config.self ? b->agree.view.epoch : p->last.epoch;
}

uint64_t brain_ready_of(const struct brain *b, unsigned node)
{
	return node == b->config.self ? b->up : b->peer[node].alive ? b->peer[node].last.ready : 0;
}

uint64_t brain_replays(const struct brain *b)
{
	uint64_t sum = 0;

	for (unsigned n = 0; n < b->config.n_nodes; n++)
		sum += b->peer[n].replays;
	return sum;
}

const char *brain_reason_name(unsigned reason)
{
	static const char *const names[] = {
		[REASON_NONE] = "none",
		[REASON_FORMATION] = "formation",
		[REASON_ADMIT] = "node-came",
		[REASON_NODE_DEAD] = "node-dead",
		[REASON_COMPONENT_DEAD] = "component-dead",
		[REASON_LEASE_LOST] = "lease-lost",
		[REASON_SWITCHOVER] = "switchover",
		[REASON_ASSIGN] = "assign",
		[REASON_IN_SYNC] = "in-sync",
		[REASON_OUT_OF_SYNC] = "out-of-sync",
		[REASON_STATE_LOST] = "state-lost",
		[REASON_LEAVING] = "node-leaves",
		[REASON_CLOCK] = "clock",
	};
	HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(names) == REASON_COUNT, "a name for every reason");

	return reason < REASON_COUNT ? names[reason] : "unknown";
}
