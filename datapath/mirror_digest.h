/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Copies compared while traffic runs: what a holder tells of a block of its table, and what a
 * secondary makes of it. No DPDK; the simulator uses it too.
 *
 * A block is a run of entries of the holder's pool, as many as one frame takes digests of. Wire
 * form of one: seq (8), digest of key and value (8), key; integers little-endian.
 *
 * Frames of digests stand outside of the session's order; each says by itself what it is true of.
 * The holder notes P, what is committed, *before* it looks at the block, and tells of each entry
 * the record Q that last changed it, if Q <= P: so no record in (Q, P] is about that key. A replica
 * that has applied everything up to A must therefore have the very same entry if Q <= A <= P. If
 * A > P, the key may have changed since, and counts only while its entry is of a record up to P;
 * if A < Q, the entry is still to come. Nothing else can make an entry differ than a copy that is
 * wrong: no second look is needed, however fast the table changes.
 *
 * That finds what is missing, unreachable or different. What is superfluous shows in the number of
 * entries in use, which is told when the holder's table stands at exactly P, and compared when
 * A = P. In mode DIRTY a value newer than its record is left out until it is pushed.
 *
 * Which copy is the wrong one, two copies cannot tell. The holder's is what the world has been
 * answered from, so the other one is thrown away; the alarm names the key.
 */
#ifndef HAVEN_MIRROR_DIGEST_H
#define HAVEN_MIRROR_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "table.h"

struct mirror_verdict {
	uint32_t compared; /**< entries that the block says something of at this position */
	uint32_t wrong;    /**< of these; and one more if the number in use differs */
	uint64_t seq; /**< of the first wrong one, as the holder has it; 0: the number in use */
	uint8_t key[TABLE_KEY_MAX]; /**< its key */
};

/** Wire size of one digest. */
uint32_t mirror_digest_bytes(const struct table_geometry *g);
/** Holder: fill position, live and payload for the block `d->first`, `d->count`. Returns the bytes
 *  of the payload at `out`, or -HAVEN_ESIZE when `room` is less than the block may take. */
int mirror_digest_fill(const struct table *t, unsigned lane, struct frame_digest *d, uint8_t *out,
		       size_t room);
/** Secondary, its writer alone: compare with a replica that is whole and has applied everything up
 *  to `applied`. Errors: ECORRUPT (malformed; nothing is compared). */
int mirror_digest_compare(const struct table *t, unsigned lane, uint64_t applied,
			  const struct frame_digest *d, struct mirror_verdict *out);

#endif
