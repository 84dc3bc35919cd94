/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attachments, and how threads go from one to the next while packets flow.
 *
 *     now ─▶ attachment 3 ─▶ attachment 2 ─▶ attachment 1        (older)
 *               ▲   ▲            ▲
 *            reader worker 0   worker 1 has not polled since the node died
 *
 *   A1  attachment_publish() stores `now` with release; polls and enters load it with acquire. So
 *       who sees an attachment sees it whole: mapping, gates, lane lines.
 *   A2  A thread stores the attachment it works with (`at`) with release after its last access to
 *       the former one; attachment_reap() loads it with acquire. Threads go forward only, so an
 *       attachment is free when every thread works with a newer one: whoever loads `now` finds one
 *       that is at least as new as that of the slowest thread, himself included.
 *
 * The word in a thread's reader slot belongs to one registry at a time, but is watched by the nodes
 * of both while they change. The new node watches the slot before the attachment is published, so
 * before anything is found in the new registry. Until the thread goes over, the slot shows an epoch
 * of the former registry. To the new node that is any number: a small one delays the reuse of its
 * memory for a while, a great one delays nothing, and the thread holds nothing of it yet. Going
 * over stores the new registry's epoch, with the fence of rcu_enter(), before the first look-up in
 * it. The former node is dead or has given this process up, and the former mapping stays.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_internal.h"
#include "rcu.h"

/** Changes of one registry stay below this; a million per second for 8 years. */
#define CHANGES_BITS 48

bool attachment_lost(const struct attachment *at)
{
	return load_relaxed(&at->gone) != 0;
}

void attachment_lose(struct attachment *at)
{
	store_relaxed(&at->gone, 1);
	/* Not closed yet: another worker may be looking at the descriptor. */
	shutdown(at->socket, SHUT_RDWR);
}

bool attachment_hung_up(struct attachment *at)
{
	struct pollfd p = {.fd = at->socket};

	if (attachment_lost(at))
		return true;
	if (poll(&p, 1, 0) <= 0 || (p.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0)
		return false;
	attachment_lose(at);
	return true;
}

int attachment_call(struct haven *h, struct attachment *at, struct message *m, int fd,
		    int *reply_fd)
{
	int status;

	if (attachment_lost(at))
		return error_set(&h->error, HAVEN_ENODE,
				 "the node went away; reattach, or detach and attach again");
	status = message_call(at->socket, m, fd, reply_fd, CLIENT_CALL_TIMEOUT_MS, &h->error);
	if (status == -HAVEN_ENODE || status == -HAVEN_ETIMEDOUT)
		attachment_lose(at);
	return status;
}

/* Pass the client segment to the node and map the registry that comes back. */
static int attachment_exchange(struct haven *h, struct attachment *at, uint64_t seen)
{
	struct message m = {.type = MESSAGE_ATTACH};
	int registry_fd = -1, status;

	m.u.attach.segment_layout = CLIENT_SEGMENT_LAYOUT_VERSION;
	m.u.attach.registry_layout = REGISTRY_LAYOUT_VERSION;
	m.u.attach.table_layout = TABLE_LAYOUT_VERSION;
	m.u.attach.pid = getpid();
	m.u.attach.seen = seen;
	status = attachment_call(h, at, &m, h->segment_fd, &registry_fd);
	if (status)
		return status;
	if (registry_fd < 0)
		return error_set(&h->error, HAVEN_ECORRUPT,
				 "the node's answer carries no registry; use libhaven and havend "
				 "of one release");
	status = registry_open_fd(&at->registry, registry_fd, &h->error);
	close(registry_fd);
	if (status)
		return status;
	if (m.u.attach.client >= at->registry.shape.clients)
		return error_set(&h->error, HAVEN_ECORRUPT,
				 "the node names client line %u; the registry has %u",
				 m.u.attach.client, at->registry.shape.clients);
	at->line = &at->registry.clients[m.u.attach.client];
	return 0;
}

int attachment_open(struct haven *h, uint64_t seen, struct attachment **out)
{
	struct attachment *at = aligned_alloc(HAVEN_CACHE_LINE, sizeof(*at));
	int status;

	*out = NULL;
	if (!at)
		return error_set(&h->error, HAVEN_ENOMEM, "no memory to attach");
	memset(at, 0, sizeof(*at));
	at->registry.fd = -1;
	at->serial = h->now ? h->now->serial + 1 : 1;
	at->changes_base = at->serial << CHANGES_BITS;
	at->socket = message_connect(h->run_dir, &h->error);
	status = at->socket < 0 ? at->socket : attachment_exchange(h, at, seen);
	if (status) {
		attachment_free(at);
		return status;
	}
	*out = at;
	return 0;
}

void attachment_free(struct attachment *at)
{
	if (at->registry.base)
		registry_close(&at->registry);
	if (at->socket >= 0)
		close(at->socket);
	free(at);
}

void attachment_publish(struct haven *h, struct attachment *at)
{
	at->older = h->now;
	store_release(&h->now, at); /* A1 */
}

/* Serial of the oldest attachment that is still needed. */
static uint64_t oldest_needed(struct haven *h)
{
	uint64_t oldest = h->now->serial;

	for (const struct haven_reader *r = h->readers; r; r = r->next) {
		uint64_t serial;

		/* A thread that died uses nothing any more, and its attachment may be gone. */
		if (client_worker_marked(r->slot))
			continue;
		serial = load_acquire(&r->at)->serial; /* A2 */
		if (serial < oldest)
			oldest = serial;
	}
	return oldest;
}

unsigned attachment_reap(struct haven *h)
{
	uint64_t oldest = oldest_needed(h);
	struct attachment *at = h->now;
	unsigned left = 1;

	for (; at->older && at->older->serial >= oldest; at = at->older)
		left++;
	while (at->older) {
		struct attachment *free_now = at->older;

		at->older = free_now->older;
		attachment_free(free_now);
	}
	return left;
}

void attachment_move(struct haven_reader *r)
{
	struct attachment *at = load_acquire(&r->haven->now); /* A1 */

	r->registry = &at->registry;
	r->rcu_epoch = &at->registry.header->rcu_epoch;
	rcu_enter(r->rcu_epoch, &r->slot->quiescent);
	store_release(&r->at, at); /* A2 */
}
