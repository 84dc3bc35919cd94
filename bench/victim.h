/* SPDX-License-Identifier: BSD-3-Clause */
/** A process to be killed: it owns the mark of a client segment and spins as a packet loop does. */
#ifndef HAVEN_VICTIM_H
#define HAVEN_VICTIM_H

#include <stdint.h>
#include <sys/types.h>

#include "client_segment.h"

struct victim {
	pid_t pid;
	int pidfd, socket;              /**< its end of the socket is open as long as it lives */
	struct client_segment *segment; /**< as the node maps it: read-only */
};

/** Fork one on `cpu` that has touched `memory_bytes` of ordinary pages, and wait until it spins.
 *  Returns 0 or 1 after telling why. */
int victim_start(struct victim *v, unsigned cpu, uint64_t memory_bytes);
/** Kill it if it lives, reap it, free everything. */
void victim_bury(struct victim *v);

#endif
