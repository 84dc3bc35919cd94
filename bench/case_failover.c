/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Failover of a real cluster on this machine: nodes a and b, a witness, one application on a and b.
 * Per fault and cause, all on the machine's one raw clock:
 *
 *   process    the holder's application is killed
 *                notice   kill() -> the node has seen the kernel's mark
 *                gate     the mark -> the standby application finds its gate open
 *   node       the holder's node and application are killed, or stopped
 *                gate     the last beat that came from it -> the standby's gate is open
 *                beyond   the same minus the lease: what agreement costs besides waiting
 *
 * Nodes and applications take turns on one core (world.h): the longest poll gap of the nodes and
 * the suspicions without a cause stand beside the figures.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "world.h"

#define OPEN_TIMEOUT_NS (5 * NSEC_PER_SEC)

enum fault { FAULT_PROCESS = 0, FAULT_KILL, FAULT_STOP, FAULTS };

struct failover {
	struct bench *bench;
	struct world world;
	unsigned rounds, false_suspicions;
	unsigned unopened, unsynced; /**< no failover; of these because the standby had just been
					voted out of the in-sync set, after a suspicion */
	double *notice, *gate;       /**< one per round, ns */
	unsigned n;
	uint64_t gap_max_ns;
};

static void note_gaps(struct failover *f)
{
	static struct registry_status s;

	for (unsigned i = 0; i < WORLD_NODES; i++) {
		if (world_status(&f->world, i, &s) && s.poll_gap_recent_max_ns > f->gap_max_ns)
			f->gap_max_ns = s.poll_gap_recent_max_ns;
	}
}

/** Last beat that `other` took from `node`, known once the silence has been published. */
static uint64_t last_beat(struct failover *f, unsigned other, unsigned node)
{
	static struct registry_status s;
	uint64_t until = clock_now_ns() + NSEC_PER_SEC;

	do {
		if (world_status(&f->world, other, &s) && !s.peer[node].alive)
			return s.peer[node].last_heard_ns;
		usleep(500);
	} while (clock_now_ns() < until);
	return 0;
}

static bool in_sync(struct failover *f, unsigned node)
{
	static struct registry_status s;

	return world_status(&f->world, node, &s) && (s.instance[0].in_sync >> node & 1);
}

/** One fault. Returns 0, or 1 after telling why. */
static int strike(struct failover *f, enum fault fault, uint64_t *whole_ns)
{
	bool app_only = fault == FAULT_PROCESS;
	int holder = world_whole(&f->world);
	uint64_t at, opened, from = 0;
	unsigned other = holder == WORLD_A ? WORLD_B : WORLD_A;
	struct event e;

	if (holder < 0)
		return 1;
	note_gaps(f);
	if (*whole_ns)
		f->false_suspicions +=
			world_count(&f->world, EVENT_PEER_SUSPECT, *whole_ns, clock_now_ns());
	at = world_strike(&f->world, (unsigned)holder, app_only,
			  fault == FAULT_STOP ? SIGSTOP : SIGKILL);
	opened = world_opened(&f->world, other, at, OPEN_TIMEOUT_NS);
	if (!opened) {
		f->unopened++;
		f->unsynced += !in_sync(f, other);
	} else if (!app_only) {
		from = last_beat(f, other, (unsigned)holder);
	} else if (world_event(&f->world, (unsigned)holder, EVENT_COMPONENT_DEAD, at, &e)) {
		from = e.b;
	}
	if (from && opened > from) {
		f->notice[f->n] = from > at ? (double)(from - at) : 0;
		f->gate[f->n++] = (double)(opened - from);
	}
	if (fault == FAULT_STOP)
		world_continue(&f->world, (unsigned)holder);
	else if (world_mend(&f->world, (unsigned)holder, app_only))
		return 1;
	if (world_whole(&f->world) < 0)
		return 1;
	*whole_ns = clock_now_ns();
	return 0;
}

static void line(struct failover *f, const double *sample, double less_ns, double goal_ns,
		 const char *name)
{
	struct bench_result *r;

	bench_begin(f->bench);
	for (unsigned i = 0; i < f->n; i++)
		bench_add(f->bench, sample[i] > less_ns ? (uint64_t)(sample[i] - less_ns) : 0, 1);
	r = bench_end(f->bench, "%s", name);
	r->goal = goal_ns / 1e3;
}

static int run_fault(struct bench *b, enum fault fault, const char *timers, uint64_t lease_ns)
{
	static double notice[BENCH_ROUNDS_LIMIT], gate[BENCH_ROUNDS_LIMIT];
	struct failover f = {.bench = b,
			     .notice = notice,
			     .gate = gate,
			     .rounds = b->rounds  ? b->rounds
				       : b->quick ? 10
						  : 1000};
	/* With long leases nobody need be protected from this host: then each side has a core. */
	const struct world_options options = {.timers = timers,
					      .turns = !b->quick && fault != FAULT_PROCESS};
	uint64_t whole_ns = 0;
	int code = world_open(&f.world, &options);

	for (unsigned i = 0; i < f.rounds && !code; i++)
		code = strike(&f, fault, &whole_ns);
	world_close(&f.world);
	if (code)
		return code;
	if (fault == FAULT_PROCESS) {
		line(&f, f.notice, 0, 0, "process killed: kill to mark seen");
		line(&f, f.gate, 0, 20e3, "process killed: mark seen to open gate");
	} else {
		const char *how = fault == FAULT_STOP ? "stopped" : "killed";
		char name[64];

		snprintf(name, sizeof(name), "node %s: last beat to open gate", how);
		line(&f, f.gate, 0, 200e3, name);
		snprintf(name, sizeof(name), "node %s: beyond the lease", how);
		line(&f, f.gate, (double)lease_ns, 30e3, name);
	}
	printf("%u faults; %u without failover, in %u of these the standby was not in sync\n"
	       "  %u suspicions without a cause, longest poll gap seen between faults %.0f us\n",
	       f.rounds, f.unopened, f.unsynced, f.false_suspicions, (double)f.gap_max_ns / 1e3);
	return 0;
}

static int run(struct bench *b)
{
	/* Tried out beside other work, short leases would end all the time. */
	const char *timers = b->quick ? WORLD_TIMERS_CALM : WORLD_TIMERS_FAST;
	uint64_t lease_ns = b->quick ? WORLD_LEASE_CALM_NS : WORLD_LEASE_FAST_NS;
	int code;

	b->unit = "us";
	b->unit_ns = 1e3;
	b->latencies = true;
	code = run_fault(b, FAULT_PROCESS, WORLD_TIMERS_CALM, WORLD_LEASE_CALM_NS);
	if (!code)
		code = run_fault(b, FAULT_STOP, timers, lease_ns);
	return code ? code : run_fault(b, FAULT_KILL, timers, lease_ns);
}

const struct bench_case bench_failover = {
	"failover", "a standby serves microseconds after a death is known", run};
