/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An orderly end: the node gives its roles away, then says that this life has left.
 *
 * From the request on it declares no component ready, so nobody gives it anything, and it gives
 * every role up as for a switchover: gate shut and confirmed, what was committed acknowledged,
 * released. While it waits for the view that names the successors it still votes, since its vote
 * may be the one that is needed. Only then does it say BEAT_LEFT, and that is final: this life
 * grants, promises, accepts and proposes nothing any more. It goes on saying so, with its acceptor
 * state as it stands, until its program ends.
 *
 * Who hears the word takes the node for gone at once, without suspicion. That is never less safe
 * than silence: a role that was not released is waited for all the same. With two voters the word
 * is also the proof that brain_fence.c asks for: the vote of a life that votes no more counts as
 * given. A node that has left takes no such word itself, or two that leave at the same time would
 * each count the other's vote.
 *
 * The word is bound to the life that said it: it stands in the newest beat of an incarnation, and
 * is forgotten with it (peer_establish()).
 */
#include "brain_internal.h"

/** How often the word is said before the program may end. */
#define LEAVE_ROUNDS 6u

void brain_leave_on_ask(struct brain *b)
{
	if (b->leaving)
		return;
	b->leaving = true;
	b->leaving_since_ns = b->now;
	b->plan_due = b->beat_now = true;
}

uint64_t brain_leave_limit_ns(const struct brain_config *c)
{
	return 2 * c->mirror_timeout_ns;
}

void brain_leave_progress(struct brain *b, struct brain_outputs *out)
{
	bool holds = false;

	if (!b->leaving || b->left)
		return;
	for (unsigned i = 0; i < b->config.n_instances; i++) {
		if (!brain_holds(b, i))
			continue;
		if (!(b->released & instance_bit(i)))
			return;
		holds = true;
	}
	/* A role that a view took away without its release ends as the lease does. */
	if (b->may_emit && b->now < b->lease.until_ns + b->config.guard_ns)
		return;
	/* Without a successor there is nothing to wait for, and none may come. */
	if (holds && b->now - b->leaving_since_ns < brain_leave_limit_ns(&b->config))
		return;
	b->left = b->beat_now = true;
	b->agree.phase = AGREE_IDLE;
	brain_note(b, out, NOTE_LEFT, 0xff, b->config.self, b->incarnation,
		   b->now - b->leaving_since_ns);
}

void brain_leave_on_beat(struct brain *b, unsigned node)
{
	const struct peer *p = &b->peer[node];

	if (!peer_has_left(p) || b->left || p->last.epoch != b->agree.view.epoch ||
	    p->incarnation == b->fenced_life)
		return;
	brain_fence_by_word(b, node);
}

bool brain_left(const struct brain *b)
{
	return b->left && b->left_rounds >= LEAVE_ROUNDS;
}
