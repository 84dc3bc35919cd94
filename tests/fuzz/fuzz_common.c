/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz_common.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_broken(const char *what, const char *file, int line)
{
	fprintf(stderr, "broken: %s (%s:%d)\n", what, file, line);
	abort();
}

void fuzz_seed_write(const char *folder, const char *name, const void *data, size_t n)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	FUZZ_REQUIRE(file && fwrite(data, 1, n, file) == n && fclose(file) == 0);
}
