/* SPDX-License-Identifier: BSD-3-Clause */
#include "pages.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "atomic.h"
#include "haven_assert.h"

#define USUAL_BYTES 4096u
#define NUMA_NODES_MAX 1024u
/** Pages whose NUMA node is asked for, spread over the mapping. */
#define LOOKS 64u
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static const char *const kind_names[] = {
	[PAGES_USUAL] = "usual", [PAGES_TRANSPARENT] = "transparent", [PAGES_HUGE] = "hugetlbfs"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(kind_names) == PAGES_KIND_COUNT, "a name for each");

const char *pages_kind_name(unsigned kind)
{
	return kind < PAGES_KIND_COUNT ? kind_names[kind] : "?";
}

uint64_t pages_round(enum pages_kind kind, uint64_t bytes)
{
	uint64_t page = kind == PAGES_USUAL ? 1 : PAGES_HUGE_BYTES;

	return (bytes + page - 1) / page * page;
}

/** Called directly: a library for three calls would be one more that every application links. */
static long bind_to(void *base, uint64_t bytes, uint32_t node)
{
	unsigned long mask[NUMA_NODES_MAX / (8 * sizeof(unsigned long))] = {0};

	mask[node / (8 * sizeof(mask[0]))] = 1ul << node % (8 * sizeof(mask[0]));
	/* The policy of a shared mapping is the file's: allocation follows it, too. The kernel
	 * takes one bit less than it is told. */
	return syscall(SYS_mbind, base, bytes, MPOL_PREFERRED, mask, NUMA_NODES_MAX + 1, 0);
}

int pages_place(void *base, uint64_t bytes, const struct pages_options *o, struct error_text *error)
{
	/* Where it is not possible the usual pages do; pages_look() tells. */
	if (o->kind == PAGES_TRANSPARENT)
		madvise(base, bytes, MADV_HUGEPAGE);
	if (!o->bind)
		return 0;
	if (o->numa_node < NUMA_NODES_MAX && bind_to(base, bytes, o->numa_node) == 0)
		return 0;
	if (o->numa_node >= NUMA_NODES_MAX || errno == EINVAL)
		return error_set(error, HAVEN_EINVAL,
				 "NUMA node %u does not exist here or has no memory", o->numa_node);
	return error_set(error, errno == EPERM ? HAVEN_EPERM : HAVEN_ESYS,
			 "cannot take memory from NUMA node %u: %s", o->numa_node, strerror(errno));
}

bool pages_populate(void *base, uint64_t bytes)
{
	uint8_t *byte = base;

#ifdef MADV_POPULATE_WRITE
	if (madvise(base, bytes, MADV_POPULATE_WRITE) == 0)
		return true;
	if (errno != EINVAL)
		return false;
#endif
	/* An older kernel: touch them. They are allocated, or the kernel says so by a signal, as it
	 * does to every program. */
	for (uint64_t i = 0; i < bytes; i += USUAL_BYTES)
		fetch_add_relaxed(&byte[i], 0);
	return true;
}

/* ---- looking --------------------------------------------------------------------------------- */

static int32_t node_of(void *base, uint64_t bytes)
{
	int status[LOOKS];
	void *page[LOOKS];
	int32_t node = PAGES_NODE_UNKNOWN;

	for (unsigned i = 0; i < LOOKS; i++)
		page[i] = (uint8_t *)base + bytes / LOOKS * i / USUAL_BYTES * USUAL_BYTES;
	if (syscall(SYS_move_pages, 0, (unsigned long)LOOKS, page, NULL, status, 0) != 0)
		return PAGES_NODE_UNKNOWN;
	for (unsigned i = 0; i < LOOKS; i++) {
		if (status[i] < 0)
			continue; /* it cannot be told, or the page is not there */
		if (node >= 0 && node != status[i])
			return PAGES_NODE_SEVERAL;
		node = status[i];
	}
	return node;
}

/** Bytes on 2 MiB pages in the maps entry whose lines follow. */
static uint64_t huge_field(const char *line)
{
	static const char *const fields[] = {
		"ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
	uint64_t kib;

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(fields); i++) {
		size_t n = strlen(fields[i]);

		if (strncmp(line, fields[i], n) == 0 && sscanf(line + n, "%" SCNu64, &kib) == 1)
			return kib * 1024;
	}
	return 0;
}

static uint64_t huge_bytes(void *base, uint64_t bytes)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	uint64_t sum = 0, from, to;
	bool inside = false;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
			inside = from >= (uintptr_t)base && to <= (uintptr_t)base + bytes;
		else if (inside)
			sum += huge_field(line);
	}
	if (maps)
		fclose(maps);
	return sum;
}

void pages_look(void *base, uint64_t bytes, enum pages_kind kind, struct pages_facts *out)
{
	*out = (struct pages_facts){.numa_node = node_of(base, bytes),
				    .huge_bytes =
					    kind == PAGES_USUAL ? 0 : huge_bytes(base, bytes)};
}

static uint64_t pool_figure(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64, &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

uint64_t pages_huge_free(void)
{
	uint64_t unused = pool_figure(POOL "free_hugepages");
	uint64_t promised = pool_figure(POOL "resv_hugepages");

	return unused > promised ? unused - promised : 0;
}
