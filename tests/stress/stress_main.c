/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haven-stress CASE [--operations N] [--seed N] [--plant NAME]
 *
 * Exit 0: every invariant held; 1: one did not; 2: usage. Under the thread sanitizer a data race
 * ends it with the sanitizer's own code.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "haven_assert.h"
#include "stress.h"

#define FAILURES_PRINTED 5
#define STRESS_THREADS_MAX 16u

static const struct stress_case *const cases[] = {&stress_registry_case, &stress_client_case,
						  &stress_request_case, &stress_table_case,
						  &stress_broadcast_case};

bool stress_planted(const struct stress *s, const char *name)
{
	return s->plant && strcmp(s->plant, name) == 0;
}

void stress_fail(struct stress *s, const char *format, ...)
{
	va_list args;

	if (fetch_add_relaxed(&s->failures, 1) >= FAILURES_PRINTED)
		return;
	va_start(args, format);
	fputs("broken: ", stdout);
	vprintf(format, args);
	fputs("\n", stdout);
	va_end(args);
}

static void *thread_main(void *argument)
{
	struct stress_thread *t = argument;

	stress_begin(t->stress);
	t->body(t);
	return NULL;
}

void stress_start(struct stress *s, struct stress_thread *threads, unsigned n,
		  void (*const *bodies)(struct stress_thread *t))
{
	HAVEN_ASSERT(n <= STRESS_THREADS_MAX);
	pthread_barrier_init(&s->start, NULL, n + 1);
	store_release(&s->stop, 0);
	for (unsigned i = 0; i < n; i++) {
		threads[i] = (struct stress_thread){.stress = s, .body = bodies[i], .number = i};
		HAVEN_ASSERT(pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]) ==
			     0);
	}
}

void stress_begin(struct stress *s)
{
	pthread_barrier_wait(&s->start);
}

bool stress_more(struct stress *s, uint64_t done, const struct stress_thread *threads, unsigned n)
{
	if (load_relaxed(&s->failures))
		return false;
	if (done < s->operations)
		return true;
	for (unsigned i = 0; i < n; i++) {
		if (load_relaxed(&threads[i].rounds) >= STRESS_ROUNDS_MIN)
			continue;
		if (done < s->operations + STRESS_PATIENCE)
			return true;
		stress_fail(s, "thread %u made no progress", i);
	}
	return false;
}

void stress_finish(struct stress *s, struct stress_thread *threads, unsigned n)
{
	store_release(&s->stop, 1);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i].thread, NULL);
	pthread_barrier_destroy(&s->start);
}

static int usage(void)
{
	fputs("usage: haven-stress CASE [--operations N] [--seed N] [--plant NAME]\n"
	      "       haven-stress --list\n",
	      stderr);
	return 2;
}

static const struct stress_case *case_find(const char *name)
{
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(cases); i++) {
		if (strcmp(cases[i]->name, name) == 0)
			return cases[i];
	}
	return NULL;
}

/** True when the blank-separated list holds the word. */
static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; n && (at = strstr(at, word)); at += n) {
		if ((at == list || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct stress s = {.operations = 20000, .seed = 1};
	const struct stress_case *one;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (unsigned i = 0; i < HAVEN_ARRAY_LEN(cases); i++)
			printf("%s %s\n", cases[i]->name, cases[i]->plants);
		return 0;
	}
	one = argc > 1 ? case_find(argv[1]) : NULL;
	if (!one || argc % 2)
		return usage();
	for (int i = 2; i < argc; i += 2) {
		if (strcmp(argv[i], "--operations") == 0)
			s.operations = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			s.seed = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--plant") == 0 && listed(one->plants, argv[i + 1]))
			s.plant = argv[i + 1];
		else
			return usage();
	}
	printf("%s, seed %llu: ", one->name, (unsigned long long)s.seed);
	fflush(stdout);
	one->run(&s);
	printf("%u failures\n", s.failures);
	return s.failures ? 1 : 0;
}
