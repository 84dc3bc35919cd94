/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Counters in shared memory that describe themselves: whoever maps the memory learns names, labels,
 * units and meaning from it, and needs no other word of the program that counts.
 *
 *     head | entry[0] | entry[1] | …  ->   free   <-  … | values of entry[1] | values of entry[0]
 *
 * The directory grows upwards, the values grow downwards, one cache line or more per entry, so that
 * each line has one writer. Nothing is ever taken away. All is sized when the memory is made;
 * counters_add() tells what does not fit.
 *
 * Writer: one thread, plain stores. Readers: any process at any time, the writer dead or alive. To
 * them every byte is hostile input: an entry is copied, then checked, and only the copy is used.
 */
#ifndef HAVEN_COUNTERS_H
#define HAVEN_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "haven_assert.h"
#include "histogram.h"

#define COUNTERS_MAGIC 0x31737265746e7563ull /* "cunters1" */
#define COUNTER_NAME_MAX 48
#define COUNTER_UNIT_MAX 16
#define COUNTER_LABELS_MAX 80
#define COUNTER_HELP_MAX 96

enum counter_kind {
	COUNTER_COUNT = 0, /**< never goes back while its writer lives */
	COUNTER_GAUGE,     /**< goes up and down */
	COUNTER_HISTOGRAM, /**< histogram.h */
	COUNTER_KIND_COUNT
};
/** "counter", "gauge", "histogram"; never NULL. */
const char *counter_kind_name(unsigned kind);

/** What a counter is. Immutable once it is counted in the head. */
struct counter_entry {
	char name[COUNTER_NAME_MAX]; /**< [a-z][a-z0-9_]* */
	char unit[COUNTER_UNIT_MAX]; /**< "ns", "frames", …: printable, "" for a bare number */
	char labels[COUNTER_LABELS_MAX]; /**< "key=value,key=value": keys like names, values
					    printable
					      without , = " and \ */
	char help[COUNTER_HELP_MAX];     /**< one sentence */
	uint32_t kind;                   /**< enum counter_kind */
	uint32_t offset;                 /**< of its values from the head */
	uint32_t bytes;                  /**< of its values */
	uint32_t top_bits;               /**< of a histogram */
};
HAVEN_STATIC_ASSERT(sizeof(struct counter_entry) == 256, "no padding, four lines");

/** First line of the memory. Writer: as of the counters. */
struct counters_head {
	uint64_t magic;
	uint32_t bytes; /**< of all of it */
	uint32_t n;     /**< entries; stored after the entry is whole (D1) */
	uint64_t pad[6];
};
HAVEN_STATIC_ASSERT(sizeof(struct counters_head) == HAVEN_CACHE_LINE, "one line");

/* ---- writer ---------------------------------------------------------------------------------- */

/** The writer's private handle. */
struct counters {
	uint8_t *base;
	uint32_t bytes, n, values_from; /**< values stand from here on */
};

/** What is to be counted; strings are copied. `labels` and `unit` may be NULL. */
struct counter_spec {
	const char *name, *labels, *unit, *help;
	enum counter_kind kind;
	uint32_t top_bits; /**< of a histogram: HISTOGRAM_TOP_BITS_MIN … HISTOGRAM_TOP_BITS_MAX */
};

/** Begin with no counter in `bytes` zeroed bytes on a cache line. Errors: EINVAL (not a multiple of
 *  64, or too small). */
int counters_init(struct counters *c, void *base, uint32_t bytes, struct error_text *error);
/** Bytes that a counter of this kind takes, entry and values. */
uint32_t counter_bytes(enum counter_kind kind, uint32_t top_bits);
/** Bytes in use. */
uint32_t counters_used(const struct counters *c);
/** Add a counter or gauge and return the word that the writer stores (relaxed) its value in, by
 *  `*value`. Errors: EINVAL (a text), EEXIST (name and labels), EFULL (with what is needed and what
 *  is free). */
int counters_add(struct counters *c, const struct counter_spec *spec, uint64_t **value,
		 struct error_text *error);
/** The same for a histogram. */
int counters_add_histogram(struct counters *c, const struct counter_spec *spec,
			   struct histogram *out, struct error_text *error);

/* ---- readers --------------------------------------------------------------------------------- */

/** Memory with counters, its size known to the reader from elsewhere. */
struct counters_view {
	const uint8_t *base;
	uint32_t bytes;
	uint32_t n; /**< entries when it was opened, as far as they can lie in it */
};

/** Begin to read. Errors: ECORRUPT (no such memory). Counters added later are not seen by it. */
int counters_open(struct counters_view *v, const void *base, uint32_t bytes,
		  struct error_text *error);
/** Copy entry `i`, checked: strings end and are of their alphabets, the values lie within the
 *  memory. Errors: ENOENT (i >= n), ECORRUPT. */
int counters_get(const struct counters_view *v, uint32_t i, struct counter_entry *out);
/** Value of a counter or gauge that counters_get() gave. */
uint64_t counters_value(const struct counters_view *v, const struct counter_entry *entry);
/** Copy of a histogram that counters_get() gave. */
void counters_histogram(const struct counters_view *v, const struct counter_entry *entry,
			struct histogram_copy *out);
/** Next label of a checked text: copies key and value (each COUNTER_LABELS_MAX bytes) and returns
 *  the rest, NULL: there is none. */
const char *counter_label(const char *labels, char *key, char *value);
/** Walk all of it: entries, where their values stand, histograms, names given twice. `tell` gets
 * one sentence per finding. Returns how many counters there are. */
uint32_t counters_check(const void *base, uint32_t bytes,
			void (*tell)(void *context, const char *sentence), void *context);

#endif
