/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The registry beside other look-up structures: by name, in bulk, by handle, at 1 k, 100 k and 1 M
 * entries, quiet and beside a writer, for one and two readers. The registry's readers are processes
 * that opened its file; the peers' readers are threads beside their writer, which is all that most
 * of them can do.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "case_registry.h"
#include "clock.h"

#define READERS_MAX 2u
/** Bursts that one sample brings together, so that the clock's own cost is spread. */
#define SAMPLE_BURSTS 8u
#define UPDATE_EVERY_NS (10 * NSEC_PER_USEC)
#define WARM_MAX 131072u
#define GOAL_PEER 1.1

static const struct lookup_way *const ways[] = {
	&way_haven_name, &way_haven_bulk,    &way_haven_handle, &way_lfht_qsbr, &way_lfht_memb,
	&way_rte_hash,   &way_rte_hash_bulk, &way_ck_ht,        &way_lmdb,      &way_lmdb_each};
#define WAYS HAVEN_ARRAY_LEN(ways)
static const struct lookup_store *const stores[] = {&store_haven,     &store_lfht_qsbr,
						    &store_lfht_memb, &store_rte_hash,
						    &store_ck_ht,     &store_lmdb};

static struct lookup_keys keys;

/** Words of a look-up job. */
enum { LOOK_N, LOOK_WAY, LOOK_WARM, LOOK_NS, LOOK_FROM };

static uint32_t next_burst(uint32_t at)
{
	return at + LOOKUP_BURST < keys.n ? at + LOOKUP_BURST : 0;
}

/* Answers: how many were asked for, how many found. */
static int job_look(struct crew_member *m)
{
	const struct lookup_way *way = ways[m->word[LOOK_WAY]];
	uint32_t at = (uint32_t)m->word[LOOK_FROM];
	uint64_t found = 0, asked = 0, end, begin, now;

	keys.n = (uint32_t)m->word[LOOK_N];
	if (way->store->begin && way->store->begin(m))
		return 1;
	for (; asked < m->word[LOOK_WARM]; at = next_burst(at), asked += LOOKUP_BURST)
		found += way->look(m, &keys, at);
	begin = clock_now_ns();
	for (end = begin + m->word[LOOK_NS]; begin < end; begin = now) {
		for (uint32_t i = 0; i < SAMPLE_BURSTS; i++, at = next_burst(at))
			found += way->look(m, &keys, at);
		asked += (uint64_t)SAMPLE_BURSTS * LOOKUP_BURST;
		now = clock_now_ns();
		if (!crew_sample(m, now - begin))
			break;
	}
	if (way->store->end)
		way->store->end(m);
	m->answer[0] = asked;
	m->answer[1] = found;
	return 0;
}

/** Words of the writer's job; LOOK_N is the same. */
enum { WRITE_WAY = 1, WRITE_SHARES_CPU };

/* Answers: updates, and how long it wrote. */
static int job_write(struct crew_member *m)
{
	const struct lookup_store *store = ways[m->word[WRITE_WAY]]->store;
	uint64_t begin = clock_now_ns(), done = 0, due;
	uint32_t at = 0;

	if (store->begin && store->begin(m))
		return 1;
	while (!crew_stopped(m)) {
		due = (clock_now_ns() - begin) / UPDATE_EVERY_NS;
		if (due < done + store->update_batch) {
			if (m->word[WRITE_SHARES_CPU])
				sched_yield();
			else
				cpu_relax();
			continue;
		}
		store->update(&keys, at, store->update_batch);
		done += store->update_batch;
		at = next_burst(at) + (uint32_t)(done / LOOKUP_BURST) % LOOKUP_BURST;
		if (at >= keys.n)
			at = 0;
	}
	m->answer[0] = done;
	m->answer[1] = clock_now_ns() - begin;
	if (store->end)
		store->end(m);
	return 0;
}

static int job_open(struct crew_member *m)
{
	return store_haven.open(m);
}

static int job_close(struct crew_member *m)
{
	return store_haven.close(m);
}

struct matrix {
	struct bench *b;
	struct crew crew;
	struct crew_member *process[READERS_MAX], *thread[READERS_MAX], *writer;
	uint32_t n;
	unsigned readers;
	bool writing;
	struct bench_result *line[WAYS];
	uint64_t updates[WAYS], writing_ns[WAYS];
};

static void reader_words(const struct matrix *x, struct crew_member *m, unsigned way)
{
	static const uint64_t long_ns[] = {10 * NSEC_PER_MSEC, 40 * NSEC_PER_MSEC,
					   80 * NSEC_PER_MSEC};
	unsigned size = x->n > 100000 ? 2 : x->n > 1000;
	uint64_t warm = x->b->quick ? 4096 : WARM_MAX;

	m->word[LOOK_N] = x->n;
	m->word[LOOK_WAY] = way;
	m->word[LOOK_WARM] = warm < x->n ? warm : x->n;
	m->word[LOOK_NS] = x->b->quick ? 2 * NSEC_PER_MSEC : long_ns[size];
	/* Readers and rounds begin at different places. */
	m->word[LOOK_FROM] = (m->word[LOOK_FROM] + m->number * 7919u) % x->n;
}

/* One way, one round. */
static int turn(struct matrix *x, unsigned way)
{
	struct crew_member **reader = ways[way]->store->processes ? x->process : x->thread;
	int code = 0;

	if (x->writing) {
		x->writer->word[LOOK_N] = x->n;
		x->writer->word[WRITE_WAY] = way;
		x->writer->word[WRITE_SHARES_CPU] = x->readers >= bench_cpus();
		crew_start(x->writer, job_write);
	}
	for (unsigned i = 0; i < x->readers; i++) {
		reader_words(x, reader[i], way);
		crew_start(reader[i], job_look);
	}
	bench_begin(x->b);
	for (unsigned i = 0; i < x->readers; i++) {
		code |= crew_wait(reader[i]);
		for (uint32_t s = 0; s < reader[i]->samples; s++)
			bench_add(x->b, reader[i]->sample[s], SAMPLE_BURSTS * LOOKUP_BURST);
		if (!code && reader[i]->answer[0] != reader[i]->answer[1]) {
			fprintf(stderr, "haven-bench: %s found %llu of %llu keys\n",
				ways[way]->name, (unsigned long long)reader[i]->answer[1],
				(unsigned long long)reader[i]->answer[0]);
			code = 1;
		}
	}
	bench_round(x->b, x->line[way]);
	if (x->writing) {
		store_release(&x->writer->stop, 1);
		code |= crew_wait(x->writer);
		x->updates[way] += x->writer->answer[0];
		x->writing_ns[way] += x->writer->answer[1];
	}
	return code;
}

static void compare_all(const struct matrix *x)
{
	struct bench_result *const *l = x->line;

	l[2]->goal = x->n == 1000 && !x->writing ? 5 : 0;
	bench_compare(l[0], l[3], GOAL_PEER);
	bench_compare(l[0], l[4], GOAL_PEER);
	bench_compare(l[0], l[5], GOAL_PEER);
	bench_compare(l[0], l[7], GOAL_PEER);
	bench_compare(l[0], l[8], 0);
	bench_compare(l[0], l[9], x->n == 1000 ? 1.0 / 10 : x->n == CASE_SIZE_MAX ? 1.0 / 4 : 0);
	bench_compare(l[1], l[6], GOAL_PEER);
}

static int run_section(struct matrix *x, unsigned readers, bool writing)
{
	unsigned rounds = x->b->quick ? 3 : 11;
	int code = 0;

	x->readers = readers;
	x->writing = writing;
	memset(x->updates, 0, sizeof(x->updates));
	memset(x->writing_ns, 0, sizeof(x->writing_ns));
	bench_section(x->b, "%u names, %s, %u reader%s", x->n, writing ? "writer" : "quiet",
		      readers, readers > 1 ? "s" : "");
	for (unsigned way = 0; way < WAYS; way++)
		x->line[way] = bench_line(x->b, "%s", ways[way]->name);
	for (unsigned r = 0; r < rounds && !code; r++)
		for (unsigned way = 0; way < WAYS && !code; way++)
			code = turn(x, way);
	for (unsigned way = 0; way < WAYS; way++)
		if (x->writing_ns[way])
			x->line[way]->updates_per_s =
				(double)x->updates[way] * 1e9 / (double)x->writing_ns[way];
	compare_all(x);
	return code;
}

/* Build all stores, let the registry's readers open it, leave no file behind. */
static int stores_build(struct matrix *x, unsigned *built)
{
	char scratch[64];
	int code = bench_scratch_make(scratch, sizeof(scratch));

	if (code)
		return code;
	lookup_keys_shuffle(&keys, x->n);
	for (*built = 0; *built < HAVEN_ARRAY_LEN(stores) && !code; ++*built)
		code = stores[*built]->build(&keys, &x->crew, scratch);
	for (unsigned i = 0; i < READERS_MAX && !code; i++) {
		memcpy(x->process[i]->text, scratch, sizeof(scratch));
		code = crew_do(x->process[i], job_open);
	}
	bench_scratch_remove(scratch);
	return code;
}

static int run_size(struct matrix *x, uint32_t n)
{
	unsigned built = 0;
	int code;

	x->n = n;
	code = stores_build(x, &built);
	for (unsigned writing = 0; writing < 2 && !code; writing++)
		for (unsigned readers = 1; readers <= READERS_MAX && !code; readers++)
			code = run_section(x, readers, writing);
	if (code)
		return code;
	for (unsigned i = 0; i < READERS_MAX; i++)
		crew_do(x->process[i], job_close);
	while (built > 0)
		stores[--built]->destroy();
	return 0;
}

static int crew_hire(struct matrix *x)
{
	if (crew_make(&x->crew))
		return 1;
	for (unsigned i = 0; i < READERS_MAX; i++)
		if (!(x->process[i] = crew_join(&x->crew, i, true)))
			return 1;
	if (lookup_eal()) /* after the fork, before threads of ours */
		return 1;
	for (unsigned i = 0; i < READERS_MAX; i++)
		if (!(x->thread[i] = crew_join(&x->crew, i, false)))
			return 1;
	x->writer = crew_join(&x->crew, 1, false);
	return x->writer ? 0 : 1;
}

static int run(struct bench *b)
{
	static struct matrix x;
	int code;

	x.b = b;
	if (lookup_keys_make(&keys, CASE_SIZE_MAX))
		return 1;
	code = crew_hire(&x);
	for (unsigned i = 0; i < CASE_SIZES && !code; i++)
		code = run_size(&x, case_sizes[i]);
	if (!code)
		code = registry_costs(b, x.process[0]);
	crew_end(&x.crew);
	return code;
}

const struct bench_case bench_registry = {
	"registry", "a look-up across processes costs no more than one within a process", run};
