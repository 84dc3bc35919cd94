/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sizes: from the wanted counts to offsets, and whether the offsets of a found header are possible.
 */
#include "registry_inner.h"

#define SECTION_ALIGN 4096u
#define COMPONENTS_DEFAULT 4096u
#define SPARE_DEFAULT(components) ((components) / 8 + 1024)
#define GATES_DEFAULT 256u
#define LANES_DEFAULT 256u
#define CLIENTS_DEFAULT 64u
#define RING_DEFAULT 4096u
#define COUNTERS_DEFAULT 65536u
/** Entries per bucket on average, at most, when every component is there. */
#define BUCKET_FILL 5u

static bool is_power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static uint32_t buckets_for(uint32_t components)
{
	uint32_t n = 1;

	while (n * BUCKET_FILL < components)
		n *= 2;
	return n;
}

struct shape_field {
	const char *name;
	uint32_t value, limit;
	bool good;
};

/** Name of the first field out of its range, NULL: all good. */
static const char *shape_refusal(const struct registry_shape *s, uint32_t *value, uint32_t *limit)
{
	const struct shape_field field[] = {
		{"components", s->components, REGISTRY_COMPONENTS_LIMIT, true},
		{"spare", s->spare, REGISTRY_COMPONENTS_LIMIT, true},
		{"gates", s->gates, REGISTRY_GATES_LIMIT, true},
		{"lanes", s->lanes, REGISTRY_LANES_LIMIT, true},
		{"clients", s->clients, REGISTRY_CLIENTS_LIMIT, true},
		{"events", s->events, REGISTRY_RING_LIMIT, is_power_of_two(s->events)},
		{"changes", s->changes, REGISTRY_RING_LIMIT, is_power_of_two(s->changes)},
		{"counters_bytes", s->counters_bytes, REGISTRY_COUNTERS_LIMIT,
		 s->counters_bytes % HAVEN_CACHE_LINE == 0},
	};

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(field); i++) {
		*value = field[i].value;
		*limit = field[i].limit;
		if (*value == 0 || *value > *limit || !field[i].good)
			return field[i].name;
	}
	return NULL;
}

static void take_default(uint32_t *field, uint32_t value)
{
	if (*field == 0)
		*field = value;
}

void registry_shape_parts(const struct registry_shape *s, struct registry_part out[REGISTRY_PARTS])
{
	const uint64_t object = sizeof(struct registry_hot) + sizeof(struct registry_cold);
	const struct registry_part part[REGISTRY_PARTS] = {
		{"components", s->components,
		 s->components * (object + sizeof(uint32_t)) +
			 buckets_for(s->components) * sizeof(struct registry_bucket)},
		{"spare", s->spare, s->spare * object},
		{"gates", s->gates, s->gates * sizeof(struct registry_gate)},
		{"lanes", s->lanes,
		 s->lanes * (sizeof(struct registry_lane) + sizeof(struct registry_checkpoint))},
		{"clients", s->clients, s->clients * sizeof(struct registry_client)},
		{"events", s->events, event_ring_bytes(s->events)},
		{"changes", s->changes, registry_watch_bytes(s->changes)},
		{"counters", s->counters_bytes, s->counters_bytes},
	};

	memcpy(out, part, sizeof(part));
}

unsigned registry_shape_largest(const struct registry_part part[REGISTRY_PARTS])
{
	unsigned most = 0;

	for (unsigned i = 1; i < REGISTRY_PARTS; i++) {
		if (part[i].bytes > part[most].bytes)
			most = i;
	}
	return most;
}

int registry_shape_check(struct registry_shape *shape, uint64_t *bytes, struct error_text *error)
{
	uint32_t value, limit;
	const char *bad;

	take_default(&shape->components, COMPONENTS_DEFAULT);
	take_default(&shape->spare, SPARE_DEFAULT(shape->components));
	take_default(&shape->gates, GATES_DEFAULT);
	take_default(&shape->lanes, LANES_DEFAULT);
	take_default(&shape->clients, CLIENTS_DEFAULT);
	take_default(&shape->events, RING_DEFAULT);
	take_default(&shape->changes, RING_DEFAULT);
	take_default(&shape->counters_bytes, COUNTERS_DEFAULT);
	bad = shape_refusal(shape, &value, &limit);
	if (bad)
		return error_set(error, HAVEN_EINVAL,
				 "registry: %s is %u; it must be from 1 to %u, events and changes "
				 "a power of two, counters_bytes a multiple of %d",
				 bad, value, limit, HAVEN_CACHE_LINE);
	*bytes = registry_layout(shape).size_bytes;
	return 0;
}

static uint64_t section(uint64_t *end, uint64_t bytes)
{
	uint64_t at = *end;

	*end = (at + bytes + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
	return at;
}

struct registry_header registry_layout(const struct registry_shape *shape)
{
	struct registry_header h = {.layout_version = REGISTRY_LAYOUT_VERSION,
				    .header_bytes = sizeof(h),
				    .buckets = buckets_for(shape->components),
				    .shape = *shape};
	uint64_t objects = (uint64_t)shape->components + shape->spare, end = 0;

	section(&end, sizeof(h));
	h.status_offset = section(&end, sizeof(struct registry_status));
	h.gates_offset = section(&end, shape->gates * sizeof(struct registry_gate));
	h.lanes_offset = section(&end, shape->lanes * sizeof(struct registry_lane));
	h.checkpoints_offset = section(&end, shape->lanes * sizeof(struct registry_checkpoint));
	h.clients_offset = section(&end, shape->clients * sizeof(struct registry_client));
	h.index_offset = section(&end, h.buckets * sizeof(struct registry_bucket));
	h.directory_offset = section(&end, shape->components * sizeof(uint32_t));
	h.events_offset = section(&end, event_ring_bytes(shape->events));
	h.changes_offset = section(&end, registry_watch_bytes(shape->changes));
	h.counters_offset = section(&end, shape->counters_bytes);
	h.hot_offset = section(&end, objects * sizeof(struct registry_hot));
	h.cold_offset = section(&end, objects * sizeof(struct registry_cold));
	h.size_bytes = end;
	return h;
}

bool registry_layout_fits(const struct registry_header *h, uint64_t bytes)
{
	const struct registry_shape *s = &h->shape;
	uint64_t objects = (uint64_t)s->components + s->spare;
	const struct {
		uint64_t offset, bytes;
	} section[] = {
		{h->status_offset, sizeof(struct registry_status)},
		{h->gates_offset, s->gates * sizeof(struct registry_gate)},
		{h->lanes_offset, s->lanes * sizeof(struct registry_lane)},
		{h->checkpoints_offset, s->lanes * sizeof(struct registry_checkpoint)},
		{h->clients_offset, s->clients * sizeof(struct registry_client)},
		{h->index_offset, h->buckets * sizeof(struct registry_bucket)},
		{h->directory_offset, s->components * sizeof(uint32_t)},
		{h->events_offset, event_ring_bytes(s->events)},
		{h->changes_offset, registry_watch_bytes(s->changes)},
		{h->counters_offset, s->counters_bytes},
		{h->hot_offset, objects * sizeof(struct registry_hot)},
		{h->cold_offset, objects * sizeof(struct registry_cold)},
	};
	uint32_t value, limit;

	if (shape_refusal(s, &value, &limit) || !is_power_of_two(h->buckets))
		return false;
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(section); i++) {
		if (section[i].offset % HAVEN_CACHE_LINE != 0 || section[i].offset < sizeof(*h) ||
		    section[i].offset > bytes || section[i].bytes > bytes - section[i].offset)
			return false;
	}
	return true;
}
