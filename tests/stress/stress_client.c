/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client segment: worker threads claim slots, poll, confirm roles, and end, in order or not;
 * a scanner looks at them as the node does. What a worker wrote before it confirmed a generation
 * is read plainly after the confirmation was seen (P1): the baton of a table.
 *
 * A slot whose thread died is never claimed again, so each round has a segment of its own.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client_segment.h"
#include "hash.h"
#include "prng.h"
#include "rcu.h"
#include "stress.h"

#define WORKERS 4u
#define POLLS 24u

/** What a worker owns until it confirms, and the scanner afterwards. */
struct baton {
	_Alignas(HAVEN_CACHE_LINE) uint64_t generation, twin;
};

static struct client_segment *segment;
static struct baton baton[HAVEN_WORKERS_MAX];
static uint64_t epoch = 1;
/** What the workers of this round did (atomic), and what the scanner saw. */
static uint64_t died, ended, refused, marks_seen, ends_seen, batons;
static uint64_t total_died, total_ended;

static uint64_t component_of(int32_t tid)
{
	return hash_mix64((uint64_t)tid) | 1;
}

static void polls(struct client_worker *w, struct baton *own, struct prng *random)
{
	uint64_t generation = 0;

	for (uint64_t n = 1 + prng_below(random, POLLS); n; n--) {
		rcu_quiescent(&epoch, &w->quiescent);
		store_relaxed(&w->progress, w->progress + 1);
		if (prng_below(random, 4) || generation)
			continue;
		generation = prng_next(random) | 1;
		own->generation = generation;
		own->twin = hash_mix64(generation);
		store_release(&w->confirmed[0], generation); /* P1 */
	}
}

static void worker(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed * 64 + t->number};

	while (!stress_stopped(t->stress)) {
		unsigned slot = (unsigned)prng_below(&random, HAVEN_WORKERS_MAX);
		struct client_worker *w = &segment->worker[slot];

		stress_round(t);
		if (client_worker_claim(w, component_of(gettid())) != 0) {
			fetch_add_relaxed(&refused, 1);
			sched_yield();
			continue;
		}
		polls(w, &baton[slot], &random);
		if (prng_below(&random, 8) == 0) {
			fetch_add_relaxed(&died, 1);
			return; /* the kernel marks it */
		}
		client_worker_release(w);
		fetch_add_relaxed(&ended, 1);
	}
}

/** One look of the node at one slot. `*taken`: its baton was taken already. */
static void scan(struct stress *s, unsigned slot, bool *taken)
{
	const struct client_worker *w = &segment->worker[slot];
	uint32_t state = load_acquire(&w->state); /* W1 */
	bool marked = state == CLIENT_WORKER_LIVE && client_worker_marked(w);
	uint64_t confirmed = load_acquire(&w->confirmed[0]); /* P1 */

	ends_seen += state == CLIENT_WORKER_ENDED;
	marks_seen += marked;
	/* Planted: the baton is taken from who may live on. */
	if (stress_planted(s, "no-proof"))
		marked = state == CLIENT_WORKER_LIVE;
	if (!marked || *taken)
		return;
	/* Nobody claims the slot of a dead thread again: all of this stays. */
	if (load_relaxed(&w->component) != component_of(load_relaxed(&w->tid)))
		stress_fail(s, "slot %u: thread and component do not belong together", slot);
	if (!confirmed)
		return;
	if (baton[slot].generation != confirmed || baton[slot].twin != hash_mix64(confirmed))
		stress_fail(s, "slot %u: the baton is not what was confirmed", slot);
	*taken = true;
	batons++;
}

static void scanner(struct stress_thread *t)
{
	bool taken[HAVEN_WORKERS_MAX] = {false};

	while (!stress_stopped(t->stress)) {
		for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
			scan(t->stress, i, &taken[i]);
		stress_round(t);
		if (t->rounds % 16 == 0)
			sched_yield();
	}
}

/** After all threads have ended: exactly the slots of the dead carry the mark. */
static void count(struct stress *s)
{
	uint64_t marked = 0;

	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		const struct client_worker *w = &segment->worker[i];

		if (client_worker_marked(w) != (load_acquire(&w->state) == CLIENT_WORKER_LIVE))
			stress_fail(s, "slot %u: mark and state do not fit", i);
		marked += client_worker_marked(w);
	}
	if (marked != died)
		stress_fail(s, "%llu threads died, %llu slots are marked", (unsigned long long)died,
			    (unsigned long long)marked);
	total_died += died;
	total_ended += ended;
}

static void run(struct stress *s)
{
	void (*const bodies[])(struct stress_thread *) = {worker, worker, worker, worker, scanner};
	struct stress_thread threads[WORKERS + 1];
	uint64_t rounds = 0, seed = s->seed;

	/* An operation is a slot given back or lost. */
	for (; total_died + total_ended < s->operations && !s->failures; rounds++) {
		int fd;

		died = ended = 0;
		s->seed = seed + rounds;
		if (client_segment_create(&segment, &fd, NULL) != 0) {
			stress_fail(s, "there is no segment");
			break;
		}
		close(fd);
		stress_start(s, threads, WORKERS + 1, bodies);
		stress_begin(s);
		for (unsigned i = 0; i < STRESS_PATIENCE; i++) {
			if (load_relaxed(&died) == WORKERS || load_relaxed(&ended) > 64)
				break;
			store_release(&epoch, load_relaxed(&epoch) + 1);
			sched_yield();
		}
		stress_finish(s, threads, WORKERS + 1);
		count(s);
		client_segment_unmap(segment);
	}
	s->seed = seed;
	printf("%llu slots given back, %llu threads died, %llu claims refused in %llu segments; "
	       "%llu batons taken, %llu ends and %llu marks seen; ",
	       (unsigned long long)total_ended, (unsigned long long)total_died,
	       (unsigned long long)refused, (unsigned long long)rounds, (unsigned long long)batons,
	       (unsigned long long)ends_seen, (unsigned long long)marks_seen);
	if (!s->failures && (!total_died || !total_ended || !batons || !marks_seen))
		stress_fail(s, "something was never done");
}

const struct stress_case stress_client_case = {"client", "no-proof", run};
