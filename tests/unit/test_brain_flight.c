/* SPDX-License-Identifier: BSD-3-Clause */
/* How many mirror frames one node has on their way to another, whatever there is to be sent, and on
 * which links. */
#include <criterion/criterion.h>

#include "brain_cluster.h"

#define A 0u
#define B 1u
#define MOST 24u
#define LEAST 16u
/* More frames than may be on their way, fewer than one step makes. */
#define RECORDS 600u

/* a serves, b follows in sync; so many links. */
static struct cluster *serving(uint32_t most, unsigned links, bool split)
{
	struct cluster *c = cluster_start(3);

	c->links = links;
	c->mirror_flight = most;
	c->mirror_split = split;
	for (unsigned k = 0; k < 3; k++) {
		node_dies(c, k);
		cluster_boot(c, k);
	}
	cluster_run(c, MS(20));
	component_with_lane_up(c, A);
	cluster_run(c, MS(10));
	component_with_lane_up(c, B);
	cluster_run(c, MS(30));
	cr_assert_eq(c->actor, A);
	cr_assert_eq(assignment(c, A)->in_sync, 3);
	return c;
}

/* The same, b takes nothing in any more, and a has a lot to send. */
static struct cluster *backlog(uint32_t most)
{
	struct cluster *c = serving(most, 1, false);

	c->node[B].paused = true;
	commits(c, A, RECORDS);
	return c;
}

/* Frames of records that wait for b. */
static unsigned on_their_way(const struct cluster *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->mail_count; i++) {
		const struct frame *f = &c->mail[(c->mail_first + i) % CLUSTER_MAIL];

		n += f->dst == B && f->type == FRAME_MIRROR && f->u.mirror.kind == MIRROR_RECORDS;
	}
	return n;
}

static void lose_mirror_frames(struct cluster *c)
{
	for (unsigned left = c->mail_count; left; left--) {
		struct frame f = c->mail[c->mail_first];

		c->mail_first = (c->mail_first + 1) % CLUSTER_MAIL;
		c->mail_count--;
		if (f.type != FRAME_MIRROR)
			cluster_post(c, &f);
	}
}

Test(brain_flight, no_more_frames_are_sent_than_may_be_on_their_way)
{
	struct cluster *c = backlog(MOST);

	cluster_tick(c);
	cluster_tick(c);
	cr_expect_eq(on_their_way(c), MOST);
	c->node[B].paused = false;
	cluster_run(c, MS(2));
	cr_expect_eq(c->node[A].acked, RECORDS, "all of it came through");
	cluster_end(c);
}

Test(brain_flight, without_a_bound_the_window_of_the_lane_counts)
{
	struct cluster *c = backlog(0);

	cluster_tick(c);
	cluster_tick(c);
	cr_expect_gt(on_their_way(c), MOST);
	cluster_end(c);
}

Test(brain_flight, a_loss_halves_it_and_acknowledgements_give_it_back)
{
	struct cluster *c = backlog(MOST);

	cluster_tick(c);
	lose_mirror_frames(c);
	cr_assert_eq(on_their_way(c), 0);
	/* Nothing is acknowledged: they are sent again, fewer. */
	for (unsigned k = 0; k < 100 && !on_their_way(c); k++)
		cluster_tick(c);
	cr_expect_eq(on_their_way(c), LEAST);
	c->node[B].paused = false;
	cluster_run(c, MS(2));
	cr_assert_eq(c->node[A].acked, RECORDS);
	c->node[B].paused = true;
	commits(c, A, RECORDS);
	cluster_tick(c);
	cr_expect_eq(on_their_way(c), MOST);
	cluster_end(c);
}

static uint8_t links_of_a_commit(struct cluster *c)
{
	c->mirror_links = 0;
	commits(c, A, 1);
	cluster_tick(c);
	return c->mirror_links;
}

Test(brain_flight, doubled_records_go_out_on_every_link_that_works)
{
	struct cluster *c = serving(MOST, 2, false);

	cr_expect_eq(links_of_a_commit(c), 3);
	c->links = 1;
	cluster_run(c, MS(20));
	cr_expect_eq(links_of_a_commit(c), 1, "the second is silent");
	cluster_end(c);
}

Test(brain_flight, split_a_lane_keeps_to_one_link_and_leaves_it_when_it_fails)
{
	struct cluster *c = serving(MOST, 2, true);
	uint8_t first = links_of_a_commit(c);

	cr_expect_eq(__builtin_popcount(first), 1);
	cr_expect_eq(links_of_a_commit(c), first);
	/* Heard on both, but what goes out on this one does not arrive. */
	c->node[B].paused = true;
	commits(c, A, 1);
	cluster_tick(c);
	lose_mirror_frames(c);
	c->node[B].paused = false;
	c->mirror_links = 0;
	for (unsigned k = 0; k < 100 && !c->mirror_links; k++)
		cluster_tick(c);
	cr_expect_eq(c->mirror_links, 3 & ~first);
	c->links = 1;
	cluster_run(c, MS(20));
	cr_expect_eq(links_of_a_commit(c), 1, "the only one that works");
	cluster_end(c);
}
