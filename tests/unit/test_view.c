/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

#include "frame.h"
#include "prng.h"
#include "view.h"

static struct view three_nodes(void)
{
	struct view v;

	memset(&v, 0, sizeof(v));
	v.epoch = 7;
	v.author = 1;
	v.n_nodes = 3;
	v.n_instances = 2;
	v.members = 7;
	v.incarnation[0] = 11;
	v.incarnation[1] = 12;
	v.incarnation[2] = 13;
	v.instance[0] = (struct view_instance){.holder = 0, .assigned = 2, .in_sync = 3};
	v.instance[1] = (struct view_instance){.holder = HAVEN_NODE_NONE, .in_sync = 2};
	return v;
}

static size_t encoded(const struct view *v, uint8_t *out)
{
	struct bytes_writer w = bytes_writer_init(out, VIEW_BYTES_MAX);

	view_encode(v, &w);
	cr_assert(!w.failed);
	return w.used;
}

static bool decodes(const uint8_t *bytes, size_t n, struct view *out)
{
	struct bytes_reader r = bytes_reader_init(bytes, n);

	return view_decode(out, &r) && r.left == 0;
}

static bool well_formed(struct view v)
{
	uint8_t bytes[VIEW_BYTES_MAX];
	struct view out;

	return decodes(bytes, encoded(&v, bytes), &out);
}

static bool equal(const struct view *a, const struct view *b)
{
	if (a->epoch != b->epoch || a->author != b->author || a->formation != b->formation ||
	    a->n_nodes != b->n_nodes || a->n_instances != b->n_instances ||
	    a->members != b->members)
		return false;
	for (unsigned n = 0; n < HAVEN_NODES_MAX; n++)
		if (a->incarnation[n] != b->incarnation[n])
			return false;
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		if (a->instance[i].holder != b->instance[i].holder ||
		    a->instance[i].assigned != b->instance[i].assigned ||
		    a->instance[i].in_sync != b->instance[i].in_sync ||
		    a->instance[i].lineage != b->instance[i].lineage)
			return false;
	return true;
}

/* Any view that the rules allow. */
static struct view random_view(struct prng *p)
{
	struct view v;

	memset(&v, 0, sizeof(v));
	v.epoch = 1 + (prng_next(p) >> prng_below(p, 64)) / 2;
	v.n_nodes = (uint8_t)(1 + prng_below(p, HAVEN_NODES_MAX));
	v.n_instances = (uint8_t)prng_below(p, HAVEN_INSTANCES_MAX + 1);
	v.author = (uint8_t)prng_below(p, v.n_nodes);
	v.formation = (uint8_t)prng_below(p, 2);
	for (unsigned n = 0; n < v.n_nodes; n++) {
		v.incarnation[n] = prng_next(p);
		v.members |= prng_below(p, 2) ? node_bit(n) : 0;
	}
	for (unsigned i = 0; i < v.n_instances; i++) {
		struct view_instance *in = &v.instance[i];
		uint32_t all = v.n_nodes == 32 ? UINT32_MAX : node_bit(v.n_nodes) - 1;

		in->holder = HAVEN_NODE_NONE;
		in->in_sync = (uint32_t)prng_next(p) & all;
		in->lineage = (uint16_t)prng_next(p);
		if (!prng_below(p, 3))
			continue;
		in->holder = (uint8_t)prng_below(p, v.n_nodes);
		in->assigned = (uint32_t)prng_next(p) & all & ~node_bit(in->holder);
		in->in_sync = (in->in_sync & in->assigned) | node_bit(in->holder);
	}
	return v;
}

Test(view, every_well_formed_view_comes_back_equal)
{
	struct prng p = {3};

	for (unsigned round = 0; round < 5000; round++) {
		uint8_t bytes[VIEW_BYTES_MAX];
		struct view v = random_view(&p), out;
		size_t n = encoded(&v, bytes);

		cr_assert(decodes(bytes, n, &out), "round %u", round);
		cr_assert(equal(&v, &out), "round %u", round);
		cr_assert_eq(view_digest(&v), view_digest(&out));
	}
}

Test(view, the_largest_cluster_fits_one_frame)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	struct frame f, got;
	struct view *v = &f.u.view.view;
	size_t n;

	memset(&f, 0, sizeof(f));
	f.type = FRAME_VIEW;
	f.dst = 1;
	f.src_incarnation = 1;
	v->epoch = UINT64_MAX;
	v->author = HAVEN_NODES_MAX - 1;
	v->n_nodes = HAVEN_NODES_MAX;
	v->n_instances = HAVEN_INSTANCES_MAX;
	v->members = UINT32_MAX;
	for (unsigned k = 0; k < HAVEN_NODES_MAX; k++)
		v->incarnation[k] = UINT64_MAX - k;
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		v->instance[i] = (struct view_instance){.holder = (uint8_t)(i % HAVEN_NODES_MAX),
							.assigned = ~node_bit(i % HAVEN_NODES_MAX),
							.in_sync = UINT32_MAX,
							.lineage = UINT16_MAX};
	n = frame_encode(&f, bytes, sizeof(bytes));
	cr_assert_gt(n, VIEW_BYTES_MAX);
	cr_assert_eq(frame_decode(bytes, n, &got), FRAME_OK);
	cr_assert(equal(v, &got.u.view.view));
}

Test(view, every_truncation_is_refused)
{
	uint8_t bytes[VIEW_BYTES_MAX];
	struct view v = three_nodes(), out;
	size_t n = encoded(&v, bytes);

	for (size_t cut = 0; cut < n; cut++)
		cr_assert_not(decodes(bytes, cut, &out), "cut to %zu", cut);
	cr_assert(decodes(bytes, n, &out));
}

Test(view, every_changed_byte_is_refused_or_another_view)
{
	uint8_t bytes[VIEW_BYTES_MAX], again[VIEW_BYTES_MAX];
	struct view v = three_nodes(), out;
	size_t n = encoded(&v, bytes);

	for (size_t at = 0; at < n; at++) {
		uint8_t was = bytes[at];

		for (unsigned to = 0; to < 256; to++) {
			bytes[at] = (uint8_t)to;
			if (to == was || !decodes(bytes, n, &out))
				continue;
			cr_assert_eq(encoded(&out, again), n);
			cr_assert_arr_eq(again, bytes, n, "byte %zu is %u", at, to);
			cr_assert_neq(view_digest(&out), view_digest(&v), "byte %zu", at);
		}
		bytes[at] = was;
	}
}

#define MALFORMED(change)                                                                          \
	do {                                                                                       \
		struct view v = three_nodes();                                                     \
		change;                                                                            \
		cr_expect_not(well_formed(v), "%s", #change);                                      \
	} while (0)

Test(view, rules_of_the_head)
{
	cr_expect(well_formed(three_nodes()));
	MALFORMED(v.epoch = 0);
	MALFORMED(v.author = 3);
	MALFORMED(v.formation = 2);
	MALFORMED((v.n_nodes = 0, v.n_instances = 0));
	MALFORMED(v.members |= node_bit(3));
}

/* Counts past the limits are refused before anything is read by them. */
Test(view, counts_beyond_the_limits_are_refused)
{
	uint8_t bytes[VIEW_BYTES_MAX + 256] = {0};
	struct view v = three_nodes(), out;
	const size_t nodes_at = 10, instances_at = 11;

	encoded(&v, bytes);
	bytes[nodes_at] = HAVEN_NODES_MAX + 1;
	cr_expect_not(decodes(bytes, sizeof(bytes), &out));
	bytes[nodes_at] = 3;
	bytes[instances_at] = HAVEN_INSTANCES_MAX + 1;
	cr_expect_not(decodes(bytes, sizeof(bytes), &out));
}

Test(view, rules_of_an_instance)
{
	MALFORMED(v.instance[0].holder = 3);
	MALFORMED(v.instance[0].assigned |= node_bit(0)); /* the holder is not its own secondary */
	MALFORMED(v.instance[0].assigned |= node_bit(3));
	MALFORMED(v.instance[0].in_sync |= node_bit(3));
	MALFORMED(v.instance[0].in_sync |= node_bit(2));  /* in sync, but not assigned */
	MALFORMED(v.instance[0].in_sync &= ~node_bit(0)); /* the holder always is */
	MALFORMED(v.instance[1].assigned = node_bit(2));  /* nobody to copy from */
}

Test(view, the_digest_tells_every_field)
{
	const struct view base = three_nodes();
	const uint64_t digest = view_digest(&base);
	struct view v;

#define OTHER_DIGEST(change)                                                                       \
	v = base;                                                                                  \
	change;                                                                                    \
	cr_expect_neq(view_digest(&v), digest, "%s", #change)
	OTHER_DIGEST(v.epoch++);
	OTHER_DIGEST(v.author = 0);
	OTHER_DIGEST(v.formation = 1);
	OTHER_DIGEST(v.members = 3);
	OTHER_DIGEST(v.incarnation[2]++);
	OTHER_DIGEST(v.instance[0].holder = 1);
	OTHER_DIGEST(v.instance[0].assigned = 6);
	OTHER_DIGEST(v.instance[0].in_sync = 1);
	OTHER_DIGEST(v.instance[1].lineage = 1);
	OTHER_DIGEST(v.n_instances = 1);
}

Test(view, the_digest_looks_at_nothing_beyond_the_counts)
{
	struct view a = three_nodes(), b = a;

	b.incarnation[3] = 99;
	b.instance[2].holder = 1;
	cr_expect_eq(view_digest(&a), view_digest(&b));
}

Test(view, same_body_overlooks_when_and_by_whom_it_was_written)
{
	const struct view base = three_nodes();
	struct view v = base;

	v.epoch = 99;
	v.author = 2;
	cr_expect(view_same_body(&base, &v));
	v.members = 3;
	cr_expect_not(view_same_body(&base, &v));
	v = base;
	v.instance[1].lineage = 1;
	cr_expect_not(view_same_body(&base, &v));
	v = base;
	v.incarnation[0]++;
	cr_expect_not(view_same_body(&base, &v));
}

Test(view, a_node_out_of_range_is_in_no_set)
{
	cr_expect_eq(node_bit(0), 1);
	cr_expect_eq(node_bit(31), 0x80000000u);
	cr_expect_eq(node_bit(32), 0);
	cr_expect_eq(node_bit(HAVEN_NODE_NONE), 0);
}
