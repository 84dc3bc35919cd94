/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies compared in the background. The holder sends, once per `verify_ns` and for all of its
 * sessions in turn, the digests of one block of entries (datapath/mirror_digest.h says what they
 * prove); the secondary compares. Frames may be lost: the next round looks at the block again.
 *
 * A copy that differs is treated as one that died: from this step on it is not whole, says so in
 * every beat, and can be promoted by nobody. The planner votes it out of the in-sync set, the
 * holder ends its session and begins another, and a transfer makes the copy anew.
 *
 * If what was fetched anew differs in the same entry again, the holder's own memory is at odds with
 * itself. To fetch for ever would cost the redundancy; so from the second time on the secondary
 * looks away for a while that doubles, with an alarm each time.
 */
#include "brain_internal.h"

/** A turn of the poll loop has to look at so many entries at most. */
#define DIGEST_BLOCK_MAX 64u
/** The first time of looking away, in blocks, and how often it doubles. */
#define DIGEST_QUIET_BLOCKS 64u
#define DIGEST_QUIET_DOUBLINGS 12u

uint32_t brain_digest_block(uint32_t digest_bytes)
{
	uint32_t fit = digest_bytes ? FRAME_MIRROR_PAYLOAD_MAX / digest_bytes : 0;

	return fit < DIGEST_BLOCK_MAX ? fit : DIGEST_BLOCK_MAX;
}

/* The session's replica is whole, so that it can be compared. */
static bool digest_ready(const struct brain *b, const struct brain_slot *s,
			 const struct mirror_tx *t)
{
	unsigned i = s->stream.instance;

	return s->open && s->digests && s->reported && mirror_tx_is_open(t) && t->synced &&
	       brain_holds(b, i) && b->role[i] == HAVEN_PRIMARY && (b->complete & instance_bit(i));
}

static void digest_send(struct brain *b, unsigned n, const struct mirror_tx *t, uint32_t *first,
			struct brain_outputs *out)
{
	const struct brain_slot *s = &b->slot[n];
	struct frame *f = brain_frame(b, out, FRAME_DIGEST, t->node, (uint16_t)n);
	uint32_t left;

	if (!f)
		return;
	if (*first == 0 || *first >= s->scan_end)
		*first = 1; /* entry 0 does not exist */
	left = s->scan_end > *first ? s->scan_end - *first : 0;
	f->u.digest = (struct frame_digest){.stream = s->stream,
					    .epoch = b->agree.view.epoch,
					    .session = t->session,
					    .first = *first,
					    .count = left < s->digests ? left : s->digests,
					    .live = FRAME_LIVE_UNKNOWN};
	*first += f->u.digest.count;
}

void brain_digest_tick(struct brain *b, struct brain_outputs *out)
{
	struct brain_digest *d = &b->digest;

	if (!b->config.verify_ns || b->now < d->next_ns || !brain_room(out, 1))
		return;
	d->next_ns = b->now + b->config.verify_ns;
	for (unsigned k = 0; k < BRAIN_SLOTS_MAX * BRAIN_SESSIONS; k++) {
		uint32_t at = d->cursor;
		const struct brain_slot *s = &b->slot[at / BRAIN_SESSIONS];
		const struct mirror_tx *t = &s->tx[at % BRAIN_SESSIONS];

		d->cursor = (at + 1) % (BRAIN_SLOTS_MAX * BRAIN_SESSIONS);
		if (!digest_ready(b, s, t))
			continue;
		digest_send(b, at / BRAIN_SESSIONS, t, &d->first[at], out);
		return;
	}
}

void brain_digest_on_frame(struct brain *b, const struct frame *f, struct brain_outputs *out)
{
	const struct frame_digest *d = &f->u.digest;
	const struct agree *a = &b->agree;
	unsigned i = d->stream.instance;
	const struct mirror_rx *rx;
	struct brain_output *o;
	struct brain_slot *s;

	if (i >= b->config.n_instances || !brain_is_admitted(b) ||
	    a->view.instance[i].holder != f->src || d->epoch != a->view.epoch ||
	    (a->accepted && a->accepted_view.instance[i].holder != f->src) ||
	    !(b->complete & instance_bit(i)) || b->now < b->digest.quiet_until_ns[i])
		return;
	s = brain_slot_of(b, &d->stream);
	if (!s || !brain_room(out, 1))
		return;
	rx = &s->rx;
	if (rx->src != f->src || rx->incarnation != f->src_incarnation ||
	    rx->session != d->session || !rx->whole || rx->refused)
		return;
	o = brain_out(out, OUT_COMPARE);
	o->slot = (uint16_t)(s - b->slot);
	o->instance = (uint8_t)i;
	o->seq = rx->applied;
}

void brain_digest_on_compared(struct brain *b, const struct brain_event *e,
			      struct brain_outputs *out)
{
	const struct brain_slot *s = &b->slot[e->slot];
	unsigned i = s->stream.instance;
	struct brain_digest *d = &b->digest;

	if (!s->open || e->count == 0 || !(b->complete & instance_bit(i)) || !s->rx.whole)
		return;
	brain_note(b, out, NOTE_COPY_DIFFERS, (uint8_t)i, s->rx.src, e->count, e->seq);
	if (d->wrong_seq[i] != e->seq) {
		d->wrong_seq[i] = e->seq;
		d->repeats[i] = 0;
	} else {
		d->quiet_until_ns[i] =
			b->now + (DIGEST_QUIET_BLOCKS * b->config.verify_ns << d->repeats[i]);
		if (d->repeats[i] < DIGEST_QUIET_DOUBLINGS)
			d->repeats[i]++;
	}
	brain_mirror_on_copy_lost(b, i);
}
