/* SPDX-License-Identifier: BSD-3-Clause */
/** Replay inputs without libFuzzer. usage: replay-TARGET FILE... */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_common.h"

#define INPUT_BYTES_MAX (1u << 20)

int main(int argc, char **argv)
{
	uint8_t *data = malloc(INPUT_BYTES_MAX);

	FUZZ_REQUIRE(data != NULL);
	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "r");

		FUZZ_REQUIRE(file != NULL);
		LLVMFuzzerTestOneInput(data, fread(data, 1, INPUT_BYTES_MAX, file));
		fclose(file);
	}
	free(data);
	printf("%d inputs\n", argc - 1);
	return argc < 2;
}
