/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Putting a snapshot back. The control path reads and checks the whole file into memory; the
 * workers put it from there, each its own lane, as if the packets that made these entries had come
 * again. So a lane keeps its one writer, and the mirror knows nothing of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"
#include "snapshot.h"

/** What goes into one lane. Its worker alone moves `next` and `error`; the control path reads them
 *  when the workers are through. */
struct restore_lane {
	uint8_t *data; /**< keys and values, packed */
	uint64_t n, room;
	uint64_t next;
	int error;
};

struct haven_restore {
	struct haven_table *table;
	uint32_t number; /**< of the operator's wish; 0: nobody's */
	struct restore_lane lane[HAVEN_WORKERS_MAX];
};

static size_t stride_of(const struct haven_table *t)
{
	return (size_t)t->table.geometry.shape.key_bytes + t->table.geometry.shape.value_bytes;
}

static void restore_free(struct haven_restore *r)
{
	for (unsigned i = 0; r && i < HAVEN_WORKERS_MAX; i++)
		free(r->lane[i].data);
	free(r);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A block that was checked. The head, checked before, says how much room its lane has. */
static int block_keep(struct haven_restore *r, const struct snapshot_entries *e,
		      struct error_text *error)
{
	struct restore_lane *lane = &r->lane[e->lane];
	size_t stride = stride_of(r->table);

	if (e->n > lane->room - lane->n)
		return error_set(error, HAVEN_ECORRUPT,
				 "the snapshot has more entries in lane %u than it says", e->lane);
	memcpy(lane->data + lane->n * stride, e->data, e->n * stride);
	lane->n += e->n;
	return 0;
}

static int lanes_make(struct haven_restore *r, const struct snapshot_head *head,
		      struct error_text *error)
{
	for (unsigned i = 0; i < r->table->n_lanes; i++) {
		struct restore_lane *lane = &r->lane[i];

		lane->room = head->lane[i].entries;
		lane->data = calloc(lane->room ? lane->room : 1, stride_of(r->table));
		if (!lane->data)
			return error_set(error, HAVEN_ENOMEM, "no memory to read the snapshot");
	}
	return 0;
}

static int file_load(struct haven_restore *r, int fd, const char *what, struct error_text *error)
{
	struct snapshot_entries entries;
	struct snapshot file;
	int status = snapshot_open(&file, fd, what, error);

	if (!status)
		status = snapshot_fits(&file.head, &r->table->table.geometry.shape, error);
	if (!status)
		status = lanes_make(r, &file.head, error);
	while (!status) {
		status = snapshot_next(&file, &entries, error);
		if (status == 0)
			break;
		if (status > 0)
			status = block_keep(r, &entries, error);
	}
	snapshot_close(&file);
	return status;
}

/* Under control. Takes the descriptor. */
static int restore_load(struct haven_table *t, int fd, const char *what, uint32_t number,
			struct haven_restore **out)
{
	struct error_text *error = &t->component->haven->error;
	struct haven_restore *r = calloc(1, sizeof(*r));
	int status = r ? 0 : error_set(error, HAVEN_ENOMEM, "no memory to read the snapshot");

	if (r) {
		r->table = t;
		r->number = number;
		status = file_load(r, fd, what, error);
	}
	close(fd);
	if (status) {
		restore_free(r);
		return status;
	}
	*out = r;
	return 0;
}

int haven_restore_open(struct haven_table *t, const char *path, struct haven_restore **out)
{
	struct haven *h = t->component->haven;
	int fd, status;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	status = fd < 0 ? error_set(&h->error,
				    errno == ENOENT   ? HAVEN_ENOENT
				    : errno == EACCES ? HAVEN_EPERM
						      : HAVEN_ESYS,
				    "%.150s: %s", path, strerror(errno))
			: restore_load(t, fd, path, 0, out);
	pthread_mutex_unlock(&h->control);
	return status;
}

/* ---- the operator's wish -------------------------------------------------------------------- */

static int tell_done(struct haven *h, uint32_t number, int result, uint64_t entries)
{
	struct message m = {.type = MESSAGE_RESTORE_DONE};

	m.u.restore.number = number;
	m.u.restore.result = result;
	m.u.restore.entries = entries;
	if (result)
		snprintf(m.u.restore.why, sizeof(m.u.restore.why), "%.127s", h->error.text);
	return client_call(h, &m, -1, NULL);
}

/* Under control. */
static int wish_take(struct haven_table *t, uint32_t number, struct haven_restore **out)
{
	struct message m = {.type = MESSAGE_RESTORE_TAKE};
	struct haven *h = t->component->haven;
	struct error_text why;
	int fd = -1, status;

	m.u.restore.number = number;
	status = client_call(h, &m, -1, &fd);
	if (status == -HAVEN_ESTALE)
		return 0; /* it was given up meanwhile */
	if (status)
		return status;
	if (fd < 0)
		return error_set(&h->error, HAVEN_ECORRUPT, "the node sent no file to restore");
	status = restore_load(t, fd, "the snapshot", number, out);
	if (status) {
		why = h->error;
		tell_done(h, number, status, 0);
		h->error = why;
	}
	return status;
}

int haven_restore_wanted(struct haven_component *c, struct haven_restore **out)
{
	struct haven *h = c->haven;
	int status = 0;

	*out = NULL;
	pthread_mutex_lock(&h->control);
	for (struct haven_table *t = c->tables; t && !status && !*out; t = t->next) {
		const struct registry *r = &h->now->registry;
		const struct registry_lane *line = load_relaxed(&h->now->lanes[t->number]);
		uint32_t number = line ? load_acquire(&r->checkpoints[line - r->lanes].restore) : 0;

		/* Taken before, and still being put: the node says so. */
		if (number && number != t->restore_taken) {
			t->restore_taken = number;
			status = wish_take(t, number, out);
		}
	}
	pthread_mutex_unlock(&h->control);
	return status;
}

struct haven_table *haven_restore_table(const struct haven_restore *r)
{
	return r->table;
}

/* ---- putting it back ------------------------------------------------------------------------ */

static int entry_put(struct haven_worker *w, struct haven_table *t, const uint8_t *entry)
{
	const struct table_shape *s = &t->table.geometry.shape;
	uint32_t block;

	if (s->kind != TABLE_REGION)
		return haven_put(w, t, entry, entry + s->key_bytes);
	memcpy(&block, entry, sizeof(block));
	return haven_region_write(w, (struct haven_region *)t,
				  (uint64_t)le32toh(block) * s->value_bytes, entry + s->key_bytes,
				  s->value_bytes);
}

/* Full is the log, which empties by itself, or the table, which does not. */
static bool log_full(const struct haven_worker *w, const struct haven_table *t)
{
	return table_room(&t->table, w->reader.index, checkpoint_consumed(w, t)) == 0;
}

int haven_restore_step(struct haven_worker *w, struct haven_restore *r, unsigned max)
{
	struct haven_table *t = r->table;
	int status = checkpoint_writable(w, t);
	size_t stride = stride_of(t);
	struct restore_lane *lane;
	uint64_t left;

	if (status)
		return status;
	if (max == 0 || max > HAVEN_RESTORE_MAX)
		return -HAVEN_EINVAL;
	lane = &r->lane[w->reader.index];
	if (lane->error)
		return lane->error;
	for (unsigned i = 0; i < max && lane->next < lane->n; i++) {
		status = entry_put(w, t, lane->data + lane->next * stride);
		if (status)
			break;
		store_relaxed(&lane->next, lane->next + 1);
	}
	if (status && !(status == -HAVEN_EFULL && log_full(w, t)))
		store_relaxed(&lane->error, status);
	haven_commit(w, t);
	if (lane->error)
		return lane->error;
	left = lane->n - lane->next;
	return left < INT_MAX ? (int)left : INT_MAX;
}

int haven_restore_finish(struct haven_restore *r, uint64_t *entries)
{
	struct haven *h = r->table->component->haven;
	uint64_t put = 0;
	int result = 0;

	pthread_mutex_lock(&h->control);
	for (unsigned i = 0; i < r->table->n_lanes; i++) {
		const struct restore_lane *lane = &r->lane[i];

		put += load_relaxed(&lane->next);
		if (load_relaxed(&lane->error))
			result = error_set(
				&h->error, (enum haven_error) - lane->error, "lane %u of %s: %s", i,
				r->table->table.geometry.shape.name, error_sentence(lane->error));
		else if (lane->next < lane->n && !result)
			result = error_set(&h->error, HAVEN_EAGAIN,
					   "it was cut short: %llu entries of lane %u of %s were "
					   "not put back",
					   (unsigned long long)(lane->n - lane->next), i,
					   r->table->table.geometry.shape.name);
	}
	if (entries)
		*entries = put;
	if (r->number) {
		struct error_text why = h->error;

		tell_done(h, r->number, result, put);
		h->error = why;
	}
	pthread_mutex_unlock(&h->control);
	restore_free(r);
	return result;
}
