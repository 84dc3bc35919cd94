/* SPDX-License-Identifier: BSD-3-Clause */
/** What the writing and the reading of snapshot files share. */
#ifndef HAVEN_SNAPSHOT_INNER_H
#define HAVEN_SNAPSHOT_INNER_H

#include "bytes.h"
#include "snapshot.h"

/** Bytes of the block head that its CRC covers. */
#define SNAPSHOT_BLOCK_COVERED 12u

static inline uint32_t snapshot_stride(const struct table_shape *s)
{
	return s->key_bytes + s->value_bytes;
}

/** Most entries of one block. */
static inline uint32_t snapshot_block_entries(const struct table_shape *s)
{
	return SNAPSHOT_BLOCK_BYTES / snapshot_stride(s);
}

/** Its bytes in the file, CRC included. */
void snapshot_head_put(const struct snapshot_head *head, uint8_t out[SNAPSHOT_HEAD_BYTES]);

#endif
