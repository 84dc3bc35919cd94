/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One case: the three passes over an operation in a start state.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "crash.h"
#include "hash.h"
#include "haven_assert.h"
#include "step.h"

/** Kills at boundaries that changed nothing, of one case. */
#define REST_KILLS_MAX 64u
/** Arrivals at one address after which a boundary is taken for far away. */
#define HITS_MAX 256u
/** Failures of one case that are printed. */
#define PRINTED 3
/** An operation that takes more than this does not end. */
#define STEPS_MAX 2000000u
/** Steps of an earlier writer that is to die. */
#define DEATH_STEPS 20000u
#define CONTENTS_MAX 65536u
#define DEATH_TIMEOUT_MS 10000

static const char *const start_names[] = {
	[START_EMPTY] = "empty",     [START_ONE] = "one",   [START_FULL] = "full",
	[START_RETIRED] = "retired", [START_WRAP] = "wrap", [START_DEAD] = "dead",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(start_names) == START_COUNT, "a name for each");
static const char *const pass_names[] = {"look", "kill", "stop"};

const char *crash_start_name(enum crash_start start)
{
	return start_names[start];
}

void crash_fail(struct crash_case *c, const char *format, ...)
{
	char where[256], what[512], line[1024];
	va_list args;
	int n;

	if (++c->failures > PRINTED)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	step_symbol(c->at, where, sizeof(where));
	n = snprintf(line, sizeof(line),
		     "FAILED %s %s: %s\n  before %s\n  again: --again %s:%s:%u:%s:%llu\n",
		     c->op->name, start_names[c->start], what, where, c->op->name,
		     start_names[c->start], c->variant, pass_names[c->pass],
		     (unsigned long long)c->step);
	/* One write, so that lines of two workers do not mix. */
	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		abort();
}

void crash_fault(struct crash_case *c, const char *format, ...)
{
	va_list args;

	if (c->stage->fault[0])
		return;
	va_start(args, format);
	vsnprintf(c->stage->fault, sizeof(c->stage->fault), format, args);
	va_end(args);
}

/* ---- regions --------------------------------------------------------------------------------- */

void crash_region_add(struct crash_case *c, const void *live, size_t bytes)
{
	struct crash_region *g = &c->region[c->regions];

	HAVEN_ASSERT(c->regions < CRASH_REGIONS_MAX);
	*g = (struct crash_region){.live = live, .last = malloc(bytes), .bytes = bytes};
	HAVEN_ASSERT(g->last != NULL);
	memcpy(g->last, g->live, bytes);
	c->regions++;
}

void crash_regions_drop(struct crash_case *c)
{
	while (c->regions)
		free(c->region[--c->regions].last);
}

/** True when the memory is not what it was at the last call. */
static bool regions_changed(struct crash_case *c)
{
	bool changed = false;

	for (unsigned i = 0; i < c->regions; i++) {
		struct crash_region *g = &c->region[i];

		if (memcmp(g->last, g->live, g->bytes) == 0)
			continue;
		memcpy(g->last, g->live, g->bytes);
		changed = true;
	}
	return changed;
}

/** Contents seen in this pass: to count what is distinct. */
struct contents {
	uint64_t hash[CONTENTS_MAX];
	uint64_t count;
};

static void contents_note(struct contents *s, const struct crash_case *c)
{
	uint64_t h = c->regions;

	for (unsigned i = 0; i < c->regions; i++)
		h = hash_bytes(c->region[i].last, c->region[i].bytes, h);
	h |= 1;
	for (uint64_t at = h; s->count < CONTENTS_MAX / 2; at++) {
		uint64_t *slot = &s->hash[at % CONTENTS_MAX];

		if (*slot == h)
			return;
		if (*slot == 0) {
			*slot = h;
			s->count++;
			return;
		}
	}
}

/* ---- children -------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	return at->level ? remove(path) : 0;
}

static void child_run(struct crash_case *c)
{
	struct crash_stage *stage = c->stage;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (c->op->setup)
		c->op->setup(c);
	if (stage->fault[0])
		_exit(1);
	step_begin();
	c->op->run(c);
	step_end(&stage->free_running);
	if (c->op->after)
		c->op->after(c);
	stage->finished = 1;
	_exit(0);
}

/** Never with a number that is not a child's: 0 and -1 name others. */
static void child_destroy(pid_t child)
{
	HAVEN_ASSERT(child > 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

void crash_death(struct crash_case *c, void (*work)(struct crash_case *c), const void *memory,
		 size_t bytes, unsigned stores)
{
	uint8_t *last = malloc(bytes);
	pid_t child = fork();
	uintptr_t at;

	if (child == 0) {
		step_begin();
		work(c);
		step_end(&(uint32_t){0});
		_exit(0);
	}
	CRASH_EXPECT(c, last != NULL && child > 0 && step_await(child, &at));
	if (c->stage->fault[0])
		return;
	memcpy(last, memory, bytes);
	for (unsigned i = 0; i < DEATH_STEPS && stores && step_one(child, &at) == 1; i++) {
		if (memcmp(last, memory, bytes) == 0)
			continue;
		memcpy(last, memory, bytes);
		stores--;
	}
	child_destroy(child);
	free(last);
}

static bool child_start(struct crash_case *c, enum crash_pass pass)
{
	nftw(c->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	memset(c->stage, 0, CRASH_STAGE_BYTES);
	c->pass = pass;
	c->step = 0;
	if (c->op->prepare)
		c->op->prepare(c);
	c->child = fork();
	if (c->child == 0)
		child_run(c);
	if (c->child < 0 || !step_await(c->child, &c->at)) {
		crash_fail(c, "the child did not come to its begin: %s",
			   c->stage->fault[0] ? c->stage->fault : "it ended");
		c->child = -1;
		return false;
	}
	if (c->op->open)
		c->op->open(c);
	return true;
}

static void child_close(struct crash_case *c)
{
	crash_regions_drop(c);
	if (c->op->close)
		c->op->close(c);
	c->child = -1;
}

/** It goes on to its own end, where its own checks and those of the operation follow. */
static void child_end(struct crash_case *c, bool came, int status)
{
	if (!came || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || !c->stage->finished)
		crash_fail(c, "the child did not come to its end (status 0x%x)", (unsigned)status);
	if (c->stage->fault[0])
		crash_fail(c, "in the child: %s", c->stage->fault);
	else if (c->op->ended)
		c->op->ended(c);
}

static void child_kill(struct crash_case *c)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, c->child, 0), .events = POLLIN};

	kill(c->child, SIGKILL);
	CRASH_CHECK(c, p.fd >= 0 && poll(&p, 1, DEATH_TIMEOUT_MS) == 1,
		    "no pidfd told that the killed child ended");
	if (c->op->killed)
		c->op->killed(c);
	if (c->op->look)
		c->op->look(c);
	close(p.fd);
	waitpid(c->child, NULL, 0);
}

static void child_stop(struct crash_case *c)
{
	int status = 0;

	store_seq(&c->stage->free_running, 1);
	if (!step_leave_stopped(c->child)) {
		crash_fail(c, "the child does not stop");
		return;
	}
	if (c->op->world)
		c->op->world(c);
	kill(c->child, SIGCONT);
	child_end(c, waitpid(c->child, &status, 0) == c->child, status);
}

/* ---- look pass ------------------------------------------------------------------------------- */

/** Boundaries of the look pass. */
struct places {
	struct step_place *all;
	bool *counts; /**< it changed memory or entered the kernel */
	uint64_t n, room;
};

static void places_note(struct places *p, uint64_t step, uintptr_t at, bool counts)
{
	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 4096;
		p->all = realloc(p->all, p->room * sizeof(*p->all));
		p->counts = realloc(p->counts, p->room * sizeof(*p->counts));
		HAVEN_ASSERT(p->all && p->counts);
	}
	p->counts[p->n] = counts;
	p->all[p->n++] = (struct step_place){.step = step, .at = at};
}

/** Number the arrivals at each address. */
static void places_count(struct places *p)
{
	struct arrivals {
		uintptr_t at;
		uint32_t hits;
	} * seen;
	uint64_t room = 1;

	while (room < 2 * p->n)
		room *= 2;
	seen = calloc(room, sizeof(*seen));
	HAVEN_ASSERT(seen != NULL);
	for (uint64_t i = 0; i < p->n; i++) {
		uint64_t k = hash_mix64(p->all[i].at) & (room - 1);

		while (seen[k].hits && seen[k].at != p->all[i].at)
			k = (k + 1) & (room - 1);
		seen[k].at = p->all[i].at;
		p->all[i].hit = ++seen[k].hits;
	}
	free(seen);
}

static void look(struct crash_case *c, struct crash_tally *t)
{
	unsigned before = c->failures;

	if (c->op->look)
		c->op->look(c);
	t->failures += c->failures - before;
}

/** Step one child through the whole operation. */
static void pass_look(struct crash_case *c, struct crash_tally *t, struct places *places)
{
	struct contents *contents = calloc(1, sizeof(*contents));
	unsigned before = c->failures;
	int more, status = 0;

	HAVEN_ASSERT(contents != NULL);
	if (!child_start(c, PASS_LOOK)) {
		t->failures += c->failures - before;
		free(contents);
		return;
	}
	places_note(places, 0, c->at, true);
	contents_note(contents, c);
	look(c, t);
	before = c->failures;
	do {
		bool kernel = step_is_syscall(c->at), counts;

		more = step_one(c->child, &c->at);
		c->step++;
		counts = regions_changed(c) || kernel;
		if (more >= 0)
			places_note(places, c->step, c->at, counts);
		if (more >= 0 && counts) {
			contents_note(contents, c);
			c->op->look(c);
		}
	} while (more > 0 && c->step < STEPS_MAX);
	if (more == 0)
		child_end(c, step_finish(c->child, &status), status);
	else
		crash_fail(c, "the operation did not come to its end");
	if (more == 0) {
		t->points += c->step + 1;
		t->states += contents->count;
		t->variants++;
	} else {
		child_destroy(c->child);
	}
	t->failures += c->failures - before;
	child_close(c);
	free(contents);
}

/* ---- kill and stop passes -------------------------------------------------------------------- */

/** A fresh child at a boundary. Few ways are not the same each time (the clock's): if it did not
 * come there by address, another one is stepped. */
static bool child_at(struct crash_case *c, enum crash_pass pass, const struct step_place *place,
		     struct crash_tally *t)
{
	if (!child_start(c, pass))
		return false;
	if (step_to(c->child, place)) {
		c->step = place->step;
		c->at = place->at;
		return true;
	}
	t->astray++;
	child_destroy(c->child);
	child_close(c);
	if (!child_start(c, pass))
		return false;
	while (c->step < place->step && step_one(c->child, &c->at) == 1)
		c->step++;
	return true;
}

static void at_place(struct crash_case *c, enum crash_pass pass, const struct step_place *place,
		     struct crash_tally *t)
{
	unsigned before = c->failures;

	if (child_at(c, pass, place, t)) {
		if (pass == PASS_KILL)
			child_kill(c);
		else
			child_stop(c);
		t->kills += pass == PASS_KILL;
		t->stops += pass == PASS_STOP;
		child_close(c);
	}
	t->failures += c->failures - before;
}

/** Every boundary that counts is killed at, and some of the rest; stops are spread over all. A
 *  boundary in the midst of a long repetition takes long to come to and is like its neighbours. */
static void passes_real(struct crash_case *c, const struct crash_effort *effort,
			struct crash_tally *t, const struct places *p)
{
	uint64_t stops = effort->stops < p->n ? effort->stops : p->n, done = 0;
	uint64_t rest = p->n / REST_KILLS_MAX > effort->kill_rest ? p->n / REST_KILLS_MAX
								  : effort->kill_rest;

	for (uint64_t i = 0; i < p->n; i++) {
		bool near = p->all[i].hit <= HITS_MAX;

		if (effort->kills && (p->counts[i] || (near && i % rest == 0)))
			at_place(c, PASS_KILL, &p->all[i], t);
		if (c->op->world && near && done * (p->n - 1) <= i * (stops - 1)) {
			done++;
			at_place(c, PASS_STOP, &p->all[i], t);
		}
	}
}

void crash_case_run(struct crash_case *c, const struct crash_effort *effort, struct crash_tally *t)
{
	unsigned variants = effort->variants > c->op->forms ? effort->variants : c->op->forms;

	for (unsigned v = 0; v < variants; v++) {
		struct places places = {0};

		c->variant = v;
		pass_look(c, t, &places);
		if (places.n && v < effort->kill_variants) {
			places_count(&places);
			passes_real(c, effort, t, &places);
		}
		free(places.all);
		free(places.counts);
	}
	t->done = 1;
}

void crash_case_again(struct crash_case *c, enum crash_pass pass, uint64_t step,
		      struct crash_tally *t)
{
	struct places places = {0};

	pass_look(c, t, &places);
	places_count(&places);
	if (pass != PASS_LOOK && step < places.n)
		at_place(c, pass, &places.all[step], t);
	free(places.all);
	free(places.counts);
	t->done = 1;
}
