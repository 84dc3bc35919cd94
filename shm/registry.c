/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: the file. Components stand in registry_update.c, gates in registry_gate.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_segment.h"
#include "clock.h"
#include "hash.h"
#include "registry_inner.h"

#define NEW_FILE REGISTRY_FILE ".new"
#define ALLOCATE_TRIES 1000

/** Milliseconds since 2020 by the wall clock: generations start above it. A clock that is far ahead
 *  must not eat the range. */
static uint64_t generation_clock(void)
{
	const uint64_t start_ns = 1577836800 * NSEC_PER_SEC;
	uint64_t now = clock_wall_ns(), ms = now > start_ns ? (now - start_ns) / NSEC_PER_MSEC : 0;

	return ms < REGISTRY_GENERATION_MAX / 2 ? ms : REGISTRY_GENERATION_MAX / 2;
}

static bool name_fits(char *to, const char *from)
{
	size_t n = from ? strlen(from) : 0;

	if (n >= HAVEN_NAME_MAX)
		return false;
	if (n)
		memcpy(to, from, n);
	return true;
}

static int header_fill(struct registry_header *h, const struct registry_config *config,
		       struct error_text *error)
{
	if (!name_fits(h->cluster, config->cluster) || !name_fits(h->node, config->node) ||
	    !name_fits(h->release, config->release))
		return error_set(error, HAVEN_EINVAL,
				 "a name of cluster, node or release is longer than %d bytes",
				 HAVEN_NAME_MAX - 1);
	h->incarnation = config->incarnation;
	h->interval_ns = config->interval_ns;
	h->lease_ns = config->lease_ns;
	h->suspect_ns = config->suspect_ns;
	h->guard_ns = config->guard_ns;
	h->started_ns = clock_now_ns();
	h->started_wall_ns = clock_wall_ns();
	h->pid = getpid();
	h->pid_start_ticks = process_start_ticks(h->pid);
	h->rcu_epoch = config->rcu_epoch_floor + 1;
	h->generation = generation_clock();
	if (h->generation < config->generation_floor)
		h->generation = config->generation_floor;
	/* Names come from applications: where they fall is to differ from run to run. */
	h->hash_seed = hash_mix64(h->incarnation ^ REGISTRY_MAGIC);
	return 0;
}

static int allocate(int fd, uint64_t bytes)
{
	int status = ftruncate(fd, (off_t)bytes) == 0 ? EINTR : errno;

	for (int i = 0; i < ALLOCATE_TRIES && status == EINTR; i++)
		status = posix_fallocate(fd, 0, (off_t)bytes);
	return status;
}

/** Make the new file beside the old one and map it. `r->fd` is opened anew, for reading: what is
 *  passed to clients must not let them write. Returns 0 or an errno. */
static int file_make(struct registry *r, int dir, uint64_t bytes)
{
	struct stat written, read;
	int fd, status;
	void *base;

	if (unlinkat(dir, NEW_FILE, 0) != 0 && errno != ENOENT)
		return errno;
	fd = openat(dir, NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return errno;
	status = fchmod(fd, 0640) == 0 ? allocate(fd, bytes) : errno;
	if (!status) {
		r->fd = openat(dir, NEW_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (r->fd < 0 || fstat(fd, &written) != 0 || fstat(r->fd, &read) != 0)
			status = errno;
		else if (written.st_ino != read.st_ino || written.st_dev != read.st_dev)
			status = EEXIST;
	}
	if (!status) {
		/* Populated, so that the poll loop takes no page fault for it later. */
		base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
		if (base == MAP_FAILED)
			status = errno;
		else
			r->base = base;
	}
	close(fd);
	return status;
}

static void file_drop(struct registry *r)
{
	if (r->base)
		munmap(r->base, r->size_bytes);
	if (r->fd >= 0)
		close(r->fd);
	registry_books_free(r);
	*r = (struct registry){.fd = -1};
}

static int explain(int e, const char *run_dir, uint64_t bytes, struct error_text *error)
{
	unsigned long long mib = (bytes + (1u << 20) - 1) >> 20;
	int code = HAVEN_ESYS;

	if (e == ENOSPC || e == ENOMEM || e == EDQUOT || e == EFBIG)
		return error_set(error, HAVEN_ENOMEM,
				 "cannot make %.150s/" REGISTRY_FILE
				 ", %llu MiB beside an old one: %s; free space or make it smaller",
				 run_dir, mib, strerror(e));
	if (e == ENOENT || e == ENOTDIR)
		code = HAVEN_ENOENT;
	else if (e == EACCES || e == EPERM || e == EROFS)
		code = HAVEN_EPERM;
	return error_set(error, code, "cannot make %.150s/" REGISTRY_FILE ": %s", run_dir,
			 strerror(e));
}

/** What is not zero in a new registry. */
static void sections_init(struct registry *r)
{
	for (uint32_t i = 0; i < r->shape.gates; i++) {
		r->gates[i].component = REGISTRY_NONE;
		r->gates[i].assigned_node = HAVEN_NODE_NONE;
		r->gates[i].generation = registry_gate_generation(r, i);
	}
	for (uint32_t i = 0; i < r->shape.lanes; i++)
		r->lanes[i].component = REGISTRY_NONE;
	event_ring_init(r->events, r->shape.events);
}

/** Fill the new file. Returns 0 or a Haven error. */
static int file_fill(struct registry *r, const struct registry_header *h, struct error_text *error)
{
	int status;

	memcpy(r->base, h, sizeof(*h));
	/* Readers find the file by its name, so nobody sees it before it is published (H1). */
	store_release(&((struct registry_header *)(void *)r->base)->magic, REGISTRY_MAGIC);
	status = registry_bind(r, REGISTRY_FILE, error);
	if (!status && registry_books_new(r, r->header->generation))
		status = error_set(error, HAVEN_ENOMEM, "no memory for the books of %u components",
				   r->shape.components);
	if (!status)
		sections_init(r);
	return status;
}

static int dir_open(const char *run_dir)
{
	return open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int registry_prepare(struct registry *r, const char *run_dir, const struct registry_config *config,
		     struct error_text *error)
{
	struct registry_shape shape = config->shape;
	struct registry_header h;
	uint64_t bytes = 0;
	int dir, status = registry_shape_check(&shape, &bytes, error);

	*r = (struct registry){.fd = -1, .size_bytes = bytes, .writable = true};
	if (status)
		return status;
	h = registry_layout(&shape);
	status = header_fill(&h, config, error);
	if (status)
		return status;
	dir = dir_open(run_dir);
	if (dir < 0)
		return explain(errno, run_dir, bytes, error);
	status = file_make(r, dir, bytes);
	status = status ? explain(status, run_dir, bytes, error) : file_fill(r, &h, error);
	close(dir);
	if (status)
		registry_discard(r, run_dir);
	return status;
}

int registry_publish(struct registry *r, const char *run_dir, struct error_text *error)
{
	int dir = dir_open(run_dir), status = 0;

	if (dir < 0 || renameat(dir, NEW_FILE, dir, REGISTRY_FILE) != 0)
		status = explain(errno, run_dir, r->size_bytes, error);
	if (dir >= 0)
		close(dir);
	if (status)
		registry_discard(r, run_dir);
	return status;
}

void registry_discard(struct registry *r, const char *run_dir)
{
	int dir = dir_open(run_dir);

	if (dir >= 0) {
		unlinkat(dir, NEW_FILE, 0);
		close(dir);
	}
	file_drop(r);
}

int registry_create(struct registry *r, const char *run_dir, const struct registry_config *config,
		    struct error_text *error)
{
	int status = registry_prepare(r, run_dir, config, error);

	return status ? status : registry_publish(r, run_dir, error);
}

void registry_destroy(struct registry *r)
{
	if (r->base)
		store_release(&r->header->stopped_ns, clock_now_ns());
	file_drop(r);
}
