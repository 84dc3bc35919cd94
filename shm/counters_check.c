/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Check of counters: of a living, a dead or a copied memory.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "hash.h"

struct check {
	struct counters_view view;
	void (*tell)(void *context, const char *sentence);
	void *context;
	struct histogram_copy *copy;
	uint64_t *names; /**< hashes of names with labels; NULL: no memory to compare them */
	uint32_t n_names;
};

__attribute__((format(printf, 2, 3))) static void found(struct check *k, const char *format, ...)
{
	char sentence[256];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	k->tell(k->context, sentence);
}

static void check_histogram(struct check *k, const struct counter_entry *e)
{
	const char *bad;

	if (!k->copy)
		return;
	counters_histogram(&k->view, e, k->copy);
	bad = histogram_contradiction(k->copy);
	if (bad)
		found(k, "histogram %s{%s}: %s", e->name, e->labels, bad);
}

static void name_keep(struct check *k, const struct counter_entry *e)
{
	uint64_t hash = hash_bytes(e->name, sizeof(e->name), 1);

	if (k->names)
		k->names[k->n_names++] = hash_bytes(e->labels, sizeof(e->labels), hash);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void check_names(struct check *k)
{
	qsort(k->names, k->n_names, sizeof(*k->names), by_number);
	for (uint32_t i = 1; i < k->n_names; i++) {
		if (k->names[i] == k->names[i - 1])
			found(k, "two counters have the same name and labels");
	}
}

/** The writer puts each counter's values right below those of the one before. */
static void check_entries(struct check *k)
{
	uint64_t below = k->view.bytes;

	for (uint32_t i = 0; i < k->view.n; i++) {
		struct counter_entry e;

		if (counters_get(&k->view, i, &e)) {
			found(k, "counter %u has no proper name, labels, unit, help or values", i);
			below = 0;
			continue;
		}
		if (below && (uint64_t)e.offset + e.bytes != below)
			found(k, "counter %s{%s}: its values are not next to those before", e.name,
			      e.labels);
		below = e.offset;
		if (e.kind == COUNTER_HISTOGRAM)
			check_histogram(k, &e);
		name_keep(k, &e);
	}
}

uint32_t counters_check(const void *base, uint32_t bytes,
			void (*tell)(void *context, const char *sentence), void *context)
{
	struct check k = {.tell = tell, .context = context};
	struct error_text error;

	if (counters_open(&k.view, base, bytes, &error)) {
		tell(context, error.text);
		return 0;
	}
	k.copy = malloc(sizeof(*k.copy));
	k.names = calloc(k.view.n ? k.view.n : 1, sizeof(*k.names));
	check_entries(&k);
	if (k.names)
		check_names(&k);
	free(k.copy);
	free(k.names);
	return k.view.n;
}
