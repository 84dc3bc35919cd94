/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations on a lane in mode DIRTY: values that are marked and not logged, and their push. Values
 * are whole, and after a take-over each one is in a committed record or marked.
 */
#include <string.h>

#include "table_stage.h"

static uint8_t value[TABLE_VALUE_BYTES];

static void put_over(struct crash_case *c, unsigned k)
{
	struct table_stage *s = table_stage(c);

	table_value(k, 77 + c->variant, value);
	CRASH_EXPECT(c, table_put(&yard_table, TABLE_LANE, table_key(k), value, s->committed) == 0);
	s->now[k] = (struct table_known){.values = 1};
	memcpy(s->now[k].value[0], value, sizeof(value));
	s->after[k] = s->now[k];
}

/** A key that is there: the first ones are, but for those that were given up. */
static unsigned there(const struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);

	for (unsigned i = 0; i < TABLE_KEYS; i++)
		if (!s->now[(i + c->variant) % TABLE_KEYS].absent)
			return (i + c->variant) % TABLE_KEYS;
	return 0;
}

static void prepare_put(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_DIRTY, true);
	s->moving = there(c);
	table_value(s->moving, 77 + c->variant, value);
	memcpy(s->now[s->moving].value[s->now[s->moving].values++], value, sizeof(value));
	s->after[s->moving] = (struct table_known){.values = 1};
	memcpy(s->after[s->moving].value[0], value, sizeof(value));
}

static void prepare_again(struct crash_case *c)
{
	unsigned k;

	table_make(c, YARD_DIRTY, true);
	k = there(c);
	put_over(c, k);
	table_stage(c)->moving = k;
	table_value(k, 78 + c->variant, value);
	memcpy(table_stage(c)->now[k].value[1], value, sizeof(value));
	table_stage(c)->now[k].values = 2;
	memcpy(table_stage(c)->after[k].value[0], value, sizeof(value));
}

static void prepare_delete(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_DIRTY, true);
	s->moving = there(c);
	put_over(c, s->moving);
	s->now[s->moving].absent = true;
	s->after[s->moving] = (struct table_known){.absent = true};
}

/** Every key that is there has a value that is in no record. */
static void prepare_push(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_DIRTY, true);
	for (unsigned k = 0; k < TABLE_KEYS; k++)
		if (!s->now[k].absent)
			put_over(c, k);
	s->moving = TABLE_KEYS + 1;
}

static void prepare_commit(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	prepare_push(c);
	s->committed_after = s->committed + table_dirty(&yard_table, TABLE_LANE);
	for (unsigned k = 0; k < TABLE_KEYS; k++)
		memcpy(s->pushed_after[k], s->now[k].value[0], TABLE_VALUE_BYTES);
}

/** Pushed, and no commit came; or a writer that died in the middle of something. */
static void prepare_begin(struct crash_case *c)
{
	if (c->start == START_DEAD) {
		table_make(c, YARD_DIRTY, false);
		return;
	}
	prepare_push(c);
	CRASH_EXPECT(c, table_push(&yard_table, TABLE_LANE, 8, table_stage(c)->committed) > 0);
}

static void prepare_clear(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	prepare_push(c);
	s->committed_after += 3;
	s->replica = true;
	for (unsigned k = 0; k < TABLE_KEYS; k++) {
		s->now[k].absent = true;
		s->after[k] = (struct table_known){.absent = true};
	}
}

static void run_put(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_put(&yard_table, TABLE_LANE, table_key(s->moving), value, 0);
}

static void run_delete(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_delete(&yard_table, TABLE_LANE, table_key(s->moving), s->committed);
}

static void run_push(struct crash_case *c)
{
	table_push(&yard_table, TABLE_LANE, 8, table_stage(c)->committed);
}

static void run_commit(struct crash_case *c)
{
	run_push(c);
	table_commit(&yard_table, TABLE_LANE);
}

/* ---- the harness ----------------------------------------------------------------------------- */

static void ended(struct crash_case *c)
{
	CRASH_CHECK(c, table_stage(c)->result == 0, "the operation gave %d",
		    table_stage(c)->result);
	table_view(c, true);
	table_recover(c);
}

#define WRITER(title, in, begin, function)                                                         \
	{                                                                                          \
		.name = title, .starts = in, .prepare = begin, .run = function,                    \
		.open = table_open, .look = table_look, .world = table_world, .ended = ended,      \
	}

const struct crash_op crash_dirty_ops[] = {
	WRITER("dirty-put", START_BUT(START_EMPTY), prepare_put, run_put),
	WRITER("dirty-put-again", START_BUT(START_EMPTY), prepare_again, run_put),
	WRITER("dirty-delete", START_BUT(START_EMPTY), prepare_delete, run_delete),
	WRITER("dirty-push", START_BUT(START_EMPTY), prepare_push, run_push),
	WRITER("dirty-commit", START_BUT(START_EMPTY), prepare_commit, run_commit),
	WRITER("dirty-begin", START_BUT(START_EMPTY), prepare_begin, table_run_begin),
	WRITER("dirty-clear", START_BUT(START_EMPTY), prepare_clear, table_run_clear),
	{.name = NULL},
};
