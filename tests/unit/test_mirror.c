/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "mirror_model.h"
#include "mirror_rx.h"
#include "mirror_tx.h"

#define HOLDER 0u
#define SECONDARY 1u
#define HOLDER_LIFE 10u
#define SECONDARY_LIFE 20u
#define SHAPE 77u
#define PER_FRAME 10u
#define WINDOW 64u

/* ---- sender -----------------------------------------------------------------------------------
 */

static struct mirror_tx opened(uint64_t committed, uint32_t scan_end)
{
	static struct mirror_tx_frame window[WINDOW];
	struct mirror_tx t;

	mirror_tx_init(&t, window, WINDOW);
	mirror_tx_open(&t, SECONDARY, SECONDARY_LIFE, 1, committed, scan_end, 0, 0);
	return t;
}

static bool next(struct mirror_tx *t, uint64_t committed, uint64_t turn, struct frame_mirror *out)
{
	memset(out, 0, sizeof(*out));
	return mirror_tx_next(t, committed, PER_FRAME, turn, turn, out);
}

static bool ack(struct mirror_tx *t, uint64_t next_frame, uint64_t applied, bool gap)
{
	struct frame_mirror_ack a = {
		.session = t->session, .next = next_frame, .applied = applied, .gap = gap};

	return mirror_tx_on_ack(t, &a, 50);
}

/* A session whose START is acknowledged. */
static struct mirror_tx started(uint64_t committed, uint32_t scan_end)
{
	struct mirror_tx t = opened(committed, scan_end);
	struct frame_mirror m;

	cr_assert(next(&t, committed, 1, &m));
	cr_assert_eq(m.kind, MIRROR_START);
	cr_assert(ack(&t, 1, committed, false));
	return t;
}

static void expect_frame(struct mirror_tx *t, uint64_t committed, uint64_t turn,
			 enum mirror_kind kind, uint64_t number, uint64_t first, uint32_t count)
{
	struct frame_mirror m;

	cr_assert(next(t, committed, turn, &m), "frame %u is due", (unsigned)number);
	cr_expect_eq(m.kind, kind);
	cr_expect_eq(m.session, t->session);
	cr_expect_eq(m.number, number);
	cr_expect_eq(m.first, first);
	cr_expect_eq(m.count, count);
}

static void expect_nothing(struct mirror_tx *t, uint64_t committed, uint64_t turn)
{
	struct frame_mirror m;

	cr_expect_not(next(t, committed, turn, &m));
}

Test(mirror, a_closed_session_sends_nothing)
{
	struct mirror_tx_frame window[WINDOW];
	struct mirror_tx t;

	mirror_tx_init(&t, window, WINDOW);
	expect_nothing(&t, 100, 1);
	cr_expect_not(mirror_tx_stuck(&t, 100, 0, 1000));
}

Test(mirror, nothing_follows_start_before_it_is_acknowledged)
{
	struct mirror_tx t = opened(40, 5);

	expect_frame(&t, 45, 1, MIRROR_START, 0, 40, 0);
	expect_nothing(&t, 45, 2);
	mirror_tx_on_time(&t, 1000, 500);
	expect_nothing(&t, 45, 500);
	mirror_tx_on_time(&t, 1000, 1001);
	expect_frame(&t, 45, 1001, MIRROR_START, 0, 40, 0);
	ack(&t, 1, 40, false);
	expect_frame(&t, 45, 1002, MIRROR_RECORDS, 1, 41, 5);
}

Test(mirror, records_and_entries_take_turns)
{
	struct mirror_tx t = started(100, 26);

	expect_frame(&t, 125, 1, MIRROR_RECORDS, 1, 101, 10);
	expect_frame(&t, 125, 1, MIRROR_ENTRIES, 2, 1, 10);
	expect_frame(&t, 125, 1, MIRROR_RECORDS, 3, 111, 10);
	expect_frame(&t, 125, 1, MIRROR_ENTRIES, 4, 11, 10);
	expect_frame(&t, 125, 1, MIRROR_RECORDS, 5, 121, 5);
	expect_frame(&t, 125, 1, MIRROR_ENTRIES, 6, 21, 5);
	expect_nothing(&t, 125, 1);
}

Test(mirror, end_comes_in_a_later_turn_than_entries_and_names_what_is_committed_then)
{
	struct mirror_tx t = started(100, 6);

	expect_frame(&t, 100, 7, MIRROR_ENTRIES, 1, 1, 5);
	expect_nothing(&t, 100, 7);
	expect_frame(&t, 103, 8, MIRROR_RECORDS, 2, 101, 3);
	expect_frame(&t, 103, 8, MIRROR_END, 3, 103, 0);
	expect_nothing(&t, 103, 9);
	expect_frame(&t, 104, 9, MIRROR_RECORDS, 4, 104, 1);
}

Test(mirror, synced_once_end_is_acknowledged_with_all_that_it_names)
{
	struct mirror_tx t = started(100, 1);

	expect_frame(&t, 104, 2, MIRROR_RECORDS, 1, 101, 4);
	expect_frame(&t, 104, 2, MIRROR_END, 2, 104, 0);
	ack(&t, 2, 103, false);
	cr_expect_not(t.synced, "END itself is not acknowledged");
	ack(&t, 3, 103, false);
	cr_expect_not(t.synced);
	ack(&t, 3, 104, false);
	cr_expect(t.synced);
	cr_expect_eq(mirror_tx_percent(&t), 100);
}

Test(mirror, frames_that_stay_unanswered_are_sent_again_after_twice_the_time)
{
	struct mirror_tx t = started(0, 1);

	expect_frame(&t, 10, 100, MIRROR_RECORDS, 1, 1, 10);
	mirror_tx_on_time(&t, 1000, 1100);
	expect_frame(&t, 10, 1100, MIRROR_RECORDS, 1, 1, 10);
	mirror_tx_on_time(&t, 1000, 3099);
	cr_expect_eq(t.resends, 1);
	mirror_tx_on_time(&t, 1000, 3100);
	cr_expect_eq(t.resends, 2);
	expect_frame(&t, 10, 3100, MIRROR_RECORDS, 1, 1, 10);
	ack(&t, 2, 10, false);
	expect_frame(&t, 10, 3100, MIRROR_END, 2, 10, 0);
	mirror_tx_on_time(&t, 1000, 4100);
	cr_expect_eq(t.resends, 3, "progress: the first wait again");
}

Test(mirror, what_is_lost_of_a_window_half_sent_again_is_sent_again)
{
	struct mirror_tx t = started(0, 1);

	for (unsigned k = 0; k < 3; k++)
		expect_frame(&t, 30, 100, MIRROR_RECORDS, 1 + k, 1 + 10 * k, 10);
	ack(&t, 1, 0, true);
	expect_frame(&t, 30, 100, MIRROR_RECORDS, 1, 1, 10);
	/* The second and third wait for room, which the first would have made. */
	mirror_tx_on_time(&t, 1000, 1100);
	expect_frame(&t, 30, 1100, MIRROR_RECORDS, 1, 1, 10);
}

Test(mirror, the_window_holds_so_many_frames_and_no_more)
{
	struct mirror_tx t = started(0, 1);
	struct frame_mirror m;
	unsigned sent = 0;

	while (next(&t, 100000, 1, &m)) {
		cr_assert_eq(m.kind, MIRROR_RECORDS);
		sent++;
	}
	cr_expect_eq(sent, WINDOW);
	cr_expect(ack(&t, 3, 20, false));
	expect_frame(&t, 100000, 1, MIRROR_RECORDS, 65, 641, 10);
	expect_frame(&t, 100000, 1, MIRROR_RECORDS, 66, 651, 10);
	expect_nothing(&t, 100000, 1);
}

Test(mirror, a_gap_sends_everything_again_from_there_and_only_once)
{
	struct mirror_tx t = started(0, 1);

	for (unsigned k = 0; k < 4; k++)
		expect_frame(&t, 40, 1, MIRROR_RECORDS, 1 + k, 1 + 10 * k, 10);
	ack(&t, 2, 10, true);
	ack(&t, 2, 10, true);
	for (unsigned k = 1; k < 4; k++)
		expect_frame(&t, 40, 1, MIRROR_RECORDS, 1 + k, 1 + 10 * k, 10);
	cr_expect_eq(t.resends, 3);
	ack(&t, 2, 10, true);
	expect_frame(&t, 40, 2, MIRROR_END, 5, 40, 0);
	expect_nothing(&t, 40, 2);
	/* Lost again: only time tells. */
	mirror_tx_on_time(&t, 100, 200);
	expect_frame(&t, 40, 200, MIRROR_RECORDS, 2, 11, 10);
}

Test(mirror, an_acknowledgement_on_the_way_back_shortens_the_repetition)
{
	struct mirror_tx t = started(0, 1);

	for (unsigned k = 0; k < 4; k++)
		expect_frame(&t, 40, 1, MIRROR_RECORDS, 1 + k, 1 + 10 * k, 10);
	ack(&t, 1, 0, true);
	expect_frame(&t, 40, 1, MIRROR_RECORDS, 1, 1, 10);
	ack(&t, 4, 30, false);
	expect_frame(&t, 40, 1, MIRROR_RECORDS, 4, 31, 10);
}

/* The repeated entries show a later table, so the END already sent says too little: a copy of it
 * may still be under way. Another END, with its own number, is needed. */
Test(mirror, entries_sent_again_call_for_another_end)
{
	struct mirror_tx t = started(100, 6);
	struct frame_mirror m;
	uint64_t last = 0;

	expect_frame(&t, 100, 7, MIRROR_ENTRIES, 1, 1, 5);
	expect_frame(&t, 100, 8, MIRROR_END, 2, 100, 0);
	ack(&t, 1, 100, true);
	expect_frame(&t, 100, 9, MIRROR_ENTRIES, 1, 1, 5);
	expect_nothing(&t, 100, 9);
	ack(&t, 3, 100, false);
	cr_expect_not(t.synced, "that was the END of turn 8");
	for (unsigned k = 0; k < 4 && next(&t, 105, 10, &m); k++)
		if (m.kind == MIRROR_END) {
			cr_expect_eq(m.first, 105);
			last = m.number;
		}
	cr_assert_gt(last, 2);
	ack(&t, last + 1, 105, false);
	cr_expect(t.synced);
}

Test(mirror, acknowledgements_that_cannot_be_are_ignored)
{
	struct mirror_tx t = started(10, 1);
	struct frame_mirror_ack a = {.session = 1, .next = 2, .applied = 14};

	expect_frame(&t, 14, 1, MIRROR_RECORDS, 1, 11, 4);
	a.session = 2;
	cr_expect_not(mirror_tx_on_ack(&t, &a, 9), "another session");
	a.session = 1;
	a.next = 3;
	cr_expect_not(mirror_tx_on_ack(&t, &a, 9), "a frame not made yet");
	a.next = 1;
	a.applied = 15;
	cr_expect_not(mirror_tx_on_ack(&t, &a, 9), "a record not sent yet");
	cr_expect_eq(t.applied, 10);
	a.next = 2;
	a.applied = 14;
	cr_expect(mirror_tx_on_ack(&t, &a, 9));
	a.next = 1;
	a.applied = 10;
	cr_expect_not(mirror_tx_on_ack(&t, &a, 9), "overtaken");
	cr_expect_eq(t.applied, 14);
}

Test(mirror, a_refused_session_is_stuck_and_silent)
{
	struct mirror_tx t = started(10, 5);
	struct frame_mirror_ack a = {.session = 1, .next = 1, .refused = 1};

	mirror_tx_on_ack(&t, &a, 9);
	expect_nothing(&t, 20, 3);
	cr_expect(mirror_tx_stuck(&t, 10, UINT64_MAX, 10));
}

Test(mirror, stuck_is_outstanding_without_progress)
{
	struct mirror_tx t = started(10, 1);

	cr_expect_not(mirror_tx_stuck(&t, 10, 100, 100000), "nothing is outstanding");
	cr_expect_not(mirror_tx_stuck(&t, 12, 100, 150), "not for long");
	cr_expect(mirror_tx_stuck(&t, 12, 100, 151), "a record is not even sent");
	expect_frame(&t, 12, 60, MIRROR_RECORDS, 1, 11, 2);
	cr_expect(ack(&t, 2, 12, false));
	cr_expect_not(mirror_tx_stuck(&t, 12, 100, 100000));
}

Test(mirror, percent_follows_the_scan)
{
	struct mirror_tx t = started(0, 101);

	cr_expect_eq(mirror_tx_percent(&t), 0);
	expect_frame(&t, 0, 1, MIRROR_ENTRIES, 1, 1, 10);
	expect_frame(&t, 0, 1, MIRROR_ENTRIES, 2, 11, 10);
	cr_expect_eq(mirror_tx_percent(&t), 20);
	t = started(0, 1);
	cr_expect_eq(mirror_tx_percent(&t), 100, "an empty table");
}

/* ---- receiver ---------------------------------------------------------------------------------
 */

static struct frame from_holder(enum mirror_kind kind, uint64_t number, uint64_t first)
{
	struct frame f = {.type = FRAME_MIRROR, .src = HOLDER, .src_incarnation = HOLDER_LIFE};

	f.u.mirror = (struct frame_mirror){.kind = (uint8_t)kind,
					   .epoch = 5,
					   .session = 1,
					   .number = number,
					   .first = first,
					   .shape = SHAPE};
	return f;
}

static struct mirror_rx receiving(uint64_t committed)
{
	struct frame f = from_holder(MIRROR_START, 0, committed);
	struct mirror_rx r;

	mirror_rx_init(&r);
	cr_assert_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_RESET);
	mirror_rx_on_applied(&r, committed, true);
	return r;
}

static enum mirror_rx_verdict hear(struct mirror_rx *r, enum mirror_kind kind, uint64_t number,
				   uint64_t first)
{
	struct frame f = from_holder(kind, number, first);

	return mirror_rx_on_frame(r, &f, SHAPE);
}

static struct frame_mirror_ack answer(struct mirror_rx *r)
{
	struct frame_mirror_ack a;

	memset(&a, 0, sizeof(a));
	cr_assert(r->ack_due);
	mirror_rx_ack(r, &a);
	cr_assert_not(r->ack_due);
	return a;
}

Test(mirror, frames_are_applied_in_their_order)
{
	struct mirror_rx r = receiving(100);
	struct frame_mirror_ack a;

	cr_expect_eq(hear(&r, MIRROR_RECORDS, 2, 0), MIRROR_RX_IGNORE);
	a = answer(&r);
	cr_expect_eq(a.gap, 1);
	cr_expect_eq(a.next, 1);
	cr_expect_eq(a.applied, 100);
	cr_expect_eq(hear(&r, MIRROR_RECORDS, 1, 0), MIRROR_RX_APPLY);
	mirror_rx_on_applied(&r, 104, true);
	a = answer(&r);
	cr_expect_eq(a.gap, 0);
	cr_expect_eq(a.next, 2);
	cr_expect_eq(a.applied, 104);
	cr_expect_eq(hear(&r, MIRROR_RECORDS, 1, 0), MIRROR_RX_IGNORE);
	cr_expect_eq(answer(&r).next, 2, "a repeated frame is answered, its answer may be lost");
	cr_expect_eq(r.gaps, 1);
	cr_expect_eq(r.duplicates, 1);
}

Test(mirror, whole_after_end_and_all_that_it_names)
{
	struct mirror_rx r = receiving(100);

	cr_expect_eq(hear(&r, MIRROR_ENTRIES, 1, 0), MIRROR_RX_APPLY);
	mirror_rx_on_applied(&r, 100, true);
	cr_expect_eq(hear(&r, MIRROR_END, 2, 104), MIRROR_RX_TAKEN);
	cr_expect_not(r.whole);
	cr_expect_eq(hear(&r, MIRROR_RECORDS, 3, 0), MIRROR_RX_APPLY);
	mirror_rx_on_applied(&r, 104, true);
	cr_expect(r.whole);
}

Test(mirror, frames_of_others_are_ignored_and_not_answered)
{
	struct mirror_rx r = receiving(100);
	struct frame f = from_holder(MIRROR_RECORDS, 1, 0);

	answer(&r);
	f.u.mirror.session = 2;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE);
	f.u.mirror.session = 1;
	f.src = 2;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE);
	f.src = HOLDER;
	f.src_incarnation++;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE);
	f.src_incarnation--;
	f.u.mirror.epoch = 4;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE, "an older view");
	cr_expect_not(r.ack_due);
	f.u.mirror.epoch = 5;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_APPLY);
}

Test(mirror, a_later_session_replaces_an_earlier_one_and_never_the_other_way)
{
	struct mirror_rx r = receiving(100);
	struct frame f = from_holder(MIRROR_START, 0, 200);

	hear(&r, MIRROR_END, 1, 100);
	cr_expect(r.whole);
	f.u.mirror.session = 3;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_RESET);
	mirror_rx_on_applied(&r, 200, true);
	cr_expect_not(r.whole);
	cr_expect_eq(r.applied, 200);
	cr_expect_eq(hear(&r, MIRROR_START, 0, 100), MIRROR_RX_IGNORE);
	cr_expect_eq(r.session, 3);
	f.src = 2; /* another holder numbers its sessions anew */
	f.u.mirror.session = 1;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_RESET);
}

Test(mirror, a_session_never_lowers_the_epoch)
{
	struct mirror_rx r = receiving(100);
	struct frame f = from_holder(MIRROR_START, 0, 200);

	f.u.mirror.session = 2;
	f.u.mirror.epoch = 4;
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE);
	cr_expect_eq(r.epoch, 5);
}

Test(mirror, another_shape_is_refused_and_the_sender_is_told)
{
	struct frame f = from_holder(MIRROR_START, 0, 100);
	struct mirror_rx r;

	mirror_rx_init(&r);
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE + 1), MIRROR_RX_IGNORE);
	cr_expect_eq(answer(&r).refused, 1);
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE + 1), MIRROR_RX_IGNORE);
	cr_expect_eq(answer(&r).refused, 1, "again, the first answer may be lost");
}

Test(mirror, a_payload_that_cannot_be_applied_ends_the_session)
{
	struct mirror_rx r = receiving(100);

	cr_expect_eq(hear(&r, MIRROR_RECORDS, 1, 0), MIRROR_RX_APPLY);
	mirror_rx_on_applied(&r, 100, false);
	cr_expect_eq(hear(&r, MIRROR_RECORDS, 1, 0), MIRROR_RX_IGNORE);
	cr_expect_eq(answer(&r).refused, 1);
}

/* Emptying a large replica takes time; the sender repeats what is not acknowledged. */
Test(mirror, a_repeated_start_while_the_replica_is_being_emptied_is_a_copy)
{
	struct frame f = from_holder(MIRROR_START, 0, 100);
	struct mirror_rx r;

	mirror_rx_init(&r);
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_RESET);
	cr_expect_eq(mirror_rx_on_frame(&r, &f, SHAPE), MIRROR_RX_IGNORE);
	mirror_rx_on_applied(&r, 100, true);
	cr_expect_not(r.refused);
	cr_expect_eq(r.next, 1);
	cr_expect_eq(hear(&r, MIRROR_RECORDS, 1, 0), MIRROR_RX_APPLY);
}

Test(mirror, a_second_start_inside_a_session_is_refused)
{
	struct mirror_rx r = receiving(100);

	cr_expect_eq(hear(&r, MIRROR_START, 1, 100), MIRROR_RX_IGNORE);
	cr_expect(r.refused);
}
