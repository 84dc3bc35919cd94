/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Held packets: what leaves when, what is dropped, and what a full ring does.
 */
#include "client_app.h"

#include <sys/resource.h>

#define RING 8u

static int packet[64];

struct out {
	void *left[64], *dropped[64];
	unsigned n_left, n_dropped;
};

static void start(struct app *a, enum haven_hold_overflow overflow)
{
	fake_start(&node);
	app_start(a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a->w);
	cr_assert_eq(haven_hold_create(a->w, RING, overflow), 0);
}

static uint64_t commit_one(struct app *a)
{
	cr_assert_eq(haven_put(a->w, a->t, "key00001", "value001"), 0);
	return haven_commit(a->w, a->t);
}

static void acknowledge(uint64_t seq)
{
	store_release(&fake_lane(&node, 0, 0)->acked_seq, seq);
	store_release(&fake_lane(&node, 0, 0)->consumed_seq, seq);
}

static struct out release(struct app *a, unsigned max)
{
	struct out o = {.n_dropped = 99};

	o.n_left = haven_release(a->w, o.left, o.dropped, max, &o.n_dropped);
	return o;
}

Test(client_hold, packets_leave_in_order_when_their_record_is_acknowledged)
{
	uint64_t first, second;
	struct out o;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	first = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, first, &packet[0], NULL), 0);
	cr_assert_eq(haven_hold(a.w, a.t, first, &packet[1], NULL), 0);
	second = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, second, &packet[2], NULL), 0);
	cr_assert_eq(haven_hold(a.w, a.t, 0, &packet[3], NULL), 0, "of no record, but in order");
	cr_expect_eq(haven_hold_count(a.w), 4);
	o = release(&a, 64);
	cr_expect_eq(o.n_left + o.n_dropped, 0);
	acknowledge(first);
	o = release(&a, 1);
	cr_expect_eq(o.n_left, 1);
	cr_expect_eq(o.left[0], &packet[0]);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, 1, "what waits for the next record waits, and what is behind it");
	cr_expect_eq(o.left[0], &packet[1]);
	acknowledge(second);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, 2);
	cr_expect_eq(o.left[0], &packet[2]);
	cr_expect_eq(o.left[1], &packet[3]);
	cr_expect_eq(o.n_dropped, 0);
	cr_expect_eq(haven_hold_count(a.w), 0);
	end(&a);
}

Test(client_hold, a_full_ring_refuses)
{
	void *evicted = packet;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	for (unsigned i = 0; i < RING; i++)
		cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[i], NULL), 0);
	cr_expect_eq(haven_hold(a.w, a.t, seq, &packet[RING], &evicted), -HAVEN_EFULL);
	cr_expect_null(evicted);
	acknowledge(seq);
	cr_expect_eq(release(&a, 1).n_left, 1);
	cr_expect_eq(haven_hold(a.w, a.t, seq, &packet[RING], NULL), 0);
	cr_expect_eq(release(&a, 64).n_left, RING);
	end(&a);
}

Test(client_hold, a_full_ring_asks_to_wait)
{
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_WAIT);
	seq = commit_one(&a);
	for (unsigned i = 0; i < RING; i++)
		cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[i], NULL), 0);
	cr_expect_eq(haven_hold(a.w, a.t, seq, &packet[RING], NULL), -HAVEN_EAGAIN);
	cr_expect_eq(haven_hold_count(a.w), RING);
	end(&a);
}

Test(client_hold, a_full_ring_gives_up_the_oldest)
{
	void *evicted = NULL;
	struct out o;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_DROP_OLDEST);
	seq = commit_one(&a);
	cr_expect_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), -HAVEN_EINVAL,
		     "nobody would get the one that has to go");
	for (unsigned i = 0; i < RING; i++) {
		cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[i], &evicted), 0);
		cr_expect_null(evicted);
	}
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[RING + i], &evicted), 0);
		cr_expect_eq(evicted, &packet[i]);
	}
	acknowledge(seq);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, RING);
	for (unsigned i = 0; i < RING; i++)
		cr_expect_eq(o.left[i], &packet[3 + i]);
	end(&a);
}

Test(client_hold, what_was_held_in_an_ended_term_is_dropped_whatever_is_acknowledged)
{
	struct out o;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), 0);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[1], NULL), 0);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[2], NULL), 0);
	fake_role(&node, 0, HAVEN_SECONDARY, 10);
	acknowledge(seq + 100);
	o = release(&a, 64);
	cr_expect_eq(o.n_left + o.n_dropped, 0, "the worker has not taken note of the role");
	haven_poll(a.w);
	cr_expect_eq(haven_hold(a.w, a.t, seq, &packet[3], NULL), -HAVEN_EROLE);
	o = release(&a, 2);
	cr_expect_eq(o.n_left, 0);
	cr_assert_eq(o.n_dropped, 2);
	cr_expect_eq(o.dropped[0], &packet[0]);
	cr_expect_eq(o.dropped[1], &packet[1]);
	/* Primary again: the same numbers mean other records. */
	fake_role(&node, 0, HAVEN_PRIMARY, 11);
	haven_poll(a.w);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[4], NULL), 0);
	o = release(&a, 64);
	cr_assert_eq(o.n_dropped, 1);
	cr_expect_eq(o.dropped[0], &packet[2]);
	cr_assert_eq(o.n_left, 1);
	cr_expect_eq(o.left[0], &packet[4]);
	end(&a);
}

Test(client_hold, a_loss_of_the_role_between_two_polls_is_one)
{
	struct out o;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), 0);
	fake_role(&node, 0, HAVEN_SECONDARY, 10);
	fake_role(&node, 0, HAVEN_PRIMARY, 11);
	haven_poll(a.w);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_PRIMARY);
	acknowledge(seq);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, 0);
	cr_expect_eq(o.n_dropped, 1);
	end(&a);
}

Test(client_hold, a_new_epoch_of_an_unbroken_term_drops_nothing)
{
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), 0);
	fake_role(&node, 0, HAVEN_PRIMARY, 10);
	acknowledge(seq);
	cr_expect_eq(release(&a, 64).n_left, 0);
	haven_poll(a.w);
	cr_expect_eq(haven_epoch(a.w, 0), 10);
	cr_expect_eq(release(&a, 64).n_left, 1);
	end(&a);
}

Test(client_hold, another_instance_of_the_component_is_not_concerned)
{
	struct haven_table *other;
	struct out o;
	struct app a;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	cr_assert_eq(haven_table_create(a.c, 0, &small_table, &a.t), 0);
	cr_assert_eq(haven_table_create(a.c, 1, &small_table, &other), 0);
	cr_assert_eq(haven_worker_begin(a.c, &a.w), 0);
	cr_assert_eq(haven_component_ready(a.c), 0);
	cr_assert_eq(haven_hold_create(a.w, RING, HAVEN_HOLD_REFUSE), 0);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	fake_role(&node, 1, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_assert_eq(haven_hold(a.w, a.t, commit_one(&a), &packet[0], NULL), 0);
	cr_assert_eq(haven_put(a.w, other, "key00001", "value001"), 0);
	cr_assert_eq(haven_hold(a.w, other, haven_commit(a.w, other), &packet[1], NULL), 0);
	fake_role(&node, 0, HAVEN_SPARE, 10);
	haven_poll(a.w);
	store_release(&fake_lane(&node, 1, 0)->acked_seq, 1);
	o = release(&a, 64);
	cr_expect_eq(o.n_dropped, 1);
	cr_expect_eq(o.dropped[0], &packet[0]);
	cr_expect_eq(o.n_left, 1);
	cr_expect_eq(o.left[0], &packet[1]);
	end(&a);
}

Test(client_hold, with_the_node_gone_nothing_leaves, .timeout = 60)
{
	struct out o;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), 0);
	acknowledge(seq);
	fake_kill(&node);
	cr_assert(poll_until(a.w, HAVEN_CHANGE_NODE) & HAVEN_CHANGE_NODE);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, 0);
	cr_expect_eq(o.n_dropped, 1);
	fake_restart(&node, false);
	cr_assert_eq(haven_reattach(a.h), 0, "%s", haven_last_error(a.h));
	cr_assert(poll_until(a.w, HAVEN_CHANGE_REATTACHED) & HAVEN_CHANGE_REATTACHED);
	fake_role(&node, 0, HAVEN_PRIMARY, 11);
	haven_poll(a.w);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[1], NULL), 0);
	acknowledge(seq);
	cr_expect_eq(release(&a, 64).n_left, 1);
	end(&a);
}

Test(client_hold, going_over_to_another_node_ends_the_term, .timeout = 60)
{
	struct out o;
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[0], NULL), 0);
	fake_kill(&node);
	fake_restart(&node, false);
	/* The worker has not noticed: in one poll it loses the node and finds the next. */
	while (haven_reattach(a.h) != 0)
		cr_assert_eq(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED, 0);
	poll_until(a.w, HAVEN_CHANGE_REATTACHED);
	fake_role(&node, 0, HAVEN_PRIMARY, 11);
	haven_poll(a.w);
	acknowledge(seq);
	o = release(&a, 64);
	cr_expect_eq(o.n_left, 0);
	cr_expect_eq(o.n_dropped, 1);
	end(&a);
}

Test(client_hold, everything_can_be_taken_out)
{
	void *out[RING];
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	cr_expect_eq(haven_hold_drain(a.w, out, RING), 0);
	seq = commit_one(&a);
	for (unsigned i = 0; i < 5; i++)
		cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[i], NULL), 0);
	cr_expect_eq(haven_hold_drain(a.w, out, 2), 2);
	cr_expect_eq(out[1], &packet[1]);
	cr_expect_eq(haven_hold_drain(a.w, out, RING), 3);
	cr_expect_eq(out[2], &packet[4]);
	cr_expect_eq(haven_hold_count(a.w), 0);
	end(&a);
}

Test(client_hold, numbers_of_the_ring_may_wrap)
{
	uint64_t seq;
	struct app a;

	start(&a, HAVEN_HOLD_REFUSE);
	seq = commit_one(&a);
	acknowledge(seq);
	for (unsigned i = 0; i < 1000; i++) {
		struct out o;

		for (unsigned k = 0; k < 1 + i % RING; k++)
			cr_assert_eq(haven_hold(a.w, a.t, seq, &packet[k], NULL), 0);
		o = release(&a, 64);
		cr_assert_eq(o.n_left, 1 + i % RING);
		for (unsigned k = 0; k < o.n_left; k++)
			cr_assert_eq(o.left[k], &packet[k]);
	}
	end(&a);
}

Test(client_hold, wrong_input_is_refused)
{
	const struct haven_component_config second = {.name = "nat-b", .group = "nat"};
	struct haven_component *c;
	struct haven_table *t;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_expect_eq(haven_hold(a.w, a.t, 0, &packet[0], NULL), -HAVEN_EINVAL, "it has no ring");
	cr_expect_eq(haven_hold_create(a.w, 0, HAVEN_HOLD_WAIT), -HAVEN_EINVAL);
	cr_expect_eq(haven_hold_create(a.w, 12, HAVEN_HOLD_WAIT), -HAVEN_EINVAL);
	cr_expect_eq(haven_hold_create(a.w, 2 * HAVEN_HOLD_PACKETS_MAX, HAVEN_HOLD_WAIT),
		     -HAVEN_EINVAL);
	cr_expect_eq(haven_hold_create(a.w, 16, (enum haven_hold_overflow)3), -HAVEN_EINVAL);
	cr_expect_eq(haven_hold_create(a.w, 1, HAVEN_HOLD_WAIT), 0);
	cr_expect_eq(haven_hold_create(a.w, 1, HAVEN_HOLD_WAIT), -HAVEN_EEXIST);
	cr_expect_eq(haven_hold(a.w, a.t, commit_one(&a) + 1, &packet[0], NULL), -HAVEN_EINVAL,
		     "that record does not exist: it would be waited for for ever");
	cr_assert_eq(haven_component_register(a.h, &second, &c), 0);
	cr_assert_eq(haven_table_create(c, 0, &small_table, &t), 0);
	cr_expect_eq(haven_hold(a.w, t, 0, &packet[0], NULL), -HAVEN_EINVAL);
	cr_expect_eq(haven_hold_count(a.w), 0);
	end(&a);
}

Test(client_hold, without_memory_there_is_no_ring)
{
	struct rlimit none = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY}, before;
	struct app a;

#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("the sanitizer does not live without memory");
#endif
	fake_start(&node);
	app_start(&a);
	getrlimit(RLIMIT_AS, &before);
	none.rlim_max = before.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
	/* 32 MB are more than the heap has at hand. */
	cr_expect_eq(haven_hold_create(a.w, HAVEN_HOLD_PACKETS_MAX, HAVEN_HOLD_REFUSE),
		     -HAVEN_ENOMEM);
	cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
	cr_expect_eq(haven_hold_create(a.w, RING, HAVEN_HOLD_REFUSE), 0, "it may be tried again");
	end(&a);
}
