/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A crew: threads and processes, each on a CPU of its own, that run jobs when told to and sleep
 * otherwise, so that measured things can take turns. Processes are forked when they join: before
 * anything is built that should not be copied into them.
 */
#ifndef HAVEN_BENCH_CREW_H
#define HAVEN_BENCH_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "atomic.h"

#define CREW_MAX 16u
#define CREW_SAMPLES_MAX 65536u
#define CREW_WORDS 8u

struct crew_member;
/** Runs in the member. Returns 0 or a positive code after telling why on stderr. */
typedef int crew_job(struct crew_member *m);

/** Shared between the member and its chief. */
struct crew_member {
	/* Chief writes before a job, member reads. */
	_Alignas(HAVEN_CACHE_LINE) uint32_t order; /**< futex: number of the newest order */
	bool quit, process;
	uint32_t number; /**< of the member */
	unsigned cpu;
	crew_job *job;
	uint64_t word[CREW_WORDS]; /**< what the job takes */
	char text[128];
	/* Member writes. */
	_Alignas(HAVEN_CACHE_LINE) uint32_t done; /**< futex: the newest order that is done */
	int code;
	uint32_t samples;
	uint64_t answer[CREW_WORDS];
	uint64_t *sample; /**< CREW_SAMPLES_MAX, ns, shared */
	/* One line of its own each. */
	_Alignas(HAVEN_CACHE_LINE) uint64_t slot; /**< reader slot of the cross-process RCU */
	_Alignas(HAVEN_CACHE_LINE) uint64_t echo; /**< for ping-pong */
	_Alignas(HAVEN_CACHE_LINE) uint32_t stop; /**< chief: end the job */
	pthread_t thread;
	pid_t pid;
};

struct crew {
	struct crew_member *member; /**< CREW_MAX, shared */
	unsigned n;
};

/** Returns 0 or 1 after telling why. */
int crew_make(struct crew *c);
/** A thread of this process, or a forked process, pinned to `cpu`. NULL after telling why. */
struct crew_member *crew_join(struct crew *c, unsigned cpu, bool process);
/** Let it run `job`; returns at once. */
void crew_start(struct crew_member *m, crew_job *job);
/** Wait until it is done. Returns the job's code, or 1 when the process died. */
int crew_wait(struct crew_member *m);
/** Start and wait. */
int crew_do(struct crew_member *m, crew_job *job);
/** Member: add a sample; false when there is no room. */
static inline bool crew_sample(struct crew_member *m, uint64_t ns)
{
	if (m->samples == CREW_SAMPLES_MAX)
		return false;
	m->sample[m->samples++] = ns;
	return true;
}
static inline bool crew_stopped(const struct crew_member *m)
{
	return load_acquire(&m->stop) != 0;
}
/** Send all home and free everything. */
void crew_end(struct crew *c);

#endif
