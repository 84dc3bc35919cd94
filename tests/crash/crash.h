/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Kill harness: what a process leaves in shared memory when it dies, or stands still, after any
 * one of its instructions.
 *
 * A *case* is an operation in a start state. A child process of the harness prepares the state and
 * stops; the harness (its tracer) then goes through three passes:
 *
 *   look   single-steps one child through the operation. What a killed process leaves is what its
 *          retired instructions stored, so each boundary between two instructions is a death; the
 *          shared memory is checked whenever an instruction changed it or entered the kernel.
 *   kill   a fresh child for each of these boundaries (and some others) runs to it and is killed by
 *          SIGKILL: now the kernel's part shows, too (robust list, pidfd, what became of files).
 *   stop   a fresh child runs to a boundary and is stopped by SIGSTOP; others go on (a new node, a
 *          writer that reuses what it may); then it continues to its end and must neither have
 *          written nor read what is not its own.
 *
 * The harness and its children share a *stage*: memory in which a child notes what it prepared and
 * what it got, for the harness to compare with.
 */
#ifndef HAVEN_CRASH_H
#define HAVEN_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum crash_start {
	START_EMPTY = 0,
	START_ONE,
	START_FULL,
	START_RETIRED, /**< something was just given up and is not free yet */
	START_WRAP,    /**< counters are about to wrap */
	START_DEAD,    /**< an earlier writer died in the middle of a change */
	START_COUNT
};
#define START_ALL ((1u << START_COUNT) - 1)
#define START_BUT(state) (START_ALL & ~(1u << (state)))

enum crash_pass { PASS_LOOK = 0, PASS_KILL, PASS_STOP, PASS_COUNT };

#define CRASH_REGIONS_MAX 4
#define CRASH_STAGE_BYTES (1u << 20)

/** Shared between the harness and its child. */
struct crash_stage {
	uint32_t free_running; /**< the harness no longer traces: do not trap at the end */
	uint32_t finished;     /**< set by the child when all of its work is done */
	char fault[256];       /**< what the child found wrong; "" nothing */
	_Alignas(64) uint8_t family[];
};

/** Memory whose changes are deaths worth a look. */
struct crash_region {
	const uint8_t *live;
	uint8_t *last; /**< as it was at the last look */
	size_t bytes;
};

struct crash_case {
	const struct crash_op *op;
	enum crash_start start;
	unsigned variant;
	struct crash_stage *stage;
	char dir[64]; /**< of this worker: an empty folder in memory, made anew for each child */
	pid_t child;
	enum crash_pass pass;
	uint64_t step; /**< instructions of the operation that have retired */
	uintptr_t at;  /**< address of the next one */
	struct crash_region region[CRASH_REGIONS_MAX];
	unsigned regions;
	unsigned failures;
	void *own; /**< the family's own; freed by close() */
};

/** An operation under test. Only `run` is needed. */
struct crash_op {
	const char *name;
	unsigned starts; /**< bit per start state in which it makes sense */
	unsigned forms;  /**< least number of variants that are stepped; 0: as everywhere */
	/* in the child */
	void (*setup)(struct crash_case *c); /**< prepare the start state */
	void (*run)(struct crash_case *c);   /**< the operation, stepped */
	void (*after)(struct crash_case *c); /**< what follows when nothing dies */
	/* in the harness */
	void (*prepare)(struct crash_case *c); /**< before each child is made */
	void (*open)(struct crash_case *c);    /**< a child stands before the operation */
	void (*look)(struct crash_case *c);    /**< it stands (or died) at a boundary */
	void (*killed)(struct crash_case *c);  /**< it was killed by SIGKILL and not yet reaped */
	void (*world)(struct crash_case *c);   /**< it is stopped: everybody else goes on */
	void (*ended)(struct crash_case *c);   /**< it has done all of its work and exited */
	void (*close)(struct crash_case *c);   /**< the child is gone; release what open() took */
};

/** What was found wrong, with how to see it again; at most a few per case are printed. */
__attribute__((format(printf, 2, 3))) void crash_fail(struct crash_case *c, const char *format,
						      ...);
/** In the child: note the first fault for the harness. */
__attribute__((format(printf, 2, 3))) void crash_fault(struct crash_case *c, const char *format,
						       ...);
#define CRASH_CHECK(c, x, ...)                                                                     \
	do {                                                                                       \
		if (!(x))                                                                          \
			crash_fail((c), __VA_ARGS__);                                              \
	} while (0)
#define CRASH_EXPECT(c, x)                                                                         \
	do {                                                                                       \
		if (!(x))                                                                          \
			crash_fault((c), "%s (%s:%d)", #x, __FILE__, __LINE__);                    \
	} while (0)

/** Look at this memory after every instruction. */
void crash_region_add(struct crash_case *c, const void *live, size_t bytes);
void crash_regions_drop(struct crash_case *c);

/** In a child or in prepare(): fork a process that does `work` and is killed by SIGKILL as soon as
 * it has stored `stores` times into that shared memory, in the middle of it; or at its end. */
void crash_death(struct crash_case *c, void (*work)(struct crash_case *c), const void *memory,
		 size_t bytes, unsigned stores);

const char *crash_start_name(enum crash_start start);

/** What one case gave; in memory shared by all workers. */
struct crash_tally {
	uint64_t points;   /**< instruction boundaries visited, all variants */
	uint64_t states;   /**< of them with a content of their own, each checked */
	uint64_t kills;    /**< children killed by SIGKILL */
	uint64_t stops;    /**< children stopped and continued */
	uint64_t astray;   /**< children that were stepped to their boundary */
	uint64_t failures; /**< checks that failed */
	uint32_t variants; /**< operations stepped from begin to end */
	uint32_t done;     /**< the case has been worked off */
};

/** How much of each pass. */
struct crash_effort {
	unsigned variants;      /**< of each start state, in the look pass */
	unsigned kill_rest;     /**< kills at 1 in N of the boundaries that changed nothing */
	unsigned stops;         /**< stops per case at most, spread evenly over its boundaries */
	unsigned kill_variants; /**< variants that are also killed and stopped */
	bool kills;             /**< real kills at all */
};

/** All passes over a case. */
void crash_case_run(struct crash_case *c, const struct crash_effort *effort,
		    struct crash_tally *tally);
/** One boundary in one pass: to see a failure again. */
void crash_case_again(struct crash_case *c, enum crash_pass pass, uint64_t step,
		      struct crash_tally *tally);

/* Families of operations. */
extern const struct crash_op crash_registry_ops[], crash_restart_ops[], crash_reader_ops[],
	crash_client_ops[], crash_table_ops[], crash_region_ops[], crash_dirty_ops[],
	crash_ring_ops[];

#endif
