/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The poll loop, heart of the node. One turn:
 *
 *   0. see that the clock did not stand still, nor leave its rate
 *   1. take what came on the HA ports: authenticate, decode, step the brain
 *   2. look at the local applications: marks, confirmations, commits
 *   3. carry out commands of the control thread, then requests from the rings of the applications
 *   4. tick the brain, until it has nothing left to do at this instant
 *   5. hand queued frames to the drivers, refresh the published status
 *
 * Everything is bounded: frames per port, commands, steps per turn. Whatever the brain says is
 * carried out at once (output.c), gates before frames.
 */
#ifndef HAVEN_LOOP_H
#define HAVEN_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "brain.h"
#include "watch_clock.h"
#include "frame.h"

struct haven_node;

#define LOOP_EVENTS_MAX 1024
#define LOOP_SECOND_NS 1000000000ull

struct loop {
	struct brain_outputs *outputs;
	struct frame *frame; /**< the frame being taken */
	/** Answers and news for the brain, stepped in order before anything else. */
	struct brain_event event[LOOP_EVENTS_MAX];
	uint32_t event_head, event_tail;

	uint64_t turn_ns; /**< begin of this turn, 0: none yet */
	uint64_t gap_max_ns, gap_second_ns, gap_recent_ns, second_ends_ns;
	uint64_t stalls, polls;
	struct watch_clock clock;
	uint64_t clock_looked_ns;
	bool ticks_even; /**< the processor's counter counts evenly */
	uint64_t clock_stood, clock_bad;
	uint64_t stall_told_ns, stall_told_gap_ns; /**< the newest one that became an event */
	uint64_t frames_in, frames_out, frames_unsent, commands;
	uint64_t fault[FRAME_FAULT_COUNT];
	uint64_t peer_faults[HAVEN_NODES_MAX];
};

/** Before the first turn. */
void loop_init(struct haven_node *n);
/** One turn. Returns how much was found to do. */
unsigned loop_turn(struct haven_node *n);
/** Queue an event for the brain; it is stepped before the turn goes on. */
void loop_post(struct haven_node *n, const struct brain_event *event);
/** Step everything that is queued. */
void loop_pump(struct haven_node *n, uint64_t now);

/** output.c: carry out what the brain wants. `event` is the one that was stepped. */
void output_carry(struct haven_node *n, const struct brain_event *event, uint64_t now);

#endif
