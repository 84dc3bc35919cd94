/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "lease.h"
#include "prng.h"
#include "view.h"

#define MILLION 1000000
#define HOLDER 0u
#define VOTER 1u

static const struct lease_terms usual = {.lease_ns = 10000000, .guard_ns = 500000, .rate_ppm = 200};

/* ---- arithmetic ------------------------------------------------------------------------------ */

Test(lease, stretch_rounds_up)
{
	const struct lease_terms t = {.rate_ppm = 200};
	const struct lease_terms exact = {.rate_ppm = 0};

	cr_expect_eq(lease_stretch(&t, 0), 0);
	cr_expect_eq(lease_stretch(&t, 1), 2);
	cr_expect_eq(lease_stretch(&t, 5000), 5001);
	cr_expect_eq(lease_stretch(&t, 5001), 5003);
	cr_expect_eq(lease_stretch(&t, 10000000), 10002000);
	cr_expect_eq(lease_stretch(&exact, 12345), 12345);
	/* Five hundred years: the product does not fit 64 bits, the result does. */
	cr_expect_eq(lease_stretch(&t, 15768000000000000000u), 15771153600000000000u);
}

Test(lease, a_promise_lasts_the_stretched_lease_and_the_guard)
{
	cr_expect_eq(lease_promise_ns(&usual), 10000000 + 2000 + 500000);
}

Test(lease, a_promise_never_shrinks)
{
	struct lease l;

	memset(&l, 0, sizeof(l));
	lease_promise(&l, &usual, 3, 1000);
	cr_expect_eq(l.promise_ns[3], 1000 + lease_promise_ns(&usual));
	lease_promise(&l, &usual, 3, 500);
	cr_expect_eq(l.promise_ns[3], 1000 + lease_promise_ns(&usual));
	lease_promise(&l, &usual, 3, 1001);
	cr_expect_eq(l.promise_ns[3], 1001 + lease_promise_ns(&usual));
	cr_expect_eq(l.promise_ns[2], 0);
}

/* ---- grants ---------------------------------------------------------------------------------- */

/* Peer to which `n` beats were sent, beat s at the instant 1000·s. */
static struct peer sent_beats(unsigned n)
{
	struct peer p;
	struct frame f = {.type = FRAME_BEAT};

	memset(&p, 0, sizeof(p));
	for (unsigned s = 1; s <= n; s++)
		peer_address(&p, &f, false, 1000 * s);
	return p;
}

static uint64_t granted(struct peer p, uint64_t echo, uint8_t flags)
{
	struct lease l;

	memset(&l, 0, sizeof(l));
	p.last.echo = echo;
	p.last.flags = flags;
	lease_grant_heard(&l, VOTER, &p, 1000000);
	return l.granted_ns[VOTER];
}

Test(lease, a_grant_counts_from_the_instant_of_sending)
{
	struct peer p = sent_beats(200);

	cr_expect_eq(granted(p, 200, BEAT_GRANT), 200000);
	cr_expect_eq(granted(p, 190, BEAT_GRANT), 190000);
}

Test(lease, an_echo_without_the_flag_grants_nothing)
{
	cr_expect_eq(granted(sent_beats(200), 200, BEAT_AMNESIC | BEAT_WITNESS), 0);
}

Test(lease, an_echo_of_nothing_or_of_the_future_grants_nothing)
{
	cr_expect_eq(granted(sent_beats(200), 0, BEAT_GRANT), 0);
	cr_expect_eq(granted(sent_beats(200), 201, BEAT_GRANT), 0);
	cr_expect_eq(granted(sent_beats(0), 1, BEAT_GRANT), 0);
}

/* Its slot has been used again: what stands there is the send instant of a later beat. */
Test(lease, an_echo_too_old_to_be_remembered_grants_nothing)
{
	struct peer p = sent_beats(200);

	cr_expect_eq(granted(p, 200 - PEER_SENT_SLOTS + 1, BEAT_GRANT), 137000);
	cr_expect_eq(granted(p, 200 - PEER_SENT_SLOTS, BEAT_GRANT), 0);
	cr_expect_eq(granted(p, 1, BEAT_GRANT), 0);
}

Test(lease, an_older_grant_takes_nothing_back)
{
	struct peer p = sent_beats(9);
	struct lease l;

	memset(&l, 0, sizeof(l));
	p.last.flags = BEAT_GRANT;
	p.last.echo = 9;
	lease_grant_heard(&l, VOTER, &p, 20000);
	p.last.echo = 4;
	lease_grant_heard(&l, VOTER, &p, 30000);
	cr_expect_eq(l.granted_ns[VOTER], 9000);
}

/* ---- renewal --------------------------------------------------------------------------------- */

static uint64_t end_of(uint64_t sent)
{
	return sent + usual.lease_ns - 2000 - usual.guard_ns;
}

Test(lease, ends_counted_from_what_a_majority_granted)
{
	struct lease l;

	memset(&l, 0, sizeof(l));
	cr_expect_not(lease_renew(&l, &usual, 7, 2, 0, true, 900000), "nobody else granted");
	cr_expect_eq(l.until_ns, 0);
	l.granted_ns[1] = 500000;
	cr_expect(lease_renew(&l, &usual, 7, 2, 0, true, 900000));
	cr_expect_eq(l.until_ns, end_of(500000));
	l.granted_ns[2] = 600000;
	cr_expect(lease_renew(&l, &usual, 7, 2, 0, true, 900000));
	cr_expect_eq(l.until_ns, end_of(600000));
	cr_expect_not(lease_renew(&l, &usual, 7, 2, 0, true, 950000), "nothing new");
}

Test(lease, a_holder_without_a_vote_needs_a_majority_of_the_others)
{
	struct lease l;

	memset(&l, 0, sizeof(l));
	l.granted_ns[0] = 999999; /* own index, not a voter: must not count */
	l.granted_ns[1] = 500000;
	cr_expect_not(lease_renew(&l, &usual, 0xe, 2, 0, false, 900000));
	l.granted_ns[3] = 400000;
	cr_expect(lease_renew(&l, &usual, 0xe, 2, 0, false, 900000));
	cr_expect_eq(l.until_ns, end_of(400000));
}

Test(lease, a_lone_voter_grants_itself_now)
{
	struct lease l;

	memset(&l, 0, sizeof(l));
	cr_expect(lease_renew(&l, &usual, 1, 1, 0, true, 900000));
	cr_expect_eq(l.until_ns, end_of(900000));
}

Test(lease, a_guard_as_long_as_the_lease_gives_none)
{
	struct lease_terms t = {.lease_ns = 1000, .guard_ns = 1000, .rate_ppm = 0};
	struct lease l;

	memset(&l, 0, sizeof(l));
	cr_expect_not(lease_renew(&l, &t, 1, 1, 0, true, 900000));
	cr_expect_eq(l.until_ns, 0);
}

static unsigned as_new_as(const uint64_t *granted_ns, uint32_t voters, uint64_t at)
{
	unsigned n = 0;

	for (unsigned v = 0; v < HAVEN_NODES_MAX; v++)
		n += (voters & node_bit(v)) && granted_ns[v] >= at;
	return n;
}

/* The definition: the newest instant that a majority of the voters has reached. */
Test(lease, the_instant_is_the_newest_that_a_majority_has_reached)
{
	struct prng p = {11};

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t best = 0, now = 1000, all[HAVEN_NODES_MAX];
		uint32_t voters = 0;
		unsigned count = (unsigned)(1 + 2 * prng_below(&p, 4)), majority = count / 2 + 1;
		struct lease l;

		memset(&l, 0, sizeof(l));
		while ((unsigned)__builtin_popcount(voters) < count)
			voters |= node_bit((unsigned)prng_below(&p, 10));
		for (unsigned v = 0; v < 10; v++)
			l.granted_ns[v] = prng_below(&p, 8) * 100; /* also of nodes without vote */
		memcpy(all, l.granted_ns, sizeof(all));
		all[0] = (voters & 1) ? now : 0;
		for (unsigned v = 0; v < 10; v++)
			if (all[v] > best && as_new_as(all, voters, all[v]) >= majority)
				best = all[v];
		cr_assert_eq(lease_renew(&l, &usual, voters, majority, 0, voters & 1, now),
			     best != 0);
		cr_assert_eq(l.until_ns, best ? end_of(best) : 0, "round %u", round);
	}
}

/* ---- the inequality ---------------------------------------------------------------------------
 */

/** A clock that runs `ppm` off true time, from some other beginning. */
struct test_clock {
	int64_t ppm;
	uint64_t origin;
};

static struct test_clock random_clock(struct prng *p, uint32_t bound)
{
	struct test_clock c = {.origin = prng_next(p) >> 8};

	switch (prng_below(p, 3)) { /* the ends of the range are where it would break */
	case 0:
		c.ppm = bound;
		break;
	case 1:
		c.ppm = -(int64_t)bound;
		break;
	default:
		c.ppm = (int64_t)prng_below(p, 2 * bound + 1) - bound;
	}
	return c;
}

static uint64_t shown(const struct test_clock *c, uint64_t true_ns)
{
	return c->origin + (uint64_t)((__int128)true_ns * (MILLION + c->ppm) / MILLION);
}

/* True instant times 10^12, so that nothing is rounded in the comparison below. */
static __int128 true_instant(const struct test_clock *c, uint64_t local)
{
	__int128 whole = (__int128)(local - c->origin) * MILLION * MILLION;

	return whole / (MILLION + c->ppm) * MILLION;
}

struct exchange {
	struct lease_terms terms;
	struct test_clock holder_clock, voter_clock;
	struct peer to_voter; /**< the holder's side of the pair */
	struct lease holder, voter;
	uint64_t t; /**< true time */
};

/* The holder sends some beats, some arrive late or never, the voter echoes the newest it has, the
 * echo arrives late: one exchange with every instant drawn at random. */
static void exchange_once(struct exchange *x, struct prng *p)
{
	uint64_t span = x->terms.lease_ns, heard = 0;
	unsigned beats = 1 + (unsigned)prng_below(p, 5);
	struct frame f = {.type = FRAME_BEAT};

	for (unsigned k = 0; k < beats; k++) {
		uint64_t arrival;

		x->t += prng_below(p, span / 2 + 1);
		peer_address(&x->to_voter, &f, false, shown(&x->holder_clock, x->t));
		if (prng_below(p, 3) == 0)
			continue;
		arrival = x->t + (prng_below(p, 2) ? 0 : prng_below(p, span));
		heard = f.u.beat.seq;
		lease_promise(&x->voter, &x->terms, HOLDER, shown(&x->voter_clock, arrival));
		if (arrival > x->t)
			x->t = arrival;
	}
	x->t += prng_below(p, 2) ? 0 : prng_below(p, span);
	if (!heard)
		return;
	x->to_voter.last = (struct frame_beat){.echo = heard, .flags = BEAT_GRANT};
	lease_grant_heard(&x->holder, VOTER, &x->to_voter, shown(&x->holder_clock, x->t));
	lease_renew(&x->holder, &x->terms, node_bit(VOTER), 1, HOLDER, false,
		    shown(&x->holder_clock, x->t));
}

/*
 * Every clock within the bound of true time, whatever the delays: when the holder's gate shuts, a
 * packet that passed it last still has a guard's time to leave before the voter's promise ends.
 */
Test(lease, ends_before_the_promise_whatever_clocks_and_network_do)
{
	struct prng p = {2026};
	unsigned held = 0;

	for (unsigned round = 0; round < 100000; round++) {
		struct exchange x;
		__int128 gap, guard;

		memset(&x, 0, sizeof(x));
		x.terms.lease_ns = 1000000 + prng_below(&p, 100000000);
		x.terms.guard_ns = 1000 + prng_below(&p, x.terms.lease_ns / 4);
		x.terms.rate_ppm = (uint32_t)(prng_below(&p, 2) ? 200 : prng_below(&p, 50000));
		x.holder_clock = random_clock(&p, x.terms.rate_ppm);
		x.voter_clock = random_clock(&p, x.terms.rate_ppm);
		x.t = prng_below(&p, 1000000000);
		for (unsigned k = 0; k < 3; k++)
			exchange_once(&x, &p);
		if (!x.holder.until_ns)
			continue;
		held++;
		gap = true_instant(&x.voter_clock, x.voter.promise_ns[HOLDER]) -
		      true_instant(&x.holder_clock, x.holder.until_ns);
		guard = (__int128)x.terms.guard_ns * MILLION * MILLION;
		cr_assert(gap >= guard, "round %u: the promise outlives the lease by %lld ns",
			  round, (long long)(gap / MILLION / MILLION));
	}
	cr_assert_gt(held, 50000);
}
