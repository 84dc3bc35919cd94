/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the stress cases share. Each case lets threads do what processes do in the field: one writes
 * a structure in shared memory, the others read it beside him. They use one mapping, not one each,
 * because the thread sanitizer follows addresses: only so does it see that two threads mean the
 * same word. Each case also checks that values which belong together are seen together, and counts
 * what it did, so that a case in which nothing met is a failure, too.
 */
#ifndef HAVEN_STRESS_H
#define HAVEN_STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"

/** A reader's rounds before the writer may end. */
#define STRESS_ROUNDS_MIN 50u
/** Turns of a loop that waits for another thread, before it is taken for lost. */
#define STRESS_PATIENCE 20000000u

struct stress {
	uint64_t operations; /**< of the writer */
	uint64_t seed;
	const char *plant; /**< name of the planted bug, NULL: none */
	pthread_barrier_t start;
	uint32_t stop;     /**< the writer has ended */
	uint32_t failures; /**< invariants that did not hold */
};

struct stress_case {
	const char *name, *plants; /**< plants: names with blanks between */
	void (*run)(struct stress *s);
};

/** One thread of a case. */
struct stress_thread {
	struct stress *stress;
	void (*body)(struct stress_thread *t);
	unsigned number;
	uint64_t rounds; /**< counted by the thread (relaxed), read by the writer */
	pthread_t thread;
};

bool stress_planted(const struct stress *s, const char *name);
/** An invariant did not hold. Prints the first few. */
__attribute__((format(printf, 2, 3))) void stress_fail(struct stress *s, const char *format, ...);
/** Start `n` threads; they and the caller begin together, when stress_begin() was called. */
void stress_start(struct stress *s, struct stress_thread *threads, unsigned n,
		  void (*const *bodies)(struct stress_thread *t));
void stress_begin(struct stress *s);
/** The writer's loop: true while there is something to do or a reader had too few rounds. */
bool stress_more(struct stress *s, uint64_t done, const struct stress_thread *threads, unsigned n);
void stress_finish(struct stress *s, struct stress_thread *threads, unsigned n);
/** End of a reader's round. */
static inline void stress_round(struct stress_thread *t)
{
	store_relaxed(&t->rounds, t->rounds + 1);
}
static inline bool stress_stopped(const struct stress *s)
{
	return load_acquire(&s->stop) != 0;
}

extern const struct stress_case stress_registry_case, stress_client_case, stress_request_case,
	stress_table_case, stress_broadcast_case;

#endif
