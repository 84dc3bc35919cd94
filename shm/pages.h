/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * On which pages shared memory stands, and on which NUMA node. The order for a new file: map it,
 * pages_place(), allocate, pages_populate(); what is allocated then follows the mapping's wishes.
 */
#ifndef HAVEN_PAGES_H
#define HAVEN_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

#define PAGES_HUGE_BYTES (2ull << 20)

enum pages_kind {
	PAGES_USUAL = 0,
	/** Usual memory that the kernel may put on 2 MiB pages: where the file system allows it
	 *  (tmpfs mounted with huge=advise, within_size or always; memory files by shmem_enabled).
	 *  Otherwise it is on usual pages, which is no error. */
	PAGES_TRANSPARENT,
	/** 2 MiB pages from the kernel's pool (hugetlbfs). There are enough or it fails. */
	PAGES_HUGE,
	PAGES_KIND_COUNT
};
/** "usual", "transparent", "hugetlbfs"; never NULL. */
const char *pages_kind_name(unsigned kind);

/** Zeroed: usual pages, wherever the system takes them from. */
struct pages_options {
	enum pages_kind kind;
	bool bind; /**< prefer the NUMA node below; a full one is no reason to stop */
	uint32_t numa_node;
};

/** What came of it. */
struct pages_facts {
	uint64_t huge_bytes; /**< of the mapping that stand on 2 MiB pages */
	int32_t numa_node;   /**< of all pages looked at; PAGES_NODE_UNKNOWN, PAGES_NODE_SEVERAL */
};
#define PAGES_NODE_UNKNOWN (-1)
#define PAGES_NODE_SEVERAL (-2)

/** `bytes`, rounded up to whole pages of this kind where that matters. */
uint64_t pages_round(enum pages_kind kind, uint64_t bytes);
/** A new mapping's wishes. `bytes` as pages_round() gave. Errors: EINVAL (no such NUMA node), EPERM
 *  (the system forbids to choose), ESYS. */
int pages_place(void *base, uint64_t bytes, const struct pages_options *o,
		struct error_text *error);
/** Take every page of a writable mapping, so that nobody takes a fault for it later. False: there
 *  are not enough. */
bool pages_populate(void *base, uint64_t bytes);
/** Look at what a mapping stands on. Slow (it reads /proc): at start only. */
void pages_look(void *base, uint64_t bytes, enum pages_kind kind, struct pages_facts *out);
/** 2 MiB pages of the kernel's pool that are free and not promised to anybody; 0 without a pool. */
uint64_t pages_huge_free(void);

#endif
