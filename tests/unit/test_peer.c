/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <string.h>

#include "peer.h"
#include "prng.h"

#define SELF 0u
#define OTHER 1u
#define SELF_LIFE 5000u
#define OTHER_LIFE 6000u
#define SUSPECT_NS 5000000u

/* ---- two nodes talking ------------------------------------------------------------------------
 */

/** One end of a pair: what it knows of the other, and its own life. */
struct end {
	uint8_t node;
	uint64_t life;
	struct peer peer;
};

static struct end end_start(uint8_t node, uint64_t life)
{
	struct end e;

	memset(&e, 0, sizeof(e));
	e.node = node;
	e.life = life;
	return e;
}

static struct frame end_beat(struct end *e, bool to_candidate, uint64_t now)
{
	struct frame f;

	memset(&f, 0, sizeof(f));
	f.type = FRAME_BEAT;
	f.src = e->node;
	f.dst = !e->node;
	f.src_incarnation = e->life;
	peer_address(&e->peer, &f, to_candidate, now);
	return f;
}

static bool judge(struct peer *p, uint64_t run, uint64_t suspect_ns)
{
	const struct peer_terms t = {.suspect_ns = suspect_ns};

	return peer_judge(p, &t, run).alive;
}

static enum peer_verdict end_hear(struct end *e, const struct frame *f, uint64_t now)
{
	return peer_receive(&e->peer, f, 0, e->life, now, now);
}

/* What a node sends in one interval: to the life it believes in, and to one that claims to be. */
static void end_send(struct end *from, struct end *to, uint64_t now)
{
	struct frame f;

	if (from->peer.candidate || !from->peer.incarnation) {
		f = end_beat(from, from->peer.candidate != 0, now);
		end_hear(to, &f, now + 50);
	}
	if (from->peer.incarnation) {
		f = end_beat(from, false, now);
		end_hear(to, &f, now + 50);
	}
}

static bool acquainted(const struct end *a, const struct end *b)
{
	return a->peer.incarnation == b->life && b->peer.incarnation == a->life &&
	       !a->peer.candidate && !b->peer.candidate;
}

/* Rounds of one beat each way until both know each other's life; 99: never. */
static unsigned talk(struct end *a, struct end *b, uint64_t *now)
{
	for (unsigned round = 1; round < 20; round++) {
		end_send(a, b, *now);
		end_send(b, a, *now + 200);
		*now += 1000;
		if (acquainted(a, b))
			return round;
	}
	return 99;
}

Test(peer, two_new_nodes_know_each_other_after_a_few_beats)
{
	struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
	uint64_t now = 1000;

	cr_assert_leq(talk(&a, &b, &now), 3);
	cr_expect_eq(a.peer.last.seq, a.peer.seq_in);
}

Test(peer, a_restarted_node_is_known_anew_after_a_few_beats)
{
	struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
	uint64_t now = 1000;

	talk(&a, &b, &now);
	b = end_start(OTHER, OTHER_LIFE + 1);
	cr_assert_leq(talk(&a, &b, &now), 3);
	cr_expect_eq(a.peer.incarnation, OTHER_LIFE + 1);
	a = end_start(SELF, SELF_LIFE + 1);
	b = end_start(OTHER, OTHER_LIFE + 2);
	cr_assert_leq(talk(&a, &b, &now), 3, "both at once");
}

Test(peer, acquaintance_survives_losing_half_of_the_beats)
{
	struct prng p = {5};

	for (unsigned trial = 0; trial < 200; trial++) {
		struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
		struct end sink = end_start(OTHER, 1), drain = end_start(SELF, 1);
		uint64_t now = 1000;
		unsigned round;

		for (round = 0; round < 100 && !acquainted(&a, &b); round++, now += 1000) {
			end_send(&a, prng_below(&p, 2) ? &b : &sink, now);
			end_send(&b, prng_below(&p, 2) ? &a : &drain, now + 200);
		}
		cr_assert(acquainted(&a, &b), "trial %u", trial);
	}
}

/* ---- recordings -------------------------------------------------------------------------------
 */

#define TAPE_MAX 64u

/** Everything the other node ever sent to this one. */
struct tape {
	unsigned n;
	struct frame frame[TAPE_MAX];
};

static void tape_talk(struct end *a, struct end *b, struct tape *tape, uint64_t *now)
{
	for (unsigned round = 0; round < 8; round++, *now += 1000) {
		struct frame f;

		end_send(a, b, *now);
		f = end_beat(b, !b->peer.incarnation, *now + 200);
		tape->frame[tape->n++] = f;
		end_hear(a, &f, *now + 250);
	}
}

/* The other node dies; its recorded frames are played back, in any order, again and again, also
 * while this node goes on sending beats that a recording cannot have seen. */
Test(peer, a_dead_life_is_not_revived_by_its_recorded_frames)
{
	struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
	struct tape tape = {.n = 0};
	struct prng p = {7};
	uint64_t now = 1000;

	talk(&a, &b, &now);
	tape_talk(&a, &b, &tape, &now);
	b = end_start(OTHER, OTHER_LIFE + 1);
	talk(&a, &b, &now);
	for (unsigned k = 0; k < 5000; k++, now += 1000) {
		const struct frame *f = &tape.frame[prng_below(&p, tape.n)];
		enum peer_verdict v = end_hear(&a, f, now);

		cr_assert(v == PEER_HELLO || v == PEER_COPY);
		end_beat(&a, true, now);
	}
	cr_expect_eq(a.peer.incarnation, OTHER_LIFE + 1);
}

Test(peer, a_restarted_node_is_not_fooled_by_frames_to_its_former_life)
{
	struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
	struct tape tape = {.n = 0};
	uint64_t now = 1000;

	talk(&a, &b, &now);
	tape_talk(&a, &b, &tape, &now);
	a = end_start(SELF, SELF_LIFE + 1);
	for (unsigned k = 0; k < 10 * tape.n; k++) {
		cr_assert_neq(end_hear(&a, &tape.frame[k % tape.n], ++now), PEER_TAKE);
		end_beat(&a, true, now);
	}
	cr_expect_eq(a.peer.incarnation, 0);
	cr_expect_eq(a.peer.seq_in, 0);
}

Test(peer, recordings_do_not_keep_a_newcomer_out)
{
	struct end a = end_start(SELF, SELF_LIFE), b = end_start(OTHER, OTHER_LIFE);
	struct tape tape = {.n = 0};
	uint64_t now = 1000;
	unsigned round;

	talk(&a, &b, &now);
	tape_talk(&a, &b, &tape, &now);
	b = end_start(OTHER, OTHER_LIFE + 1);
	talk(&a, &b, &now);
	b = end_start(OTHER, OTHER_LIFE + 2);
	for (round = 0; round < 6; round++, now += 1000) {
		end_hear(&a, &tape.frame[round], now);
		end_send(&a, &b, now);
		end_hear(&a, &tape.frame[round + 1], now + 100);
		end_send(&b, &a, now + 200);
	}
	cr_expect_eq(a.peer.incarnation, b.life);
	cr_expect_eq(b.peer.incarnation, a.life);
}

/* A wrong clock at an earlier start must not shut the node out for ever. */
Test(peer, a_claim_that_stays_silent_gives_way_to_a_lower_one)
{
	struct end a = end_start(SELF, SELF_LIFE);
	struct end ghost = end_start(OTHER, 9999), real = end_start(OTHER, OTHER_LIFE);
	uint64_t now = 1000;
	struct frame f = end_beat(&ghost, false, now);

	cr_expect_eq(end_hear(&a, &f, now), PEER_HELLO);
	cr_expect_eq(a.peer.candidate, 9999);
	f = end_beat(&real, false, now);
	end_hear(&a, &f, now + 1000);
	cr_expect_eq(a.peer.candidate, 9999, "still fresh");
	now += 200000000;
	cr_expect_leq(talk(&a, &real, &now), 3);
}

/* ---- frames of an established life -------------------------------------------------------------
 */

/* This node and another that it knows, with `counter`s and beats free to choose. */
static struct end established(void)
{
	struct end a = end_start(SELF, SELF_LIFE);

	a.peer.incarnation = OTHER_LIFE;
	return a;
}

static struct frame from_other(uint8_t type, uint64_t counter, uint64_t seq)
{
	struct frame f;

	memset(&f, 0, sizeof(f));
	f.type = type;
	f.src = OTHER;
	f.dst = SELF;
	f.src_incarnation = OTHER_LIFE;
	f.dst_incarnation = SELF_LIFE;
	f.counter = counter;
	f.u.beat.seq = seq;
	return f;
}

static enum peer_verdict hear(struct end *a, uint8_t type, uint64_t counter, uint64_t seq)
{
	struct frame f = from_other(type, counter, seq);

	return end_hear(a, &f, 1000);
}

Test(peer, a_frame_without_or_with_another_addressee_only_says_hello)
{
	struct end a = established();
	struct frame f = from_other(FRAME_BEAT, 1, 1);

	f.dst_incarnation = 0;
	cr_expect_eq(end_hear(&a, &f, 1000), PEER_HELLO);
	f.dst_incarnation = SELF_LIFE - 1;
	cr_expect_eq(end_hear(&a, &f, 1000), PEER_HELLO);
	cr_expect_eq(a.peer.seq_in, 0);
	cr_expect_eq(a.peer.counter_top, 0);
}

Test(peer, every_counter_is_taken_once)
{
	struct end a = established();

	for (uint64_t c = 1; c <= 300; c++)
		cr_assert_eq(hear(&a, FRAME_VIEW, c, 0), PEER_TAKE);
	for (uint64_t c = 1; c <= 300; c++)
		cr_assert_eq(hear(&a, FRAME_VIEW, c, 0), PEER_COPY);
	cr_expect_eq(a.peer.replays, 300);
}

Test(peer, frames_may_overtake_each_other_within_the_window)
{
	struct end a = established();

	cr_expect_eq(hear(&a, FRAME_VIEW, 100, 0), PEER_TAKE);
	for (uint64_t c = 99; c > 100 - 64; c--)
		cr_assert_eq(hear(&a, FRAME_VIEW, c, 0), PEER_TAKE, "counter %u", (unsigned)c);
	cr_expect_eq(hear(&a, FRAME_VIEW, 100 - 64, 0), PEER_COPY, "too old to be known as new");
	cr_expect_eq(hear(&a, FRAME_VIEW, 1000, 0), PEER_TAKE, "a long gap");
	cr_expect_eq(hear(&a, FRAME_VIEW, 937, 0), PEER_TAKE);
	cr_expect_eq(hear(&a, FRAME_VIEW, 936, 0), PEER_COPY);
}

/* Against a plain memory of all counters: nothing twice, and nothing new refused that came no
 * later than the window allows. */
Test(peer, the_window_equals_a_full_memory)
{
	struct end a = established();
	struct prng p = {9};
	bool taken[4096] = {false};
	uint64_t top = 0;

	for (unsigned k = 0; k < 20000; k++) {
		uint64_t c = 1 + k / 8 + prng_below(&p, 150);
		bool fresh = !taken[c] && (c > top || top - c < 64);

		cr_assert_eq(hear(&a, FRAME_VIEW, c, 0) == PEER_TAKE, fresh);
		if (fresh)
			taken[c] = true;
		if (c > top)
			top = c;
	}
}

Test(peer, an_overtaken_beat_changes_nothing)
{
	struct end a = established();

	cr_expect_eq(hear(&a, FRAME_BEAT, 2, 2), PEER_TAKE);
	cr_expect_eq(hear(&a, FRAME_BEAT, 1, 1), PEER_COPY);
	cr_expect_eq(a.peer.seq_in, 2);
	cr_expect_eq(a.peer.last.seq, 2);
	cr_expect_eq(a.peer.beats_received, 1);
}

Test(peer, missing_beats_are_counted)
{
	struct end a = established();

	hear(&a, FRAME_BEAT, 11, 11);
	cr_expect_eq(a.peer.beats_lost, 0, "what was before the first is not known");
	hear(&a, FRAME_BEAT, 12, 12);
	hear(&a, FRAME_BEAT, 16, 16);
	cr_expect_eq(a.peer.beats_received, 3);
	cr_expect_eq(a.peer.beats_lost, 3);
}

Test(peer, the_copy_on_a_second_link_keeps_that_link_up)
{
	struct end a = established();
	struct frame f = from_other(FRAME_BEAT, 1, 1);

	cr_expect_eq(peer_receive(&a.peer, &f, 0, SELF_LIFE, 1000, 1000), PEER_TAKE);
	cr_expect_eq(peer_receive(&a.peer, &f, 1, SELF_LIFE, 1100, 1100), PEER_COPY);
	judge(&a.peer, 2000, SUSPECT_NS);
	cr_expect_eq(a.peer.links_up, 3);
	f = from_other(FRAME_BEAT, 2, 2);
	cr_expect_eq(peer_receive(&a.peer, &f, 1, SELF_LIFE, 5500000, 5500000), PEER_TAKE);
	cr_expect_not(judge(&a.peer, 5500000, SUSPECT_NS), "a silent link is no dead node");
	cr_expect(a.peer.alive);
	cr_expect_eq(a.peer.links_up, 2);
}

/* ---- silence and round trips -------------------------------------------------------------------
 */

Test(peer, silence_is_measured_by_the_run_clock)
{
	struct end a = established();
	struct frame f = from_other(FRAME_BEAT, 1, 1);

	/* The node's own clock jumps ahead by a second; it ran for 3 ms of it. */
	peer_receive(&a.peer, &f, 0, SELF_LIFE, 1000000, 1000000);
	cr_expect(judge(&a.peer, 1000000, SUSPECT_NS));
	cr_expect(a.peer.alive);
	cr_expect_eq(peer_silence(&a.peer, 4000000), 3000000);
	cr_expect_not(judge(&a.peer, 4000000, SUSPECT_NS));
	cr_expect_not(judge(&a.peer, 1000000 + SUSPECT_NS, SUSPECT_NS), "the limit itself");
	cr_expect(a.peer.alive);
	cr_expect(judge(&a.peer, 1000001 + SUSPECT_NS, SUSPECT_NS));
	cr_expect_not(a.peer.alive);
	cr_expect_not(judge(&a.peer, 2000001 + SUSPECT_NS, SUSPECT_NS), "told once");
}

Test(peer, only_beats_are_a_sign_of_life)
{
	struct end a = established();

	cr_expect_not(judge(&a.peer, 1000, SUSPECT_NS));
	hear(&a, FRAME_MIRROR_ACK, 1, 0);
	cr_expect_not(judge(&a.peer, 1000, SUSPECT_NS));
	cr_expect_not(a.peer.alive);
	hear(&a, FRAME_BEAT, 2, 1);
	cr_expect(judge(&a.peer, 1000, SUSPECT_NS));
}

Test(peer, the_round_trip_leaves_out_what_the_echo_waited)
{
	struct end a = established();
	struct frame own = end_beat(&a, false, 100000), f = from_other(FRAME_BEAT, 1, 1);

	f.u.beat.echo = own.u.beat.seq;
	f.u.beat.echo_hold_ns = 30000;
	end_hear(&a, &f, 230000);
	cr_expect_eq(a.peer.rtt_ns, 100000);
}

Test(peer, an_impossible_echo_leaves_the_round_trip_alone)
{
	struct end a = established();
	struct frame own = end_beat(&a, false, 100000), f = from_other(FRAME_BEAT, 1, 1);

	f.u.beat.echo = own.u.beat.seq + 1;
	end_hear(&a, &f, 230000);
	cr_expect_eq(a.peer.rtt_ns, 0, "of a beat never sent");
	f = from_other(FRAME_BEAT, 2, 2);
	f.u.beat.echo = own.u.beat.seq;
	f.u.beat.echo_hold_ns = 130001;
	end_hear(&a, &f, 230000);
	cr_expect_eq(a.peer.rtt_ns, 0, "held longer than it was away");
}

Test(peer, own_beats_carry_the_newest_heard_and_how_long_ago)
{
	struct end a = established();
	struct frame f = from_other(FRAME_BEAT, 1, 41);

	cr_expect_eq(end_beat(&a, false, 500).u.beat.echo, 0);
	end_hear(&a, &f, 1000);
	f = end_beat(&a, false, 1700);
	cr_expect_eq(f.dst_incarnation, OTHER_LIFE);
	cr_expect_eq(f.u.beat.seq, 2);
	cr_expect_eq(f.counter, 2);
	cr_expect_eq(f.u.beat.echo, 41);
	cr_expect_eq(f.u.beat.echo_hold_ns, 700);
}

/* ---- flapping and gray links -------------------------------------------------------------------
 */

#define FLAP_FIRST_NS 8000000u
#define FLAP_LIMIT_NS 30000000u

static const struct peer_terms flap_terms = {
	.suspect_ns = SUSPECT_NS,
	.flap = {.first_ns = FLAP_FIRST_NS, .limit_ns = FLAP_LIMIT_NS},
	.gray_percent = 10,
};

static void beat_on(struct end *a, uint64_t seq, unsigned link, uint64_t run)
{
	struct frame f = from_other(FRAME_BEAT, seq, seq);

	peer_receive(&a->peer, &f, link, SELF_LIFE, run, run);
}

/* Falls silent for longer than the limit, then is heard again: what the judgements said of it. */
static struct peer_changes come_and_go(struct end *a, uint64_t *seq, uint64_t *run)
{
	*run += SUSPECT_NS + 1;
	peer_judge(&a->peer, &flap_terms, *run);
	beat_on(a, ++*seq, 0, *run);
	return peer_judge(&a->peer, &flap_terms, *run);
}

Test(peer, one_that_comes_and_goes_is_heard_but_held_down)
{
	struct end a = established();
	uint64_t seq = 1, run = 1000;
	struct peer_changes c;

	beat_on(&a, seq, 0, run);
	peer_judge(&a.peer, &flap_terms, run);
	c = come_and_go(&a, &seq, &run);
	cr_expect(c.alive && !c.held && !peer_is_held(&a.peer), "once may happen");
	c = come_and_go(&a, &seq, &run);
	cr_expect(c.alive && c.held && peer_is_held(&a.peer));
	cr_expect(a.peer.alive, "held down is not silent: its vote counts");
	for (uint64_t end = run + FLAP_FIRST_NS; run < end; run += 1000000) {
		cr_expect(peer_is_held(&a.peer));
		beat_on(&a, ++seq, 0, run);
		peer_judge(&a.peer, &flap_terms, run);
	}
	peer_judge(&a.peer, &flap_terms, run);
	cr_expect_not(peer_is_held(&a.peer));
}

Test(peer, another_life_does_not_inherit_the_hold)
{
	struct end a = established();
	uint64_t seq = 1, run = 1000;
	struct frame f;

	for (unsigned k = 0; k < 6; k++)
		come_and_go(&a, &seq, &run);
	cr_assert(peer_is_held(&a.peer));
	f = from_other(FRAME_BEAT, 1, 1);
	f.src_incarnation = OTHER_LIFE + 1;
	peer_receive(&a.peer, &f, 0, SELF_LIFE, run, run);
	peer_address(&a.peer, &(struct frame){.type = FRAME_BEAT}, true, run);
	f.u.beat.echo = a.peer.seq_out;
	f.counter++;
	cr_assert_eq(peer_receive(&a.peer, &f, 0, SELF_LIFE, run, run), PEER_PROVEN);
	peer_judge(&a.peer, &flap_terms, run);
	cr_expect_not(peer_is_held(&a.peer));
}

Test(peer, links_of_a_silent_peer_are_excused_and_a_flapping_link_is_not)
{
	struct end a = established();
	uint64_t seq = 1, run = 1000;
	struct peer_changes c;

	for (unsigned k = 0; k < 4; k++) {
		beat_on(&a, ++seq, 0, run);
		beat_on(&a, seq, 1, run);
		c = peer_judge(&a.peer, &flap_terms, run);
		cr_expect_eq(c.links_held, 0, "a dead node is no fault of its links");
		run += SUSPECT_NS + 1;
		c = peer_judge(&a.peer, &flap_terms, run);
		cr_expect_eq(c.down, 0);
		cr_expect_eq(a.peer.links_up, 0);
	}
	for (unsigned k = 0; k < 2; k++) {
		beat_on(&a, ++seq, 0, run);
		beat_on(&a, seq, 1, run);
		c = peer_judge(&a.peer, &flap_terms, run);
		run += SUSPECT_NS;
		beat_on(&a, ++seq, 0, run);
		c = peer_judge(&a.peer, &flap_terms, run + 1);
		cr_expect_eq(c.down, 2);
		run++;
	}
	beat_on(&a, ++seq, 1, run);
	c = peer_judge(&a.peer, &flap_terms, run);
	cr_expect_eq(c.links_held, 2);
	cr_expect_eq(a.peer.links_up, 1, "what it brings is taken all the same");
	cr_expect_eq(a.peer.seq_in, seq);
}

Test(peer, a_link_that_loses_beats_is_gray_and_the_other_is_not)
{
	struct end a = established();
	uint64_t run = 1000;
	uint8_t gray = 0, clear = 0;

	for (uint64_t seq = 1; seq <= 400; seq++, run += 1000) {
		struct peer_changes c;

		beat_on(&a, seq, 0, run);
		if (seq > 200 || seq % 4)
			beat_on(&a, seq, 1, run);
		c = peer_judge(&a.peer, &flap_terms, run);
		gray |= c.gray;
		clear |= c.clear;
		if (seq == 200)
			cr_expect_eq(link_loss(&a.peer.link[1]), 25);
		cr_expect_not(a.peer.link[0].gray);
	}
	cr_expect_eq(gray, 2);
	cr_expect_eq(clear, 2);
	cr_expect_eq(a.peer.beats_lost, 0, "the peer lost nothing: the first copy wins");
}
