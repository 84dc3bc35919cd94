/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haven-sim: runs the cluster of one seed after the other in virtual time, faults first, peace
 * afterwards, and checks the invariants all along.
 *
 * One seed is one exact run: the same seed and the same --nodes and --mode give the same events,
 * outputs and hash on every machine. Workers (--jobs) are processes, each with every n-th seed; a
 * worker that finds a failure prints it, with its trace, and the others stop.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"
#include "haven_assert.h"
#include "sim_args.h"
#include "sim_world.h"

#define TRACE_FREQUENT 60u
/* A seed takes milliseconds; one that takes this long will not end. */
#define HANG_S 120u

/* What workers tell the parent; in memory shared by all. */
struct shared {
	uint32_t stop;
	struct {
		uint64_t seed, done;
		bool failed;
		struct sim_stats stats;
	} worker[SIM_JOBS_MAX];
};

static struct sim_world *running; /* for the assertion hook */
static const struct sim_args *running_arguments;

/* ---- one seed ----------------------------------------------------------------------------------
 */

static void report_failure(const struct sim_world *w, const struct sim_args *a)
{
	static const char *const modes[] = {"mixed", "2w", "3", "2f"};
	static const char *const lengths[] = {"", "short", "long", "classic"};

	printf("\nFAILED seed %" PRIu64 ": %s\n", w->options.seed, w->check.text);
	sim_options_print(&w->options, stdout);
	if (!w->trace.live) {
		printf("last events:\n");
		sim_trace_print(&w->trace, a->lines, TRACE_FREQUENT, stdout);
		printf("FAILED seed %" PRIu64 ": %s\n", w->options.seed, w->check.text);
	}
	printf("replay: haven-sim --seed %" PRIu64 " --mode %s", w->options.seed,
	       modes[a->fixed.mode]);
	if (a->fixed.nodes)
		printf(" --nodes %u", a->fixed.nodes);
	if (a->fixed.length)
		printf(" --length %s", lengths[a->fixed.length]);
	printf(" --trace\n");
	fflush(stdout);
}

static void on_assert(const char *expression, const char *file, int line)
{
	fprintf(stderr, "assertion failed: %s (%s:%d)\n", expression, file, line);
	if (running) {
		sim_fail(running, SIM_BOUNDS, SIM_NONE, SIM_NONE, "an assertion failed (line)",
			 (uint64_t)line, 0, 0);
		report_failure(running, running_arguments);
	}
	abort();
}

static bool run_seed(struct sim_world *w, const struct sim_args *a, uint64_t seed)
{
	struct sim_options options;
	bool good;
	uint64_t hash;

	sim_options_draw(&options, seed, &a->fixed);
	alarm(HANG_S);
	sim_world_reset(w, &options);
	good = sim_world_run(w);
	hash = w->hash;
	if (good && a->replay) {
		sim_world_reset(w, &options);
		good = sim_world_run(w);
		if (good && w->hash != hash) {
			good = false;
			sim_fail(w, SIM_BOUNDS, SIM_NONE, SIM_NONE,
				 "the same seed ran differently (hashes)", hash, w->hash, 0);
		}
	}
	alarm(0);
	if (!good)
		report_failure(w, a);
	return good;
}

static int run_single(const struct sim_args *a)
{
	struct sim_world *w = sim_world_create();
	struct sim_options options;
	bool good;

	if (!w)
		return 2;
	running = w;
	sim_options_draw(&options, a->from, &a->fixed);
	sim_options_print(&options, stdout);
	w->trace.live = a->trace ? stdout : NULL;
	good = run_seed(w, a, a->from);
	if (good)
		printf("seed %" PRIu64 " clean, hash %016" PRIx64 "\n", a->from, w->hash);
	sim_world_destroy(w);
	return good ? 0 : 1;
}

/* ---- seeds that failed once --------------------------------------------------------------------
 */

/* One run per line: options as on the command line ("--seed 17 --mode 2w"); '#' begins a remark. */
static bool regress_line(struct sim_world *w, char *line, bool *any)
{
	char *argv[16] = {(char *)"haven-sim"};
	int argc = 1;
	struct sim_args a;

	line[strcspn(line, "#\n")] = '\0';
	for (char *word = strtok(line, " \t"); word && argc < 15; word = strtok(NULL, " \t"))
		argv[argc++] = word;
	if (argc == 1)
		return true;
	if (!sim_args_parse(argc, argv, &a) || !a.single) {
		fprintf(stderr, "haven-sim: a regress line is \"--seed N [options]\"\n");
		return false;
	}
	*any = true;
	running_arguments = &a;
	return run_seed(w, &a, a.from);
}

static int run_regress(const struct sim_args *a)
{
	struct sim_world *w = sim_world_create();
	FILE *file = fopen(a->regress, "r");
	char line[256];
	bool good = w && file, any = false;

	if (!file)
		fprintf(stderr, "haven-sim: %s: %s\n", a->regress, strerror(errno));
	running = w;
	while (good && fgets(line, sizeof(line), file))
		good = regress_line(w, line, &any);
	if (good)
		printf("regress seeds clean: %" PRIu64 "\n", w->stats.seeds);
	if (file)
		fclose(file);
	if (w)
		sim_world_destroy(w);
	return good ? 0 : 1;
}

/* ---- many seeds --------------------------------------------------------------------------------
 */

static void worker_run(struct shared *shared, const struct sim_args *a, unsigned self,
		       uint64_t started)
{
	struct sim_world *w = sim_world_create();
	uint64_t told = started;

	if (!w)
		_exit(2);
	running = w;
	running_arguments = a;
	for (uint64_t seed = a->from + self; seed <= a->to; seed += a->jobs) {
		uint64_t now = clock_now_ns();

		if (load_relaxed(&shared->stop) ||
		    (a->time_limit_ns && now - started > a->time_limit_ns))
			break;
		shared->worker[self].seed = seed;
		if (!run_seed(w, a, seed)) {
			shared->worker[self].failed = true;
			store_relaxed(&shared->stop, 1);
			break;
		}
		shared->worker[self].done++;
		if (self == 0 && now - told > 10 * NSEC_PER_SEC) {
			told = now;
			printf("  at seed %" PRIu64 " after %.0f s\n", seed,
			       (double)(now - started) / 1e9);
			fflush(stdout);
		}
	}
	shared->worker[self].stats = w->stats;
	sim_world_destroy(w);
	fflush(stdout);
	_exit(0);
}

/* All members of sim_stats are counters but the last, which is a maximum. */
static void stats_add(struct sim_stats *sum, const struct sim_stats *s)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)s;
	uint64_t most = sum->converge_max_leases_milli;

	for (size_t i = 0; i < sizeof(*s) / sizeof(*to); i++)
		to[i] += from[i];
	sum->converge_max_leases_milli =
		most > s->converge_max_leases_milli ? most : s->converge_max_leases_milli;
}

/* Faults that strike at instants of their own. */
static uint64_t report_strikes(const struct sim_stats *s)
{
	uint64_t sum = 0;

	for (unsigned f = SIM_FAULT_CUT; f < SIM_FAULT_COUNT; f++)
		sum += s->faults[f];
	return sum;
}

static void report_stats(const struct sim_stats *s, uint64_t real_ns)
{
	double real = (double)real_ns / 1e9, simulated = (double)s->simulated_ns / 1e9;
	double seeds = s->seeds ? (double)s->seeds : 1;

	printf("seeds %" PRIu64 ", simulated %.1f s, real %.1f s (%.0f seeds/s, %.1fx real time), "
	       "events %" PRIu64 ", steps %" PRIu64 "\n",
	       s->seeds, simulated, real, (double)s->seeds / real, simulated / real, s->events,
	       s->steps);
	printf("per seed: %.1f simulated ms, %.0f events, %.0f steps, %.0f frames, %.1f faults "
	       "besides those of frames, %.1f failovers, %.1f views, %.0f commits\n",
	       simulated * 1000 / seeds, (double)s->events / seeds, (double)s->steps / seeds,
	       (double)s->frames_sent / seeds, (double)report_strikes(s) / seeds,
	       (double)s->promotions / seeds, (double)s->epochs / seeds,
	       (double)s->commits / seeds);
	printf("sizes:");
	for (unsigned n = 0; n <= SIM_NODES; n++)
		if (s->sizes[n])
			printf(" %u nodes %" PRIu64, n, s->sizes[n]);
	printf("\nframes sent %" PRIu64 ", taken %" PRIu64 ", dropped %" PRIu64 "; faults:",
	       s->frames_sent, s->frames_taken, s->frames_dropped);
	for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
		printf(" %s %" PRIu64, sim_fault_name(f), s->faults[f]);
	printf("\nepochs %" PRIu64 " (formations %" PRIu64 "), acting intervals %" PRIu64
	       ", promotions %" PRIu64 ", switchovers %" PRIu64 ", states lost %" PRIu64 "\n",
	       s->epochs, s->formations, s->acting, s->promotions, s->switchovers, s->states_lost);
	printf("commits %" PRIu64 ", records %" PRIu64 ", acked %" PRIu64 ", applies %" PRIu64
	       " (refused %" PRIu64 "), resets %" PRIu64
	       "; whole again after at most %.1f leases\n",
	       s->commits, s->records, s->acked, s->applies, s->refused_applies, s->resets,
	       (double)s->converge_max_leases_milli / 1000);
	printf("bits flipped in copies %" PRIu64 ", found %" PRIu64 " (others were written over, "
	       "emptied or promoted); blocks compared %" PRIu64
	       "; records of warm standbys applied at promotion %" PRIu64 "\n",
	       s->flips, s->flips_found, s->compared, s->drained);
	printf("checks:");
	for (unsigned c = 0; c < SIM_CHECK_COUNT; c++)
		if (s->checks[c])
			printf(" %s %" PRIu64, sim_invariant_name(c), s->checks[c]);
	printf("\n");
}

static int run_many(const struct sim_args *a)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t started = clock_now_ns();
	struct sim_stats sum = {0};
	pid_t pid[SIM_JOBS_MAX];
	bool failed = false;

	if (shared == MAP_FAILED)
		return 2;
	fflush(stdout);
	for (unsigned k = 0; k < a->jobs; k++) {
		pid[k] = fork();
		if (pid[k] == 0)
			worker_run(shared, a, k, started);
	}
	for (unsigned k = 0; k < a->jobs; k++) {
		int status = 0;

		if (pid[k] < 0 || waitpid(pid[k], &status, 0) < 0) {
			failed = true;
			continue;
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			printf("FAILED seed %" PRIu64 ": the worker died (%s %d)\n",
			       shared->worker[k].seed,
			       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			failed = true;
			store_relaxed(&shared->stop, 1);
		}
		failed |= shared->worker[k].failed;
		stats_add(&sum, &shared->worker[k].stats);
	}
	report_stats(&sum, clock_now_ns() - started);
	munmap(shared, sizeof(*shared));
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct sim_args a;
	int result;

	if (!sim_args_parse(argc, argv, &a)) {
		sim_args_usage(stderr);
		return 2;
	}
	haven_assert_hook = on_assert;
	running_arguments = &a;
	if (a.regress)
		result = run_regress(&a);
	else
		result = a.single ? run_single(&a) : run_many(&a);
	if (a.expect_failure && result != 2) {
		printf(result ? "the planted bug was found\n" : "NO seed failed\n");
		result = !result;
	}
	return result;
}
