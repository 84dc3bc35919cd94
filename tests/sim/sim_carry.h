/* SPDX-License-Identifier: BSD-3-Clause */
/** Carrying out what a brain says: frames, gates, stores. */
#ifndef HAVEN_SIM_CARRY_H
#define HAVEN_SIM_CARRY_H

#include "brain.h"

struct sim_world;
struct sim_node;

/* Answers to the outputs of one step, fed in the same turn. */
struct sim_answers {
	unsigned n;
	struct brain_event event[BRAIN_OUTPUTS_MAX];
};

/** Carry out one output of the step of an event; `f` is that event's frame, NULL if it was none.
 *  Frames leave `held_ns` later. */
void sim_carry_out(struct sim_world *w, struct sim_node *n, struct brain_output *o,
		   const struct frame *f, struct sim_answers *answers, uint64_t held_ns);

#endif
