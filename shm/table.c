/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Geometry, creation, mapping, and the lane's one writer.
 *
 * The writer runs in the application (primary) and in the node (replica). In the node the segment
 * is hostile: every index is loaded once, checked against the geometry and only then used; a
 * contradiction is ECORRUPT and changes nothing more. In both, a refusal is decided before the
 * first store.
 */
#include "table.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "segment.h"
#include "table_place.h"

#define LANE_RECORDS_MIN 64u
#define LANE_RECORDS_MAX (1u << 20)

static uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static uint32_t power_of_two_from(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

static int shape_check(const struct table_shape *s, struct error_text *error)
{
	if (s->name[0] == 0 || !memchr(s->name, 0, sizeof(s->name)))
		return error_set(error, HAVEN_EINVAL, "table name: must have 1 to %d bytes",
				 HAVEN_NAME_MAX - 1);
	if (s->kind >= TABLE_KIND_COUNT)
		return error_set(error, HAVEN_EINVAL, "checkpoint %s: there is no kind %u", s->name,
				 s->kind);
	if (s->mode >= TABLE_MODE_COUNT)
		return error_set(error, HAVEN_EINVAL, "checkpoint %s: there is no mode %u", s->name,
				 s->mode);
	if (s->kind == TABLE_REGION && (s->key_bytes != sizeof(uint32_t) || s->value_bytes == 0 ||
					s->value_bytes % TABLE_BLOCK_UNIT))
		return error_set(error, HAVEN_EINVAL,
				 "region %s: block_bytes %u is not a multiple of %u in %u…%u",
				 s->name, s->value_bytes, TABLE_BLOCK_UNIT, TABLE_BLOCK_UNIT,
				 TABLE_VALUE_MAX);
	if (s->key_bytes < 1 || s->key_bytes > TABLE_KEY_MAX)
		return error_set(error, HAVEN_EINVAL, "table %s: key_bytes %u is not in 1…%u",
				 s->name, s->key_bytes, TABLE_KEY_MAX);
	if (s->value_bytes > TABLE_VALUE_MAX)
		return error_set(error, HAVEN_EINVAL, "table %s: value_bytes %u is not in 0…%u",
				 s->name, s->value_bytes, TABLE_VALUE_MAX);
	if (s->capacity < 1 || s->capacity > TABLE_CAPACITY_MAX)
		return error_set(error, HAVEN_EINVAL, "table %s: capacity %u is not in 1…%u",
				 s->name, s->capacity, TABLE_CAPACITY_MAX);
	if (s->lanes < 1 || s->lanes > HAVEN_WORKERS_MAX)
		return error_set(error, HAVEN_EINVAL, "table %s: lanes %u is not in 1…%u", s->name,
				 s->lanes, HAVEN_WORKERS_MAX);
	if (s->lane_records < LANE_RECORDS_MIN || s->lane_records > LANE_RECORDS_MAX ||
	    (s->lane_records & (s->lane_records - 1)))
		return error_set(error, HAVEN_EINVAL,
				 "table %s: lane_records %u is not a power of two in %u…%u",
				 s->name, s->lane_records, LANE_RECORDS_MIN, LANE_RECORDS_MAX);
	return 0;
}

/** Words of both bitmaps of a lane. */
static uint64_t dirty_words(uint32_t entries)
{
	uint32_t words = table_bit_words(entries);

	return words + table_bit_words(words - 1);
}

int table_geometry_make(const struct table_shape *shape, struct table_geometry *out,
			struct error_text *error)
{
	struct table_geometry g = {.shape = *shape};
	uint32_t data = shape->key_bytes + shape->value_bytes;
	int status = shape_check(shape, error);

	if (status)
		return status;
	memset(g.shape.name, 0, sizeof(g.shape.name));
	memcpy(g.shape.name, shape->name, strlen(shape->name));
	g.record_bytes = (uint32_t)align_up(sizeof(struct table_record) + data, 8);
	g.entry_bytes = (uint32_t)align_up(sizeof(struct table_entry) + data, 8);
	g.lane_entries = (shape->capacity + shape->lanes - 1) / shape->lanes;
	g.lane_heads = shape->kind == TABLE_REGION ? 0 : power_of_two_from(g.lane_entries);
	g.log_offset = align_up(sizeof(struct table_lane_header), TABLE_ALIGN);
	/* One record more: see table_place_spare(). */
	g.heads_offset = align_up(
		g.log_offset + ((uint64_t)shape->lane_records + 1) * g.record_bytes, TABLE_ALIGN);
	g.entries_offset =
		align_up(g.heads_offset + (uint64_t)g.lane_heads * sizeof(uint32_t), TABLE_ALIGN);
	g.dirty_offset =
		align_up(g.entries_offset + (uint64_t)g.lane_entries * g.entry_bytes, TABLE_ALIGN);
	g.lane_bytes = g.dirty_offset;
	if (shape->mode == TABLE_MODE_DIRTY)
		g.lane_bytes +=
			align_up(dirty_words(g.lane_entries) * sizeof(uint64_t), TABLE_ALIGN);
	g.total_bytes = TABLE_LANES_OFFSET + shape->lanes * g.lane_bytes;
	*out = g;
	return 0;
}

/** Format zeroed memory. */
static void format_zeroed(struct table *t, const struct table_geometry *g, void *memory,
			  uint64_t hash_seed)
{
	struct table_header *h = memory;

	*t = (struct table){.geometry = *g, .base = memory, .hash_seed = hash_seed};
	h->layout_version = TABLE_LAYOUT_VERSION;
	h->total_bytes = g->total_bytes;
	h->hash_seed = hash_seed;
	h->shape = g->shape;
	for (unsigned lane = 0; lane < g->shape.lanes; lane++) {
		struct table_place p = table_place(t, lane);

		p.header->next_seq = 1;
		p.header->never_used = 1;
	}
	store_release(&h->magic, TABLE_MAGIC);
}

void table_format(struct table *t, const struct table_geometry *g, void *memory, uint64_t hash_seed)
{
	memset(memory, 0, g->total_bytes);
	format_zeroed(t, g, memory, hash_seed);
}

int table_create(struct table *t, const struct table_shape *shape, int *fd,
		 struct error_text *error)
{
	struct table_geometry g;
	uint64_t seed;
	void *base;
	int status = table_geometry_make(shape, &g, error);

	if (status)
		return status;
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return error_set(error, HAVEN_ESYS, "getrandom gave no seed for the hash");
	status = segment_make(g.shape.name, g.total_bytes, fd, &base, error);
	if (!status)
		format_zeroed(t, &g, base, seed);
	return status;
}

static bool shape_equal(const struct table_shape *a, const struct table_shape *b)
{
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 && a->key_bytes == b->key_bytes &&
	       a->value_bytes == b->value_bytes && a->capacity == b->capacity &&
	       a->lanes == b->lanes && a->lane_records == b->lane_records && a->kind == b->kind &&
	       a->mode == b->mode;
}

static int table_map_as(struct table *t, int fd, const struct table_shape *shape, bool writable,
			struct error_text *error)
{
	struct table_header header;
	struct table_geometry g;
	void *base;
	int status = table_geometry_make(shape, &g, error);

	if (!status)
		status = segment_map(fd, g.total_bytes, writable, "the checkpoint segment", &base,
				     error);
	if (status)
		return status;
	memcpy(&header, base, sizeof(header)); /* once: its owner may change it */
	if (header.magic != TABLE_MAGIC)
		status = error_set(error, HAVEN_ECORRUPT, "checkpoint %s has no magic word",
				   g.shape.name);
	else if (header.layout_version != TABLE_LAYOUT_VERSION)
		status = error_set(error, HAVEN_EVERSION,
				   "checkpoint %s has layout version %u, this node knows %u",
				   g.shape.name, header.layout_version, TABLE_LAYOUT_VERSION);
	else if (!shape_equal(&header.shape, &g.shape) || header.total_bytes != g.total_bytes)
		status = error_set(error, HAVEN_ECORRUPT,
				   "checkpoint %s: the shape in the segment is not the one that "
				   "was registered",
				   g.shape.name);
	if (status) {
		segment_unmap(base, g.total_bytes);
		return status;
	}
	*t = (struct table){.geometry = g, .base = base, .hash_seed = header.hash_seed};
	return 0;
}

int table_map(struct table *t, int fd, const struct table_shape *shape, struct error_text *error)
{
	return table_map_as(t, fd, shape, true, error);
}

int table_map_read(struct table *t, int fd, const struct table_shape *shape,
		   struct error_text *error)
{
	return table_map_as(t, fd, shape, false, error);
}

void table_unmap(struct table *t)
{
	segment_unmap(t->base, t->geometry.total_bytes);
	t->base = NULL;
}
