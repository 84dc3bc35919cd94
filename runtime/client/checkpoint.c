/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_internal.h"

/* ---- creation ------------------------------------------------------------------------------- */

static int checkpoint_refusal(struct haven_component *c, unsigned instance, const char *name)
{
	struct error_text *error = &c->haven->error;

	if (instance >= c->instances)
		return error_set(error, HAVEN_EINVAL, "component %s has instances 0 to %u, not %u",
				 c->name, c->instances - 1, instance);
	if (c->ready)
		return error_set(error, HAVEN_EREFUSED,
				 "component %s is ready; create checkpoint %s before that", c->name,
				 name);
	for (const struct haven_table *t = c->tables; t; t = t->next)
		if (t->instance == instance && strcmp(t->table.geometry.shape.name, name) == 0)
			return error_set(error, HAVEN_EEXIST,
					 "instance %u of component %s has a checkpoint %s already",
					 instance, c->name, name);
	return 0;
}

static int shape_name(struct haven_component *c, struct table_shape *shape, const char *name)
{
	if (client_name_copy(shape->name, name))
		return 0;
	return error_set(&c->haven->error, HAVEN_EINVAL,
			 "a checkpoint's name has 1 to 31 bytes of a-z 0-9 _ . -");
}

static int table_request(struct haven_component *c, const struct haven_table_config *config,
			 struct table_shape *shape)
{
	shape->kind = TABLE_KEYED;
	shape->mode = config->mode;
	shape->key_bytes = config->key_bytes;
	shape->value_bytes = config->value_bytes;
	shape->capacity = config->capacity;
	shape->lanes = config->lanes;
	shape->lane_records =
		config->lane_records ? config->lane_records : TABLE_LANE_RECORDS_DEFAULT;
	return shape_name(c, shape, config->name);
}

static int region_request(struct haven_component *c, const struct haven_region_config *config,
			  struct table_shape *shape)
{
	uint64_t blocks = config->block_bytes ? config->bytes / config->block_bytes : 0;
	int status = shape_name(c, shape, config->name);

	if (status)
		return status;
	if (config->bytes == 0 || blocks > TABLE_CAPACITY_MAX ||
	    blocks * config->block_bytes != config->bytes)
		return error_set(&c->haven->error, HAVEN_EINVAL,
				 "region %s: %llu bytes are not 1 to %u blocks of %u", shape->name,
				 (unsigned long long)config->bytes, TABLE_CAPACITY_MAX,
				 config->block_bytes);
	shape->kind = TABLE_REGION;
	shape->mode = config->mode;
	shape->key_bytes = sizeof(uint32_t);
	shape->value_bytes = config->block_bytes;
	shape->capacity = (uint32_t)blocks;
	shape->lanes = config->lanes;
	shape->lane_records =
		config->lane_records ? config->lane_records : TABLE_LANE_RECORDS_DEFAULT;
	return 0;
}

int table_announce(struct haven_table *t, struct attachment *at)
{
	struct haven_component *c = t->component;
	const struct table_shape *shape = &t->table.geometry.shape;
	struct message m = {.type = MESSAGE_CHECKPOINT, .handle = c->handle};
	uint32_t first, all = at->registry.shape.lanes;
	int status;

	m.u.checkpoint.shape = *shape;
	m.u.checkpoint.instance = t->instance;
	m.u.checkpoint.warm_records = t->warm_records;
	status = attachment_call(c->haven, at, &m, t->fd, NULL);
	if (status)
		return status;
	first = m.u.checkpoint.lane_first;
	if (first >= all || shape->lanes > all - first)
		return error_set(&c->haven->error, HAVEN_ECORRUPT,
				 "the node names %u lane lines from number %u on; the registry "
				 "has %u",
				 shape->lanes, first, all);
	at->lanes[t->number] = &at->registry.lanes[first];
	t->restore_taken = 0; /* another node counts anew */
	return 0;
}

/* Lowest number that no table has. */
static int table_number(const struct haven *h, struct haven_table *t, struct error_text *error)
{
	bool used[CLIENT_TABLES_MAX] = {false};

	for (const struct haven_component *c = h->components; c; c = c->next)
		for (const struct haven_table *other = c->tables; other; other = other->next)
			used[other->number] = true;
	for (t->number = 0; t->number < CLIENT_TABLES_MAX; t->number++)
		if (!used[t->number])
			return 0;
	return error_set(error, HAVEN_EFULL, "this attachment has %u tables already",
			 CLIENT_TABLES_MAX);
}

/** What is each side's own affair. */
struct checkpoint_options {
	uint32_t push_records, warm_records;
};

static int table_make(struct haven_component *c, unsigned instance, const struct table_shape *shape,
		      const struct checkpoint_options *o, struct haven_table *t)
{
	int status = checkpoint_refusal(c, instance, shape->name);

	if (!status && o->push_records > TABLE_COMMIT_RECORDS_MAX)
		status = error_set(&c->haven->error, HAVEN_EINVAL,
				   "checkpoint %s: push_records %u is not in 0…%u", shape->name,
				   o->push_records, TABLE_COMMIT_RECORDS_MAX);
	if (!status)
		status = table_number(c->haven, t, &c->haven->error);
	if (!status)
		status = table_create(&t->table, shape, &t->fd, &c->haven->error);
	if (status)
		return status;
	t->component = c;
	t->instance = instance;
	t->n_lanes = shape->lanes;
	t->push_records = o->push_records ? o->push_records : CLIENT_PUSH_RECORDS;
	t->warm_records = o->warm_records;
	status = table_announce(t, c->haven->now);
	if (status) {
		table_unmap(&t->table);
		close(t->fd);
	}
	return status;
}

/* Under control. */
static int checkpoint_create(struct haven_component *c, unsigned instance,
			     const struct table_shape *shape, const struct checkpoint_options *o,
			     struct haven_table **out)
{
	struct haven_table *t = calloc(1, sizeof(*t)), **end = &c->tables;
	int status = t ? table_make(c, instance, shape, o, t)
		       : error_set(&c->haven->error, HAVEN_ENOMEM, "no memory for a checkpoint");

	if (status) {
		free(t);
		return status;
	}
	while (*end)
		end = &(*end)->next;
	/* release (T): a worker that sees the table sees it whole. */
	store_release(end, t);
	*out = t;
	return 0;
}

int haven_table_create(struct haven_component *c, unsigned instance,
		       const struct haven_table_config *config, struct haven_table **out)
{
	const struct checkpoint_options options = {config->push_records, config->warm_records};
	struct table_shape shape = {.name = ""};
	int status;

	*out = NULL;
	pthread_mutex_lock(&c->haven->control);
	status = table_request(c, config, &shape);
	if (!status)
		status = checkpoint_create(c, instance, &shape, &options, out);
	pthread_mutex_unlock(&c->haven->control);
	return status;
}

int haven_region_create(struct haven_component *c, unsigned instance,
			const struct haven_region_config *config, struct haven_region **out)
{
	const struct checkpoint_options options = {config->push_records, config->warm_records};
	struct table_shape shape = {.name = ""};
	struct haven_table *t = NULL;
	int status;

	pthread_mutex_lock(&c->haven->control);
	status = region_request(c, config, &shape);
	if (!status)
		status = checkpoint_create(c, instance, &shape, &options, &t);
	pthread_mutex_unlock(&c->haven->control);
	*out = (struct haven_region *)t;
	return status;
}

/* ---- the worker's own lane --------------------------------------------------------------------
 */

/* May the worker write its lane? The baton rule of worker.c: as of its last poll, not of now. */
int checkpoint_writable(const struct haven_worker *w, const struct haven_table *t)
{
	if (__builtin_expect(t->component != w->component || w->reader.index >= t->n_lanes, 0))
		return -HAVEN_EINVAL;
	return w->seen[t->instance].role == HAVEN_PRIMARY ? 0 : -HAVEN_EROLE;
}

/* What the node says of the worker's lane. NULL: the table is younger than the attachment that this
 * worker still works with. */
static const struct registry_lane *lane_line(const struct haven_worker *w,
					     const struct haven_table *t)
{
	const struct registry_lane *lines = load_relaxed(&w->reader.at->lanes[t->number]);

	return lines && w->reader.index < t->n_lanes ? &lines[w->reader.index] : NULL;
}

/* acquire: pairs with L2, the node has read the log slots up to here. */
uint64_t checkpoint_consumed(const struct haven_worker *w, const struct haven_table *t)
{
	const struct registry_lane *line = lane_line(w, t);

	return line ? load_acquire(&line->consumed_seq) : 0;
}

int haven_put(struct haven_worker *w, struct haven_table *t, const void *key, const void *value)
{
	int status = checkpoint_writable(w, t);

	return status ? status
		      : table_put(&t->table, w->reader.index, key, value,
				  checkpoint_consumed(w, t));
}

int haven_delete(struct haven_worker *w, struct haven_table *t, const void *key)
{
	int status = checkpoint_writable(w, t);

	return status ? status
		      : table_delete(&t->table, w->reader.index, key, checkpoint_consumed(w, t));
}

int haven_get(struct haven_worker *w, struct haven_table *t, const void *key, void *value)
{
	return haven_get_lane(t, w->reader.index, key, value);
}

int haven_get_lane(const struct haven_table *t, unsigned lane, const void *key, void *value)
{
	return lane < t->n_lanes ? table_get(&t->table, lane, key, value) : -HAVEN_EINVAL;
}

uint64_t haven_commit(struct haven_worker *w, struct haven_table *t)
{
	if (checkpoint_writable(w, t) == 0) {
		table_push(&t->table, w->reader.index, t->push_records, checkpoint_consumed(w, t));
		return table_commit(&t->table, w->reader.index);
	}
	return w->reader.index < t->n_lanes ? table_committed(&t->table, w->reader.index) : 0;
}

uint64_t haven_acked(const struct haven_worker *w, const struct haven_table *t)
{
	const struct registry_lane *line = lane_line(w, t);

	return line ? load_acquire(&line->acked_seq) : 0; /* L1 */
}

uint32_t haven_dirty_count(const struct haven_table *t, unsigned lane)
{
	return table_dirty(&t->table, lane);
}

uint32_t haven_table_count(const struct haven_table *t, unsigned lane)
{
	return lane < t->n_lanes ? table_live(&t->table, lane) : 0;
}

unsigned haven_table_scan(const struct haven_table *t, unsigned lane, uint32_t *cursor, void *out,
			  unsigned max)
{
	const struct table_shape *shape = &t->table.geometry.shape;
	size_t stride = (size_t)shape->key_bytes + shape->value_bytes;
	uint8_t *at = out;
	unsigned n = 0;
	uint32_t end, i;
	uint64_t seq;

	if (lane >= t->n_lanes)
		return 0;
	end = table_scan_end(&t->table, lane);
	/* Entries are numbered from 1; a cursor of 0 is the start. */
	for (i = *cursor ? *cursor : 1; i < end && n < max; i++) {
		if (table_read_entry(&t->table, lane, i, &seq, at) != 0)
			continue;
		at += stride;
		n++;
	}
	*cursor = i;
	return n;
}

/* ---- regions: a table by another name -------------------------------------------------------- */

struct haven_table *haven_region_table(struct haven_region *r)
{
	return (struct haven_table *)r;
}

static const struct table *region_table(const struct haven_region *r)
{
	return &((const struct haven_table *)r)->table;
}

int haven_region_write(struct haven_worker *w, struct haven_region *r, uint64_t offset,
		       const void *bytes, uint64_t n)
{
	struct haven_table *t = haven_region_table(r);
	int status = checkpoint_writable(w, t);

	return status ? status
		      : table_region_write(&t->table, w->reader.index, offset, bytes, n,
					   checkpoint_consumed(w, t));
}

int haven_region_read(const struct haven_region *r, uint64_t offset, void *out, uint64_t n)
{
	return table_region_read(region_table(r), offset, out, n);
}

void haven_region_span(const struct haven_region *r, unsigned lane, uint64_t *offset,
		       uint64_t *bytes)
{
	table_region_span(region_table(r), lane, offset, bytes);
}
