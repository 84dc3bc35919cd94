/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader side: mapping a registry. The file may be a copy, a remainder of a crash, or garbage:
 * every count and offset is checked here, once, on a private copy of the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_inner.h"

static bool terminated(const char *text)
{
	return memchr(text, 0, HAVEN_NAME_MAX) != NULL;
}

/** Set the addresses from a checked copy of the header. */
static void addresses_set(struct registry *r, const struct registry_header *h)
{
	r->status = (struct registry_status *)(void *)(r->base + h->status_offset);
	r->gates = (struct registry_gate *)(void *)(r->base + h->gates_offset);
	r->lanes = (struct registry_lane *)(void *)(r->base + h->lanes_offset);
	r->checkpoints = (struct registry_checkpoint *)(void *)(r->base + h->checkpoints_offset);
	r->clients = (struct registry_client *)(void *)(r->base + h->clients_offset);
	r->index = (struct registry_bucket *)(void *)(r->base + h->index_offset);
	r->directory = (uint32_t *)(void *)(r->base + h->directory_offset);
	r->events = (struct event_ring *)(void *)(r->base + h->events_offset);
	r->watch = (struct broadcast *)(void *)(r->base + h->changes_offset);
	r->counters = r->base + h->counters_offset;
	r->hot = (struct registry_hot *)(void *)(r->base + h->hot_offset);
	r->cold = (struct registry_cold *)(void *)(r->base + h->cold_offset);
	r->shape = h->shape;
	r->components = h->shape.components;
	r->objects = h->shape.components + h->shape.spare;
	r->bucket_mask = h->buckets - 1;
	r->hash_seed = h->hash_seed;
}

int registry_bind(struct registry *r, const char *what, struct error_text *error)
{
	struct registry_header h;

	r->header = (struct registry_header *)(void *)r->base;
	if (load_acquire(&r->header->magic) != REGISTRY_MAGIC) /* H1 */
		return error_set(error, HAVEN_ECORRUPT, "%.150s is not a registry (no magic word)",
				 what);
	memcpy(&h, r->header, sizeof(h)); /* once: what is checked is what is used */
	if (h.layout_version != REGISTRY_LAYOUT_VERSION)
		return error_set(error, HAVEN_EVERSION,
				 "%.150s has layout version %u, this program knows %u; use "
				 "programs of one release",
				 what, h.layout_version, REGISTRY_LAYOUT_VERSION);
	if (h.size_bytes != r->size_bytes)
		return error_set(error, HAVEN_ESIZE, "%.150s has %llu bytes, its header says %llu",
				 what, (unsigned long long)r->size_bytes,
				 (unsigned long long)h.size_bytes);
	if (h.header_bytes != sizeof(h) || !registry_layout_fits(&h, r->size_bytes) ||
	    !terminated(h.cluster) || !terminated(h.node) || !terminated(h.release))
		return error_set(error, HAVEN_ECORRUPT,
				 "%.150s: the header's counts, offsets or names contradict its "
				 "size",
				 what);
	addresses_set(r, &h);
	return 0;
}

static int map_and_bind(struct registry *r, int fd, const char *what, struct error_text *error)
{
	struct stat st;
	void *base;
	int status;

	*r = (struct registry){.fd = -1};
	if (fstat(fd, &st) != 0)
		return error_set(error, HAVEN_ESYS, "%.150s: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, HAVEN_EINVAL, "%.150s is not a regular file", what);
	if (st.st_size < (off_t)sizeof(struct registry_header))
		return error_set(error, HAVEN_ESIZE,
				 "%.150s has %lld bytes, too few for a registry", what,
				 (long long)st.st_size);
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return error_set(error, HAVEN_ESYS, "cannot map %.150s: %s", what, strerror(errno));
	r->base = base;
	r->size_bytes = (uint64_t)st.st_size;
	status = registry_bind(r, what, error);
	if (status)
		registry_close(r);
	return status;
}

int registry_open_fd(struct registry *r, int fd, struct error_text *error)
{
	return map_and_bind(r, fd, "the registry", error);
}

/** The registry of a run directory. It may be a link, to a file of 2 MiB pages; what it leads to is
 *  looked at before it is opened, for opening a device may have effects. */
static int open_in(int dir, int flags)
{
	int inner = openat(dir, REGISTRY_FILE, flags | O_NOFOLLOW), place, e;
	char path[32];
	struct stat st;

	if (inner >= 0 || errno != ELOOP)
		return inner;
	place = openat(dir, REGISTRY_FILE, O_PATH | O_CLOEXEC);
	if (place < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
	inner = fstat(place, &st) == 0 && S_ISREG(st.st_mode) ? open(path, flags) : -1;
	e = errno;
	close(place);
	errno = e;
	return inner;
}

/** Open `path`, or the registry in it when it is a directory. Returns a descriptor or -1. */
static int open_path(const char *path)
{
	/* O_NONBLOCK: a pipe in its place must not stop us. */
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, flags), inner, e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		return fd;
	inner = open_in(fd, flags);
	e = errno;
	close(fd);
	errno = e;
	return inner;
}

int registry_open(struct registry *r, const char *run_dir, struct error_text *error)
{
	int fd = open_path(run_dir);
	int status;

	*r = (struct registry){.fd = -1};
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_set(error, HAVEN_ENOENT,
				 "no registry in %.150s: no node has run there; name the run "
				 "directory of a node",
				 run_dir);
	if (fd < 0)
		return error_set(error, errno == EACCES ? HAVEN_EPERM : HAVEN_ESYS,
				 "cannot open the registry in %.150s: %s", run_dir,
				 strerror(errno));
	status = map_and_bind(r, fd, run_dir, error);
	close(fd);
	return status;
}

void registry_close(struct registry *r)
{
	if (r->base)
		munmap(r->base, r->size_bytes);
	*r = (struct registry){.fd = -1};
}
