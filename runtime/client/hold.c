/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Output commit: packets that wait for the acknowledgement of the state they depend on.
 *
 * One ring per worker, so packets leave in the order in which they were held, whatever tables they
 * depend on. Each notes the *term* in which it was held: the time for which this worker has had the
 * role without a gap. A sequence means the same record for as long as a term lasts; after it the
 * lane may go on from another node's records, under the same numbers. So the term is looked at
 * first, and a packet of an ended term is handed back as dropped, whatever is acknowledged by then.
 */
#include <stdlib.h>

#include "client_internal.h"

int haven_hold_create(struct haven_worker *w, uint32_t packets, enum haven_hold_overflow overflow)
{
	struct client_hold *h = &w->hold;

	if (packets < 1 || packets > HAVEN_HOLD_PACKETS_MAX || (packets & (packets - 1)) ||
	    (unsigned)overflow > HAVEN_HOLD_WAIT)
		return -HAVEN_EINVAL;
	if (h->slot)
		return -HAVEN_EEXIST;
	h->slot = calloc(packets, sizeof(*h->slot));
	if (!h->slot)
		return -HAVEN_ENOMEM;
	h->mask = packets - 1;
	h->overflow = overflow;
	return 0;
}

static int room_make(struct client_hold *h, void **evicted)
{
	if (h->tail - h->head <= h->mask)
		return 0;
	switch (h->overflow) {
	case HAVEN_HOLD_REFUSE:
		return -HAVEN_EFULL;
	case HAVEN_HOLD_WAIT:
		return -HAVEN_EAGAIN;
	case HAVEN_HOLD_DROP_OLDEST:
		*evicted = h->slot[h->head++ & h->mask].packet;
		break;
	}
	return 0;
}

int haven_hold(struct haven_worker *w, struct haven_table *t, uint64_t seq, void *packet,
	       void **evicted)
{
	struct client_hold *h = &w->hold;
	int status = checkpoint_writable(w, t);

	if (evicted)
		*evicted = NULL;
	if (status)
		return status;
	if (!h->slot || (h->overflow == HAVEN_HOLD_DROP_OLDEST && !evicted) ||
	    seq > table_committed(&t->table, w->reader.index))
		return -HAVEN_EINVAL;
	status = room_make(h, evicted);
	if (!status)
		h->slot[h->tail++ & h->mask] =
			(struct client_held){.packet = packet,
					     .table = t,
					     .seq = seq,
					     .term = w->seen[t->instance].term};
	return status;
}

enum verdict { HELD, MAY_LEAVE, LOST };

static enum verdict judge(const struct haven_worker *w, const struct client_held *p)
{
	const struct client_seen *seen = &w->seen[p->table->instance];

	if (p->term != seen->term)
		return LOST;
	/* The node has said another role meanwhile; the next poll tells whether the term goes on.
	 */
	if (load_relaxed(&w->gates[p->table->instance].generation) != seen->generation)
		return HELD;
	return haven_acked(w, p->table) >= p->seq ? MAY_LEAVE : HELD;
}

unsigned haven_release(struct haven_worker *w, void **out, void **dropped, unsigned max,
		       unsigned *n_dropped)
{
	struct client_hold *h = &w->hold;
	unsigned left = 0, lost = 0;

	while (left + lost < max && h->head != h->tail) {
		const struct client_held *p = &h->slot[h->head & h->mask];
		enum verdict verdict = judge(w, p);

		if (verdict == HELD)
			break;
		if (verdict == LOST)
			dropped[lost++] = p->packet;
		else
			out[left++] = p->packet;
		h->head++;
	}
	*n_dropped = lost;
	return left;
}

unsigned haven_hold_drain(struct haven_worker *w, void **out, unsigned max)
{
	struct client_hold *h = &w->hold;
	unsigned n = 0;

	while (n < max && h->head != h->tail)
		out[n++] = h->slot[h->head++ & h->mask].packet;
	return n;
}

uint32_t haven_hold_count(const struct haven_worker *w)
{
	return w->hold.tail - w->hold.head;
}
