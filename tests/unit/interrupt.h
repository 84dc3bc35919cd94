/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Run a writer inside a signal handler that strikes the calling thread every few microseconds. A
 * reader is so interrupted at every one of its instructions sooner or later, also on one CPU, where
 * two threads would seldom meet in a window of some nanoseconds.
 */
#ifndef HAVEN_TEST_INTERRUPT_H
#define HAVEN_TEST_INTERRUPT_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define INTERRUPT_NS 15000

static timer_t interrupt_timer;

static inline void interrupt_start(void (*writer)(int))
{
	struct sigaction action = {.sa_handler = writer, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	struct itimerspec every = {.it_interval = {0, INTERRUPT_NS}, .it_value = {0, INTERRUPT_NS}};

	event.sigev_notify_thread_id = gettid();
	cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
	cr_assert_eq(timer_create(CLOCK_MONOTONIC, &event, &interrupt_timer), 0);
	cr_assert_eq(timer_settime(interrupt_timer, 0, &every, NULL), 0);
}

static inline void interrupt_stop(void)
{
	cr_assert_eq(timer_delete(interrupt_timer), 0);
	signal(SIGUSR1, SIG_IGN);
}

#endif
