/* SPDX-License-Identifier: BSD-3-Clause */
#include "victim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "message.h"

#define READY_TIMEOUT_MS 60000
#define PAGE 4096u

/* Ordinary pages, written to, as a program's heap is. */
static int memory_touch(uint64_t bytes)
{
	uint8_t *p;

	if (bytes == 0)
		return 0;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	madvise(p, bytes, MADV_NOHUGEPAGE);
	for (uint64_t at = 0; at < bytes; at += PAGE)
		p[at] = 1;
	bench_keep(p);
	return 0;
}

/* The child: makes its segment, owns the mark, passes the segment on as an application does. */
static void victim_live(int socket, unsigned cpu, uint64_t memory_bytes, pid_t parent)
{
	struct message m = {.type = MESSAGE_ATTACH};
	struct client_segment *s;
	struct error_text text;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || !bench_pin(cpu) || memory_touch(memory_bytes) ||
	    client_segment_create(&s, &fd, &text) || client_worker_claim(&s->worker[0], 1) ||
	    message_send(socket, &m, fd))
		_exit(1);
	for (uint64_t turn = 1;; turn++)
		store_relaxed(&s->worker[0].progress, turn);
}

static int victim_meet(struct victim *v)
{
	struct error_text text = {.text = "it does not spin"};
	uint64_t seen, limit = 1u << 30;
	struct message m;
	int fd = -1;
	int status = message_receive(v->socket, &m, &fd, READY_TIMEOUT_MS);

	if (status) {
		fprintf(stderr, "haven-bench: the process to be killed did not start: %s\n",
			error_sentence(status));
		return 1;
	}
	status = client_segment_map(fd, &v->segment, &text);
	close(fd);
	if (status) {
		v->segment = NULL;
	} else {
		seen = load_relaxed(&v->segment->worker[0].progress);
		while (load_relaxed(&v->segment->worker[0].progress) == seen && --limit)
			cpu_relax();
		status = limit == 0 || client_worker_marked(&v->segment->worker[0]);
	}
	if (status)
		fprintf(stderr, "haven-bench: the process to be killed: %s\n", text.text);
	return status ? 1 : 0;
}

int victim_start(struct victim *v, unsigned cpu, uint64_t memory_bytes)
{
	pid_t parent = getpid();
	int pair[2];

	*v = (struct victim){.pidfd = -1, .socket = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		fprintf(stderr, "haven-bench: no sockets: %s\n", strerror(errno));
		return 1;
	}
	v->socket = pair[0];
	fflush(NULL);
	v->pid = fork();
	if (v->pid == 0) {
		close(pair[0]);
		victim_live(pair[1], cpu, memory_bytes, parent);
	}
	close(pair[1]);
	if (v->pid > 0)
		v->pidfd = process_pidfd(v->pid, process_start_ticks(v->pid));
	if (v->pidfd < 0) {
		fputs("haven-bench: cannot start a process to be killed\n", stderr);
		victim_bury(v);
		return 1;
	}
	if (victim_meet(v)) {
		victim_bury(v);
		return 1;
	}
	return 0;
}

void victim_bury(struct victim *v)
{
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		waitpid(v->pid, NULL, 0);
	}
	if (v->pidfd >= 0)
		close(v->pidfd);
	if (v->socket >= 0)
		close(v->socket);
	client_segment_unmap(v->segment);
	*v = (struct victim){.pidfd = -1, .socket = -1};
}
