/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

/** What of an event stands after its seq is the ring's record. */
#define BODY_AT sizeof(uint64_t)

static struct broadcast_shape shape_of(uint32_t slots)
{
	return (struct broadcast_shape){.slots = slots,
					.record_bytes = sizeof(struct event) - BODY_AT};
}

size_t event_ring_bytes(uint32_t slots)
{
	const struct broadcast_shape shape = shape_of(slots);

	return broadcast_bytes(&shape);
}

void event_ring_init(struct event_ring *ring, uint32_t slots)
{
	const struct broadcast_shape shape = shape_of(slots);

	broadcast_init(&ring->ring, &shape);
}

void event_ring_publish(struct event_ring *ring, uint32_t slots, struct event *e)
{
	const struct broadcast_shape shape = shape_of(slots);

	e->seq = broadcast_publish(&ring->ring, &shape, (const uint8_t *)e + BODY_AT);
}

int event_ring_read(const struct event_ring *ring, uint32_t slots, uint64_t *position,
		    struct event *out, uint64_t *missed)
{
	const struct broadcast_shape shape = shape_of(slots);
	struct event e;
	uint64_t seq =
		broadcast_read(&ring->ring, &shape, position, (uint8_t *)&e + BODY_AT, missed);

	if (!seq)
		return 0;
	e.seq = seq;
	e.detail[EVENT_DETAIL_MAX - 1] = 0;
	*out = e;
	return 1;
}
