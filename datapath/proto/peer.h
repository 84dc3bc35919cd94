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
#include "links.h"

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
	uint64_t sent_ns[PEER_SENT_SLOTS]; /**< 0: its echo proves nothing */

	uint64_t counter_top;  /**< newest counter taken */
	uint64_t counter_bits; /**< bit n: counter_top - n was taken */

	uint64_t seq_in;    /**< newest beat taken */
	uint64_t seq_in_ns; /**< when */
	uint64_t heard_run; /**< run clock of the newest beat taken */
	bool alive;         /**< heard within the limit */
	struct flap flap;   /**< how often its silence ended although it had lived on */
	struct link link[HAVEN_LINKS_MAX];
	uint8_t links_up;       /**< bit per link: heard, and not held down */
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
/** What a judgement changed; bits of links in the masks. */
struct peer_changes {
	bool alive;          /**< it is heard again, or has fallen silent */
	bool held;           /**< it is heard again, and held down: see peer_is_held() */
	uint8_t up, down;    /**< links that work now, or are silent while another one works */
	uint8_t links_held;  /**< links that are heard again, and held down */
	uint8_t gray, clear; /**< links that began or ceased to lose too much */
};
/** Bounds of what is judged. */
struct peer_terms {
	uint64_t suspect_ns; /**< silence after which a peer or a link is taken for gone */
	struct flap_terms flap;
	unsigned gray_percent; /**< loss from which a link is gray, 0: never */
};
/** Re-judge peer and links. Links of a peer that is silent as a whole are down, which says nothing
 *  of them: no change is told, and no failure is counted. */
struct peer_changes peer_judge(struct peer *p, const struct peer_terms *t, uint64_t run);
/** Its present life has said that it ends. */
static inline bool peer_has_left(const struct peer *p)
{
	return p->incarnation && (p->last.flags & BEAT_LEFT);
}
/** It comes and goes: it is heard, but should be given nothing new to do yet. What it has it keeps,
 *  and as a voter it counts; otherwise damping could cost a majority. */
static inline bool peer_is_held(const struct peer *p)
{
	return flap_held(&p->flap);
}

#endif
