/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Sealed memory files: how the client segment and the checkpoint segments are made, passed and
 * mapped. The seals forbid shrinking and growing, so a mapping of such a file never raises SIGBUS
 * however its maker behaves afterwards.
 */
#ifndef HAVEN_SEGMENT_H
#define HAVEN_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/**
 * Make a memory file of `bytes` zero bytes, every page allocated, sealed against any change of
 * size, and map it for reading and writing. `name` (at most 200 bytes) is seen in /proc only.
 * On success `*fd` belongs to the caller; the mapping outlives it. Errors: ENOMEM, ESYS.
 */
int segment_make(const char *name, uint64_t bytes, int *fd, void **base, struct error_text *error);

/**
 * Check that a received descriptor is such a file of exactly `bytes` bytes, then map it. `what`
 * names it in the sentence. Memory on huge pages is refused: touching it can raise SIGBUS when the
 * pool is empty. Errors: EINVAL (no memory file, seals missing), ESIZE, ENOMEM, ESYS.
 */
int segment_map(int fd, uint64_t bytes, bool writable, const char *what, void **base,
		struct error_text *error);

void segment_unmap(void *base, uint64_t bytes);

#endif
