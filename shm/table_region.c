/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes of a region: what they are in blocks and lanes.
 */
#include <endian.h>
#include <string.h>

#include "table.h"
#include "table_place.h"
#include "words.h"

void table_region_span(const struct table *t, unsigned lane, uint64_t *offset, uint64_t *bytes)
{
	uint64_t block_bytes = t->geometry.shape.value_bytes;
	struct table_place p;

	*offset = *bytes = 0;
	if (lane >= t->geometry.shape.lanes || !table_is_region(t))
		return;
	p = table_place(t, lane);
	*bytes = p.blocks * block_bytes;
	if (*bytes)
		*offset = p.block_first * block_bytes;
}

bool table_takes(const struct table *t, unsigned lane, enum table_op op, const void *key)
{
	struct table_place p;

	if (!table_is_region(t))
		return op == TABLE_OP_PUT || op == TABLE_OP_DELETE;
	p = table_place(t, lane);
	return op == TABLE_OP_PUT && table_place_block(&p, key) != 0;
}

/** The part of a run of bytes that lies in one block. */
struct part {
	uint64_t block;
	uint32_t at, bytes;
};

static struct part part_of(const struct table *t, uint64_t offset, uint64_t n)
{
	uint32_t block_bytes = t->geometry.shape.value_bytes;
	struct part part = {.block = offset / block_bytes, .at = (uint32_t)(offset % block_bytes)};

	part.bytes = block_bytes - part.at;
	if (n < part.bytes)
		part.bytes = (uint32_t)n;
	return part;
}

/** The block as its only writer left it; zeros if it never was written. */
static void block_copy(const struct table_place *p, const void *key, uint8_t *out)
{
	const struct table_entry *e = table_place_entry(p, table_place_block(p, key));

	memset(out, 0, p->g->shape.value_bytes);
	if (load_relaxed(&e->seq))
		bytes_load(out, e->data + p->g->shape.key_bytes, p->g->shape.value_bytes);
}

/** Records that a write of the lane's bytes takes. In mode DIRTY: blocks never written before. */
static uint64_t blocks_to_log(const struct table *t, const struct table_place *p, uint64_t offset,
			      uint64_t n)
{
	uint64_t block_bytes = t->geometry.shape.value_bytes;
	uint64_t first = offset / block_bytes - p->block_first, fresh = 0;
	uint64_t blocks = n ? (offset % block_bytes + n + block_bytes - 1) / block_bytes : 0;

	if (!table_is_dirty(t))
		return blocks;
	for (uint64_t i = 0; i < blocks; i++)
		fresh += load_relaxed(&table_place_entry(p, (uint32_t)(first + i) + 1)->seq) == 0;
	return fresh;
}

int table_region_write(struct table *t, unsigned lane, uint64_t offset, const void *bytes,
		       uint64_t n, uint64_t consumed_seq)
{
	uint8_t block[TABLE_VALUE_MAX];
	uint64_t first, most;
	const uint8_t *from = bytes;
	struct table_place p;

	table_region_span(t, lane, &first, &most);
	if (most == 0 || offset < first || offset - first > most || n > most - (offset - first))
		return -HAVEN_EINVAL;
	p = table_place(t, lane);
	if (blocks_to_log(t, &p, offset, n) > table_room(t, lane, consumed_seq))
		return -HAVEN_EFULL;
	while (n) {
		struct part part = part_of(t, offset, n);
		uint32_t key = htole32((uint32_t)part.block);
		int status;

		block_copy(&p, &key, block);
		memcpy(block + part.at, from, part.bytes);
		status = table_put(t, lane, &key, block, consumed_seq);
		HAVEN_ASSERT(status == 0); /* lane, key and room were looked at */
		offset += part.bytes;
		from += part.bytes;
		n -= part.bytes;
	}
	return 0;
}

int table_region_read(const struct table *t, uint64_t offset, void *out, uint64_t n)
{
	const struct table_shape *shape = &t->geometry.shape;
	uint64_t most = (uint64_t)shape->capacity * shape->value_bytes;
	uint8_t block[TABLE_VALUE_MAX];
	uint8_t *to = out;

	if (!table_is_region(t) || offset > most || n > most - offset)
		return -HAVEN_EINVAL;
	while (n) {
		struct part part = part_of(t, offset, n);
		uint32_t key = htole32((uint32_t)part.block);
		unsigned lane = (unsigned)(part.block / t->geometry.lane_entries);
		int status = table_get(t, lane, &key, block);

		if (status == -HAVEN_ENOENT)
			memset(block, 0, shape->value_bytes);
		else if (status)
			return status;
		memcpy(to, block + part.at, part.bytes);
		offset += part.bytes;
		to += part.bytes;
		n -= part.bytes;
	}
	return 0;
}
