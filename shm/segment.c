/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
/** A signal may interrupt an allocation; a storm of them must not keep us for ever. */
#define ALLOCATE_TRIES 1000

static int allocate(int fd, uint64_t bytes)
{
	int status = EINTR;

	for (int i = 0; i < ALLOCATE_TRIES && status == EINTR; i++)
		status = posix_fallocate(fd, 0, (off_t)bytes);
	return status;
}

static int map_shared(int fd, uint64_t bytes, bool writable, void **base, struct error_text *error)
{
	void *p =
		mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return error_set(error, errno == ENOMEM ? HAVEN_ENOMEM : HAVEN_ESYS,
				 "cannot map %llu bytes of shared memory: %s",
				 (unsigned long long)bytes, strerror(errno));
	*base = p;
	return 0;
}

int segment_make(const char *name, uint64_t bytes, int *fd, void **base, struct error_text *error)
{
	int f = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int status;

	if (f < 0)
		return error_set(error, errno == ENOMEM ? HAVEN_ENOMEM : HAVEN_ESYS,
				 "cannot make a memory file for %s: %s", name, strerror(errno));
	status = ftruncate(f, (off_t)bytes) == 0 ? allocate(f, bytes) : errno;
	if (status) {
		close(f);
		return error_set(error, HAVEN_ENOMEM,
				 "no room for %llu bytes of shared memory for %s: %s; "
				 "make it smaller or free memory",
				 (unsigned long long)bytes, name, strerror(status));
	}
	if (fcntl(f, F_ADD_SEALS, SEALS) != 0) {
		status = errno;
		close(f);
		return error_set(error, HAVEN_ESYS, "cannot seal the memory file of %s: %s", name,
				 strerror(status));
	}
	status = map_shared(f, bytes, true, base, error);
	if (status) {
		close(f);
		return status;
	}
	*fd = f;
	return 0;
}

int segment_map(int fd, uint64_t bytes, bool writable, const char *what, void **base,
		struct error_text *error)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0 || fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
		return error_set(error, HAVEN_EINVAL,
				 "%s is not a memory file on ordinary pages (memfd_create)", what);
	if ((seals & SEALS) != SEALS)
		return error_set(error, HAVEN_EINVAL,
				 "%s is not sealed against shrinking, growing and further seals",
				 what);
	/* Unsigned comparison: a file never has a negative size. */
	if ((uint64_t)st.st_size != bytes)
		return error_set(error, HAVEN_ESIZE, "%s has %llu bytes, expected %llu", what,
				 (unsigned long long)st.st_size, (unsigned long long)bytes);
	return map_shared(fd, bytes, writable, base, error);
}

void segment_unmap(void *base, uint64_t bytes)
{
	if (base)
		munmap(base, bytes);
}
