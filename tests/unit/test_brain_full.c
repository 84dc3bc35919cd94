/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The largest cluster: 32 nodes, seven voters, 64 instances with a lane each. Every frame that any
 * brain makes must fit; nothing of what a view brings about for many instances at once may go
 * missing because one step cannot tell it all.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "brain.h"

#define NODES HAVEN_NODES_MAX
#define INSTANCES HAVEN_INSTANCES_MAX
#define MAIL 65536u
#define TICK_NS 250000u
#define VOTERS 0x7fu
#define SECONDARIES 2u
/* Ethernet's payload, less IPv6 and UDP, less the tag. */
#define ROOM_BYTES (1500u - 40u - 8u - 16u)

struct node {
	struct brain *brain;
	uint64_t incarnation, lost, acting;
	unsigned resets;
};

static struct {
	uint64_t now;
	struct node node[NODES];
	struct frame *mail; /* a ring */
	unsigned first, count;
	size_t beat_bytes, view_bytes;
	unsigned most_outputs, cut_short;
	struct brain_outputs out;
} c;

static void post(const struct frame *f)
{
	uint8_t bytes[FRAME_BYTES_MAX];
	size_t n = frame_encode(f, bytes, sizeof(bytes));

	cr_assert_gt(n, 0, "frame of type %u does not fit", f->type);
	if (f->type == FRAME_BEAT && n > c.beat_bytes)
		c.beat_bytes = n;
	if (f->type == FRAME_VIEW && n > c.view_bytes)
		c.view_bytes = n;
	cr_assert_lt(c.count, MAIL);
	c.mail[(c.first + c.count++) % MAIL] = *f;
}

/* What the node's applications would answer; their lanes stay empty. */
static unsigned answer(struct node *o, const struct brain_output *out, struct brain_event *to)
{
	switch (out->kind) {
	case OUT_ROLE:
		if (out->role != HAVEN_PRIMARY)
			return 0;
		*to = (struct brain_event){
			.kind = BRAIN_COMMITTED, .slot = out->instance, .count = 1};
		return 1;
	case OUT_CLOSE_GATE:
		*to = (struct brain_event){
			.kind = BRAIN_GATE_CLOSED, .instance = out->instance, .seq = out->seq};
		return 1;
	case OUT_RESET:
	case OUT_APPLY:
		o->resets += out->kind == OUT_RESET;
		*to = (struct brain_event){.kind = BRAIN_APPLIED, .slot = out->slot, .up = true};
		return 1;
	case OUT_EVENT:
		if (out->note == NOTE_STATE_LOST)
			o->lost |= (uint64_t)1 << out->instance;
		return 0;
	case OUT_COMPARE:
		return 0;
	case OUT_FRAME:
		post(&out->frame);
		return 0;
	case OUT_LEASE:
	case OUT_ACKED:
	case OUT_COMMAND_DONE:
		return 0;
	}
	return 0;
}

/* One event and what follows from it; true when the brain has more to do. */
static bool feed(unsigned k, struct brain_event event)
{
	static struct brain_event todo[2048];
	unsigned n = 0, done = 0;
	bool more = false;

	todo[n++] = event;
	while (done < n) {
		struct brain_event e = todo[done++];

		brain_step(c.node[k].brain, c.now, &e, &c.out);
		more |= c.out.more;
		c.cut_short += c.out.more;
		if (c.out.n > c.most_outputs)
			c.most_outputs = c.out.n;
		for (unsigned o = 0; o < c.out.n; o++) {
			cr_assert_lt(n, 2048);
			n += answer(&c.node[k], &c.out.out[o], &todo[n]);
		}
	}
	return more;
}

static void start(unsigned k)
{
	struct brain_config config = {.self = (uint8_t)k,
				      .n_nodes = NODES,
				      .n_instances = INSTANCES,
				      .voters = VOTERS,
				      .interval_ns = 1000000,
				      .suspect_ns = 4000000,
				      .lease_ns = 10000000,
				      .guard_ns = 100000,
				      .rate_ppm = 1000,
				      .stall_ns = 2000000,
				      .mirror_timeout_ns = 100000000};
	struct node *o = &c.node[k];

	for (unsigned i = 0; i < INSTANCES; i++) {
		config.instance[i].eligible = UINT32_MAX;
		config.instance[i].preferred = (uint8_t)(i % NODES);
		config.instance[i].secondaries = SECONDARIES;
	}
	o->incarnation += 100 + k;
	brain_init(o->brain, &config, o->incarnation, 1000, c.now);
	for (unsigned i = 0; i < INSTANCES; i++) {
		feed(k, (struct brain_event){.kind = BRAIN_SLOT_OPEN,
					     .slot = (uint16_t)i,
					     .stream = {.instance = (uint8_t)i},
					     .record_bytes = 64,
					     .lane_records = 64});
		feed(k, (struct brain_event){
				.kind = BRAIN_COMPONENT, .instance = (uint8_t)i, .up = true});
	}
}

static void instant(void)
{
	c.now += TICK_NS;
	for (unsigned left = c.count; left; left--) {
		struct frame f = c.mail[c.first];

		c.first = (c.first + 1) % MAIL;
		c.count--;
		feed(f.dst, (struct brain_event){.kind = BRAIN_FRAME, .frame = &f});
	}
	for (unsigned k = 0; k < NODES; k++) {
		unsigned ticks = 0;

		while (feed(k, (struct brain_event){.kind = BRAIN_TICK}))
			cr_assert_lt(++ticks, 64);
	}
}

/* Every instance has one actor and all its secondaries in sync. */
static bool whole(void)
{
	for (unsigned i = 0; i < INSTANCES; i++) {
		unsigned actors = 0;

		for (unsigned k = 0; k < NODES; k++) {
			if (!brain_may_act(c.node[k].brain, i, c.now))
				continue;
			actors++;
			if (__builtin_popcount(brain_view(c.node[k].brain)->instance[i].in_sync) !=
			    SECONDARIES + 1)
				return false;
		}
		cr_assert_leq(actors, 1);
		if (actors != 1)
			return false;
	}
	return true;
}

static void until_whole(void)
{
	for (unsigned turns = 0; !whole(); turns++) {
		cr_assert_lt(turns, 2000, "not whole after half a second");
		instant();
	}
}

Test(brain_full, the_largest_cluster_fits_and_forgets_to_tell_nothing, .timeout = 55)
{
	uint64_t remembered;

	c.now = 1000000000;
	c.mail = calloc(MAIL, sizeof(*c.mail));
	for (unsigned k = 0; k < NODES; k++) {
		c.node[k].brain = aligned_alloc(64, (brain_bytes(0) + 63) & ~(size_t)63);
		start(k);
	}
	until_whole();
	remembered = brain_view(c.node[20].brain)->epoch;
	cr_assert_neq(remembered, 0);

	/* All voters forget at once: what the others remember goes on, and each of them says of
	 * every instance that something may be lost. */
	for (unsigned k = 0; k < NODES; k++)
		if (VOTERS >> k & 1)
			start(k);
	until_whole();
	cr_expect_gt(brain_view(c.node[20].brain)->epoch, remembered);
	for (unsigned k = 0; k < NODES; k++)
		if (!(VOTERS >> k & 1))
			cr_expect_eq(c.node[k].lost, UINT64_MAX, "node %u told of %lx", k,
				     (unsigned long)c.node[k].lost);

	cr_expect_gt(c.view_bytes, 1000, "the views were full");
	cr_expect_leq(c.view_bytes, ROOM_BYTES);
	cr_expect_leq(c.beat_bytes, 256, "beats stay small: %zu", c.beat_bytes);
	cr_expect_leq(c.most_outputs, BRAIN_OUTPUTS_MAX);
	cr_expect_gt(c.cut_short, 0, "nothing had to wait for a later step");
	for (unsigned k = 0; k < NODES; k++)
		free(c.node[k].brain);
	free(c.mail);
}
