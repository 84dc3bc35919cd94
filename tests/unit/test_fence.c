/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fence command: when it is due, and what becomes of a program that does as it should, fails,
 * hangs, floods, or leaves children behind. The clock is the test's own; the programs are real.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "fence.h"
#include "haven_assert.h"

#define SECOND 1000000000ull
/** Looks at a program, before the test fails. */
#define PATIENCE 20000000u

FAULT(int, -1, pipe2, (int ends[2], int flags), (ends, flags))
FAULT_RETURNED(posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * f, int from, int to),
	       (f, from, to))
FAULT_RETURNED(posix_spawn_file_actions_addopen,
	       (posix_spawn_file_actions_t *restrict f, int fd, const char *restrict path,
		int flags, mode_t mode),
	       (f, fd, path, flags, mode))
FAULT_RETURNED(posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * f, int from),
	       (f, from))
FAULT_RETURNED(posix_spawn_file_actions_addchdir_np,
	       (posix_spawn_file_actions_t *restrict f, const char *restrict path), (f, path))

static struct fence fence;
static struct error_text error;

/** Start a shell script at 0 with one second to end in. */
static int start(const char *script)
{
	char shell[] = "/bin/sh", c[] = "-c", *text = strdup(script);
	char *argv[] = {shell, c, text, NULL};
	const struct fence_order order = {.argv = argv,
					  .node = "b",
					  .life = 77,
					  .reason = "silent",
					  .cluster = "demo",
					  .timeout_ns = SECOND};
	int err = fence_start(&fence, &order, 0, &error);

	free(text);
	return err;
}

/** Look until the state is not `while_in` any more. */
static enum fence_state look(enum fence_state while_in)
{
	enum fence_state state = while_in;

	for (unsigned i = 0; i < PATIENCE && state == while_in; i++) {
		state = fence_poll(&fence, 1);
		sched_yield();
	}
	return state;
}

static const char *text(void)
{
	static char out[FENCE_TEXT_MAX];

	fence_text(&fence, out, sizeof(out));
	return out;
}

static enum fence_state run(const char *script)
{
	cr_assert_eq(start(script), 0, "%s", error.text);
	return look(FENCE_RUNNING);
}

/** Wait until the script has written a line. */
static void wait_for_line(const char *line)
{
	for (unsigned i = 0; i < PATIENCE && strcmp(fence.line, line) != 0; i++) {
		cr_assert_eq(fence_poll(&fence, 1), FENCE_RUNNING);
		sched_yield();
	}
	cr_assert_str_eq(fence.line, line);
}

static void gone(pid_t pid)
{
	for (unsigned i = 0; i < PATIENCE && kill(pid, 0) == 0; i++)
		sched_yield();
	cr_assert(kill(pid, 0) != 0 && errno == ESRCH, "process %d still runs", (int)pid);
}

/* ---- the program ------------------------------------------------------------------------------
 */

Test(fence, exit_status_0_is_done_and_is_told_once)
{
	cr_assert_eq(fence_poll(&fence, 0), FENCE_IDLE);
	cr_assert_eq(run("echo off; exit 0"), FENCE_DONE);
	cr_expect_eq(fence.code, 0);
	cr_expect_str_eq(fence.line, "off");
	cr_expect_eq(fence_poll(&fence, 2), FENCE_IDLE);
	cr_assert_eq(run("exit 0"), FENCE_DONE, "it can be started again");
	cr_expect_str_eq(text(), "exit status 0");
}

Test(fence, any_other_end_is_a_failure_with_its_last_line)
{
	cr_assert_eq(run("echo one; echo no route >&2; echo; exit 3"), FENCE_FAILED);
	cr_expect_str_eq(text(), "exit status 3: no route");
	cr_assert_eq(run("printf abc; kill -TERM $$"), FENCE_FAILED);
	cr_expect_str_eq(text(), "signal 15: abc");
	cr_expect_eq(fence.code, -1);
	cr_assert_eq(run("printf 'one\\0two'; exit 9"), FENCE_FAILED);
	cr_expect_str_eq(text(), "exit status 9: two");
}

Test(fence, a_line_is_cut_and_output_without_end_is_bounded)
{
	cr_assert_eq(run("printf '%0200d\\n' 7; exit 1"), FENCE_FAILED);
	cr_expect_eq(strlen(fence.line), FENCE_LINE_MAX - 1);
	cr_expect_lt(strlen(text()), FENCE_TEXT_MAX - 1);
	cr_assert_eq(start("while :; do echo flood; done"), 0);
	wait_for_line("flood");
	cr_assert_eq(fence_poll(&fence, SECOND), FENCE_FAILED, "each look comes back");
	cr_assert_eq(look(FENCE_ENDING), FENCE_IDLE);
}

Test(fence, the_program_is_told_whom_and_has_nothing_else_of_the_node)
{
	int other = open("/dev/null", O_RDONLY);

	cr_assert_gt(other, STDERR_FILENO);
	cr_assert(setenv("SECRET", "x", 1) == 0);
	cr_assert_eq(run("test \"$(cat; env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= -e ^OLDPWD= | "
			 "sort | tr '\\n' ' ')\" = \"HAVEN_CLUSTER=demo HAVEN_FENCE_INCARNATION=77 "
			 "HAVEN_FENCE_NODE=b HAVEN_FENCE_REASON=silent "
			 "PATH=/usr/sbin:/usr/bin:/sbin:/bin \""),
		     FENCE_DONE, "%s", text());
	cr_assert_eq(run("test \"$(pwd)\" = / && test ! -e /proc/$$/fd/3 && "
			 "test ! -e /proc/$$/fd/4 && test ! -e /proc/$$/fd/5"),
		     FENCE_DONE, "%s", text());
	cr_assert_eq(run("test \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$"), FENCE_DONE,
		     "a process group of its own");
	close(other);
}

Test(fence, ignored_and_blocked_signals_of_the_host_are_not_inherited)
{
	sigset_t all;

	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	cr_assert_eq(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	/* Of its own, for a shell that waits blocks signals; 13 is SIGPIPE. */
	cr_assert_eq(run("exec grep -q '^SigBlk:.0*$' /proc/self/status"), FENCE_DONE);
	cr_assert_eq(run("exec grep -q '^SigIgn:.*0...$' /proc/self/status"), FENCE_DONE);
}

Test(fence, no_end_in_time_is_a_failure_and_the_whole_group_is_killed)
{
	cr_assert_eq(start("(trap '' TERM; while :; do :; done) & echo $!; wait"), 0);
	for (unsigned i = 0; i < PATIENCE && !fence.line_ended; i++)
		fence_poll(&fence, SECOND - 1);
	cr_assert(fence.line_ended);
	cr_assert_eq(fence_poll(&fence, SECOND - 1), FENCE_RUNNING);
	cr_assert_eq(fence_poll(&fence, SECOND), FENCE_FAILED);
	cr_expect(strstr(text(), "no end in time: ") == text(), "%s", text());
	cr_assert_eq(look(FENCE_ENDING), FENCE_IDLE);
	gone((pid_t)atoi(fence.line));
}

Test(fence, an_end_that_is_seen_too_late_is_no_proof)
{
	siginfo_t info;

	cr_assert_eq(start("exit 0"), 0);
	cr_assert_eq(waitid(P_PID, (id_t)fence.pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(fence_poll(&fence, SECOND), FENCE_FAILED);
	cr_assert_eq(look(FENCE_ENDING), FENCE_IDLE);
}

Test(fence, what_a_program_leaves_behind_is_killed_with_it)
{
	cr_assert_eq(run("(while :; do :; done) >/dev/null 2>&1 & echo $!"), FENCE_DONE);
	gone((pid_t)atoi(fence.line));
}

Test(fence, a_program_whose_word_is_not_wanted_any_more_is_ended)
{
	pid_t pid;

	fence_end(&fence); /* nothing runs */
	cr_assert_eq(start("echo here; while :; do :; done"), 0);
	wait_for_line("here");
	pid = fence.pid;
	fence_end(&fence);
	fence_end(&fence);
	cr_assert_eq(look(FENCE_ENDING), FENCE_IDLE);
	cr_assert_eq(fence_poll(&fence, 2 * SECOND), FENCE_IDLE, "nothing is told of it");
	gone(pid);
}

Test(fence, one_program_at_a_time)
{
	int status;

	cr_assert_eq(start("while :; do :; done"), 0);
	cr_assert_eq(start("exit 0"), -HAVEN_EAGAIN);
	cr_expect(strstr(error.text, "not ended"));
	/* Stopped and not to be reaped yet, as one that hangs in the kernel. */
	fence_end(&fence);
	cr_assert_eq(start("exit 0"), -HAVEN_EAGAIN);
	cr_assert_eq(waitpid(fence.pid, &status, 0), fence.pid);
	cr_assert_eq(fence_poll(&fence, 1), FENCE_IDLE, "reaped by somebody else");
	cr_assert_eq(run("exit 0"), FENCE_DONE);
}

Test(fence, a_killed_program_is_waited_for_without_waiting)
{
	siginfo_t info;

	cr_assert_eq(start("echo here; while :; do :; done"), 0);
	wait_for_line("here");
	/* As if the kernel had not come to it yet. */
	fence.killed = true;
	cr_assert_eq(fence_poll(&fence, 1), FENCE_ENDING);
	kill(-fence.pid, SIGKILL);
	cr_assert_eq(waitid(P_PID, (id_t)fence.pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(fence_poll(&fence, 1), FENCE_IDLE);
	cr_assert_eq(fence.pid, 0);
}

Test(fence, a_host_that_reaps_every_child_leaves_no_proof)
{
	cr_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	cr_assert_eq(run("exit 0"), FENCE_FAILED);
	cr_expect_str_eq(text(), "this process does not learn how it ended");
	cr_expect_eq(fence.code, -1);
}

Test(fence, what_cannot_be_started_is_an_error)
{
	char none[] = "/nonexistent/fence", *argv[] = {none, NULL};
	const struct fence_order order = {
		.argv = argv, .node = "b", .reason = "silent", .cluster = "demo", .timeout_ns = 1};

	cr_assert_eq(fence_start(&fence, &order, 0, &error), -HAVEN_ESYS);
	cr_expect(strstr(error.text, "/nonexistent/fence cannot be started"), "%s", error.text);
	fault_arm(1, 1, EMFILE);
	cr_assert_eq(start("exit 0"), -HAVEN_ESYS);
	cr_expect(strstr(error.text, "no pipe"), "%s", error.text);
	cr_assert(fault_disarm());
	/* The pipe is the first call, then what is to be done to the child's descriptors. */
	for (unsigned call = 2; call <= 6; call++) {
		fault_arm(call, 1, ENOMEM);
		cr_assert_eq(start("exit 0"), -HAVEN_ESYS, "call %u", call);
		cr_expect(strstr(error.text, "cannot be started"), "%s", error.text);
		cr_assert(fault_disarm());
	}
	cr_assert_eq(fence_poll(&fence, 1), FENCE_IDLE);
}

Test(fence, a_host_without_standard_descriptors_can_start_one)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		close(fd);
	cr_assert_eq(run("echo off; exit 4"), FENCE_FAILED);
	cr_expect_str_eq(text(), "exit status 4: off");
}

/* ---- when ------------------------------------------------------------------------------------ */

Test(fence, one_goes_first_and_the_other_waits_its_delay)
{
	struct fence_wish first = {.wanted = true, .first = true, .life = 1, .epoch = 2};
	struct fence_wish second = {.wanted = true, .life = 1, .epoch = 2};
	struct fence_turns t = {0};

	cr_expect(fence_due(&t, &first, 10 * SECOND, 5));
	t = (struct fence_turns){0};
	cr_expect(!fence_due(&t, &second, 10 * SECOND, 5));
	cr_expect(!fence_due(&t, &second, 10 * SECOND, 4 + 10 * SECOND));
	cr_expect(fence_due(&t, &second, 10 * SECOND, 5 + 10 * SECOND));
	t = (struct fence_turns){0};
	cr_expect(fence_due(&t, &second, 0, 5));
}

Test(fence, a_wish_that_ended_or_means_another_life_begins_anew)
{
	struct fence_wish w = {.wanted = true, .life = 1, .epoch = 2}, none = {0};
	struct fence_turns t = {0};

	cr_expect(!fence_due(&t, &w, SECOND, 0));
	cr_expect(!fence_due(&t, &none, SECOND, 2 * SECOND));
	cr_expect(!fence_due(&t, &w, SECOND, 2 * SECOND), "it has been heard in between");
	w.life = 3;
	cr_expect(!fence_due(&t, &w, SECOND, 4 * SECOND));
	w.epoch = 3;
	cr_expect(!fence_due(&t, &w, SECOND, 6 * SECOND));
	cr_expect(fence_due(&t, &w, SECOND, 7 * SECOND));
}

Test(fence, pauses_between_tries_double_up_to_a_bound)
{
	struct fence_wish w = {.wanted = true, .first = true, .life = 1, .epoch = 2};
	const uint64_t seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
	struct fence_turns t = {0};
	uint64_t now = 0;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(seconds); i++) {
		cr_assert(fence_due(&t, &w, 0, now));
		cr_assert_eq(fence_again(&t, now), seconds[i] * SECOND);
		now += seconds[i] * SECOND;
		cr_assert(!fence_due(&t, &w, 0, now - 1));
	}
	t.tries = UINT32_MAX;
	cr_expect_eq(fence_again(&t, now), FENCE_PAUSE_MAX_NS);
}

Test(fence, a_word_holds_for_one_silence_of_one_life_in_one_view)
{
	const struct fence_wish then = {.wanted = true, .life = 1, .epoch = 2, .heard_ns = 3};
	struct fence_wish now = then;

	cr_expect(fence_wish_holds(&then, &now));
	now.heard_ns = 4;
	cr_expect(!fence_wish_holds(&then, &now));
	now = then;
	now.epoch = 3;
	cr_expect(!fence_wish_holds(&then, &now));
	now = then;
	now.life = 2;
	cr_expect(!fence_wish_holds(&then, &now));
	now = then;
	now.wanted = false;
	cr_expect(!fence_wish_holds(&then, &now));
}
