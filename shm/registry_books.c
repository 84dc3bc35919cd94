/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's own books: free lists, and what waits for its grace period. Everything is O(1) and
 * made at start. Slots and objects are reused in the order in which they became free, so a number
 * comes back as late as possible.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "pages.h"
#include "registry_inner.h"

/** Free objects whose lines are asked for before they are taken. */
#define FREE_AHEAD 3u

static void *carve(uint8_t *base, size_t *end, size_t bytes)
{
	size_t at = *end;

	*end = (at + bytes + HAVEN_CACHE_LINE - 1) / HAVEN_CACHE_LINE * HAVEN_CACHE_LINE;
	return base ? base + at : NULL;
}

/** Lay the arrays out from `base` on (NULL: to learn the size). Returns their bytes. */
static size_t books_carve(struct registry_writer *w, const struct registry *r, uint8_t *base)
{
	size_t end = 0;

	w->retired_max = r->objects + r->shape.lanes;
	w->index = carve(base, &end, ((size_t)r->bucket_mask + 1) * sizeof(*w->index));
	w->slot = carve(base, &end, r->components * sizeof(*w->slot));
	w->entry = carve(base, &end, r->components * sizeof(*w->entry));
	w->gate = carve(base, &end, r->shape.gates * sizeof(*w->gate));
	w->lane = carve(base, &end, r->shape.lanes * sizeof(*w->lane));
	w->free_object = carve(base, &end, r->objects * sizeof(*w->free_object));
	w->retired = carve(base, &end, w->retired_max * sizeof(*w->retired));
	return end;
}

uint64_t registry_books_bytes(const struct registry_shape *shape)
{
	const struct registry r = {.shape = *shape,
				   .components = shape->components,
				   .objects = shape->components + shape->spare,
				   .bucket_mask = registry_layout(shape).buckets - 1};
	struct registry_writer w = {0};

	return books_carve(&w, &r, NULL);
}

static void books_fill(struct registry *r, uint64_t generation, uint32_t first_slot)
{
	struct registry_writer *w = r->writer;

	w->generation = generation;
	w->slot_head = w->slot_tail = REGISTRY_NONE;
	for (uint32_t i = 0; i < r->components; i++)
		registry_slot_free(w, (first_slot + i) % r->components);
	for (uint32_t i = 0; i < r->objects; i++)
		registry_object_free(r, i);
	for (uint32_t i = 0; i < r->shape.gates; i++)
		w->gate[i].generation = generation << 16;
	for (uint32_t i = 0; i < r->shape.lanes; i++)
		w->lane[i].owner = REGISTRY_NONE;
}

/** On 2 MiB pages where the kernel has some: a change looks up half a dozen places of the books,
 * and their translations are half of its misses in a large registry. */
static void *books_memory(size_t bytes)
{
	const struct pages_options wish = {.kind = PAGES_TRANSPARENT};
	struct error_text ignored;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	pages_place(p, bytes, &wish, &ignored);
	if (pages_populate(p, bytes))
		return p;
	munmap(p, bytes);
	return NULL;
}

int registry_books_new(struct registry *r, uint64_t generation, uint32_t first_slot)
{
	struct registry_writer *w = calloc(1, sizeof(*w));
	void *memory;

	if (!w)
		return -HAVEN_ENOMEM;
	w->memory_bytes = books_carve(w, r, NULL);
	memory = books_memory(w->memory_bytes);
	if (!memory) {
		free(w);
		return -HAVEN_ENOMEM;
	}
	w->memory = memory;
	books_carve(w, r, memory);
	r->writer = w;
	books_fill(r, generation, first_slot);
	return 0;
}

void registry_books_free(struct registry *r)
{
	if (r->writer)
		munmap(r->writer->memory, r->writer->memory_bytes);
	free(r->writer);
	r->writer = NULL;
}

void registry_slot_free(struct registry_writer *w, uint32_t slot)
{
	struct writer_slot *s = &w->slot[slot];

	s->use = USE_FREE;
	s->next = REGISTRY_NONE;
	s->prev = w->slot_tail;
	if (w->slot_tail == REGISTRY_NONE)
		w->slot_head = slot;
	else
		w->slot[w->slot_tail].next = slot;
	w->slot_tail = slot;
	w->free_slots++;
}

void registry_slot_take(struct registry_writer *w, uint32_t slot)
{
	struct writer_slot *s = &w->slot[slot];

	HAVEN_ASSERT(s->use == USE_FREE);
	s->use = USE_LIVE;
	s->lanes = 0;
	if (s->prev == REGISTRY_NONE)
		w->slot_head = s->next;
	else
		w->slot[s->prev].next = s->next;
	if (s->next == REGISTRY_NONE)
		w->slot_tail = s->prev;
	else
		w->slot[s->next].prev = s->prev;
	w->free_slots--;
}

struct counters *registry_counters(struct registry *r)
{
	return &r->writer->counters;
}

struct registry_usage registry_used(const struct registry *r)
{
	const struct registry_writer *w = r->writer;

	return (struct registry_usage){.components = r->components - w->free_slots,
				       .held = w->held,
				       .retired = w->retired_count};
}

uint32_t registry_slot_live(const struct registry *r, uint64_t handle)
{
	uint32_t slot = registry_slot_of(handle);
	const struct writer_slot *s;

	if (slot >= r->components)
		return REGISTRY_NONE;
	s = &r->writer->slot[slot];
	return s->use == USE_LIVE && s->own.handle == handle ? slot : REGISTRY_NONE;
}

/** The lines of a place that is taken soon. */
static void object_fetch(const struct registry *r)
{
	uint32_t ahead = r->writer->free_head + FREE_AHEAD;
	uint32_t place = r->writer->free_object[ahead < r->objects ? ahead : ahead % r->objects];
	const uint8_t *cold = (const uint8_t *)&r->cold[place];

	registry_fetch(&r->hot[place]);
	for (size_t at = 0; at < sizeof(struct registry_cold); at += HAVEN_CACHE_LINE)
		registry_fetch(cold + at);
}

void registry_expect(const struct registry *r, uint64_t far, uint64_t near)
{
	const struct registry_writer *w = r->writer;
	uint32_t slot = registry_slot_of(far);

	/* The books say where the rest stands, so they must have come before that is asked for. */
	if (slot < r->components) {
		registry_fetch(&w->slot[slot]);
		registry_fetch((const uint8_t *)(&w->slot[slot] + 1) - 1);
		registry_fetch(&w->entry[slot]);
	}
	slot = registry_slot_of(near);
	if (slot < r->components) {
		registry_index_fetch(r, slot, true);
	}
}

uint32_t registry_object_take(struct registry *r)
{
	struct registry_writer *w = r->writer;
	uint32_t place;

	HAVEN_ASSERT(w->free_objects > 0);
	place = w->free_object[w->free_head];
	w->free_head = w->free_head + 1 == r->objects ? 0 : w->free_head + 1;
	w->free_objects--;
	object_fetch(r);
	return place;
}

void registry_object_free(struct registry *r, uint32_t place)
{
	struct registry_writer *w = r->writer;
	uint64_t at = (uint64_t)w->free_head + w->free_objects;

	HAVEN_ASSERT(w->free_objects < r->objects);
	w->free_object[at >= r->objects ? at - r->objects : at] = place;
	w->free_objects++;
}

void registry_retire(struct registry *r, uint64_t epoch, enum retired_kind kind, uint32_t first,
		     uint32_t count)
{
	struct registry_writer *w = r->writer;
	uint64_t at = (uint64_t)w->retired_head + w->retired_count;

	HAVEN_ASSERT(w->retired_count < w->retired_max);
	w->retired[at >= w->retired_max ? at - w->retired_max : at] =
		(struct writer_retired){.epoch = epoch,
					.at_ns = clock_now_ns(),
					.first = first,
					.kind = kind,
					.count = count & ((1u << 30) - 1)};
	w->retired_count++;
}
