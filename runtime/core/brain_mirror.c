/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mirroring. On the holder: sessions to the assigned secondaries, acknowledgements, the in-sync
 * set. On a secondary: sessions from the holder, and whether the own copy is whole.
 *
 * What may be acknowledged. A record is acknowledged when every node that could be promoted without
 * further decision has it. Those are the in-sync set of the committed view, of any view this node
 * has accepted or proposed and that may become committed without its knowing, and the nodes that
 * are joining: a node is asked for its acknowledgements first, and proposed for the in-sync set
 * only when it has everything that was acknowledged before. The acknowledged sequence never goes
 * back.
 */
#include "brain_internal.h"

#include <string.h>

#define BRAIN_RTO_MIN_NS 200000ull

void brain_slot_clear(struct brain *b, unsigned n)
{
	uint32_t frames = b->config.mirror_window;
	struct mirror_tx_frame *window = &b->window[(size_t)n * BRAIN_SESSIONS * frames];
	struct brain_slot *s = &b->slot[n];

	memset(s, 0, sizeof(*s));
	mirror_rx_init(&s->rx);
	for (unsigned k = 0; k < BRAIN_SESSIONS; k++)
		mirror_tx_init(&s->tx[k], &window[k * frames], frames);
}

void brain_mirror_on_slot(struct brain *b, const struct brain_event *e)
{
	struct brain_slot *s = &b->slot[e->slot];

	if (s->open)
		b->slots[s->stream.instance] &= ~slot_bit(e->slot);
	b->open_slots &= ~slot_bit(e->slot);
	brain_slot_clear(b, e->slot);
	if (e->kind == BRAIN_SLOT_CLOSE)
		return;
	HAVEN_ASSERT(e->stream.instance < HAVEN_INSTANCES_MAX);
	b->open_slots |= slot_bit(e->slot);
	b->slots[e->stream.instance] |= slot_bit(e->slot);
	HAVEN_ASSERT(e->record_bytes > 0 && e->record_bytes <= FRAME_MIRROR_PAYLOAD_MAX);
	s->open = true;
	s->stream = e->stream;
	s->shape = e->shape;
	s->per_frame = FRAME_MIRROR_PAYLOAD_MAX / e->record_bytes;
	s->digests = brain_digest_block(e->digest_bytes);
	s->lane_records = e->lane_records;
	s->scan_end = 1;
}

void brain_mirror_on_committed(struct brain *b, const struct brain_event *e)
{
	struct brain_slot *s = &b->slot[e->slot];

	/* Of a copy that is not whole nothing counts: its content belongs to another state. */
	if (!s->open || e->seq < s->committed || !(b->complete & instance_bit(s->stream.instance)))
		return;
	s->committed = e->seq;
	s->scan_end = e->count;
	s->reported = true;
}

struct brain_slot *brain_slot_of(struct brain *b, const struct mirror_stream *stream)
{
	for (uint64_t left = b->slots[stream->instance]; left;) {
		struct brain_slot *s = &b->slot[brain_take_slot(&left)];

		if (memcmp(&s->stream, stream, sizeof(*stream)) == 0)
			return s;
	}
	return NULL;
}

/* ---- secondary ------------------------------------------------------------------------------- */

static bool brain_takes_from(const struct brain *b, const struct frame *f)
{
	const struct frame_mirror *m = &f->u.mirror;
	const struct view_instance *in = &b->agree.view.instance[m->stream.instance];
	const struct agree *a = &b->agree;

	if (m->stream.instance >= b->config.n_instances || !brain_is_admitted(b) ||
	    in->holder != f->src || !(in->assigned & node_bit(b->config.self)) ||
	    m->epoch < a->view.epoch)
		return false;
	/* Having voted for another holder, this node acknowledges nothing of the old one. */
	if (a->accepted && a->accepted_view.instance[m->stream.instance].holder != f->src)
		return false;
	/* An in-sync copy is emptied only after a view has taken it out of the in-sync set. */
	if (m->kind == MIRROR_START && m->number == 0 &&
	    (m->epoch != a->view.epoch || (in->in_sync & node_bit(b->config.self))))
		return false;
	return true;
}

void brain_mirror_on_frame(struct brain *b, const struct frame *f, struct brain_outputs *out)
{
	const struct frame_mirror *m = &f->u.mirror;
	enum mirror_rx_verdict verdict;
	struct brain_output *o;
	struct brain_slot *s;

	if (m->stream.instance >= b->config.n_instances || !brain_takes_from(b, f))
		return;
	s = brain_slot_of(b, &m->stream);
	if (!s || !brain_room(out, 1))
		return; /* as if lost: it will be sent again */
	verdict = mirror_rx_on_frame(&s->rx, f, s->shape);
	if (verdict != MIRROR_RX_RESET && verdict != MIRROR_RX_APPLY)
		return;
	if (verdict == MIRROR_RX_RESET)
		b->complete &= ~instance_bit(m->stream.instance);
	o = brain_out(out, verdict == MIRROR_RX_RESET ? OUT_RESET : OUT_APPLY);
	o->slot = (uint16_t)(s - b->slot);
	o->instance = m->stream.instance;
	o->seq = m->first;
}

static bool brain_copy_whole(const struct brain *b, unsigned i)
{
	for (uint64_t left = b->slots[i]; left;) {
		const struct mirror_rx *rx = &b->slot[brain_take_slot(&left)].rx;

		if (!rx->whole || rx->refused)
			return false;
	}
	return b->slots[i] != 0;
}

void brain_mirror_on_applied(struct brain *b, const struct brain_event *e)
{
	struct brain_slot *s = &b->slot[e->slot];

	if (!s->open)
		return;
	if (s->rx.incarnation)
		mirror_rx_on_applied(&s->rx, e->seq, e->up);
	else if (!e->up)
		b->complete &= ~instance_bit(s->stream.instance); /* could not begin afresh */
}

void brain_mirror_on_copy_lost(struct brain *b, unsigned i)
{
	HAVEN_ASSERT(i < b->config.n_instances);
	b->complete &= ~instance_bit(i);
	b->afresh &= ~instance_bit(i);
	b->beat_now = b->plan_due = true;
	for (uint64_t left = b->slots[i]; left;)
		mirror_rx_init(&b->slot[brain_take_slot(&left)].rx);
}

static void brain_send_ack(struct brain *b, unsigned n, struct brain_outputs *out)
{
	struct brain_slot *s = &b->slot[n];
	const struct agree *a = &b->agree;
	struct frame *f;

	if (a->view.instance[s->stream.instance].holder != s->rx.src ||
	    (a->accepted && a->accepted_view.instance[s->stream.instance].holder != s->rx.src) ||
	    b->peer[s->rx.src].incarnation != s->rx.incarnation) {
		s->rx.ack_due = false;
		return;
	}
	f = brain_frame(b, out, FRAME_MIRROR_ACK, s->rx.src, (uint16_t)n);
	if (!f)
		return;
	f->u.ack.stream = s->stream;
	f->u.ack.epoch = a->view.epoch;
	mirror_rx_ack(&s->rx, &f->u.ack);
}

/* A component without checkpoints has nothing to copy. */
static void brain_stateless_tick(struct brain *b)
{
	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (!b->slots[i] && (b->up & instance_bit(i)) && !brain_holds(b, i))
			b->complete |= instance_bit(i);
}

static void brain_secondary_tick(struct brain *b, struct brain_outputs *out)
{
	if ((b->up & ~b->complete) != 0)
		brain_stateless_tick(b);
	for (uint64_t left = b->open_slots; left;) {
		unsigned n = brain_take_slot(&left);
		struct brain_slot *s = &b->slot[n];
		uint64_t bit = instance_bit(s->stream.instance);

		if (s->rx.whole && !(b->complete & bit) &&
		    brain_copy_whole(b, s->stream.instance)) {
			b->complete |= bit;
			b->beat_now = true;
		}
		/* The acknowledgement that makes the copy count leaves after the copy is declared.
		 */
		if (s->rx.ack_due)
			brain_send_ack(b, n, out);
	}
}

/* ---- holder ---------------------------------------------------------------------------------- */

static struct mirror_tx *brain_session(struct brain_slot *s, unsigned node)
{
	for (unsigned k = 0; k < BRAIN_SESSIONS; k++)
		if (s->tx[k].node == node)
			return &s->tx[k];
	return NULL;
}

/* Nodes whose acknowledgement every record needs; see the top of the file. */
static uint32_t brain_required(const struct brain *b, unsigned i)
{
	const struct agree *a = &b->agree;
	uint32_t mask = a->view.instance[i].in_sync | b->joining[i];

	if (a->accepted && a->accepted_view.instance[i].holder == b->config.self)
		mask |= a->accepted_view.instance[i].in_sync;
	if (a->phase == AGREE_ACCEPT && a->value.instance[i].holder == b->config.self)
		mask |= a->value.instance[i].in_sync;
	return mask & ~node_bit(b->config.self);
}

void brain_mirror_on_ack(struct brain *b, const struct frame *f)
{
	const struct frame_mirror_ack *ack = &f->u.ack;
	struct brain_slot *s;
	struct mirror_tx *t;
	uint32_t resends;
	uint64_t acked;

	if (ack->stream.instance >= b->config.n_instances)
		return;
	s = brain_slot_of(b, &ack->stream);
	t = s ? brain_session(s, f->src) : NULL;
	if (!t || t->incarnation != f->src_incarnation)
		return;
	resends = t->resends;
	acked = t->acked;
	if (mirror_tx_on_ack(t, ack, b->run))
		brain_flight_acked(b, f->src, t->acked - acked);
	if (t->resends != resends)
		brain_flight_lost(b, f->src, false);
}

static void brain_close_session(struct brain *b, struct brain_slot *s, struct mirror_tx *t)
{
	b->joining[s->stream.instance] &= ~node_bit(t->node);
	b->caught_up[s->stream.instance] &= ~node_bit(t->node);
	mirror_tx_close(t);
}

/* A session ends with the receiver's life or assignment, or when it cannot go on and the receiver
 * is not needed for acknowledgements (else it is first voted out of the in-sync set). */
static void brain_keep_sessions(struct brain *b, struct brain_slot *s, struct brain_outputs *out)
{
	unsigned i = s->stream.instance;
	const struct view_instance *in = &b->agree.view.instance[i];
	uint32_t required = brain_required(b, i) & ~b->joining[i];

	for (unsigned k = 0; k < BRAIN_SESSIONS; k++) {
		struct mirror_tx *t = &s->tx[k];
		bool lags, gone;

		if (!mirror_tx_is_open(t))
			continue;
		/* Its owner died after all was sent: no frame is left whose silence would tell. */
		gone = t->synced && (b->peer[t->node].last.lost & instance_bit(i)) &&
		       b->run - t->progress_run > 4 * b->config.interval_ns;
		lags = s->committed - t->applied > s->lane_records / 4 * 3 && t->acked > 0;
		if (!(in->assigned & node_bit(t->node)) ||
		    b->peer[t->node].incarnation != t->incarnation)
			brain_close_session(b, s, t);
		else if (!(required & node_bit(t->node)) &&
			 (lags || gone ||
			  mirror_tx_stuck(t, s->committed, b->config.mirror_timeout_ns, b->run)))
			brain_close_session(b, s, t);
	}
	for (unsigned n = 0; n < b->config.n_nodes; n++) {
		struct mirror_tx *t;

		if (!(in->assigned & node_bit(n)) || !b->peer[n].alive || brain_session(s, n) ||
		    (brain_required(b, i) & node_bit(n)) || !s->reported ||
		    !(b->peer[n].last.ready & instance_bit(i)))
			continue;
		t = brain_session(s, HAVEN_NODE_NONE);
		if (!t)
			return;
		mirror_tx_open(t, (uint8_t)n, b->peer[n].incarnation, ++b->session_next,
			       s->committed, s->scan_end, b->now, b->run);
		brain_note(b, out, NOTE_SYNC_START, (uint8_t)i, (uint8_t)n, s->committed, 0);
	}
}

/* How much a full transfer read over all lanes of the instance, and since when. */
static void brain_note_synced(struct brain *b, unsigned i, unsigned n, struct brain_outputs *out)
{
	uint64_t entries = 0, since = b->now;

	for (uint64_t left = b->slots[i]; left;) {
		const struct mirror_tx *t = brain_session(&b->slot[brain_take_slot(&left)], n);

		if (!t)
			continue;
		entries += t->scan_end > 1 ? t->scan_end - 1 : 0;
		since = t->started_ns < since ? t->started_ns : since;
	}
	brain_note(b, out, NOTE_SYNC_DONE, (uint8_t)i, (uint8_t)n, entries, b->now - since);
}

/* Which secondaries of the instance are whole in all lanes, have all that is acknowledged, hang. */
static void brain_judge_secondaries(struct brain *b, unsigned i, struct brain_outputs *out)
{
	const struct view_instance *in = &b->agree.view.instance[i];

	b->stuck[i] = 0;
	/* Without its own copy the holder cannot tell what the others must have. */
	if (!(b->up & b->complete & instance_bit(i)))
		return;
	for (unsigned n = 0; n < b->config.n_nodes; n++) {
		bool whole = true, caught_up = true, stuck = false, any = b->slots[i] != 0;

		if (!(in->assigned & node_bit(n)))
			continue;
		for (uint64_t left = b->slots[i]; left;) {
			struct brain_slot *s = &b->slot[brain_take_slot(&left)];
			struct mirror_tx *t = brain_session(s, n);

			whole = whole && t && t->synced;
			caught_up = caught_up && t && t->applied >= s->acked;
			stuck = stuck || !t ||
				mirror_tx_stuck(t, s->committed, b->config.mirror_timeout_ns,
						b->run);
		}
		if (stuck && any && (in->in_sync & node_bit(n)))
			b->stuck[i] |= node_bit(n);
		if (!any)
			whole = b->peer[n].alive;
		if (b->peer[n].last.lost & instance_bit(i))
			whole = false;
		if (!whole || (in->in_sync & node_bit(n)))
			continue;
		if (!(b->joining[i] & node_bit(n))) {
			b->joining[i] |= node_bit(n);
			brain_note_synced(b, i, n, out);
		}
		if (caught_up && !(b->caught_up[i] & node_bit(n))) {
			b->caught_up[i] |= node_bit(n);
			b->plan_due = true;
		}
	}
	if (b->stuck[i])
		b->plan_due = true;
}

static void brain_acknowledge(struct brain *b, unsigned n, struct brain_outputs *out)
{
	struct brain_slot *s = &b->slot[n];
	uint32_t required = brain_required(b, s->stream.instance);
	uint64_t acked = s->committed, consumed = s->committed;
	struct brain_output *o;

	for (unsigned m = 0; m < b->config.n_nodes; m++) {
		struct mirror_tx *t = brain_session(s, m);

		if (t) {
			uint64_t has = t->acked ? t->applied : t->base;

			if (has < consumed)
				consumed = has;
		}
		if (required & node_bit(m)) {
			uint64_t has = t && t->synced ? t->applied : s->acked;

			if (has < acked)
				acked = has;
		}
	}
	if (acked < s->acked)
		acked = s->acked;
	if (acked == s->acked && consumed == s->consumed)
		return;
	o = brain_out(out, OUT_ACKED);
	if (!o)
		return;
	o->slot = (uint16_t)n;
	o->seq = s->acked = acked;
	o->consumed = s->consumed = consumed;
}

static unsigned brain_pump(struct brain *b, unsigned n, unsigned budget, struct brain_outputs *out)
{
	struct brain_slot *s = &b->slot[n];
	unsigned made = 0;

	for (unsigned k = 0; k < BRAIN_SESSIONS; k++) {
		struct mirror_tx *t = &s->tx[k];
		uint64_t rto = 2 * b->config.interval_ns;
		uint32_t resends;
		struct frame_mirror m;
		struct frame *f;

		if (!mirror_tx_is_open(t))
			continue;
		resends = t->resends;
		mirror_tx_on_time(t, rto > BRAIN_RTO_MIN_NS ? rto : BRAIN_RTO_MIN_NS, b->run);
		if (t->resends != resends)
			brain_flight_lost(b, t->node, true);
		while (made < budget && brain_room(out, 1) && brain_flight_room(b, t->node) &&
		       mirror_tx_next(t, s->committed, s->per_frame, b->looked[s->stream.instance],
				      b->run, &m)) {
			f = brain_frame(b, out, FRAME_MIRROR, t->node, (uint16_t)n);
			if (!f)
				break; /* as if lost */
			brain_flight_sent(b, t->node);
			m.stream = s->stream;
			m.epoch = b->agree.view.epoch;
			m.shape = s->shape;
			m.payload_bytes = 0;
			m.payload = NULL;
			f->u.mirror = m;
			made++;
		}
	}
	return made;
}

static void brain_holder_tick(struct brain *b, struct brain_outputs *out)
{
	unsigned budget = BRAIN_MIRROR_BUDGET, cursor = b->mirror_cursor;
	uint64_t left;
	bool holds[HAVEN_INSTANCES_MAX];

	for (unsigned i = 0; i < b->config.n_instances; i++)
		holds[i] = brain_holds(b, i) &&
			   (b->role[i] == HAVEN_PRIMARY || b->closing[i].reason != REASON_NONE);
	/* Turned so that the slot to serve first is bit 0. */
	left = cursor ? b->open_slots >> cursor | b->open_slots << (BRAIN_SLOTS_MAX - cursor)
		      : b->open_slots;
	brain_flight_count(b);
	while (left) {
		unsigned n = (cursor + brain_take_slot(&left)) % BRAIN_SLOTS_MAX;
		struct brain_slot *s = &b->slot[n];
		unsigned made;

		if (!holds[s->stream.instance])
			continue;
		brain_keep_sessions(b, s, out);
		brain_acknowledge(b, n, out);
		made = brain_pump(b, n, budget, out);
		budget -= made;
		if (budget == 0) {
			b->mirror_cursor = (uint16_t)((n + 1) % BRAIN_SLOTS_MAX);
			out->more = true;
			break;
		}
	}
	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (holds[i])
			brain_judge_secondaries(b, i, out);
	/* While a gate is shut the caller looks at its lanes no more, but its worker may still
	 * commit, and transfers read what it did: no END until he has looked again. */
	b->watched = 0;
	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (holds[i] && (b->role[i] == HAVEN_PRIMARY || brain_closing_gate(b, i)))
			b->watched |= instance_bit(i);
}

void brain_mirror_tick(struct brain *b, struct brain_outputs *out)
{
	brain_mirror_tell(b, out);
	brain_secondary_tick(b, out);
	brain_holder_tick(b, out);
	brain_digest_tick(b, out);
}

bool brain_mirror_drained(const struct brain *b, unsigned i)
{
	for (uint64_t left = b->slots[i]; left;) {
		const struct brain_slot *s = &b->slot[brain_take_slot(&left)];

		if (s->acked < s->committed)
			return false;
	}
	return true;
}

void brain_mirror_status(const struct brain *b, unsigned instance, uint32_t *percent,
			 uint32_t *lag_records)
{
	uint64_t lag = 0;

	*percent = 100;
	for (uint64_t left = b->slots[instance]; left;) {
		const struct brain_slot *s = &b->slot[brain_take_slot(&left)];

		for (unsigned k = 0; k < BRAIN_SESSIONS; k++)
			if (mirror_tx_is_open(&s->tx[k]) && mirror_tx_percent(&s->tx[k]) < *percent)
				*percent = mirror_tx_percent(&s->tx[k]);
		if (s->committed - s->acked > lag)
			lag = s->committed - s->acked;
	}
	*lag_records = (uint32_t)(lag > UINT32_MAX ? UINT32_MAX : lag);
}
