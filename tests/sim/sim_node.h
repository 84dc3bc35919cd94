/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A simulated node: its program's life, its poll turns and how it carries out what the brain says.
 * The order within a turn is that of the real loop: frames, local events, tick.
 */
#ifndef HAVEN_SIM_NODE_H
#define HAVEN_SIM_NODE_H

#include <stdbool.h>
#include <stdint.h>

struct sim_world;
struct sim_node;

static inline unsigned sim_bits(uint32_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}
unsigned sim_node_index(const struct sim_world *w, const struct sim_node *n);
uint64_t sim_node_now(const struct sim_world *w, const struct sim_node *n);
/** SIM_EV_NODE_UP: a new incarnation, without memory. */
void sim_node_start(struct sim_world *w, struct sim_node *n);
/** The program dies, with `machine` its applications too; it comes back after `down_ns`. */
void sim_node_crash(struct sim_world *w, struct sim_node *n, bool machine, uint64_t down_ns);
/** The program is asked to end in order; it comes back `down_ns` after it has ended. */
void sim_node_leave(struct sim_world *w, struct sim_node *n, uint64_t down_ns);
/** It does not run from now to `until`; and: it runs again, before that. */
void sim_node_sleeps(struct sim_world *w, struct sim_node *n, uint64_t until);
void sim_node_woken(struct sim_world *w, struct sim_node *n);
/** Bring the next turn forward to within `ns` from now. */
void sim_node_wake(struct sim_world *w, struct sim_node *n, uint64_t ns);
/** SIM_EV_DRAIN and SIM_EV_TICK. */
void sim_node_drain(struct sim_world *w, struct sim_node *n, uint32_t turn);
void sim_node_tick(struct sim_world *w, struct sim_node *n, uint32_t turn);

#endif
