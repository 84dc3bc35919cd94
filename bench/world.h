/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A small cluster of real processes for benchmarks: nodes a and b and a witness w, joined by memif,
 * and on a and b one application that serves instance `work` with one table. Everything lives in a
 * folder of its own and ends with the world, or with this process.
 */
#ifndef HAVEN_BENCH_WORLD_H
#define HAVEN_BENCH_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "registry.h"

enum { WORLD_A = 0, WORLD_B, WORLD_W, WORLD_NODES };
#define WORLD_APPS 2

/** Beats every 20 us and a lease of 100: for nodes that take turns, see below. */
#define WORLD_LEASE_FAST_NS (100 * NSEC_PER_USEC)
#define WORLD_TIMERS_FAST                                                                          \
	"interval: 20us, suspect: 80us, lease: 100us, guard: 5us, rate_ppm: 200, stall: 50us, "    \
	"stuck: 5s, mirror_timeout: 200ms"
/** Long enough that no stall of this host ends a lease, also beside other work. */
#define WORLD_LEASE_CALM_NS (200 * NSEC_PER_MSEC)
#define WORLD_TIMERS_CALM                                                                          \
	"interval: 500us, suspect: 100ms, lease: 200ms, guard: 1ms, rate_ppm: 200, stall: 5ms, "   \
	"stuck: 5s, mirror_timeout: 500ms"

struct haven;
struct haven_worker;
struct world;

struct world_options {
	const char *timers; /**< inner part of the configuration's mapping */
	/** Nodes and applications take turns on the second core at real-time priority: each gives
	 *  way when it has looked once, so nobody waits longer than the turns of four others, and
	 *  what else the machine does keeps to the first core, where they also start and end.
	 *  Otherwise they share two cores as the kernel likes. */
	bool turns;
	/** What the applications do, in processes of their own; the world keeps them placed. It
	 *  tells by world_app_look(). NULL: they hold an empty table, poll, and do nothing. */
	void (*serve)(struct haven *h, struct world *w, unsigned node);
	void *context; /**< for `serve`, in shared memory */
};

/** What an application tells, in memory shared with the bench. Writer: the application. */
struct world_app_line {
	_Alignas(64) uint64_t ready; /**< 1: its worker polls */
	uint64_t opened_ns; /**< when its gate was first found open in this role; 0: shut */
	uint64_t opened_epoch;
};

struct world {
	char dir[64];
	char programs[512]; /**< folder of havend */
	struct world_options options;
	pid_t node[WORLD_NODES], app[WORLD_APPS];
	struct registry registry[WORLD_NODES];
	struct world_app_line *line; /**< of WORLD_APPS */
};

/** For an application, after each poll that said `change`: tell when the gate was found open. */
void world_app_look(struct world_app_line *line, struct haven_worker *worker, unsigned change);
/** How long anything may take that is not measured. */
#define WORLD_WAIT_NS (20 * NSEC_PER_SEC)

/** Start all and wait until b could replace a or the other way round. Returns 0, or 1 after telling
 *  why on stderr. The world must be closed in either case. */
int world_open(struct world *w, const struct world_options *options);
void world_close(struct world *w);
/** Wait (at most 20 s) until both applications poll, one holds the work and the other is in sync.
 *  Returns the holder's index, -1 after telling why. */
int world_whole(struct world *w);
/** Send SIGKILL, or SIGSTOP, to the application or node (with its application, application first if
 *  `app_too`). Returns the instant just before. */
uint64_t world_strike(struct world *w, unsigned node, bool app_only, int signal);
/** Let a stopped node and its application go on. */
void world_continue(struct world *w, unsigned node);
/** End for good what was struck and start it anew. Returns 0, or 1 after telling why. */
int world_mend(struct world *w, unsigned node, bool app_only);
/** Wait until the application of `node` has found its gate open later than `after_ns`. Returns that
 *  instant, 0 when it did not come within `timeout_ns`. */
uint64_t world_opened(struct world *w, unsigned node, uint64_t after_ns, uint64_t timeout_ns);
/** The first event of that kind in the registry of `node` at `after_ns` or later. */
bool world_event(struct world *w, unsigned node, unsigned kind, uint64_t after_ns,
		 struct event *out);
/** Events of that kind on all nodes in [from_ns, until_ns). */
unsigned world_count(struct world *w, unsigned kind, uint64_t from_ns, uint64_t until_ns);
/** Run directory of a node. */
void world_run_dir(const struct world *w, unsigned node, char *out, size_t size);
/** True once `registry[node]` is that of the node's present process. */
bool world_registry_fresh(struct world *w, unsigned node);
/** A clean copy of the status block; false: none was had. */
bool world_status(struct world *w, unsigned node, struct registry_status *out);

#endif
