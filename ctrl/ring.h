/* SPDX-License-Identifier: BSD-3-Clause */
/** Position of this call in the event ring of one node. */
#ifndef HAVENCTL_RING_H
#define HAVENCTL_RING_H

#include "session.h"

struct ring {
	const struct node *node;
	uint32_t slots;    /**< own, checked copy; 0: nothing can be read */
	uint64_t position; /**< sequence of the last event read */
	uint64_t missed;   /**< overwritten before they could be read, since last asked */
};

/** An event and whose ring it stood in. */
struct told {
	const struct node *node;
	struct event event;
};

/** Slots of the node's ring; 0 when the node is unreadable. */
uint32_t ring_slots(const struct node *n);
/** Start before the oldest event that is still there. */
void ring_open(struct ring *r, const struct node *n);
/** Next event: 1, or 0 when there is none yet. */
int ring_next(struct ring *r, struct event *out);
/** Sequence of the newest event. */
uint64_t ring_newest(const struct ring *r);
/** Order by time; the nodes of one machine share one clock. */
void told_sort(struct told *told, size_t n);

#endif
