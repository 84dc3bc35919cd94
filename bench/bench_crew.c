/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_crew.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static void futex_wait(uint32_t *word, uint32_t while_it_is)
{
	const struct timespec limit = {.tv_nsec = 100000000};

	syscall(SYS_futex, word, FUTEX_WAIT, while_it_is, &limit, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int crew_make(struct crew *c)
{
	memset(c, 0, sizeof(*c));
	c->member = shared(CREW_MAX * sizeof(*c->member));
	if (c->member)
		return 0;
	fputs("haven-bench: memory ran out\n", stderr);
	return 1;
}

static void *member_run(void *context)
{
	struct crew_member *m = context;
	uint32_t seen = 0, order;

	if (!bench_pin(m->cpu))
		fprintf(stderr, "haven-bench: cannot stay on CPU %u\n", m->cpu);
	for (;;) {
		while ((order = load_acquire(&m->order)) == seen)
			futex_wait(&m->order, seen);
		if (m->quit)
			return NULL;
		seen = order;
		m->samples = 0;
		m->code = m->job(m);
		store_release(&m->done, order);
		futex_wake(&m->done);
	}
}

static int process_start(struct crew_member *m)
{
	pid_t chief = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid) {
		m->pid = pid; /* shared: not for the child to write */
		return pid < 0 ? errno : 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == chief)
		member_run(m);
	_exit(0);
}

struct crew_member *crew_join(struct crew *c, unsigned cpu, bool process)
{
	struct crew_member *m = &c->member[c->n];
	int error = EAGAIN;

	if (c->n < CREW_MAX) {
		memset(m, 0, sizeof(*m));
		m->number = c->n;
		m->cpu = cpu;
		m->process = process;
		m->sample = shared(CREW_SAMPLES_MAX * sizeof(*m->sample));
		error = ENOMEM;
		if (m->sample)
			error = process ? process_start(m)
					: pthread_create(&m->thread, NULL, member_run, m);
	}
	if (error) {
		fprintf(stderr, "haven-bench: cannot start a reader: %s\n", strerror(error));
		return NULL;
	}
	c->n++;
	return m;
}

void crew_start(struct crew_member *m, crew_job *job)
{
	m->job = job;
	store_relaxed(&m->stop, 0);
	store_release(&m->order, m->order + 1);
	futex_wake(&m->order);
}

int crew_wait(struct crew_member *m)
{
	uint32_t done;

	while ((done = load_acquire(&m->done)) != m->order) {
		futex_wait(&m->done, done);
		if (m->process && waitpid(m->pid, NULL, WNOHANG) == m->pid) {
			m->pid = 0;
			fputs("haven-bench: a reader's process died\n", stderr);
			return 1;
		}
	}
	return m->code;
}

int crew_do(struct crew_member *m, crew_job *job)
{
	crew_start(m, job);
	return crew_wait(m);
}

void crew_end(struct crew *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct crew_member *m = &c->member[i];

		m->quit = true;
		store_release(&m->order, m->order + 1);
		futex_wake(&m->order);
		if (!m->process)
			pthread_join(m->thread, NULL);
		else if (m->pid > 0)
			waitpid(m->pid, NULL, 0);
		munmap(m->sample, CREW_SAMPLES_MAX * sizeof(*m->sample));
	}
	if (c->member)
		munmap(c->member, CREW_MAX * sizeof(*c->member));
}
