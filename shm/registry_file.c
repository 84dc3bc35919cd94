/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: the file that the registry stands in. It is written aside and takes its name when it
 * is whole (H1).
 *
 * On usual pages the file stands in the run directory. On 2 MiB pages it stands in a hugetlbfs, the
 * run directory has a symbolic link to it, and the file of a node's earlier life goes when the new
 * one has taken its name, for its pages are taken from the pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "registry_inner.h"

#define NEW ".new"
#define HUGE_PREFIX "haven-"
#define ALLOCATE_TRIES 1000
#define MIB (1024.0 * 1024.0)

/* ---- what went wrong ------------------------------------------------------------------------- */

/** Free bytes where `dir` stands. */
static uint64_t bytes_free(int dir, enum pages_kind kind)
{
	struct statvfs fs;

	if (kind == PAGES_HUGE)
		return pages_huge_free() * PAGES_HUGE_BYTES;
	return fstatvfs(dir, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

static int no_room(const struct registry_file *f, const struct registry *r,
		   const struct registry_shape *shape, struct error_text *error)
{
	struct registry_part part[REGISTRY_PARTS];
	unsigned most;

	registry_shape_parts(shape, part);
	most = registry_shape_largest(part);
	return error_set(error, HAVEN_ENOMEM,
			 "no room for a registry of %.1f MiB in %.80s, %.1f MiB are free%s; make "
			 "it smaller (%s takes %.1f MiB of it) or make room",
			 (double)r->size_bytes / MIB, f->where,
			 (double)bytes_free(f->home, f->kind) / MIB,
			 f->kind == PAGES_HUGE ? " (vm.nr_hugepages)" : "", part[most].name,
			 (double)part[most].bytes / MIB);
}

static int failed(const struct registry_file *f, int e, struct error_text *error)
{
	int code = HAVEN_ESYS;

	if (e == ENOENT || e == ENOTDIR)
		code = HAVEN_ENOENT;
	else if (e == EACCES || e == EPERM || e == EROFS)
		code = HAVEN_EPERM;
	return error_set(error, code, "cannot make %.150s/%s: %s", f->where, REGISTRY_FILE,
			 strerror(e));
}

static bool is_full(int e)
{
	return e == ENOSPC || e == ENOMEM || e == EDQUOT;
}

/* ---- where it stands ------------------------------------------------------------------------- */

static int home_huge(struct registry_file *f, const struct registry_config *config,
		     struct error_text *error)
{
	struct statfs fs;
	int n = snprintf(f->name, sizeof(f->name), HUGE_PREFIX "%s-%s-" REGISTRY_FILE,
			 config->cluster, config->node);

	f->where = config->huge_dir ? config->huge_dir : "";
	HAVEN_ASSERT(n > 0 && n < (int)sizeof(f->name)); /* both names were checked */
	if (strchr(f->name, '/'))
		return error_set(error, HAVEN_EINVAL,
				 "the names of cluster and node do not make a file name");
	f->home = open(f->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->home < 0)
		return failed(f, errno, error);
	if (fstatfs(f->home, &fs) != 0 || (unsigned long)fs.f_type != HUGETLBFS_MAGIC ||
	    (uint64_t)fs.f_bsize != PAGES_HUGE_BYTES)
		return error_set(error, HAVEN_EINVAL,
				 "%.100s is no file system of 2 MiB pages; mount one: mount -t "
				 "hugetlbfs -o pagesize=2M none %.50s",
				 f->where, f->where);
	return 0;
}

static int places_open(struct registry_file *f, const char *run_dir,
		       const struct registry_config *config, struct error_text *error)
{
	ssize_t n;

	f->where = run_dir;
	f->run = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->run < 0)
		return failed(f, errno, error);
	/* No link there, or nothing: nothing to be taken away later. */
	n = readlinkat(f->run, REGISTRY_FILE, f->before, sizeof(f->before) - 1);
	f->before[n > 0 ? n : 0] = 0;
	if (f->kind == PAGES_HUGE)
		return home_huge(f, config, error);
	snprintf(f->name, sizeof(f->name), REGISTRY_FILE);
	f->home = dup(f->run);
	return f->home < 0 ? failed(f, errno, error) : 0;
}

/* ---- making it ------------------------------------------------------------------------------- */

/** Returns 0 or an errno. */
static int set_size(int fd, uint64_t bytes)
{
	int status = EINTR;

	for (int i = 0; i < ALLOCATE_TRIES && status == EINTR; i++)
		status = ftruncate(fd, (off_t)bytes) == 0 ? 0 : errno;
	return status;
}

static int allocate(int fd, uint64_t bytes)
{
	int status = EINTR;

	for (int i = 0; i < ALLOCATE_TRIES && status == EINTR; i++)
		status = posix_fallocate(fd, 0, (off_t)bytes);
	return status;
}

/** Size, mapping, wishes, pages, in this order: pages that are allocated follow the wishes, and all
 *  are there, so that the poll loop takes no fault for them. Returns 0, an errno, or a negative
 *  Haven error that was told. */
static int pages_make(struct registry *r, int fd, const struct pages_options *pages,
		      struct error_text *error)
{
	int status = set_size(fd, r->size_bytes);
	void *base;

	if (status)
		return status;
	base = mmap(NULL, r->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return errno;
	r->base = base;
	status = pages_place(base, r->size_bytes, pages, error);
	if (status)
		return status;
	/* Pages that are allocated through the file alone are usual ones. */
	if (pages->kind == PAGES_TRANSPARENT)
		pages_populate(base, r->size_bytes);
	status = allocate(fd, r->size_bytes);
	if (status)
		return status;
	return pages_populate(base, r->size_bytes) ? 0 : ENOMEM;
}

/** `r->fd` is opened anew, for reading: what is passed to clients must not let them write. */
static int file_fill(struct registry *r, struct registry_file *f, const struct pages_options *pages,
		     struct error_text *error)
{
	struct stat written, read;
	int fd, status;

	if (unlinkat(f->home, f->fresh, 0) != 0 && errno != ENOENT)
		return errno;
	fd = openat(f->home, f->fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return errno;
	f->made = true;
	status = fchmod(fd, 0640) == 0 ? pages_make(r, fd, pages, error) : errno;
	if (!status) {
		r->fd = openat(f->home, f->fresh, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (r->fd < 0 || fstat(fd, &written) != 0 || fstat(r->fd, &read) != 0)
			status = errno;
		else if (written.st_ino != read.st_ino || written.st_dev != read.st_dev)
			status = EEXIST;
	}
	close(fd);
	return status;
}

int registry_file_make(struct registry *r, struct registry_file *f, const char *run_dir,
		       const struct registry_config *config, const struct registry_shape *shape,
		       struct error_text *error)
{
	int status;

	*f = (struct registry_file){.run = -1, .home = -1, .kind = config->pages.kind};
	status = places_open(f, run_dir, config, error);
	if (status)
		return status;
	snprintf(f->fresh, sizeof(f->fresh), "%s" NEW, f->name);
	status = file_fill(r, f, &config->pages, error);
	if (status > 0)
		return is_full(status) ? no_room(f, r, shape, error) : failed(f, status, error);
	return status;
}

/* ---- giving it its name ---------------------------------------------------------------------- */

/** Let the run directory point to the file. Returns 0 or an errno. */
static int link_make(const struct registry_file *f, const char *target)
{
	int status;

	if (strcmp(f->before, target) == 0)
		return 0;
	if (unlinkat(f->run, REGISTRY_FILE NEW, 0) != 0 && errno != ENOENT)
		return errno;
	if (symlinkat(target, f->run, REGISTRY_FILE NEW) != 0)
		return errno;
	if (renameat(f->run, REGISTRY_FILE NEW, f->run, REGISTRY_FILE) == 0)
		return 0;
	status = errno;
	unlinkat(f->run, REGISTRY_FILE NEW, 0);
	return status;
}

/** The file of an earlier life, when it stood somewhere else. Only what looks like one is taken
 *  away: the run directory may hold anybody's link. */
static void before_drop(const struct registry_file *f, const char *target)
{
	const char *name = strrchr(f->before, '/');
	struct statfs fs;

	if (!name || strcmp(f->before, target) == 0 ||
	    strncmp(name + 1, HUGE_PREFIX, strlen(HUGE_PREFIX)) != 0)
		return;
	if (statfs(f->before, &fs) == 0 && (unsigned long)fs.f_type == HUGETLBFS_MAGIC)
		unlink(f->before);
}

int registry_file_publish(struct registry_file *f, struct error_text *error)
{
	char target[PATH_MAX] = "";
	int status = 0;

	/* Readers find the file by its name, so nobody sees it before this (H1). */
	if (renameat(f->home, f->fresh, f->home, f->name) != 0)
		return failed(f, errno, error);
	f->made = false;
	if (f->kind == PAGES_HUGE) {
		snprintf(target, sizeof(target), "%s/%s", f->where, f->name);
		status = link_make(f, target);
	}
	if (status) {
		unlinkat(f->home, f->name, 0); /* nobody would ever find it */
		return failed(f, status, error);
	}
	before_drop(f, target);
	return 0;
}

void registry_file_end(struct registry_file *f)
{
	if (f->made)
		unlinkat(f->home, f->fresh, 0);
	if (f->run >= 0)
		close(f->run);
	if (f->home >= 0)
		close(f->home);
}
