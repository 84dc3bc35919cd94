/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The legal moves of a component's state, as one table. Pure.
 *
 *     off-line -> spare -> secondary -> primary      one step at a time
 *     primary -> secondary                           after quiesce
 *     primary, secondary -> spare                    drain
 *     any -> off-line
 */
#ifndef HAVEN_STATES_H
#define HAVEN_STATES_H

#include <stdbool.h>

#include "haven_types.h"

/** Is the single move legal? Staying is not a move. */
bool states_move_allowed(enum haven_role from, enum haven_role to);
/** The next legal move on the way to `to`; `to` itself when one move suffices. */
enum haven_role states_next(enum haven_role from, enum haven_role to);
/** "off-line", "spare", "secondary", "primary". */
const char *states_name(enum haven_role role);

#endif
