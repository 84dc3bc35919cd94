/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A secondary that lies in its acknowledgements: of what was never sent, of another session, lane
 * or life. Nothing counts as acknowledged by it that was not sent to it in this session, and it
 * leads the sender nowhere. (That it has what it claims of what was sent, nobody but itself can
 * know.)
 */
#include <criterion/criterion.h>
#include <string.h>

#include "brain_cluster.h"
#include "mirror_tx.h"

#define A 0u
#define B 1u
#define W 2u

/* ---- the sender, given every lie ---------------------------------------------------------------
 */

#define PER_FRAME 2u
#define COMMITTED 6u /* at START */
#define SESSION 5u
#define WINDOW 16u

/* A session some steps on its way: frames made, all up to a number acknowledged. */
static struct mirror_tx on_its_way(unsigned frames, unsigned acked, struct mirror_tx_frame *window)
{
	struct frame_mirror_ack ack = {.session = SESSION, .applied = COMMITTED};
	struct frame_mirror m;
	struct mirror_tx t;

	mirror_tx_init(&t, window, WINDOW);
	mirror_tx_open(&t, B, 20, SESSION, COMMITTED, 4, 0, 0);
	cr_assert(mirror_tx_next(&t, COMMITTED, PER_FRAME, 1, 1, &m));
	for (unsigned i = 1; i <= frames; i++) {
		ack.next = i <= acked ? i : acked;
		if (ack.next)
			mirror_tx_on_ack(&t, &ack, 1);
		mirror_tx_next(&t, COMMITTED + 4, PER_FRAME, 1 + i, 1, &m);
	}
	return t;
}

static bool may_be(const struct mirror_tx *t, const struct frame_mirror_ack *ack)
{
	return ack->session == SESSION && ack->next <= t->next && ack->applied < t->record_next;
}

static void expect_sound(const struct mirror_tx *t, const struct mirror_tx *before)
{
	cr_assert_leq(t->acked, t->next);
	cr_assert_lt(t->applied, t->record_next, "acknowledged, and never sent");
	cr_assert_geq(t->acked, before->acked);
	cr_assert_geq(t->applied, before->applied);
	cr_assert(t->resend >= t->acked && t->resend <= t->next);
	cr_assert(!t->synced || before->synced || (t->end_sent && t->acked > t->end_number));
}

/* After a lie the sender goes on: whatever it sends stands in its window. */
static void expect_goes_on(struct mirror_tx t)
{
	struct frame_mirror m;
	unsigned sent = 0;

	while (sent <= 2 * WINDOW && mirror_tx_next(&t, COMMITTED + 4, PER_FRAME, 99, 2, &m)) {
		cr_assert(m.number >= t.acked && m.number < t.next);
		cr_assert(m.kind != MIRROR_RECORDS || m.first + m.count < t.record_next + 1);
		sent++;
	}
	cr_assert_leq(sent, WINDOW);
}

static void lie(const struct mirror_tx *t, const struct frame_mirror_ack *ack)
{
	struct mirror_tx after = *t;
	bool progress = mirror_tx_on_ack(&after, ack, 7);

	expect_sound(&after, t);
	if (!may_be(t, ack)) {
		cr_assert_not(progress);
		cr_assert_eq(memcmp(&after, t, sizeof(after)), 0,
			     "an impossible one changes nothing");
	}
	expect_goes_on(after);
}

Test(mirror_liar, no_acknowledgement_leads_the_sender_beyond_what_it_sent)
{
	static const uint64_t sessions[] = {0, SESSION - 1, SESSION, SESSION + 1, UINT64_MAX};
	struct mirror_tx_frame window[WINDOW];
	unsigned lies = 0;

	for (unsigned frames = 0; frames < 8; frames++)
		for (unsigned acked = 0; acked <= frames; acked++) {
			struct mirror_tx t = on_its_way(frames, acked, window);

			for (uint64_t n = 0; n < t.next + 4; n++)
				for (uint64_t r = 0; r < COMMITTED + 8; r++)
					for (unsigned k = 0; k < 20; k++, lies++) {
						struct frame_mirror_ack ack = {
							.session = sessions[k / 4],
							.next = n == t.next + 3 ? UINT64_MAX : n,
							.applied =
								r == COMMITTED + 7 ? UINT64_MAX : r,
							.gap = k & 1,
							.refused = k >> 1 & 1};

						lie(&t, &ack);
					}
		}
	cr_assert_gt(lies, 50000);
}

/* ---- the holder's brain ------------------------------------------------------------------------
 */

/* a serves with a checkpoint of 50 records, b follows in sync. */
static struct cluster *serving(void)
{
	struct cluster *c = cluster_start(3);

	cluster_run(c, MS(20));
	component_with_lane_up(c, A);
	cluster_run(c, MS(5));
	commits(c, A, 50);
	component_with_lane_up(c, B);
	cluster_run(c, MS(20));
	cr_assert_eq(assignment(c, W)->in_sync, 3);
	cr_assert_eq(c->node[A].acked, 50);
	return c;
}

/* Ten records more, whose acknowledgement by b is under way to a. Returns it. */
static struct frame ten_more(struct cluster *c)
{
	const struct frame *found = NULL;

	c->node[A].paused = true;
	commits(c, A, 10);
	c->now += TICK_NS;
	for (unsigned k = A; k <= B; k++) {
		cluster_feed(c, k, (struct brain_event){.kind = BRAIN_TICK});
		cluster_drain(c);
	}
	cr_assert_eq(c->node[B].position, 60);
	cr_assert_eq(c->node[A].acked, 50);
	for (unsigned i = 0; i < c->mail_count; i++) {
		const struct frame *f = &c->mail[(c->mail_first + i) % CLUSTER_MAIL];

		if (f->type == FRAME_MIRROR_ACK && f->src == B && f->u.ack.applied == 60)
			found = f;
	}
	cr_assert_not_null(found, "b acknowledges nothing");
	return *found;
}

/* Sealed and numbered as it must be, by whoever sends it. */
static void tell(struct cluster *c, const struct frame *what)
{
	static uint64_t lies;
	struct frame lie = *what;

	lie.counter += ++lies;
	cluster_feed(c, A, (struct brain_event){.kind = BRAIN_FRAME, .frame = &lie});
	cluster_feed(c, A, (struct brain_event){.kind = BRAIN_TICK});
	cr_expect_eq(c->node[A].acked, 50, "believed");
}

Test(mirror_liar, what_is_acknowledged_by_others_or_of_other_things_does_not_count)
{
	struct cluster *c = serving();
	struct frame truth = ten_more(c), f = truth;

	f.u.ack.next += 1;
	tell(c, &f);
	f.u.ack.next = UINT64_MAX;
	tell(c, &f);
	f = truth;
	f.u.ack.applied = 61;
	tell(c, &f);
	f.u.ack.applied = UINT64_MAX;
	tell(c, &f);
	for (int step = -1; step <= 1; step += 2) {
		f = truth;
		f.u.ack.session += (uint64_t)step;
		tell(c, &f);
	}
	f = truth;
	f.src_incarnation--; /* of an earlier life; a later one would be news */
	tell(c, &f);
	f = truth;
	f.src = W;
	f.src_incarnation = c->node[W].incarnation;
	tell(c, &f);
	f = truth;
	f.u.ack.stream.instance = 1;
	tell(c, &f);
	f.u.ack.stream.instance = 255;
	tell(c, &f);
	f = truth;
	f.u.ack.stream.checkpoint ^= 1;
	tell(c, &f);
	f = truth;
	f.u.ack.stream.lane ^= 1;
	tell(c, &f);
	c->node[A].paused = false;
	cluster_run(c, MS(1));
	cr_expect_eq(c->node[A].acked, 60, "the truth does");
	cr_expect_eq(c->actor, A);
	cluster_end(c);
}

/* Who says that it cannot hold the checkpoint is left behind by a view before anything is
 * acknowledged without it; everybody is told. */
Test(mirror_liar, who_refuses_is_voted_out_before_anything_is_acknowledged_without_it)
{
	struct cluster *c = serving();
	struct frame f = ten_more(c);

	f.u.ack.refused = 1;
	f.u.ack.next -= 1;
	f.u.ack.applied = 50;
	tell(c, &f);
	c->mail_count = 0; /* the truth is lost */
	c->node[A].paused = false;
	for (unsigned i = 0; i < 200 && c->node[A].acked < 60; i++) {
		cr_assert(c->node[A].acked == 50, "nobody else has them");
		cluster_tick(c);
	}
	cr_expect_eq(c->node[A].acked, 60);
	cr_expect_gt(c->node[A].notes[NOTE_OUT_OF_SYNC], 0);
	cr_expect_eq(c->node[A].notes[NOTE_STATE_LOST], 0);
	cluster_run(c, MS(50));
	cr_expect_eq(assignment(c, W)->in_sync, 3, "and it may come back");
	cr_expect_eq(c->node[B].position, 60);
	cluster_end(c);
}
