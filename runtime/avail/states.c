/* SPDX-License-Identifier: BSD-3-Clause */
#include "states.h"

#include "haven_assert.h"

static const struct {
	const char *name;
	bool to[HAVEN_ROLE_COUNT];
} states[] = {
	[HAVEN_OFFLINE] = {"off-line", {[HAVEN_SPARE] = true}},
	[HAVEN_SPARE] = {"spare", {[HAVEN_OFFLINE] = true, [HAVEN_SECONDARY] = true}},
	[HAVEN_SECONDARY] =
		{"secondary",
		 {[HAVEN_OFFLINE] = true, [HAVEN_SPARE] = true, [HAVEN_PRIMARY] = true}},
	[HAVEN_PRIMARY] =
		{"primary",
		 {[HAVEN_OFFLINE] = true, [HAVEN_SPARE] = true, [HAVEN_SECONDARY] = true}},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(states) == HAVEN_ROLE_COUNT, "a row for every state");

bool states_move_allowed(enum haven_role from, enum haven_role to)
{
	HAVEN_ASSERT(from < HAVEN_ROLE_COUNT && to < HAVEN_ROLE_COUNT);
	return states[from].to[to];
}

enum haven_role states_next(enum haven_role from, enum haven_role to)
{
	if (states_move_allowed(from, to))
		return to;
	HAVEN_ASSERT(from < to);
	return from + 1;
}

const char *states_name(enum haven_role role)
{
	HAVEN_ASSERT(role < HAVEN_ROLE_COUNT);
	return states[role].name;
}
