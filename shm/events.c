/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include <stdbool.h>
#include <string.h>

#include "atomic.h"

/** What of an event stands after its seq. */
#define BODY_AT sizeof(uint64_t)
#define BODY_BYTES (sizeof(struct event) - BODY_AT)

size_t event_ring_bytes(uint32_t slots)
{
	return sizeof(struct event_ring) + (size_t)slots * sizeof(struct event);
}

void event_ring_init(struct event_ring *ring, uint32_t slots)
{
	memset(ring, 0, event_ring_bytes(slots));
	ring->slots = slots;
}

void event_ring_publish(struct event_ring *ring, uint32_t slots, struct event *e)
{
	uint64_t seq = load_relaxed(&ring->head) + 1; /* the writer is alone */
	struct event *slot = &ring->slot[seq & (slots - 1)];

	e->seq = seq;
	store_relaxed(&slot->seq, 0);
	fence_release(); /* E1: no reader takes new bytes under the old number */
	memcpy((uint8_t *)slot + BODY_AT, (const uint8_t *)e + BODY_AT, BODY_BYTES);
	store_release(&slot->seq, seq);  /* E2 */
	store_release(&ring->head, seq); /* E3 */
}

/** Copy event `seq` if its slot still holds it. */
static bool slot_copy(const struct event *slot, uint64_t seq, struct event *out)
{
	if (load_acquire(&slot->seq) != seq) /* E2 */
		return false;
	memcpy(out, slot, sizeof(*out));
	fence_acquire(); /* E1 */
	return load_relaxed(&slot->seq) == seq;
}

int event_ring_read(const struct event_ring *ring, uint32_t slots, uint64_t *position,
		    struct event *out, uint64_t *missed)
{
	bool counts = *position != 0; /* who starts with the oldest has missed nothing */
	uint64_t next = *position + 1;

	/* A writer laps a reader at most once per event he publishes; the bound is for content that
	 * is not a ring at all. */
	for (uint32_t i = 0; i < slots; i++) {
		uint64_t head = load_acquire(&ring->head); /* E3 */
		uint64_t oldest = head > slots ? head - slots + 1 : 1;

		if (next > head)
			break;
		if (next < oldest) {
			*missed += counts ? oldest - next : 0;
			next = oldest;
		}
		if (slot_copy(&ring->slot[next & (slots - 1)], next, out)) {
			out->seq = next;
			out->detail[EVENT_DETAIL_MAX - 1] = 0;
			*position = next;
			return 1;
		}
		*missed += counts;
		next++;
	}
	if (next - 1 > *position)
		*position = next - 1;
	return 0;
}
