/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "agree_voter.h"

/* ---- proposer and learner -----------------------------------------------------------------------
 */

static void vote_of(struct voter *v, unsigned node, ballot_t promised, ballot_t accepted,
		    const struct view *value, uint64_t wait_ns)
{
	struct frame_beat b = {
		.epoch = 7, .promised = promised, .accepted = accepted, .wait_ns = wait_ns};

	if (value)
		b.accepted_digest = view_digest(value);
	if (v->facts.peers[node].incarnation != LIFE(node))
		b.flags = BEAT_AMNESIC;
	agree_on_vote(&v->agree, &v->config, node, &b, NOW);
}

static int promises(struct voter *v, bool *forced, struct view *value)
{
	bool formation;

	return agree_promises(&v->agree, &v->config, &v->facts, forced, &formation, value);
}

static bool decided(struct voter *v, uint64_t *start)
{
	struct view got;

	return agree_decided(&v->agree, &v->config, &v->facts, &got, start);
}

Test(agree_decide, a_proposer_needs_a_majority_of_promises)
{
	struct voter *v = voter_start(2);
	struct view value;
	bool forced;

	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	cr_expect_eq(v->agree.ballot, BALLOT(2, 2), "round 1 is the coordinator's");
	cr_expect_eq(promises(v, &forced, &value), 0);
	vote_of(v, 0, BALLOT(2, 1), 0, NULL, 0);
	cr_expect_eq(promises(v, &forced, &value), 0, "promised to somebody else");
	vote_of(v, 0, BALLOT(2, 2), 0, NULL, 0);
	cr_expect_eq(promises(v, &forced, &value), 1);
	cr_expect_not(forced);
	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	cr_expect_eq(v->agree.ballot, BALLOT(3, 2), "above every round seen");
}

Test(agree_decide, a_value_that_may_have_been_chosen_is_taken_over)
{
	struct voter *v = voter_start(2);
	struct view old = next_view(v, 0), newer = next_view(v, 1), value;
	bool forced;

	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	v->agree.ballot = v->agree.promised = v->agree.vote[2].promised = BALLOT(9, 2);
	vote_of(v, 0, BALLOT(9, 2), BALLOT(1, 0), &old, 0);
	cr_expect_eq(promises(v, &forced, &value), 0, "its content has not come yet");
	agree_on_accepted_value(&v->agree, BALLOT(1, 0), &old);
	cr_expect_eq(promises(v, &forced, &value), 1);
	cr_expect(forced);
	cr_expect_eq(view_digest(&value), view_digest(&old));
	vote_of(v, 1, BALLOT(9, 2), BALLOT(5, 1), &newer, 0);
	agree_on_accepted_value(&v->agree, BALLOT(5, 1), &newer);
	cr_expect_eq(promises(v, &forced, &value), 1);
	cr_expect_eq(view_digest(&value), view_digest(&newer), "the highest ballot counts");
}

Test(agree_decide, a_refused_proposal_does_not_keep_out_the_value_to_take_over)
{
	struct voter *v = voter_start(2);
	struct view old = next_view(v, 0), newer = next_view(v, 1), value;
	bool forced;

	/* A node that is gone proposed another value, and nobody here accepted it. */
	cr_expect(prepares(v, BALLOT(6, 1)));
	agree_on_accepted_value(&v->agree, BALLOT(5, 1), &newer);
	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	vote_of(v, 0, v->agree.ballot, BALLOT(2, 0), &old, 0);
	cr_expect_eq(promises(v, &forced, &value), 0, "the content has not come yet");
	agree_on_accepted_value(&v->agree, BALLOT(2, 0), &old);
	cr_expect_eq(promises(v, &forced, &value), 1);
	cr_expect(forced);
	cr_expect_eq(view_digest(&value), view_digest(&old));
}

Test(agree_decide, a_later_proposal_than_the_own_stays_heard)
{
	struct voter *v = voter_start(2);
	struct view old = next_view(v, 0), newer = next_view(v, 1), value;
	bool forced;

	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	vote_of(v, 0, v->agree.ballot, BALLOT(1, 0), &old, 0);
	agree_on_accepted_value(&v->agree, BALLOT(8, 1), &newer);
	cr_expect_eq(promises(v, &forced, &value), 0);
	cr_expect_eq(v->agree.heard_ballot, BALLOT(8, 1), "it may be decided yet");
}

Test(agree_decide, the_coordinator_goes_first_without_asking_unless_somebody_asked_before)
{
	struct voter *v = voter_start(0);
	struct view value;
	bool forced;

	cr_expect_eq(agree_coordinator(&v->agree, &v->config, &v->facts), 0);
	agree_propose(&v->agree, &v->config, &v->facts, true, NOW);
	cr_expect_eq(v->agree.ballot, BALLOT(1, 0));
	cr_expect_eq(promises(v, &forced, &value), 1);
	cr_expect_not(forced);
	prepares(v, BALLOT(2, 1));
	cr_expect_eq(promises(v, &forced, &value), 0);
}

Test(agree_decide, decided_by_a_majority_for_one_ballot_and_one_value)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0), other = next_view(v, 1);
	uint64_t start;

	proposes(v, BALLOT(1, 0), &next);
	cr_expect_not(decided(v, &start));
	vote_of(v, 0, BALLOT(1, 0), BALLOT(1, 0), &other, 0);
	cr_expect_not(decided(v, &start), "another value");
	vote_of(v, 0, BALLOT(2, 1), BALLOT(2, 1), &next, 0);
	cr_expect_not(decided(v, &start), "another ballot");
	vote_of(v, 0, BALLOT(1, 0), BALLOT(1, 0), &next, 0);
	cr_expect(decided(v, &start));
	cr_expect_eq(start, NOW);
}

/* Waits are measured by the voters' clocks and may pass more slowly here: stretched twice, once
 * for the sending and once for the counting clock. */
Test(agree_decide, new_holders_start_when_the_waits_of_a_majority_are_over)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 1);
	uint64_t start;

	v->config.n_nodes = 5;
	v->config.voters = 31;
	give_to(&next, 0, 1);
	next.n_nodes = v->agree.view.n_nodes = 5;
	for (unsigned n = 3; n < 5; n++) {
		v->agree.view.incarnation[n] = next.incarnation[n] = LIFE(n);
		v->peers[n].incarnation = LIFE(n);
	}
	v->peers[0].alive = false;
	v->lease.promise_ns[0] = NOW + 50000;
	cr_assert(proposes(v, BALLOT(2, 1), &next));
	vote_of(v, 1, BALLOT(2, 1), BALLOT(2, 1), &next, 3000);
	cr_expect_not(decided(v, &start));
	vote_of(v, 3, BALLOT(2, 1), BALLOT(2, 1), &next, 1000);
	cr_expect(decided(v, &start));
	cr_expect_eq(start, NOW + 50000, "all three are needed");
	vote_of(v, 4, BALLOT(2, 1), BALLOT(2, 1), &next, 2000);
	cr_expect(decided(v, &start));
	cr_expect_eq(start, NOW + 3000 + 3 + 4, "the third of four");
}

Test(agree_decide, a_repeated_vote_never_puts_the_start_off)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0);
	struct frame_beat b = {.epoch = 7, .accepted = BALLOT(1, 0), .wait_ns = 1000};

	b.accepted_digest = view_digest(&next);
	agree_on_vote(&v->agree, &v->config, 0, &b, NOW);
	cr_expect_eq(v->agree.vote[0].ready_ns, NOW + 1003);
	agree_on_vote(&v->agree, &v->config, 0, &b, NOW + 500);
	cr_expect_eq(v->agree.vote[0].ready_ns, NOW + 1003);
	b.wait_ns = 100;
	agree_on_vote(&v->agree, &v->config, 0, &b, NOW + 500);
	cr_expect_eq(v->agree.vote[0].ready_ns, NOW + 602, "it became free earlier");
	b.accepted = BALLOT(2, 0);
	b.wait_ns = 5000;
	agree_on_vote(&v->agree, &v->config, 0, &b, NOW + 500);
	cr_expect_eq(v->agree.vote[0].ready_ns, NOW + 5511, "another vote, another wait");
}

/* ---- voters without memory ----------------------------------------------------------------------
 */

Test(agree_decide, a_voter_without_memory_counts_only_when_all_take_part)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 2), value;
	bool forced;
	uint64_t start;

	v->peers[0].incarnation++;
	v->peers[1].incarnation++;
	next.formation = 1;
	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	vote_of(v, 0, BALLOT(2, 2), 0, NULL, 0);
	cr_expect_eq(promises(v, &forced, &value), 0, "one with, one without memory");
	vote_of(v, 1, BALLOT(2, 2), 0, NULL, 0);
	cr_expect_eq(promises(v, &forced, &value), 1);
	agree_propose_value(&v->agree, &v->config, &v->facts, &next, false, NOW);
	vote_of(v, 0, BALLOT(2, 2), BALLOT(2, 2), &next, 4000);
	cr_expect_not(decided(v, &start));
	vote_of(v, 1, BALLOT(2, 2), BALLOT(2, 2), &next, 1000);
	cr_expect(decided(v, &start));
	cr_expect_eq(start, NOW + 4000 + 4 + 5, "and the wait of every one");
	agree_forget(&v->agree, 1);
	cr_expect_not(decided(v, &start));
}

/* Its silence is not over: it may have promised what it no longer knows. */
Test(agree_decide, a_voter_that_is_not_ready_counts_for_nothing)
{
	struct voter *v = voter_start(2);
	struct frame_beat silent = {.epoch = 7, .promised = BALLOT(2, 2)};
	struct view value;
	bool forced;

	v->peers[0].incarnation++;
	v->peers[1].incarnation++;
	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	vote_of(v, 0, BALLOT(2, 2), 0, NULL, 0);
	agree_on_vote(&v->agree, &v->config, 1, &silent, NOW);
	cr_expect_eq(promises(v, &forced, &value), 0);
}

/* ---- commit ------------------------------------------------------------------------------------
 */

Test(agree_decide, a_commit_clears_the_slot)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0), value;
	const struct agree *a = &v->agree;
	uint64_t start;
	bool forced;

	agree_propose(&v->agree, &v->config, &v->facts, false, NOW);
	proposes(v, BALLOT(5, 0), &next);
	vote_of(v, 0, BALLOT(5, 0), BALLOT(5, 0), &next, 0);
	agree_commit(&v->agree, &next, NOW);
	cr_expect_eq(a->view.epoch, 8);
	cr_expect_eq(a->promised, 0);
	cr_expect_eq(a->accepted, 0);
	cr_expect_eq(a->phase, AGREE_IDLE);
	cr_expect_eq(a->round_seen, 0);
	cr_expect_not(decided(v, &start));
	cr_expect_eq(promises(v, &forced, &value), 0);
	cr_expect_not(agree_reconsider(&v->agree, &v->config, &v->facts, NOW));
	for (unsigned n = 0; n < 3; n++)
		cr_expect_eq(a->vote[n].accepted, 0);
}

Test(agree_decide, who_goes_on_holding_goes_on_acting)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0);

	v->agree.act_from_ns[0] = 5000;
	give_to(&next, 1, 2);
	agree_commit(&v->agree, &next, 9000);
	cr_expect_eq(v->agree.act_from_ns[0], 5000);
	cr_expect_eq(v->agree.act_from_ns[1], 9000);
	next.epoch = 9;
	next.incarnation[0]++;
	agree_commit(&v->agree, &next, 10000);
	cr_expect_eq(v->agree.act_from_ns[0], 10000, "another life of the same node");
	next.epoch = 11;
	agree_commit(&v->agree, &next, 11000);
	cr_expect_eq(v->agree.act_from_ns[0], 11000, "what happened in between is not known");
	next.epoch = 12;
	next.formation = 1;
	agree_commit(&v->agree, &next, 12000);
	cr_expect_eq(v->agree.act_from_ns[0], 12000);
}
