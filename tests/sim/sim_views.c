/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Views: one per epoch, epochs never go back, and none gives a state up without saying so (C2, C3,
 * C5). While a majority of voters keeps its memory, that is; afterwards the checker tolerates what
 * nobody can know, and only that.
 */
#include "sim_world.h"

/* Copies that the last two views name as in sync and that are the same life in both. */
static uint32_t check_survivors(const struct sim_check *c, unsigned i)
{
	uint32_t both = c->before.instance[i].in_sync & c->view.instance[i].in_sync;

	for (unsigned k = 0; k < c->view.n_nodes; k++)
		if (c->before.incarnation[k] != c->view.incarnation[k])
			both &= ~node_bit(k);
	return both;
}

/* The node is alive in this life and has told its brain of the component that it has now. */
static bool check_copy_lives(const struct sim_node *n, unsigned i, uint64_t incarnation)
{
	return n->up && n->incarnation == incarnation && n->app[i].alive &&
	       n->app[i].known_life == n->app[i].life;
}

void sim_check_copy_ends(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	unsigned node = sim_node_index(w, n), lane;
	enum sim_invariant why;

	if (!check_copy_lives(n, instance, n->incarnation))
		return;
	w->check.ended[node][instance].incarnation = n->incarnation;
	w->check.ended[node][instance].whole =
		sim_claims_whole(n, instance) && sim_check_copy(w, n, instance, &lane, &why);
}

/* The copy that the newest view goes on from has everything; or, after a majority forgot,
 * had it, and ended before anybody saw the view: those who chose it could not know. */
static bool check_chosen_whole(const struct sim_world *w, uint8_t holder, unsigned i,
			       bool forgotten)
{
	const struct sim_node *n = &w->node[holder];
	enum sim_invariant why;
	unsigned lane;

	if (sim_claims_whole(n, i) && sim_check_copy(w, n, i, &lane, &why))
		return true;
	return forgotten && w->check.ended[holder][i].whole &&
	       w->check.ended[holder][i].incarnation == w->check.view.incarnation[holder] &&
	       !check_copy_lives(n, i, w->check.view.incarnation[holder]);
}

/* Has anything been acknowledged that could be lost? */
static bool check_any_acked(const struct sim_world *w, unsigned i)
{
	for (unsigned l = 0; l < w->options.lanes && !w->check.lost[i]; l++)
		if (w->check.lineage[i][l].base_seq != 0)
			return true;
	return false;
}

/* The epoch that a node had before it adopted the newest view. */
static uint64_t check_epoch_before(const struct sim_world *w, const struct sim_node *n)
{
	return n->epoch == w->check.view.epoch ? n->epoch_before : n->epoch;
}

/* A formation must name a loss if anybody who took part remembered anything. */
static bool check_remembered(const struct sim_world *w)
{
	for (unsigned k = 0; k < w->options.nodes; k++)
		if (w->node[k].up && (w->check.view.members & node_bit(k)) &&
		    check_epoch_before(w, &w->node[k]) != 0)
			return true;
	return false;
}

/* A view that is decided again may name a copy in sync that the forgotten ones had taken out since.
 * What was acknowledged without it goes if that copy is the one to go on; nobody can know. */
static bool check_goes_back(const struct sim_world *w, unsigned i)
{
	const struct view *v = &w->check.view;
	uint32_t back = v->instance[i].in_sync & ~check_survivors(&w->check, i);
	enum sim_invariant why;
	unsigned lane;

	for (unsigned k = 0; k < w->options.nodes; k++) {
		const struct sim_node *n = &w->node[k];

		if ((back & node_bit(k)) && check_copy_lives(n, i, v->incarnation[k]) &&
		    sim_claims_whole(n, i) && !sim_check_copy(w, n, i, &lane, &why))
			return true;
	}
	return false;
}

/* The newest view may go on without any copy that was in sync only if it says so (a new lineage),
 * and, unless the one that it goes on from has everything, only if none of them is whole any more.
 * A formation says so always, for it cannot know what a forgotten majority has decided; a copy out
 * of its reach it cannot prefer. Who decides an epoch again after its majority forgot is held to
 * both, unless a copy of the forgotten view is in sync in this one, too, and none that has less:
 * then nothing is given up. */
static void check_loss(struct sim_world *w, unsigned node, unsigned i, bool formation, bool again)
{
	struct sim_check *c = &w->check;
	uint32_t old = c->before.instance[i].in_sync, both = check_survivors(c, i);
	uint8_t holder = c->view.instance[i].holder;
	bool named = c->view.instance[i].lineage == (uint16_t)(c->before.instance[i].lineage + 1);
	bool forgotten = formation || again;
	enum sim_invariant why;
	unsigned lane;

	if (old == 0 || (!named && !formation && both && !(again && check_goes_back(w, i))))
		return;
	/* Nothing to lose; but the state may go on from any copy. Lineages that were counted from
	 * an older view may have the same number and nothing else in common. */
	if (!check_any_acked(w, i)) {
		c->lost[i] |=
			forgotten || c->view.instance[i].lineage != c->before.instance[i].lineage;
		c->lost_epoch[i] = c->view.epoch;
		return;
	}
	sim_trace_add(&w->trace, w->now, SIM_TR_LOST, node, i, c->view.epoch, old,
		      c->view.instance[i].in_sync);
	w->stats.checks[SIM_C5]++;
	if (!named && !forgotten)
		sim_fail(w, SIM_C5, node, i,
			 "no copy that was in sync goes on, and the view does not say so "
			 "(epoch, in sync before, now)",
			 c->view.epoch, old, c->view.instance[i].in_sync);
	c->lost[i] = true;
	c->lost_epoch[i] = c->view.epoch;
	c->unnamed[i] = forgotten ? check_remembered(w) : named;
	if (holder != HAVEN_NODE_NONE && check_chosen_whole(w, holder, i, forgotten))
		return;
	for (unsigned k = 0; k < w->options.nodes; k++) {
		const struct sim_node *n = &w->node[k];

		if (!(old & node_bit(k)) || !check_copy_lives(n, i, c->before.incarnation[k]) ||
		    (again && (both & node_bit(k))) || sim_flip_reported(&n->app[i]))
			continue;
		if (forgotten &&
		    (!(c->view.members & node_bit(k)) || !n->app[i].known_ready ||
		     (holder == HAVEN_NODE_NONE && (c->view.instance[i].in_sync & node_bit(k)))))
			continue;
		if (sim_check_copy(w, n, i, &lane, &why))
			sim_fail(w, SIM_C5, k, i,
				 "a view gives the state up although this copy is whole "
				 "(epoch, in sync before, now)",
				 c->view.epoch, old, c->view.instance[i].in_sync);
	}
}

void sim_check_lost_note(struct sim_world *w, unsigned instance)
{
	w->stats.states_lost++;
	w->check.unnamed[instance] = false;
}

/* The promise holds while a majority of the voters keeps its memory: those who voted for a view,
 * and those who were there without voting for it. */
bool sim_check_stands(const struct sim_world *w, const uint64_t *life)
{
	unsigned voters = 0, same = 0;

	for (unsigned k = 0; k < w->options.nodes; k++) {
		if (!(w->options.voters & node_bit(k)))
			continue;
		voters++;
		same += w->node[k].up && w->node[k].incarnation == life[k];
	}
	return same > voters / 2;
}

/* A majority has forgotten what it decided under this epoch: the other view stands now, and what
 * followed the forgotten one is forgotten with it. A formation lies above every epoch before it. */
static void check_decided_again(struct sim_world *w, unsigned node, uint64_t epoch, bool formation)
{
	struct sim_check *c = &w->check;

	if (formation)
		sim_fail(w, SIM_C3, node, SIM_NONE,
			 "a formation uses an epoch again (its, highest)", epoch, c->view.epoch, 0);
	if (epoch < c->view.epoch &&
	    sim_check_stands(w, c->view_of[c->view.epoch % SIM_EPOCHS].life))
		sim_fail(
			w, SIM_C3, node, SIM_NONE,
			"an epoch is decided again although a later one is remembered (its, later)",
			epoch, c->view.epoch, 0);
	for (unsigned p = 0; p < SIM_EPOCHS; p++) {
		if (c->view_of[p].epoch > epoch)
			c->view_of[p].epoch = 0;
		for (unsigned i = 0; i < w->options.instances; i++)
			if (c->primary_of[i][p].epoch >= epoch)
				c->primary_of[i][p].epoch = 0;
	}
}

/* Who has just decided a view by the votes it knows: of a majority in the lives that the view
 * before it names, or of every voter. Its own vote need not have been sent yet. */
static void check_decided(struct sim_world *w, const struct sim_node *n, const struct view *v)
{
	const struct view *base = &w->check.view;
	unsigned node = sim_node_index(w, n), voters = 0, with = 0, all = 0;
	uint64_t digest = view_digest(v);

	if (v->formation || base->epoch + 1 != v->epoch || w->options.rate[SIM_FAULT_FENCE])
		return;
	w->stats.checks[SIM_C9]++;
	for (uint32_t left = w->options.voters; left; left &= left - 1) {
		unsigned k = (unsigned)__builtin_ctz(left);
		uint64_t life = sim_check_voted(w, k, digest, base->incarnation[k]);

		if (!life && k == node)
			life = n->incarnation;
		voters++;
		all += life != 0;
		with += life != 0 && life == base->incarnation[k];
	}
	if (with <= voters / 2 && all < voters)
		sim_fail(w, SIM_C9, node, SIM_NONE,
			 "a view is decided by votes of voters without memory (epoch, votes with "
			 "memory, all votes)",
			 v->epoch, with, all);
}

void sim_check_view(struct sim_world *w, struct sim_node *n)
{
	const struct view *v = brain_view(n->brain);
	unsigned node = sim_node_index(w, n);
	unsigned place = v->epoch % SIM_EPOCHS;
	struct sim_check *c = &w->check;
	uint64_t digest;
	bool again;

	if (v->epoch == n->epoch)
		return;
	w->stats.checks[SIM_C3]++;
	if (v->epoch < n->epoch)
		sim_fail(w, SIM_C3, node, SIM_NONE, "the node's epoch goes back (from, to)",
			 n->epoch, v->epoch, 0);
	sim_check_given_up(w, n, v);
	n->epoch_before = n->epoch;
	n->epoch = v->epoch;
	for (unsigned i = 0; i < w->options.instances; i++)
		sim_trace_add(&w->trace, w->now, SIM_TR_VIEW, node, i,
			      v->instance[i].lineage << 8 | v->instance[i].holder, v->epoch,
			      (uint64_t)v->instance[i].assigned << 32 | v->instance[i].in_sync);
	digest = view_digest(v);
	sim_hash(w, v->epoch, digest);
	w->stats.checks[SIM_C2]++;
	if (c->view_of[place].epoch == v->epoch && c->view_of[place].digest != digest &&
	    sim_check_stands(w, c->view_of[place].life))
		sim_fail(w, SIM_C2, node, SIM_NONE, "two views of one epoch (epoch, digests)",
			 v->epoch, digest, c->view_of[place].digest);
	if (c->view_of[place].epoch < v->epoch && v->epoch < c->view.epoch)
		sim_fail(w, SIM_C3, node, SIM_NONE,
			 "a new view does not have the highest epoch (its, highest)", v->epoch,
			 c->view.epoch, 0);
	again = c->view_of[place].epoch == v->epoch && c->view_of[place].digest != digest;
	if (again)
		check_decided_again(w, node, v->epoch, v->formation);
	if (again || c->view_of[place].epoch < v->epoch) {
		c->view_of[place].epoch = v->epoch;
		c->view_of[place].digest = digest;
		for (uint32_t left = w->options.voters; left; left &= left - 1) {
			unsigned k = (unsigned)__builtin_ctz(left);

			c->view_of[place].life[k] = sim_check_voted(w, k, digest, 0);
			if (!c->view_of[place].life[k])
				c->view_of[place].life[k] = w->node[k].incarnation;
		}
	}
	if (v->epoch <= c->view.epoch && !again)
		return;
	if (!again)
		check_decided(w, n, v);
	w->stats.epochs++;
	w->stats.formations += v->formation;
	c->before = c->view;
	c->view = *v;
	for (unsigned i = 0; i < w->options.instances; i++)
		check_loss(w, node, i, v->formation, again);
}
