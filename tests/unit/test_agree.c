/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "agree_voter.h"

/* One rule per line: what is so, what is proposed, and whether it may be voted for. */
#define RULE(verdict, situation, change)                                                           \
	do {                                                                                       \
		struct voter *v = voter_start(2);                                                  \
		struct view next = next_view(v, 1);                                                \
		situation;                                                                         \
		change;                                                                            \
		cr_expect_eq(accepts(v, &next, false), verdict, "%s | %s", #situation, #change);   \
	} while (0)
#define ALLOWED true
#define REFUSED false
#define NOTHING (void)0

/* ---- what may be voted for --------------------------------------------------------------------
 */

Test(agree, form_of_a_view)
{
	RULE(ALLOWED, NOTHING, NOTHING);
	RULE(REFUSED, NOTHING, next.epoch = 7);
	RULE(ALLOWED, NOTHING, next.epoch = 1000);
	RULE(REFUSED, NOTHING, next.n_nodes = 2);
	RULE(REFUSED, NOTHING, next.n_instances = 1);
	RULE(REFUSED, NOTHING, next.incarnation[1] = 0);
	RULE(ALLOWED, NOTHING,
	     (next.members = 5, next.incarnation[1] = 0, next.instance[0].assigned = 0,
	      next.instance[0].in_sync = 1));
}

Test(agree, a_holder_is_displaced_by_its_word_its_silence_or_its_death_only)
{
	RULE(REFUSED, NOTHING, give_to(&next, 0, 1));
	RULE(ALLOWED, v->peers[0].alive = false, give_to(&next, 0, 1));
	RULE(ALLOWED, v->peers[0].last.released = 1, give_to(&next, 0, 1));
	RULE(REFUSED, v->peers[0].last.released = 2, give_to(&next, 0, 1));
	RULE(REFUSED, (v->peers[0].last.released = 1, v->peers[0].last.epoch = 6),
	     give_to(&next, 0, 1));
	RULE(ALLOWED, v->peers[0].incarnation++, give_to(&next, 0, 1));
	RULE(REFUSED, v->peers[1].alive = false, give_to(&next, 0, 1));
	RULE(REFUSED, NOTHING, next.instance[0].holder = HAVEN_NODE_NONE);
}

Test(agree, a_forced_value_is_not_refused_for_displacing_a_holder)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 1);

	give_to(&next, 0, 1);
	cr_expect_not(accepts(v, &next, false));
	cr_expect(accepts(v, &next, true));
	next.instance[0].in_sync = 6;
	cr_expect_not(accepts(v, &next, true), "but for anything else");
}

Test(agree, the_holder_itself_gives_way_only_after_releasing_or_a_restart)
{
	struct voter *v = voter_start(0);
	struct view next = next_view(v, 1);

	give_to(&next, 0, 1);
	cr_expect_not(accepts(v, &next, false));
	v->facts.own_released = 1;
	cr_expect(accepts(v, &next, false));
	v->facts.own_released = 0;
	v->facts.own_incarnation++;
	cr_expect(accepts(v, &next, false));
}

Test(agree, only_an_in_sync_copy_that_has_lived_all_along_is_promoted)
{
	RULE(REFUSED, v->peers[0].alive = false, give_to(&next, 0, 2));
	RULE(REFUSED, v->peers[0].alive = false, (give_to(&next, 0, 1), next.incarnation[1]++));
	RULE(REFUSED, v->peers[0].alive = false, (give_to(&next, 0, 1), next.members = 5));
	RULE(REFUSED, v->peers[0].alive = false,
	     (give_to(&next, 0, 1), next.instance[0].assigned = 4, next.instance[0].in_sync = 6));
	RULE(REFUSED, v->peers[0].alive = false,
	     (give_to(&next, 0, 1), next.instance[0].assigned = 1, next.instance[0].in_sync = 3));
	RULE(ALLOWED, v->peers[0].alive = false,
	     (give_to(&next, 0, 1), next.instance[0].assigned = 4));
}

Test(agree, only_the_holder_adds_to_its_in_sync_set_and_anybody_takes_away)
{
	RULE(REFUSED, NOTHING,
	     (next.instance[0].assigned = 6, next.instance[0].in_sync = 7, next.author = 1));
	RULE(ALLOWED, NOTHING,
	     (next.instance[0].assigned = 6, next.instance[0].in_sync = 7, next.author = 0));
	RULE(ALLOWED, NOTHING, (next.instance[0].assigned = 6, next.author = 1));
	RULE(ALLOWED, NOTHING, next.instance[0].in_sync = 1);
	RULE(REFUSED, NOTHING, next.incarnation[1]++);
	RULE(ALLOWED, NOTHING, (next.incarnation[1]++, next.instance[0].in_sync = 1));
}

Test(agree, without_a_holder_the_set_may_shrink_but_not_vanish)
{
	RULE(ALLOWED, v->peers[0].alive = false,
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 3));
	RULE(ALLOWED, v->peers[0].alive = false,
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 1));
	RULE(REFUSED, v->peers[0].alive = false,
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 0));
	RULE(REFUSED, v->peers[0].alive = false,
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 4));
}

Test(agree, what_never_had_state_begins_anywhere_with_one_copy)
{
	RULE(ALLOWED, NOTHING, give_to(&next, 1, 2));
	RULE(REFUSED, NOTHING, (give_to(&next, 1, 2), next.members = 3));
	RULE(REFUSED, NOTHING,
	     (give_to(&next, 1, 2), next.instance[1].assigned = 1, next.instance[1].in_sync = 5));
	RULE(REFUSED, NOTHING, next.instance[1].in_sync = 1);
	RULE(REFUSED, NOTHING, (give_to(&next, 1, 2), next.instance[1].lineage++));
}

static void lose_both_copies(struct voter *v)
{
	v->peers[0].last.lost = 1;
	v->peers[0].last.released = 1;
	v->peers[1].incarnation++;
}

Test(agree, state_is_given_up_only_when_every_copy_is_gone)
{
	RULE(ALLOWED, lose_both_copies(v), (give_to(&next, 0, 2), next.instance[0].lineage = 5));
	RULE(REFUSED, lose_both_copies(v), (give_to(&next, 0, 2), next.instance[0].lineage = 6));
	RULE(REFUSED, lose_both_copies(v), (give_to(&next, 0, 2), next.instance[0].lineage = 3));
	RULE(REFUSED, lose_both_copies(v), give_to(&next, 0, 2));
	RULE(REFUSED, lose_both_copies(v),
	     (give_to(&next, 0, 2), next.instance[0].lineage = 5, next.instance[0].in_sync = 6));
	RULE(REFUSED, (lose_both_copies(v), v->peers[1].incarnation--),
	     (give_to(&next, 0, 2), next.instance[0].lineage = 5));
	RULE(REFUSED, (lose_both_copies(v), v->peers[0].last.epoch = 6, v->peers[0].alive = false),
	     (give_to(&next, 0, 2), next.instance[0].lineage = 5));
	RULE(ALLOWED, lose_both_copies(v),
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 0,
	      next.instance[0].lineage = 5));
	RULE(REFUSED, lose_both_copies(v),
	     (give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 2,
	      next.instance[0].lineage = 5));
}

/* A formation cannot know what was forgotten: it names a loss and keeps one copy. */
Test(agree, a_formation_names_a_loss_and_keeps_one_copy)
{
	RULE(ALLOWED, NOTHING,
	     (next.formation = 1, next.instance[0].lineage = 5, next.instance[0].in_sync = 1));
	RULE(REFUSED, NOTHING, (next.instance[0].lineage = 5, next.instance[0].in_sync = 1));
	RULE(ALLOWED, v->peers[0].alive = false,
	     (next.formation = 1, give_to(&next, 0, 1), next.instance[0].lineage = 5));
	RULE(REFUSED, v->peers[0].alive = false,
	     (next.formation = 1, give_to(&next, 0, 2), next.instance[0].lineage = 5));
	RULE(ALLOWED, v->peers[0].alive = false,
	     (next.formation = 1, give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 3,
	      next.instance[0].lineage = 5));
}

Test(agree, a_formation_names_a_loss_where_its_view_knows_of_nothing)
{
	RULE(ALLOWED, NOTHING,
	     (next.formation = 1, give_to(&next, 1, 2), next.instance[1].lineage++));
	RULE(REFUSED, NOTHING,
	     (next.formation = 1, give_to(&next, 1, 2), next.instance[1].lineage += 2));
}

/* … which must not be refused later, when that copy is gone: an earlier ballot may have chosen it.
 */
Test(agree, a_copy_that_was_kept_may_be_gone_by_now)
{
	RULE(ALLOWED, lose_both_copies(v),
	     (next.formation = 1, give_to(&next, 0, HAVEN_NODE_NONE), next.instance[0].in_sync = 2,
	      next.instance[0].lineage = 5));
}

Test(agree, a_holder_may_begin_afresh_itself_once_it_has_released)
{
	RULE(ALLOWED, lose_both_copies(v), (give_to(&next, 0, 0), next.instance[0].lineage = 5));
	RULE(REFUSED, (lose_both_copies(v), v->peers[0].last.released = 0),
	     (give_to(&next, 0, 0), next.instance[0].lineage = 5));
}

/* A node that was never heard proves nothing about its copy. */
Test(agree, silence_is_no_proof_of_a_lost_copy)
{
	struct voter *v = voter_start(2);

	v->peers[0].incarnation = 0;
	v->peers[0].alive = false;
	cr_expect_not(agree_copy_lost(&v->agree, &v->config, &v->facts, 0, 0));
	v->peers[0].incarnation = LIFE(0) + 1;
	cr_expect(agree_copy_lost(&v->agree, &v->config, &v->facts, 0, 0));
}

/* ---- acceptor ----------------------------------------------------------------------------------
 */

Test(agree, a_promise_shuts_out_lower_ballots)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0);

	cr_expect(prepares(v, BALLOT(3, 1)));
	cr_expect_not(prepares(v, BALLOT(3, 1)), "nothing new");
	cr_expect_not(prepares(v, BALLOT(2, 2)));
	cr_expect_not(prepares(v, BALLOT(3, 0)));
	cr_expect_not(proposes(v, BALLOT(1, 0), &next), "the coordinator comes too late");
	cr_expect_not(proposes(v, BALLOT(3, 0), &next));
	cr_expect_eq(v->agree.accepted, 0);
	cr_expect(proposes(v, BALLOT(3, 1), &next));
	cr_expect_eq(v->agree.accepted, BALLOT(3, 1));
	cr_expect_not(proposes(v, BALLOT(3, 1), &next), "once is enough");
	cr_expect(prepares(v, BALLOT(4, 0)));
	cr_expect_eq(v->agree.accepted, BALLOT(3, 1), "promising forgets no vote");
}

Test(agree, without_memory_or_vote_nothing_is_promised)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 0);

	v->facts.own_incarnation++;
	cr_expect_not(prepares(v, BALLOT(2, 1)));
	cr_expect_not(proposes(v, BALLOT(2, 1), &next));
	v->facts.amnesic_ready = true;
	cr_expect(prepares(v, BALLOT(2, 1)));
	cr_expect(v->agree.vote[2].amnesic);
	v = voter_start(2);
	v->config.voters = 3;
	cr_expect_not(prepares(v, BALLOT(2, 1)));
}

Test(agree, a_refused_proposal_is_accepted_once_the_voter_knows_more)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 1);

	give_to(&next, 0, 1);
	cr_expect_not(proposes(v, BALLOT(2, 1), &next));
	cr_expect_not(agree_reconsider(&v->agree, &v->config, &v->facts, NOW));
	v->peers[0].alive = false;
	cr_expect(agree_reconsider(&v->agree, &v->config, &v->facts, NOW));
	cr_expect_eq(v->agree.accepted, BALLOT(2, 1));
}

Test(agree, a_value_shown_by_another_voter_is_not_a_proposal)
{
	struct voter *v = voter_start(2);
	struct view next = next_view(v, 1);

	agree_on_accepted_value(&v->agree, BALLOT(2, 1), &next);
	cr_expect_not(agree_reconsider(&v->agree, &v->config, &v->facts, NOW));
	cr_expect_eq(v->agree.accepted, 0);
}

/* ---- waits -------------------------------------------------------------------------------------
 */

static uint64_t wait_after_accepting(struct voter *v, uint8_t new_holder)
{
	struct view next = next_view(v, 1);

	if (new_holder != v->agree.view.instance[0].holder)
		give_to(&next, 0, new_holder);
	cr_assert(agree_on_proposal(&v->agree, &v->config, &v->facts, BALLOT(2, 1), &next, true,
				    NOW));
	return agree_wait_ns(&v->agree, &v->config, &v->facts, NOW);
}

Test(agree, a_vote_against_a_holder_waits_for_the_promise_to_it)
{
	struct voter *v = voter_start(2);

	v->lease.promise_ns[0] = NOW + 4000;
	v->lease.promise_ns[1] = NOW + 9000;
	cr_expect_eq(agree_wait_ns(&v->agree, &v->config, &v->facts, NOW), 0, "no vote yet");
	cr_expect_eq(wait_after_accepting(v, 1), 4000);
	cr_expect_eq(v->agree.vote[2].ready_ns, NOW + 4000);
	cr_expect_eq(agree_wait_ns(&v->agree, &v->config, &v->facts, NOW + 3000), 1000);
	cr_expect_eq(agree_wait_ns(&v->agree, &v->config, &v->facts, NOW + 5000), 0);
}

Test(agree, a_vote_that_keeps_the_holder_waits_for_nothing)
{
	struct voter *v = voter_start(2);

	v->lease.promise_ns[0] = NOW + 4000;
	cr_expect_eq(wait_after_accepting(v, 0), 0);
}

Test(agree, a_released_role_needs_no_wait)
{
	struct voter *v = voter_start(2);

	v->lease.promise_ns[0] = NOW + 4000;
	v->peers[0].last.released = 1;
	cr_expect_eq(wait_after_accepting(v, 1), 0);
}

Test(agree, the_holder_s_own_vote_waits_for_its_own_lease_and_guard)
{
	struct voter *v = voter_start(0);

	v->lease.until_ns = NOW + 4000;
	cr_expect_eq(wait_after_accepting(v, 1), 4500);
}

/* The holder was named, but may not act yet: earlier promises still run. */
Test(agree, a_start_that_lies_ahead_is_passed_on)
{
	struct voter *v = voter_start(2);

	v->agree.act_from_ns[0] = NOW + 6000;
	v->lease.promise_ns[0] = NOW + 4000;
	cr_expect_eq(wait_after_accepting(v, 1), 6000);
	v = voter_start(2);
	v->agree.act_from_ns[1] = NOW + 7000;
	cr_expect_eq(wait_after_accepting(v, 0), 7000, "also when nobody holds it meanwhile");
}
