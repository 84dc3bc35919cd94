/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two voters and no third: the vote of one that is proven dead from outside.
 *
 * Silence proves nothing, so a survivor of two never goes on by itself. Who can know more is
 * outside: a command that cuts the other machine's power and says that it did, or an operator who
 * has looked. Their word is taken for one life of one node, seen from one view, and only while that
 * node is silent. As long as the view names that life, its vote and its grants count as given; the
 * next view that admits the node names another life, and the word is void.
 *
 * A word that was wrong shows when the life it buried is heard again: it is void at once, and that
 * is an alarm. Until then one wrong word has done no harm: the promise to the silent node was
 * waited for, and the silent node, for its part, could renew nothing without this voter. Two wrong
 * words, one on each side, make two primaries; nothing in here can see that.
 *
 * A node that has no memory of a view takes no such word: it does not know which life to bury, nor
 * what the other one decided last.
 */
#include "brain_internal.h"

uint32_t brain_fenced(const struct brain *b)
{
	if (!b->fenced_life || b->left || !brain_is_admitted(b) ||
	    b->agree.view.incarnation[b->fenced_node] != b->fenced_life)
		return 0;
	return node_bit(b->fenced_node);
}

uint8_t brain_fenced_node(const struct brain *b)
{
	return brain_fenced(b) ? b->fenced_node : HAVEN_NODE_NONE;
}

const char *brain_fence_refusal(const struct brain *b, unsigned node)
{
	if (__builtin_popcount(b->config.voters) != 2)
		return "only one of exactly two voters may be confirmed dead: a majority of more "
		       "needs nobody's word";
	if (!brain_is_voter(b))
		return "this node does not vote: ask the other voter";
	if (node == b->config.self || node >= b->config.n_nodes ||
	    !(b->config.voters & node_bit(node)))
		return "the node is not the other voter";
	if (!brain_is_admitted(b) || !b->agree.view.incarnation[node])
		return "this node remembers no view with the other one, which may know more than "
		       "it: "
		       "start the other node";
	if (b->peer[node].alive)
		return "the node is heard right now";
	if (brain_fenced(b))
		return "the node has been confirmed dead already";
	return NULL;
}

static void brain_fence_answer(struct brain_outputs *out, uint8_t node, const char *refusal)
{
	struct brain_output *o = brain_out(out, OUT_COMMAND_DONE);

	if (!o)
		return;
	o->node = node;
	o->code = refusal ? -HAVEN_EREFUSED : 0;
	o->text = refusal;
}

void brain_fence_on_proof(struct brain *b, const struct brain_event *e, struct brain_outputs *out)
{
	const char *refusal = brain_fence_refusal(b, e->node);

	if (!refusal &&
	    (e->epoch != b->agree.view.epoch || e->seq != b->agree.view.incarnation[e->node]))
		refusal = "the cluster has moved on since the proof was asked for: look again";
	/* The event comes first in this step, so there is room for both. */
	brain_fence_answer(out, e->node, refusal);
	if (refusal)
		return;
	b->fenced_node = e->node;
	b->fenced_life = e->seq;
	b->plan_due = true;
	brain_note(b, out, NOTE_FENCED, 0xff, e->node, e->seq, e->count);
}

void brain_fence_by_word(struct brain *b, unsigned node)
{
	if (__builtin_popcount(b->config.voters) != 2 || !brain_is_voter(b) ||
	    !brain_is_admitted(b) || !(b->config.voters & node_bit(node)) ||
	    b->agree.view.incarnation[node] != b->peer[node].incarnation)
		return;
	b->fenced_node = (uint8_t)node;
	b->fenced_life = b->peer[node].incarnation;
	b->plan_due = true;
}

void brain_fence_on_heard(struct brain *b, unsigned node, struct brain_outputs *out)
{
	if (!b->fenced_life || node != b->fenced_node ||
	    b->peer[node].incarnation != b->fenced_life || peer_has_left(&b->peer[node]))
		return;
	brain_note(b, out, NOTE_FENCE_REVOKED, 0xff, (uint8_t)node, b->fenced_life, 0);
	b->fenced_life = 0;
	b->plan_due = b->beat_now = true;
}
