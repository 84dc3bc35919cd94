/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * From kill(SIGKILL) until another process on the machine knows: the kernel's mark in the client
 * segment, polled as the node polls it, beside waitpid, pidfd and the end of a socket. The victim
 * spins on another CPU; once it is small, once it has touched much memory, which the kernel takes
 * down before anybody but the mark's reader is told.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case_detect.h"
#include "clock.h"
#include "haven_assert.h"
#include "victim.h"

#define KILLS_MAX 2000u
#define STALL_NS (100 * NSEC_PER_USEC)
/** How long the watcher has been looking when the kill comes, as a node's loop has. */
#define WATCH_BEFORE_NS NSEC_PER_MSEC
#define WAIT_MAX_NS (120 * NSEC_PER_SEC)
#define VICTIM_CPU 1u
#define BIG_BYTES (2ull << 30)
#define BIG_BYTES_QUICK (128ull << 20)
/** What must stay free beside the victim's memory. */
#define SPARE_BYTES (1ull << 30)
#define GOAL_WINS 1.0
#define GOAL_FLAT 1.5

/** Watches until the victim is gone. Returns 0, or 1 when it gives up. Adds gaps between its own
 *  looks to `*stalls`. */
typedef int watch(struct victim *v, uint64_t *stalls);

static int poll_until(bool (*gone)(const struct victim *v), struct victim *v, uint64_t *stalls)
{
	uint64_t begin = clock_now_ns(), last = begin, now = begin;

	for (; !gone(v) && now - begin < WAIT_MAX_NS; last = now) {
		now = clock_now_ns();
		*stalls += now - last > STALL_NS;
	}
	return now - begin >= WAIT_MAX_NS;
}

static bool gone_mark(const struct victim *v)
{
	return client_worker_marked(&v->segment->worker[0]);
}

static bool gone_pidfd(const struct victim *v)
{
	return process_ended(v->pidfd);
}

static bool gone_socket(const struct victim *v)
{
	char byte;

	return recv(v->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static int watch_mark(struct victim *v, uint64_t *stalls)
{
	return poll_until(gone_mark, v, stalls);
}

static int watch_pidfd(struct victim *v, uint64_t *stalls)
{
	return poll_until(gone_pidfd, v, stalls);
}

static int watch_socket(struct victim *v, uint64_t *stalls)
{
	return poll_until(gone_socket, v, stalls);
}

/* Made before the kill, so that only the wait is measured. */
static int epoll_fd = -1;

static int watch_epoll(struct victim *v, uint64_t *stalls)
{
	struct epoll_event event;

	(void)v;
	(void)stalls;
	return epoll_wait(epoll_fd, &event, 1, (int)(WAIT_MAX_NS / NSEC_PER_MSEC)) != 1;
}

static int watch_waitpid(struct victim *v, uint64_t *stalls)
{
	pid_t pid = v->pid;

	(void)stalls;
	v->pid = 0; /* reaped here */
	return waitpid(pid, NULL, 0) != pid;
}

static const struct method {
	const char *name;
	watch *run;
	int (*epoll_on)(const struct victim *v);
} methods[];

static int its_pidfd(const struct victim *v)
{
	return v->pidfd;
}

static int its_socket(const struct victim *v)
{
	return v->socket;
}

static const struct method methods[] = {
	{"Haven: mark polled", watch_mark, NULL},  {"pidfd polled", watch_pidfd, NULL},
	{"pidfd, epoll", watch_epoll, its_pidfd},  {"waitpid", watch_waitpid, NULL},
	{"socket end polled", watch_socket, NULL}, {"socket end, epoll", watch_epoll, its_socket},
};
#define METHODS HAVEN_ARRAY_LEN(methods)

struct kills {
	uint64_t ns[KILLS_MAX];
	unsigned n;
	uint64_t stalls;
};

static int epoll_start(const struct victim *v, const struct method *how)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (!how->epoll_on)
		return 0;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, how->epoll_on(v), &event) != 0;
}

static void epoll_stop(void)
{
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
}

/* True when it was alive all the time. */
static bool watch_before(const struct victim *v)
{
	uint64_t begin = clock_now_ns();

	while (clock_now_ns() - begin < WATCH_BEFORE_NS)
		if (gone_mark(v))
			return false;
	return true;
}

/* One kill, watched in one way. */
static int kill_one(const struct method *how, uint64_t memory_bytes, struct kills *to)
{
	uint64_t begin, end;
	struct victim v;
	int code = victim_start(&v, VICTIM_CPU, memory_bytes);

	if (code)
		return code;
	code = epoll_start(&v, how) || !watch_before(&v);
	begin = clock_now_ns();
	if (!code && kill(v.pid, SIGKILL) != 0)
		code = 1;
	if (!code)
		code = how->run(&v, &to->stalls);
	end = clock_now_ns();
	if (code)
		fprintf(stderr, "haven-bench: %s did not notice a killed process\n", how->name);
	else
		to->ns[to->n++] = end - begin;
	epoll_stop();
	victim_bury(&v);
	return code;
}

/* All ways in turn; those of others in every `others_every`th turn. Returns the line of the mark in
 * `*mark`. */
static int measure(struct bench *b, uint64_t memory_bytes, unsigned times, unsigned others_every,
		   struct bench_result **mark)
{
	static struct kills kills[METHODS];
	struct bench_result *line[METHODS];
	int code = 0;

	memset(kills, 0, sizeof(kills));
	for (unsigned i = 0; i < times && !code; i++)
		for (unsigned m = 0; m < METHODS && !code; m++)
			if (m == 0 || i % others_every == 0)
				code = kill_one(&methods[m], memory_bytes, &kills[m]);
	for (unsigned m = 0; m < METHODS; m++) {
		line[m] = bench_line(b, "%s", methods[m].name);
		bench_begin(b);
		for (unsigned i = 0; i < kills[m].n; i++)
			bench_add(b, kills[m].ns[i], 1);
		bench_stalled(b, kills[m].stalls);
		bench_round(b, line[m]);
	}
	for (unsigned m = 1; m < METHODS; m++)
		bench_compare(line[0], line[m], GOAL_WINS);
	*mark = line[0];
	return code;
}

/* 0: not known. */
static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024;
}

static int run_local(struct bench *b)
{
	uint64_t big = b->quick ? BIG_BYTES_QUICK : BIG_BYTES;
	struct bench_result *small_mark, *big_mark;
	int code;

	if (bench_cpus() < 2) {
		fputs("haven-bench: detection needs two CPUs: one that watches, one to die on\n",
		      stderr);
		return 1;
	}
	bench_pin(0);
	b->unit = "us";
	b->unit_ns = NSEC_PER_USEC;
	b->latencies = true;
	bench_section(b, "small process, kill to notice");
	code = measure(b, 0, b->quick ? 12 : 500, 1, &small_mark);
	if (code)
		return code;
	if (memory_available() < big + SPARE_BYTES) {
		fprintf(stderr,
			"haven-bench: the process of %" PRIu64 " MiB is left out: only %" PRIu64
			" MiB of memory are available\n",
			big >> 20, memory_available() >> 20);
		return 0;
	}
	bench_section(b, "process with %" PRIu64 " MiB touched", big >> 20);
	code = measure(b, big, b->quick ? 3 : 60, b->quick ? 1 : 2, &big_mark);
	bench_compare(big_mark, small_mark, GOAL_FLAT);
	return code;
}

static int run(struct bench *b)
{
	int code = b->local ? run_local(b) : 0;

	if (!code && b->peers)
		code = detect_peers(b);
	if (b->local || b->peers)
		return code;
	fputs("haven-bench: detect: say --local (a killed process on this machine) or --peers (a "
	      "killed node, beside other projects' programs)\n",
	      stderr);
	return 2;
}

const struct bench_case bench_detect = {
	"detect", "a killed process (--local), a killed node (--peers) is known in microseconds",
	run};
