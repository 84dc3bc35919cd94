/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proof of death. A process that has ended, one of its threads that has, and a process that merely
 * does not run are told apart by two words: the pidfd (process_ended) speaks of the whole process,
 * the mark (client_worker_marked) of the one thread that claimed the slot.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_segment.h"
#include "fault.h"

/** Turns of a loop that waits for the kernel, before the test fails. */
#define PATIENCE 20000000u

static const char *fake_stat; /* what read() gives, NULL: what is there */

ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n)
{
	if (!fake_stat)
		return __real_read(fd, to, n);
	cr_assert_lt(strlen(fake_stat), n);
	memcpy(to, fake_stat, strlen(fake_stat));
	return (ssize_t)strlen(fake_stat);
}

FAULT(long, -1, syscall, (long number, long a, long b, long c, long d, long e, long f),
      (number, a, b, c, d, e, f))
FAULT(int, -1, poll, (struct pollfd * p, nfds_t n, int timeout), (p, n, timeout))

static struct client_segment *segment;
static pid_t pid;      /* the child */
static int pidfd = -1; /* of the child */
static uint64_t ticks; /* its start time */
static int told = -1;  /* end of a pipe on which the child tells */
static int tell_fd;    /* the child's end */

static void setup(void)
{
	struct error_text error;
	int fd;

	cr_assert_eq(client_segment_create(&segment, &fd, &error), 0, "%s", error.text);
	close(fd);
}

static void teardown(void)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, __WALL);
	}
}

TestSuite(process, .init = setup, .fini = teardown, .timeout = 60);

/* ---- the child ------------------------------------------------------------------------------- */

static void tell(void)
{
	if (write(tell_fd, "x", 1) != 1)
		_exit(1);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void start(void (*body)(void))
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
		close(ends[0]);
		tell_fd = ends[1];
		body();
		_exit(0);
	}
	cr_assert_gt(pid, 0);
	close(ends[1]);
	told = ends[0];
	ticks = process_start_ticks(pid);
	pidfd = process_pidfd(pid, ticks);
	cr_assert_geq(pidfd, 0);
}

/** The child's next word; false when its end of the pipe is closed. */
static bool hear(void)
{
	struct pollfd p = {.fd = told, .events = POLLIN};
	char x;

	cr_assert_eq(poll(&p, 1, 20000), 1, "the child said nothing");
	return read(told, &x, 1) == 1;
}

static void wait_ended(void)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 20000), 1, "the child did not end");
}

/** State letter in /proc/PID/stat. */
static char state(void)
{
	char path[40], text[512] = "", *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f) {
		cr_assert_not_null(fgets(text, sizeof(text), f));
		fclose(f);
	}
	at = strrchr(text, ')');
	return at ? at[2] : 0;
}

static bool marked(unsigned i)
{
	return client_worker_marked(&segment->worker[i]);
}

static void assert_alive(const char *when)
{
	cr_assert(!process_ended(pidfd), "%s: taken for ended", when);
	cr_assert(!marked(0), "%s: marked", when);
	cr_assert_eq(process_start_ticks(pid), ticks, "%s", when);
}

static void assert_dead(const char *when)
{
	wait_ended();
	cr_assert(process_ended(pidfd), "%s: taken for alive", when);
	cr_assert(marked(0), "%s: no mark", when);
}

static void claim_and_wait(void)
{
	if (client_worker_claim(&segment->worker[0], 1) != 0)
		_exit(2);
	tell();
	wait_for_ever();
}

/* ---- alive, though it does not run ----------------------------------------------------------- */

Test(process, a_stopped_process_is_alive_and_one_killed_while_stopped_is_dead)
{
	start(claim_and_wait);
	cr_assert(hear());
	assert_alive("running");
	kill(pid, SIGSTOP);
	cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
	cr_assert_eq(state(), 'T');
	assert_alive("stopped");
	kill(pid, SIGCONT);
	assert_alive("continued");
	kill(pid, SIGSTOP);
	cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
	kill(pid, SIGKILL);
	assert_dead("killed while stopped");
}

Test(process, a_process_stopped_by_a_tracer_is_alive)
{
	start(claim_and_wait);
	cr_assert(hear());
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
		cr_skip_test("no right to trace: %s", strerror(errno));
	cr_assert_eq(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
	cr_assert_eq(waitpid(pid, NULL, __WALL), pid);
	cr_assert_eq(state(), 't');
	assert_alive("traced");
	kill(pid, SIGKILL);
	assert_dead("killed while traced");
}

static void claim_and_exit(void)
{
	if (client_worker_claim(&segment->worker[0], 1) != 0)
		_exit(2);
	tell();
	raise(SIGSTOP); /* until the tracer is there */
	_exit(0);
}

Test(process, a_process_held_on_its_way_out_is_not_dead_yet)
{
	int status;

	start(claim_and_exit);
	cr_assert(hear());
	cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT) != 0)
		cr_skip_test("no right to trace: %s", strerror(errno));
	kill(pid, SIGCONT);
	do {
		cr_assert_eq(waitpid(pid, &status, __WALL), pid);
		cr_assert(WIFSTOPPED(status));
		if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			ptrace(PTRACE_CONT, pid, NULL, NULL);
	} while (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8));
	assert_alive("in its exit");
	cr_assert_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_dead("after its exit");
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text), "%s", path);
	close(fd);
}

static bool is_frozen(const char *folder)
{
	char path[300], text[256] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", folder);
	fd = open(path, O_RDONLY);
	cr_assert_geq(fd, 0);
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strstr(text, "frozen 1") != NULL;
}

/** A new control group (v2); false: not possible here. */
static bool group_make(char *folder, size_t size)
{
	char line[512], where[200];
	FILE *mounts = fopen("/proc/self/mounts", "r");
	bool made = false;

	while (!made && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "cgroup2 %199s cgroup2 ", where) != 1)
			continue;
		snprintf(folder, size, "%s/haven-test-%d", where, getpid());
		made = mkdir(folder, 0755) == 0;
	}
	fclose(mounts);
	return made;
}

Test(process, a_frozen_process_is_alive_and_one_killed_while_frozen_is_dead)
{
	char folder[256], text[16];

	if (!group_make(folder, sizeof(folder)))
		cr_skip_test("no control group can be made");
	start(claim_and_wait);
	cr_assert(hear());
	snprintf(text, sizeof(text), "%d", pid);
	write_file(folder, "cgroup.procs", text);
	write_file(folder, "cgroup.freeze", "1");
	for (unsigned i = 0; !is_frozen(folder); i++) {
		cr_assert_lt(i, PATIENCE);
		sched_yield();
	}
	assert_alive("frozen");
	write_file(folder, "cgroup.freeze", "0");
	assert_alive("thawed");
	write_file(folder, "cgroup.freeze", "1");
	kill(pid, SIGKILL);
	assert_dead("killed while frozen");
	waitpid(pid, NULL, 0);
	pid = 0;
	cr_assert_eq(rmdir(folder), 0);
}

/* ---- dead, though its number is there -------------------------------------------------------- */

Test(process, a_zombie_is_dead_as_long_as_nobody_reaps_it)
{
	int other;

	start(claim_and_wait);
	cr_assert(hear());
	kill(pid, SIGKILL);
	assert_dead("killed");
	cr_assert_eq(state(), 'Z');
	cr_assert_eq(kill(pid, 0), 0, "by its number it could be taken for alive");
	other = process_pidfd(pid, ticks);
	cr_assert_geq(other, 0);
	cr_assert(process_ended(other), "the number of a zombie still names it");
	close(other);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert(process_ended(pidfd));
	cr_assert_eq(process_pidfd(pid, ticks), -HAVEN_ENOENT);
	pid = 0;
}

static void exec_another(void)
{
	if (client_worker_claim(&segment->worker[0], 1) != 0)
		_exit(2);
	tell();
	execl("/bin/sleep", "sleep", "1000", NULL);
	_exit(3);
}

Test(process, a_worker_whose_process_became_another_program_is_marked_the_process_lives)
{
	start(exec_another);
	cr_assert(hear());
	cr_assert(!hear(), "the pipe is closed by the new program's start");
	cr_assert(!process_ended(pidfd));
	cr_assert_eq(process_start_ticks(pid), ticks, "number and start time stay");
	cr_assert(marked(0), "the thread that claimed is no more");
	kill(pid, SIGKILL);
	assert_dead("killed");
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *second_worker(void *unused)
{
	(void)unused;
	if (client_worker_claim(&segment->worker[1], 1) != 0)
		_exit(2);
	tell();
	wait_for_ever();
	return NULL;
}

static void leave_as_leader(void)
{
	pthread_t thread;

	if (client_worker_claim(&segment->worker[0], 1) != 0 ||
	    pthread_create(&thread, NULL, second_worker, NULL) != 0)
		_exit(2);
	syscall(SYS_exit, 0);
}

Test(process, a_leader_that_ended_before_its_threads_is_a_dead_worker_of_a_living_process)
{
	int other;

	start(leave_as_leader);
	cr_assert(hear());
	for (unsigned i = 0; state() != 'Z'; i++) {
		cr_assert_lt(i, PATIENCE);
		sched_yield();
	}
	cr_assert(!process_ended(pidfd), "another thread still runs");
	cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0);
	cr_assert(marked(0));
	cr_assert(!marked(1));
	other = process_pidfd(pid, ticks);
	cr_assert_geq(other, 0);
	cr_assert(!process_ended(other));
	close(other);
	kill(pid, SIGKILL);
	assert_dead("killed");
	cr_assert(marked(1));
}

static void *claim_and_return(void *unused)
{
	(void)unused;
	if (client_worker_claim(&segment->worker[0], 1) != 0)
		_exit(2);
	return NULL;
}

static void lose_a_thread(void)
{
	pthread_t thread;

	if (client_worker_claim(&segment->worker[1], 1) != 0 ||
	    pthread_create(&thread, NULL, claim_and_return, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		_exit(2);
	tell();
	wait_for_ever();
}

Test(process, a_dead_thread_is_no_dead_process)
{
	start(lose_a_thread);
	cr_assert(hear());
	cr_assert(marked(0));
	cr_assert(!marked(1));
	cr_assert(!process_ended(pidfd));
	kill(pid, SIGKILL);
	assert_dead("killed");
	cr_assert(marked(1));
}

static int life[2]; /* a pipe whose writing end the test alone holds */

static void fork_twice(void)
{
	close(life[1]);
	if (client_worker_claim(&segment->worker[0], 1) != 0)
		_exit(2);
	if (fork() == 0)
		_exit(0);
	wait(NULL);
	if (fork() == 0) {
		char x;

		tell();
		_exit(read(life[0], &x, 1) == 0 ? 0 : 1); /* until the test ends */
	}
	tell();
	wait_for_ever();
}

Test(process, forked_children_neither_mark_nor_keep_a_worker_alive)
{
	cr_assert_eq(pipe2(life, O_CLOEXEC), 0);
	start(fork_twice);
	cr_assert(hear());
	cr_assert(hear());
	assert_alive("a forked child has ended");
	kill(pid, SIGKILL);
	assert_dead("a forked child lives on");
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	pid = 0;
	close(life[1]);
}

/* ---- numbers that come back ------------------------------------------------------------------ */

static pid_t pause_as(pid_t wanted)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	char text[16];
	pid_t child;

	snprintf(text, sizeof(text), "%d", wanted - 1);
	if (wanted && (fd < 0 || write(fd, text, strlen(text)) < 0))
		_exit(77);
	if (fd >= 0)
		close(fd);
	child = fork();
	if (child == 0)
		wait_for_ever();
	return child;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

#define CHECK(x, code)                                                                             \
	do {                                                                                       \
		if (!(x))                                                                          \
			_exit(code);                                                               \
	} while (0)

/** First process of its own number space. Exit 0: good, 77: not possible, else the failed step. */
static void reuse_numbers(void)
{
	pid_t first = pause_as(0), second = 0;
	uint64_t first_ticks, second_ticks = 0;
	int old, fd;

	first_ticks = process_start_ticks(first);
	CHECK(first_ticks != 0, 2);
	old = process_pidfd(first, first_ticks);
	CHECK(old >= 0 && !process_ended(old), 3);
	end(first);
	CHECK(process_ended(old), 4);
	CHECK(process_pidfd(first, first_ticks) == -HAVEN_ENOENT, 5);
	/* Start times tick a hundred times a second; within one tick the number cannot come back
	 * in the field, for that takes a round through all numbers. */
	for (unsigned i = 0; second != first || second_ticks == first_ticks; i++) {
		CHECK(i < PATIENCE, 6);
		if (second)
			end(second);
		second = pause_as(first);
		second_ticks = process_start_ticks(second);
	}
	CHECK(kill(first, 0) == 0, 7); /* by its number alone it lives */
	CHECK(process_pidfd(first, first_ticks) == -HAVEN_ENOENT, 8);
	CHECK(process_ended(old), 9);
	fd = process_pidfd(first, second_ticks);
	CHECK(fd >= 0 && !process_ended(fd), 10);
	end(second);
	CHECK(process_ended(fd), 11);
	_exit(0);
}

static void own_number_space(void)
{
	int status;
	pid_t inner;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0)
		_exit(77);
	inner = fork();
	if (inner == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("proc", "/proc", "proc", 0, NULL) != 0)
			_exit(77);
		reuse_numbers();
	}
	waitpid(inner, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
}

Test(process, a_number_that_came_back_is_not_the_process_of_before)
{
	int status;

	start(own_number_space);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("no right to a number space of its own");
	cr_assert_eq(status, 0, "step %d failed", WEXITSTATUS(status));
}

/* ---- when the system says nothing sensible --------------------------------------------------- */

static uint64_t ticks_of(const char *text)
{
	uint64_t got;

	fake_stat = text;
	got = process_start_ticks(getpid());
	fake_stat = NULL;
	return got;
}

Test(process, a_start_time_that_cannot_be_read_is_none)
{
	cr_assert_eq(ticks_of(""), 0);
	cr_assert_eq(ticks_of("1 (x S 1 1 1"), 0, "the name does not end");
	cr_assert_eq(ticks_of("1 (x) S 1 1 1"), 0, "the line ends too early");
	cr_assert_eq(ticks_of("1 (x) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 2222 23"),
		     2222);
	cr_assert_eq(process_pidfd(getpid(), 0), -HAVEN_ENOENT);
}

Test(process, what_cannot_be_asked_proves_no_death)
{
	int closed = dup(0);

	close(closed);
	fault_arm(1, 1, EMFILE);
	cr_assert_eq(process_pidfd(getpid(), 1), -HAVEN_ESYS);
	fault_arm(1, 1, EINTR);
	cr_assert(!process_ended(0));
	cr_assert(fault_disarm());
	cr_assert(!process_ended(closed), "a bad descriptor");
}
