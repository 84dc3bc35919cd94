/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_segment.h"
#include "clock.h"
#include "fault.h"
#include "prng.h"
#include "step.h"

FAULT_RETURNED(pthread_mutexattr_init, (pthread_mutexattr_t * a), (a))
FAULT_RETURNED(pthread_mutexattr_setpshared, (pthread_mutexattr_t * a, int shared), (a, shared))
FAULT_RETURNED(pthread_mutexattr_setrobust, (pthread_mutexattr_t * a, int robust), (a, robust))
FAULT_RETURNED(pthread_mutex_init, (pthread_mutex_t * m, const pthread_mutexattr_t *a), (m, a))
FAULT_RETURNED(pthread_mutex_consistent, (pthread_mutex_t * m), (m))
FAULT(void *, MAP_FAILED, mmap64, (void *at, size_t n, int prot, int flags, int file, off_t from),
      (at, n, prot, flags, file, from))

static struct client_segment *mine;
static struct error_text error;
static int fd = -1;

static void setup(void)
{
	cr_assert_eq(client_segment_create(&mine, &fd, &error), 0, "%s", error.text);
}

static void teardown(void)
{
	client_segment_unmap(mine);
	close(fd);
}

TestSuite(client_segment, .init = setup, .fini = teardown);

/** The segment as the node maps it. */
static struct client_segment *node_map(void)
{
	struct client_segment *s;

	cr_assert_eq(client_segment_map(fd, &s, &error), 0, "%s", error.text);
	return s;
}

/** Wait for the end of a process; fails the test instead of waiting for ever. */
static void wait_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	cr_assert_eq(poll(&p, 1, 20000), 1, "the child did not end");
}

Test(client_segment, a_new_segment_names_its_maker_and_is_free)
{
	struct client_segment *s = node_map();

	cr_assert_eq(s->pid, getpid());
	cr_assert_eq(s->pid_start_ticks, process_start_ticks(getpid()));
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		cr_assert_eq(s->worker[i].state, CLIENT_WORKER_FREE);
		cr_assert(!client_worker_marked(&s->worker[i]));
	}
	client_segment_unmap(s);
}

Test(client_segment, its_size_cannot_be_changed_by_anybody)
{
	cr_assert_neq(ftruncate(fd, 0), 0);
	cr_assert_neq(ftruncate(fd, sizeof(*mine) + 1), 0);
	cr_assert_neq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

Test(client_segment, the_node_cannot_write_it)
{
	struct client_segment *s = node_map();
	int ends[2];

	/* The kernel tries the write for us and tells that the memory does not allow it. */
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	cr_assert_eq(read(ends[0], &s->pid, 1), -1);
	cr_assert_eq(errno, EFAULT);
	client_segment_unmap(s);
	close(ends[0]);
	close(ends[1]);
}

Test(client_segment, map_refuses_a_file_without_seals)
{
	int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct client_segment *s = NULL;

	cr_assert_eq(ftruncate(other, sizeof(*s)), 0);
	cr_assert_eq(client_segment_map(other, &s, &error), -HAVEN_EINVAL);
	cr_assert_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	cr_assert_eq(client_segment_map(other, &s, &error), -HAVEN_EINVAL);
	cr_assert_null(s);
	close(other);
}

Test(client_segment, map_refuses_what_is_no_memory_file)
{
	struct client_segment *s = NULL;
	FILE *file = tmpfile();
	int ends[2];

	cr_assert_eq(ftruncate(fileno(file), sizeof(*s)), 0);
	cr_assert_eq(client_segment_map(fileno(file), &s, &error), -HAVEN_EINVAL);
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(client_segment_map(ends[0], &s, &error), -HAVEN_EINVAL);
	cr_assert_eq(client_segment_map(-1, &s, &error), -HAVEN_EINVAL);
	cr_assert_null(s);
	fclose(file);
	close(ends[0]);
	close(ends[1]);
}

Test(client_segment, map_refuses_a_wrong_size)
{
	const off_t sizes[] = {0, 1, sizeof(*mine) - 1, sizeof(*mine) + 1, 1 << 20};
	struct client_segment *s = NULL;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(sizes); i++) {
		int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		cr_assert_eq(ftruncate(other, sizes[i]), 0);
		cr_assert_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			     0);
		cr_assert_eq(client_segment_map(other, &s, &error), -HAVEN_ESIZE);
		close(other);
	}
	cr_assert_null(s);
}

Test(client_segment, map_refuses_a_wrong_magic_version_or_shape_and_says_which)
{
	struct client_segment *s = NULL;

	mine->magic ^= 1;
	cr_assert_eq(client_segment_map(fd, &s, &error), -HAVEN_ECORRUPT);
	mine->magic ^= 1;
	mine->layout_version = 77;
	cr_assert_eq(client_segment_map(fd, &s, &error), -HAVEN_EVERSION);
	cr_assert_not_null(strstr(error.text, "77"), "%s", error.text);
	cr_assert_not_null(strstr(error.text, "knows 3"), "%s", error.text);
	mine->layout_version = CLIENT_SEGMENT_LAYOUT_VERSION;
	mine->workers = 1000;
	cr_assert_eq(client_segment_map(fd, &s, &error), -HAVEN_ESIZE);
	mine->workers = HAVEN_WORKERS_MAX;
	mine->size_bytes = 0;
	cr_assert_eq(client_segment_map(fd, &s, &error), -HAVEN_ESIZE);
	cr_assert_null(s);
}

Test(client_segment, a_worker_given_back_in_order_leaves_no_mark)
{
	struct client_segment *s = node_map();
	struct client_worker *w = &mine->worker[3];

	cr_assert_eq(client_worker_claim(w, 4711), 0);
	cr_assert_eq(s->worker[3].state, CLIENT_WORKER_LIVE);
	cr_assert_eq(s->worker[3].component, 4711);
	cr_assert_eq(s->worker[3].tid, gettid());
	cr_assert(!client_worker_marked(&s->worker[3]));
	client_worker_release(w);
	cr_assert_eq(s->worker[3].state, CLIENT_WORKER_ENDED);
	cr_assert(!client_worker_marked(&s->worker[3]));
	client_segment_unmap(s);
}

Test(client_segment, a_slot_given_back_can_be_claimed_again_and_starts_clean)
{
	struct client_worker *w = &mine->worker[0];

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(client_worker_claim(w, 1), 0);
		cr_assert_eq(w->confirmed[5], 0);
		cr_assert_eq(w->progress, 0);
		w->confirmed[5] = 9;
		w->progress = 9;
		w->quiescent = 9;
		client_worker_release(w);
		cr_assert_eq(w->quiescent, 0, "a slot given back holds no memory");
	}
}

Test(client_segment, a_live_slot_is_not_claimed_twice)
{
	cr_assert_eq(client_worker_claim(&mine->worker[0], 1), 0);
	cr_assert_eq(client_worker_claim(&mine->worker[0], 2), -HAVEN_EFULL);
	cr_assert_eq(mine->worker[0].component, 1);
	cr_assert_eq(mine->worker[0].state, CLIENT_WORKER_LIVE);
	client_worker_release(&mine->worker[0]);
}

static void *claim_and_end(void *argument)
{
	client_worker_claim(argument, 1);
	return NULL;
}

Test(client_segment, a_thread_that_ends_without_giving_back_is_marked)
{
	pthread_t thread;

	pthread_create(&thread, NULL, claim_and_end, &mine->worker[1]);
	pthread_join(thread, NULL);
	cr_assert(client_worker_marked(&mine->worker[1]));
	cr_assert_eq(mine->worker[1].state, CLIENT_WORKER_LIVE);
	cr_assert_eq(client_worker_claim(&mine->worker[1], 2), -HAVEN_EFULL,
		     "the mark of the dead must stay for the node to see");
	cr_assert(client_worker_marked(&mine->worker[1]));
}

static void *claim_race(void *argument)
{
	return client_worker_claim(argument, 1) == 0 ? argument : NULL;
}

Test(client_segment, of_threads_that_race_for_a_slot_one_gets_it)
{
	for (int round = 0; round < 50; round++) {
		pthread_t thread[4];
		int winners = 0;

		teardown();
		setup();
		for (int i = 0; i < 4; i++)
			pthread_create(&thread[i], NULL, claim_race, &mine->worker[2]);
		for (int i = 0; i < 4; i++) {
			void *won;

			pthread_join(thread[i], &won);
			winners += won != NULL;
		}
		cr_assert_eq(winners, 1);
	}
}

/** A child that claims `workers` workers (one per thread) and tells so through a pipe. */
static pid_t child_with_workers(int workers, int *told)
{
	int ends[2];
	pid_t pid;

	cr_assert_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
		for (int i = 0; i < workers - 1; i++) {
			/* threads that never end by themselves */
			pthread_create(&thread, NULL, claim_and_end, &mine->worker[i]);
			pthread_join(thread, NULL);
		}
		client_worker_claim(&mine->worker[workers - 1], 1);
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_gt(pid, 0);
	close(ends[1]);
	*told = ends[0];
	return pid;
}

static void wait_told(int told)
{
	struct pollfd p = {.fd = told, .events = POLLIN};
	char x;

	cr_assert_eq(poll(&p, 1, 20000), 1, "the child said nothing");
	cr_assert_eq(read(told, &x, 1), 1);
	close(told);
}

Test(client_segment, a_killed_process_is_marked_and_its_pidfd_tells_the_end)
{
	struct client_segment *s = node_map();
	int told;
	pid_t pid = child_with_workers(1, &told);
	int pidfd = process_pidfd(pid, process_start_ticks(pid));

	cr_assert_geq(pidfd, 0);
	wait_told(told);
	cr_assert_eq(load_acquire(&s->worker[0].state), CLIENT_WORKER_LIVE);
	cr_assert(!client_worker_marked(&s->worker[0]));
	cr_assert(!process_ended(pidfd));

	kill(pid, SIGSTOP);
	cr_assert(!client_worker_marked(&s->worker[0]), "a stopped process is not dead");
	cr_assert(!process_ended(pidfd));

	kill(pid, SIGKILL);
	wait_ended(pidfd);
	cr_assert(client_worker_marked(&s->worker[0]));
	cr_assert(process_ended(pidfd), "a zombie has ended");
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert(process_ended(pidfd));
	cr_assert_eq(process_pidfd(pid, s->pid_start_ticks), -HAVEN_ENOENT);
	close(pidfd);
	client_segment_unmap(s);
}

Test(client_segment, the_mark_is_there_before_the_end_can_be_waited_for, .timeout = 60)
{
	/* Seen by the order alone: whenever the pidfd tells the end, the mark is already there. */
	for (int i = 0; i < 40; i++) {
		int told, pidfd;
		pid_t pid;

		teardown();
		setup();
		pid = child_with_workers(1, &told);
		pidfd = process_pidfd(pid, process_start_ticks(pid));
		cr_assert_geq(pidfd, 0);
		wait_told(told);
		kill(pid, SIGKILL);
		while (!process_ended(pidfd))
			cpu_relax();
		cr_assert(client_worker_marked(&mine->worker[0]));
		waitpid(pid, NULL, 0);
		close(pidfd);
	}
}

Test(client_segment, every_worker_of_a_killed_process_is_marked)
{
	int told;
	pid_t pid = child_with_workers(3, &told);
	int pidfd = process_pidfd(pid, process_start_ticks(pid));

	wait_told(told);
	cr_assert(client_worker_marked(&mine->worker[0]));
	cr_assert(client_worker_marked(&mine->worker[1]));
	cr_assert(!client_worker_marked(&mine->worker[2]));
	kill(pid, SIGKILL);
	wait_ended(pidfd);
	for (int i = 0; i < 3; i++)
		cr_assert(client_worker_marked(&mine->worker[i]));
	waitpid(pid, NULL, 0);
	close(pidfd);
}

Test(client_segment, pidfd_refuses_another_start_time_and_no_process)
{
	uint64_t ticks = process_start_ticks(getpid());
	int own = process_pidfd(getpid(), ticks);

	cr_assert_geq(own, 0);
	cr_assert(!process_ended(own));
	cr_assert_eq(process_pidfd(getpid(), ticks + 1), -HAVEN_ENOENT);
	cr_assert_eq(process_pidfd(getpid(), 0), -HAVEN_ENOENT);
	cr_assert_eq(process_pidfd(0, ticks), -HAVEN_ENOENT);
	cr_assert_eq(process_pidfd(-1, ticks), -HAVEN_ENOENT);
	cr_assert_eq(process_start_ticks(-1), 0);
	cr_assert(!process_ended(-1), "a bad descriptor proves nothing");
	close(own);
}

Test(client_segment, start_ticks_are_read_past_a_strange_process_name)
{
	uint64_t ticks = process_start_ticks(getpid());
	char name[16];
	FILE *f = fopen("/proc/self/comm", "r+");

	cr_assert_not_null(f);
	cr_assert_gt(fputs(") R 1 (x 2 3", f), 0);
	fclose(f);
	f = fopen("/proc/self/comm", "r");
	cr_assert_not_null(fgets(name, sizeof(name), f));
	fclose(f);
	cr_assert_eq(strncmp(name, ") R 1 (x", 8), 0);
	cr_assert_eq(process_start_ticks(getpid()), ticks);
	cr_assert_gt(ticks, 0);
}

Test(client_segment, without_robust_mutexes_there_is_no_segment)
{
	for (unsigned at = 1; at <= 20; at++) {
		struct client_segment *s = NULL;
		int other = 77;

		fault_arm(at, 1, ENOTSUP);
		cr_assert_lt(client_segment_create(&s, &other, &error), 0, "call %u", at);
		cr_assert(fault_disarm());
		cr_assert_null(s);
	}
}

static void *hold_until_told(void *argument)
{
	struct client_worker *w = argument;

	client_worker_claim(w, 1);
	store_release(&w->state, CLIENT_WORKER_ENDED); /* the first step of giving back */
	while (load_acquire(&w->progress) == 0)
		sched_yield();
	pthread_mutex_unlock(&w->mark.mutex);
	return NULL;
}

Test(client_segment, a_slot_whose_mark_is_not_free_yet_is_passed_over)
{
	struct client_worker *w = &mine->worker[0];
	pthread_t thread;

	pthread_create(&thread, NULL, hold_until_told, w);
	while (load_acquire(&w->state) != CLIENT_WORKER_ENDED)
		sched_yield();
	cr_assert_eq(client_worker_claim(w, 2), -HAVEN_EFULL);
	cr_assert_eq(w->state, CLIENT_WORKER_ENDED);
	store_release(&w->progress, 1);
	pthread_join(thread, NULL);
	cr_assert_eq(client_worker_claim(w, 2), 0);
	client_worker_release(w);
}

static void *die_while_giving_back(void *argument)
{
	struct client_worker *w = argument;

	client_worker_claim(w, 1);
	store_release(&w->state, CLIENT_WORKER_ENDED);
	return NULL;
}

Test(client_segment, a_thread_that_died_while_giving_back_leaves_the_slot_to_others)
{
	struct client_worker *w = &mine->worker[0];
	pthread_t thread;

	pthread_create(&thread, NULL, die_while_giving_back, w);
	pthread_join(thread, NULL);
	cr_assert(client_worker_marked(w));
	fault_arm(1, 1, EINVAL);
	cr_assert_eq(client_worker_claim(w, 2), -HAVEN_ESYS);
	cr_assert(fault_disarm());
	cr_assert_eq(w->state, CLIENT_WORKER_ENDED);
	/* That attempt owns the mark; with a mark of its own a slot goes on. */
	w = &mine->worker[1];
	pthread_create(&thread, NULL, die_while_giving_back, w);
	pthread_join(thread, NULL);
	cr_assert_eq(client_worker_claim(w, 2), 0);
	cr_assert(!client_worker_marked(w));
	client_worker_release(w);
}

static int claimed;

static void claim_first(void)
{
	claimed = client_worker_claim(&mine->worker[0], 1);
}

static void claim_before(void)
{
	uint32_t before = CLIENT_WORKER_FREE;

	/* The other thread has just got it, or comes too late. */
	cas_acq_rel(&mine->worker[0].state, &before, CLIENT_WORKER_CLAIMED);
}

Test(client_segment, who_comes_second_at_any_instruction_does_not_get_the_slot)
{
	unsigned won = 0, lost = 0;

	if (!step_possible())
		cr_skip_test("no single step here");
	for (uint64_t at = 1; step_run(claim_first, at, claim_before); at++) {
		cr_assert_eq(mine->worker[0].state,
			     claimed ? CLIENT_WORKER_CLAIMED : CLIENT_WORKER_LIVE);
		won += claimed == 0;
		lost += claimed == -HAVEN_EFULL;
		if (claimed == 0)
			client_worker_release(&mine->worker[0]);
		mine->worker[0].state = CLIENT_WORKER_FREE;
	}
	cr_assert_gt(won, 0);
	cr_assert_gt(lost, 0);
}

Test(client_segment, any_content_is_read_without_harm)
{
	struct prng p = {.state = 4};

	for (int round = 0; round < 300; round++) {
		struct client_segment *s;
		unsigned marked = 0;

		for (size_t i = 0; i < sizeof(*mine) / 8; i++)
			if (round % 3 || i > 8)
				((uint64_t *)(void *)mine)[i] = prng_next(&p);
		if (client_segment_map(fd, &s, &error) != 0)
			continue;
		for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
			marked += client_worker_marked(&s->worker[i]);
		cr_assert_leq(marked, HAVEN_WORKERS_MAX);
		client_segment_unmap(s);
	}
}
