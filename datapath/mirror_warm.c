/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of a warm standby: whole commits that wait to be applied. */
#include <stdlib.h>
#include <string.h>

#include "mirror_io.h"
#include "mirror_record.h"

int mirror_stage_keep(struct mirror_stage *s, uint32_t records)
{
	size_t bytes = ((size_t)records * s->record_bytes + 63) / 64 * 64;

	s->log = aligned_alloc(64, bytes);
	if (!s->log)
		return -HAVEN_ENOMEM;
	/* Pages that are there cost the poll loop nothing when it writes them. */
	memset(s->log, 0, bytes);
	s->log_records = records;
	return 0;
}

static uint8_t *log_slot(const struct mirror_stage *s, uint64_t seq)
{
	return s->log + seq % s->log_records * s->record_bytes;
}

/* The commit that follows what is applied. */
static int log_apply_commit(struct table *t, unsigned lane, struct mirror_stage *s)
{
	const struct table_shape *shape = &t->geometry.shape;

	for (uint64_t seq = s->in_table + 1; seq <= s->applied; seq++) {
		struct bytes_reader r = bytes_reader_init(log_slot(s, seq), s->record_bytes);
		struct wire_record record = record_get(&r, shape);
		int status = table_apply(t, lane, (enum table_op)record.op, seq, record.key,
					 record.value);

		if (status)
			return status;
		if (!(record.flags & TABLE_RECORD_COMMIT))
			continue;
		s->in_table = seq;
		table_applied(t, lane, seq);
		return 0;
	}
	return -HAVEN_ECORRUPT; /* only whole commits are kept */
}

int mirror_io_drain(struct table *t, unsigned lane, struct mirror_stage *s, uint64_t records)
{
	uint64_t from = s->in_table;
	int status = 0;

	while (!status && s->in_table < s->applied && s->in_table - from < records)
		status = log_apply_commit(t, lane, s);
	return status;
}

int mirror_stage_store(struct table *t, unsigned lane, struct mirror_stage *s)
{
	int status = 0;

	while (!status && s->log_records - mirror_stage_waiting(s) < s->n)
		status = mirror_io_drain(t, lane, s, s->n);
	if (status)
		return status;
	for (uint32_t i = 0; i < s->n; i++)
		memcpy(log_slot(s, s->applied + 1 + i), s->records + (size_t)i * s->record_bytes,
		       s->record_bytes);
	s->applied += s->n;
	s->n = 0;
	/* A table that is not whole can neither serve nor be compared: nothing waits before. */
	return s->in_table < s->floor ? mirror_io_drain(t, lane, s, UINT64_MAX) : 0;
}
