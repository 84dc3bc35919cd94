/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reader side. The file may be a copy, a remainder of a crash, or garbage: every offset is checked
 * when the file is bound, every index when it is used, and all loops are bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client_segment.h"
#include "registry.h"
#include "registry_inner.h"

#define COPY_TRIES 200
/** Tries after which the reader steps aside for a writer that was interrupted on this CPU. */
#define SPIN_TRIES 16

static void step_aside(int attempt)
{
	if (attempt < SPIN_TRIES)
		cpu_relax();
	else
		sched_yield();
}

static bool section_fits(const struct registry *r, uint64_t offset, uint64_t bytes)
{
	return offset % HAVEN_CACHE_LINE == 0 && offset >= sizeof(struct registry_header) &&
	       offset <= r->size_bytes && bytes <= r->size_bytes - offset;
}

static bool is_power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static bool sections_fit(const struct registry *r, const struct registry_header *h)
{
	return section_fits(r, h->status_offset, sizeof(struct registry_status)) &&
	       section_fits(r, h->gates_offset,
			    REGISTRY_GATES_MAX * sizeof(struct registry_gate)) &&
	       section_fits(r, h->lanes_offset,
			    REGISTRY_LANES_MAX * sizeof(struct registry_lane)) &&
	       section_fits(r, h->index_offset, (uint64_t)h->index_slots * sizeof(uint32_t)) &&
	       section_fits(r, h->directory_offset,
			    (uint64_t)h->directory_slots * sizeof(uint64_t)) &&
	       section_fits(r, h->events_offset, event_ring_bytes(h->events_slots)) &&
	       section_fits(r, h->arena_offset,
			    (uint64_t)h->arena_slots * sizeof(struct registry_component)) &&
	       is_power_of_two(h->index_slots) && is_power_of_two(h->events_slots) &&
	       h->directory_slots != 0 && h->arena_slots != 0 &&
	       h->directory_slots <= 1u << REGISTRY_SLOT_BITS;
}

static bool terminated(const char *text)
{
	return memchr(text, 0, HAVEN_NAME_MAX) != NULL;
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
	if (h.header_bytes != sizeof(h) || !sections_fit(r, &h) || !terminated(h.cluster) ||
	    !terminated(h.node) || !terminated(h.release))
		return error_set(error, HAVEN_ECORRUPT,
				 "%.150s: the header's offsets or names contradict its size", what);
	r->status = (struct registry_status *)(void *)(r->base + h.status_offset);
	r->gates = (struct registry_gate *)(void *)(r->base + h.gates_offset);
	r->lanes = (struct registry_lane *)(void *)(r->base + h.lanes_offset);
	r->index = (uint32_t *)(void *)(r->base + h.index_offset);
	r->directory = (uint64_t *)(void *)(r->base + h.directory_offset);
	r->events = (struct event_ring *)(void *)(r->base + h.events_offset);
	r->index_slots = h.index_slots;
	r->directory_slots = h.directory_slots;
	r->events_slots = h.events_slots;
	r->arena_slots = h.arena_slots;
	r->arena_offset = h.arena_offset;
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

/** Open `path`, or the registry in it when it is a directory. Returns a descriptor or -1. */
static int open_path(const char *path)
{
	/* O_NONBLOCK: a pipe in its place must not stop us. */
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
	int fd = open(path, flags), inner, e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		return fd;
	inner = openat(fd, REGISTRY_FILE, flags | O_NOFOLLOW);
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

/** The object that a directory slot shows, NULL: none (or an offset that is not one). */
static const struct registry_component *slot_object(const struct registry *r, uint32_t slot)
{
	uint64_t offset = load_acquire(&r->directory[slot]); /* C1 */
	uint64_t at = offset - r->arena_offset;

	if (offset < r->arena_offset || at % sizeof(struct registry_component) ||
	    at / sizeof(struct registry_component) >= r->arena_slots)
		return NULL;
	return registry_object(r, (uint32_t)(at / sizeof(struct registry_component)));
}

const struct registry_component *registry_find(const struct registry *r, const char *name)
{
	size_t length = strnlen(name, HAVEN_NAME_MAX);
	uint32_t at;

	if (length == 0 || length == HAVEN_NAME_MAX)
		return NULL;
	at = registry_hash(r, name);
	for (uint32_t i = 0; i < r->index_slots; i++, at = (at + 1) & (r->index_slots - 1)) {
		uint32_t entry = load_acquire(&r->index[at]);
		const struct registry_component *c;

		if (entry == REGISTRY_INDEX_EMPTY)
			return NULL;
		if (entry - 1 >= r->directory_slots)
			continue; /* deleted, or garbage */
		c = slot_object(r, entry - 1);
		if (c && strncmp(c->name, name, HAVEN_NAME_MAX) == 0)
			return c;
	}
	return NULL;
}

const struct registry_component *registry_get(const struct registry *r, uint64_t handle)
{
	uint32_t slot = (uint32_t)(handle & ((1u << REGISTRY_SLOT_BITS) - 1));
	const struct registry_component *c;

	if (slot >= r->directory_slots)
		return NULL;
	c = slot_object(r, slot);
	return c && load_relaxed(&c->handle) == handle ? c : NULL;
}

/** Copy an object that may be replaced and reused meanwhile; true when the copy is whole. */
static bool object_copy(const struct registry_component *c, struct registry_component *out)
{
	uint32_t version = load_acquire(&c->version); /* C2 */

	memcpy(out, c, sizeof(*out));
	fence_acquire(); /* C2 */
	out->name[HAVEN_NAME_MAX - 1] = 0;
	out->group[HAVEN_NAME_MAX - 1] = 0;
	out->release[HAVEN_NAME_MAX - 1] = 0;
	return !(version & 1) && load_relaxed(&c->version) == version;
}

int registry_copy_slot(const struct registry *r, uint32_t slot, struct registry_component *out)
{
	if (slot >= r->directory_slots)
		return -HAVEN_ENOENT;
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		const struct registry_component *c = slot_object(r, slot);

		if (!c)
			return -HAVEN_ENOENT;
		/* Still shown by the slot after the copy: so it was this slot's object then. */
		if (object_copy(c, out) && slot_object(r, slot) == c)
			return 0;
	}
	return -HAVEN_EAGAIN;
}

int registry_find_copy(const struct registry *r, const char *name, struct registry_component *out)
{
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		const struct registry_component *c = registry_find(r, name);
		int status;

		if (!c)
			return -HAVEN_ENOENT;
		status = registry_copy_slot(
			r, (uint32_t)(load_relaxed(&c->handle) & ((1u << REGISTRY_SLOT_BITS) - 1)),
			out);
		if (status == 0 && strcmp(out->name, name) == 0)
			return 0;
	}
	return -HAVEN_EAGAIN;
}

bool registry_gate_copy(const struct registry_gate *gate, struct registry_gate *out)
{
	uint32_t version = load_acquire(&gate->version); /* G2 */

	memcpy(out, gate, sizeof(*out));
	fence_acquire(); /* G2 */
	return !(version & 1) && load_relaxed(&gate->version) == version;
}

static void status_tidy(struct registry_status *s)
{
	if (s->n_nodes > HAVEN_NODES_MAX)
		s->n_nodes = HAVEN_NODES_MAX;
	if (s->n_instances > HAVEN_INSTANCES_MAX)
		s->n_instances = HAVEN_INSTANCES_MAX;
	for (unsigned i = 0; i < REGISTRY_STATUS_PEERS; i++) {
		s->peer[i].name[HAVEN_NAME_MAX - 1] = 0;
		s->peer[i].release[HAVEN_NAME_MAX - 1] = 0;
	}
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++) {
		s->instance[i].name[HAVEN_NAME_MAX - 1] = 0;
		s->instance[i].group[HAVEN_NAME_MAX - 1] = 0;
	}
}

int registry_copy_status(const struct registry *r, struct registry_status *out)
{
	for (int i = 0; i < COPY_TRIES; i++, step_aside(i)) {
		uint64_t version = load_acquire(&r->status->version); /* S2 */

		if (version & 1)
			continue;
		memcpy(out, r->status, sizeof(*out));
		fence_acquire(); /* S2 */
		if (load_relaxed(&r->status->version) != version)
			continue;
		status_tidy(out);
		return 0;
	}
	return -HAVEN_EAGAIN;
}

bool registry_writer_alive(const struct registry *r)
{
	int fd = process_pidfd(load_relaxed(&r->header->pid),
			       load_relaxed(&r->header->pid_start_ticks));
	bool alive;

	if (fd < 0)
		return false;
	alive = !process_ended(fd);
	close(fd);
	return alive;
}
