/* SPDX-License-Identifier: BSD-3-Clause */
/** What every fuzz target uses. */
#ifndef HAVEN_FUZZ_COMMON_H
#define HAVEN_FUZZ_COMMON_H

#include <stddef.h>
#include <stdint.h>

/** Something that must never be: print and abort, which the fuzzer reports with its input. */
#define FUZZ_REQUIRE(x)                                                                            \
	do {                                                                                       \
		if (!(x))                                                                          \
			fuzz_broken(#x, __FILE__, __LINE__);                                       \
	} while (0)
__attribute__((noreturn)) void fuzz_broken(const char *what, const char *file, int line);

/** Write one input of the seed corpus to `folder`. */
void fuzz_seed_write(const char *folder, const char *name, const void *data, size_t n);

/* Entry points that libFuzzer calls, and the one that it offers to a mutator. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);

#endif
