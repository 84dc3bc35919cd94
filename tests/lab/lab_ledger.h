/* SPDX-License-Identifier: BSD-3-Clause */
/** When packets were sent that never were answered: a count for each slice of time. */
#ifndef HAVEN_LAB_LEDGER_H
#define HAVEN_LAB_LEDGER_H

#include <stdint.h>

#define LEDGER_SLICE_NS 10000000ull
/** The last slice takes all that comes later. */
#define LEDGER_SLICES 16384u

struct ledger {
	uint64_t from_ns; /**< the mark */
	uint32_t used;    /**< slices up to the newest packet */
	uint32_t sent[LEDGER_SLICES], answered[LEDGER_SLICES];
};

/** Forget everything; what was sent before does not count. */
void ledger_mark(struct ledger *l, uint64_t now);
void ledger_sent(struct ledger *l, uint64_t sent_ns);
/** The first answer to a packet that was sent at this instant. */
void ledger_answered(struct ledger *l, uint64_t sent_ns);
/** The next slice, from `*slice` on, with packets that were not answered: begin and number. Returns
 *  0 when there is none; else their number, and `*slice` is the one after it. */
uint32_t ledger_next(const struct ledger *l, uint32_t *slice, uint64_t *begin_ns);

#endif
