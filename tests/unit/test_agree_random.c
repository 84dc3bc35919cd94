/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Agreement at random: three and five nodes, many slots, messages lost, repeated, late by any time
 * and in any order, voters that suspect each other, restart and forget.
 *
 * The judge does not ask the protocol what is decided. It watches the acceptors: what a majority of
 * voters with memory has accepted under one ballot is chosen, and nothing else ever may be.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "agree_node.h"
#include "prng.h"

#define NODES 5u
#define MAIL_MAX 64u
#define SLOTS_MAX 512u

struct mail {
	uint8_t from, to;
	uint64_t life; /**< sender's */
	bool is_beat;
	struct frame_beat beat;
	struct frame_view view;
};

/** What voters with memory accepted in one slot, per ballot; and what is therefore chosen. */
struct slot {
	uint64_t chosen;
	unsigned n;
	struct {
		ballot_t ballot;
		uint64_t digest;
		uint32_t voters;
	} vote[64];
};

struct world {
	struct prng prng;
	unsigned nodes, mails, lose_percent;
	struct node node[NODES];
	struct peer peers[NODES][HAVEN_NODES_MAX];
	struct mail mail[MAIL_MAX];
	struct slot slot[SLOTS_MAX]; /**< by the epoch it follows */
	struct view newest;
	unsigned restarts;
	uint64_t seed;
};

static bool chance(struct world *w, unsigned percent)
{
	return prng_below(&w->prng, 100) < percent;
}

static unsigned any_node(struct world *w)
{
	return (unsigned)prng_below(&w->prng, w->nodes);
}

static bool node_has_memory(const struct node *n)
{
	return agree_admitted(&n->agree, n->config.self, n->life);
}

/* Node `k` has just accepted something. */
static void judge_accept(struct world *w, unsigned k)
{
	const struct agree *a = &w->node[k].agree;
	struct slot *s = &w->slot[a->view.epoch % SLOTS_MAX];
	unsigned at;

	if (!node_has_memory(&w->node[k]))
		return;
	for (at = 0; at < s->n && s->vote[at].ballot != a->accepted; at++)
		;
	cr_assert_lt(at, 64);
	if (at == s->n) {
		s->n++;
		s->vote[at].ballot = a->accepted;
		s->vote[at].digest = a->accepted_digest;
	}
	cr_assert_eq(s->vote[at].digest, a->accepted_digest, "one ballot, one value");
	s->vote[at].voters |= node_bit(k);
	if ((unsigned)__builtin_popcount(s->vote[at].voters) <= w->nodes / 2)
		return;
	cr_assert(!s->chosen || s->chosen == a->accepted_digest,
		  "seed %llu: two values chosen in the slot after epoch %llu",
		  (unsigned long long)w->seed, (unsigned long long)a->view.epoch);
	s->chosen = a->accepted_digest;
}

static void judge_commit(struct world *w, const struct view *v)
{
	cr_assert_eq(w->slot[(v->epoch - 1) % SLOTS_MAX].chosen, view_digest(v),
		     "seed %llu: epoch %llu was adopted, but not chosen",
		     (unsigned long long)w->seed, (unsigned long long)v->epoch);
	if (v->epoch > w->newest.epoch)
		w->newest = *v;
}

static void wish_instance(struct world *w, const struct node *n, struct view *v, unsigned i)
{
	const struct view *was = &n->agree.view;
	struct view_instance *in = &v->instance[i];
	uint32_t whole = 0;

	for (unsigned k = 0; k < w->nodes; k++)
		if ((in->in_sync & node_bit(k)) && was->incarnation[k] == v->incarnation[k])
			whole |= node_bit(k);
	if (in->in_sync == 0 || whole == 0) { /* never had state, or lost it */
		in->lineage = (uint16_t)(in->lineage + (in->in_sync != 0));
		in->holder = n->config.self;
		in->in_sync = node_bit(n->config.self);
	} else if (in->holder == n->config.self && (whole & node_bit(in->holder))) {
		in->in_sync = whole | ((uint32_t)prng_next(&w->prng) & v->members);
		in->in_sync &= whole | ~was->instance[i].in_sync;
	} else if (in->holder == HAVEN_NODE_NONE || !(whole & node_bit(in->holder)) ||
		   !n->facts.peers[in->holder].alive) {
		in->holder = (uint8_t)__builtin_ctz(whole);
		in->in_sync = node_bit(in->holder);
	} else {
		in->in_sync = whole;
	}
	in->assigned = in->in_sync & ~node_bit(in->holder);
	v->members |= in->in_sync;
}

/* Something that the rules permit, different every time. */
static struct view wish(struct world *w, const struct node *n)
{
	struct view v = n->agree.view;

	v.epoch++;
	v.author = n->config.self;
	v.members = node_bit(n->config.self) |
		    ((uint32_t)prng_next(&w->prng) & (node_bit(w->nodes) - 1));
	for (unsigned k = 0; k < w->nodes; k++)
		v.incarnation[k] = k == n->config.self ? n->life : n->facts.peers[k].incarnation;
	for (unsigned i = 0; i < v.n_instances; i++)
		wish_instance(w, n, &v, i);
	return v;
}

static void node_progress(struct world *w, unsigned k)
{
	struct node *n = &w->node[k];
	struct agree *a = &n->agree;
	ballot_t before = a->accepted;
	uint64_t start;
	struct view v;
	bool forced, formation;

	agree_reconsider(a, &n->config, &n->facts, NOW);
	if (agree_promises(a, &n->config, &n->facts, &forced, &formation, &v) == 1) {
		if (!forced)
			v = wish(w, n);
		agree_propose_value(a, &n->config, &n->facts, &v, forced, NOW);
	}
	if (a->accepted != before)
		judge_accept(w, k);
	if (agree_decided(a, &n->config, &n->facts, &v, &start)) {
		judge_commit(w, &v);
		agree_commit(a, &v, start);
	}
}

static void mail_deliver(struct world *w, const struct mail *m)
{
	struct node *n = &w->node[m->to];
	struct peer *p = &w->peers[m->to][m->from];
	ballot_t before = n->agree.accepted;

	if (m->life < p->incarnation)
		return;
	if (m->life > p->incarnation) {
		p->incarnation = m->life;
		agree_forget(&n->agree, m->from);
	}
	if (m->is_beat) {
		node_hear_beat(n, m->from, &m->beat);
	} else if (m->view.kind == FRAME_VIEW_COMMITTED) {
		if (m->view.view.epoch > n->agree.view.epoch)
			agree_commit(&n->agree, &m->view.view, NOW);
	} else if (m->view.base == n->agree.view.epoch) {
		if (m->view.kind == FRAME_VIEW_ACCEPTED)
			agree_on_accepted_value(&n->agree, m->view.ballot, &m->view.view);
		else
			agree_on_proposal(&n->agree, &n->config, &n->facts, m->view.ballot,
					  &m->view.view, m->view.kind == FRAME_VIEW_FORCED, NOW);
	}
	if (n->agree.accepted && n->agree.accepted != before)
		judge_accept(w, m->to);
	node_progress(w, m->to);
}

static void mail_post(struct world *w, struct mail m)
{
	if (w->mails == MAIL_MAX)
		w->mail[prng_below(&w->prng, MAIL_MAX)] = w->mail[--w->mails];
	w->mail[w->mails++] = m;
}

/* A node tells another one of the things that it may have to tell. */
static void node_tell(struct world *w, unsigned from, unsigned to)
{
	struct node *n = &w->node[from];
	const struct agree *a = &n->agree;
	struct mail m = {.from = (uint8_t)from, .to = (uint8_t)to, .life = n->life};

	n->facts.amnesic_ready = !node_has_memory(n);
	m.view.base = a->view.epoch;
	switch (prng_below(&w->prng, 4)) {
	case 0:
		if (a->phase != AGREE_ACCEPT)
			return;
		m.view.kind = a->value_forced ? FRAME_VIEW_FORCED : FRAME_VIEW_PROPOSED;
		m.view.ballot = a->ballot;
		m.view.view = a->value;
		break;
	case 1:
		m.view.kind = a->accepted ? FRAME_VIEW_ACCEPTED : FRAME_VIEW_COMMITTED;
		m.view.ballot = a->accepted;
		m.view.view = a->accepted ? a->accepted_view : a->view;
		if (!m.view.view.epoch)
			return;
		break;
	case 2:
		m.view.kind = FRAME_VIEW_COMMITTED;
		m.view.view = a->view;
		if (!a->view.epoch)
			return;
		break;
	default:
		m.is_beat = true;
		m.beat = node_beat(n);
	}
	mail_post(w, m);
}

/* Only when every other voter has been admitted with the memory it has now: a majority never
 * forgets at the same time. */
static void node_restart(struct world *w, unsigned k)
{
	for (unsigned n = 0; n < w->nodes; n++)
		if (n != k && w->newest.incarnation[n] != w->node[n].life)
			return;
	w->restarts++;
	memset(w->peers[k], 0, sizeof(w->peers[k]));
	node_start(&w->node[k], k, w->nodes, w->node[k].life + 100, w->peers[k]);
	for (unsigned n = 0; n < w->nodes; n++)
		w->peers[k][n].alive = true;
}

static void world_step(struct world *w, bool troubled)
{
	unsigned k = any_node(w), other = any_node(w);

	if (w->mails && chance(w, 50)) {
		unsigned at = (unsigned)prng_below(&w->prng, w->mails);
		struct mail m = w->mail[at];

		if (!troubled || !chance(w, 15)) /* else it will come once more */
			w->mail[at] = w->mail[--w->mails];
		if (!troubled || !chance(w, w->lose_percent))
			mail_deliver(w, &m);
	} else if (chance(w, 1) && node_has_memory(&w->node[k])) {
		node_propose(&w->node[k]);
		node_progress(w, k);
	} else if (troubled && prng_below(&w->prng, 1000) < 2) {
		node_restart(w, k);
	} else if (chance(w, 3)) {
		w->peers[k][other].alive = !troubled || chance(w, 50);
	} else if (k != other) {
		node_tell(w, k, other);
	}
}

static void try_world(struct world *w, uint64_t seed, unsigned nodes)
{
	struct view v = first_view(nodes);

	memset(w, 0, sizeof(*w));
	w->prng.state = w->seed = seed;
	w->nodes = nodes;
	w->lose_percent = (unsigned)prng_below(&w->prng, 40);
	w->newest = v;
	for (unsigned k = 0; k < nodes; k++) {
		for (unsigned n = 0; n < nodes; n++)
			w->peers[k][n] = (struct peer){.incarnation = n + 1, .alive = true};
		node_start(&w->node[k], k, nodes, k + 1, w->peers[k]);
		agree_commit(&w->node[k].agree, &v, 0);
	}
	for (unsigned step = 0; step < 12000; step++)
		world_step(w, true);
	v = w->newest;
	for (unsigned step = 0; step < 30000 && w->newest.epoch < v.epoch + 3; step++)
		world_step(w, false);
	cr_assert_geq(w->newest.epoch, v.epoch + 3, "seed %llu: it goes on once all is well",
		      (unsigned long long)seed);
}

static void try_worlds(unsigned nodes, uint64_t first, unsigned count)
{
	static struct world w;
	uint64_t epochs = 0, restarts = 0;

	for (uint64_t seed = first; seed < first + count; seed++) {
		try_world(&w, seed, nodes);
		epochs += w.newest.epoch;
		restarts += w.restarts;
	}
	cr_assert_gt(epochs, 8 * count);
	cr_assert_gt(restarts, count);
}

Test(agree_random, three_nodes_in_any_weather)
{
	try_worlds(3, 1, 300);
}

Test(agree_random, five_nodes_in_any_weather)
{
	try_worlds(5, 5000, 150);
}
