/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What one node knows of one peer: its incarnation, the newest beat, silence, links. Pure.
 *
 * Time runs on two clocks. `now` is the node's clock. The *run clock* advances with it except
 * during own stalls, so silence is counted only over time in which this node was able to listen.
 *
 * A new incarnation is believed only when it proves that it lives now: a frame in its name must
 * echo a beat that was sent after that incarnation was first noted. Recorded frames cannot.
 */
#ifndef HAVEN_PEER_H
#define HAVEN_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

/** Beats whose send instant is remembered; an older echo grants nothing. A power of two. */
#define PEER_SENT_SLOTS 64u

struct peer {
	uint64_t incarnation;   /**< established, 0: none yet */
	uint64_t candidate;     /**< claimed, not proven yet, 0: none */
	uint64_t candidate_seq; /**< own beat seq its echo must reach */
	uint64_t candidate_in;  /**< newest beat seq heard from the candidate */
	uint64_t candidate_in_ns;
	uint64_t candidate_run; /**< run clock when the candidate was last heard */

	uint64_t counter_out; /**< frames sent */
	uint64_t seq_out;     /**< beats sent */
	uint64_t sent_ns[PEER_SENT_SLOTS];

	uint64_t counter_top;  /**< newest counter taken */
	uint64_t counter_bits; /**< bit n: counter_top - n was taken */

	uint64_t seq_in;                    /**< newest beat taken */
	uint64_t seq_in_ns;                 /**< when */
	uint64_t heard_run;                 /**< run clock of the newest beat taken */
	uint64_t link_run[HAVEN_LINKS_MAX]; /**< run clock of the newest frame per link, 0: never */
	bool alive;                         /**< heard within the limit */
	uint8_t links_up;
	struct frame_beat last; /**< newest beat; valid while incarnation != 0 && seq_in != 0 */

	uint64_t beats_received, beats_lost, replays, rtt_ns;
};

/** What peer_receive() made of a frame. */
enum peer_verdict {
	PEER_TAKE = 0, /**< from the established incarnation and new: use it */
	PEER_PROVEN,   /**< as PEER_TAKE, and the incarnation has just been established */
	PEER_COPY,     /**< a second copy, or older than what was taken: nothing to do */
	PEER_HELLO,    /**< only tells that a new incarnation may exist */
};

/**
 * Look at a frame's header (and, for a beat, its echo) and update the peer. `self_incarnation` is
 * the receiver's. For PEER_TAKE and PEER_PROVEN of a beat newer than the last, `last` is updated.
 */
enum peer_verdict peer_receive(struct peer *p, const struct frame *f, unsigned link,
			       uint64_t self_incarnation, uint64_t now, uint64_t run);
/** Fill the header fields, and for a beat seq and echo, of a frame to this peer. `to_candidate`:
 *  address the unproven incarnation. */
void peer_address(struct peer *p, struct frame *f, bool to_candidate, uint64_t now);
/** Silence so far by the run clock. */
uint64_t peer_silence(const struct peer *p, uint64_t run);
/** Re-judge alive and links; returns true when `alive` changed. */
bool peer_judge(struct peer *p, uint64_t run, uint64_t suspect_ns);

#endif
