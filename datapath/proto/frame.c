/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codec. What stands where is said by the lists of wire.h.
 *
 * Every decode ends with "all bytes used, cursor not failed"; anything else is FRAME_BAD_BODY.
 */
#include "frame.h"

#include "haven_assert.h"
#include "wire.h"

/** Of the key id in the header; sealed and body bytes follow it. */
#define FRAME_KEY_OFFSET 6u
#define FRAME_LENGTH_OFFSET 8u

/** The header as it stands on the wire. */
struct wire_header {
	uint16_t magic, body_bytes, zero16;
	uint8_t version, type, src, dst, key_id, sealed;
	uint64_t src_incarnation, dst_incarnation, counter, zero64;
};

HAVEN_STATIC_ASSERT(WIRE_BYTES(WIRE_HEADER) == FRAME_HEADER_BYTES, "FRAME_HEADER_BYTES");
HAVEN_STATIC_ASSERT(FRAME_HEADER_BYTES + WIRE_BYTES(WIRE_VIEW_HEAD) + VIEW_BYTES_MAX <=
			    FRAME_BYTES_MAX,
		    "the largest view fits one frame");
HAVEN_STATIC_ASSERT(WIRE_BYTES(WIRE_MIRROR) <= 64 && WIRE_BYTES(WIRE_DIGEST) <= 64,
		    "FRAME_MIRROR_PAYLOAD_MAX leaves room");

static void wire_header_get(struct bytes_reader *at, struct wire_header *p)
{
	WIRE_HEADER(WIRE_GET)
}

enum frame_fault frame_header_decode(const uint8_t *data, size_t size, struct frame_header *out)
{
	struct bytes_reader r = bytes_reader_init(data, size);
	struct wire_header h;

	if (size < FRAME_HEADER_BYTES || size > FRAME_BYTES_MAX + FRAME_SEAL_BYTES)
		return FRAME_BAD_LENGTH;
	wire_header_get(&r, &h);
	*out = (struct frame_header){.version = h.version,
				     .type = h.type,
				     .src = h.src,
				     .dst = h.dst,
				     .key_id = h.key_id,
				     .sealed = h.sealed,
				     .body_bytes = h.body_bytes,
				     .src_incarnation = h.src_incarnation,
				     .dst_incarnation = h.dst_incarnation,
				     .counter = h.counter};
	if (h.magic != FRAME_MAGIC || h.version != FRAME_VERSION)
		return FRAME_BAD_VERSION;
	if (h.body_bytes != size - FRAME_HEADER_BYTES || (!h.sealed && size > FRAME_BYTES_MAX))
		return FRAME_BAD_LENGTH;
	if (h.type == 0 || h.type >= FRAME_TYPE_END || h.sealed > 1 || h.zero16 || h.zero64)
		return FRAME_BAD_TYPE;
	if (h.src >= HAVEN_NODES_MAX || h.dst >= HAVEN_NODES_MAX || h.src == h.dst ||
	    h.src_incarnation == 0)
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

static void frame_put_header(struct bytes_writer *at, const struct frame *f)
{
	const struct wire_header h = {.magic = FRAME_MAGIC,
				      .version = FRAME_VERSION,
				      .type = f->type,
				      .src = f->src,
				      .dst = f->dst,
				      .src_incarnation = f->src_incarnation,
				      .dst_incarnation = f->dst_incarnation,
				      .counter = f->counter}; /* body bytes: set at the end */
	const struct wire_header *p = &h;

	WIRE_HEADER(WIRE_PUT)
}

static void frame_put_beat(struct bytes_writer *at, const struct frame_beat *p)
{
	WIRE_BEAT(WIRE_PUT)
}

static bool frame_get_beat(struct bytes_reader *at, struct frame_beat *p)
{
	WIRE_BEAT(WIRE_GET)
	return p->seq != 0 && (p->yielded & ~p->released) == 0;
}

static void frame_put_view(struct bytes_writer *at, const struct frame_view *p)
{
	WIRE_VIEW_HEAD(WIRE_PUT)
	view_encode(&p->view, at);
}

static bool frame_get_view(struct bytes_reader *at, struct frame_view *p)
{
	WIRE_VIEW_HEAD(WIRE_GET)
	if (p->kind > FRAME_VIEW_FORCED || (p->kind != FRAME_VIEW_COMMITTED && p->ballot == 0))
		return false;
	return view_decode(&p->view, at) &&
	       (p->kind == FRAME_VIEW_COMMITTED || p->view.epoch > p->base);
}

static bool stream_valid(const struct mirror_stream *s)
{
	return s->instance < HAVEN_INSTANCES_MAX && s->lane < HAVEN_WORKERS_MAX;
}

/* One that was filled in place stands there already. */
static void frame_put_payload(struct bytes_writer *at, const uint8_t *payload, uint16_t bytes)
{
	uint8_t *to = bytes ? bytes_room(at, bytes) : NULL;

	if (to && payload && payload != to)
		memcpy(to, payload, bytes);
}

static void frame_put_mirror(struct bytes_writer *at, const struct frame_mirror *p)
{
	WIRE_MIRROR(WIRE_PUT)
	frame_put_payload(at, p->payload, p->payload_bytes);
}

static bool frame_get_mirror(struct bytes_reader *at, struct frame_mirror *p)
{
	WIRE_MIRROR(WIRE_GET)
	p->payload = bytes_take(at, p->payload_bytes);
	if (!stream_valid(&p->stream) || at->failed || p->kind > MIRROR_END || p->session == 0)
		return false;
	return p->payload_bytes == 0 || p->kind == MIRROR_RECORDS || p->kind == MIRROR_ENTRIES;
}

static void frame_put_ack(struct bytes_writer *at, const struct frame_mirror_ack *p)
{
	WIRE_MIRROR_ACK(WIRE_PUT)
}

static bool frame_get_ack(struct bytes_reader *at, struct frame_mirror_ack *p)
{
	WIRE_MIRROR_ACK(WIRE_GET)
	return stream_valid(&p->stream) && p->gap <= 1 && p->refused <= 1;
}

static void frame_put_digest(struct bytes_writer *at, const struct frame_digest *p)
{
	WIRE_DIGEST(WIRE_PUT)
	frame_put_payload(at, p->payload, p->payload_bytes);
}

static bool frame_get_digest(struct bytes_reader *at, struct frame_digest *p)
{
	WIRE_DIGEST(WIRE_GET)
	p->payload = bytes_take(at, p->payload_bytes);
	return stream_valid(&p->stream) && p->session != 0;
}

uint8_t *frame_mirror_payload(uint8_t *out)
{
	return out + FRAME_HEADER_BYTES + WIRE_BYTES(WIRE_MIRROR);
}

uint8_t *frame_digest_payload(uint8_t *out)
{
	return out + FRAME_HEADER_BYTES + WIRE_BYTES(WIRE_DIGEST);
}

size_t frame_encode(const struct frame *f, uint8_t *out, size_t size)
{
	struct bytes_writer w = bytes_writer_init(out, size);
	struct bytes_writer length = bytes_writer_init(out + FRAME_LENGTH_OFFSET, 2);

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
	case FRAME_DIGEST:
		frame_put_digest(&w, &f->u.digest);
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
	case FRAME_DIGEST:
		good = frame_get_digest(&r, &out->u.digest);
		break;
	case FRAME_TYPE_END:
		break;
	}
	return good && !r.failed && r.left == 0 ? FRAME_OK : FRAME_BAD_BODY;
}
