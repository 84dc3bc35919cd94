/* SPDX-License-Identifier: BSD-3-Clause */
#include "mirror_rx.h"

void mirror_rx_init(struct mirror_rx *r)
{
	memset(r, 0, sizeof(*r));
	r->src = HAVEN_NODE_NONE;
}

static enum mirror_rx_verdict mirror_rx_start(struct mirror_rx *r, const struct frame *f,
					      uint32_t shape)
{
	const struct frame_mirror *m = &f->u.mirror;
	uint64_t epoch = r->epoch;

	mirror_rx_init(r);
	r->epoch = epoch > m->epoch ? epoch : m->epoch;
	r->src = f->src;
	r->incarnation = f->src_incarnation;
	r->session = m->session;
	r->ack_due = true;
	if (m->shape != shape) {
		r->refused = true;
		return MIRROR_RX_IGNORE;
	}
	r->applied = m->first;
	return MIRROR_RX_RESET;
}

enum mirror_rx_verdict mirror_rx_on_frame(struct mirror_rx *r, const struct frame *f,
					  uint32_t shape)
{
	const struct frame_mirror *m = &f->u.mirror;
	bool same = f->src == r->src && f->src_incarnation == r->incarnation;

	if (m->epoch < r->epoch)
		return MIRROR_RX_IGNORE;
	if (m->number == 0 && m->kind == MIRROR_START && (!same || m->session > r->session))
		return mirror_rx_start(r, f, shape);
	if (!same || m->session != r->session)
		return MIRROR_RX_IGNORE;
	r->ack_due = true;
	if (r->refused)
		return MIRROR_RX_IGNORE;
	if (m->number != r->next) {
		if (m->number > r->next) {
			r->gap = true;
			r->gaps++;
		} else {
			r->duplicates++;
		}
		return MIRROR_RX_IGNORE;
	}
	if (m->number == 0 && m->kind == MIRROR_START)
		return MIRROR_RX_IGNORE; /* a copy; the replica is still being emptied */
	r->epoch = m->epoch;
	if (m->kind == MIRROR_RECORDS || m->kind == MIRROR_ENTRIES)
		return MIRROR_RX_APPLY;
	if (m->kind != MIRROR_END) {
		r->refused = true; /* a second START inside a session */
		return MIRROR_RX_IGNORE;
	}
	r->next++;
	r->end_seen = true;
	r->end_first = m->first;
	r->whole = r->applied >= r->end_first;
	return MIRROR_RX_TAKEN;
}

void mirror_rx_on_applied(struct mirror_rx *r, uint64_t applied, bool good)
{
	if (!good) {
		r->refused = true;
		return;
	}
	r->next++;
	r->applied = applied;
	if (r->end_seen && applied >= r->end_first)
		r->whole = true;
}

void mirror_rx_ack(struct mirror_rx *r, struct frame_mirror_ack *out)
{
	out->gap = r->gap;
	out->refused = r->refused;
	out->session = r->session;
	out->next = r->next;
	out->applied = r->applied;
	r->gap = false;
	r->ack_due = false;
}
