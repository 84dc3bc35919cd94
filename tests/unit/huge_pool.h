/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Pages for the kernel's pool of 2 MiB pages while a test runs. Needs root and free memory. The
 * pool is the machine's: tests that count its pages run one after the other, by a lock on the
 * pool's file.
 */
#ifndef HAVEN_TEST_HUGE_POOL_H
#define HAVEN_TEST_HUGE_POOL_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "pages.h"

#define HUGE_POOL_FILE "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

static unsigned long huge_pool_before;
static bool huge_pool_taken;
static int huge_pool_lock = -1;

static inline unsigned long huge_pool_read(void)
{
	FILE *file = fopen(HUGE_POOL_FILE, "re");
	unsigned long value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

static inline bool huge_pool_write(unsigned long value)
{
	FILE *file = fopen(HUGE_POOL_FILE, "we");

	return file && fprintf(file, "%lu\n", value) > 0 && fclose(file) == 0;
}

/** Give them back; also as the end of a test that failed. */
static inline void huge_pool_end(void)
{
	if (huge_pool_taken)
		huge_pool_write(huge_pool_before);
	huge_pool_taken = false;
	if (huge_pool_lock >= 0)
		close(huge_pool_lock);
	huge_pool_lock = -1;
}

/** Make `pages` more. False: not root, or no memory for them. After true, huge_pool_end(). */
static inline bool huge_pool_begin(unsigned long pages)
{
	huge_pool_lock = open(HUGE_POOL_FILE, O_RDONLY | O_CLOEXEC);
	if (huge_pool_lock < 0 || flock(huge_pool_lock, LOCK_EX) != 0)
		return false;
	huge_pool_before = huge_pool_read();
	huge_pool_taken = huge_pool_write(huge_pool_before + pages);
	if (!huge_pool_taken)
		return false;
	if (pages_huge_free() >= pages)
		return true;
	huge_pool_end();
	return false;
}

#endif
