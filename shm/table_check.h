/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Is a checkpoint segment whole? Of a table that nobody writes, of one under full traffic, of one
 * whose writer is dead. Reads only; the writer never notices.
 *
 * What can be judged alone (a chain, an entry, a log slot, the positions) is looked at again while
 * it seems wrong, and is told when it stays so. What can only be judged together (free list,
 * counts, bits of mode DIRTY, an entry in two chains) is judged when the lane stood still from
 * begin to end of a walk; a lane that never does is told as moving.
 */
#ifndef HAVEN_TABLE_CHECK_H
#define HAVEN_TABLE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "table.h"

/** What can be wrong; table_finding_name() gives the stable label. */
enum table_finding {
	TABLE_UNFINISHED = 0, /**< no error: a change was under way when the writer stopped; whoever
				   takes the lane over makes it good */
	TABLE_BAD_POSITION,   /**< numbers of records contradict each other */
	TABLE_BAD_RECORD,     /**< a log slot holds what no writer put there */
	TABLE_BAD_CHAIN,      /**< a chain of the index leads nowhere, or does not end */
	TABLE_BAD_ENTRY,      /**< an entry in a chain in which its key does not belong, or torn */
	TABLE_BAD_FREE,       /**< the list of free entries */
	TABLE_BAD_COUNT,      /**< counts of the lane's head */
	TABLE_BAD_MARK,       /**< mode DIRTY: a mark on what is not there, or their count */
	TABLE_FINDING_COUNT
};
const char *table_finding_name(unsigned kind);

struct table_report {
	uint64_t lanes, heads, entries, records; /**< looked at; entries: in use */
	uint64_t findings;                       /**< without the unfinished */
	uint64_t unfinished;
	unsigned moving; /**< lanes of which not everything could be compared */
};

typedef void table_check_tell(void *context, unsigned lane, enum table_finding kind,
			      const char *sentence);

/** Check all lanes of a mapped table. `tell` (may be NULL) hears of each finding. Work grows with
 *  the size; a control thread's or a tool's, not a packet loop's. Returns 0 or -HAVEN_ENOMEM. */
int table_check(const struct table *t, struct table_report *out, table_check_tell *tell,
		void *context);

#endif
