/* SPDX-License-Identifier: BSD-3-Clause */
#include "lab_ledger.h"

#include <string.h>

void ledger_mark(struct ledger *l, uint64_t now)
{
	memset(l, 0, sizeof(*l));
	l->from_ns = now;
}

static uint32_t slice_of(const struct ledger *l, uint64_t at_ns)
{
	uint64_t slice = (at_ns - l->from_ns) / LEDGER_SLICE_NS;

	return slice < LEDGER_SLICES ? (uint32_t)slice : LEDGER_SLICES - 1;
}

void ledger_sent(struct ledger *l, uint64_t sent_ns)
{
	uint32_t slice;

	if (sent_ns < l->from_ns)
		return;
	slice = slice_of(l, sent_ns);
	l->sent[slice]++;
	if (slice >= l->used)
		l->used = slice + 1;
}

void ledger_answered(struct ledger *l, uint64_t sent_ns)
{
	if (sent_ns >= l->from_ns)
		l->answered[slice_of(l, sent_ns)]++;
}

uint32_t ledger_next(const struct ledger *l, uint32_t *slice, uint64_t *begin_ns)
{
	while (*slice < l->used) {
		uint32_t at = (*slice)++;

		if (l->sent[at] > l->answered[at]) {
			*begin_ns = l->from_ns + at * LEDGER_SLICE_NS;
			return l->sent[at] - l->answered[at];
		}
	}
	return 0;
}
