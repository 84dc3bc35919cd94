/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the fuzz targets share. An input is not an image but a list of patches to a good one: so a
 * short input reaches any byte, and the fuzzer does not have to invent a segment of many pages.
 *
 *     flags (1) | patch | patch | …        patch: section (1) offset (4) length (1) bytes
 *
 * Sections, offsets and lengths are taken modulo what there is; the last patch may be cut short.
 * Unless a flag says otherwise the target puts magic, version and sizes right again afterwards, so
 * that most inputs get past the check of the header.
 */
#ifndef HAVEN_FUZZ_H
#define HAVEN_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz_common.h"

#define FUZZ_PATCH_MAX 64u
#define FUZZ_SECTIONS_MAX 16u

enum fuzz_flag {
	FUZZ_RAW_HEADER = 1, /**< leave the header as the patches made it */
	FUZZ_CUT = 2,        /**< the image ends early */
	FUZZ_CHECK = 4,      /**< the slow look at all of it, too */
	FUZZ_EXTRA = 8       /**< by target */
};

struct fuzz_section {
	const char *name;
	uint64_t offset, bytes;
};

/** A good image and where its parts are; made once by the target. */
struct fuzz_base {
	uint8_t *bytes;
	size_t size;
	struct fuzz_section section[FUZZ_SECTIONS_MAX];
	unsigned sections;
};

extern struct fuzz_base fuzz_base;

/** By the target: fill fuzz_base. Ends the program when it cannot. */
void fuzz_make(void);
/** By the target: put header words of an image right again. */
void fuzz_repair(uint8_t *image);
/** By the target: use an image of `size` bytes (its own copy), whatever it holds. `rest`: bytes of
 *  the input for decisions of the target's own. */
void fuzz_use(uint8_t *image, size_t size, uint8_t flags, const uint8_t *rest, size_t n);

void fuzz_section_add(const char *name, uint64_t offset, uint64_t bytes);

#endif
