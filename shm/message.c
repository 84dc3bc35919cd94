/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "haven_assert.h"

/** Descriptors one message may bring before the kernel drops the rest; all but one are closed. */
#define FDS_MAX 8
/** Replies to earlier requests, given up by time-out, that are skipped before giving up. */
#define STALE_REPLIES_MAX 8
/** A stopped node neither accepts nor reads; nobody waits longer than this for it. */
#define SEND_TIMEOUT_S 5

union control {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

static int error_of_errno(int e)
{
	switch (e) {
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return -HAVEN_ENODE;
	case EAGAIN:
		return -HAVEN_EAGAIN;
	default:
		return -HAVEN_ESYS;
	}
}

int message_send(int socket, const struct message *m, int fd)
{
	struct message copy = *m;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t n;

	copy.version = MESSAGE_VERSION;
	copy.size = sizeof(copy);
	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		n = sendmsg(socket, &h, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_of_errno(errno);
	return n == (ssize_t)sizeof(copy) ? 0 : -HAVEN_ESIZE;
}

/** Keep the first descriptor, close the others. */
static int take_first_fd(struct msghdr *h)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/** Wait until `socket` is readable; `until_ns` 0: for ever. */
static int wait_readable(int socket, uint64_t until_ns)
{
	for (;;) {
		struct pollfd p = {.fd = socket, .events = POLLIN};
		uint64_t now = until_ns ? clock_now_ns() : 0;
		uint64_t left_ms =
			until_ns > now ? (until_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC : 0;
		int n = poll(&p, 1, until_ns ? (int)left_ms : -1);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -HAVEN_ESYS;
		if (until_ns && clock_now_ns() >= until_ns)
			return -HAVEN_ETIMEDOUT;
	}
}

static uint64_t deadline(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : clock_now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
}

/** Strings end inside their fields, whatever the sender wrote. */
static void terminate(struct message *m)
{
	m->text[sizeof(m->text) - 1] = 0;
	switch (m->type) {
	case MESSAGE_REGISTER:
		m->u.reg.name[HAVEN_NAME_MAX - 1] = 0;
		m->u.reg.group[HAVEN_NAME_MAX - 1] = 0;
		m->u.reg.release[HAVEN_NAME_MAX - 1] = 0;
		break;
	case MESSAGE_CHECKPOINT:
		m->u.checkpoint.shape.name[HAVEN_NAME_MAX - 1] = 0;
		break;
	case MESSAGE_SWITCHOVER:
		m->u.switchover.instance[HAVEN_NAME_MAX - 1] = 0;
		m->u.switchover.to[HAVEN_NAME_MAX - 1] = 0;
		break;
	case MESSAGE_TABLE:
		m->u.table.instance[HAVEN_NAME_MAX - 1] = 0;
		m->u.table.name[HAVEN_NAME_MAX - 1] = 0;
		m->u.table.shape.name[HAVEN_NAME_MAX - 1] = 0;
		break;
	case MESSAGE_RESTORE:
	case MESSAGE_RESTORE_TAKE:
	case MESSAGE_RESTORE_DONE:
		m->u.restore.instance[HAVEN_NAME_MAX - 1] = 0;
		m->u.restore.name[HAVEN_NAME_MAX - 1] = 0;
		m->u.restore.why[sizeof(m->u.restore.why) - 1] = 0;
		break;
	case MESSAGE_CONFIRM_DEAD:
		m->u.confirm.node[HAVEN_NAME_MAX - 1] = 0;
		m->u.confirm.why[sizeof(m->u.confirm.why) - 1] = 0;
		break;
	default:
		break;
	}
}

static int check(const struct message *m, ssize_t bytes)
{
	if (bytes < (ssize_t)sizeof(m->version))
		return -HAVEN_ESIZE;
	if (m->version != MESSAGE_VERSION)
		return -HAVEN_EVERSION;
	if (bytes != (ssize_t)sizeof(*m) || m->size != sizeof(*m))
		return -HAVEN_ESIZE;
	return 0;
}

static int receive_until(int socket, struct message *m, int *fd, uint64_t until_ns)
{
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	union control control;
	struct msghdr h = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	ssize_t n;
	int status;

	*fd = -1;
	status = wait_readable(socket, until_ns);
	if (status)
		return status;
	do
		n = recvmsg(socket, &h, MSG_CMSG_CLOEXEC | MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_of_errno(errno);
	*fd = take_first_fd(&h);
	status = n == 0 ? -HAVEN_ENODE : check(m, n);
	if (status) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return status;
	}
	terminate(m);
	return 0;
}

int message_receive(int socket, struct message *m, int *fd, int timeout_ms)
{
	return receive_until(socket, m, fd, deadline(timeout_ms));
}

static void drop_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int explain(int status, struct error_text *error)
{
	switch (status) {
	case -HAVEN_ENODE:
		return error_set(error, status, "the node closed the connection");
	case -HAVEN_ETIMEDOUT:
		return error_set(error, status, "the node did not answer in time");
	case -HAVEN_EVERSION:
		return error_set(error, status,
				 "the node speaks another message version than %u; use programs "
				 "of one release",
				 MESSAGE_VERSION);
	default:
		return error_set(error, status, "talking to the node failed: %s",
				 error_sentence(status));
	}
}

int message_call(int socket, struct message *m, int fd, int *reply_fd, int timeout_ms,
		 struct error_text *error)
{
	static uint32_t last_id;
	uint64_t until_ns = deadline(timeout_ms);
	struct message reply;
	int got, status;

	m->id = fetch_add_relaxed(&last_id, 1) + 1;
	if (reply_fd)
		*reply_fd = -1;
	status = message_send(socket, m, fd);
	for (int i = 0; !status && i <= STALE_REPLIES_MAX; i++) {
		status = receive_until(socket, &reply, &got, until_ns);
		if (status)
			break;
		if (reply.id == m->id && reply.type == m->type)
			goto answered;
		drop_fd(&got);
	}
	return explain(status ? status : -HAVEN_ECORRUPT, error);

answered:
	if (reply.result) {
		drop_fd(&got);
		if (reply.result > 0 || reply.result <= -HAVEN_ERROR_COUNT)
			return explain(-HAVEN_ECORRUPT, error);
		return error_set(error, reply.result, "%s",
				 reply.text[0] ? reply.text : error_sentence(reply.result));
	}
	*m = reply;
	if (reply_fd)
		*reply_fd = got;
	else
		drop_fd(&got);
	return 0;
}

/** Connect `s` to the socket file; a path too long for an address goes through the directory. */
static int connect_path(int s, const char *run_dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int dir, n, status;

	n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MESSAGE_SOCKET, run_dir);
	if (n < (int)sizeof(address.sun_path))
		return connect(s, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" MESSAGE_SOCKET,
		 dir);
	status = connect(s, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(dir);
	return status;
}

static int explain_connect(int e, const char *run_dir, struct error_text *error)
{
	switch (e) {
	case ENOENT:
	case ENOTDIR:
		return error_set(error, HAVEN_ENODE,
				 "no node runs in %.150s: there is no " MESSAGE_SOCKET
				 "; start havend or name its run directory",
				 run_dir);
	case ECONNREFUSED:
		return error_set(error, HAVEN_ENODE,
				 "the node of %.150s is not running (it left its " MESSAGE_SOCKET
				 "); start havend again",
				 run_dir);
	case EACCES:
	case EPERM:
		return error_set(error, HAVEN_EPERM,
				 "no right to connect to %.150s/" MESSAGE_SOCKET
				 ": run as the node's user or in its group",
				 run_dir);
	case EAGAIN:
		return error_set(error, HAVEN_ETIMEDOUT,
				 "the node of %.150s does not accept connections: is it stopped?",
				 run_dir);
	default:
		return error_set(error, HAVEN_ESYS,
				 "cannot connect to %.150s/" MESSAGE_SOCKET ": %s", run_dir,
				 strerror(e));
	}
}

int message_connect(const char *run_dir, struct error_text *error)
{
	const struct timeval patience = {.tv_sec = SEND_TIMEOUT_S};
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int status;

	if (s < 0)
		return error_set(error, HAVEN_ESYS, "cannot make a socket: %s", strerror(errno));
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	status = connect_path(s, run_dir);
	if (status) {
		close(s);
		return explain_connect(status, run_dir, error);
	}
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		status = error_set(error, HAVEN_ESYS, "no credentials of the peer: %s",
				   strerror(errno));
	else if (peer.uid != 0 && peer.uid != geteuid())
		status = error_set(error, HAVEN_EPERM,
				   "the socket in %.150s belongs to user %u, neither root nor the "
				   "caller: not trusted",
				   run_dir, peer.uid);
	if (status) {
		close(s);
		return status;
	}
	return s;
}
