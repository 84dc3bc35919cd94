/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the writer and the readers of the registry's stress case share.
 */
#ifndef HAVEN_STRESS_REGISTRY_H
#define HAVEN_STRESS_REGISTRY_H

#include <sched.h>

#include "prng.h"
#include "rcu.h"
#include "registry.h"
#include "stress.h"

#define NAMES 40u
#define STEADY 12u /**< the first of them are there all the time, each with a gate */

enum counted {
	COUNT_LOOKS = 0,
	COUNT_PAST,
	COUNT_SECTIONS,
	COUNT_ITERATED,
	COUNT_COPIES,
	COUNT_GIVEN_UP,
	COUNT_CHECKS,
	COUNT_EVENTS,
	COUNT_MISSED,
	COUNT_CHANGES,
	COUNT_CHANGES_MISSED,
	COUNTED
};

extern struct registry node;
extern uint64_t reader_word[2]; /**< slots of the two readers that have one */
extern uint64_t registry_counted[COUNTED];

/** Set all fields that follow from `number`; handle, version, gates and lanes stay. */
void component_fill(struct registry_component *c, unsigned name, uint64_t number);
/** True when the fields belong together. Reads plainly. */
bool component_whole(const struct registry_hot *hot, const struct registry_cold *cold,
		     unsigned name);

void quiescent_reader(struct stress_thread *t);
void section_reader(struct stress_thread *t);
void copying_reader(struct stress_thread *t);
void watching_reader(struct stress_thread *t);

#endif
