/* SPDX-License-Identifier: BSD-3-Clause */
/** Faults that strike nodes, applications and the network as a whole. */
#ifndef HAVEN_SIM_FAULT_H
#define HAVEN_SIM_FAULT_H

#include <stdint.h>

#include "sim_options.h"

struct sim_world;

/** Schedule the first strike of every class that is on. */
void sim_fault_begin(struct sim_world *w);
/** SIM_EV_FAULT: strike, and schedule the next one. */
void sim_fault_strike(struct sim_world *w, enum sim_fault fault);
/** SIM_EV_STORM: the node dies, and `again` - 1 times more after this. */
void sim_fault_storm(struct sim_world *w, unsigned node, uint32_t again);
/** SIM_EV_FLAP: the path goes down for part of a period, and `again` - 1 times more. `to` is
 *  SIM_NONE for all that leaves the node. */
void sim_fault_flap(struct sim_world *w, unsigned from, unsigned to, uint32_t again);
/** The end of all faults: heal, restart, continue everything. */
void sim_fault_end(struct sim_world *w);

#endif
