/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "message.h"
#include "prng.h"

static int pair[2];
static struct error_text error;
static struct message m;

static void setup(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	memset(&m, 0, sizeof(m));
}

static void teardown(void)
{
	close(pair[0]);
	close(pair[1]);
}

TestSuite(message, .init = setup, .fini = teardown);

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/** Send raw bytes with `n` copies of descriptor `fd`. */
static void send_raw(const void *data, size_t bytes, int fd, int n)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
	union {
		char bytes[CMSG_SPACE(32 * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		for (int i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	}
	cr_assert_eq(sendmsg(pair[0], &h, 0), (ssize_t)bytes);
}

Test(message, comes_whole_with_its_descriptor)
{
	struct stat sent, got_stat;
	struct message got;
	int fd;

	m.type = MESSAGE_REGISTER;
	m.id = 7;
	m.handle = 1ull << 40;
	strcpy(m.u.reg.name, "nat");
	cr_assert_eq(message_send(pair[0], &m, pair[1]), 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), 0);
	cr_assert_eq(got.type, MESSAGE_REGISTER);
	cr_assert_eq(got.id, 7);
	cr_assert_eq(got.handle, 1ull << 40);
	cr_assert_str_eq(got.u.reg.name, "nat");
	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fstat(pair[1], &sent);
	fstat(fd, &got_stat);
	cr_assert_eq(sent.st_ino, got_stat.st_ino);
	close(fd);

	cr_assert_eq(message_send(pair[0], &m, -1), 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), 0);
	cr_assert_eq(fd, -1);
}

Test(message, surplus_descriptors_are_closed)
{
	int before, fd;
	struct message got;

	m.version = MESSAGE_VERSION;
	m.size = sizeof(m);
	for (int n = 2; n < 20; n += 3) {
		before = open_descriptors();
		send_raw(&m, sizeof(m), pair[0], n);
		cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), 0);
		cr_assert_geq(fd, 0);
		close(fd);
		cr_assert_eq(open_descriptors(), before);
	}
}

Test(message, descriptors_of_a_refused_message_are_closed)
{
	int before = open_descriptors(), fd;
	struct message got;

	m.version = MESSAGE_VERSION + 1;
	m.size = sizeof(m);
	send_raw(&m, sizeof(m), pair[0], 3);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_EVERSION);
	cr_assert_eq(fd, -1);
	cr_assert_eq(open_descriptors(), before);
}

Test(message, of_another_version_or_size_is_refused_as_such)
{
	uint8_t big[sizeof(m) + 100] = {0};
	struct message got;
	int fd;

	m.version = 9;
	m.size = 12;
	send_raw(&m, 12, -1, 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_EVERSION,
		     "another version may have another size");
	m.version = MESSAGE_VERSION;
	m.size = sizeof(m);
	send_raw(&m, sizeof(m) - 1, -1, 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_ESIZE);
	send_raw(&m, 3, -1, 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_ESIZE);
	memcpy(big, &m, sizeof(m));
	send_raw(big, sizeof(big), -1, 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_ESIZE);
	m.size = 1;
	send_raw(&m, sizeof(m), -1, 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), -HAVEN_ESIZE);
	/* and the connection still works */
	cr_assert_eq(message_send(pair[0], &m, -1), 0);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), 0);
}

Test(message, strings_end_inside_their_fields_whatever_comes)
{
	struct prng p = {.state = 2};

	for (int round = 0; round < 2000; round++) {
		struct message got;
		int fd;

		for (size_t i = 0; i < sizeof(m); i++)
			((uint8_t *)&m)[i] = (uint8_t)prng_next(&p) | 1;
		m.version = MESSAGE_VERSION;
		m.size = sizeof(m);
		m.type = (uint16_t)(1 + prng_below(&p, MESSAGE_TYPE_COUNT));
		send_raw(&m, sizeof(m), -1, 0);
		cr_assert_eq(message_receive(pair[1], &got, &fd, 1000), 0);
		cr_assert_lt(strnlen(got.text, sizeof(got.text)), sizeof(got.text));
		if (got.type == MESSAGE_REGISTER) {
			cr_assert_lt(strnlen(got.u.reg.name, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
			cr_assert_lt(strnlen(got.u.reg.group, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
			cr_assert_lt(strnlen(got.u.reg.release, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
		} else if (got.type == MESSAGE_CHECKPOINT) {
			cr_assert_lt(strnlen(got.u.checkpoint.shape.name, HAVEN_NAME_MAX),
				     HAVEN_NAME_MAX);
		} else if (got.type == MESSAGE_SWITCHOVER) {
			cr_assert_lt(strnlen(got.u.switchover.to, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
			cr_assert_lt(strnlen(got.u.switchover.instance, HAVEN_NAME_MAX),
				     HAVEN_NAME_MAX);
		}
	}
}

Test(message, a_closed_peer_is_told_as_such_and_raises_no_signal)
{
	struct message got;
	int fd;

	close(pair[1]);
	cr_assert_eq(message_send(pair[0], &m, -1), -HAVEN_ENODE);
	cr_assert_eq(message_receive(pair[0], &got, &fd, 1000), -HAVEN_ENODE);
	cr_assert_eq(message_call(pair[0], &m, -1, &fd, 1000, &error), -HAVEN_ENODE);
	cr_assert_eq(fd, -1);
	cr_assert_gt(strlen(error.text), 10);
}

Test(message, silence_ends_in_a_timeout)
{
	struct message got;
	int fd;

	cr_assert_eq(message_receive(pair[1], &got, &fd, 0), -HAVEN_ETIMEDOUT);
	cr_assert_eq(message_receive(pair[1], &got, &fd, 5), -HAVEN_ETIMEDOUT);
	cr_assert_eq(message_call(pair[0], &m, -1, NULL, 5, &error), -HAVEN_ETIMEDOUT);
}

/** A node that answers one request: with stale replies first, then with `result`. */
struct answer {
	int16_t result;
	const char *text;
	int stale, fd;
};

static void *answer_one(void *argument)
{
	const struct answer *a = argument;
	struct message request;
	int fd;

	if (message_receive(pair[1], &request, &fd, 20000) != 0)
		return NULL;
	for (int i = 0; i < a->stale; i++) {
		struct message stale = request;

		stale.id = request.id - 1 - (uint32_t)i;
		stale.result = -HAVEN_EFULL;
		message_send(pair[1], &stale, pair[0]);
	}
	request.result = a->result;
	request.handle = 99;
	strncpy(request.text, a->text, sizeof(request.text) - 1);
	message_send(pair[1], &request, a->fd);
	return NULL;
}

static int call(struct answer a, int *reply_fd)
{
	pthread_t thread;
	int status;

	m.type = MESSAGE_PING;
	pthread_create(&thread, NULL, answer_one, &a);
	status = message_call(pair[0], &m, -1, reply_fd, 20000, &error);
	pthread_join(thread, NULL);
	return status;
}

Test(message, a_call_returns_its_own_reply_and_skips_late_ones)
{
	int before, fd;

	before = open_descriptors();
	cr_assert_eq(call((struct answer){.text = "", .stale = 3, .fd = -1}, &fd), 0);
	cr_assert_eq(m.handle, 99);
	cr_assert_eq(fd, -1);
	cr_assert_eq(call((struct answer){.text = "", .fd = pair[0]}, &fd), 0);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(call((struct answer){.text = "", .fd = pair[0]}, NULL), 0);
	cr_assert_eq(open_descriptors(), before);
}

Test(message, a_refusal_becomes_the_error_and_its_text)
{
	m.handle = 5;
	cr_assert_eq(
		call((struct answer){.result = -HAVEN_EEXIST, .text = "taken", .fd = -1}, NULL),
		-HAVEN_EEXIST);
	cr_assert_str_eq(error.text, "taken");
	cr_assert_eq(m.handle, 5, "a refusal leaves the request as it was");
	cr_assert_eq(call((struct answer){.result = -HAVEN_EFULL, .text = "", .fd = -1}, NULL),
		     -HAVEN_EFULL);
	cr_assert_str_eq(error.text, error_sentence(HAVEN_EFULL));
	cr_assert_eq(call((struct answer){.result = 5, .text = "", .fd = -1}, NULL),
		     -HAVEN_ECORRUPT);
	cr_assert_eq(call((struct answer){.result = -30000, .text = "", .fd = -1}, NULL),
		     -HAVEN_ECORRUPT);
}

/* ---- connecting ---------------------------------------------------------------------------- */

static char run_dir[400];

static void make_run_dir(void)
{
	strcpy(run_dir, "/tmp/haven-message-XXXXXX");
	cr_assert_not_null(mkdtemp(run_dir));
}

static int serve(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0), back;

	/* bound from inside: the directory may be too long for an address */
	back = open(".", O_RDONLY | O_DIRECTORY);
	cr_assert_eq(chdir(run_dir), 0);
	strcpy(address.sun_path, MESSAGE_SOCKET);
	cr_assert_eq(bind(s, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(s, 4), 0);
	cr_assert_eq(fchdir(back), 0);
	close(back);
	return s;
}

static void remove_run_dir(void)
{
	char path[450];

	snprintf(path, sizeof(path), "%s/%s", run_dir, MESSAGE_SOCKET);
	unlink(path);
	rmdir(run_dir);
}

Test(message, connects_to_a_node_and_talks)
{
	struct message got;
	int listener, s, other, fd;

	make_run_dir();
	listener = serve();
	s = message_connect(run_dir, &error);
	cr_expect_geq(s, 0, "%s", error.text);
	other = accept(listener, NULL, NULL);
	cr_expect_eq(message_send(s, &m, -1), 0);
	cr_expect_eq(message_receive(other, &got, &fd, 1000), 0);
	close(s);
	close(other);
	close(listener);
	remove_run_dir();
}

Test(message, connects_through_a_path_too_long_for_an_address)
{
	char base[40], nested[400];
	int listener, s;

	make_run_dir();
	strcpy(base, run_dir);
	snprintf(nested, sizeof(nested), "%s/%0150d", base, 7);
	cr_assert_eq(mkdir(nested, 0700), 0);
	strcpy(run_dir, nested);
	listener = serve();
	s = message_connect(run_dir, &error);
	cr_expect_geq(s, 0, "%s", error.text);
	close(s);
	close(listener);
	remove_run_dir();
	cr_expect_eq(rmdir(base), 0);
}

Test(message, a_node_that_is_not_there_is_told_with_the_way_out)
{
	make_run_dir();
	cr_expect_eq(message_connect(run_dir, &error), -HAVEN_ENODE);
	cr_expect_not_null(strstr(error.text, run_dir), "%s", error.text);
	cr_expect_not_null(strstr(error.text, "start havend"), "%s", error.text);
	close(serve()); /* a socket left by a node that died */
	cr_expect_eq(message_connect(run_dir, &error), -HAVEN_ENODE);
	cr_expect_not_null(strstr(error.text, "not running"), "%s", error.text);
	remove_run_dir();
	cr_expect_eq(message_connect(run_dir, &error), -HAVEN_ENODE);
}

Test(message, a_node_of_another_user_is_not_trusted)
{
	int listener;

	if (geteuid() != 0)
		cr_skip("needs root to become two users");
	make_run_dir();
	cr_assert_eq(chmod(run_dir, 0777), 0);
	cr_assert_eq(seteuid(12345), 0);
	listener = serve(); /* the socket's peer is now user 12345 */
	cr_assert_eq(seteuid(0), 0);
	cr_assert_eq(seteuid(23456), 0);
	{
		char path[450];

		snprintf(path, sizeof(path), "%s/%s", run_dir, MESSAGE_SOCKET);
		cr_assert_eq(seteuid(0), 0);
		cr_assert_eq(chmod(path, 0777), 0);
		cr_assert_eq(seteuid(23456), 0);
	}
	cr_expect_eq(message_connect(run_dir, &error), -HAVEN_EPERM);
	cr_expect_not_null(strstr(error.text, "12345"), "%s", error.text);
	cr_assert_eq(seteuid(0), 0);
	close(listener);
	remove_run_dir();
}
