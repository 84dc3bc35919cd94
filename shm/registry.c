/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node side: begin and end. The file stands in registry_file.c, components in registry_update.c,
 * gates in registry_gate.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client_segment.h"
#include "clock.h"
#include "hash.h"
#include "registry_inner.h"

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

static void file_drop(struct registry *r)
{
	if (r->base)
		munmap(r->base, r->size_bytes);
	if (r->fd >= 0)
		close(r->fd);
	registry_books_free(r);
	*r = (struct registry){.fd = -1};
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
	registry_watch_init(r);
	/* Whole lines, as the shape was checked. */
	HAVEN_ASSERT(counters_init(&r->writer->counters, r->counters, r->shape.counters_bytes,
				   NULL) == 0);
}

/** Fill the new file. Returns 0 or a Haven error. */
static int file_fill(struct registry *r, const struct registry_header *h, bool after_loss,
		     struct error_text *error)
{
	int status;

	memcpy(r->base, h, sizeof(*h));
	/* Readers find the file by its name, so nobody sees it before it is published (H1). */
	store_release(&((struct registry_header *)(void *)r->base)->magic, REGISTRY_MAGIC);
	status = registry_bind(r, REGISTRY_FILE, error);
	if (!status &&
	    registry_books_new(r, r->header->generation, after_loss ? r->components / 2 : 0))
		status = error_set(error, HAVEN_ENOMEM,
				   "no memory for the node's books of %u components; make the "
				   "registry smaller (components) or free memory",
				   r->shape.components);
	if (!status)
		sections_init(r);
	return status;
}

int registry_prepare(struct registry *r, const char *run_dir, const struct registry_config *config,
		     struct error_text *error)
{
	struct registry_shape shape = config->shape;
	struct registry_file file;
	struct pages_facts facts;
	struct registry_header h;
	uint64_t bytes = 0;
	int status = registry_shape_check(&shape, &bytes, error);

	*r = (struct registry){.fd = -1, .writable = true};
	if (status)
		return status;
	h = registry_layout(&shape);
	status = header_fill(&h, config, error);
	if (status)
		return status;
	r->size_bytes = h.size_bytes = pages_round(config->pages.kind, bytes);
	status = registry_file_make(r, &file, run_dir, config, &shape, error);
	if (!status) {
		pages_look(r->base, r->size_bytes, config->pages.kind, &facts);
		h.pages_kind = config->pages.kind;
		h.huge_bytes = facts.huge_bytes;
		h.numa_node = facts.numa_node;
		status = file_fill(r, &h, config->after_loss, error);
	}
	if (status) {
		registry_file_end(&file);
		file_drop(r);
	} else {
		r->writer->file = file;
	}
	return status;
}

int registry_publish(struct registry *r, struct error_text *error)
{
	int status = registry_file_publish(&r->writer->file, error);

	if (status)
		registry_discard(r);
	else
		registry_file_end(&r->writer->file);
	return status;
}

void registry_discard(struct registry *r)
{
	if (r->writer)
		registry_file_end(&r->writer->file);
	file_drop(r);
}

int registry_create(struct registry *r, const char *run_dir, const struct registry_config *config,
		    struct error_text *error)
{
	int status = registry_prepare(r, run_dir, config, error);

	return status ? status : registry_publish(r, error);
}

void registry_destroy(struct registry *r)
{
	if (r->base)
		store_release(&r->header->stopped_ns, clock_now_ns());
	file_drop(r);
}
