/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Broadcast ring: one writer, any number of readers in any process, each at his own pace and each
 * told exactly how many records he missed. No lock, no reader state in the ring: a reader that
 * dies or stops is not even noticed. Records are words (a multiple of 8 bytes).
 *
 *     head line | slot 0 | slot 1 | …        record `seq` stands in slot seq & (slots - 1)
 *
 * Slot protocol: the writer stores seq 0, fences (E1), stores the body, then the new seq (E2,
 * release), then the head (E3, release). A reader loads the head (acquire, E3), then the slot's seq
 * (acquire, E2), copies, fences (E1), loads seq again: equal means whole.
 *
 * Guarantees
 *   B1 A reader gets records in order, each at most once and whole.
 *   B2 `missed` grows by exactly the number of records that were overwritten before he read them.
 *   B3 A writer killed anywhere leaves at most one slot without a record; its number was never
 *      shown by the head, so nobody misses it.
 *   B4 The ring's bytes are hostile input to readers: work is bounded by the number of slots.
 */
#ifndef HAVEN_BROADCAST_H
#define HAVEN_BROADCAST_H

#include <stddef.h>
#include <stdint.h>

#include "atomic.h"

/** Shape of a ring; both sides hold it privately, it is never read from the ring. */
struct broadcast_shape {
	uint32_t slots;        /**< a power of two */
	uint32_t record_bytes; /**< a multiple of 8 */
};

struct broadcast {
	uint64_t head; /**< seq of the newest record, 0: none yet; writer alone */
	uint64_t pad[7];
};

/** Bytes of the ring; it must stand on a cache line. */
size_t broadcast_bytes(const struct broadcast_shape *shape);
/** Writer, before anybody reads: empty. */
void broadcast_init(struct broadcast *b, const struct broadcast_shape *shape);
/** Writer: add a record. Returns its seq: 1, 2, 3, … */
uint64_t broadcast_publish(struct broadcast *b, const struct broadcast_shape *shape,
			   const void *record);
/** The same for a writer who counts by himself and asks the ring nothing; `seq` is one more than
 * that of the record before. */
void broadcast_publish_as(struct broadcast *b, const struct broadcast_shape *shape, uint64_t seq,
			  const void *record);
/**
 * The record after `*position` (0: from the oldest still there). Returns its seq, copied to `out`,
 * and advances; 0 when there is none yet. Adds to `*missed` what was overwritten before it could be
 * read; who starts at 0 has missed nothing.
 */
uint64_t broadcast_read(const struct broadcast *b, const struct broadcast_shape *shape,
			uint64_t *position, void *out, uint64_t *missed);

#endif
