/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proof of death by pidfd: of the processes of attached clients, and of those whose components were
 * taken over from an earlier node and that have not attached yet. One descriptor per process.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "control.h"
#include "haven_assert.h"
#include "node.h"

/* ---- clients --------------------------------------------------------------------------------- */

int control_watch(struct control *c, struct local_client *client)
{
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(c->client); i++) {
		if (c->client[i])
			continue;
		if (control_watch_fd(c, client->pidfd, WATCH_PROCESS, i) != 0)
			return -HAVEN_ESYS;
		c->client[i] = client;
		return 0;
	}
	return -HAVEN_EFULL;
}

void control_unwatch(struct control *c, struct local_client *client)
{
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(c->client); i++) {
		if (c->client[i] == client)
			c->client[i] = NULL;
	}
	epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, client->pidfd, NULL);
}

void control_process_event(struct control *c, unsigned index)
{
	struct local_client *client = c->client[index];

	if (!client || !process_ended(client->pidfd))
		return;
	/* Told once: the descriptor stays readable. */
	epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, client->pidfd, NULL);
	client->in_flight++;
	control_push(c, &client->end);
}

/* ---- processes that have not come back ------------------------------------------------------- */

int control_pending_start(struct control *c, struct error_text *error)
{
	const struct owner_books *owners = &c->node->local.light.owners;

	if (owners->n_pending == 0)
		return 0;
	c->pending = calloc(owners->n_pending, sizeof(*c->pending));
	if (!c->pending)
		return error_set(error, HAVEN_ENOMEM, "no memory for %u processes to watch",
				 owners->n_pending);
	for (uint32_t i = 0; i < owners->used; i++) {
		const struct owner_process *p = &owners->process[i];

		if (p->state == OWNER_PENDING)
			c->pending[c->n_pending++] = (struct control_pending){
				.pid = p->pid,
				.pid_start_ticks = p->pid_start_ticks,
				.pidfd = -1,
				.told = {.kind = COMMAND_PROCESS_ENDED,
					 .pid = p->pid,
					 .pid_start_ticks = p->pid_start_ticks}};
	}
	return 0;
}

static void pending_done(struct control *c, struct control_pending *p)
{
	p->done = true;
	if (p->pidfd < 0)
		return;
	epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, p->pidfd, NULL);
	close(p->pidfd);
	p->pidfd = -1;
}

void control_pending_stop(struct control *c)
{
	for (uint32_t i = 0; i < c->n_pending; i++) {
		if (c->pending[i].pidfd >= 0)
			close(c->pending[i].pidfd);
	}
	free(c->pending);
}

static void pending_ended(struct control *c, struct control_pending *p)
{
	pending_done(c, p);
	control_push(c, &p->told);
}

/* Without a descriptor to spare it is tried again later; no such process is proof, too. */
static void pending_watch(struct control *c, struct control_pending *p)
{
	int fd = process_pidfd(p->pid, p->pid_start_ticks);

	if (fd == -HAVEN_ENOENT) {
		pending_ended(c, p);
		return;
	}
	if (fd < 0)
		return;
	if (control_watch_fd(c, fd, WATCH_PENDING, (size_t)(p - c->pending)) != 0)
		close(fd);
	else
		p->pidfd = fd;
}

void control_pending_look(struct control *c)
{
	for (uint32_t i = 0; i < c->n_pending; i++) {
		if (!c->pending[i].done && c->pending[i].pidfd < 0)
			pending_watch(c, &c->pending[i]);
	}
}

void control_pending_event(struct control *c, unsigned index)
{
	struct control_pending *p = &c->pending[index];

	if (!p->done && process_ended(p->pidfd))
		pending_ended(c, p);
}

void control_pending_attached(struct control *c, const struct local_client *client)
{
	for (uint32_t i = 0; i < c->n_pending; i++) {
		struct control_pending *p = &c->pending[i];

		if (!p->done && p->pid == client->pid &&
		    p->pid_start_ticks == client->pid_start_ticks)
			pending_done(c, p);
	}
}
