/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * CRC-32C (Castagnoli), as RFC 3720 appendix B.4 and Wireshark have it: reflected polynomial
 * 0x82f63b78, start and end inverted. The CRC of "123456789" is 0xe3069283.
 */
#ifndef HAVEN_CRC32C_H
#define HAVEN_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** CRC of what `crc` is the CRC of (0: nothing), followed by these bytes. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);
/** The same without the processor's instruction; for its test. */
uint32_t crc32c_plain(uint32_t crc, const void *data, size_t bytes);

#endif
