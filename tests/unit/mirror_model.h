/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A model of a checkpoint lane and of its replica, small enough to be seen right: arrays instead of
 * shared memory, items instead of bytes. It follows the contract of datapath/mirror_io.h.
 */
#ifndef MIRROR_MODEL_H
#define MIRROR_MODEL_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "prng.h"

#define MODEL_KEYS 20u
#define MODEL_LOG 4096u
#define MODEL_PER_FRAME 3u

/** An entry; key k stands at index k + 1. A free one keeps the sequence that freed it. */
struct model_entry {
	bool live;
	uint32_t value;
	uint64_t seq;
};

struct model_record {
	unsigned key;
	bool put, commit;
	uint32_t value;
};

/** What the application writes. */
struct model_lane {
	struct model_entry entry[MODEL_KEYS];
	struct model_record log[MODEL_LOG]; /**< record s stands at s */
	uint64_t written, committed;
};

struct model_item {
	unsigned key;
	uint64_t seq;
	struct model_record record;
};

struct model_payload {
	unsigned n;
	struct model_item item[MODEL_PER_FRAME];
	uint64_t floor; /**< ENTRIES: greatest sequence among those looked at */
};

struct model_replica {
	struct model_entry entry[MODEL_KEYS];
	struct model_record staged[64];
	unsigned n_staged;
	uint64_t applied, floor;
};

static inline void model_write(struct model_lane *l, struct prng *p)
{
	unsigned key = (unsigned)prng_below(p, MODEL_KEYS);
	struct model_entry *e = &l->entry[key];
	bool put = !e->live || prng_below(p, 3) != 0;

	cr_assert_lt(l->written + 1, MODEL_LOG);
	l->written++;
	*e = (struct model_entry){.live = put, .value = (uint32_t)l->written, .seq = l->written};
	l->log[l->written] = (struct model_record){.key = key, .put = put, .value = e->value};
}

static inline void model_commit(struct model_lane *l)
{
	if (l->committed == l->written)
		return;
	l->log[l->written].commit = true;
	l->committed = l->written;
}

/** Some writes, and mostly a commit: called between any two acts of the sender. */
static inline void model_work(struct model_lane *l, struct prng *p)
{
	for (uint64_t k = prng_below(p, 3); k > 0; k--)
		model_write(l, p);
	if (prng_below(p, 3) || l->written - l->committed > 8)
		model_commit(l);
}

static inline void model_fill_records(const struct model_lane *l, uint64_t first, uint32_t count,
				      struct model_payload *out)
{
	cr_assert_leq(count, MODEL_PER_FRAME);
	cr_assert_leq(first + count - 1, l->committed, "only committed records are sent");
	for (out->n = 0; out->n < count; out->n++)
		out->item[out->n] = (struct model_item){.seq = first + out->n,
							.key = l->log[first + out->n].key,
							.record = l->log[first + out->n]};
}

static inline void model_fill_entries(const struct model_lane *l, uint32_t first, uint32_t count,
				      struct model_payload *out)
{
	cr_assert_leq(count, MODEL_PER_FRAME);
	for (uint32_t i = first; i < first + count; i++) {
		const struct model_entry *e = &l->entry[i - 1];

		if (e->live && e->seq <= l->committed)
			out->item[out->n++] =
				(struct model_item){.seq = e->seq,
						    .key = i - 1,
						    .record = {.put = true, .value = e->value}};
		if (e->seq > out->floor)
			out->floor = e->seq;
	}
}

static inline void model_reset(struct model_replica *r, uint64_t committed)
{
	memset(r, 0, sizeof(*r));
	r->applied = committed;
}

static inline void model_apply_records(struct model_replica *r, const struct model_payload *p)
{
	for (unsigned k = 0; k < p->n; k++) {
		const struct model_item *it = &p->item[k];

		if (it->seq <= r->applied + r->n_staged)
			continue;
		cr_assert_eq(it->seq, r->applied + r->n_staged + 1, "records come without gap");
		r->staged[r->n_staged++] = it->record;
		if (!it->record.commit)
			continue;
		for (unsigned s = 0; s < r->n_staged; s++) {
			r->applied++;
			r->entry[r->staged[s].key] =
				(struct model_entry){.live = r->staged[s].put,
						     .value = r->staged[s].value,
						     .seq = r->applied};
		}
		r->n_staged = 0;
	}
}

static inline void model_apply_entries(struct model_replica *r, const struct model_payload *p)
{
	for (unsigned k = 0; k < p->n; k++) {
		const struct model_item *it = &p->item[k];
		struct model_entry *e = &r->entry[it->key];

		if (it->seq <= r->applied && (!e->live || e->seq < it->seq))
			*e = (struct model_entry){
				.live = true, .value = it->record.value, .seq = it->seq};
	}
	if (p->floor > r->floor)
		r->floor = p->floor;
}

/** The position a replica reports: one less than applied until it is whole. */
static inline uint64_t model_position(const struct model_replica *r)
{
	return r->applied && r->applied < r->floor ? r->applied - 1 : r->applied;
}

/** Is the replica what the application had committed up to `applied`, and nothing else? */
static inline bool model_equals_prefix(const struct model_replica *r, const struct model_lane *l)
{
	struct model_entry want[MODEL_KEYS];

	memset(want, 0, sizeof(want));
	for (uint64_t s = 1; s <= r->applied; s++)
		want[l->log[s].key] = (struct model_entry){
			.live = l->log[s].put, .value = l->log[s].value, .seq = s};
	for (unsigned k = 0; k < MODEL_KEYS; k++)
		if (want[k].live != r->entry[k].live ||
		    (want[k].live && want[k].value != r->entry[k].value))
			return false;
	return true;
}

#endif
