/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entry points of libFuzzer: apply the patches, use the image; a mutator that knows patches; and
 * the writer of the seed corpus (HAVEN_FUZZ_SEEDS names its folder).
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prng.h"

#define PATCH_HEAD 6u

struct fuzz_base fuzz_base;

void fuzz_section_add(const char *name, uint64_t offset, uint64_t bytes)
{
	FUZZ_REQUIRE(fuzz_base.sections < FUZZ_SECTIONS_MAX && offset + bytes <= fuzz_base.size);
	fuzz_base.section[fuzz_base.sections++] =
		(struct fuzz_section){.name = name, .offset = offset, .bytes = bytes};
}

/** Apply one patch; returns how much of the input it took. */
static size_t patch(uint8_t *image, const uint8_t *data, size_t n)
{
	const struct fuzz_section *s = &fuzz_base.section[data[0] % fuzz_base.sections];
	uint32_t offset;
	size_t length = data[5] % (FUZZ_PATCH_MAX + 1);

	memcpy(&offset, data + 1, sizeof(offset));
	offset %= (uint32_t)s->bytes;
	length = length > n - PATCH_HEAD ? n - PATCH_HEAD : length;
	length = length > s->bytes - offset ? s->bytes - offset : length;
	memcpy(image + s->offset + offset, data + PATCH_HEAD, length);
	return PATCH_HEAD + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t flags = n ? data[0] : 0, *image;
	size_t at = 1, size = fuzz_base.size;

	/* A copy of its own size, so that a read past its end is seen. */
	if ((flags & FUZZ_CUT) && n >= 5) {
		uint32_t cut;

		memcpy(&cut, data + 1, sizeof(cut));
		size = cut % fuzz_base.size + 1;
		at = 5;
	}
	image = aligned_alloc(64, (fuzz_base.size + 63) / 64 * 64);
	FUZZ_REQUIRE(image != NULL);
	memcpy(image, fuzz_base.bytes, fuzz_base.size);
	while (at + PATCH_HEAD <= n)
		at += patch(image, data + at, n - at);
	if (!(flags & FUZZ_RAW_HEADER))
		fuzz_repair(image);
	if (size < fuzz_base.size) {
		uint8_t *cut = aligned_alloc(64, (size + 63) / 64 * 64);

		FUZZ_REQUIRE(cut != NULL);
		memcpy(cut, image, size);
		free(image);
		image = cut;
	}
	fuzz_use(image, size, flags, data, n);
	free(image);
	return 0;
}

static void word_put(uint8_t *to, uint64_t value, size_t bytes)
{
	memcpy(to, &value, bytes);
}

/** Add a patch of one word that is likely to matter. */
static size_t patch_add(uint8_t *data, size_t n, size_t most, struct prng *random)
{
	static const uint64_t values[] = {0, 1, 2, UINT32_MAX, UINT64_MAX, 1ull << 63, 0x40000000};
	size_t bytes = 1ull << prng_below(random, 4);
	uint64_t value = prng_below(random, 3) ? values[prng_below(random, 7)]
					       : prng_next(random) >> prng_below(random, 64);

	if (n == 0)
		data[n++] = 0;
	if (n + PATCH_HEAD + bytes > most)
		return n;
	data[n] = (uint8_t)prng_below(random, fuzz_base.sections);
	word_put(data + n + 1, prng_next(random) / bytes * bytes, 4);
	data[n + 5] = (uint8_t)bytes;
	word_put(data + n + PATCH_HEAD, value, bytes);
	return n + PATCH_HEAD + bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
	struct prng random = {.state = seed};

	switch (prng_below(&random, 4)) {
	case 0:
		return LLVMFuzzerMutate(data, n, most);
	case 1:
		if (n) /* other flags, mostly those that get far */
			data[0] = (uint8_t)(prng_below(&random, 3) ? FUZZ_CHECK
								   : prng_below(&random, 16));
		return patch_add(data, n, most, &random);
	default:
		return patch_add(data, n, most, &random);
	}
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/** The good image with each set of flags, and a word of 0 and of ones in each section. */
static void seeds_write(const char *folder)
{
	char name[64];

	for (uint8_t flags = 0; flags < 16; flags++) {
		uint8_t data[] = {flags, 0, 1, 0, 0};

		snprintf(name, sizeof(name), "flags-%u", flags);
		fuzz_seed_write(folder, name, data, sizeof(data));
	}
	for (unsigned i = 0; i < fuzz_base.sections; i++) {
		uint8_t data[1 + PATCH_HEAD + 8] = {FUZZ_CHECK, (uint8_t)i, 0, 0, 0, 0, 8};

		snprintf(name, sizeof(name), "%s-zero", fuzz_base.section[i].name);
		fuzz_seed_write(folder, name, data, sizeof(data));
		memset(data + 1 + PATCH_HEAD, 0xff, 8);
		snprintf(name, sizeof(name), "%s-ones", fuzz_base.section[i].name);
		fuzz_seed_write(folder, name, data, sizeof(data));
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("HAVEN_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	fuzz_make();
	if (folder) {
		seeds_write(folder);
		exit(0);
	}
	return 0;
}
