/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two members of a process group of corosync, for `haven-bench mirror --peers`: records of 72 bytes
 * go from one to the other, in messages of one or of many.
 *
 * usage: haven-peer-cpg answer                       the other member: answers those that ask it to
 *        haven-peer-cpg stream RECORDS MILLISECONDS  messages of RECORDS records, the last answered
 *        haven-peer-cpg wait MILLISECONDS            each record answered before the next one
 * Writes an array of nanoseconds: what one record cost until the last was answered; or each
 * record's time until its answer. Corosync has no acknowledgement of its own that tells a sender
 * what a certain member has: the answer is a message like any other.
 */
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#define RECORD_BYTES 72u
#define RECORDS_MAX 128u
#define SAMPLES 65536u
#define JOIN_NS 20000000000ull
#define ANSWER_NS 10000000000ull

enum kind { DATA = 1, ASK, ANSWER };

/* The first bytes of a message's first record. */
struct head {
	uint32_t kind, number;
};

struct member {
	cpg_handle_t handle;
	uint32_t own;      /* its node's number */
	unsigned members;  /* of the group */
	uint32_t answered; /* newest answer */
	uint32_t asked;    /* newest question, not answered yet; 0: none */
	int fd;
};

static struct member me;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what, cs_error_t status)
{
	fprintf(stderr, "haven-peer-cpg: %s: error %d of corosync\n", what, (int)status);
	exit(1);
}

static void delivered(cpg_handle_t handle, const struct cpg_name *group, uint32_t node,
		      uint32_t pid, void *message, size_t bytes)
{
	struct head head;

	(void)handle, (void)group, (void)pid;
	if (node == me.own || bytes < sizeof(head))
		return;
	memcpy(&head, message, sizeof(head));
	if (head.kind == ASK)
		me.asked = head.number;
	else if (head.kind == ANSWER)
		me.answered = head.number;
}

static void changed(cpg_handle_t handle, const struct cpg_name *group,
		    const struct cpg_address *member, size_t members,
		    const struct cpg_address *left, size_t n_left, const struct cpg_address *joined,
		    size_t n_joined)
{
	(void)handle, (void)group, (void)member, (void)left, (void)n_left, (void)joined;
	(void)n_joined;
	me.members = (unsigned)members;
}

/* Take what has come, after waiting for it `wait_ms` at most. */
static void take(int wait_ms)
{
	struct pollfd p = {.fd = me.fd, .events = POLLIN};
	cs_error_t status = CS_OK;

	if (poll(&p, 1, wait_ms) > 0)
		status = cpg_dispatch(me.handle, CS_DISPATCH_ALL);
	if (status != CS_OK && status != CS_ERR_TRY_AGAIN)
		fail("dispatch", status);
}

static void join(void)
{
	cpg_callbacks_t callbacks = {.cpg_deliver_fn = delivered, .cpg_confchg_fn = changed};
	struct cpg_name group = {.length = 11, .value = "haven-bench"};
	uint64_t end = now_ns() + JOIN_NS;
	cs_error_t status = cpg_initialize(&me.handle, &callbacks);

	if (status == CS_OK)
		status = cpg_local_get(me.handle, &me.own);
	if (status == CS_OK)
		status = cpg_fd_get(me.handle, &me.fd);
	if (status != CS_OK)
		fail("initialize", status);
	while ((status = cpg_join(me.handle, &group)) == CS_ERR_TRY_AGAIN && now_ns() < end)
		;
	if (status != CS_OK)
		fail("join", status);
	while (me.members < 2 && now_ns() < end)
		take(100);
	if (me.members < 2)
		fail("wait for the other member", CS_ERR_TIMEOUT);
}

/* One message; until corosync has room for it, take what comes. */
static void send_message(enum kind kind, uint32_t number, unsigned records)
{
	static unsigned char text[RECORDS_MAX * RECORD_BYTES];
	struct iovec part = {.iov_base = text, .iov_len = (size_t)records * RECORD_BYTES};
	const struct head head = {.kind = kind, .number = number};
	cs_error_t status;

	memcpy(text, &head, sizeof(head));
	while ((status = cpg_mcast_joined(me.handle, CPG_TYPE_AGREED, &part, 1)) ==
	       CS_ERR_TRY_AGAIN)
		take(1);
	if (status != CS_OK)
		fail("mcast", status);
}

static void ask(uint32_t number, unsigned records)
{
	uint64_t end = now_ns() + ANSWER_NS;

	send_message(ASK, number, records);
	while (me.answered != number && now_ns() < end)
		take(1000);
	if (me.answered != number)
		fail("wait for an answer", CS_ERR_TIMEOUT);
}

static void stream(unsigned records, uint64_t duration_ns)
{
	uint64_t begin = now_ns(), messages = 1;

	for (; now_ns() - begin < duration_ns; messages++) {
		send_message(DATA, 0, records);
		take(0);
	}
	ask(1, records);
	printf("[%.3f]\n", (double)(now_ns() - begin) / (double)(messages * records));
}

static void wait_each(uint64_t duration_ns)
{
	uint64_t begin = now_ns(), at = begin, next;

	for (unsigned i = 0; i < SAMPLES && at - begin < duration_ns; i++, at = next) {
		ask(i + 1, 1);
		next = now_ns();
		printf("%c%llu", i ? ',' : '[', (unsigned long long)(next - at));
	}
	puts("]");
}

/* Until the other one has left. */
static void answer(void)
{
	while (me.members >= 2) {
		uint32_t asked = me.asked;

		/* Something may have come while the last answer left. */
		me.asked = 0;
		if (asked)
			send_message(ANSWER, asked, 1);
		else
			take(1000);
	}
}

int main(int argc, char **argv)
{
	bool answers = argc == 2 && strcmp(argv[1], "answer") == 0;
	bool streams = argc == 4 && strcmp(argv[1], "stream") == 0;
	unsigned long records = streams ? strtoul(argv[2], NULL, 10) : 1;

	if ((!answers && !streams && (argc != 3 || strcmp(argv[1], "wait") != 0)) || records < 1 ||
	    records > RECORDS_MAX)
		return fprintf(stderr, "usage: haven-peer-cpg answer\n"
				       "       haven-peer-cpg stream RECORDS MILLISECONDS\n"
				       "       haven-peer-cpg wait MILLISECONDS\n"),
		       2;
	join();
	if (answers)
		answer();
	else if (streams)
		stream((unsigned)records, strtoull(argv[3], NULL, 10) * 1000000u);
	else
		wait_each(strtoull(argv[2], NULL, 10) * 1000000u);
	cpg_finalize(me.handle);
	return 0;
}
