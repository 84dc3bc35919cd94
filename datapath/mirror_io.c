/* SPDX-License-Identifier: BSD-3-Clause */
#include "mirror_io.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "hash.h"
#include "mirror_record.h"

#define FLOOR_BYTES 8u
/** Looks at an entry that changes under us. */
#define ENTRY_TRIES 16
HAVEN_STATIC_ASSERT(RECORD_HEAD_BYTES + 1 > FLOOR_BYTES, "a floor fits where an entry is left out");

uint32_t mirror_io_record_bytes(const struct table_geometry *g)
{
	return RECORD_HEAD_BYTES + g->shape.key_bytes + g->shape.value_bytes;
}

uint32_t mirror_io_shape_digest(const struct table_shape *s)
{
	uint8_t data[HAVEN_NAME_MAX + 24] = {0};
	struct bytes_writer w = bytes_writer_init(data, sizeof(data));

	bytes_put_u32(&w, s->key_bytes);
	bytes_put_u32(&w, s->value_bytes);
	bytes_put_u32(&w, s->lanes);
	bytes_put_u32(&w, s->capacity);
	bytes_put_u32(&w, s->kind);
	bytes_put_u32(&w, s->mode);
	bytes_put(&w, s->name, strnlen(s->name, sizeof(s->name)));
	return (uint32_t)hash_bytes(data, sizeof(data), TABLE_MAGIC);
}

static void record_put(struct bytes_writer *w, uint64_t seq, uint8_t op, uint8_t flags,
		       const void *data, size_t data_bytes)
{
	bytes_put_u64(w, seq);
	bytes_put_u8(w, op);
	bytes_put_u8(w, flags);
	bytes_put(w, data, data_bytes);
}

int mirror_io_fill_records(const struct table *t, unsigned lane, uint64_t first, uint32_t count,
			   uint8_t *out, size_t room)
{
	const struct table_geometry *g = &t->geometry;
	uint64_t slot[(sizeof(struct table_record) + TABLE_KEY_MAX + TABLE_VALUE_MAX) / 8];
	struct table_record *record = (struct table_record *)slot;
	struct bytes_writer w = bytes_writer_init(out, room);

	if ((uint64_t)count * mirror_io_record_bytes(g) > room)
		return -HAVEN_ESIZE;
	for (uint32_t i = 0; i < count; i++) {
		int status = table_read_record(t, lane, first + i, record);

		if (status)
			return status;
		record_put(&w, record->seq, (uint8_t)record->op, (uint8_t)record->flags,
			   record->data, g->shape.key_bytes + g->shape.value_bytes);
	}
	return (int)w.used;
}

/**
 * Look at one entry. 0: `*seq` and `data` are its live content. -ENOENT: free, freed by `*seq`.
 * When it will not stand still, `*seq` is the number of the record that is being written: at the
 * last look the entry was changing or had just changed, so that no later record is in it than the
 * one the writer is at now.
 */
static int entry_look(const struct table *t, unsigned lane, uint32_t index, uint64_t *seq,
		      void *data)
{
	int status = -HAVEN_EAGAIN;

	for (int i = 0; i < ENTRY_TRIES && status == -HAVEN_EAGAIN; i++)
		status = table_read_entry(t, lane, index, seq, data);
	if (status == -HAVEN_EAGAIN)
		*seq = table_next(t, lane);
	return status;
}

int mirror_io_fill_entries(const struct table *t, unsigned lane, uint32_t first, uint32_t count,
			   uint8_t *out, size_t room)
{
	const struct table_shape *shape = &t->geometry.shape;
	uint64_t data[(TABLE_KEY_MAX + TABLE_VALUE_MAX) / 8];
	uint64_t committed = table_committed(t, lane);
	uint64_t end = table_scan_end(t, lane), floor = 0, shown = 0;
	struct bytes_writer w = bytes_writer_init(out, room);

	if ((uint64_t)count * mirror_io_record_bytes(&t->geometry) > room)
		return -HAVEN_ESIZE;
	if (end > (uint64_t)first + count)
		end = (uint64_t)first + count;
	for (uint64_t i = first; i < end; i++) {
		uint64_t seq;
		int status = entry_look(t, lane, (uint32_t)i, &seq, data);

		/* What is written without a record is not followed by one that would make good. */
		if (status == -HAVEN_EAGAIN && shape->mode == TABLE_MODE_DIRTY)
			return status;
		if (status == 0 && seq <= committed) {
			record_put(&w, seq, TABLE_OP_PUT, 0, data,
				   shape->key_bytes + shape->value_bytes);
			shown = seq > shown ? seq : shown;
		}
		floor = seq > floor ? seq : floor;
	}
	/* What raised the floor above the entries shown was left out: its room holds the floor. */
	if (floor > shown)
		bytes_put_u64(&w, floor);
	return (int)w.used;
}

int mirror_stage_init(struct mirror_stage *s, const struct table_geometry *g)
{
	memset(s, 0, sizeof(*s));
	s->record_bytes = mirror_io_record_bytes(g);
	s->records = calloc(TABLE_COMMIT_RECORDS_MAX, s->record_bytes);
	return s->records ? 0 : -HAVEN_ENOMEM;
}

void mirror_stage_free(struct mirror_stage *s)
{
	free(s->records);
	free(s->log);
	memset(s, 0, sizeof(*s));
}

void mirror_io_reset(struct table *t, unsigned lane, struct mirror_stage *s, uint64_t committed_seq)
{
	table_lane_clear(t, lane, committed_seq);
	s->n = 0;
	s->applied = s->in_table = committed_seq;
	s->floor = 0;
}

static struct wire_record staged_record(const struct mirror_stage *s, uint32_t i,
					const struct table_shape *shape)
{
	struct bytes_reader r =
		bytes_reader_init(s->records + (size_t)i * s->record_bytes, s->record_bytes);

	return record_get(&r, shape);
}

/** Is the key there once the staged records before `i` are applied? */
static bool key_present(const struct table *t, unsigned lane, const struct mirror_stage *s,
			uint32_t i, const uint8_t *key)
{
	const struct table_shape *shape = &t->geometry.shape;
	uint8_t value[TABLE_VALUE_MAX];

	while (i-- > 0) {
		struct wire_record earlier = staged_record(s, i, shape);

		if (memcmp(earlier.key, key, shape->key_bytes) == 0)
			return earlier.op == TABLE_OP_PUT;
	}
	return table_get(t, lane, key, value) == 0;
}

/** Would every record of the staged commit find a place? Looks closely only when it is tight. */
static bool commit_fits(const struct table *t, unsigned lane, const struct mirror_stage *s)
{
	const struct table_shape *shape = &t->geometry.shape;
	uint32_t live = table_live(t, lane), most = t->geometry.lane_entries;

	if (most - live >= s->n)
		return true;
	for (uint32_t i = 0; i < s->n; i++) {
		struct wire_record record = staged_record(s, i, shape);
		bool present = key_present(t, lane, s, i, record.key);

		if (record.op == TABLE_OP_DELETE && present && live)
			live--;
		else if (record.op == TABLE_OP_PUT && !present && live++ == most)
			return false;
	}
	return true;
}

/** The staged commit is complete: apply it, all or nothing. */
static int commit_apply(struct table *t, unsigned lane, struct mirror_stage *s)
{
	uint32_t n = s->n;
	uint64_t last = s->applied + n;

	s->n = 0; /* whatever happens: a resend starts this commit again */
	for (uint32_t i = 0; i < n; i++) {
		struct wire_record record = staged_record(s, i, &t->geometry.shape);
		int status = table_apply(t, lane, (enum table_op)record.op, record.seq, record.key,
					 record.value);

		if (status)
			return status;
	}
	s->applied = s->in_table = last;
	table_applied(t, lane, last);
	return 0;
}

/** Look through all records of a payload before anything is done with it. */
static int records_check(const struct table *t, unsigned lane, const struct mirror_stage *s,
			 const uint8_t *payload, size_t bytes)
{
	struct bytes_reader r = bytes_reader_init(payload, bytes);
	uint64_t expected = s->applied + s->n + 1, before = 0;
	uint32_t staged = s->n;

	if (bytes == 0 || bytes % s->record_bytes)
		return -HAVEN_ECORRUPT;
	while (r.left) {
		struct wire_record record = record_get(&r, &t->geometry.shape);

		if (record.seq == 0 || (before && record.seq != before + 1) ||
		    record.seq > expected || (record.flags & ~TABLE_RECORD_COMMIT) ||
		    !table_takes(t, lane, (enum table_op)record.op, record.key))
			return -HAVEN_ECORRUPT;
		before = record.seq;
		if (record.seq < expected)
			continue;
		expected++;
		if (++staged > TABLE_COMMIT_RECORDS_MAX)
			return -HAVEN_ECORRUPT;
		if (record.flags & TABLE_RECORD_COMMIT)
			staged = 0;
	}
	return 0;
}

/** The staged commit is complete: keep it, or apply it behind all that is kept. */
static int commit_take(struct table *t, unsigned lane, struct mirror_stage *s)
{
	int status;

	/* A kept one fits when its turn comes: the holder's did, with the same content. */
	if (s->n <= s->log_records)
		return mirror_stage_store(t, lane, s);
	status = mirror_io_drain(t, lane, s, UINT64_MAX);
	if (!status && commit_fits(t, lane, s))
		return commit_apply(t, lane, s);
	s->n = 0;
	return status ? status : -HAVEN_EFULL;
}

static int records_apply(struct table *t, unsigned lane, struct mirror_stage *s,
			 const uint8_t *payload, size_t bytes)
{
	int status = records_check(t, lane, s, payload, bytes);

	for (size_t at = 0; !status && at < bytes; at += s->record_bytes) {
		struct bytes_reader r = bytes_reader_init(payload + at, s->record_bytes);
		struct wire_record record = record_get(&r, &t->geometry.shape);

		if (record.seq <= s->applied + s->n)
			continue;
		memcpy(s->records + (size_t)s->n * s->record_bytes, payload + at, s->record_bytes);
		s->n++;
		if (!(record.flags & TABLE_RECORD_COMMIT))
			continue;
		status = commit_take(t, lane, s);
	}
	return status;
}

static int entries_check(const struct table *t, unsigned lane, const struct mirror_stage *s,
			 const uint8_t *payload, size_t bytes)
{
	struct bytes_reader r = bytes_reader_init(payload, bytes);

	if (bytes % s->record_bytes != 0 && bytes % s->record_bytes != FLOOR_BYTES)
		return -HAVEN_ECORRUPT;
	while (r.left >= s->record_bytes) {
		struct wire_record record = record_get(&r, &t->geometry.shape);

		if (record.seq == 0 || record.op != TABLE_OP_PUT || record.flags ||
		    !table_takes(t, lane, TABLE_OP_PUT, record.key))
			return -HAVEN_ECORRUPT;
	}
	return 0;
}

static int entries_apply(struct table *t, unsigned lane, struct mirror_stage *s,
			 const uint8_t *payload, size_t bytes)
{
	struct bytes_reader r = bytes_reader_init(payload, bytes);
	int status = entries_check(t, lane, s, payload, bytes);
	uint64_t floor = 0;

	/* An entry may need the place that a kept deletion has yet to free. */
	if (!status)
		status = mirror_io_drain(t, lane, s, UINT64_MAX);

	while (!status && r.left >= s->record_bytes) {
		struct wire_record record = record_get(&r, &t->geometry.shape);

		if (record.seq <= s->applied)
			status = table_apply(t, lane, TABLE_OP_PUT, record.seq, record.key,
					     record.value);
		floor = record.seq > floor ? record.seq : floor;
	}
	if (!status && r.left) {
		uint64_t told = bytes_get_u64(&r);

		floor = told > floor ? told : floor;
	}
	if (!status && floor > s->floor)
		s->floor = floor;
	return status;
}

int mirror_io_apply(struct table *t, unsigned lane, struct mirror_stage *s, enum mirror_kind kind,
		    const uint8_t *payload, size_t bytes, uint64_t *applied_seq)
{
	int status = -HAVEN_EINVAL;

	switch (kind) {
	case MIRROR_RECORDS:
		status = records_apply(t, lane, s, payload, bytes);
		break;
	case MIRROR_ENTRIES:
		status = entries_apply(t, lane, s, payload, bytes);
		break;
	case MIRROR_START:
	case MIRROR_END:
		status = 0;
		break;
	}
	*applied_seq = s->applied;
	if (s->applied && s->applied < s->floor)
		*applied_seq = s->applied - 1;
	return status;
}
