/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease.h"

#include "haven_assert.h"
#include "view.h"

uint64_t lease_stretch(const struct lease_terms *t, uint64_t ns)
{
	uint64_t whole = ns / 1000000, rest = ns % 1000000;

	/* Exact, and cheaper than a division of 128 bits. */
	return ns + whole * t->rate_ppm + (rest * t->rate_ppm + 999999) / 1000000;
}

uint64_t lease_promise_ns(const struct lease_terms *t)
{
	return lease_stretch(t, t->lease_ns) + t->guard_ns;
}

void lease_grant_heard(struct lease *l, unsigned v, const struct peer *p, uint64_t now)
{
	uint64_t echo = p->last.echo;
	uint64_t sent;

	HAVEN_ASSERT(v < HAVEN_NODES_MAX);
	if (!(p->last.flags & BEAT_GRANT) || echo == 0 || echo > p->seq_out ||
	    p->seq_out - echo >= PEER_SENT_SLOTS)
		return;
	sent = p->sent_ns[echo % PEER_SENT_SLOTS];
#ifdef HAVEN_CANARY_LEASE_FROM_REPLY
	sent = now; /* the planted bug: the classic mistake of counting from the reply */
#else
	(void)now;
#endif
	if (sent > l->granted_ns[v])
		l->granted_ns[v] = sent;
}

void lease_promise(struct lease *l, const struct lease_terms *t, unsigned node, uint64_t now)
{
	uint64_t until = now + lease_promise_ns(t);

	HAVEN_ASSERT(node < HAVEN_NODES_MAX);
	if (until > l->promise_ns[node])
		l->promise_ns[node] = until;
}

bool lease_renew(struct lease *l, const struct lease_terms *t, uint32_t voters, unsigned majority,
		 unsigned self, bool self_votes, uint64_t now)
{
	uint64_t best[HAVEN_NODES_MAX];
	unsigned n = 0;
	uint64_t span = t->lease_ns - (lease_stretch(t, t->lease_ns) - t->lease_ns);
	uint64_t until;

	HAVEN_ASSERT(majority > 0);
	for (uint32_t left = voters; left; left &= left - 1) {
		unsigned v = (unsigned)__builtin_ctz(left);
		uint64_t at = l->granted_ns[v];
		unsigned k;

		if (v == self)
			at = self_votes ? now : 0;
		for (k = n++; k > 0 && best[k - 1] < at; k--)
			best[k] = best[k - 1];
		best[k] = at;
	}
	if (n < majority || best[majority - 1] == 0)
		return false;
	until = best[majority - 1] + span - t->guard_ns;
	if (span <= t->guard_ns || until <= l->until_ns)
		return false;
	l->until_ns = until;
	return true;
}
