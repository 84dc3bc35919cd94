/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * One link to one peer: heard or silent, held down when it flaps, and scored by the loss of
 * heartbeats. Pure.
 *
 * Every beat goes out on every link under one sequence number, so what a link loses shows in the
 * numbers that came on it, copies included. The newest LINK_WINDOW numbers are remembered as bits;
 * a late one fills its hole. A link that was silent begins a new window: an outage is no loss.
 */
#ifndef HAVEN_LINKS_H
#define HAVEN_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "flap.h"

/** Beats that an estimate rests on. */
#define LINK_WINDOW 64u

struct link {
	uint64_t heard_run; /**< run clock of its newest frame, 0: none yet */
	uint64_t top_seq;   /**< newest beat that came on it */
	uint64_t bits;      /**< bit n: beat top_seq - n came on it */
	uint8_t width;      /**< beats that the bits cover, 0…LINK_WINDOW */
	bool fresh;         /**< a beat came since the last score */
	bool gray;          /**< works, but loses too much; see link_score() */
	struct flap flap;
};

/** A frame of the peer's established incarnation came on this link. */
static inline void link_heard(struct link *l, uint64_t run)
{
	l->heard_run = run;
}
/** A beat with this number came on it; copies of what came elsewhere count. */
void link_beat(struct link *l, uint64_t seq);
/** Forget the window: the peer counts anew, or the link was silent. */
void link_restart(struct link *l);
/** Loss in percent, rounded, 0…100; 0 until the window is full. */
unsigned link_loss(const struct link *l);
/**
 * Gray begins at `percent` and ends at a quarter of it or less, so that a link on the edge does not
 * change all the time. 0: never gray. Returns true when `gray` changed.
 */
bool link_score(struct link *l, unsigned percent);

#endif
