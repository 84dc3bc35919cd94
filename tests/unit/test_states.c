/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "states.h"

#define YES true
#define no false

/* Row: from; column: to. Written down from the prose, not from the table under test. */
static const bool allowed[HAVEN_ROLE_COUNT][HAVEN_ROLE_COUNT] = {
	/*                    off-line spare secondary primary */
	[HAVEN_OFFLINE] = {no, YES, no, no},
	[HAVEN_SPARE] = {YES, no, YES, no},
	[HAVEN_SECONDARY] = {YES, YES, no, YES},
	[HAVEN_PRIMARY] = {YES, YES, YES, no},
};

Test(states, all_sixteen_pairs)
{
	for (unsigned from = 0; from < HAVEN_ROLE_COUNT; from++)
		for (unsigned to = 0; to < HAVEN_ROLE_COUNT; to++)
			cr_expect_eq(states_move_allowed(from, to), allowed[from][to], "%s -> %s",
				     states_name(from), states_name(to));
}

Test(states, every_state_is_reached_by_legal_moves_without_detour)
{
	for (unsigned from = 0; from < HAVEN_ROLE_COUNT; from++)
		for (unsigned to = 0; to < HAVEN_ROLE_COUNT; to++) {
			unsigned at = from, moves = 0;

			while (at != to) {
				enum haven_role next = states_next(at, to);

				cr_assert(allowed[at][next], "%s -> %s on the way to %s",
					  states_name(at), states_name(next), states_name(to));
				at = next;
				cr_assert_lt(moves++, HAVEN_ROLE_COUNT);
			}
			cr_expect_eq(moves, to > from ? to - from : from != to);
		}
}

Test(states, names)
{
	cr_expect_str_eq(states_name(HAVEN_OFFLINE), "off-line");
	cr_expect_str_eq(states_name(HAVEN_SPARE), "spare");
	cr_expect_str_eq(states_name(HAVEN_SECONDARY), "secondary");
	cr_expect_str_eq(states_name(HAVEN_PRIMARY), "primary");
}
