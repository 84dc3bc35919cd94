/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The planner over every combination of what two nodes may know of each other, and over random
 * combinations for three to five: whatever it is told, its answer keeps the rules, and once the
 * answer is the view it has nothing more to say.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "plan.h"
#include "prng.h"

#define NONE HAVEN_NODE_NONE

static uint32_t bit(unsigned n)
{
	return n < HAVEN_NODES_MAX ? 1u << n : 0;
}

static bool copy_gone(const struct plan_input *in, unsigned n, unsigned i)
{
	return (in->node[n].alive && !in->node[n].intact) || (in->node[n].lost >> i & 1);
}

static bool all_copies_gone(const struct plan_input *in, unsigned i)
{
	for (unsigned n = 0; n < in->n_nodes; n++)
		if ((in->instance[i].in_sync & bit(n)) && !copy_gone(in, n, i))
			return false;
	return true;
}

static bool stays(const struct plan_input *in, unsigned i)
{
	uint8_t h = in->instance[i].holder;

	return h != NONE && in->node[h].alive && in->node[h].intact &&
	       !(in->node[h].released >> i & 1);
}

/* What the next view must be like by itself. */
static void check_form(const struct plan_input *in, const struct plan_output *out, unsigned i)
{
	const struct plan_instance *p = &in->instance[i];
	uint8_t h = out->instance[i].holder;
	uint32_t assigned = out->instance[i].assigned, in_sync = out->instance[i].in_sync;

	if (h == NONE) {
		cr_assert_eq(assigned, 0);
		return;
	}
	cr_assert(out->members & bit(h), "the holder is a member");
	cr_assert(in_sync & bit(h), "the holder has its own state");
	cr_assert_eq(in_sync & ~(assigned | bit(h)), 0, "who is in sync is assigned");
	cr_assert_eq(assigned & ~(p->eligible & out->members & ~bit(h)), 0);
	cr_assert_leq((unsigned)__builtin_popcount(assigned), p->secondaries);
}

/* What it may make of the view before. */
static void check_change(const struct plan_input *in, const struct plan_output *out, unsigned i)
{
	const struct plan_instance *p = &in->instance[i];
	uint8_t h = out->instance[i].holder;
	uint32_t added = out->instance[i].in_sync & ~p->in_sync;
	bool fresh = p->in_sync == 0 || all_copies_gone(in, i);

	if (stays(in, i)) {
		cr_assert_eq(h, p->holder, "a holder that lives and wants keeps its role");
		cr_assert(!added || (in->self == h && !(added & ~p->caught_up)),
			  "only the holder adds, and only who caught up");
		for (unsigned n = 0; n < in->n_nodes; n++)
			cr_assert(n == h || !(out->instance[i].in_sync & bit(n)) ||
					  !copy_gone(in, n, i),
				  "who is in sync has a copy");
		cr_assert_not(out->state_lost >> i & 1);
		return;
	}
	cr_assert_eq(out->state_lost >> i & 1, fresh && p->in_sync != 0);
	if (h == NONE) {
		cr_assert(fresh ? out->instance[i].in_sync == 0
				: out->instance[i].in_sync != 0 && !added);
		return;
	}
	cr_assert_eq(out->instance[i].in_sync, bit(h), "alone until others have caught up");
	cr_assert(fresh || ((p->in_sync & bit(h)) && in->node[h].intact && !copy_gone(in, h, i)),
		  "a successor has every acknowledged record");
	cr_assert(in->node[h].alive && in->node[h].majority && (p->eligible & bit(h)) &&
		  (in->node[h].ready >> i & 1) && !(in->node[h].yielded >> i & 1));
}

static bool same(const struct plan_input *in, const struct plan_output *out)
{
	if (out->members != in->members)
		return false;
	for (unsigned n = 0; n < in->n_nodes; n++)
		if (in->node[n].alive && !in->node[n].intact)
			return false;
	for (unsigned i = 0; i < in->n_instances; i++)
		if (out->instance[i].holder != in->instance[i].holder ||
		    out->instance[i].assigned != in->instance[i].assigned ||
		    out->instance[i].in_sync != in->instance[i].in_sync ||
		    (out->state_lost >> i & 1))
			return false;
	return true;
}

/* The answer has become the view. The facts are what they were, except what the new view itself
 * changes: who was named is admitted and has begun, what was given up is given up no more, what was
 * asked for is done. */
static struct plan_input next_input(const struct plan_input *in, const struct plan_output *out)
{
	struct plan_input next = *in;

	next.members = out->members;
	for (unsigned n = 0; n < in->n_nodes; n++) {
		next.node[n].intact |= in->node[n].alive;
		next.node[n].released = next.node[n].yielded = 0;
	}
	for (unsigned i = 0; i < in->n_instances; i++) {
		struct plan_instance *p = &next.instance[i];

		p->holder = out->instance[i].holder;
		p->assigned = out->instance[i].assigned;
		p->in_sync = out->instance[i].in_sync;
		p->caught_up &= stays(in, i) ? ~p->in_sync : 0;
		for (unsigned n = 0; n < in->n_nodes; n++)
			if (copy_gone(in, n, i)) /* it begins again */
				p->caught_up &= ~bit(n);
		p->stuck = 0;
		p->target = NONE;
		if (p->holder != NONE && !stays(in, i))
			next.node[p->holder].lost &= ~((uint64_t)1 << i);
	}
	return next;
}

/* A node may have been passed over for the role that it has just given up. */
static bool somebody_stood_back(const struct plan_input *in, const struct plan_output *out)
{
	for (unsigned i = 0; i < in->n_instances; i++)
		for (unsigned n = 0; n < in->n_nodes; n++)
			if (out->instance[i].holder == NONE && (in->node[n].yielded >> i & 1))
				return true;
	return false;
}

static void check_settled(const struct plan_input *in, const struct plan_output *out)
{
	struct plan_input next = next_input(in, out);
	struct plan_output again;

	plan_make(&next, &again);
	if (again.reason != PLAN_NONE && somebody_stood_back(in, out)) {
		next = next_input(&next, &again);
		plan_make(&next, &again);
	}
	cr_assert_eq(again.reason, PLAN_NONE, "reason %d after %d", again.reason, out->reason);
	cr_assert(same(&next, &again));
}

static void check(const struct plan_input *in)
{
	struct plan_output out;

	plan_make(in, &out);
	for (unsigned n = 0; n < in->n_nodes; n++)
		cr_assert_eq((out.members >> n & 1), in->node[n].alive);
	for (unsigned i = 0; i < in->n_instances; i++) {
		check_form(in, &out, i);
		check_change(in, &out, i);
	}
	if (!same(in, &out))
		cr_assert_neq(out.reason, PLAN_NONE, "a change without a reason");
	check_settled(in, &out);
}

/* ---- every combination for two nodes
 * -------------------------------------------------------------- */

/** Draws the digits of a number in mixed base: each call gives the next digit. */
static unsigned digit(uint64_t *rest, unsigned base)
{
	unsigned d = (unsigned)(*rest % base);

	*rest /= base;
	return d;
}

static void draw_node(struct plan_node *n, unsigned self, uint64_t *x)
{
	unsigned given_up;

	n->alive = digit(x, 2);
	n->intact = digit(x, 2);
	n->majority = digit(x, 2);
	n->ready = digit(x, 2);
	n->lost = digit(x, 2);
	given_up = digit(x, 3);
	n->released = given_up > 0;
	n->yielded = given_up > 1;
	n->hears = bit(self) | (self == 0 && digit(x, 2) ? 2 : 0);
}

/* Holder, secondaries and in-sync set, as a view may have them. */
static void draw_view(struct plan_instance *p, uint64_t *x)
{
	static const struct plan_instance views[] = {
		{.holder = NONE, .in_sync = 0},
		{.holder = NONE, .in_sync = 1},
		{.holder = NONE, .in_sync = 2},
		{.holder = NONE, .in_sync = 3},
		{.holder = 0, .in_sync = 1},
		{.holder = 0, .assigned = 2, .in_sync = 1},
		{.holder = 1, .in_sync = 2},
		{.holder = 0, .assigned = 2, .in_sync = 3},
		{.holder = 1, .assigned = 1, .in_sync = 2},
		{.holder = 1, .assigned = 1, .in_sync = 3},
	};

	*p = views[digit(x, sizeof(views) / sizeof(views[0]))];
	p->eligible = 3;
	p->secondaries = 1;
	p->target = digit(x, 2) ? 1 : NONE;
	p->preferred = digit(x, 2) ? 1 : NONE;
	p->caught_up = digit(x, 2) ? p->assigned & ~p->in_sync : 0;
	p->stuck = digit(x, 2) ? p->assigned & p->in_sync : 0;
}

Test(plan_every, combination_of_two_nodes)
{
	const uint64_t combinations = 96ull * 2 * 96 * 10 * 2 * 2 * 2 * 2;

	for (uint64_t k = 0; k < combinations; k++) {
		struct plan_input in;
		uint64_t x = k;

		memset(&in, 0, sizeof(in));
		in.n_nodes = 2;
		in.n_instances = 1;
		in.members = 3;
		draw_node(&in.node[0], 0, &x);
		draw_node(&in.node[1], 1, &x);
		draw_view(&in.instance[0], &x);
		cr_assert_eq(x, 0);
		check(&in);
	}
}

/* ---- random combinations for more
 * ----------------------------------------------------------------- */

static bool mostly(struct prng *p)
{
	return prng_below(p, 4) != 0;
}

static uint32_t any_of(struct prng *p, unsigned n_nodes)
{
	return (uint32_t)prng_next(p) & (bit(n_nodes) - 1);
}

static void random_instance(struct prng *p, const struct plan_input *in, struct plan_instance *out)
{
	unsigned n = in->n_nodes;

	out->eligible = any_of(p, n);
	out->preferred = mostly(p) ? (uint8_t)prng_below(p, n) : NONE;
	out->target = mostly(p) ? NONE : (uint8_t)prng_below(p, n);
	out->secondaries = (uint8_t)prng_below(p, n);
	out->holder = NONE;
	out->in_sync = mostly(p) ? any_of(p, n) : 0;
	if (!mostly(p))
		return;
	out->holder = (uint8_t)prng_below(p, n);
	out->assigned = any_of(p, n) & ~bit(out->holder);
	out->in_sync = (out->in_sync & out->assigned) | bit(out->holder);
	out->caught_up = any_of(p, n) & out->assigned & ~out->in_sync;
	out->stuck = any_of(p, n) & out->in_sync & ~bit(out->holder);
}

Test(plan_every, kind_of_larger_cluster)
{
	struct prng p = {4};

	for (unsigned round = 0; round < 300000; round++) {
		struct plan_input in;

		memset(&in, 0, sizeof(in));
		in.n_nodes = (uint8_t)(3 + prng_below(&p, 3));
		in.n_instances = (uint8_t)(1 + prng_below(&p, 3));
		in.self = (uint8_t)prng_below(&p, in.n_nodes);
		in.members = any_of(&p, in.n_nodes);
		for (unsigned n = 0; n < in.n_nodes; n++) {
			struct plan_node *o = &in.node[n];

			o->alive = mostly(&p);
			o->intact = mostly(&p);
			o->majority = mostly(&p);
			o->hears = bit(n) | any_of(&p, in.n_nodes);
			o->ready = prng_next(&p) & 7;
			o->released = prng_next(&p) & prng_next(&p) & 7;
			o->yielded = o->released & prng_next(&p);
			o->lost = prng_next(&p) & prng_next(&p) & 7;
		}
		for (unsigned i = 0; i < in.n_instances; i++)
			random_instance(&p, &in, &in.instance[i]);
		check(&in);
	}
}
