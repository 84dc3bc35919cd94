/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Takeover by the size of the table: the holder's application is killed, and its standby opens its
 * gate. Hot standbys have applied everything; warm ones keep the newest KEPT records until then.
 *
 *   gate    the node has seen the kernel's mark -> the standby application finds its gate open
 *
 * What grows with the table would show: the figures of a hot standby are the same from line to
 * line, those of a warm one by as much as the records that it keeps.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "bench.h"
#include "clock.h"
#include "haven.h"
#include "world.h"

#define KEPT 4096u
#define BATCH 32u
#define OPEN_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define FILL_TIMEOUT_NS (120 * NSEC_PER_SEC)
/* No lease ends while a loaded machine fills a table. */
#define TIMERS                                                                                     \
	"interval: 500us, suspect: 100ms, lease: 200ms, guard: 1ms, rate_ppm: 200, stall: 5ms, "   \
	"stuck: 60s, mirror_timeout: 5s"

/** Writer of the first line: the bench; of `done`: the application that holds the work. */
struct takeover_shared {
	uint32_t size, kept;        /**< of the world to be opened; 0 kept: hot */
	uint32_t from, count;       /**< keys to be put: what is asked for */
	uint64_t asked;             /**< number of the request (release) */
	_Alignas(64) uint64_t done; /**< number of the newest one whose records are acknowledged */
};

struct app {
	struct takeover_shared *shared;
	struct haven_worker *worker;
	struct haven_table *table;
};

/* Put what is asked for. False: the role is gone, or the table refused. */
static bool put_keys(struct app *a)
{
	const struct takeover_shared *s = a->shared;
	uint64_t last = 0;

	for (uint32_t i = 0; i < s->count;) {
		uint64_t key = (s->from + i) % s->size;
		int status = haven_put(a->worker, a->table, &key, &key);

		i += status == 0;
		if (status && status != -HAVEN_EFULL)
			return false;
		if (status || i % BATCH == 0 || i == s->count)
			last = haven_commit(a->worker, a->table);
		if (status) {
			haven_poll(a->worker);
			sched_yield();
		}
	}
	while (haven_acked(a->worker, a->table) < last) {
		haven_poll(a->worker);
		if (!haven_gate(a->worker, 0))
			return false;
		sched_yield();
	}
	return true;
}

static void serve(struct haven *h, struct world *w, unsigned node)
{
	struct app a = {.shared = w->options.context};
	const struct haven_component_config config = {.name = "work"};
	const struct haven_table_config shape = {.name = "state",
						 .key_bytes = 8,
						 .value_bytes = 8,
						 .capacity = a.shared->size,
						 .lanes = 1,
						 .warm_records = a.shared->kept};
	struct haven_component *c;

	if (haven_component_register(h, &config, &c) ||
	    haven_table_create(c, 0, &shape, &a.table) || haven_component_ready(c) ||
	    haven_worker_begin(c, &a.worker))
		return;
	store_release(&w->line[node].ready, 1);
	for (;;) {
		unsigned change = haven_poll(a.worker);
		uint64_t asked = load_acquire(&a.shared->asked);

		if (change & HAVEN_CHANGE_NODE)
			return;
		world_app_look(&w->line[node], a.worker, change);
		if (w->line[node].opened_ns && load_relaxed(&a.shared->done) != asked &&
		    put_keys(&a))
			store_release(&a.shared->done, asked);
		sched_yield();
	}
}

static int ask(struct takeover_shared *s, uint32_t from, uint32_t count)
{
	uint64_t until = clock_now_ns() + FILL_TIMEOUT_NS;

	s->from = from;
	s->count = count;
	store_release(&s->asked, s->asked + 1);
	while (load_acquire(&s->done) != s->asked) {
		if (clock_now_ns() > until) {
			fputs("haven-bench: the table is not filled in two minutes\n", stderr);
			return 1;
		}
		sched_yield();
	}
	return 0;
}

/* One takeover. Returns 0, or 1 after telling why. */
static int strike(struct bench *b, struct world *w, struct takeover_shared *s, unsigned round)
{
	int holder = world_whole(w);
	unsigned other = holder == WORLD_A ? WORLD_B : WORLD_A;
	uint64_t at, opened;
	struct event e;

	if (holder < 0 || ask(s, round * KEPT, KEPT) || world_whole(w) != holder)
		return 1;
	at = world_strike(w, (unsigned)holder, true, SIGKILL);
	opened = world_opened(w, other, at, OPEN_TIMEOUT_NS);
	if (!opened) {
		fputs("haven-bench: the standby did not take over\n", stderr);
		return 1;
	}
	if (world_event(w, (unsigned)holder, EVENT_COMPONENT_DEAD, at, &e) && opened > e.b)
		bench_add(b, opened - e.b, 1);
	return world_mend(w, (unsigned)holder, true);
}

static int run_size(struct bench *b, struct takeover_shared *s, uint32_t size, uint32_t kept)
{
	const struct world_options options = {.timers = TIMERS, .serve = serve, .context = s};
	unsigned rounds = b->rounds ? b->rounds : b->quick ? 2 : 20;
	struct world w;
	int code;

	*s = (struct takeover_shared){.size = size, .kept = kept};
	code = world_open(&w, &options);
	if (!code)
		code = world_whole(&w) < 0 || ask(s, 0, size);
	bench_begin(b);
	for (unsigned i = 0; i < rounds && !code; i++)
		code = strike(b, &w, s, i);
	world_close(&w);
	if (!code)
		bench_end(b, "%s, %u entries", kept ? "warm" : "hot", size);
	return code;
}

static int run(struct bench *b)
{
	static const uint32_t sizes[] = {10000, 100000, 1000000};
	unsigned n = b->quick ? 2 : 3;
	struct takeover_shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int code = s == MAP_FAILED;

	b->unit = "us";
	b->unit_ns = 1e3;
	b->latencies = true;
	for (unsigned warm = 0; warm < 2; warm++)
		for (unsigned i = 0; i < n && !code; i++)
			if (warm ? !b->hot : !b->warm)
				code = run_size(b, s, sizes[i], warm ? KEPT : 0);
	if (!code)
		printf("a warm standby keeps %u records\n", KEPT);
	return code;
}

const struct bench_case bench_takeover = {
	"takeover", "a hot standby takes over in a time that no table size shows in", run};
