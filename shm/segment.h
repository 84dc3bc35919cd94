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
#include "pages.h"

/**
 * Make a memory file of `bytes` zero bytes, every page allocated, sealed against any change of
 * size, and map it for reading and writing. `name` (at most 200 bytes) is seen in /proc only.
 * On success `*fd` belongs to the caller; the mapping outlives it. Errors: ENOMEM, ESYS.
 */
int segment_make(const char *name, uint64_t bytes, int *fd, void **base, struct error_text *error);

/**
 * The same on other pages or from a certain NUMA node (NULL: as segment_make()). The file has
 * pages_round(options->kind, bytes) bytes. On PAGES_HUGE it carries the same seals, but only those
 * who trust its maker may map it: segment_map() refuses it, see there. Errors: those, and EINVAL,
 * EPERM (NUMA node).
 */
int segment_make_on(const char *name, uint64_t bytes, const struct pages_options *options, int *fd,
		    void **base, struct error_text *error);

/**
 * Check that a received descriptor is such a file of exactly `bytes` bytes, then map it. `what`
 * names it in the sentence. Memory of the huge page pool is refused: its maker can punch holes into
 * it in spite of the seals, and touching one raises SIGBUS when the pool is empty. Transparent huge
 * pages are usual memory and welcome. Errors: EINVAL (no memory file, seals missing), ESIZE,
 * ENOMEM, ESYS.
 */
int segment_map(int fd, uint64_t bytes, bool writable, const char *what, void **base,
		struct error_text *error);

void segment_unmap(void *base, uint64_t bytes);

#endif
