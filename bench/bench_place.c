/* SPDX-License-Identifier: BSD-3-Clause */
/* Where things run and where they may leave files. */
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* What the process may use is asked once, before a thread is pinned. */
static const cpu_set_t *allowed_cpus(void)
{
	static cpu_set_t allowed;
	static bool known;

	if (!known && sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		CPU_SET(0, &allowed);
	known = true;
	return &allowed;
}

unsigned bench_cpus(void)
{
	return (unsigned)CPU_COUNT(allowed_cpus());
}

bool bench_pin(unsigned cpu)
{
	unsigned n = 0;
	cpu_set_t one;

	cpu %= bench_cpus();
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, allowed_cpus()) || n++ != cpu)
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		return sched_setaffinity(0, sizeof(one), &one) == 0;
	}
	return false;
}

int bench_scratch_make(char *path, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	const char *const where[] = {"/dev/shm", tmp && *tmp ? tmp : "/tmp"};

	for (unsigned i = 0; i < 2; i++) {
		int n = snprintf(path, size, "%s/haven-bench.%d.XXXXXX", where[i], (int)getpid());

		if (n > 0 && (size_t)n < size && mkdtemp(path))
			return 0;
	}
	fprintf(stderr, "haven-bench: cannot make a folder in %s: %s\n", where[1], strerror(errno));
	return 1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void bench_scratch_remove(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
