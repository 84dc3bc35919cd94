/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Bits that flip in the memory of a copy (fault class `flip`), and what must follow: the copy is
 * reported, made anew, and promoted by nobody in between; and none is reported without such a flip.
 *
 * Until it is reported nobody can know. The checks therefore look at a copy as if it had not been
 * struck; and one that is promoted before it was found is put right, for what the world saw of it
 * would be the state from then on.
 */
#ifndef HAVEN_SIM_FLIP_H
#define HAVEN_SIM_FLIP_H

#include <stdbool.h>
#include <stdint.h>

struct sim_world;
struct sim_node;
struct sim_app;

/** One flipped bit of an entry of a secondary's table. */
struct sim_flip {
	bool on, reported;
	uint8_t lane, mask;
	uint32_t index;   /**< of the entry */
	uint32_t at;      /**< byte of the entry */
	uint32_t version; /**< the entry's: written again, it is right again */
};

/** Strike a copy of the instance that counts and is not the holder's, if there is one. */
void sim_flip_strike(struct sim_world *w, unsigned instance);
/** The lane's flip still stands in its memory. */
bool sim_flip_stands(const struct sim_app *app, unsigned lane);
/** Take the bit of an unreported flip of the lane out for a look; true: call sim_flip_show(). */
bool sim_flip_hide(const struct sim_app *app, unsigned lane);
void sim_flip_show(const struct sim_app *app);
/** A comparison found the copy wrong, and it has not been made anew: it counts no more. */
bool sim_flip_reported(const struct sim_app *app);
/** The lane was emptied. */
void sim_flip_gone(struct sim_app *app, unsigned lane);
/** The copy was compared. */
void sim_flip_compared(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned lane,
		       uint32_t wrong);
/** Its node is told that it is primary: what was not found by now stays unknown. */
void sim_flip_role(struct sim_app *app);
/** The application begins to act. */
void sim_flip_promoted(struct sim_world *w, struct sim_node *n, unsigned instance);

#endif
