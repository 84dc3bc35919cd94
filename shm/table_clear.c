/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Emptying a lane: nothing in it counts any more. It may run beside readers, and a death in the
 * middle of it is found by who takes the lane over (T6).
 */
#include "table.h"
#include "table_place.h"
#include "words.h"

/** Every block is as if it had never been written. */
static void blocks_clear(const struct table_place *p, uint32_t end)
{
	static const uint8_t zero[sizeof(uint32_t) + TABLE_VALUE_MAX];

	for (uint32_t i = 1; i < end; i++) {
		struct table_entry *e = table_place_entry(p, i);
		uint32_t odd = table_place_open(e);

		store_relaxed(&e->seq, 0);
		bytes_store(e->data, zero, p->g->shape.key_bytes + p->g->shape.value_bytes);
		table_place_shut(e, odd);
	}
}

/** Every head in use leads to a live entry. So few entries are followed home one by one; with many
 *  it is cheaper to wipe all heads. */
static void heads_clear(const struct table *t, const struct table_place *p, uint32_t end)
{
	if (end < p->g->lane_heads / 8) {
		for (uint32_t i = 1; i < end; i++) {
			struct table_entry *e = table_place_entry(p, i);

			if (load_relaxed(&e->seq))
				store_relaxed(table_place_head(p, e->data, t->hash_seed), 0);
		}
	} else {
		/* A reader may be walking from any of them. */
		for (uint32_t i = 0; i < p->g->lane_heads; i++)
			store_relaxed(&p->heads[i], 0);
	}
}

void table_lane_clear(struct table *t, unsigned lane, uint64_t committed_seq)
{
	struct table_lane_header *h;
	struct table_place p;
	uint32_t end;

	if (lane >= t->geometry.shape.lanes)
		return;
	p = table_place(t, lane);
	h = p.header;
	end = table_scan_end(t, lane);
	table_place_changing(&p, TABLE_CLEARING);
	if (table_is_region(t))
		blocks_clear(&p, end);
	else
		heads_clear(t, &p, end);
	if (table_is_dirty(t))
		table_dirty_none(&p, end);
	store_release(&h->unlinks, load_relaxed(&h->unlinks) + 1); /* T5 */
	fence_release();
	store_relaxed(&h->free_head, 0);
	store_relaxed(&h->live, 0);
	store_release(&h->never_used, 1);
	table_applied(t, lane, committed_seq);
}
