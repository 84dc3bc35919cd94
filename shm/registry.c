/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: the file, the status bracket and the gates. Components stand in registry_update.c.
 */
#include "registry.h"

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
#include "registry_inner.h"

#define NEW_FILE REGISTRY_FILE ".new"
#define SECTION_ALIGN 4096u
#define ALLOCATE_TRIES 1000

static uint64_t section(uint64_t *end, uint64_t bytes)
{
	uint64_t at = *end;

	*end = (at + bytes + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
	return at;
}

/** Sizes and offsets of a new registry; everything else of the header stays zero. */
static struct registry_header layout(void)
{
	struct registry_header h = {.layout_version = REGISTRY_LAYOUT_VERSION,
				    .header_bytes = sizeof(h),
				    .index_slots = REGISTRY_INDEX_SLOTS,
				    .directory_slots = REGISTRY_COMPONENTS_MAX,
				    .events_slots = REGISTRY_EVENTS_SLOTS,
				    .arena_slots = REGISTRY_ARENA_SLOTS};
	uint64_t end = 0;

	section(&end, sizeof(h));
	h.status_offset = section(&end, sizeof(struct registry_status));
	h.gates_offset = section(&end, REGISTRY_GATES_MAX * sizeof(struct registry_gate));
	h.lanes_offset = section(&end, REGISTRY_LANES_MAX * sizeof(struct registry_lane));
	h.index_offset = section(&end, h.index_slots * sizeof(uint32_t));
	h.directory_offset = section(&end, h.directory_slots * sizeof(uint64_t));
	h.events_offset = section(&end, event_ring_bytes(h.events_slots));
	h.arena_bytes = h.arena_slots * sizeof(struct registry_component);
	h.arena_offset = section(&end, h.arena_bytes);
	h.size_bytes = end;
	return h;
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
	h->rcu_epoch = 1;
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
	free(r->writer);
	*r = (struct registry){.fd = -1};
}

static int explain(int e, const char *run_dir, struct error_text *error)
{
	int code = HAVEN_ESYS;

	if (e == ENOENT || e == ENOTDIR)
		code = HAVEN_ENOENT;
	else if (e == EACCES || e == EPERM || e == EROFS)
		code = HAVEN_EPERM;
	else if (e == ENOSPC || e == ENOMEM || e == EDQUOT)
		code = HAVEN_ENOMEM;
	return error_set(error, code, "cannot make %.150s/" REGISTRY_FILE ": %s", run_dir,
			 strerror(e));
}

static void writer_init(struct registry *r)
{
	struct registry_writer *w = r->writer;

	for (uint32_t i = 0; i < REGISTRY_ARENA_SLOTS; i++)
		w->free_object[w->free_objects++] = REGISTRY_ARENA_SLOTS - 1 - i;
	for (uint32_t i = 0; i < REGISTRY_GATES_MAX; i++) {
		r->gates[i].component = REGISTRY_NONE;
		r->gates[i].assigned_node = HAVEN_NODE_NONE;
	}
	for (uint32_t i = 0; i < REGISTRY_LANES_MAX; i++)
		r->lanes[i].component = REGISTRY_NONE;
	event_ring_init(r->events, r->events_slots);
}

/** Fill the new file and give it its name. Returns 0 or a Haven error. */
static int file_publish(struct registry *r, int dir, const struct registry_header *h,
			const char *run_dir, struct error_text *error)
{
	int status;

	memcpy(r->base, h, sizeof(*h));
	store_release(&((struct registry_header *)(void *)r->base)->magic, REGISTRY_MAGIC);
	status = registry_bind(r, REGISTRY_FILE, error);
	if (status)
		return status;
	writer_init(r);
	/* Readers find the file by its name, so nobody sees it before this (H1). */
	if (renameat(dir, NEW_FILE, dir, REGISTRY_FILE) != 0)
		return explain(errno, run_dir, error);
	return 0;
}

int registry_create(struct registry *r, const char *run_dir, const struct registry_config *config,
		    struct error_text *error)
{
	struct registry_header h = layout();
	int status = header_fill(&h, config, error);
	int dir;

	*r = (struct registry){.fd = -1, .size_bytes = h.size_bytes, .writable = true};
	if (status)
		return status;
	dir = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return explain(errno, run_dir, error);
	r->writer = calloc(1, sizeof(*r->writer));
	status = r->writer ? file_make(r, dir, h.size_bytes) : ENOMEM;
	status =
		status ? explain(status, run_dir, error) : file_publish(r, dir, &h, run_dir, error);
	if (status) {
		unlinkat(dir, NEW_FILE, 0);
		file_drop(r);
	}
	close(dir);
	return status;
}

void registry_destroy(struct registry *r)
{
	if (r->base)
		store_release(&r->header->stopped_ns, clock_now_ns());
	file_drop(r);
}

void registry_status_begin(struct registry *r)
{
	store_relaxed(&r->status->version, load_relaxed(&r->status->version) | 1);
	fence_release(); /* S1: odd before anything changes */
}

void registry_status_end(struct registry *r)
{
	/* S1 (release): what changed is seen before the even version. */
	store_release(&r->status->version, (load_relaxed(&r->status->version) | 1) + 1);
}

void registry_gate_renew(struct registry *r, uint32_t gate, uint64_t valid_until_ns)
{
	struct registry_gate *g;

	HAVEN_ASSERT(gate < REGISTRY_GATES_MAX);
	g = &r->gates[gate];
	store_release(&g->valid_until_ns,
		      load_relaxed(&g->role) == HAVEN_PRIMARY ? valid_until_ns : 0);
}

void registry_gate_change(struct registry_gate *g, enum haven_role role, uint64_t epoch)
{
	uint32_t odd;

	/* Shut first (G1): who sees the new generation does not see the old end. */
	store_release(&g->valid_until_ns, 0);
	odd = load_relaxed(&g->version) | 1;
	store_relaxed(&g->version, odd);
	fence_release(); /* G2: odd before anything changes */
	store_relaxed(&g->role, role);
	store_relaxed(&g->epoch, epoch);
	store_release(&g->generation, load_relaxed(&g->generation) + 1);
	store_release(&g->version, odd + 1); /* G2 */
}

void registry_gate_set(struct registry *r, uint32_t gate, enum haven_role role, uint64_t epoch,
		       uint64_t valid_until_ns)
{
	struct registry_gate *g;

	HAVEN_ASSERT(gate < REGISTRY_GATES_MAX);
	g = &r->gates[gate];
	if (load_relaxed(&g->role) != (uint32_t)role || load_relaxed(&g->epoch) != epoch)
		registry_gate_change(g, role, epoch);
	registry_gate_renew(r, gate, valid_until_ns); /* open last (G1) */
}
