/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations on a lane of a region: writes of one block and of two, commits, a replica's writes,
 * and the take-over. Each block is whole, whenever its writer dies.
 */
#include <string.h>

#include "table_stage.h"

static uint8_t value[TABLE_VALUE_BYTES];

/** Byte offset of block k of the lane. */
static uint64_t offset_of(unsigned k)
{
	return (uint64_t)(TABLE_KEYS + k) * TABLE_VALUE_BYTES;
}

static void expect_write(struct crash_case *c, unsigned k, const uint8_t *written)
{
	struct table_stage *s = table_stage(c);

	s->moving = k;
	if (s->now[k].absent)
		s->now[k].values = 0;
	memcpy(s->now[k].value[s->now[k].values++], written, TABLE_VALUE_BYTES);
	s->after[k] = (struct table_known){.values = 1};
	memcpy(s->after[k].value[0], written, TABLE_VALUE_BYTES);
}

static void prepare_new(struct crash_case *c)
{
	table_make(c, YARD_REGION, true);
	table_value(9, 77 + c->variant, value);
	expect_write(c, 9, value);
}

static void prepare_over(struct crash_case *c)
{
	unsigned k;

	table_make(c, YARD_REGION, true);
	k = c->variant % table_present(c);
	table_value(k, 77 + c->variant, value);
	expect_write(c, k, value);
}

/** Half of a block that is there and half of one that is not: what is between stays. */
static void prepare_two(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);
	uint8_t block[TABLE_VALUE_BYTES];
	unsigned k;

	table_make(c, YARD_REGION, true);
	k = table_present(c) - 1;
	table_value(k, 77 + c->variant, value);
	memcpy(block, s->now[k].value[0], sizeof(block));
	memcpy(block + 8, value, 8);
	expect_write(c, k, block);
	memset(block, 0, sizeof(block));
	if (!s->now[k + 1].absent)
		memcpy(block, s->now[k + 1].value[0], sizeof(block));
	memcpy(block, value + 8, 8);
	expect_write(c, k + 1, block);
	s->moving = TABLE_KEYS + 1;
}

/** A commit of two records. */
static void prepare_commit(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	table_make(c, YARD_REGION, true);
	for (unsigned k = 0; k < 2; k++) {
		table_value(k, 50 + c->variant, value);
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
	table_make(c, YARD_REGION, true);
	table_stage(c)->committed_after += 3;
	table_stage(c)->replica = true;
}

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
	unsigned k = 3;

	table_make(c, YARD_REGION, false);
	if (c->start == START_DEAD)
		return;
	table_value(k, 77 + c->variant, value);
	s->now[k] = (struct table_known){.absent = c->start == START_EMPTY};
	expect_write(c, k, value);
	CRASH_EXPECT(c, table_put(&yard_table, TABLE_LANE, table_key(k), value, s->committed) == 0);
	if (c->start == START_EMPTY) {
		s->after[k] = (struct table_known){.absent = true};
		s->moving = TABLE_KEYS + 1;
	}
}

static void run_write(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_region_write(&yard_table, TABLE_LANE, offset_of(s->moving), value,
				       sizeof(value), s->committed);
}

static void run_two(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_region_write(&yard_table, TABLE_LANE, offset_of(table_present(c) - 1) + 8,
				       value, sizeof(value), s->committed);
}

static void run_apply(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->result = table_apply(&yard_table, TABLE_LANE, TABLE_OP_PUT, s->committed + 1,
				table_key(s->moving), value);
}

/* ---- the harness ----------------------------------------------------------------------------- */

static void ended(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);

	CRASH_CHECK(c, s->result == 0, "the operation gave %d", s->result);
	table_view(c, true);
	table_recover(c);
}

/* ---- a reader -------------------------------------------------------------------------------- */

static void prepare_read(struct crash_case *c)
{
	table_make(c, YARD_REGION, true);
	table_stage(c)->moving = c->variant % TABLE_KEYS;
}

static void run_read(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->got_status =
		table_region_read(&yard_table, offset_of(s->moving), s->got, sizeof(s->got));
}

static void look_read(struct crash_case *c)
{
	CRASH_CHECK(c, c->pass != PASS_LOOK || c->step == 0,
		    "a reader changed the region or entered the kernel");
}

/** The writer writes every block. */
static void world_read(struct crash_case *c)
{
	struct table_stage *s = table_stage(c);

	s->moved = true;
	for (unsigned k = 0; k < TABLE_KEYS; k++) {
		table_value(k, 500, value);
		table_region_write(&yard_table, TABLE_LANE, offset_of(k), value, sizeof(value),
				   table_next(&yard_table, TABLE_LANE) - 1);
	}
	table_commit(&yard_table, TABLE_LANE);
}

static void ended_read(struct crash_case *c)
{
	const struct table_stage *s = table_stage(c);
	const struct table_known *known = &s->now[s->moving];
	uint8_t other[TABLE_VALUE_BYTES], zero[TABLE_VALUE_BYTES] = {0};

	table_value(s->moving, 500, other);
	CRASH_CHECK(c, s->got_status == 0 || (s->moved && s->got_status == -HAVEN_EAGAIN),
		    "a block was not read: error %d", -s->got_status);
	CRASH_CHECK(c,
		    s->got_status != 0 ||
			    memcmp(s->got, known->absent ? zero : known->value[0], sizeof(other)) ==
				    0 ||
			    (s->moved && memcmp(s->got, other, sizeof(other)) == 0),
		    "a reader got bytes that the block never had");
}

#define WRITER(title, in, begin, function)                                                         \
	{                                                                                          \
		.name = title, .starts = in, .prepare = begin, .run = function,                    \
		.open = table_open, .look = table_look, .world = table_world, .ended = ended,      \
	}

const struct crash_op crash_region_ops[] = {
	WRITER("region-write-new", START_ALL, prepare_new, run_write),
	WRITER("region-write-over", START_BUT(START_EMPTY), prepare_over, run_write),
	WRITER("region-write-two", START_BUT(START_EMPTY), prepare_two, run_two),
	WRITER("region-commit", START_ALL, prepare_commit, table_run_commit),
	WRITER("region-apply-new", START_ALL, prepare_new, run_apply),
	WRITER("region-apply-over", START_BUT(START_EMPTY), prepare_over, run_apply),
	WRITER("region-applied", START_ALL, prepare_applied, table_run_applied),
	WRITER("region-clear", START_ALL, prepare_clear, table_run_clear),
	WRITER("region-begin", START_BUT(START_DEAD), prepare_begin, table_run_begin),
	{.name = "region-repair",
	 .starts = 1u << START_DEAD,
	 .forms = 60,
	 .prepare = prepare_begin,
	 .run = table_run_begin,
	 .open = table_open,
	 .look = table_look,
	 .world = table_world,
	 .ended = ended},
	{.name = "region-read",
	 .starts = START_ALL,
	 .prepare = prepare_read,
	 .run = run_read,
	 .open = table_open,
	 .look = look_read,
	 .world = world_read,
	 .ended = ended_read},
	{.name = NULL},
};
