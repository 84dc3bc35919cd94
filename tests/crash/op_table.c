/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations on a lane of a checkpoint: those of a primary, which are logged, those of a replica,
 * and the take-over. Here a reader may be told to try again for the one key that its writer is at;
 * every other key is read.
 */
#include <string.h>

#include "table_stage.h"

static uint8_t value[TABLE_VALUE_BYTES];

/** A key that is there, or 0. */
static unsigned there(const struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);

	for (unsigned i = 0; i < TABLE_KEYS; i++) {
		unsigned k = (i + c->variant) % TABLE_KEYS;

		if (!s->now[k].absent)
			return k;
	}
	return 0;
}

static void expect_put(struct crash_case *c, unsigned k, bool full)
{
	struct table_stage *s = table_stage(c);

	table_value(k, 77 + c->variant, value);
	s->moving = k;
	if (full) {
		s->wanted = -HAVEN_EFULL;
		return;
	}
	memcpy(s->now[k].value[s->now[k].values++], value, sizeof(value));
	s->after[k] = (struct table_known){.values = 1};
	memcpy(s->after[k].value[0], value, sizeof(value));
}

static void prepare_put_new(struct crash_case *c)
{
	table_make(c, YARD_TABLE, true);
	expect_put(c, 9, table_stage(c)->now[9].absent && c->start == START_FULL);
}

static void prepare_put_over(struct crash_case *c)
{
	table_make(c, YARD_TABLE, true);
	expect_put(c, there(c), false);
}

static void prepare_delete(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_TABLE, true);
	s->moving = there(c);
	if (s->now[s->moving].absent)
		s->wanted = -HAVEN_ENOENT;
	s->now[s->moving].absent = true;
	s->after[s->moving] = (struct table_known){.absent = true};
}

static void prepare_apply_delete(struct crash_case *c)
{
	prepare_delete(c);
	table_stage(c)->wanted = 0; /* deleting what is not there is no error */
}

/** A commit of two records. */
static void prepare_commit(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_TABLE, true);
	for (unsigned i = 0; i < 2; i++) {
		unsigned k = c->start == START_EMPTY ? i : there(c);

		table_value(k, 50 + i, value);
		CRASH_EXPECT(c, table_put(&yard_table, TABLE_LANE, table_key(k), value,
					  s->committed) == 0);
		s->now[k] = (struct table_known){.values = 1};
		memcpy(s->now[k].value[0], value, sizeof(value));
		s->after[k] = s->now[k];
		/* Nothing is kept of a lane that never committed. */
		s->now[k].absent = s->committed == 0;
	}
	s->committed_after = s->committed + 2;
}

static void prepare_applied(struct crash_case *c)
{
	table_make(c, YARD_TABLE, true);
	table_stage(c)->committed_after += 3;
	table_stage(c)->replica = true;
}

/** An emptied lane: every key goes, in whatever order. */
static void prepare_clear(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	prepare_applied(c);
	s->moving = TABLE_KEYS + 1;
	for (unsigned k = 0; k < TABLE_KEYS; k++) {
		s->now[k].absent = true;
		s->after[k] = (struct table_known){.absent = true};
	}
}

/** Remains of a commit that never came, or of a writer that died in the middle of a change. */
static void prepare_begin(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);
	unsigned k = 0;

	table_make(c, YARD_TABLE, false);
	if (c->start == START_DEAD)
		return;
	k = c->start == START_EMPTY ? 3 : there(c);
	/* Nothing of a lane that never committed is kept. */
	if (c->start == START_EMPTY)
		s->now[k].absent = true;
	else
		s->now[k].values = 0;
	expect_put(c, k, false);
	CRASH_EXPECT(c, table_put(&yard_table, TABLE_LANE, table_key(k), value, s->committed) == 0);
	if (c->start == START_EMPTY)
		s->after[k] = (struct table_known){.absent = true};
}

static void run_put(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_put(&yard_table, TABLE_LANE, table_key(s->moving), value, s->committed);
}

static void run_delete(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_delete(&yard_table, TABLE_LANE, table_key(s->moving), s->committed);
}

static void run_apply_put(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_apply(&yard_table, TABLE_LANE, TABLE_OP_PUT, s->committed + 1,
				table_key(s->moving), value);
}

static void run_apply_delete(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_apply(&yard_table, TABLE_LANE, TABLE_OP_DELETE, s->committed + 1,
				table_key(s->moving), NULL);
}

/* ---- the harness ----------------------------------------------------------------------------- */

static void ended(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);

	CRASH_CHECK(c, s->result == s->wanted, "the operation gave %d, %d was wanted", s->result,
		    s->wanted);
	table_view(c, true);
	table_recover(c);
}

/* ---- a reader -------------------------------------------------------------------------------- */

static void prepare_read(struct crash_case *c)
{
	table_make(c, YARD_TABLE, true);
	table_stage(c)->moving = there(c);
}

static void run_read(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->got_status = table_get(&yard_table, TABLE_LANE, table_key(s->moving), s->got);
}

static void look_read(struct crash_case *c)
{
	CRASH_CHECK(c, c->pass != PASS_LOOK || c->step == 0,
		    "a reader changed the table or entered the kernel");
}

/** The writer takes the key's entry for another key, and more of the kind. */
static void world_read(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);
	uint64_t next = table_next(&yard_table, TABLE_LANE);

	s->moved = true;
	for (unsigned k = 0; k < TABLE_KEYS; k++)
		table_delete(&yard_table, TABLE_LANE, table_key(k), next++);
	for (unsigned k = TABLE_KEYS; k-- > 4;) {
		uint8_t other[TABLE_VALUE_BYTES];

		table_value(k, 500, other);
		table_put(&yard_table, TABLE_LANE, table_key(k), other, next++);
	}
	table_commit(&yard_table, TABLE_LANE);
}

static void ended_read(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);
	const struct table_known *known = &s->now[s->moving];
	uint8_t other[TABLE_VALUE_BYTES];

	table_value(s->moving, 500, other);
	if (s->got_status == 0)
		CRASH_CHECK(c,
			    memcmp(s->got, known->value[0], sizeof(other)) == 0 ||
				    (s->moved && memcmp(s->got, other, sizeof(other)) == 0),
			    "a reader got a value that its key never had");
	else
		CRASH_CHECK(c, s->moved || (known->absent && s->got_status == -HAVEN_ENOENT),
			    "a key that is there was not read: error %d", -s->got_status);
}

#define WRITER(title, in, begin, function)                                                         \
	{                                                                                          \
		.name = title, .starts = in, .prepare = begin, .run = function,                    \
		.open = table_open, .look = table_look, .world = table_world, .ended = ended,      \
	}

const struct crash_op crash_table_ops[] = {
	WRITER("put-new", START_ALL, prepare_put_new, run_put),
	WRITER("put-over", START_BUT(START_EMPTY), prepare_put_over, run_put),
	WRITER("delete", START_ALL, prepare_delete, run_delete),
	WRITER("commit", START_ALL, prepare_commit, table_run_commit),
	WRITER("apply-new", START_ALL, prepare_put_new, run_apply_put),
	WRITER("apply-over", START_BUT(START_EMPTY), prepare_put_over, run_apply_put),
	WRITER("apply-delete", START_ALL, prepare_apply_delete, run_apply_delete),
	WRITER("applied", START_ALL, prepare_applied, table_run_applied),
	WRITER("clear", START_ALL, prepare_clear, table_run_clear),
	WRITER("lane-begin", START_BUT(START_DEAD), prepare_begin, table_run_begin),
	{.name = "lane-repair",
	 .starts = 1u << START_DEAD,
	 .forms = 100,
	 .prepare = prepare_begin,
	 .run = table_run_begin,
	 .open = table_open,
	 .look = table_look,
	 .world = table_world,
	 .ended = ended},
	{.name = "table-read",
	 .starts = START_ALL,
	 .prepare = prepare_read,
	 .run = run_read,
	 .open = table_open,
	 .look = look_read,
	 .world = world_read,
	 .ended = ended_read},
	{.name = NULL},
};
