/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Damping of what comes and goes: a thing that is heard again after an outage counts as up at once,
 * but one that fails again and again must have been heard without a break for a delay that doubles
 * with every failure, up to a limit. Quiet time takes the failures back, one by one. Pure.
 *
 * (The idea is route flap damping, RFC 2439, with a doubling delay in place of a decaying penalty:
 * the delay can be told to a person in one number.)
 */
#ifndef HAVEN_FLAP_H
#define HAVEN_FLAP_H

#include <stdbool.h>
#include <stdint.h>

/** Doublings that are counted; further failures change nothing. */
#define FLAP_LEVEL_MAX 16u

struct flap_terms {
	uint64_t first_ns; /**< delay after the second failure */
	uint64_t limit_ns; /**< greatest delay, 0: nothing is ever held down */
};

/** All zero: never heard. */
struct flap {
	uint64_t
		since_run; /**< run clock when hearing began, or when a failure was last forgiven */
	uint8_t level;     /**< failures not forgiven yet */
	bool heard, up;
};

enum flap_change { FLAP_SAME = 0, FLAP_UP, FLAP_DOWN, FLAP_HELD };

/** How long it must be heard without a break before it counts as up. */
uint64_t flap_delay_ns(const struct flap *f, const struct flap_terms *t);
/**
 * It is heard now, or not; to be called whenever time has passed. FLAP_HELD: heard again, and held
 * down for flap_delay_ns(). A quiet span of
 * twice the limit forgives one failure.
 */
enum flap_change flap_judge(struct flap *f, const struct flap_terms *t, bool heard, uint64_t run);
/** It is not to be heard for a reason of somebody else's: down, and that is no failure of its. */
void flap_excuse(struct flap *f);
/** Heard, but does not count as up yet. */
static inline bool flap_held(const struct flap *f)
{
	return f->heard && !f->up;
}

#endif
