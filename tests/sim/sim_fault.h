/* SPDX-License-Identifier: BSD-3-Clause */
/** Faults that strike nodes, applications and the network as a whole. */
#ifndef HAVEN_SIM_FAULT_H
#define HAVEN_SIM_FAULT_H

#include "sim_options.h"

struct sim_world;

/** Schedule the first strike of every class that is on. */
void sim_fault_begin(struct sim_world *w);
/** SIM_EV_FAULT: strike, and schedule the next one. */
void sim_fault_strike(struct sim_world *w, enum sim_fault fault);
/** The end of all faults: heal, restart, continue everything. */
void sim_fault_end(struct sim_world *w);

#endif
