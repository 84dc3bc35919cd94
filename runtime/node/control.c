/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_lcore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "haven_assert.h"
#include "node.h"
#include "restart.h"
#include "run_dir.h"

/** The loop does not enter the kernel to wake this thread; while an answer is due it looks. */
#define LOOK_MS 1
#define IDLE_MS 50
#define PORTS_NS (50 * NSEC_PER_MSEC)
#define GROUPS_MAX 256

void control_push(struct control *c, struct command *command)
{
	c->under_way++;
	command_push(&c->node->to_loop, command);
}

int control_watch_fd(struct control *c, int fd, enum control_watch kind, size_t index)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = CONTROL_TAG(kind, index)};

	return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -HAVEN_ESYS;
}

/* ---- connections --------------------------------------------------------------------------------
 */

void control_hang_up(struct control *c, struct control_connection *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
	if (conn->client) {
		conn->client->in_flight++;
		control_push(c, &conn->client->hang_up);
		conn->client = NULL;
	}
}

void control_reply(struct control *c, struct control_connection *conn, const struct message *m,
		   int fd)
{
	if (conn->fd < 0)
		return;
	if (message_send(conn->fd, m, fd) != 0)
		control_hang_up(c, conn);
}

/* One request of a connection at a time: the next one is not even looked for meanwhile. */
void control_listen(struct control *c, struct control_connection *conn, bool listen)
{
	struct epoll_event e = {.events = listen ? EPOLLIN : 0,
				.data.u64 = CONTROL_TAG(WATCH_CONNECTION, conn - c->connection)};

	if (conn->fd >= 0)
		epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, conn->fd, &e);
}

/* Root, the node's own user, and members of the run directory's group. */
static bool peer_allowed(const struct control *c, int fd, struct ucred *peer)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(*peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) != 0)
		return false;
	if (peer->uid == 0 || peer->uid == geteuid() || peer->gid == c->group)
		return true;
	size = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return false;
	for (unsigned i = 0; i < size / sizeof(groups[0]); i++) {
		if (groups[i] == c->group)
			return true;
	}
	return false;
}

/* Descriptors ran out. Left unaccepted the peer would wait, and this thread would spin. */
static void refuse_one(struct control *c)
{
	const struct message refusal = {.result = -HAVEN_EFULL,
					.text = "this node has no descriptor left; give it more "
						"(ulimit -n)"};
	int fd;

	if (c->spare_fd >= 0)
		close(c->spare_fd);
	fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		message_send(fd, &refusal, -1);
		close(fd);
	}
	c->spare_fd = eventfd(0, EFD_CLOEXEC);
}

/* One try for each free place; a peer that cannot be served is told why and let go. */
static void accept_one(struct control *c)
{
	struct message refusal = {.result = -HAVEN_EPERM,
				  .text = "this user may not use this node"};
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_connection *conn = NULL;
	struct ucred peer;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		refuse_one(c);
	if (fd < 0)
		return;
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX && !conn; i++) {
		if (c->connection[i].fd < 0 && !c->connection[i].busy)
			conn = &c->connection[i];
	}
	if (!conn) {
		refusal.result = -HAVEN_EFULL;
		snprintf(refusal.text, sizeof(refusal.text), "too many connections to this node");
	}
	if (!peer_allowed(c, fd, &peer) || !conn) {
		message_send(fd, &refusal, -1);
		close(fd);
		return;
	}
	*conn = (struct control_connection){.fd = fd, .pid = peer.pid};
	conn->owner = peer.uid == 0 || peer.uid == geteuid();
	if (control_watch_fd(c, fd, WATCH_CONNECTION, (size_t)(conn - c->connection)) != 0)
		control_hang_up(c, conn);
}

static void connection_event(struct control *c, unsigned index, uint32_t events)
{
	struct control_connection *conn = &c->connection[index];
	struct message m;
	int fd, err;

	if (conn->fd < 0)
		return;
	if (conn->busy) {
		/* Nothing else is watched while a request is under way: the peer is gone. */
		if (events & (EPOLLHUP | EPOLLERR))
			control_hang_up(c, conn);
		return;
	}
	memset(&m, 0, sizeof(m));
	err = message_receive(conn->fd, &m, &fd, 0);
	if (err == -HAVEN_ETIMEDOUT || err == -HAVEN_EAGAIN)
		return;
	if (err) {
		if (err == -HAVEN_EVERSION || err == -HAVEN_ESIZE) {
			snprintf(m.text, sizeof(m.text),
				 "the node speaks message version %u of %zu bytes, the request is "
				 "version %u; remedy: use programs of one release",
				 MESSAGE_VERSION, sizeof(m), m.version);
			m.result = (int16_t)err;
			control_reply(c, conn, &m, -1);
		}
		control_hang_up(c, conn);
		return;
	}
	control_request(c, conn, &m, fd);
}

/* ---- the thread
 * ---------------------------------------------------------------------------------- */

static void take_answers(struct control *c)
{
	struct command *command;

	while ((command = command_take(&c->node->to_control))) {
		if (command->kind != COMMAND_RELEASE && command->kind != COMMAND_EVICT)
			c->under_way--;
		control_returned(c, command);
	}
}

static void push_retries(struct control *c)
{
	for (unsigned i = 0; i < c->n_retries; i++)
		control_push(c, c->retry[i]);
	c->n_retries = 0;
}

/* What is slow and regular: the links, and the number of the newest view on disk. */
static void housekeeping(struct control *c)
{
	struct haven_node *n = c->node;
	uint64_t now = clock_now_ns(), epoch;
	const struct publish_snapshot *s;

	if (now < c->ports_due_ns)
		return;
	c->ports_due_ns = now + PORTS_NS;
	if (load_relaxed(&n->reload)) {
		store_relaxed(&n->reload, 0); /* first: a request that comes now is not lost */
		settings_reload(n);
	}
	control_pending_look(c);
	control_fence_look(c);
	for (unsigned i = 0; i < n->n_ports; i++)
		port_link_ask(&n->port[i]);
	rcu_read_lock();
	s = rcu_dereference(n->publish.snapshot);
	epoch = s ? s->epoch : 0;
	rcu_read_unlock();
	restart_keep(n);
	if (epoch > c->epoch_kept && run_dir_keep(n->me->run_dir, RUN_DIR_EPOCH, epoch) == 0)
		c->epoch_kept = epoch;
}

static bool handle_event(struct control *c, const struct epoll_event *e)
{
	unsigned index = (unsigned)(e->data.u64 & UINT32_MAX);

	switch ((enum control_watch)(e->data.u64 >> 32)) {
	case WATCH_LISTEN:
		accept_one(c);
		break;
	case WATCH_STOP:
		return false;
	case WATCH_CONNECTION:
		connection_event(c, index, e->events);
		break;
	case WATCH_PROCESS:
		control_process_event(c, index);
		break;
	case WATCH_PENDING:
		control_pending_event(c, index);
		break;
	}
	return true;
}

static void *control_main(void *argument)
{
	struct control *c = argument;
	struct epoll_event events[16];
	bool serving = true;

	rcu_register_thread();
	c->reclaimer = create_call_rcu_data(0, -1);
	store_release(&c->ready, 1);
	while (serving) {
		bool due = c->under_way || c->n_retries;
		int n = epoll_wait(c->epoll_fd, events, HAVEN_ARRAY_LEN(events),
				   due ? LOOK_MS : IDLE_MS);

		for (int i = 0; i < n && serving; i++)
			serving = handle_event(c, &events[i]);
		take_answers(c);
		push_retries(c);
		housekeeping(c);
	}
	rcu_unregister_thread();
	return NULL;
}

/* ---- start and stop
 * -------------------------------------------------------------------------------- */

static int listen_open(struct control *c, const char *run_dir, struct error_text *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MESSAGE_SOCKET, run_dir) >=
	    (int)sizeof(address.sun_path))
		return error_set(error, HAVEN_ESYS, "run directory %s is too long a path", run_dir);
	/* The lock on the run directory is ours, so a socket left there is a dead node's. */
	unlink(address.sun_path);
	c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listen_fd < 0 || fchmod(c->listen_fd, 0660) != 0 ||
	    bind(c->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    chmod(address.sun_path, 0660) != 0 || listen(c->listen_fd, 16) != 0 ||
	    stat(run_dir, &st) != 0)
		return error_set(error, HAVEN_ESYS, "cannot serve %s: %s", address.sun_path,
				 strerror(errno));
	c->group = st.st_gid;
	return 0;
}

static int control_open(struct haven_node *n, struct control *c, struct error_text *error)
{
	int err = listen_open(c, n->me->run_dir, error);

	if (err)
		return err;
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->spare_fd = eventfd(0, EFD_CLOEXEC);
	if (c->epoll_fd < 0 || c->stop_fd < 0 || c->spare_fd < 0 ||
	    control_watch_fd(c, c->listen_fd, WATCH_LISTEN, 0) != 0 ||
	    control_watch_fd(c, c->stop_fd, WATCH_STOP, 0) != 0)
		return error_set(error, HAVEN_ESYS, "cannot watch descriptors: %s",
				 strerror(errno));
	return 0;
}

static void control_close(struct control *c)
{
	char path[CONFIG_PATH_MAX + 16];

	if (c->listen_fd >= 0) {
		snprintf(path, sizeof(path), "%s/" MESSAGE_SOCKET, c->node->me->run_dir);
		unlink(path);
		close(c->listen_fd);
	}
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->spare_fd >= 0)
		close(c->spare_fd);
	control_pending_stop(c);
	free(c);
}

int control_start(struct haven_node *n, struct error_text *error)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return error_set(error, HAVEN_ENOMEM, "no memory for the control thread");
	c->node = n;
	c->listen_fd = c->epoll_fd = c->stop_fd = c->spare_fd = -1;
	c->epoch_kept = n->epoch_floor;
	control_fence_begin(c);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		c->connection[i].fd = -1;
	err = control_open(n, c, error);
	if (!err)
		err = control_pending_start(c, error);
	/* DPDK gives its control threads the CPUs on which nothing polls. */
	if (!err && rte_ctrl_thread_create(&c->thread, "haven-control", NULL, control_main, c) != 0)
		err = error_set(error, HAVEN_ESYS, "cannot start the control thread");
	if (err) {
		control_close(c);
		return err;
	}
	while (!load_acquire(&c->ready))
		sched_yield();
	set_thread_call_rcu_data(c->reclaimer);
	n->control = c;
	return 0;
}

/* Everything the loop still had is freed here: it has ended, and clients see their node gone. */
void control_stop(struct haven_node *n)
{
	struct control *c = n->control;
	const uint64_t one = 1;
	struct command *command;

	if (!c)
		return;
	if (write(c->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(c->thread, NULL);
	control_fence_stop(c);
	while ((command = command_take(&n->to_loop)))
		local_answer(n, command, -HAVEN_ENODE, "the node is stopping");
	take_answers(c);
	for (unsigned i = 0; i < c->n_retries; i++)
		control_returned(c, c->retry[i]);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (c->connection[i].fd >= 0)
			close(c->connection[i].fd);
	}
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(c->client); i++) {
		if (c->client[i])
			control_client_free(c, c->client[i]);
	}
	rcu_barrier();
	set_thread_call_rcu_data(NULL);
	call_rcu_data_free(c->reclaimer);
	control_close(c);
	n->control = NULL;
}
