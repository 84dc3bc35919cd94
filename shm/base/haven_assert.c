/* SPDX-License-Identifier: BSD-3-Clause */
#include "haven_assert.h"

#include <stdio.h>
#include <stdlib.h>

void (*haven_assert_hook)(const char *expression, const char *file, int line);

void haven_assert_fail(const char *expression, const char *file, int line)
{
	if (haven_assert_hook)
		haven_assert_hook(expression, file, line);
	fprintf(stderr, "haven: assertion failed: %s (%s:%d)\n", expression, file, line);
	abort();
}
