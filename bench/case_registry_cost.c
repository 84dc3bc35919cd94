/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What adding, updating and removing a component costs the node, and iterating a reader in another
 * process, from 1 k to 1 M components: the work is the same, so the ratio shows what misses of the
 * caches cost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case_registry.h"
#include "clock.h"
#include "rcu.h"

#define GOAL_FLAT 3.0
#define BATCH 100u
#define EXPECT_FAR 4u
#define EXPECT_NEAR 2u
#define HUGE_DIR "/dev/hugepages"

const uint32_t case_sizes[CASE_SIZES] = {1000, 100000, CASE_SIZE_MAX};

enum cost { COST_ADD = 0, COST_UPDATE, COST_REMOVE, COST_ITERATE, COST_COUNT };
static const char *const cost_name[] = {"add", "update", "remove", "iterate"};

struct costs {
	struct bench *b;
	struct crew_member *reader;
	struct lookup_keys keys;
	struct registry registry;
	bool huge; /**< it stands on 2 MiB pages */
	struct rcu_domain rcu;
	struct bench_result *line[COST_COUNT][CASE_SIZES];
	uint32_t *position; /**< of the component with this number in the order of changes */
	uint64_t *sample[COST_COUNT];
	uint32_t samples[COST_COUNT];
};

static void sample_add(struct costs *c, enum cost what, uint64_t ns)
{
	if (c->samples[what] < CREW_SAMPLES_MAX)
		c->sample[what][c->samples[what]++] = ns;
}

/* Runs in the reader. Words: components that must be found, how often. */
static int job_iterate(struct crew_member *m)
{
	struct error_text text;
	struct registry r;
	int code = 0;

	if (registry_open(&r, m->text, &text)) {
		fprintf(stderr, "haven-bench: %s\n", text.text);
		return 1;
	}
	rcu_enter(&r.header->rcu_epoch, &m->slot);
	for (uint64_t i = 0; i < m->word[1]; i++) {
		const struct registry_hot *hot = NULL;
		uint64_t found = 0, sum = 0;
		uint32_t cursor = 0;

		do {
			uint64_t begin = clock_now_ns();
			unsigned n = 0;

			while (n < BATCH && (hot = registry_next(&r, &cursor)) != NULL) {
				sum += hot->load;
				n++;
			}
			if (n == BATCH)
				crew_sample(m, clock_now_ns() - begin);
			found += n;
		} while (hot);
		bench_keep(&sum);
		code |= found != m->word[0];
	}
	rcu_leave(&m->slot);
	registry_close(&r);
	if (code)
		fputs("haven-bench: iteration misses components\n", stderr);
	return code;
}

static int add_all(struct costs *c)
{
	struct error_text text;

	for (uint32_t i = 0; i < c->keys.n; i += BATCH) {
		struct registry_component batch[BATCH] = {0};
		struct registry_key key;
		uint64_t begin;

		for (uint32_t k = 0; k < BATCH; k++) {
			lookup_name(&key, i + k);
			memcpy(batch[k].hot.name, key.text, sizeof(key.text));
		}
		begin = clock_now_ns();
		for (uint32_t k = 0; k < BATCH; k++) {
			if (registry_add(&c->registry, &batch[k], &text)) {
				fprintf(stderr, "haven-bench: %s\n", text.text);
				return 1;
			}
		}
		sample_add(c, COST_ADD, clock_now_ns() - begin);
		for (uint32_t k = 0; k < BATCH; k++)
			c->keys.handle[c->position[i + k]] = batch[k].hot.handle;
	}
	return 0;
}

static uint64_t handle_ahead(const struct costs *c, uint32_t i)
{
	return i < c->keys.n ? c->keys.handle[i] : 0;
}

/* In random order; replaced objects and freed slots are taken back as they become free. */
static int change_all(struct costs *c, enum cost what)
{
	int error = 0;

	for (uint32_t i = 0; i < c->keys.n; i += BATCH) {
		uint64_t begin = clock_now_ns();

		for (uint32_t k = 0; k < BATCH; k++) {
			uint64_t handle = c->keys.handle[i + k];

			/* As the node does with the requests that wait in a ring. */
			registry_expect(&c->registry, handle_ahead(c, i + k + EXPECT_FAR),
					handle_ahead(c, i + k + EXPECT_NEAR));
			if (what == COST_UPDATE) {
				struct registry_component next = {0};

				next.hot = *registry_own(&c->registry, handle);
				next.hot.load = (next.hot.load + 1) % REGISTRY_LOAD_MAX;
				error |= registry_update(&c->registry, &next, &c->rcu);
			} else {
				error |= registry_remove(&c->registry, handle, &c->rcu);
			}
			registry_reclaim(&c->registry, &c->rcu);
		}
		sample_add(c, what, clock_now_ns() - begin);
	}
	if (error)
		fputs("haven-bench: the registry refuses a change\n", stderr);
	return error ? 1 : 0;
}

static int iterate(struct costs *c, const char *scratch)
{
	memcpy(c->reader->text, scratch, strlen(scratch) + 1);
	c->reader->word[0] = c->keys.n;
	c->reader->word[1] = c->keys.n > 1000 ? 1 : 20;
	if (crew_do(c->reader, job_iterate))
		return 1;
	for (uint32_t i = 0; i < c->reader->samples; i++)
		sample_add(c, COST_ITERATE, c->reader->sample[i]);
	return 0;
}

/* Everything once with a registry of this size; small ones several times, for enough samples. */
static int round_of(struct costs *c, const char *scratch)
{
	const unsigned times = c->keys.n > 1000 ? 1 : 20;
	int code = 0;

	for (unsigned i = 0; i < times && !code; i++) {
		code = add_all(c);
		if (!code)
			code = change_all(c, COST_UPDATE);
		if (!code && i == 0)
			code = iterate(c, scratch);
		if (!code)
			code = change_all(c, COST_REMOVE);
	}
	return code;
}

/* On 2 MiB pages where the pool has enough of them, as a large registry should stand. */
static int make(struct costs *c, struct registry_config *config, const char *scratch)
{
	struct error_text text;

	config->pages.kind = PAGES_HUGE;
	config->huge_dir = HUGE_DIR;
	c->huge = registry_create(&c->registry, scratch, config, &text) == 0;
	if (c->huge)
		return 0;
	config->pages.kind = PAGES_USUAL;
	if (registry_create(&c->registry, scratch, config, &text) == 0)
		return 0;
	fprintf(stderr, "haven-bench: %s\n", text.text);
	return 1;
}

/* A node leaves its registry for those who look for the cause of its death; a bench does not. */
static void drop(struct costs *c, const char *scratch)
{
	char link[96], file[256];
	ssize_t n;

	registry_destroy(&c->registry);
	snprintf(link, sizeof(link), "%s/" REGISTRY_FILE, scratch);
	n = c->huge ? readlink(link, file, sizeof(file) - 1) : -1;
	if (n > 0) {
		file[n] = '\0';
		unlink(file);
	}
}

static int run_size(struct costs *c, unsigned size)
{
	struct registry_config config = {.cluster = "bench",
					 .node = "bench",
					 .release = "1",
					 .incarnation = 1,
					 .shape = {.components = case_sizes[size]}};
	char scratch[64];
	int code = bench_scratch_make(scratch, sizeof(scratch));

	if (code)
		return code;
	lookup_keys_shuffle(&c->keys, case_sizes[size]);
	for (uint32_t i = 0; i < c->keys.n; i++)
		c->position[c->keys.number[i]] = i;
	memset(c->samples, 0, sizeof(c->samples));
	code = make(c, &config, scratch);
	if (!code) {
		rcu_domain_init(&c->rcu, &c->registry.header->rcu_epoch);
		rcu_slot_add(&c->rcu, &c->reader->slot);
		code = round_of(c, scratch);
		drop(c, scratch);
	}
	bench_scratch_remove(scratch);
	for (unsigned what = 0; what < COST_COUNT; what++) {
		bench_begin(c->b);
		for (uint32_t i = 0; i < c->samples[what]; i++)
			bench_add(c->b, c->sample[what][i], BATCH);
		bench_round(c->b, c->line[what][size]);
	}
	return code ? 1 : 0;
}

static int run(struct costs *c)
{
	unsigned rounds = c->b->quick ? 1 : 5;
	int code = 0;

	bench_section(c->b, "cost per component of the registry");
	for (unsigned what = 0; what < COST_COUNT; what++)
		for (unsigned size = 0; size < CASE_SIZES; size++)
			c->line[what][size] =
				bench_line(c->b, "%s, %u", cost_name[what], case_sizes[size]);
	for (unsigned r = 0; r < rounds && !code; r++)
		for (unsigned size = 0; size < CASE_SIZES && !code; size++)
			code = run_size(c, size);
	printf("cost per component: the registry stood on %s pages\n", c->huge ? "2 MiB" : "4 KiB");
	if (!c->huge)
		puts("  (it takes 2 MiB pages when " HUGE_DIR
		     " is mounted and vm.nr_hugepages is 300)");
	for (unsigned what = 0; what < COST_COUNT; what++)
		bench_compare(c->line[what][CASE_SIZES - 1], c->line[what][0], GOAL_FLAT);
	return code;
}

int registry_costs(struct bench *b, struct crew_member *reader)
{
	static struct costs c;
	int code = lookup_keys_make(&c.keys, CASE_SIZE_MAX);

	c.b = b;
	c.reader = reader;
	c.position = calloc(CASE_SIZE_MAX, sizeof(*c.position));
	for (unsigned i = 0; i < COST_COUNT; i++)
		c.sample[i] = calloc(CREW_SAMPLES_MAX, sizeof(*c.sample[i]));
	for (unsigned i = 0; i < COST_COUNT; i++)
		code |= !c.sample[i];
	if (code || !c.position) {
		fputs("haven-bench: memory ran out\n", stderr);
		code = 1;
	}
	if (!code)
		code = run(&c);
	for (unsigned i = 0; i < COST_COUNT; i++)
		free(c.sample[i]);
	free(c.position);
	return code;
}
