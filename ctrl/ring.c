/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring.h"

#include <stdlib.h>

uint32_t ring_slots(const struct node *n)
{
	return node_readable(n) ? n->registry.shape.events : 0;
}

void ring_open(struct ring *r, const struct node *n)
{
	*r = (struct ring){.node = n, .slots = ring_slots(n)};
}

uint64_t ring_newest(const struct ring *r)
{
	return r->slots ? load_acquire(&r->node->registry.events->ring.head) : 0;
}

int ring_next(struct ring *r, struct event *out)
{
	int got;

	if (!r->slots)
		return 0;
	got = event_ring_read(r->node->registry.events, r->slots, &r->position, out, &r->missed);
	if (got > 0)
		out->detail[EVENT_DETAIL_MAX - 1] = 0;
	return got;
}

static int by_time(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	if (x->event.at_ns != y->event.at_ns)
		return x->event.at_ns < y->event.at_ns ? -1 : 1;
	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	return x->event.seq < y->event.seq ? -1 : x->event.seq > y->event.seq;
}

void told_sort(struct told *told, size_t n)
{
	qsort(told, n, sizeof(*told), by_time);
}
