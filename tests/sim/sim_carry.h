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

/** Records of a warm standby's lane that are applied in one turn. */
#define SIM_DRAIN_RECORDS 8u
struct sim_app;
/** Does a lane keep commits that are not applied? */
bool sim_warm_waits(const struct sim_world *w, const struct sim_app *app);
/** One turn's part of what stands between a promoted warm standby and its gate. */
void sim_warm_drain(struct sim_world *w, struct sim_node *n, unsigned i);
/** Carry out one output of the step of an event; `f` is that event's frame, NULL if it was none.
 *  Frames leave `held_ns` later. */
void sim_carry_out(struct sim_world *w, struct sim_node *n, struct brain_output *o,
		   const struct frame *f, struct sim_answers *answers, uint64_t held_ns);

#endif
