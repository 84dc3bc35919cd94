/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the two files of the registry's check share.
 *
 * The registry may change while it is looked at. So a finding about one item counts only when the
 * item stays wrong over several looks, and one that compares counts over the whole index only when
 * nothing changed meanwhile. Looks again are limited in all, so that a registry full of nonsense is
 * walked in a time that depends on its size alone.
 */
#ifndef HAVEN_REGISTRY_CHECK_H
#define HAVEN_REGISTRY_CHECK_H

#include "registry_inner.h"

#define CHECK_SENTENCE_MAX 256
#define CHECK_LOOKS 20
#define CHECK_LOOKS_ALL 4000

struct check {
	const struct registry *r;
	struct registry_report *report;
	void (*tell)(void *context, enum registry_finding kind, const char *sentence);
	void *context;
	unsigned looks;        /**< left for looking again */
	unsigned half_updated; /**< entries that show the object before the newest */
	uint32_t *lanes_of;    /**< lane lines that name the slot */
	uint8_t *entries_of;   /**< entries of the index that name the slot, at most 2 */
	int32_t *passed;       /**< per bucket: change of the number of names that pass it */
	char sentence[CHECK_SENTENCE_MAX];
};

/** Count a finding and tell it. */
__attribute__((format(printf, 3, 4))) void check_found(struct check *k, enum registry_finding kind,
						       const char *format, ...);
/** After a look that found something wrong: true if there is to be another one. */
bool check_again(struct check *k, unsigned *look);
/** A name may hold anything. */
bool check_text(const char *text);

void check_status(struct check *k);
void check_gates(struct check *k);
/** Also counts `lanes_of`; before the components are checked. */
void check_lanes(struct check *k);
void check_rings(struct check *k);
void check_counters(struct check *k);

#endif
