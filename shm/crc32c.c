/* SPDX-License-Identifier: BSD-3-Clause */
#include "crc32c.h"

#include <string.h>

/** CRC of each half byte. */
static const uint32_t nibble[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_plain(uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	crc = ~crc;
	for (size_t i = 0; i < bytes; i++) {
		crc ^= at[i];
		crc = (crc >> 4) ^ nibble[crc & 15];
		crc = (crc >> 4) ^ nibble[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
							       size_t bytes)
{
	uint64_t sum = ~crc;

	for (; bytes >= 8; bytes -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		sum = __builtin_ia32_crc32di(sum, word);
	}
	for (; bytes; bytes--, at++)
		sum = __builtin_ia32_crc32qi((uint32_t)sum, *at);
	return ~(uint32_t)sum;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, data, bytes)
						: crc32c_plain(crc, data, bytes);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
	return crc32c_plain(crc, data, bytes);
}

#endif
