/* SPDX-License-Identifier: BSD-3-Clause */
#include "agree.h"

#include "haven_assert.h"

void agree_init(struct agree *a)
{
	memset(a, 0, sizeof(*a));
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
		a->view.instance[i].holder = HAVEN_NODE_NONE;
}

unsigned agree_majority(const struct agree_config *c)
{
	return (unsigned)__builtin_popcount(c->voters) / 2 + 1;
}

bool agree_admitted(const struct agree *a, unsigned node, uint64_t incarnation)
{
	return a->view.epoch && incarnation && a->view.incarnation[node] == incarnation;
}

static uint64_t agree_incarnation_of(const struct agree_config *c, const struct agree_facts *f,
				     unsigned node)
{
	return node == c->self ? f->own_incarnation : f->peers[node].incarnation;
}

uint32_t agree_admitted_voters(const struct agree *a, const struct agree_config *c,
			       const struct agree_facts *f)
{
	uint32_t mask = 0;

	for (unsigned n = 0; n < c->n_nodes; n++)
		if ((c->voters & node_bit(n)) &&
		    agree_admitted(a, n, agree_incarnation_of(c, f, n)))
			mask |= node_bit(n);
	return mask;
}

uint8_t agree_coordinator(const struct agree *a, const struct agree_config *c,
			  const struct agree_facts *f)
{
	(void)f;
	if (a->view.epoch == 0)
		return HAVEN_NODE_NONE;
	for (unsigned i = 0; i < c->n_instances; i++)
		if (a->view.instance[i].holder != HAVEN_NODE_NONE)
			return a->view.instance[i].holder;
	return a->view.author;
}

static bool agree_same_life(const struct view *x, const struct view *y, unsigned node)
{
	return x->incarnation[node] == y->incarnation[node];
}

bool agree_displaces(const struct agree *a, const struct view *v, unsigned node)
{
	for (unsigned i = 0; i < a->view.n_instances; i++) {
		if (a->view.instance[i].holder != node)
			continue;
		if (v->instance[i].holder != node || !agree_same_life(&a->view, v, node))
			return true;
	}
	return false;
}

bool agree_copy_lost(const struct agree *a, const struct agree_config *c,
		     const struct agree_facts *f, unsigned node, unsigned instance)
{
	const struct peer *p = &f->peers[node];
	uint64_t bit = (uint64_t)1 << instance;

	if (node == c->self)
		return (f->own_lost & bit) || f->own_incarnation != a->view.incarnation[node];
	if (!p->incarnation)
		return false;
	if (p->incarnation != a->view.incarnation[node])
		return true;
	return p->last.epoch == a->view.epoch && (p->last.lost & bit);
}

static bool agree_all_lost(const struct agree *a, const struct agree_config *c,
			   const struct agree_facts *f, unsigned instance)
{
	uint32_t in_sync = a->view.instance[instance].in_sync;

	for (unsigned n = 0; n < c->n_nodes; n++)
		if ((in_sync & node_bit(n)) && !agree_copy_lost(a, c, f, n, instance))
			return false;
	return true;
}

static bool agree_released(const struct agree *a, const struct agree_config *c,
			   const struct agree_facts *f, unsigned node, unsigned instance)
{
	const struct peer *p = &f->peers[node];
	uint64_t bit = (uint64_t)1 << instance;

	if (node == c->self)
		return (f->own_released & bit) && f->own_incarnation == a->view.incarnation[node];
	return p->incarnation == a->view.incarnation[node] && p->last.epoch == a->view.epoch &&
	       (p->last.released & bit);
}

/* A holder may lose its role only by its own word, or when this voter itself hears nothing of it.
 * Incumbents thus win ties, and a half-cut node cannot depose a primary that a majority hears. */
static bool agree_may_displace(const struct agree *a, const struct agree_config *c,
			       const struct agree_facts *f, unsigned node, unsigned instance)
{
	if (agree_released(a, c, f, node, instance))
		return true;
	if (node == c->self)
		return f->own_incarnation != a->view.incarnation[node];
	return !f->peers[node].alive || f->peers[node].incarnation != a->view.incarnation[node];
}

static bool agree_holder_kept(const struct agree *a, const struct view *v, unsigned i)
{
	uint8_t h = a->view.instance[i].holder;

	return h != HAVEN_NODE_NONE && v->instance[i].holder == h &&
	       agree_same_life(&a->view, v, h);
}

static bool agree_instance_acceptable(const struct agree *a, const struct agree_config *c,
				      const struct agree_facts *f, const struct view *v, unsigned i,
				      bool forced)
{
	const struct view_instance *was = &a->view.instance[i];
	const struct view_instance *new = &v->instance[i];
	uint32_t added = new->in_sync & ~was->in_sync;
	bool named = new->lineage != was->lineage;
	bool reset = named && agree_all_lost(a, c, f, i);
	bool nothing_left = was->in_sync == 0 || reset;

	/* Giving the state up is a statement of its own, and only the loss of every copy permits
	 * it. A formation, which cannot know whether its copies have everything, nor what came
	 * after the view that it goes on from, says so too and keeps one of them. */
	if (named && (new->lineage != (uint16_t)(was->lineage + 1) ||
		      (!v->formation && (was->in_sync == 0 || !reset))))
		return false;

	/* A copy in sync in both views must have lived all along. */
	for (unsigned n = 0; n < c->n_nodes; n++)
		if ((new->in_sync & was->in_sync &node_bit(n)) && !reset &&
		    !agree_same_life(&a->view, v, n))
			return false;
	if (new->holder != HAVEN_NODE_NONE && !(v->members & node_bit(new->holder)))
		return false;
	/* A holder may also begin afresh: then the rules for a new one apply to it. */
	if (agree_holder_kept(a, v, i) && !reset)
		return added == 0 || (v->author == new->holder && !named);
	if (was->holder != HAVEN_NODE_NONE && !forced &&
	    !agree_may_displace(a, c, f, was->holder, i))
		return false;
	/* Copies that are gone leave, one at least stays, unless there is nothing to lose. A value
	 * that keeps one was right when that copy lived, and must not be refused for ever. */
	if (new->holder != HAVEN_NODE_NONE)
		return new->in_sync == node_bit(new->holder) && (added == 0 || nothing_left);
	return new->in_sync ? added == 0 && (!named || v->formation) : nothing_left;
}

bool agree_acceptable(const struct agree *a, const struct agree_config *c,
		      const struct agree_facts *f, const struct view *v, bool forced)
{
	if (v->epoch <= a->view.epoch || v->n_nodes != c->n_nodes ||
	    v->n_instances != c->n_instances)
		return false;
	for (unsigned n = 0; n < c->n_nodes; n++)
		if ((v->members & node_bit(n)) && !v->incarnation[n])
			return false;
	for (unsigned i = 0; i < c->n_instances; i++)
		if (!agree_instance_acceptable(a, c, f, v, i, forced))
			return false;
	return true;
}

uint64_t agree_wait_ns(const struct agree *a, const struct agree_config *c,
		       const struct agree_facts *f, uint64_t now)
{
	uint64_t until = 0;

	if (!a->accepted)
		return 0;
	for (unsigned i = 0; i < c->n_instances; i++) {
		uint8_t h = a->view.instance[i].holder;
		uint64_t promise;

		/* A start that lies ahead stands for promises to earlier holders, also when nobody
		 * holds the instance meanwhile. */
		if (a->act_from_ns[i] > until)
			until = a->act_from_ns[i];
		if (h == HAVEN_NODE_NONE)
			continue;
		if (agree_holder_kept(a, &a->accepted_view, i) || agree_released(a, c, f, h, i))
			continue;
		/* What passed the own gate at its last instant needs the guard to leave. */
		promise = h == c->self ? f->lease->until_ns + c->terms.guard_ns
				       : f->lease->promise_ns[h];
		if (promise > until)
			until = promise;
	}
	return until > now ? until - now : 0;
}

static void agree_see_round(struct agree *a, ballot_t ballot)
{
	if (BALLOT_ROUND(ballot) > a->round_seen)
		a->round_seen = BALLOT_ROUND(ballot);
}

static bool agree_has_vote(const struct agree *a, const struct agree_config *c,
			   const struct agree_facts *f)
{
	return (c->voters & node_bit(c->self)) &&
	       (agree_admitted(a, c->self, f->own_incarnation) || f->amnesic_ready);
}

static void agree_vote_self(struct agree *a, const struct agree_config *c,
			    const struct agree_facts *f, uint64_t now)
{
	struct agree_vote *v = &a->vote[c->self];

	v->promised = a->promised;
	v->accepted = a->accepted;
	v->digest = a->accepted_digest;
	v->amnesic = !agree_admitted(a, c->self, f->own_incarnation);
	v->ready_ns = now + agree_wait_ns(a, c, f, now);
}

bool agree_on_prepare(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		      ballot_t ballot)
{
	agree_see_round(a, ballot);
	if (!agree_has_vote(a, c, f) || ballot <= a->promised)
		return false;
	a->promised = ballot;
	a->vote[c->self].promised = ballot;
	a->vote[c->self].amnesic = !agree_admitted(a, c->self, f->own_incarnation);
	return true;
}

bool agree_on_proposal(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		       ballot_t ballot, const struct view *v, bool forced, uint64_t now)
{
	agree_on_accepted_value(a, ballot, v);
	if (ballot == a->heard_ballot) {
		a->heard_proposed = true;
		a->heard_forced = forced;
	}
	if (!agree_has_vote(a, c, f) || ballot < a->promised || ballot <= a->accepted)
		return false;
	if (!agree_acceptable(a, c, f, v, forced))
		return false;
	if (!a->accepted)
		a->accepted_since_ns = now;
	a->promised = a->accepted = ballot;
	a->accepted_view = *v;
	a->accepted_digest = view_digest(v);
	agree_vote_self(a, c, f, now);
	return true;
}

bool agree_reconsider(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		      uint64_t now)
{
	struct view v;

	if (a->accepted) {
		struct agree_vote *own = &a->vote[c->self];
		uint64_t ready = now + agree_wait_ns(a, c, f, now);

		if (ready < own->ready_ns)
			own->ready_ns = ready;
	}
	if (!a->heard_proposed || a->heard_ballot <= a->accepted)
		return false;
	v = a->heard_view;
	return agree_on_proposal(a, c, f, a->heard_ballot, &v, a->heard_forced, now);
}

void agree_on_accepted_value(struct agree *a, ballot_t ballot, const struct view *v)
{
	agree_see_round(a, ballot);
	if (ballot <= a->heard_ballot)
		return;
	a->heard_proposed = a->heard_forced = false;
	a->heard_ballot = ballot;
	a->heard_view = *v;
	a->heard_digest = view_digest(v);
}

void agree_on_vote(struct agree *a, const struct agree_config *c, unsigned node,
		   const struct frame_beat *beat, uint64_t now)
{
	struct agree_vote *v = &a->vote[node];
	uint64_t ready = now + lease_stretch(&c->terms, lease_stretch(&c->terms, beat->wait_ns));

	HAVEN_ASSERT(node < c->n_nodes && node != c->self);
	agree_see_round(a, beat->promised);
	if (v->accepted != beat->accepted || v->digest != beat->accepted_digest ||
	    ready < v->ready_ns)
		v->ready_ns = ready;
	v->promised = beat->promised;
	v->accepted = beat->accepted;
	v->digest = beat->accepted_digest;
	v->amnesic = (beat->flags & BEAT_AMNESIC) != 0;
}

void agree_forget(struct agree *a, unsigned node)
{
	memset(&a->vote[node], 0, sizeof(a->vote[node]));
}

void agree_propose(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   bool fast, uint64_t now)
{
	uint64_t round = a->round_seen < 2 ? 2 : a->round_seen + 1;

	a->phase = AGREE_PREPARE;
	a->phase_since_ns = now;
	a->ballot = fast ? BALLOT(1, c->self) : BALLOT(round, c->self);
	agree_on_prepare(a, c, f, a->ballot);
}

static bool agree_quorum(const struct agree_config *c, uint32_t with_memory, uint32_t without)
{
	return (unsigned)__builtin_popcount(with_memory) >= agree_majority(c) ||
	       (with_memory | without) == c->voters;
}

static void agree_drop_heard(struct agree *a)
{
	a->heard_ballot = 0;
	a->heard_proposed = a->heard_forced = false;
	a->heard_digest = 0;
}

int agree_promises(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   bool *forced, bool *formation, struct view *value)
{
	uint32_t admitted = agree_admitted_voters(a, c, f);
	uint32_t with = 0, without = 0;
	ballot_t best = 0;
	uint64_t digest = 0;

	*forced = *formation = false;
	if (a->phase != AGREE_PREPARE)
		return 0;
	if (BALLOT_ROUND(a->ballot) == 1)
		return a->promised <= a->ballot;
	for (unsigned n = 0; n < c->n_nodes; n++) {
		const struct agree_vote *v = &a->vote[n];

		if (!(c->voters & node_bit(n)) || v->promised != a->ballot)
			continue;
		if (admitted & node_bit(n))
			with |= node_bit(n);
		else if (v->amnesic)
			without |= node_bit(n);
		else
			continue;
		if (v->accepted > best) {
			best = v->accepted;
			digest = v->digest;
		}
	}
	with |= f->fenced;
	if (!agree_quorum(c, with, without & ~f->fenced))
		return 0;
	*formation = (unsigned)__builtin_popcount(with) < agree_majority(c);
	if (!best)
		return 1;
	*forced = true;
	/* What was heard under a later ballot, be it an own proposal, has been accepted by none of
	 * these and is past being chosen. Kept, it would hold the place of the value sought for
	 * ever once its proposer is gone. */
	if (a->heard_ballot > best && a->heard_ballot < a->ballot)
		agree_drop_heard(a);
	if (a->accepted == best && a->accepted_digest == digest)
		*value = a->accepted_view;
	else if (a->heard_ballot == best && a->heard_digest == digest)
		*value = a->heard_view;
	else
		return 0; /* its holder repeats it with every beat */
	return 1;
}

void agree_propose_value(struct agree *a, const struct agree_config *c, const struct agree_facts *f,
			 const struct view *v, bool forced, uint64_t now)
{
	HAVEN_ASSERT(a->phase == AGREE_PREPARE);
	a->phase = AGREE_ACCEPT;
	a->phase_since_ns = now;
	a->value = *v;
	a->value_forced = forced;
	agree_on_proposal(a, c, f, a->ballot, v, forced, now);
}

/* The k-th smallest readiness among the voters of a quorum: all k of them allow the start. */
static uint64_t agree_kth_ready(const struct agree *a, uint32_t voters, unsigned k)
{
	uint64_t sorted[HAVEN_NODES_MAX];
	unsigned n = 0;

	for (unsigned v = 0; v < HAVEN_NODES_MAX; v++) {
		unsigned at;

		if (!(voters & node_bit(v)))
			continue;
		for (at = n++; at > 0 && sorted[at - 1] > a->vote[v].ready_ns; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = a->vote[v].ready_ns;
	}
	HAVEN_ASSERT(k > 0 && k <= n);
	return sorted[k - 1];
}

/* Is the value with this ballot and digest decided by the votes known? */
static bool agree_tally(const struct agree *a, const struct agree_config *c,
			const struct agree_facts *f, ballot_t ballot, uint64_t digest,
			uint64_t *start_ns)
{
	uint32_t admitted = agree_admitted_voters(a, c, f);
	uint32_t with = 0, without = 0;

	if (!ballot)
		return false;
	for (unsigned n = 0; n < c->n_nodes; n++) {
		const struct agree_vote *v = &a->vote[n];

		if (!(c->voters & node_bit(n)) || v->accepted != ballot || v->digest != digest)
			continue;
		if (admitted & node_bit(n))
			with |= node_bit(n);
		else if (v->amnesic)
			without |= node_bit(n);
	}
	with |= f->fenced;
	without &= ~f->fenced;
	if (!agree_quorum(c, with, without))
		return false;
	if ((unsigned)__builtin_popcount(with) >= agree_majority(c))
		*start_ns = agree_kth_ready(a, with, agree_majority(c));
	else
		*start_ns =
			agree_kth_ready(a, with | without, (unsigned)__builtin_popcount(c->voters));
	return true;
}

bool agree_decided(const struct agree *a, const struct agree_config *c, const struct agree_facts *f,
		   struct view *v, uint64_t *start_ns)
{
	if (agree_tally(a, c, f, a->accepted, a->accepted_digest, start_ns)) {
		*v = a->accepted_view;
		return true;
	}
	if (agree_tally(a, c, f, a->heard_ballot, a->heard_digest, start_ns)) {
		*v = a->heard_view;
		return true;
	}
	return false;
}

void agree_commit(struct agree *a, const struct view *v, uint64_t start_ns)
{
	bool next = a->view.epoch && v->formation == 0 && v->epoch == a->view.epoch + 1;

	HAVEN_ASSERT(v->epoch > a->view.epoch);
	for (unsigned i = 0; i < v->n_instances; i++)
		if (!next || !agree_holder_kept(a, v, i))
			a->act_from_ns[i] = start_ns;
	a->view = *v;
	a->promised = a->accepted = 0;
	a->accepted_digest = 0;
	a->phase = AGREE_IDLE;
	a->ballot = 0;
	a->round_seen = 0;
	agree_drop_heard(a);
	memset(a->vote, 0, sizeof(a->vote));
}
