/* SPDX-License-Identifier: BSD-3-Clause */
/** Trace: numbers in a ring, made into lines only when somebody reads them. */
#ifndef HAVEN_SIM_TRACE_H
#define HAVEN_SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_TRACE_LINES 16384u
#define SIM_NONE 255u

enum sim_trace_kind {
	SIM_TR_NODE_START = 0,
	SIM_TR_NODE_CRASH,
	SIM_TR_NODE_LEAVE,
	SIM_TR_NODE_PAUSE,
	SIM_TR_NODE_STALL,
	SIM_TR_APP_START,
	SIM_TR_APP_KILL,
	SIM_TR_APP_STOP,
	SIM_TR_APP_CONTINUE,
	SIM_TR_APP_UNREADY,
	SIM_TR_APP_CONFIRM,
	SIM_TR_APP_COMMIT,
	SIM_TR_CUT,
	SIM_TR_PARTITION,
	SIM_TR_CLOG,
	SIM_TR_DRIFT,
	SIM_TR_SEND,
	SIM_TR_TAKE,
	SIM_TR_DROP,
	SIM_TR_VIEW,
	SIM_TR_ROLE,
	SIM_TR_LEASE,
	SIM_TR_ACKED,
	SIM_TR_RESET,
	SIM_TR_APPLY,
	SIM_TR_CLOSE_GATE,
	SIM_TR_GATE_CLOSED,
	SIM_TR_NOTE,
	SIM_TR_COMMAND,
	SIM_TR_ACTING,
	SIM_TR_LOST,
	SIM_TR_HEALED,
	SIM_TR_WHOLE,
	SIM_TR_FLIP,
	SIM_TR_COMPARE,
	SIM_TR_KIND_COUNT
};

struct sim_trace_line {
	uint64_t at, a, b, c;
	uint8_t kind, node, instance;
};

struct sim_trace {
	FILE *live; /**< print every line as it comes; NULL: only on failure */
	uint64_t count;
	struct sim_trace_line ring[SIM_TRACE_LINES];
};

void sim_trace_add(struct sim_trace *t, uint64_t at, enum sim_trace_kind kind, unsigned node,
		   unsigned instance, uint64_t a, uint64_t b, uint64_t c);
/** Print the newest `lines` lines, not counting frames and leases; of those only what is among the
 *  last `frequent` lines. */
void sim_trace_print(const struct sim_trace *t, unsigned lines, unsigned frequent, FILE *to);

#endif
