/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Mirror sender: one session carries one lane of one checkpoint to one secondary. Pure.
 *
 * A session is a numbered sequence of frames, applied by the receiver in that order: START (empty
 * the replica), then ENTRIES (the whole table, read while traffic runs) mixed with RECORDS (what is
 * committed meanwhile), then END, then RECORDS for ever. A gap makes the sender go back to the
 * first frame that is not acknowledged and rebuild from there: records come out of the lane's log
 * again, entries are read again and are then newer, which the order and the receiver's
 * last-writer-wins rule make harmless.
 *
 * END names the committed sequence up to which the replica must have applied records to be whole:
 * entries may hold changes that newer than the records sent so far. It is therefore built only in
 * a turn after the last ENTRIES were read, when `committed` covers all they can hold.
 */
#ifndef HAVEN_MIRROR_TX_H
#define HAVEN_MIRROR_TX_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/** What a frame in flight holds, so that it can be built again. */
struct mirror_tx_frame {
	uint8_t kind; /**< enum mirror_kind */
	uint32_t count;
	uint64_t first;
};

struct mirror_tx {
	uint8_t node; /**< receiver, HAVEN_NODE_NONE: session closed */
	bool synced;  /**< the replica is whole; only records follow */
	bool refused; /**< receiver cannot hold the stream */
	bool end_sent;
	uint64_t incarnation; /**< receiver's, when the session began */
	uint64_t session;
	uint64_t base;        /**< committed sequence at START: records follow from base + 1 */
	uint64_t next, acked; /**< frame numbers: to be made, all below acknowledged */
	uint64_t resend;      /**< frame to be sent again, == next: none */
	uint64_t rewound;     /**< `acked` at the last going back, so that one gap rewinds once */
	uint64_t record_next; /**< first record not yet put into a frame */
	uint32_t scan_next, scan_end;
	uint64_t end_number, end_first;
	uint64_t entries_turn; /**< turn in which ENTRIES were last emitted */
	uint64_t applied;      /**< records up to here are applied by the receiver */
	uint64_t progress_run; /**< run clock of the last acknowledged progress */
	uint64_t sent_run;     /**< run clock of the last frame sent */
	uint64_t started_ns;
	uint32_t resends;
	uint32_t backoff; /**< timeouts in a row without progress, at most 4 */
	/* Set once; all above is cleared when a session ends. */
	uint32_t window_mask; /**< frames in flight at most, less one */
	struct mirror_tx_frame *window;
};

/** No session yet. `window`: memory for `frames` frames in flight, a power of two, at least 2; the
 *  caller's, it stays in use. */
void mirror_tx_init(struct mirror_tx *t, struct mirror_tx_frame *window, uint32_t frames);
void mirror_tx_close(struct mirror_tx *t);
/** Open a session. `session` must be greater than any before it to this receiver. */
void mirror_tx_open(struct mirror_tx *t, uint8_t node, uint64_t incarnation, uint64_t session,
		    uint64_t committed, uint32_t scan_end, uint64_t now, uint64_t run);
static inline bool mirror_tx_is_open(const struct mirror_tx *t)
{
	return t->node != HAVEN_NODE_NONE;
}
/** Frames sent that the receiver has not acknowledged. */
static inline uint64_t mirror_tx_flight(const struct mirror_tx *t)
{
	return t->resend - t->acked;
}
/**
 * Next frame to send, or false when there is none now. `per_frame`: records that fit one frame.
 * `turn`: identifies the turn of the caller's loop; between two turns he has looked at the lane.
 */
bool mirror_tx_next(struct mirror_tx *t, uint64_t committed, uint32_t per_frame, uint64_t turn,
		    uint64_t run, struct frame_mirror *out);
/** An acknowledgement of this session. Returns true when it brought progress. */
bool mirror_tx_on_ack(struct mirror_tx *t, const struct frame_mirror_ack *ack, uint64_t run);
/** Go back to the first unacknowledged frame if nothing was sent for `rto_ns`, twice that the next
 *  time and so on, and something is on its way. */
void mirror_tx_on_time(struct mirror_tx *t, uint64_t rto_ns, uint64_t run);
/** True when something is outstanding and there was no progress for `limit_ns`. */
bool mirror_tx_stuck(const struct mirror_tx *t, uint64_t committed, uint64_t limit_ns,
		     uint64_t run);
/** Share of the table sent, 0…100. */
uint32_t mirror_tx_percent(const struct mirror_tx *t);

#endif
