/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A simulated application: a process of its own, with one worker per lane folded into one thread of
 * events. It does what libhaven does for a real one: poll, confirm, check the gate, put, commit.
 */
#ifndef HAVEN_SIM_APP_H
#define HAVEN_SIM_APP_H

#include <stdbool.h>
#include <stdint.h>

struct sim_world;
struct sim_node;

void sim_app_start(struct sim_world *w, struct sim_node *n, unsigned instance);
/** SIGKILL; the node sees it after `seen_ns`. */
void sim_app_kill(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t seen_ns);
void sim_app_stop(struct sim_world *w, struct sim_node *n, unsigned instance, uint64_t until);
/** The gate changed: have the worker poll soon. */
void sim_app_nudge(struct sim_world *w, struct sim_node *n, unsigned instance);
/** SIM_EV_APP_POLL, _WORK, _COMMIT of the given life. */
void sim_app_poll(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life);
void sim_app_work(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life);
void sim_app_commit(struct sim_world *w, struct sim_node *n, unsigned instance, uint32_t life);
/** The worker could emit now: confirmed primary, gate open. */
bool sim_app_may_act(const struct sim_world *w, const struct sim_node *n, unsigned instance);

#endif
