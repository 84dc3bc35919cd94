/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to attachments in the child of a fork().
 *
 * Slots, lanes and the connection belong to the parent: robust marks are owned by its threads, a
 * lane has one writer, a request has one ring. The child has the same mappings and descriptors, so
 * it could harm all of that with one careless poll. Therefore, before fork() returns in the child,
 * segments and tables are replaced by private copies at the same addresses (copy-on-write, no page
 * is touched now), sockets are closed without a word to the node, and the attachment counts as
 * lost. Children made by vfork() or posix_spawn() run another program and need none of this.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "client_internal.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct haven *list;
static bool watching;

static void fork_prepare(void)
{
	pthread_mutex_lock(&list_lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&list_lock);
}

static void cut_off_attachment(struct attachment *at)
{
	store_relaxed(&at->gone, 1);
	close(at->socket);
	at->socket = -1;
}

static void make_private(void *base, uint64_t bytes, int fd)
{
	/* If that cannot be, a fault is better than a write into the parent's memory. */
	if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		munmap(base, bytes);
}

/* The lists may be walked although another thread of the parent may have been changing them: they
 * are whole at every instant. */
static void cut_off(struct haven *h)
{
	store_relaxed(&h->forked, 1);
	make_private(h->segment, sizeof(*h->segment), h->segment_fd);
	for (const struct haven_component *c = h->components; c; c = c->next)
		for (const struct haven_table *t = c->tables; t; t = t->next)
			make_private(t->table.base, t->table.geometry.total_bytes, t->fd);
	for (struct attachment *at = h->now; at; at = at->older)
		cut_off_attachment(at);
	if (h->next)
		cut_off_attachment(h->next);
	/* Threads of the parent may have held them. */
	pthread_mutex_init(&h->control, NULL);
	pthread_mutex_init(&h->requests->lock, NULL);
	/* Their owners are not in this process, and the marks are not its own. */
	h->readers = NULL;
	store_relaxed(&h->references, 1);
}

static void fork_child(void)
{
	for (struct haven *h = list; h; h = h->fork_next)
		cut_off(h);
	pthread_mutex_init(&list_lock, NULL);
}

int fork_enlist(struct haven *h)
{
	int status = 0;

	pthread_mutex_lock(&list_lock);
	if (!watching)
		status = pthread_atfork(fork_prepare, fork_parent, fork_child);
	if (!status) {
		watching = true;
		h->fork_next = list;
		list = h;
	}
	pthread_mutex_unlock(&list_lock);
	return status ? -HAVEN_ENOMEM : 0;
}

void fork_delist(struct haven *h)
{
	pthread_mutex_lock(&list_lock);
	for (struct haven **at = &list; *at; at = &(*at)->fork_next) {
		if (*at == h) {
			*at = h->fork_next;
			break;
		}
	}
	pthread_mutex_unlock(&list_lock);
}
