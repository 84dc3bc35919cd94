/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A child under ptrace, instruction by instruction. x86-64 only.
 *
 * The child is forked from its tracer, so both have the same programs at the same addresses, and
 * every child forked later walks the same addresses again: that is how a fresh child is brought to
 * the boundary that an earlier one was stepped to.
 */
#ifndef HAVEN_CRASH_STEP_H
#define HAVEN_CRASH_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** A boundary: the `hit`th time (from 1) that the child is about to execute address `at`. */
struct step_place {
	uint64_t step;
	uintptr_t at;
	uint32_t hit;
};

/** Child: from here on every instruction counts. Returns in the tracer's time. */
void step_begin(void);
/** Child: the operation is over; traps, unless nobody traces any more (`*free_running` is set). */
void step_end(const uint32_t *free_running);

/** Tracer: wait until the child stands at step_begin(). False: it did not get there. */
bool step_await(pid_t child, uintptr_t *at);
/** One instruction. Returns 1: stands at `*at`; 0: it is at step_end(); -1: it ended or crashed. */
int step_one(pid_t child, uintptr_t *at);
/** From step_begin() to a boundary. False: it came to its end before (it stands there). */
bool step_to(pid_t child, const struct step_place *place);
/** From a boundary to step_end(), then on without tracing; wait for its end. False: it crashed. */
bool step_finish(pid_t child, int *status);
/** Let go of a traced child in such a way that it is stopped by SIGSTOP; wait until it is. */
bool step_leave_stopped(pid_t child);
/** True when the instruction there enters the kernel. */
bool step_is_syscall(uintptr_t at);
/** "symbol+0x1f (program+0x1234)" of an address; `size` > 0. */
void step_symbol(uintptr_t at, char *out, size_t size);

#endif
