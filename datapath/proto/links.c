/* SPDX-License-Identifier: BSD-3-Clause */
#include "links.h"

void link_beat(struct link *l, uint64_t seq)
{
	uint64_t ahead = seq - l->top_seq, back = l->top_seq - seq;

	l->fresh = true;
	if (l->width == 0) {
		l->top_seq = seq;
		l->bits = l->width = 1;
	} else if (seq > l->top_seq) {
		l->bits = ahead >= LINK_WINDOW ? 1 : l->bits << ahead | 1;
		l->width =
			(uint8_t)(ahead >= LINK_WINDOW - l->width ? LINK_WINDOW : l->width + ahead);
		l->top_seq = seq;
	} else if (back < l->width) {
		l->bits |= (uint64_t)1 << back;
	}
}

void link_restart(struct link *l)
{
	l->width = 0;
	l->bits = 0;
}

unsigned link_loss(const struct link *l)
{
	unsigned lost = LINK_WINDOW - (unsigned)__builtin_popcountll(l->bits);

	return l->width < LINK_WINDOW ? 0 : (lost * 100 + LINK_WINDOW / 2) / LINK_WINDOW;
}

bool link_score(struct link *l, unsigned percent)
{
	bool was = l->gray;
	unsigned loss;

	if (!l->fresh || l->width < LINK_WINDOW)
		return false;
	l->fresh = false;
	loss = link_loss(l);
	l->gray = percent && (was ? loss * 4 > percent : loss >= percent);
	return l->gray != was;
}
