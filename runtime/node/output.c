/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carries out what the brain wants, in two passes. First, in the brain's order, what concerns gates
 * and the lanes behind them: a gate that shuts late is the one mistake that cannot be taken back,
 * and a lane is emptied before the gate in front of it opens. Then frames, applied payloads, news.
 */
#include <stdio.h>

#include "haven_assert.h"
#include "node.h"

static const struct {
	enum event_kind kind;
	enum event_severity severity;
} notes[] = {
	[NOTE_PEER_UP] = {EVENT_PEER_UP, EVENT_INFO},
	[NOTE_PEER_SUSPECT] = {EVENT_PEER_SUSPECT, EVENT_WARNING},
	[NOTE_LINK_DOWN] = {EVENT_LINK_DOWN, EVENT_WARNING},
	[NOTE_LINK_UP] = {EVENT_LINK_UP, EVENT_INFO},
	[NOTE_VIEW] = {EVENT_VIEW, EVENT_NOTICE},
	[NOTE_VIEW_PROPOSED] = {EVENT_VIEW_PROPOSED, EVENT_INFO},
	[NOTE_LEASE_GAINED] = {EVENT_LEASE_GAINED, EVENT_INFO},
	[NOTE_LEASE_LOST] = {EVENT_LEASE_LOST, EVENT_WARNING},
	[NOTE_ROLE_RELEASED] = {EVENT_ROLE_RELEASED, EVENT_NOTICE},
	[NOTE_SYNC_START] = {EVENT_SYNC_START, EVENT_INFO},
	[NOTE_SYNC_DONE] = {EVENT_SYNC_DONE, EVENT_INFO},
	[NOTE_IN_SYNC] = {EVENT_IN_SYNC, EVENT_NOTICE},
	[NOTE_OUT_OF_SYNC] = {EVENT_OUT_OF_SYNC, EVENT_WARNING},
	[NOTE_STATE_LOST] = {EVENT_STATE_LOST, EVENT_CRITICAL},
	[NOTE_STALL] = {EVENT_STALL, EVENT_WARNING},
	[NOTE_SWITCHOVER] = {EVENT_SWITCHOVER, EVENT_NOTICE},
	[NOTE_NO_SUCCESSOR] = {EVENT_NO_SUCCESSOR, EVENT_CRITICAL},
	[NOTE_LINK_GRAY] = {EVENT_LINK_GRAY, EVENT_WARNING},
	[NOTE_LINK_CLEAR] = {EVENT_LINK_CLEAR, EVENT_INFO},
	[NOTE_LINK_HELD] = {EVENT_LINK_HELD, EVENT_WARNING},
	[NOTE_PEER_HELD] = {EVENT_PEER_HELD, EVENT_WARNING},
	[NOTE_FENCED] = {EVENT_FENCED, EVENT_CRITICAL},
	[NOTE_FENCE_REVOKED] = {EVENT_FENCE_REVOKED, EVENT_CRITICAL},
	[NOTE_COPY_DIFFERS] = {EVENT_COPY_DIFFERS, EVENT_CRITICAL},
	[NOTE_LEFT] = {EVENT_LEFT, EVENT_NOTICE},
	[NOTE_CLOCK_STOOD] = {EVENT_CLOCK_STOOD, EVENT_CRITICAL},
	[NOTE_CLOCK_BAD] = {EVENT_CLOCK_BAD, EVENT_CRITICAL},
	[NOTE_CONFIG_DIFFERS] = {EVENT_CONFIG_DIFFERS, EVENT_CRITICAL},
	[NOTE_CLOCK_GOOD] = {EVENT_CLOCK_GOOD, EVENT_NOTICE},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(notes) == NOTE_COUNT, "an event for every note");

/* A host that stalls does so hundreds of times a second, and would wash everything else out of the
 * ring: once a second, or when it got much worse. All of them are counted. */
static bool stall_is_news(struct loop *l, uint64_t gap, uint64_t now)
{
	if (now - l->stall_told_ns < LOOP_SECOND_NS && gap < 2 * l->stall_told_gap_ns)
		return false;
	l->stall_told_ns = now;
	l->stall_told_gap_ns = gap;
	return true;
}

static void output_event(struct haven_node *n, const struct brain_output *o, uint64_t now)
{
	struct event e;

	HAVEN_ASSERT(o->note < NOTE_COUNT);
	if (o->note == NOTE_STALL && !stall_is_news(&n->loop, o->a, now))
		return;
	e = publish_event_init(notes[o->note].kind, notes[o->note].severity);
	e.node = o->node;
	e.instance = o->instance;
	e.epoch = o->epoch;
	e.a = o->a;
	e.b = o->b;
	e.c = o->c;
	if (o->text)
		snprintf(e.detail, sizeof(e.detail), "%s", o->text);
	if (o->note == NOTE_FENCED)
		snprintf(e.detail, sizeof(e.detail), "%s", n->local.fence_word);
	if (o->note == NOTE_COPY_DIFFERS)
		snprintf(e.detail, sizeof(e.detail), "%s", n->local.verify_word);
	if (o->note == NOTE_VIEW)
		n->publish.dirty = true;
	publish_event(n, &e, now);
}

/* Put what the lane holds now into a mirror frame. False: nothing to send, the sender's own
 * resending brings it again. */
static bool output_payload(struct haven_node *n, unsigned slot_number, struct frame_mirror *m,
			   uint8_t *out)
{
	const struct local_slot *slot = local_slot(n, slot_number);
	int bytes;

	m->payload = NULL;
	m->payload_bytes = 0;
	if (m->kind != MIRROR_RECORDS && m->kind != MIRROR_ENTRIES)
		return true;
	if (!slot)
		return false;
	if (m->kind == MIRROR_RECORDS)
		bytes = mirror_io_fill_records(&slot->table->table, slot->lane, m->first, m->count,
					       out, FRAME_MIRROR_PAYLOAD_MAX);
	else
		bytes = mirror_io_fill_entries(&slot->table->table, slot->lane, (uint32_t)m->first,
					       m->count, out, FRAME_MIRROR_PAYLOAD_MAX);
	if (bytes < 0 || (bytes == 0 && m->kind == MIRROR_RECORDS))
		return false;
	m->payload = out;
	m->payload_bytes = (uint16_t)bytes;
	return true;
}

/* The same of a frame of digests. */
static bool output_digest(struct haven_node *n, unsigned slot, struct frame_digest *d, uint8_t *out)
{
	int bytes = local_digest(n, slot, d, out);

	d->payload = out;
	d->payload_bytes = bytes > 0 ? (uint16_t)bytes : 0;
	return bytes >= 0;
}

/* What the lanes have to add to a frame; false: it is not sent. */
static bool output_fill(struct haven_node *n, unsigned slot, struct frame *f, uint8_t *data)
{
	if (f->type == FRAME_MIRROR)
		return output_payload(n, slot, &f->u.mirror, frame_mirror_payload(data));
	if (f->type == FRAME_DIGEST)
		return output_digest(n, slot, &f->u.digest, frame_digest_payload(data));
	return true;
}

/* The same buffer goes out on the first of the links, copies of it on the others. */
static void output_send(struct haven_node *n, struct rte_mbuf *m, uint8_t to, uint8_t links,
			uint64_t now)
{
	unsigned first;

	links &= (uint8_t)((1u << n->n_ports) - 1);
	if (!links) {
		n->loop.frames_unsent++;
		port_release(&m, 1);
		return;
	}
	first = (unsigned)__builtin_ctz(links);
	for (links &= (uint8_t)(links - 1); links; links &= (uint8_t)(links - 1)) {
		struct rte_mbuf *copy = port_buffer_copy(n->pool, m);

		if (copy)
			port_send(&n->port[__builtin_ctz(links)], copy, to, now);
		else
			n->loop.frames_unsent++;
	}
	port_send(&n->port[first], m, to, now);
}

static void output_frame(struct haven_node *n, struct brain_output *o, uint64_t now)
{
	struct frame *f = &o->frame;
	struct rte_mbuf *m;
	uint8_t *data;
	size_t room, size = 0;

	if (n->n_ports == 0 || f->dst >= n->config->n_nodes)
		return;
	m = port_buffer(n->pool, &data, &room);
	if (!m) {
		n->loop.frames_unsent++;
		return;
	}
	if (output_fill(n, o->slot, f, data))
		size = frame_encode(f, data, room);
	if (size)
		size = auth_seal(n->auth, data, size, room);
	if (!size) {
		n->loop.frames_unsent++;
		port_release(&m, 1);
		return;
	}
	port_buffer_finish(m, size);
	output_send(n, m, f->dst, o->links, now);
	n->loop.frames_out++;
}

static void output_gates(struct haven_node *n, const struct brain_output *o, uint64_t now)
{
	switch (o->kind) {
	case OUT_ROLE:
		n->publish.dirty = true;
		local_gate_role(n, o->instance, o->role, o->epoch, o->valid_until_ns, now);
		break;
	case OUT_LEASE:
		local_gate_lease(n, o->valid_until_ns);
		break;
	case OUT_CLOSE_GATE:
		local_gate_close(n, o->instance, o->seq, now);
		break;
	case OUT_ACKED:
		local_acked(n, o->slot, o->seq, o->consumed);
		break;
	case OUT_RESET:
		local_reset(n, o->slot, o->seq);
		break;
	case OUT_FRAME:
	case OUT_APPLY:
	case OUT_COMPARE:
	case OUT_EVENT:
	case OUT_COMMAND_DONE:
		break;
	}
}

static void output_rest(struct haven_node *n, const struct brain_event *event,
			struct brain_output *o, uint64_t now)
{
	switch (o->kind) {
	case OUT_FRAME:
		output_frame(n, o, now);
		break;
	case OUT_APPLY:
		HAVEN_ASSERT(event->kind == BRAIN_FRAME);
		local_apply(n, o->slot, event->frame);
		break;
	case OUT_COMPARE:
		HAVEN_ASSERT(event->kind == BRAIN_FRAME);
		local_compare(n, o->slot, o->seq, &event->frame->u.digest);
		break;
	case OUT_EVENT:
		output_event(n, o, now);
		break;
	case OUT_COMMAND_DONE:
		local_switchover_done(n, o->instance, o->code, o->text);
		break;
	case OUT_ROLE:
	case OUT_LEASE:
	case OUT_CLOSE_GATE:
	case OUT_ACKED:
	case OUT_RESET:
		break;
	}
}

void output_carry(struct haven_node *n, const struct brain_event *event, uint64_t now)
{
	struct brain_outputs *out = n->loop.outputs;

	HAVEN_ASSERT(out->n <= BRAIN_OUTPUTS_MAX);
	for (unsigned i = 0; i < out->n; i++)
		output_gates(n, &out->out[i], now);
	for (unsigned i = 0; i < out->n; i++)
		output_rest(n, event, &out->out[i], now);
}
