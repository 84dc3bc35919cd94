/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mutator of the target of frames: it takes the frame out of the packet, opens it, changes its
 * header, its body or the link that it comes on, and seals and wraps it again. Of eight inputs one
 * is changed as bytes, tag and all, and one as bytes behind the tag, what is sealed there included.
 */
#include <string.h>

#include "fuzz_common.h"
#include "prng.h"
#include "wire.h"

static void put_word(uint8_t *at, uint64_t value, size_t bytes)
{
	memcpy(at, &value, bytes);
}

/** A word that is likely to matter somewhere in [from, n). */
static void change_word(uint8_t *plain, size_t from, size_t n, struct prng *random)
{
	static const uint64_t values[] = {0,          1,          2,          3,         31,
					  32,         63,         64,         255,       UINT16_MAX,
					  UINT32_MAX, UINT64_MAX, 1ull << 63, 0x80000000};
	size_t bytes = 1ull << prng_below(random, 4);
	uint64_t value = prng_below(random, 3)
				 ? values[prng_below(random, sizeof(values) / sizeof(values[0]))]
				 : prng_next(random) >> prng_below(random, 64);

	if (from + bytes <= n)
		put_word(plain + from + prng_below(random, n - from - bytes + 1), value, bytes);
}

static size_t change_body(uint8_t *plain, size_t n, struct prng *random)
{
	switch (prng_below(random, 6)) {
	case 0: /* which mostly changes the length, and so the parser refuses it */
		return FRAME_HEADER_BYTES + LLVMFuzzerMutate(plain + FRAME_HEADER_BYTES,
							     n - FRAME_HEADER_BYTES,
							     FRAME_BYTES_MAX - FRAME_HEADER_BYTES);
	case 1:
	case 2:
		change_word(plain, FRAME_HEADER_BYTES, n, random);
		return n;
	default: /* bits, that a mask has */
		if (n > FRAME_HEADER_BYTES)
			plain[FRAME_HEADER_BYTES + prng_below(random, n - FRAME_HEADER_BYTES)] ^=
				(uint8_t)(1u << prng_below(random, 8));
		return n;
	}
}

static size_t change(uint8_t *options, uint8_t *plain, size_t n, struct prng *random)
{
	switch (prng_below(random, 8)) {
	case 0:
		*options = (uint8_t)prng_below(random, 64);
		return n;
	case 1:
		change_word(plain, 0, FRAME_HEADER_BYTES, random);
		return n;
	case 2:
		return wire_example((uint8_t)(1 + prng_below(random, FRAME_TYPE_END - 1)),
				    prng_below(random, 2) ? 2 : 0, prng_next(random), plain);
	default:
		return change_body(plain, n, random);
	}
}

/** Change a bit of the packet and put the right tag on it. */
static size_t change_sealed(uint8_t *data, size_t n, uint8_t *packet, struct prng *random)
{
	memcpy(packet, data + 1, n - 1);
	packet[prng_below(random, n - 1)] ^= (uint8_t)(1u << prng_below(random, 8));
	if (!wire_sign(data[0], packet, n - 1))
		return 0;
	memcpy(data + 1, packet, n - 1);
	return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
	uint8_t packet[WIRE_PACKET_MAX] __attribute__((aligned(4))), plain[WIRE_FRAME_MAX];
	struct prng random = {.state = seed};
	uint8_t options = n ? data[0] : 0;
	uint64_t kind = prng_below(&random, 8);
	size_t bytes = 0;

	if (kind == 1 && n > 1 && n - 1 <= sizeof(packet)) {
		bytes = change_sealed(data, n, packet, &random);
		if (bytes)
			return bytes;
	}
	if (kind && n)
		bytes = wire_unpack(options, data + 1, n - 1, plain);
	if (bytes >= FRAME_HEADER_BYTES && bytes <= FRAME_BYTES_MAX)
		bytes = change(&options, plain, bytes, &random);
	else if (kind && prng_below(&random, 4) == 0)
		bytes = wire_example(FRAME_VIEW, 0, prng_next(&random), plain);
	else
		return LLVMFuzzerMutate(data, n, most);
	bytes = wire_pack(options, plain, bytes, packet);
	if (1 + bytes > most)
		return LLVMFuzzerMutate(data, n, most);
	data[0] = options;
	memcpy(data + 1, packet, bytes);
	return 1 + bytes;
}
