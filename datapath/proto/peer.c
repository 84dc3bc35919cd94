/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#define PEER_WINDOW 64u

/* A candidate that has been silent for this many suspicion limits may be replaced by any other. */
#define PEER_CANDIDATE_STALE_NS 100000000ull

static void peer_note_candidate(struct peer *p, const struct frame *f, uint64_t now, uint64_t run)
{
	bool fresh = f->type == FRAME_BEAT && f->dst_incarnation != 0;

	if (p->candidate != f->src_incarnation) {
		/* An old recording must not push out a real newcomer: incarnations grow. */
		if (p->candidate > f->src_incarnation &&
		    run - p->candidate_run < PEER_CANDIDATE_STALE_NS)
			return;
		p->candidate = f->src_incarnation;
		p->candidate_seq = p->seq_out + 1;
		p->candidate_in = 0;
	}
	p->candidate_run = run;
	if (fresh && f->u.beat.seq > p->candidate_in) {
		p->candidate_in = f->u.beat.seq;
		p->candidate_in_ns = now;
	}
}

/* The window is moved only by frames of the established incarnation, after authentication. */
static bool peer_counter_take(struct peer *p, uint64_t counter)
{
	uint64_t back;

	if (counter > p->counter_top) {
		back = counter - p->counter_top;
		p->counter_bits = back >= PEER_WINDOW ? 0 : p->counter_bits << back;
		p->counter_bits |= 1;
		p->counter_top = counter;
		return true;
	}
	back = p->counter_top - counter;
	if (back >= PEER_WINDOW || (p->counter_bits >> back & 1))
		return false;
	p->counter_bits |= (uint64_t)1 << back;
	return true;
}

static void peer_establish(struct peer *p)
{
	p->incarnation = p->candidate;
	p->candidate = 0;
	p->counter_top = p->counter_bits = 0;
	p->seq_in = 0;
	p->rtt_ns = 0;
	memset(&p->last, 0, sizeof(p->last));
	for (unsigned i = 0; i < HAVEN_LINKS_MAX; i++)
		link_restart(&p->link[i]);
	/* What the life before did is not this one's fault. */
	memset(&p->flap, 0, sizeof(p->flap));
}

static void peer_take_beat(struct peer *p, const struct frame_beat *beat, uint64_t now,
			   uint64_t run)
{
	if (beat->seq <= p->seq_in)
		return;
	if (p->seq_in)
		p->beats_lost += beat->seq - p->seq_in - 1;
	p->beats_received++;
	p->seq_in = beat->seq;
	p->seq_in_ns = now;
	p->heard_run = run;
	if (beat->echo && beat->echo <= p->seq_out && p->seq_out - beat->echo < PEER_SENT_SLOTS) {
		uint64_t trip = now - p->sent_ns[beat->echo % PEER_SENT_SLOTS];

		if (trip < now && trip > beat->echo_hold_ns)
			p->rtt_ns = trip - beat->echo_hold_ns;
	}
	p->last = *beat;
}

enum peer_verdict peer_receive(struct peer *p, const struct frame *f, unsigned link,
			       uint64_t self_incarnation, uint64_t now, uint64_t run)
{
	bool proven = false;

	if (f->dst_incarnation != self_incarnation || f->src_incarnation != p->incarnation) {
		if (f->src_incarnation == p->incarnation)
			return PEER_HELLO; /* it has not learnt of our restart yet */
		if (f->dst_incarnation != 0 && f->dst_incarnation != self_incarnation)
			return PEER_COPY;
		peer_note_candidate(p, f, now, run);
		if (f->dst_incarnation == 0 || f->type != FRAME_BEAT ||
		    p->candidate != f->src_incarnation || f->u.beat.echo < p->candidate_seq ||
		    f->u.beat.echo > p->seq_out)
			return PEER_HELLO;
		peer_establish(p);
		proven = true;
	}
	if (link < HAVEN_LINKS_MAX) {
		link_heard(&p->link[link], run);
		if (f->type == FRAME_BEAT)
			link_beat(&p->link[link], f->u.beat.seq);
	}
	if (!peer_counter_take(p, f->counter)) {
		p->replays++;
		return PEER_COPY;
	}
	if (f->type == FRAME_BEAT) {
		if (!proven && f->u.beat.seq <= p->seq_in)
			return PEER_COPY;
		peer_take_beat(p, &f->u.beat, now, run);
	}
	return proven ? PEER_PROVEN : PEER_TAKE;
}

void peer_address(struct peer *p, struct frame *f, bool to_candidate, uint64_t now)
{
	f->dst_incarnation = to_candidate ? p->candidate : p->incarnation;
	f->counter = ++p->counter_out;
	if (f->type != FRAME_BEAT)
		return;
	f->u.beat.seq = ++p->seq_out;
	p->sent_ns[p->seq_out % PEER_SENT_SLOTS] = now;
	if (to_candidate) {
		f->u.beat.echo = p->candidate_in;
		f->u.beat.echo_hold_ns = p->candidate_in ? now - p->candidate_in_ns : 0;
	} else {
		f->u.beat.echo = p->seq_in;
		f->u.beat.echo_hold_ns = p->seq_in ? now - p->seq_in_ns : 0;
	}
}

uint64_t peer_silence(const struct peer *p, uint64_t run)
{
	return run - p->heard_run;
}

static bool peer_heard(uint64_t heard_run, uint64_t run, uint64_t suspect_ns)
{
	return heard_run && run - heard_run <= suspect_ns;
}

static void peer_judge_link(struct peer *p, unsigned i, const struct peer_terms *t, uint64_t run,
			    struct peer_changes *changes)
{
	struct link *l = &p->link[i];
	uint8_t bit = (uint8_t)(1u << i);

	switch (flap_judge(&l->flap, &t->flap, peer_heard(l->heard_run, run, t->suspect_ns), run)) {
	case FLAP_UP:
		changes->up |= bit;
		break;
	case FLAP_DOWN:
		changes->down |= bit;
		break;
	case FLAP_HELD:
		changes->links_held |= bit;
		break;
	case FLAP_SAME:
		break;
	}
	if (!l->flap.heard)
		link_restart(l);
	if (l->flap.up)
		p->links_up |= bit;
	if (link_score(l, t->gray_percent)) {
		if (l->gray)
			changes->gray |= bit;
		else
			changes->clear |= bit;
	}
}

struct peer_changes peer_judge(struct peer *p, const struct peer_terms *t, uint64_t run)
{
	bool alive = p->incarnation && p->seq_in && !peer_has_left(p) &&
		     peer_heard(p->heard_run, run, t->suspect_ns);
	struct peer_changes changes = {.alive = alive != p->alive};

	p->alive = alive;
	changes.held = flap_judge(&p->flap, &t->flap, alive, run) == FLAP_HELD;
	p->links_up = 0;
	for (unsigned i = 0; i < HAVEN_LINKS_MAX; i++) {
		if (!p->link[i].heard_run)
			continue;
		if (alive) {
			peer_judge_link(p, i, t, run, &changes);
		} else {
			flap_excuse(&p->link[i].flap);
			link_restart(&p->link[i]);
		}
	}
	return changes;
}
