/* SPDX-License-Identifier: BSD-3-Clause */
#include "mirror_digest.h"

#include <string.h>

#include "bytes.h"

#define DIGEST_HEAD_BYTES 16u

struct digest {
	uint64_t seq, content;
	const uint8_t *key;
};

uint32_t mirror_digest_bytes(const struct table_geometry *g)
{
	return DIGEST_HEAD_BYTES + g->shape.key_bytes;
}

int mirror_digest_fill(const struct table *t, unsigned lane, struct frame_digest *d, uint8_t *out,
		       size_t room)
{
	uint64_t data[(TABLE_KEY_MAX + TABLE_VALUE_MAX) / 8];
	uint64_t end = (uint64_t)d->first + d->count, seq;
	struct bytes_writer w = bytes_writer_init(out, room);

	if ((uint64_t)d->count * mirror_digest_bytes(&t->geometry) > room)
		return -HAVEN_ESIZE;
	d->position = table_committed(t, lane); /* before the first look */
	if (!table_live_at(t, lane, d->position, &d->live))
		d->live = FRAME_LIVE_UNKNOWN;
	if (end > table_scan_end(t, lane))
		end = table_scan_end(t, lane);
	for (uint64_t i = d->first; i < end; i++) {
		/* One that is being changed is told of in another round. */
		if (table_read_settled(t, lane, (uint32_t)i, &seq, data) || seq > d->position)
			continue;
		bytes_put_u64(&w, seq);
		bytes_put_u64(&w, table_entry_digest(t, data));
		bytes_put(&w, data, t->geometry.shape.key_bytes);
	}
	return (int)w.used;
}

/** Is the replica's entry other than it must be? `*known` false: nothing can be said. */
static bool entry_wrong(const struct table *t, unsigned lane, uint64_t applied, uint64_t position,
			const struct digest *d, bool *known)
{
	uint64_t data[(TABLE_KEY_MAX + TABLE_VALUE_MAX) / 8], seq = 0;
	int status = table_find(t, lane, d->key, &seq, data);

	*known = true;
	if (status)
		seq = 0;
	if (seq > applied) /* a record that has not come cannot have been applied */
		return true;
	if (applied > position && (status || seq > position)) {
		*known = false;
		return false;
	}
	return status || seq != d->seq || table_entry_digest(t, data) != d->content;
}

static void verdict_wrong(struct mirror_verdict *v, uint64_t seq, const uint8_t *key,
			  size_t key_bytes)
{
	if (v->wrong++)
		return;
	v->seq = seq;
	if (key)
		memcpy(v->key, key, key_bytes);
}

int mirror_digest_compare(const struct table *t, unsigned lane, uint64_t applied,
			  const struct frame_digest *d, struct mirror_verdict *out)
{
	struct bytes_reader r = bytes_reader_init(d->payload, d->payload_bytes);
	uint32_t key_bytes = t->geometry.shape.key_bytes;

	memset(out, 0, sizeof(*out));
	if (d->payload_bytes % mirror_digest_bytes(&t->geometry))
		return -HAVEN_ECORRUPT;
	while (r.left) {
		struct digest one;
		bool known, wrong;

		one.seq = bytes_get_u64(&r);
		one.content = bytes_get_u64(&r);
		one.key = bytes_take(&r, key_bytes);
		if (one.seq > applied)
			continue;
		wrong = entry_wrong(t, lane, applied, d->position, &one, &known);
		out->compared += known;
		if (wrong)
			verdict_wrong(out, one.seq, one.key, key_bytes);
	}
	if (d->live != FRAME_LIVE_UNKNOWN && applied == d->position &&
	    table_live(t, lane) != d->live)
		verdict_wrong(out, 0, NULL, 0);
	return 0;
}
