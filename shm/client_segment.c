/* SPDX-License-Identifier: BSD-3-Clause */
#include "client_segment.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "segment.h"

HAVEN_STATIC_ASSERT(offsetof(struct client_segment, worker) % HAVEN_CACHE_LINE == 0,
		    "worker slots start on a line");
HAVEN_STATIC_ASSERT(sizeof(struct client_worker) % HAVEN_CACHE_LINE == 0,
		    "no two workers share a line");
HAVEN_STATIC_ASSERT(offsetof(struct client_worker, quiescent) == HAVEN_CACHE_LINE,
		    "the mark has a line of its own");

static int mark_init(pthread_mutex_t *mark)
{
	pthread_mutexattr_t a;
	int status = pthread_mutexattr_init(&a);

	if (status)
		return status;
	status = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (!status)
		status = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	if (!status)
		status = pthread_mutex_init(mark, &a);
	pthread_mutexattr_destroy(&a);
	return status;
}

int client_segment_create(struct client_segment **out, int *fd, struct error_text *error)
{
	struct client_segment *s;
	void *base;
	int status = segment_make("haven-client", sizeof(*s), fd, &base, error);

	if (status)
		return status;
	s = base;
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX && !status; i++)
		status = mark_init(&s->worker[i].mark.mutex);
	if (status) {
		client_segment_unmap(s);
		close(*fd);
		*fd = -1;
		return error_set(error, HAVEN_ESYS, "no robust process-shared mutexes here: %s",
				 strerror(status));
	}
	s->layout_version = CLIENT_SEGMENT_LAYOUT_VERSION;
	s->size_bytes = sizeof(*s);
	s->pid = getpid();
	s->workers = HAVEN_WORKERS_MAX;
	s->pid_start_ticks = process_start_ticks(s->pid);
	store_release(&s->magic, CLIENT_SEGMENT_MAGIC);
	*out = s;
	return 0;
}

int client_segment_map(int fd, struct client_segment **out, struct error_text *error)
{
	struct client_segment *s;
	uint32_t version, size, workers;
	uint64_t magic;
	void *base;
	int status = segment_map(fd, sizeof(*s), false, "the client segment", &base, error);

	if (status)
		return status;
	s = base;
	/* Each word is read once: its writer may change it at any time. */
	magic = load_acquire(&s->magic);
	version = load_relaxed(&s->layout_version);
	size = load_relaxed(&s->size_bytes);
	workers = load_relaxed(&s->workers);
	if (magic != CLIENT_SEGMENT_MAGIC)
		status = error_set(error, HAVEN_ECORRUPT, "the client segment has no magic word");
	else if (version != CLIENT_SEGMENT_LAYOUT_VERSION)
		status = error_set(error, HAVEN_EVERSION,
				   "the client segment has layout version %u, this node knows %u; "
				   "use libhaven and havend of one release",
				   version, CLIENT_SEGMENT_LAYOUT_VERSION);
	else if (size != sizeof(*s) || workers != HAVEN_WORKERS_MAX)
		status = error_set(error, HAVEN_ESIZE,
				   "the client segment names %u bytes and %u workers, expected "
				   "%zu and %u",
				   size, workers, sizeof(*s), HAVEN_WORKERS_MAX);
	if (status) {
		client_segment_unmap(s);
		return status;
	}
	*out = s;
	return 0;
}

void client_segment_unmap(struct client_segment *s)
{
	segment_unmap(s, sizeof(*s));
}

/** Own the mark. The slot's state is CLAIMED, so no other thread tries, and the node does not look
 *  at the mark: one left by a thread that died while giving the slot back may be taken over. */
static int mark_lock(pthread_mutex_t *mark)
{
	int status = pthread_mutex_trylock(mark);

	if (status == EOWNERDEAD)
		status = pthread_mutex_consistent(mark);
	if (status == EBUSY)
		return -HAVEN_EFULL;
	return status ? -HAVEN_ESYS : 0;
}

int client_worker_claim(struct client_worker *w, uint64_t component)
{
	uint32_t before = load_acquire(&w->state);
	int status;

	if (before != CLIENT_WORKER_FREE && before != CLIENT_WORKER_ENDED)
		return -HAVEN_EFULL;
	if (!cas_acq_rel(&w->state, &before, CLIENT_WORKER_CLAIMED))
		return -HAVEN_EFULL;
	status = mark_lock(&w->mark.mutex);
	if (status) {
		store_release(&w->state, before);
		return status;
	}
	store_relaxed(&w->quiescent, 0);
	store_relaxed(&w->progress, 0);
	store_relaxed(&w->tid, (int32_t)syscall(SYS_gettid));
	store_relaxed(&w->component, component);
	store_relaxed(&w->gate_overruns, 0);
	for (unsigned i = 0; i < CLIENT_CONFIRMS; i++)
		store_relaxed(&w->confirmed[i], 0);
	/* W1: whoever sees LIVE sees the mark owned, so a mark of death cannot be missed. */
	store_release(&w->state, CLIENT_WORKER_LIVE);
	return 0;
}

void client_worker_release(struct client_worker *w)
{
	/* W2: whoever sees the mark free of its owner sees ENDED, so an orderly end is not taken
	 * for a slot that was never claimed. */
	store_release(&w->state, CLIENT_WORKER_ENDED);
	store_release(&w->quiescent, 0);
	pthread_mutex_unlock(&w->mark.mutex);
}
