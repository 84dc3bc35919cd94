/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The fence command: a program of the operator that cuts the other of two voters off from the world
 * (its power, its ports) and says with its exit status whether it did. Here is when it is due and
 * how it is run; what its word means stands in core/brain_fence.c.
 *
 * Thread rule: the control thread only, but for fence_wish_holds(), which touches nothing else.
 * Nothing here waits for the program.
 */
#ifndef HAVEN_FENCE_H
#define HAVEN_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

#define FENCE_LINE_MAX 80
#define FENCE_TEXT_MAX (FENCE_LINE_MAX + 40) /**< enough for fence_text() */
/** Pause before the second try; it doubles with every further one, up to FENCE_PAUSE_MAX_NS. */
#define FENCE_PAUSE_NS 1000000000ull
#define FENCE_PAUSE_MAX_NS 60000000000ull

/** The poll loop's word on whether the other voter is to be fenced, and what it is bound to. */
struct fence_wish {
	bool wanted;       /**< it is silent, and a proof of its end would be taken */
	bool first;        /**< this node goes first when both want the other one's end */
	uint64_t life;     /**< its incarnation */
	uint64_t epoch;    /**< of the view that names that life */
	uint64_t heard_ns; /**< when it was heard last: differs later if it was heard meanwhile */
};

/* ---- when ------------------------------------------------------------------------------------ */

/** Zero: nothing is wanted. */
struct fence_turns {
	bool wanted;
	uint64_t life, epoch;
	uint64_t due_ns;
	uint32_t tries; /**< that did not end the matter */
};

/** Whether the command is to be started now: at once by the node that goes first, `delay_ns` after
 *  the wish was first seen by the other one, and after the pause that fence_again() began. */
bool fence_due(struct fence_turns *t, const struct fence_wish *w, uint64_t delay_ns, uint64_t now);
/** A try has ended: no other one before the pause is over. Returns its length in ns. */
uint64_t fence_again(struct fence_turns *t, uint64_t now);
/** True when the word of a command started for `then` would still be about the same silence. */
bool fence_wish_holds(const struct fence_wish *then, const struct fence_wish *now);

/* ---- the program ----------------------------------------------------------------------------- */

/** What to run, and what the program is told. Texts need to live until fence_start() returns. */
struct fence_order {
	char *const *argv;   /**< argv[0]: an absolute path; NULL at the end */
	const char *node;    /**< HAVEN_FENCE_NODE: name of the node to fence */
	uint64_t life;       /**< HAVEN_FENCE_INCARNATION, decimal */
	const char *reason;  /**< HAVEN_FENCE_REASON */
	const char *cluster; /**< HAVEN_CLUSTER */
	uint64_t timeout_ns; /**< it is killed after this */
};

enum fence_state {
	FENCE_IDLE = 0, /**< nothing runs */
	FENCE_RUNNING,
	FENCE_ENDING, /**< was killed, and is not reaped yet */
	FENCE_DONE,   /**< told once: exit status 0 within the time */
	FENCE_FAILED, /**< told once: anything else; `code` and `line` say what */
};

/** All zero before the first start. */
struct fence {
	pid_t pid; /**< 0: none; also its process group */
	bool killed;
	int output; /**< its standard output and error, open while it runs and is not killed */
	uint64_t started_ns, ends_ns;
	int code;   /**< exit status, -1: none */
	int signal; /**< that ended it, 0: none */
	bool line_ended;
	size_t line_bytes;
	char line[FENCE_LINE_MAX]; /**< the newest line of its output that was not empty, cut */
};

/**
 * Start the program: no shell, a process group of its own, no descriptor but its three, standard
 * input empty, directory /, and no environment but PATH and the four names above. Errors: EAGAIN
 * (the one before is not reaped yet), ESYS.
 */
int fence_start(struct fence *f, const struct fence_order *o, uint64_t now,
		struct error_text *error);
/** Look after the program; never waits. Whatever of its group still runs at its end is killed. */
enum fence_state fence_poll(struct fence *f, uint64_t now);
/** Kill the program's group; its word is not wanted any more. Harmless when nothing runs. */
void fence_end(struct fence *f);
/** How a program ended that failed: "exit status 3: no route". Always terminated. */
void fence_text(const struct fence *f, char *out, size_t size);

#endif
