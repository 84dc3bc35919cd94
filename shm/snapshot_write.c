/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a snapshot. Only reads the table, as any reader of it: its writer never notices.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "crc32c.h"
#include "snapshot_inner.h"

/** The file being made. */
struct sink {
	int fd;
	const char *path; /**< what it will be called */
	char aside[PATH_MAX];
	struct snapshot_head head;
	unsigned lane; /**< of the open block */
	uint32_t n;    /**< entries in the open block */
	uint8_t block[SNAPSHOT_BLOCK_HEAD_BYTES + SNAPSHOT_BLOCK_BYTES];
};

void snapshot_head_put(const struct snapshot_head *head, uint8_t out[SNAPSHOT_HEAD_BYTES])
{
	const struct snapshot_origin *o = &head->origin;
	const struct table_shape *s = &head->shape;
	struct bytes_writer w = bytes_writer_init(out, SNAPSHOT_HEAD_BYTES - sizeof(uint32_t));
	struct bytes_writer end;

	memset(out, 0, SNAPSHOT_HEAD_BYTES);
	bytes_put_u64(&w, SNAPSHOT_MAGIC);
	bytes_put_u32(&w, SNAPSHOT_VERSION);
	bytes_put_u32(&w, SNAPSHOT_HEAD_BYTES);
	bytes_put_u64(&w, head->total_bytes);
	bytes_put_u64(&w, head->entries);
	bytes_put_u32(&w, head->blocks);
	bytes_put_u32(&w, head->data_crc);
	bytes_put_u64(&w, o->taken_wall_ns);
	bytes_put_u64(&w, o->epoch);
	bytes_put_u32(&w, o->format);
	bytes_put_u32(&w, s->key_bytes);
	bytes_put_u32(&w, s->value_bytes);
	bytes_put_u32(&w, s->capacity);
	bytes_put_u32(&w, s->lanes);
	bytes_put_u32(&w, s->lane_records);
	bytes_put_u32(&w, s->kind);
	bytes_put_u32(&w, s->mode);
	bytes_put(&w, s->name, sizeof(s->name));
	bytes_put(&w, o->cluster, sizeof(o->cluster));
	bytes_put(&w, o->node, sizeof(o->node));
	bytes_put(&w, o->component, sizeof(o->component));
	bytes_put(&w, o->instance, sizeof(o->instance));
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		bytes_put_u64(&w, head->lane[i].from);
		bytes_put_u64(&w, head->lane[i].to);
		bytes_put_u64(&w, head->lane[i].entries);
	}
	end = bytes_writer_init(out + w.size, sizeof(uint32_t));
	bytes_put_u32(&end, crc32c(0, out, w.size));
}

/* ---- the file ------------------------------------------------------------------------------- */

static int file_error(const char *path, const char *what, int e, struct error_text *error)
{
	int code = HAVEN_ESYS;

	if (e == ENOSPC || e == EDQUOT || e == EFBIG)
		code = HAVEN_EFULL;
	else if (e == EACCES || e == EPERM || e == EROFS)
		code = HAVEN_EPERM;
	else if (e == ENOENT || e == ENOTDIR)
		code = HAVEN_ENOENT;
	return error_set(error, (enum haven_error)code, "%.120s: %s: %s; nothing was changed", path,
			 what, strerror(e));
}

static int write_all(struct sink *s, const uint8_t *data, size_t bytes, struct error_text *error)
{
	while (bytes) {
		ssize_t n = write(s->fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return file_error(s->path, "cannot be written", n ? errno : ENOSPC, error);
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int block_end(struct sink *s, struct error_text *error)
{
	uint32_t bytes = s->n * snapshot_stride(&s->head.shape);
	struct bytes_writer w = bytes_writer_init(s->block, SNAPSHOT_BLOCK_HEAD_BYTES);
	uint32_t crc;

	if (s->n == 0)
		return 0;
	bytes_put_u32(&w, s->lane);
	bytes_put_u32(&w, s->n);
	bytes_put_u32(&w, bytes);
	crc = crc32c(0, s->block, SNAPSHOT_BLOCK_COVERED);
	bytes_put_u32(&w, crc32c(crc, s->block + SNAPSHOT_BLOCK_HEAD_BYTES, bytes));
	s->n = 0;
	bytes += SNAPSHOT_BLOCK_HEAD_BYTES;
	s->head.data_crc = crc32c(s->head.data_crc, s->block, bytes);
	s->head.total_bytes += bytes;
	s->head.blocks++;
	return write_all(s, s->block, bytes, error);
}

static int sink_open(struct sink *s, struct error_text *error)
{
	static const uint8_t nothing[SNAPSHOT_HEAD_BYTES];

	if (snprintf(s->aside, sizeof(s->aside), "%s.XXXXXX", s->path) >= (int)sizeof(s->aside))
		return file_error(s->path, "has too long a name", ENAMETOOLONG, error);
	s->fd = mkostemp(s->aside, O_CLOEXEC);
	if (s->fd < 0)
		return file_error(s->path, "cannot be made", errno, error);
	s->head.total_bytes = SNAPSHOT_HEAD_BYTES;
	return write_all(s, nothing, sizeof(nothing), error);
}

/* The new name is on the disk only when the directory is. */
static int directory_sync(const char *path, struct error_text *error)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX] = ".";
	int fd, status = 0;

	if (slash)
		snprintf(directory, sizeof(directory), "%.*s",
			 slash == path ? 1 : (int)(slash - path), path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		status = error_set(error, HAVEN_ESYS,
				   "%.120s is written, but its directory cannot be brought to the "
				   "disk: %s",
				   path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

static int sink_close(struct sink *s, struct error_text *error)
{
	uint8_t head[SNAPSHOT_HEAD_BYTES];
	int status;

	snapshot_head_put(&s->head, head);
	if (lseek(s->fd, 0, SEEK_SET) != 0)
		return file_error(s->path, "cannot be written", errno, error);
	status = write_all(s, head, sizeof(head), error);
	if (!status && fsync(s->fd) != 0)
		status = file_error(s->path, "cannot be brought to the disk", errno, error);
	if (!status && rename(s->aside, s->path) != 0)
		status = file_error(s->path, "cannot be given its name", errno, error);
	if (!status)
		s->aside[0] = '\0';
	return status ? status : directory_sync(s->path, error);
}

/* ---- the table ------------------------------------------------------------------------------ */

/* Wait until it stands still. Returns 0, ENOENT (free) or EAGAIN. */
static int entry_take(const struct table *t, unsigned lane, uint32_t index, uint64_t patience_ns,
		      void *data)
{
	uint64_t until = 0, seq;
	int status = table_read_entry(t, lane, index, &seq, data);

	while (status == -HAVEN_EAGAIN) {
		uint64_t now = clock_now_ns();

		if (!until)
			until = now + patience_ns;
		else if (now >= until)
			return status;
		sched_yield();
		status = table_read_entry(t, lane, index, &seq, data);
	}
	return status;
}

/* All that the copy may hold was logged by now; wait until it is committed, too. */
static int lane_settle(struct sink *s, const struct table *t, unsigned lane, uint64_t patience_ns,
		       struct error_text *error)
{
	uint64_t until = clock_now_ns() + patience_ns;
	uint64_t to = table_next(t, lane) - 1;

	while (table_committed(t, lane) < to) {
		if (clock_now_ns() >= until)
			return error_set(error, HAVEN_EAGAIN,
					 "lane %u of %s has records up to %llu and commits up to "
					 "%llu, and nothing moves: its writer is stopped, or died "
					 "there; nothing was changed",
					 lane, t->geometry.shape.name, (unsigned long long)to,
					 (unsigned long long)table_committed(t, lane));
		sched_yield();
	}
	s->head.lane[lane].to = to;
	return 0;
}

static int lane_write(struct sink *s, const struct table *t, unsigned lane, uint64_t patience_ns,
		      struct error_text *error)
{
	uint32_t stride = snapshot_stride(&t->geometry.shape);
	uint32_t most = snapshot_block_entries(&t->geometry.shape), end;
	int status = 0;

	s->lane = lane;
	s->head.lane[lane].from = table_committed(t, lane);
	end = table_scan_end(t, lane); /* after that: every committed entry is below it */
	for (uint32_t i = 1; i < end && !status; i++) {
		uint8_t *at = s->block + SNAPSHOT_BLOCK_HEAD_BYTES + (size_t)s->n * stride;

		status = entry_take(t, lane, i, patience_ns, at);
		if (status == -HAVEN_EAGAIN)
			return error_set(error, HAVEN_EAGAIN,
					 "entry %u of lane %u of %s does not stand still: its "
					 "writer is stopped, or died there; nothing was changed",
					 i, lane, t->geometry.shape.name);
		if (status == -HAVEN_ENOENT) {
			status = 0;
			continue;
		}
		s->head.lane[lane].entries++;
		s->head.entries++;
		if (++s->n == most)
			status = block_end(s, error);
	}
	if (!status)
		status = block_end(s, error);
	return status ? status : lane_settle(s, t, lane, patience_ns, error);
}

int snapshot_write(const char *path, const struct table *t, const struct snapshot_origin *origin,
		   uint64_t patience_ns, struct snapshot_head *out, struct error_text *error)
{
	struct sink *s = calloc(1, sizeof(*s));
	int status;

	if (!s)
		return error_set(error, HAVEN_ENOMEM, "no memory for a snapshot");
	s->path = path;
	s->head.origin = *origin;
	s->head.shape = t->geometry.shape;
	status = sink_open(s, error);
	for (unsigned lane = 0; lane < t->geometry.shape.lanes && !status; lane++)
		status = lane_write(s, t, lane, patience_ns, error);
	if (!status)
		status = sink_close(s, error);
	*out = s->head;
	if (s->fd >= 0) {
		close(s->fd);
		if (s->aside[0])
			unlink(s->aside);
	}
	free(s);
	return status;
}
