/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haven-crash: arguments, workers, report. A case runs in a worker process of its own, so that even
 * a checker that crashes is one failed case; what it finds is counted in shared memory.
 */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "crash.h"
#include "haven_assert.h"

#define CASES_MAX 512u
#define JOBS_MAX 64u

static const struct crash_op *const families[] = {
	crash_registry_ops, crash_restart_ops, crash_reader_ops, crash_client_ops,
	crash_table_ops,    crash_region_ops,  crash_dirty_ops,  crash_ring_ops,
};

struct listed {
	const struct crash_op *op;
	enum crash_start start;
};

/** Shared by all workers. */
struct board {
	uint32_t next; /**< case to take */
	struct crash_tally tally[CASES_MAX];
};

static struct listed cases[CASES_MAX];
static unsigned n_cases;
static struct board *board;
static struct crash_effort effort = {
	.variants = 2, .kill_rest = 64, .stops = 24, .kill_variants = 1, .kills = true};
static const char *only, *again;
static bool expect_failure;
static unsigned jobs = 2;

static void *shared_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("haven-crash: mmap");
		exit(2);
	}
	return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void case_prepare(struct crash_case *c)
{
	static const char *const places[] = {"/dev/shm", "/tmp"};
	bool made = false;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(places) && !made; i++) {
		snprintf(c->dir, sizeof(c->dir), "%s/haven-crash.XXXXXX", places[i]);
		made = mkdtemp(c->dir) != NULL;
	}
	if (!made) {
		perror("haven-crash: no folder for the registries");
		exit(2);
	}
	c->stage = shared_memory(CRASH_STAGE_BYTES);
	c->child = -1;
}

static void case_clear(struct crash_case *c)
{
	nftw(c->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	munmap(c->stage, CRASH_STAGE_BYTES);
}

/* ---- list ------------------------------------------------------------------------------------ */

/** "OP" or "OP:START" */
static bool wanted(const struct crash_op *op, enum crash_start start)
{
	size_t n = strlen(op->name);

	if (!only)
		return true;
	return strncmp(only, op->name, n) == 0 &&
	       (only[n] == 0 ||
		(only[n] == ':' && strcmp(only + n + 1, crash_start_name(start)) == 0));
}

static void cases_list(void)
{
	for (unsigned f = 0; f < HAVEN_ARRAY_LEN(families); f++) {
		for (const struct crash_op *op = families[f]; op->name; op++) {
			for (unsigned start = 0; start < START_COUNT; start++) {
				if (!(op->starts >> start & 1) || !wanted(op, start))
					continue;
				HAVEN_ASSERT(n_cases < CASES_MAX);
				cases[n_cases++] = (struct listed){op, start};
			}
		}
	}
}

static const struct listed *case_named(const char *op, const char *start)
{
	for (unsigned i = 0; i < n_cases; i++) {
		if (strcmp(cases[i].op->name, op) == 0 &&
		    strcmp(crash_start_name(cases[i].start), start) == 0)
			return &cases[i];
	}
	return NULL;
}

/* ---- workers --------------------------------------------------------------------------------- */

static pid_t case_fork(unsigned i)
{
	struct crash_case c = {.op = cases[i].op, .start = cases[i].start};
	pid_t worker = fork();

	if (worker != 0)
		return worker;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	case_prepare(&c);
	crash_case_run(&c, &effort, &board->tally[i]);
	case_clear(&c);
	exit(0);
}

static void case_ended(unsigned i, int status)
{
	struct crash_tally *t = &board->tally[i];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && t->done)
		return;
	printf("FAILED %s %s: the checker itself ended with status 0x%x\n", cases[i].op->name,
	       crash_start_name(cases[i].start), (unsigned)status);
	t->failures++;
}

static void run_all(void)
{
	pid_t worker[JOBS_MAX] = {0};
	unsigned busy[JOBS_MAX], running = 0, next = 0;

	while (next < n_cases || running) {
		int status;
		pid_t ended;

		for (unsigned j = 0; j < jobs && next < n_cases; j++) {
			if (worker[j])
				continue;
			busy[j] = next;
			worker[j] = case_fork(next++);
			if (worker[j] < 0) {
				perror("haven-crash: fork");
				exit(2);
			}
			running++;
		}
		ended = waitpid(-1, &status, 0);
		for (unsigned j = 0; j < jobs; j++) {
			if (worker[j] != ended || ended <= 0)
				continue;
			case_ended(busy[j], status);
			worker[j] = 0;
			running--;
		}
	}
}

/** "OP:START:VARIANT:PASS:STEP" */
static int run_again(void)
{
	char op[32], start[16], pass[8];
	unsigned variant;
	unsigned long long step;
	struct crash_case c = {.failures = 0};
	struct crash_tally t = {0};
	const struct listed *one;

	if (sscanf(again, "%31[^:]:%15[^:]:%u:%7[^:]:%llu", op, start, &variant, pass, &step) != 5)
		return 2;
	one = case_named(op, start);
	if (!one)
		return 2;
	c.op = one->op;
	c.start = one->start;
	c.variant = variant;
	case_prepare(&c);
	crash_case_again(&c,
			 strcmp(pass, "kill") == 0   ? PASS_KILL
			 : strcmp(pass, "stop") == 0 ? PASS_STOP
						     : PASS_LOOK,
			 step, &t);
	case_clear(&c);
	printf("%llu failures\n", (unsigned long long)t.failures);
	return t.failures != 0;
}

/* ---- report ---------------------------------------------------------------------------------- */

static int report(void)
{
	struct crash_tally sum = {0};
	unsigned failed = 0, whole = 0;

	for (unsigned i = 0; i < n_cases; i++) {
		const struct crash_tally *t = &board->tally[i];

		printf("%-14s %-8s %8llu points %6llu states %5llu kills %5llu stops%s\n",
		       cases[i].op->name, crash_start_name(cases[i].start),
		       (unsigned long long)t->points, (unsigned long long)t->states,
		       (unsigned long long)t->kills, (unsigned long long)t->stops,
		       t->failures ? "  FAILED" : "");
		sum.points += t->points;
		sum.states += t->states;
		sum.kills += t->kills;
		sum.stops += t->stops;
		sum.astray += t->astray;
		sum.failures += t->failures;
		sum.variants += t->variants;
		failed += t->failures != 0 || !t->done;
		whole += t->done && t->variants >= effort.variants;
	}
	printf("%u of %u cases stepped through every instruction from begin to end, in at "
	       "least %u forms each; %llu contents checked, %llu children stepped to their "
	       "boundary\n",
	       whole, n_cases, effort.variants, (unsigned long long)sum.states,
	       (unsigned long long)sum.astray);
	printf("%llu kill points, %llu real kills, %llu stops, %llu failures\n",
	       (unsigned long long)sum.points, (unsigned long long)sum.kills,
	       (unsigned long long)sum.stops, (unsigned long long)sum.failures);
	if (expect_failure) {
		printf("%s\n", sum.failures ? "the planted bug was found"
					    : "the planted bug was NOT found");
		return sum.failures ? 0 : 1;
	}
	printf("%u passed, %u failed\n", n_cases - failed, failed);
	return failed != 0 || n_cases == 0;
}

static void usage(FILE *to)
{
	fputs("usage: haven-crash [OPTION]...\n"
	      "Single-steps operations on shared memory; after each instruction it checks what a\n"
	      "death would leave. Then kills and stops real processes at these boundaries.\n"
	      "  --long             more forms of each start state, stops at (nearly) every "
	      "boundary\n"
	      "  --variants N       forms of each start state that are stepped through\n"
	      "  --stops N          stops per case, at most\n"
	      "  --no-kills         step only\n"
	      "  --only OP[:START]  this operation only\n"
	      "  --jobs N           workers (default 2)\n"
	      "  --list             show the cases\n"
	      "  --again OP:START:VARIANT:PASS:STEP  one boundary, as a failure names it\n"
	      "  --expect-failure   succeed when a check fails (planted bugs)\n",
	      to);
}

enum {
	OPTION_LONG = 1,
	OPTION_VARIANTS,
	OPTION_STOPS,
	OPTION_NO_KILLS,
	OPTION_ONLY,
	OPTION_JOBS,
	OPTION_LIST,
	OPTION_AGAIN,
	OPTION_EXPECT,
	OPTION_HELP
};

static const struct option options[] = {
	{"long", no_argument, NULL, OPTION_LONG},
	{"variants", required_argument, NULL, OPTION_VARIANTS},
	{"stops", required_argument, NULL, OPTION_STOPS},
	{"no-kills", no_argument, NULL, OPTION_NO_KILLS},
	{"only", required_argument, NULL, OPTION_ONLY},
	{"jobs", required_argument, NULL, OPTION_JOBS},
	{"list", no_argument, NULL, OPTION_LIST},
	{"again", required_argument, NULL, OPTION_AGAIN},
	{"expect-failure", no_argument, NULL, OPTION_EXPECT},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!*text || *end || n < least || n > most) {
		fprintf(stderr, "haven-crash: \"%s\" is not a number from %u to %u\n", text, least,
			most);
		exit(2);
	}
	return (unsigned)n;
}

static bool list_only;

static void option_take(int option)
{
	switch (option) {
	case OPTION_LONG:
		effort.variants = 4;
		effort.stops = 1000;
		effort.kill_variants = 1;
		break;
	case OPTION_VARIANTS:
		effort.variants = number(optarg, 1, 1000);
		break;
	case OPTION_STOPS:
		effort.stops = number(optarg, 0, 1000000);
		break;
	case OPTION_NO_KILLS:
		effort.kills = false;
		effort.kill_variants = 0;
		break;
	case OPTION_ONLY:
		only = optarg;
		break;
	case OPTION_JOBS:
		jobs = number(optarg, 1, JOBS_MAX);
		break;
	case OPTION_LIST:
		list_only = true;
		break;
	case OPTION_AGAIN:
		again = optarg;
		break;
	case OPTION_EXPECT:
		expect_failure = true;
		break;
	case OPTION_HELP:
		usage(stdout);
		exit(0);
	default:
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		option_take(option);
	setvbuf(stdout, NULL, _IOLBF, 0);
	cases_list();
	if (list_only) {
		for (unsigned i = 0; i < n_cases; i++)
			printf("%s:%s\n", cases[i].op->name, crash_start_name(cases[i].start));
		return 0;
	}
	board = shared_memory(sizeof(*board));
	if (again)
		return run_again();
	run_all();
	return report();
}
