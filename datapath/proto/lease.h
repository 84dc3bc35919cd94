/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Leases by echo. Pure.
 *
 * Holder's side. A voter's echo of beat s, flagged BEAT_GRANT, is a promise that counts from the
 * instant s was *sent*. The lease ends L·(1-ρ) - guard after the send instant that a majority of
 * voters has reached.
 *
 * Voter's side. Having taken beat s from p, and being about to echo it with BEAT_GRANT, the voter
 * promises to let no view take a role from p before L·(1+ρ) + guard after it *received* s.
 *
 * Receipt is later than sending, and ρ bounds how far two clocks drift apart in L: so every promise
 * outlives the lease it carries. (Gray and Cheriton, Leases, SOSP 1989; the echo form follows
 * uKharon, ATC 2022.)
 */
#ifndef HAVEN_LEASE_H
#define HAVEN_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "haven_types.h"
#include "peer.h"

struct lease_terms {
	uint64_t lease_ns, guard_ns;
	uint32_t rate_ppm;
};

struct lease {
	uint64_t
		granted_ns[HAVEN_NODES_MAX]; /**< per voter: send instant it has granted, 0: none */
	uint64_t promise_ns[HAVEN_NODES_MAX]; /**< as a voter, per node: promised until */
	uint64_t until_ns;                    /**< end of the own lease; never moves back */
};

/** `ns` lengthened by the clock-rate bound, rounded up. */
uint64_t lease_stretch(const struct lease_terms *t, uint64_t ns);
/** How long a promise lasts from the receipt of a beat; also the silence of an amnesic voter. */
uint64_t lease_promise_ns(const struct lease_terms *t);
/** Voter `v` has granted: its newest beat carries the flag and an echo. */
void lease_grant_heard(struct lease *l, unsigned v, const struct peer *p, uint64_t now);
/** As a voter: a beat of `node` was received at `now` and will be echoed with a grant. */
void lease_promise(struct lease *l, const struct lease_terms *t, unsigned node, uint64_t now);
/**
 * Recompute the end of the own lease. `voters`: whose grants count. `self_votes`: this node is one
 * of them and grants itself `now`. Returns true when the end moved.
 */
bool lease_renew(struct lease *l, const struct lease_terms *t, uint32_t voters, unsigned majority,
		 unsigned self, bool self_votes, uint64_t now);

#endif
