/* SPDX-License-Identifier: BSD-3-Clause */
#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haven_assert.h"

#define ENVIRONMENT_MAX 5
#define VARIABLE_MAX 128
/** A program that prints without end is read so much of at each look. */
#define READS_MAX 16

/* ---- when ------------------------------------------------------------------------------------ */

bool fence_due(struct fence_turns *t, const struct fence_wish *w, uint64_t delay_ns, uint64_t now)
{
	if (!w->wanted) {
		*t = (struct fence_turns){0};
		return false;
	}
	if (!t->wanted || t->life != w->life || t->epoch != w->epoch)
		*t = (struct fence_turns){.wanted = true,
					  .life = w->life,
					  .epoch = w->epoch,
					  .due_ns = now + (w->first ? 0 : delay_ns)};
	return now >= t->due_ns;
}

uint64_t fence_again(struct fence_turns *t, uint64_t now)
{
	uint64_t pause = FENCE_PAUSE_NS;

	for (uint32_t i = 0; i < t->tries && pause < FENCE_PAUSE_MAX_NS; i++)
		pause *= 2;
	if (pause > FENCE_PAUSE_MAX_NS)
		pause = FENCE_PAUSE_MAX_NS;
	t->tries++;
	t->due_ns = now + pause;
	return pause;
}

bool fence_wish_holds(const struct fence_wish *then, const struct fence_wish *now)
{
	return now->wanted && now->life == then->life && now->epoch == then->epoch &&
	       now->heard_ns == then->heard_ns;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Signals as a program expects them: the node, or its host, may block and ignore what it likes.
 * These calls only fill in a struct, and fail for flags that do not exist. */
static void set_attributes(posix_spawnattr_t *a)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(a, 0);
	posix_spawnattr_setsigmask(a, &none);
	posix_spawnattr_setsigdefault(a, &all);
}

/* In this order: `out` may be 0, 1 or 2 itself when the host has none of these. */
static int set_descriptors(posix_spawn_file_actions_t *f, int out)
{
	bool set =
		posix_spawn_file_actions_adddup2(f, out, STDOUT_FILENO) == 0 &&
		posix_spawn_file_actions_adddup2(f, out, STDERR_FILENO) == 0 &&
		posix_spawn_file_actions_addopen(f, STDIN_FILENO, "/dev/null", O_RDONLY, 0) == 0 &&
		posix_spawn_file_actions_addclosefrom_np(f, STDERR_FILENO + 1) == 0 &&
		posix_spawn_file_actions_addchdir_np(f, "/") == 0;

	return set ? 0 : ENOMEM;
}

static int spawn(pid_t *pid, const struct fence_order *o, int out)
{
	char text[ENVIRONMENT_MAX][VARIABLE_MAX];
	char *environment[ENVIRONMENT_MAX + 1];
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int err;

	snprintf(text[0], VARIABLE_MAX, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	snprintf(text[1], VARIABLE_MAX, "HAVEN_FENCE_NODE=%s", o->node);
	snprintf(text[2], VARIABLE_MAX, "HAVEN_FENCE_INCARNATION=%" PRIu64, o->life);
	snprintf(text[3], VARIABLE_MAX, "HAVEN_FENCE_REASON=%s", o->reason);
	snprintf(text[4], VARIABLE_MAX, "HAVEN_CLUSTER=%s", o->cluster);
	for (unsigned i = 0; i < ENVIRONMENT_MAX; i++)
		environment[i] = text[i];
	environment[ENVIRONMENT_MAX] = NULL;
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	set_attributes(&attributes);
	err = set_descriptors(&files, out);
	if (!err)
		err = posix_spawn(pid, o->argv[0], &files, &attributes, o->argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return err;
}

int fence_start(struct fence *f, const struct fence_order *o, uint64_t now,
		struct error_text *error)
{
	int ends[2], err;
	pid_t pid = 0;

	if (f->pid)
		return error_set(error, HAVEN_EAGAIN, "the command before it has not ended yet");
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_set(error, HAVEN_ESYS, "no pipe for its output: %s", strerror(errno));
	/* A program expects to be made to wait when its output is not taken. */
	fcntl(ends[1], F_SETFL, 0);
	err = spawn(&pid, o, ends[1]);
	close(ends[1]);
	if (err) {
		close(ends[0]);
		return error_set(error, HAVEN_ESYS, "%s cannot be started: %s", o->argv[0],
				 strerror(err));
	}
	*f = (struct fence){
		.pid = pid, .output = ends[0], .started_ns = now, .ends_ns = now + o->timeout_ns};
	return 0;
}

/* ---- look and end ---------------------------------------------------------------------------- */

static void take_output(struct fence *f)
{
	char part[512];
	ssize_t n = sizeof(part);

	for (unsigned i = 0; i < READS_MAX && n > 0; i++) {
		n = read(f->output, part, sizeof(part));
		for (ssize_t k = 0; k < n; k++) {
			if (part[k] == '\n' || part[k] == '\0') {
				f->line_ended = true;
				continue;
			}
			if (f->line_ended)
				f->line_bytes = 0;
			f->line_ended = false;
			if (f->line_bytes < FENCE_LINE_MAX - 1)
				f->line[f->line_bytes++] = part[k];
		}
	}
	f->line[f->line_bytes] = '\0';
}

/* The dead leader is looked at, not reaped: as long as it stands there nobody else can have its
 * number, so that the signal reaches its own group and no other. 1: it has ended, 0: not yet, -1:
 * somebody else in this process has reaped it, or its host ignores SIGCHLD. */
static int leader_ended(const struct fence *f, siginfo_t *info)
{
	info->si_pid = 0;
	if (waitid(P_PID, (id_t)f->pid, info, WEXITED | WNOHANG | WNOWAIT) != 0)
		return -1;
	return info->si_pid != 0;
}

static void reap(struct fence *f)
{
	kill(-f->pid, SIGKILL);
	waitpid(f->pid, NULL, WNOHANG);
	f->pid = 0;
}

static enum fence_state poll_killed(struct fence *f)
{
	siginfo_t info;
	int ended = leader_ended(f, &info);

	if (ended == 0)
		return FENCE_ENDING;
	if (ended > 0)
		reap(f);
	f->pid = 0;
	return FENCE_IDLE;
}

enum fence_state fence_poll(struct fence *f, uint64_t now)
{
	siginfo_t info;
	int ended;

	if (!f->pid)
		return FENCE_IDLE;
	if (f->killed)
		return poll_killed(f);
	/* The time first: an end that is seen too late may have come too late. */
	if (now >= f->ends_ns) {
		take_output(f);
		fence_end(f);
		return FENCE_FAILED;
	}
	ended = leader_ended(f, &info);
	take_output(f); /* after the look: all that it has written before its end is there */
	if (ended == 0)
		return FENCE_RUNNING;
	close(f->output);
	f->code = -1;
	if (ended > 0 && info.si_code == CLD_EXITED)
		f->code = info.si_status;
	else if (ended > 0)
		f->signal = info.si_status;
	if (ended > 0)
		reap(f);
	f->pid = 0;
	return f->code == 0 ? FENCE_DONE : FENCE_FAILED;
}

void fence_end(struct fence *f)
{
	if (!f->pid || f->killed)
		return;
	f->killed = true;
	f->code = -1;
	close(f->output);
	kill(-f->pid, SIGKILL);
}

void fence_text(const struct fence *f, char *out, size_t size)
{
	const char *between = f->line[0] ? ": " : "";

	HAVEN_ASSERT(size > 0);
	if (f->code >= 0)
		snprintf(out, size, "exit status %d%s%s", f->code, between, f->line);
	else if (f->signal)
		snprintf(out, size, "signal %d%s%s", f->signal, between, f->line);
	else
		snprintf(out, size, "%s%s%s",
			 f->killed ? "no end in time" : "this process does not learn how it ended",
			 between, f->line);
}
