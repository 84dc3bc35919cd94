/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a snapshot: a file of any content. Nothing in it is believed before its CRC was found
 * right, and nothing after that before it was compared with what it can be.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "snapshot_inner.h"

static int corrupt(const struct snapshot *s, const char *what, struct error_text *error)
{
	return error_set(error, HAVEN_ECORRUPT, "%s is damaged: %s", s->what, what);
}

/* All of them, from `offset`. */
static int read_all(struct snapshot *s, uint64_t offset, uint8_t *to, size_t bytes,
		    struct error_text *error)
{
	while (bytes) {
		ssize_t n = pread(s->fd, to, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(error, HAVEN_ESYS, "%s cannot be read: %s", s->what,
					 strerror(errno));
		if (n == 0)
			return error_set(error, HAVEN_ESIZE,
					 "%s is cut short: it ends at byte %llu", s->what,
					 (unsigned long long)offset);
		to += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static void text_get(struct bytes_reader *r, char text[HAVEN_NAME_MAX])
{
	bytes_get(r, text, HAVEN_NAME_MAX);
	text[HAVEN_NAME_MAX - 1] = '\0';
}

/* What follows magic, version and size of the head. */
static void head_get(struct bytes_reader *r, struct snapshot_head *h)
{
	struct table_shape *s = &h->shape;

	h->total_bytes = bytes_get_u64(r);
	h->entries = bytes_get_u64(r);
	h->blocks = bytes_get_u32(r);
	h->data_crc = bytes_get_u32(r);
	h->origin.taken_wall_ns = bytes_get_u64(r);
	h->origin.epoch = bytes_get_u64(r);
	h->origin.format = bytes_get_u32(r);
	s->key_bytes = bytes_get_u32(r);
	s->value_bytes = bytes_get_u32(r);
	s->capacity = bytes_get_u32(r);
	s->lanes = bytes_get_u32(r);
	s->lane_records = bytes_get_u32(r);
	s->kind = bytes_get_u32(r);
	s->mode = bytes_get_u32(r);
	text_get(r, s->name);
	text_get(r, h->origin.cluster);
	text_get(r, h->origin.node);
	text_get(r, h->origin.component);
	text_get(r, h->origin.instance);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		h->lane[i].from = bytes_get_u64(r);
		h->lane[i].to = bytes_get_u64(r);
		h->lane[i].entries = bytes_get_u64(r);
	}
}

static int head_check(struct snapshot *s, const uint8_t raw[SNAPSHOT_HEAD_BYTES], uint64_t bytes,
		      struct error_text *error)
{
	struct bytes_reader r = bytes_reader_init(raw, SNAPSHOT_HEAD_BYTES);
	struct bytes_reader end =
		bytes_reader_init(raw + SNAPSHOT_HEAD_BYTES - sizeof(uint32_t), sizeof(uint32_t));
	struct error_text why;
	uint32_t version;

	if (bytes_get_u64(&r) != SNAPSHOT_MAGIC)
		return error_set(error, HAVEN_ECORRUPT, "%s is no snapshot of a checkpoint",
				 s->what);
	version = bytes_get_u32(&r);
	if (version != SNAPSHOT_VERSION)
		return error_set(error, HAVEN_EVERSION,
				 "%s is of version %u, this program knows %u; use the program that "
				 "made it",
				 s->what, version, SNAPSHOT_VERSION);
	if (bytes_get_u32(&r) != SNAPSHOT_HEAD_BYTES ||
	    bytes_get_u32(&end) != crc32c(0, raw, SNAPSHOT_HEAD_BYTES - sizeof(uint32_t)))
		return corrupt(s, "the CRC of its head is wrong", error);
	head_get(&r, &s->head);
	if (s->head.total_bytes != bytes)
		return error_set(error, HAVEN_ESIZE,
				 "%s is cut short or was added to: it has %llu bytes of %llu",
				 s->what, (unsigned long long)bytes,
				 (unsigned long long)s->head.total_bytes);
	if (table_geometry_make(&s->head.shape, &s->geometry, &why) != 0)
		return corrupt(s, why.text, error);
	return 0;
}

int snapshot_open(struct snapshot *s, int fd, const char *what, struct error_text *error)
{
	uint8_t raw[SNAPSHOT_HEAD_BYTES] = {0};
	struct stat st;
	ssize_t n;
	int status;

	*s = (struct snapshot){.fd = fd, .offset = SNAPSHOT_HEAD_BYTES};
	snprintf(s->what, sizeof(s->what), "%s", what);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return error_set(error, HAVEN_EINVAL, "%s is no file", s->what);
	n = pread(fd, raw, sizeof(raw), 0);
	if (n < 0)
		return error_set(error, HAVEN_ESYS, "%s cannot be read: %s", s->what,
				 strerror(errno));
	if (n < (ssize_t)sizeof(raw) && n >= (ssize_t)sizeof(uint64_t) &&
	    memcmp(raw, &(uint64_t){htole64(SNAPSHOT_MAGIC)}, sizeof(uint64_t)) == 0)
		return error_set(error, HAVEN_ESIZE, "%s is cut short: it has %zd bytes", s->what,
				 n);
	status = head_check(s, raw, (uint64_t)st.st_size, error);
	if (status)
		return status;
	s->block = malloc(SNAPSHOT_BLOCK_HEAD_BYTES + SNAPSHOT_BLOCK_BYTES);
	return s->block ? 0 : error_set(error, HAVEN_ENOMEM, "no memory to read %s", s->what);
}

static int end_check(const struct snapshot *s, struct error_text *error)
{
	uint64_t sum = 0;

	if (s->offset != s->head.total_bytes)
		return corrupt(s, "something follows its last block", error);
	if (s->crc != s->head.data_crc)
		return corrupt(s, "the CRC of its blocks together is wrong", error);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		if (s->entries[i] != s->head.lane[i].entries)
			return corrupt(s, "a lane has more or fewer entries than it says", error);
		sum += s->entries[i];
	}
	return sum == s->head.entries
		       ? 0
		       : corrupt(s, "it has more or fewer entries than it says", error);
}

/* Blocks of a region belong to certain lanes; any key may be a table's. */
static int keys_check(const struct snapshot *s, const struct snapshot_entries *e,
		      struct error_text *error)
{
	const struct table_shape *shape = &s->head.shape;
	uint64_t first = (uint64_t)e->lane * s->geometry.lane_entries;

	for (uint32_t i = 0; shape->kind == TABLE_REGION && i < e->n; i++) {
		struct bytes_reader r = bytes_reader_init(
			e->data + (size_t)i * snapshot_stride(shape), sizeof(uint32_t));
		uint32_t block = bytes_get_u32(&r);

		if (block < first || block - first >= table_geometry_room(&s->geometry, e->lane))
			return corrupt(s, "a block is not one of its lane", error);
	}
	return 0;
}

int snapshot_next(struct snapshot *s, struct snapshot_entries *out, struct error_text *error)
{
	uint8_t *head = s->block, *data = head + SNAPSHOT_BLOCK_HEAD_BYTES;
	struct bytes_reader r = bytes_reader_init(head, SNAPSHOT_BLOCK_HEAD_BYTES);
	uint32_t bytes, crc;
	int status;

	if (s->blocks == s->head.blocks)
		return end_check(s, error);
	status = read_all(s, s->offset, head, SNAPSHOT_BLOCK_HEAD_BYTES, error);
	if (status)
		return status;
	*out = (struct snapshot_entries){.lane = bytes_get_u32(&r), .data = data};
	out->n = bytes_get_u32(&r);
	bytes = bytes_get_u32(&r);
	crc = bytes_get_u32(&r);
	if (out->lane >= s->head.shape.lanes || out->n == 0 ||
	    out->n > snapshot_block_entries(&s->head.shape) ||
	    bytes != out->n * snapshot_stride(&s->head.shape))
		return corrupt(s, "the head of a block is impossible", error);
	status = read_all(s, s->offset + SNAPSHOT_BLOCK_HEAD_BYTES, data, bytes, error);
	if (status)
		return status;
	if (crc != crc32c(crc32c(0, head, SNAPSHOT_BLOCK_COVERED), data, bytes))
		return corrupt(s, "the CRC of a block is wrong", error);
	bytes += SNAPSHOT_BLOCK_HEAD_BYTES;
	s->crc = crc32c(s->crc, head, bytes);
	s->offset += bytes;
	s->blocks++;
	s->entries[out->lane] += out->n;
	status = keys_check(s, out, error);
	return status ? status : 1;
}

void snapshot_close(struct snapshot *s)
{
	free(s->block);
	s->block = NULL;
}

int snapshot_fits(const struct snapshot_head *head, const struct table_shape *shape,
		  struct error_text *error)
{
	const struct table_shape *s = &head->shape;
	const struct {
		const char *what;
		uint32_t file, here;
	} same[] = {
		{"kind", s->kind, shape->kind},
		{"key size", s->key_bytes, shape->key_bytes},
		{"value size", s->value_bytes, shape->value_bytes},
		{"number of lanes", s->lanes, shape->lanes},
		{"number of blocks", s->kind == TABLE_REGION ? s->capacity : 0,
		 shape->kind == TABLE_REGION ? shape->capacity : 0},
	};
	struct table_geometry g;

	if (strcmp(s->name, shape->name) != 0)
		return error_set(error, HAVEN_EINVAL, "the snapshot is of checkpoint %s, not of %s",
				 s->name, shape->name);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(same); i++) {
		if (same[i].file != same[i].here)
			return error_set(
				error, HAVEN_EINVAL,
				"the %s of the snapshot is %u, that of checkpoint %s is %u",
				same[i].what, same[i].file, shape->name, same[i].here);
	}
	if (table_geometry_make(shape, &g, error) != 0)
		return -HAVEN_EINVAL;
	for (unsigned lane = 0; lane < shape->lanes; lane++) {
		if (head->lane[lane].entries > table_geometry_room(&g, lane))
			return error_set(error, HAVEN_EINVAL,
					 "the snapshot has %llu entries in lane %u, checkpoint %s "
					 "has room for %u",
					 (unsigned long long)head->lane[lane].entries, lane,
					 shape->name, table_geometry_room(&g, lane));
	}
	return 0;
}
