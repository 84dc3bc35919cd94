/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What readers pay: a quiescent report per burst, or entering and leaving a section, beside the
 * in-process schemes that do the same. The words of Haven lie in shared memory.
 */
#define _LGPL_SOURCE /* liburcu's read side inline, its fastest form */
#include "case_rcu.h"

#include <ck_epoch.h>
#include <rte_rcu_qsbr.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <urcu/urcu-memb.h>
#include <urcu/urcu-qsbr.h>

#include "clock.h"
#include "haven_assert.h"
#include "rcu.h"

/** Operations per sample: enough for less than a nanosecond to show. */
#define BATCH 4096u
#define GOAL_QUIESCENT 1.2
#define GOAL_ENTER 1.5

struct shared_words {
	_Alignas(HAVEN_CACHE_LINE) uint64_t epoch;
	_Alignas(HAVEN_CACHE_LINE) uint64_t slot;
};

static struct shared_words *words;
static struct rte_rcu_qsbr *qsbr;
static ck_epoch_t epoch;
static ck_epoch_record_t record;

static void haven_quiescent(void)
{
	struct shared_words *w = words;

	for (unsigned i = 0; i < BATCH; i++)
		rcu_quiescent(&w->epoch, &w->slot);
}

static void qsbr_quiescent(void)
{
	for (unsigned i = 0; i < BATCH; i++)
		urcu_qsbr_quiescent_state();
}

static void rte_quiescent(void)
{
	struct rte_rcu_qsbr *v = qsbr;

	for (unsigned i = 0; i < BATCH; i++)
		rte_rcu_qsbr_quiescent(v, 0);
}

static void haven_section(void)
{
	struct shared_words *w = words;

	for (unsigned i = 0; i < BATCH; i++) {
		rcu_enter(&w->epoch, &w->slot);
		rcu_leave(&w->slot);
	}
}

static void ck_section(void)
{
	for (unsigned i = 0; i < BATCH; i++) {
		ck_epoch_begin(&record, NULL);
		ck_epoch_end(&record, NULL);
	}
}

static void memb_section(void)
{
	for (unsigned i = 0; i < BATCH; i++) {
		urcu_memb_read_lock();
		urcu_memb_read_unlock();
	}
}

struct way {
	const char *name;
	void (*batch)(void);
	struct bench_result *line;
};

static struct way reports[] = {{"Haven quiescent", haven_quiescent, NULL},
			       {"urcu-qsbr quiescent", qsbr_quiescent, NULL},
			       {"rte_rcu_qsbr quiescent", rte_quiescent, NULL}};
static struct way sections[] = {{"Haven enter + leave", haven_section, NULL},
				{"ck_epoch begin + end", ck_section, NULL},
				{"urcu-memb lock + unlock", memb_section, NULL}};

static void measure(struct bench *b, struct way *way, unsigned ways)
{
	const unsigned rounds = b->quick ? 3 : 21, samples = b->quick ? 50 : 500;

	for (unsigned i = 0; i < ways; i++)
		way[i].line = bench_line(b, "%s", way[i].name);
	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < ways; i++) {
			bench_begin(b);
			for (unsigned s = 0; s < samples; s++) {
				uint64_t begin = clock_now_ns();

				way[i].batch();
				bench_add(b, clock_now_ns() - begin, BATCH);
			}
			bench_round(b, way[i].line);
		}
	}
}

static int peers_start(void)
{
	size_t bytes = rte_rcu_qsbr_get_memsize(1);

	bytes = (bytes + HAVEN_CACHE_LINE - 1) / HAVEN_CACHE_LINE * HAVEN_CACHE_LINE;
	qsbr = aligned_alloc(HAVEN_CACHE_LINE, bytes);
	if (!qsbr || rte_rcu_qsbr_init(qsbr, 1) || rte_rcu_qsbr_thread_register(qsbr, 0))
		return 1;
	rte_rcu_qsbr_thread_online(qsbr, 0);
	urcu_qsbr_register_thread();
	urcu_memb_register_thread();
	ck_epoch_init(&epoch);
	ck_epoch_register(&epoch, &record, NULL);
	return 0;
}

static void peers_stop(void)
{
	urcu_memb_unregister_thread();
	urcu_qsbr_unregister_thread();
	ck_epoch_unregister(&record);
	free(qsbr);
}

static int run(struct bench *b)
{
	int code = rcu_reach(b); /* forks: before liburcu knows this thread */

	if (code)
		return code;
	words = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (words == MAP_FAILED || peers_start()) {
		fputs("haven-bench: memory ran out\n", stderr);
		return 1;
	}
	words->epoch = 1;
	bench_pin(0);
	rcu_enter(&words->epoch, &words->slot);
	bench_section(b, "quiescent report, once per burst");
	measure(b, reports, HAVEN_ARRAY_LEN(reports));
	bench_compare(reports[0].line, reports[1].line, GOAL_QUIESCENT);
	bench_compare(reports[0].line, reports[2].line, 0);
	bench_section(b, "section");
	measure(b, sections, HAVEN_ARRAY_LEN(sections));
	bench_compare(sections[0].line, sections[1].line, GOAL_ENTER);
	bench_compare(sections[0].line, sections[2].line, 0);
	peers_stop();
	munmap(words, sizeof(*words));
	return 0;
}

const struct bench_case bench_rcu = {
	"rcu", "reading across processes costs what it costs within one", run};
