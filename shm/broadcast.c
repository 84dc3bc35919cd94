/* SPDX-License-Identifier: BSD-3-Clause */
#include "broadcast.h"

#include <stdbool.h>

/** Number of the record, then the record. */
struct slot {
	uint64_t seq; /**< 0: being written */
	uint64_t word[];
};

static size_t stride(const struct broadcast_shape *shape)
{
	return (sizeof(struct slot) + shape->record_bytes + HAVEN_CACHE_LINE - 1) /
	       HAVEN_CACHE_LINE * HAVEN_CACHE_LINE;
}

static struct slot *slot_of(const struct broadcast *b, const struct broadcast_shape *shape,
			    uint64_t seq)
{
	uint8_t *first = (uint8_t *)(uintptr_t)(b + 1);

	return (struct slot *)(void *)(first + (seq & (shape->slots - 1)) * stride(shape));
}

size_t broadcast_bytes(const struct broadcast_shape *shape)
{
	return sizeof(struct broadcast) + shape->slots * stride(shape);
}

void broadcast_init(struct broadcast *b, const struct broadcast_shape *shape)
{
	store_relaxed(&b->head, 0);
	for (uint64_t i = 0; i < shape->slots; i++)
		store_relaxed(&slot_of(b, shape, i)->seq, 0);
}

uint64_t broadcast_publish(struct broadcast *b, const struct broadcast_shape *shape,
			   const void *record)
{
	uint64_t seq = load_relaxed(&b->head) + 1; /* the writer is alone */

	broadcast_publish_as(b, shape, seq, record);
	return seq;
}

void broadcast_publish_as(struct broadcast *b, const struct broadcast_shape *shape, uint64_t seq,
			  const void *record)
{
	struct slot *s = slot_of(b, shape, seq);
	const uint64_t *from = record;

	store_relaxed(&s->seq, 0);
	/* E1: without it a reader could take new words under the old number. */
	fence_release();
	for (uint32_t i = 0; i < shape->record_bytes / sizeof(uint64_t); i++)
		store_relaxed(&s->word[i], from[i]);
	store_release(&s->seq, seq);  /* E2: the words are seen before their number */
	store_release(&b->head, seq); /* E3: the slot is seen before the head shows it */
}

/** Copy record `seq` if its slot still holds it. */
static bool slot_copy(const struct slot *s, const struct broadcast_shape *shape, uint64_t seq,
		      uint64_t *out)
{
	if (load_acquire(&s->seq) != seq) /* E2 */
		return false;
	for (uint32_t i = 0; i < shape->record_bytes / sizeof(uint64_t); i++)
		out[i] = load_relaxed(&s->word[i]);
	fence_acquire(); /* E1: the second look comes after the copy */
	return load_relaxed(&s->seq) == seq;
}

uint64_t broadcast_read(const struct broadcast *b, const struct broadcast_shape *shape,
			uint64_t *position, void *out, uint64_t *missed)
{
	bool counts = *position != 0; /* who starts with the oldest has missed nothing */
	uint64_t next = *position + 1;

	/* A writer laps a reader at most once per record he publishes; the bound is for content
	 * that is not a ring at all. */
	for (uint32_t i = 0; i < shape->slots; i++) {
		uint64_t head = load_acquire(&b->head); /* E3 */
		uint64_t oldest = head > shape->slots ? head - shape->slots + 1 : 1;

		if (next > head)
			break;
		if (next < oldest) {
			*missed += counts ? oldest - next : 0;
			next = oldest;
		}
		/* A number leaves its slot only by being overwritten, so another one there means
		 * that exactly this record is lost. */
		if (slot_copy(slot_of(b, shape, next), shape, next, out)) {
			*position = next;
			return next;
		}
		*missed += counts;
		next++;
	}
	if (next - 1 > *position)
		*position = next - 1;
	return 0;
}
