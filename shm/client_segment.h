/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The client segment: what one application tells its node. A sealed memfd (fixed size, so the node
 * can never take a SIGBUS from it) that the application makes and passes over the socket.
 * Written by the application alone; the node maps it and reads every word as hostile input.
 */
#ifndef HAVEN_CLIENT_SEGMENT_H
#define HAVEN_CLIENT_SEGMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "error.h"
#include "haven_assert.h"
#include "haven_types.h"
#include "request.h"

#define CLIENT_SEGMENT_MAGIC 0x6e766863746e6c63ull
#define CLIENT_SEGMENT_LAYOUT_VERSION 3u
/** Gates whose generation one worker confirms; a component may have this many instances. */
#define CLIENT_CONFIRMS HAVEN_INSTANCES_MAX

enum client_worker_state {
	CLIENT_WORKER_FREE = 0,
	CLIENT_WORKER_LIVE = 1,   /**< stored after the mark is owned (W1) */
	CLIENT_WORKER_ENDED = 2,  /**< stored before the mark is released in order (W2) */
	CLIENT_WORKER_CLAIMED = 3 /**< a thread is about to own the mark; not to be watched yet */
};

/** One worker slot. Writer: the worker's thread (and the kernel, the mark, when it dies). */
struct client_worker {
	/** Robust, process-shared mutex held for the worker's whole life. When the thread dies the
	 *  kernel sets FUTEX_OWNER_DIED in its first word: the mark. */
	union {
		pthread_mutex_t mutex;
		uint32_t word; /**< the futex word is the mutex's first member on glibc */
		uint8_t bytes[64];
	} mark;
	/** Hot line: one store each per poll. */
	uint64_t quiescent; /**< reader slot, see rcu.h */
	uint64_t progress;  /**< grows with every poll: tells a stuck loop */
	uint32_t state;     /**< enum client_worker_state */
	int32_t tid;
	uint64_t component; /**< handle of the component the worker belongs to; 0: a reader of the
			     registry that belongs to none */
	uint64_t gate_overruns;
	uint64_t pad[3];
	/** Generation of each of the component's gates that this worker has taken note of: from
	 *  then on it acts by that role and no earlier one (confirmed with release, pairs P1). */
	uint64_t confirmed[CLIENT_CONFIRMS];
};
HAVEN_STATIC_ASSERT(sizeof(pthread_mutex_t) <= 64, "the mark fits its line");

struct client_segment {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t size_bytes;
	int32_t pid;
	uint32_t workers; /**< HAVEN_WORKERS_MAX */
	uint64_t pid_start_ticks;
	uint64_t pad[4];
	_Alignas(64) struct client_worker worker[HAVEN_WORKERS_MAX];
	struct request_ring requests;
};

/** Make a sealed segment. `*fd` is to be passed to the node and may then be closed. Never unmap it
 *  while a worker of this process owns a mark. Errors: ENOMEM, ESYS. */
int client_segment_create(struct client_segment **out, int *fd, struct error_text *error);
/** Node side: check size, seals, magic, version of a received descriptor, then map it read-only.
 *  Errors: EINVAL, ESIZE, ECORRUPT, EVERSION, ENOMEM, ESYS. */
int client_segment_map(int fd, struct client_segment **out, struct error_text *error);
void client_segment_unmap(struct client_segment *s);

/** Worker thread: own the mark of a slot whose state is FREE or ENDED. Errors: EFULL (the slot is
 *  not free: try the next one), ESYS. A slot whose thread died is never claimed again. */
int client_worker_claim(struct client_worker *w, uint64_t component);
/** The thread that claimed it: give it back in order. */
void client_worker_release(struct client_worker *w);
/** Node: true when the kernel has marked the word: that thread is dead. One plain load. */
static inline bool client_worker_marked(const struct client_worker *w)
{
	return (load_acquire(&w->mark.word) & 0x40000000u /* FUTEX_OWNER_DIED */) != 0;
}

/** Field 22 of /proc/PID/stat, 0 when there is no such process. */
uint64_t process_start_ticks(int pid);
/** pidfd of a process that must have the given start time, or -HAVEN_ENOENT/-HAVEN_ESYS. Closes the
 * race with pid reuse: the descriptor is opened first, the start time compared afterwards. */
int process_pidfd(int pid, uint64_t start_ticks);
/** True when the process behind the pidfd has ended (zombies count as ended). Does not block. */
bool process_ended(int pidfd);

#endif
