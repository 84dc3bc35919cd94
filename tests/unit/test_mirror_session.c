/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mirror sender against mirror receiver over a channel that loses, repeats and reorders, while the
 * application goes on writing. Whatever happens, a replica that the sender takes for whole is what
 * the application had committed at some point, and that point is the one acknowledged.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "mirror_model.h"
#include "mirror_rx.h"
#include "mirror_tx.h"

#define WINDOW 64u
#define CHANNEL_MAX 256u
#define HOLDER 0u
#define SECONDARY 1u
#define SHAPE 77u
#define TURN_NS 100000u
#define RTO_NS 500000u

struct message {
	struct frame frame; /**< FRAME_MIRROR one way, FRAME_MIRROR_ACK the other */
	struct model_payload payload;
};

struct channel {
	unsigned n;
	struct message queue[CHANNEL_MAX];
};

struct faults {
	uint64_t lose_percent, repeat_percent, overtake_percent;
	uint64_t new_session_turns; /**< a session lasts so long on average, 0: long */
};

struct pair {
	struct prng prng;
	struct faults faults;
	uint64_t turn, sessions;
	uint64_t entries_turn; /**< of the newest session: when a frame of entries was last sent */
	struct model_lane lane;
	struct model_replica replica;
	struct mirror_tx_frame window[WINDOW];
	struct mirror_tx tx;
	struct mirror_rx rx;
	struct channel there, back;
	unsigned checks, ends;
};

static bool chance(struct pair *p, uint64_t percent)
{
	return prng_below(&p->prng, 100) < percent;
}

static void channel_put(struct pair *p, struct channel *c, const struct message *m)
{
	unsigned copies = chance(p, p->faults.lose_percent)     ? 0
			  : chance(p, p->faults.repeat_percent) ? 2
								: 1;

	while (copies-- && c->n < CHANNEL_MAX)
		c->queue[c->n++] = *m;
}

/* Mostly the oldest; sometimes any other, so that a frame may be late by many turns. */
static bool channel_take(struct pair *p, struct channel *c, struct message *m)
{
	unsigned at;

	if (!c->n)
		return false;
	at = chance(p, p->faults.overtake_percent) ? (unsigned)prng_below(&p->prng, c->n) : 0;
	*m = c->queue[at];
	memmove(&c->queue[at], &c->queue[at + 1], (--c->n - at) * sizeof(*m));
	return true;
}

static uint64_t run_clock(const struct pair *p)
{
	return p->turn * TURN_NS;
}

static void pair_open(struct pair *p)
{
	mirror_tx_open(&p->tx, SECONDARY, 1, ++p->sessions, p->lane.committed, MODEL_KEYS + 1,
		       run_clock(p), run_clock(p));
	p->entries_turn = 0;
}

static struct pair *pair_start(uint64_t seed, struct faults faults)
{
	static struct pair p;

	memset(&p, 0, sizeof(p));
	p.prng.state = seed;
	p.faults = faults;
	mirror_rx_init(&p.rx);
	mirror_tx_init(&p.tx, p.window, WINDOW);
	for (uint64_t k = prng_below(&p.prng, 60); k > 0; k--)
		model_work(&p.lane, &p.prng);
	pair_open(&p);
	return &p;
}

/* What must hold at every moment. */
static void pair_check(struct pair *p, uint64_t seed)
{
	if (!p->tx.synced || p->rx.session != p->tx.session)
		return;
	p->checks++;
	cr_assert(p->rx.whole, "seed %llu: taken for whole", (unsigned long long)seed);
	cr_assert_geq(p->replica.applied, p->replica.floor, "seed %llu", (unsigned long long)seed);
	cr_assert_eq(p->rx.applied, p->replica.applied, "seed %llu", (unsigned long long)seed);
	cr_assert_leq(p->tx.applied, p->replica.applied, "seed %llu", (unsigned long long)seed);
	cr_assert(model_equals_prefix(&p->replica, &p->lane),
		  "seed %llu turn %llu: the replica at %llu is not what was committed",
		  (unsigned long long)seed, (unsigned long long)p->turn,
		  (unsigned long long)p->replica.applied);
}

static void holder_fill(struct pair *p, struct message *m, bool working)
{
	const struct frame_mirror *f = &m->frame.u.mirror;

	if (working)
		model_work(&p->lane, &p->prng);
	if (f->kind == MIRROR_RECORDS)
		model_fill_records(&p->lane, f->first, f->count, &m->payload);
	if (f->kind == MIRROR_ENTRIES) {
		model_fill_entries(&p->lane, (uint32_t)f->first, f->count, &m->payload);
		p->entries_turn = p->turn;
	}
	if (f->kind == MIRROR_END) {
		p->ends++;
		cr_assert_gt(p->turn, p->entries_turn, "END in the turn of ENTRIES");
	}
}

/* One turn of the holder: look at the lane, hear acknowledgements, send what is due. */
static void holder_turn(struct pair *p, bool working)
{
	uint64_t committed = p->lane.committed;
	struct message m;

	p->turn++;
	for (uint64_t k = prng_below(&p->prng, 6); k > 0 && channel_take(p, &p->back, &m); k--)
		mirror_tx_on_ack(&p->tx, &m.frame.u.ack, run_clock(p));
	mirror_tx_on_time(&p->tx, RTO_NS, run_clock(p));
	for (uint64_t k = prng_below(&p->prng, 6); k > 0; k--) {
		memset(&m, 0, sizeof(m));
		if (!mirror_tx_next(&p->tx, committed, MODEL_PER_FRAME, p->turn, run_clock(p),
				    &m.frame.u.mirror))
			break;
		m.frame.src = HOLDER;
		m.frame.src_incarnation = 1;
		m.frame.u.mirror.epoch = 1;
		m.frame.u.mirror.shape = SHAPE;
		holder_fill(p, &m, working);
		channel_put(p, &p->there, &m);
	}
}

static void secondary_hear(struct pair *p, const struct message *m)
{
	switch (mirror_rx_on_frame(&p->rx, &m->frame, SHAPE)) {
	case MIRROR_RX_RESET:
		model_reset(&p->replica, m->frame.u.mirror.first);
		break;
	case MIRROR_RX_APPLY:
		if (m->frame.u.mirror.kind == MIRROR_RECORDS)
			model_apply_records(&p->replica, &m->payload);
		else
			model_apply_entries(&p->replica, &m->payload);
		break;
	case MIRROR_RX_TAKEN:
	case MIRROR_RX_IGNORE:
		return;
	}
	mirror_rx_on_applied(&p->rx, model_position(&p->replica), true);
}

static void secondary_turn(struct pair *p)
{
	struct message m;

	for (uint64_t k = prng_below(&p->prng, 6); k > 0 && channel_take(p, &p->there, &m); k--)
		secondary_hear(p, &m);
	if (!p->rx.ack_due)
		return;
	memset(&m, 0, sizeof(m));
	mirror_rx_ack(&p->rx, &m.frame.u.ack);
	channel_put(p, &p->back, &m);
}

static void pair_run(struct pair *p, unsigned turns, uint64_t seed)
{
	uint64_t every = p->faults.new_session_turns ? p->faults.new_session_turns : 150;

	for (unsigned k = 0; k < turns; k++) {
		holder_turn(p, true);
		pair_check(p, seed);
		secondary_turn(p);
		pair_check(p, seed);
		if (prng_below(&p->prng, every) == 0)
			pair_open(p);
	}
}

/* The network heals and the application rests: the replica catches up with everything. */
static void pair_finish(struct pair *p, uint64_t seed)
{
	p->faults = (struct faults){0};
	model_commit(&p->lane);
	for (unsigned k = 0; k < 2000; k++) {
		if (p->tx.synced && p->tx.applied == p->lane.committed)
			break;
		holder_turn(p, false);
		secondary_turn(p);
		pair_check(p, seed);
	}
	cr_assert(p->tx.synced, "seed %llu", (unsigned long long)seed);
	cr_assert_eq(p->replica.applied, p->lane.committed);
	pair_check(p, seed);
	cr_assert_not(mirror_tx_stuck(&p->tx, p->lane.committed, 0, run_clock(p) + 1));
}

static void try_seeds(uint64_t first, unsigned count, struct faults faults)
{
	unsigned checks = 0, ends = 0;

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct pair *p = pair_start(seed, faults);

		pair_run(p, 300, seed);
		pair_finish(p, seed);
		checks += p->checks;
		ends += p->ends;
	}
	cr_assert_gt(checks, count);
	cr_assert_geq(ends, count);
}

Test(mirror_session, over_a_channel_without_faults)
{
	try_seeds(1, 200, (struct faults){0});
}

Test(mirror_session, over_a_channel_that_loses)
{
	try_seeds(1000, 500, (struct faults){.lose_percent = 20});
}

Test(mirror_session, over_a_channel_that_repeats_and_reorders)
{
	try_seeds(2000, 500, (struct faults){.repeat_percent = 20, .overtake_percent = 30});
}

Test(mirror_session, over_a_channel_with_every_fault)
{
	try_seeds(
		3000, 1500,
		(struct faults){.lose_percent = 20, .repeat_percent = 20, .overtake_percent = 20});
}

Test(mirror_session, over_a_channel_that_hardly_works)
{
	try_seeds(
		5000, 500,
		(struct faults){.lose_percent = 60, .repeat_percent = 10, .overtake_percent = 60});
}

/* Most of the time is spent around END, where the order of things matters. */
Test(mirror_session, one_short_session_after_another)
{
	try_seeds(7000, 1500,
		  (struct faults){.lose_percent = 15,
				  .repeat_percent = 40,
				  .overtake_percent = 25,
				  .new_session_turns = 25});
}
