/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment.h"

#include <asm-generic/hugetlb_encode.h>
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

static int no_room(const char *name, uint64_t bytes, const struct pages_options *o, int e,
		   struct error_text *error)
{
	if (o->kind == PAGES_HUGE)
		return error_set(
			error, HAVEN_ENOMEM,
			"no room for %llu bytes of shared memory for %s on 2 MiB pages: it "
			"needs %llu, %llu are free; remedy: raise vm.nr_hugepages",
			(unsigned long long)bytes, name,
			(unsigned long long)(bytes / PAGES_HUGE_BYTES),
			(unsigned long long)pages_huge_free());
	return error_set(error, HAVEN_ENOMEM,
			 "no room for %llu bytes of shared memory for %s: %s; "
			 "make it smaller or free memory",
			 (unsigned long long)bytes, name, strerror(e));
}

/** Size, wishes, pages, seals, in this order: pages that are allocated follow the wishes. */
static int file_fill(int f, const char *name, uint64_t bytes, const struct pages_options *o,
		     void **base, struct error_text *error)
{
	int status;

	if (ftruncate(f, (off_t)bytes) != 0)
		return no_room(name, bytes, o, errno, error);
	*base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
	if (*base == MAP_FAILED)
		return no_room(name, bytes, o, errno, error);
	status = pages_place(*base, bytes, o, error);
	/* Pages that are allocated through the file alone are usual ones. */
	if (!status && o->kind == PAGES_TRANSPARENT)
		pages_populate(*base, bytes);
	if (!status) {
		status = allocate(f, bytes);
		status = status ? no_room(name, bytes, o, status, error) : 0;
	}
	if (!status && fcntl(f, F_ADD_SEALS, SEALS) != 0)
		status = error_set(error, HAVEN_ESYS, "cannot seal the memory file of %s: %s", name,
				   strerror(errno));
	if (status)
		munmap(*base, bytes);
	return status;
}

int segment_make_on(const char *name, uint64_t bytes, const struct pages_options *options, int *fd,
		    void **base, struct error_text *error)
{
	static const struct pages_options usual;
	const struct pages_options *o = options ? options : &usual;
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int f, status;

	if (o->kind == PAGES_HUGE)
		flags |= MFD_HUGETLB | HUGETLB_FLAG_ENCODE_2MB;
	f = memfd_create(name, flags);
	if (f < 0)
		return error_set(error, errno == ENOMEM ? HAVEN_ENOMEM : HAVEN_ESYS,
				 "cannot make a memory file for %s: %s", name, strerror(errno));
	status = file_fill(f, name, pages_round(o->kind, bytes), o, base, error);
	if (status) {
		close(f);
		return status;
	}
	*fd = f;
	return 0;
}

int segment_make(const char *name, uint64_t bytes, int *fd, void **base, struct error_text *error)
{
	return segment_make_on(name, bytes, NULL, fd, base, error);
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
