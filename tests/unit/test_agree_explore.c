/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Agreement, exhaustively: three acceptors, two of them proposers, every order of events, every
 * reachable state. A message says what its sender holds at the moment it arrives, so that losing
 * and repeating it are orders of events too.
 *
 * The judge does not ask the protocol what is decided. It watches the acceptors: what a majority
 * has accepted under one ballot is chosen, and nothing else ever may be.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "agree_node.h"
#include "hash.h"

/* ---- exhaustive --------------------------------------------------------------------------------
 */

#define SMALL 3u
#define SEEN_MAX (1u << 20)

struct small {
	struct node node[SMALL];
	unsigned proposals_left[SMALL];
	uint64_t chosen; /**< digest, 0: none yet */
};

struct search {
	uint64_t *seen; /**< open addressing; 0: free */
	unsigned states, chosen, forced;
};

static struct peer small_peers[SMALL][HAVEN_NODES_MAX];

/* Each proposer wants another value: itself as the first holder. */
static struct view small_wish(const struct node *n)
{
	struct view v = n->agree.view;

	v.epoch++;
	v.author = n->config.self;
	v.instance[0].holder = n->config.self;
	v.instance[0].in_sync = node_bit(n->config.self);
	return v;
}

static void small_progress(struct node *n, struct search *s)
{
	struct view v;
	bool forced, formation;

	agree_reconsider(&n->agree, &n->config, &n->facts, NOW);
	if (agree_promises(&n->agree, &n->config, &n->facts, &forced, &formation, &v) != 1)
		return;
	if (!forced)
		v = small_wish(n);
	s->forced += forced;
	agree_propose_value(&n->agree, &n->config, &n->facts, &v, forced, NOW);
}

static uint64_t small_hash(const struct small *w)
{
	uint64_t h = w->chosen;

	for (unsigned k = 0; k < SMALL; k++) {
		const struct agree *a = &w->node[k].agree;
		uint64_t x[] = {w->proposals_left[k],
				a->promised,
				a->accepted,
				a->accepted_digest,
				a->phase,
				a->ballot,
				a->phase == AGREE_ACCEPT ? view_digest(&a->value) : 0,
				a->value_forced,
				a->round_seen,
				a->heard_ballot,
				a->heard_digest,
				a->heard_proposed,
				a->heard_forced};

		h = hash_bytes(x, sizeof(x), h);
		for (unsigned n = 0; n < SMALL; n++) {
			const struct agree_vote *o = &a->vote[n];
			uint64_t y[] = {o->promised, o->accepted, o->digest};

			h = hash_bytes(y, sizeof(y), h);
		}
	}
	return h ? h : 1;
}

static bool search_is_new(struct search *s, uint64_t h)
{
	uint64_t at = h % SEEN_MAX;

	while (s->seen[at] && s->seen[at] != h)
		at = (at + 1) % SEEN_MAX;
	if (s->seen[at])
		return false;
	s->seen[at] = h;
	cr_assert_lt(++s->states, SEEN_MAX / 4 * 3, "the exploration is meant to be complete");
	return true;
}

static void small_judge(struct small *w, struct search *s)
{
	for (unsigned i = 0; i < SMALL; i++)
		for (unsigned j = i + 1; j < SMALL; j++) {
			const struct agree *a = &w->node[i].agree, *b = &w->node[j].agree;

			if (!a->accepted || a->accepted != b->accepted)
				continue;
			cr_assert_eq(a->accepted_digest, b->accepted_digest,
				     "one ballot, one value");
			cr_assert(!w->chosen || w->chosen == a->accepted_digest, "two values");
			s->chosen += !w->chosen;
			w->chosen = a->accepted_digest;
		}
	for (unsigned i = 0; i < SMALL; i++) {
		struct node *n = &w->node[i];
		uint64_t start;
		struct view v;

		if (agree_decided(&n->agree, &n->config, &n->facts, &v, &start))
			cr_assert_eq(view_digest(&v), w->chosen, "only the chosen is decided");
	}
}

/* Act k of the world: a proposal begins, or `to` learns what `from` says right now. */
static bool small_act(struct small *w, unsigned k, struct search *s)
{
	unsigned from = k % SMALL, to = k / SMALL % SMALL;
	struct node *n = &w->node[from], *m = &w->node[to];
	struct frame_beat beat;

	switch (k / (SMALL * SMALL)) {
	case 0:
		if (to != from || w->proposals_left[from] == 0)
			return false;
		w->proposals_left[from]--;
		node_propose(n);
		break;
	case 1:
		if (to == from)
			return false;
		beat = node_beat(n);
		node_hear_beat(m, from, &beat);
		break;
	case 2:
		if (to == from || n->agree.phase != AGREE_ACCEPT)
			return false;
		agree_on_proposal(&m->agree, &m->config, &m->facts, n->agree.ballot,
				  &n->agree.value, n->agree.value_forced, NOW);
		break;
	default:
		if (to == from || !n->agree.accepted)
			return false;
		agree_on_accepted_value(&m->agree, n->agree.accepted, &n->agree.accepted_view);
		break;
	}
	small_progress(m, s);
	small_judge(w, s);
	return true;
}

static void small_explore(const struct small *from, struct search *s)
{
	struct small *w = malloc(sizeof(*w));

	cr_assert_not_null(w);
	for (unsigned k = 0; k < 4 * SMALL * SMALL; k++) {
		memcpy(w, from, sizeof(*w));
		if (small_act(w, k, s) && search_is_new(s, small_hash(w)))
			small_explore(w, s);
	}
	free(w);
}

static void small_try(unsigned of_node_0, unsigned of_node_1, unsigned of_node_2)
{
	static struct small w;
	struct view v = first_view(SMALL);
	struct search s = {.seen = calloc(SEEN_MAX, sizeof(uint64_t))};

	cr_assert_not_null(s.seen);
	for (unsigned k = 0; k < SMALL; k++) {
		for (unsigned n = 0; n < SMALL; n++)
			small_peers[k][n].incarnation = n == k ? 0 : n + 1;
		node_start(&w.node[k], k, SMALL, k + 1, small_peers[k]);
		agree_commit(&w.node[k].agree, &v, 0);
	}
	w.proposals_left[0] = of_node_0;
	w.proposals_left[1] = of_node_1;
	w.proposals_left[2] = of_node_2;
	small_explore(&w, &s);
	cr_expect_gt(s.chosen, 0);
	cr_expect_gt(s.forced, 0);
	free(s.seen);
}

Test(agree_explore, the_coordinator_against_one_proposer)
{
	small_try(1, 1, 0);
}

Test(agree_explore, two_proposers_without_the_coordinator)
{
	small_try(0, 1, 1);
}
