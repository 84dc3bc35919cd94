/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the operations on a checkpoint's lane share: a small table in memory that harness and child
 * have in common, what is known of its keys, and the judges.
 */
#ifndef HAVEN_CRASH_TABLE_H
#define HAVEN_CRASH_TABLE_H

#include "crash.h"
#include "table.h"

#define TABLE_KEYS 10u
#define TABLE_VALUE_BYTES 16u
#define TABLE_LANE 1u /**< the lane under test; lane 0 is somebody else's */
#define TABLE_LOGGED 3u

/** What a key may show. */
struct table_known {
	bool absent;     /**< may be absent */
	uint32_t values; /**< how many of these it may have */
	uint8_t value[2][TABLE_VALUE_BYTES];
};

/** What table_make() makes. */
enum yard { YARD_TABLE = 0, YARD_REGION, YARD_DIRTY, YARD_COUNT };

struct table_stage {
	uint8_t pushed[TABLE_KEYS][TABLE_VALUE_BYTES];       /**< in a committed record */
	uint8_t pushed_after[TABLE_KEYS][TABLE_VALUE_BYTES]; /**< when one more is committed */
	struct table_known now[TABLE_KEYS];   /**< from the begin of the operation on */
	struct table_known after[TABLE_KEYS]; /**< when it is complete */
	uint64_t committed, committed_after;
	uint64_t logged; /**< newest record that was copied below */
	uint8_t record[TABLE_LOGGED][64];
	uint32_t records;
	bool replica; /**< its log is nobody's */
	int result, wanted;
	uint32_t moving; /**< the key that the operation is about; TABLE_KEYS: none, or all */
	/* of a reader */
	int got_status;
	uint8_t got[TABLE_VALUE_BYTES];
	bool moved; /**< the world went on meanwhile */
};

static inline struct table_stage *table_stage(const struct crash_case *c)
{
	return (struct table_stage *)(void *)c->stage->family;
}

/** The table; the harness makes it anew before each child. */
extern struct table yard_table;

/** Of a table keys 0 to 3 share a chain; of a region these are the blocks of TABLE_LANE. */
const void *table_key(unsigned k);
void table_value(unsigned k, unsigned revision, uint8_t value[TABLE_VALUE_BYTES]);
/** Make the table of the case's start state and note what is known. */
void table_make(struct crash_case *c, enum yard kind, bool taken_over);
/** A number of keys that are there (and one that is not) in this start state. */
unsigned table_present(const struct crash_case *c);
/** Readers' view. */
void table_view(struct crash_case *c, bool over);
/** Whoever takes a copy of this lane over has all of it, and everything is free that is not. */
void table_recover(struct crash_case *c);

/* ---- table_run.c: steps of struct crash_op ---- */

void table_run_commit(struct crash_case *c);
void table_run_applied(struct crash_case *c);
void table_run_clear(struct crash_case *c);
void table_run_begin(struct crash_case *c);
void table_open(struct crash_case *c);
/** After a death: readers' view, then recovery. */
void table_look(struct crash_case *c);
/** The writer stands still and is no corpse: others read, nobody takes its lane. */
void table_world(struct crash_case *c);

#endif
