/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wire format, little-endian.
 *
 *   header (44 bytes): magic u16, version u8, type u8, src u8, dst u8, key id u8, sealed u8,
 *                      body bytes u16, zero u16, src incarnation u64, dst incarnation u64,
 *                      counter u64, reserved u64 (zero)
 *   body:              by type, see the encode functions; a mirror frame's payload comes last
 *
 * Every decode ends with "all bytes used, cursor not failed"; anything else is FRAME_BAD_BODY.
 */
#include "frame.h"

#include "haven_assert.h"

#define FRAME_MIRROR_FIXED 46u
/** Of the key id in the header; sealed and body bytes follow it. */
#define FRAME_KEY_OFFSET 6u

HAVEN_STATIC_ASSERT(FRAME_HEADER_BYTES + 25 + VIEW_BYTES_MAX <= FRAME_BYTES_MAX,
		    "the largest view fits one frame");
HAVEN_STATIC_ASSERT(FRAME_MIRROR_FIXED <= 64, "FRAME_MIRROR_PAYLOAD_MAX leaves room");

enum frame_fault frame_header_decode(const uint8_t *data, size_t size, struct frame_header *out)
{
	struct bytes_reader r = bytes_reader_init(data, size);
	uint16_t magic, pad16;
	uint64_t reserved;
	uint8_t sealed;

	if (size < FRAME_HEADER_BYTES || size > FRAME_BYTES_MAX + FRAME_SEAL_BYTES)
		return FRAME_BAD_LENGTH;
	magic = bytes_get_u16(&r);
	out->version = bytes_get_u8(&r);
	out->type = bytes_get_u8(&r);
	out->src = bytes_get_u8(&r);
	out->dst = bytes_get_u8(&r);
	out->key_id = bytes_get_u8(&r);
	sealed = bytes_get_u8(&r);
	out->sealed = sealed;
	out->body_bytes = bytes_get_u16(&r);
	pad16 = bytes_get_u16(&r);
	out->src_incarnation = bytes_get_u64(&r);
	out->dst_incarnation = bytes_get_u64(&r);
	out->counter = bytes_get_u64(&r);
	reserved = bytes_get_u64(&r);
	if (magic != FRAME_MAGIC || out->version != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	if (out->body_bytes != size - FRAME_HEADER_BYTES ||
	    (!out->sealed && size > FRAME_BYTES_MAX))
		return FRAME_BAD_LENGTH;
	if (out->type == 0 || out->type >= FRAME_TYPE_END || sealed > 1 || pad16 ||
	    reserved)
		return FRAME_BAD_TYPE;
	if (out->src >= HAVEN_NODES_MAX || out->dst >= HAVEN_NODES_MAX || out->src == out->dst ||
	    out->src_incarnation == 0)
		return FRAME_BAD_PEER;
	return FRAME_OK;
}

void frame_header_protect(uint8_t *frame, uint8_t key_id, bool sealed, uint16_t body_bytes)
{
	struct bytes_writer w = bytes_writer_init(frame + FRAME_KEY_OFFSET, 4);

	bytes_put_u8(&w, key_id);
	bytes_put_u8(&w, sealed);
	bytes_put_u16(&w, body_bytes);
}

static void frame_put_header(struct bytes_writer *w, const struct frame *f)
{
	bytes_put_u16(w, FRAME_MAGIC);
	bytes_put_u8(w, FRAME_VERSION);
	bytes_put_u8(w, f->type);
	bytes_put_u8(w, f->src);
	bytes_put_u8(w, f->dst);
	bytes_put_u8(w, 0);
	bytes_put_u8(w, 0);
	bytes_put_u16(w, 0); /* body bytes, set at the end */
	bytes_put_u16(w, 0);
	bytes_put_u64(w, f->src_incarnation);
	bytes_put_u64(w, f->dst_incarnation);
	bytes_put_u64(w, f->counter);
	bytes_put_u64(w, 0);
}

static void frame_put_beat(struct bytes_writer *w, const struct frame_beat *b)
{
	bytes_put_u64(w, b->seq);
	bytes_put_u64(w, b->echo);
	bytes_put_u64(w, b->echo_hold_ns);
	bytes_put_u64(w, b->epoch);
	bytes_put_u64(w, b->floor);
	bytes_put_u64(w, b->prepare);
	bytes_put_u64(w, b->promised);
	bytes_put_u64(w, b->accepted);
	bytes_put_u64(w, b->accepted_digest);
	bytes_put_u64(w, b->wait_ns);
	bytes_put_u64(w, b->released);
	bytes_put_u64(w, b->yielded);
	bytes_put_u64(w, b->lost);
	bytes_put_u64(w, b->ready);
	bytes_put_u32(w, b->heard);
	bytes_put_u8(w, b->flags);
}

static bool frame_get_beat(struct bytes_reader *r, struct frame_beat *b)
{
	b->seq = bytes_get_u64(r);
	b->echo = bytes_get_u64(r);
	b->echo_hold_ns = bytes_get_u64(r);
	b->epoch = bytes_get_u64(r);
	b->floor = bytes_get_u64(r);
	b->prepare = bytes_get_u64(r);
	b->promised = bytes_get_u64(r);
	b->accepted = bytes_get_u64(r);
	b->accepted_digest = bytes_get_u64(r);
	b->wait_ns = bytes_get_u64(r);
	b->released = bytes_get_u64(r);
	b->yielded = bytes_get_u64(r);
	b->lost = bytes_get_u64(r);
	b->ready = bytes_get_u64(r);
	b->heard = bytes_get_u32(r);
	b->flags = bytes_get_u8(r);
	return b->seq != 0 && (b->yielded & ~b->released) == 0;
}

static void frame_put_view(struct bytes_writer *w, const struct frame_view *v)
{
	bytes_put_u8(w, v->kind);
	bytes_put_u64(w, v->ballot);
	bytes_put_u64(w, v->base);
	bytes_put_u64(w, v->wait_ns);
	view_encode(&v->view, w);
}

static bool frame_get_view(struct bytes_reader *r, struct frame_view *v)
{
	v->kind = bytes_get_u8(r);
	v->ballot = bytes_get_u64(r);
	v->base = bytes_get_u64(r);
	v->wait_ns = bytes_get_u64(r);
	if (v->kind > FRAME_VIEW_FORCED || (v->kind != FRAME_VIEW_COMMITTED && v->ballot == 0))
		return false;
	return view_decode(&v->view, r) &&
	       (v->kind == FRAME_VIEW_COMMITTED || v->view.epoch > v->base);
}

static void frame_put_stream(struct bytes_writer *w, const struct mirror_stream *s)
{
	bytes_put_u8(w, s->instance);
	bytes_put_u8(w, s->checkpoint);
	bytes_put_u8(w, s->lane);
}

static bool frame_get_stream(struct bytes_reader *r, struct mirror_stream *s)
{
	s->instance = bytes_get_u8(r);
	s->checkpoint = bytes_get_u8(r);
	s->lane = bytes_get_u8(r);
	return s->instance < HAVEN_INSTANCES_MAX && s->lane < HAVEN_WORKERS_MAX;
}

static void frame_put_mirror(struct bytes_writer *w, const struct frame_mirror *m)
{
	frame_put_stream(w, &m->stream);
	bytes_put_u8(w, m->kind);
	bytes_put_u64(w, m->epoch);
	bytes_put_u64(w, m->session);
	bytes_put_u64(w, m->number);
	bytes_put_u64(w, m->first);
	bytes_put_u32(w, m->count);
	bytes_put_u32(w, m->shape);
	bytes_put_u16(w, m->payload_bytes);
	if (m->payload_bytes) {
		uint8_t *to = bytes_room(w, m->payload_bytes);

		if (to && m->payload && m->payload != to)
			memcpy(to, m->payload, m->payload_bytes);
	}
}

static bool frame_get_mirror(struct bytes_reader *r, struct frame_mirror *m)
{
	bool good = frame_get_stream(r, &m->stream);

	m->kind = bytes_get_u8(r);
	m->epoch = bytes_get_u64(r);
	m->session = bytes_get_u64(r);
	m->number = bytes_get_u64(r);
	m->first = bytes_get_u64(r);
	m->count = bytes_get_u32(r);
	m->shape = bytes_get_u32(r);
	m->payload_bytes = bytes_get_u16(r);
	m->payload = bytes_take(r, m->payload_bytes);
	if (!good || r->failed || m->kind > MIRROR_END || m->session == 0)
		return false;
	return m->payload_bytes == 0 || m->kind == MIRROR_RECORDS || m->kind == MIRROR_ENTRIES;
}

static void frame_put_ack(struct bytes_writer *w, const struct frame_mirror_ack *a)
{
	frame_put_stream(w, &a->stream);
	bytes_put_u8(w, a->gap);
	bytes_put_u8(w, a->refused);
	bytes_put_u64(w, a->epoch);
	bytes_put_u64(w, a->session);
	bytes_put_u64(w, a->next);
	bytes_put_u64(w, a->applied);
}

static bool frame_get_ack(struct bytes_reader *r, struct frame_mirror_ack *a)
{
	bool good = frame_get_stream(r, &a->stream);

	a->gap = bytes_get_u8(r);
	a->refused = bytes_get_u8(r);
	a->epoch = bytes_get_u64(r);
	a->session = bytes_get_u64(r);
	a->next = bytes_get_u64(r);
	a->applied = bytes_get_u64(r);
	return good && a->gap <= 1 && a->refused <= 1;
}

uint8_t *frame_mirror_payload(uint8_t *out)
{
	return out + FRAME_HEADER_BYTES + FRAME_MIRROR_FIXED;
}

size_t frame_encode(const struct frame *f, uint8_t *out, size_t size)
{
	struct bytes_writer w = bytes_writer_init(out, size);
	struct bytes_writer length = bytes_writer_init(out + 8, 2);

	frame_put_header(&w, f);
	switch ((enum frame_type)f->type) {
	case FRAME_BEAT:
		frame_put_beat(&w, &f->u.beat);
		break;
	case FRAME_VIEW:
		frame_put_view(&w, &f->u.view);
		break;
	case FRAME_MIRROR:
		frame_put_mirror(&w, &f->u.mirror);
		break;
	case FRAME_MIRROR_ACK:
		frame_put_ack(&w, &f->u.ack);
		break;
	case FRAME_TYPE_END:
		return 0;
	}
	if (w.failed || w.used > FRAME_BYTES_MAX)
		return 0;
	bytes_put_u16(&length, (uint16_t)(w.used - FRAME_HEADER_BYTES));
	return w.used;
}

enum frame_fault frame_decode(const uint8_t *data, size_t size, struct frame *out)
{
	struct bytes_reader r = bytes_reader_init(data, size);
	struct frame_header h;
	enum frame_fault fault = frame_header_decode(data, size, &h);
	bool good = false;

	if (fault == FRAME_OK && h.sealed)
		fault = FRAME_BAD_BODY;
	if (fault != FRAME_OK)
		return fault;
	bytes_take(&r, FRAME_HEADER_BYTES);
	out->type = h.type;
	out->src = h.src;
	out->dst = h.dst;
	out->src_incarnation = h.src_incarnation;
	out->dst_incarnation = h.dst_incarnation;
	out->counter = h.counter;
	switch ((enum frame_type)h.type) {
	case FRAME_BEAT:
		good = frame_get_beat(&r, &out->u.beat);
		break;
	case FRAME_VIEW:
		good = frame_get_view(&r, &out->u.view);
		break;
	case FRAME_MIRROR:
		good = frame_get_mirror(&r, &out->u.mirror);
		break;
	case FRAME_MIRROR_ACK:
		good = frame_get_ack(&r, &out->u.ack);
		break;
	case FRAME_TYPE_END:
		break;
	}
	return good && !r.failed && r.left == 0 ? FRAME_OK : FRAME_BAD_BODY;
}
