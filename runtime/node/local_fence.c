/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop's side of the fence command: tells what the control thread reports, hands the proof to
 * the brain, and says whether the other voter is to be fenced now.
 */
#include <stdio.h>

#include "node.h"

/* Who holds more goes first, and of two that hold as much the one that comes first in the
 * configuration: both sides know the view, so both come to the same answer. */
static bool goes_first(const struct haven_node *n, uint8_t peer)
{
	const struct view *v = brain_view(n->brain);
	unsigned mine = 0, its = 0;

	for (unsigned i = 0; i < n->config->n_instances; i++) {
		mine += v->instance[i].holder == n->self;
		its += v->instance[i].holder == peer;
	}
	return mine == its ? n->self < peer : mine > its;
}

static struct fence_wish wish_now(const struct haven_node *n, uint8_t peer, uint64_t now)
{
	struct brain_peer_status status;

	brain_peer(n->brain, peer, now, &status);
	return (struct fence_wish){.wanted = brain_fence_refusal(n->brain, peer) == NULL,
				   .first = goes_first(n, peer),
				   .life = brain_view(n->brain)->incarnation[peer],
				   .epoch = brain_view(n->brain)->epoch,
				   .heard_ns = status.last_heard_ns};
}

static void tell_news(struct haven_node *n, uint8_t peer, const struct fence_talk *t, uint64_t now)
{
	struct event e = {0};

	switch (t->news) {
	case FENCE_NO_NEWS:
		return;
	case FENCE_NEWS_STARTED:
		n->local.fencing |= node_bit(peer);
		e = publish_event_init(EVENT_FENCE_STARTED, EVENT_WARNING);
		break;
	case FENCE_NEWS_DONE:
		e = publish_event_init(EVENT_FENCE_DONE, EVENT_WARNING);
		e.b = t->took_ns;
		break;
	case FENCE_NEWS_FAILED:
		e = publish_event_init(EVENT_FENCE_FAILED, EVENT_CRITICAL);
		e.b = t->pause_ns;
		snprintf(e.detail, sizeof(e.detail), "%.*s", (int)sizeof(e.detail) - 1, t->text);
		break;
	}
	if (t->news != FENCE_NEWS_STARTED)
		n->local.fencing &= ~node_bit(peer);
	e.node = peer;
	e.a = t->then.life;
	publish_event(n, &e, now);
}

/* The brain compares life, epoch and present silence itself; that the silence is the one that the
 * command was started in, only the time of the last frame tells. */
void local_fence(struct haven_node *n, struct command *c, uint64_t now)
{
	struct fence_talk *t = c->fence_talk;
	const struct brain_event proof = {.kind = BRAIN_FENCED,
					  .node = c->to,
					  .seq = t->then.life,
					  .epoch = t->then.epoch,
					  .count = BRAIN_PROOF_COMMAND};

	t->wish = wish_now(n, c->to, now);
	tell_news(n, c->to, t, now);
	if (t->news == FENCE_NEWS_DONE && fence_wish_holds(&t->then, &t->wish)) {
		snprintf(n->local.fence_word, sizeof(n->local.fence_word), "%.*s",
			 (int)sizeof(n->local.fence_word) - 1, n->config->fence.argument[0]);
		loop_post(n, &proof);
		t->wish.wanted = false; /* loop_pump() comes next */
	} else if (t->news == FENCE_NEWS_DONE) {
		t->news = FENCE_NEWS_FAILED;
		snprintf(t->text, sizeof(t->text), "its word is void: the node was heard");
		tell_news(n, c->to, t, now);
	}
	local_answer(n, c, 0, NULL);
}
