/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Mirror receiver: the replica's side of a session. Pure. Frames are applied strictly in their
 * order; the caller applies payloads and reports how far whole commits reach.
 */
#ifndef HAVEN_MIRROR_RX_H
#define HAVEN_MIRROR_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

struct mirror_rx {
	uint8_t src;          /**< sender of the session */
	uint64_t incarnation; /**< sender's, 0: no session */
	uint64_t session;
	uint64_t epoch;     /**< greatest epoch taken: an older one is refused (C4) */
	uint64_t next;      /**< next frame to apply */
	uint64_t applied;   /**< last record of the last whole commit applied */
	uint64_t end_first; /**< replica is whole once `applied` reaches this */
	bool end_seen, whole;
	bool gap, refused, ack_due;
	uint64_t gaps, duplicates;
};

enum mirror_rx_verdict {
	MIRROR_RX_IGNORE = 0, /**< not of this session, or older: nothing but perhaps an ack */
	MIRROR_RX_RESET,      /**< new session: empty the replica, then mirror_rx_on_applied() */
	MIRROR_RX_APPLY,      /**< in order: apply the payload, then mirror_rx_on_applied() */
	MIRROR_RX_TAKEN,      /**< in order, nothing to apply */
};

void mirror_rx_init(struct mirror_rx *r);
/** Look at a frame from the instance's holder. `shape`: digest of the local table's shape. */
enum mirror_rx_verdict mirror_rx_on_frame(struct mirror_rx *r, const struct frame *f,
					  uint32_t shape);
/** The caller's answer: applied up to `applied`; `good` false: it could not be applied. */
void mirror_rx_on_applied(struct mirror_rx *r, uint64_t applied, bool good);
/** Body of the acknowledgement that is due. */
void mirror_rx_ack(struct mirror_rx *r, struct frame_mirror_ack *out);

#endif
