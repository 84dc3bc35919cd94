/* SPDX-License-Identifier: BSD-3-Clause */
/** Wire form of a record, as mirror_io.h describes it: what its files share. */
#ifndef HAVEN_MIRROR_RECORD_H
#define HAVEN_MIRROR_RECORD_H

#include "bytes.h"
#include "table.h"

#define RECORD_HEAD_BYTES 10u

struct wire_record {
	uint64_t seq;
	uint8_t op, flags;
	const uint8_t *key, *value;
};

static inline struct wire_record record_get(struct bytes_reader *r, const struct table_shape *shape)
{
	struct wire_record record = {0};

	record.seq = bytes_get_u64(r);
	record.op = bytes_get_u8(r);
	record.flags = bytes_get_u8(r);
	record.key = bytes_take(r, shape->key_bytes);
	record.value = bytes_take(r, shape->value_bytes);
	return record;
}

#endif
