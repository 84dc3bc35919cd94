/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers: slots, roles, gates.
 */
#include "client_app.h"

Test(client_worker, workers_take_the_lowest_free_lane)
{
	struct haven_worker *w[HAVEN_WORKERS_MAX], *more;
	struct app a;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		cr_assert_eq(haven_worker_begin(a.c, &w[i]), 0);
		cr_expect_eq(haven_worker_lane(w[i]), i);
		cr_expect_eq(node.newest_worker, i);
		cr_expect_eq(node.segment->worker[i].state, CLIENT_WORKER_LIVE);
	}
	cr_expect_eq(haven_worker_begin(a.c, &more), -HAVEN_EFULL);
	cr_expect_null(more);
	haven_worker_end(w[3]);
	cr_expect_eq(node.segment->worker[3].state, CLIENT_WORKER_ENDED);
	cr_assert_eq(haven_worker_begin(a.c, &w[3]), 0);
	cr_expect_eq(haven_worker_lane(w[3]), 3);
	haven_detach(a.h);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		cr_expect_eq(node.segment->worker[i].state, CLIENT_WORKER_ENDED);
		cr_expect_not(client_worker_marked(&node.segment->worker[i]));
	}
	fake_kill(&node);
	fake_end(&node);
}

Test(client_worker, a_worker_that_is_not_watched_is_none)
{
	struct haven_worker *w;
	struct app a;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	node.refuse_type = MESSAGE_WORKER;
	node.refuse_error = -HAVEN_EFULL;
	cr_expect_eq(haven_worker_begin(a.c, &w), -HAVEN_EFULL);
	cr_expect_neq(node.segment->worker[0].state, CLIENT_WORKER_LIVE);
	end(&a);
}

static void *thread_that_dies(void *argument)
{
	struct app *a = argument;

	return (void *)(intptr_t)haven_worker_begin(a->c, &a->w);
}

Test(client_worker, a_worker_thread_that_dies_is_marked)
{
	struct client_worker *slot;
	pthread_t thread;
	struct app a;
	void *status;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	slot = &node.segment->worker[0];
	cr_expect_not(client_worker_marked(slot));
	cr_assert_eq(pthread_create(&thread, NULL, thread_that_dies, &a), 0);
	cr_assert_eq(pthread_join(thread, &status), 0);
	cr_assert_eq(status, NULL);
	cr_expect(client_worker_marked(slot));
	cr_expect_eq(slot->state, CLIENT_WORKER_LIVE);
	end(&a);
}

Test(client_worker, a_role_is_confirmed_and_then_acted_on)
{
	const struct client_worker *slot;
	struct app a;

	fake_start(&node);
	app_start(&a);
	slot = &node.segment->worker[0];
	poll_until(a.w, HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_OFFLINE);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	cr_expect_neq(slot->confirmed[0], fake_gate(&node, 0)->generation);
	cr_expect_not(haven_gate(a.w, 0), "not before the poll");
	cr_expect_eq(haven_put(a.w, a.t, "key00000", "value000"), -HAVEN_EROLE);
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_poll(a.w), 0, "told once");
	cr_expect_eq(slot->confirmed[0], fake_gate(&node, 0)->generation);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_PRIMARY);
	cr_expect_eq(haven_role(a.w, 1), HAVEN_OFFLINE);
	cr_expect_eq(haven_role(a.w, 77), HAVEN_OFFLINE);
	cr_expect_eq(haven_epoch(a.w, 0), 9);
	cr_expect(haven_gate(a.w, 0));
	cr_expect_not(haven_gate(a.w, 1));
	cr_expect_not(haven_gate(a.w, 77));
	end(&a);
}

Test(client_worker, the_gate_shuts_without_a_poll_and_the_baton_does_not)
{
	const struct client_worker *slot;
	uint64_t confirmed;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	slot = &node.segment->worker[0];
	confirmed = slot->confirmed[0];
	fake_role(&node, 0, HAVEN_SECONDARY, 10);
	cr_expect_not(haven_gate(a.w, 0));
	cr_expect_eq(slot->confirmed[0], confirmed, "so the node does not write yet,");
	cr_expect_eq(haven_put(a.w, a.t, "key00000", "value000"), 0, "and the worker still may");
	haven_commit(a.w, a.t);
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_put(a.w, a.t, "key00000", "value000"), -HAVEN_EROLE);
	cr_expect_eq(haven_delete(a.w, a.t, "key00000"), -HAVEN_EROLE);
	cr_expect_eq(haven_commit(a.w, a.t), 1, "the sequence of the last commit");
	cr_expect_eq(slot->confirmed[0], fake_gate(&node, 0)->generation);
	end(&a);
}

Test(client_worker, a_role_that_changed_twice_between_polls_is_not_the_old_one)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	fake_role(&node, 0, HAVEN_SECONDARY, 9);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	cr_expect_not(haven_gate(a.w, 0), "it is another term");
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_ROLE);
	cr_expect(haven_gate(a.w, 0));
	end(&a);
}

Test(client_worker, a_lease_that_ended_shuts_the_gate)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_expect(haven_gate_check(a.w, 0, 32));
	registry_gate_renew(&node.registry, node.component.hot.gate_first, clock_now_ns());
	cr_expect_not(haven_gate(a.w, 0));
	cr_expect(haven_gate_check(a.w, 0, 0), "nothing was sent");
	cr_expect_not(haven_gate_check(a.w, 0, 32));
	cr_expect_eq(node.segment->worker[0].gate_overruns, 1);
	registry_gate_renew(&node.registry, node.component.hot.gate_first,
			    clock_now_ns() + FAKE_FAR_NS);
	cr_expect(haven_gate(a.w, 0), "renewed without a poll");
	cr_expect_eq(haven_poll(a.w), 0);
	end(&a);
}

Test(client_worker, a_poll_tells_progress_and_quiescence)
{
	const struct client_worker *slot;
	uint64_t progress, epoch;
	struct app a;

	fake_start(&node);
	app_start(&a);
	slot = &node.segment->worker[0];
	cr_expect_neq(slot->quiescent, 0, "a worker holds references from its begin on");
	progress = slot->progress;
	epoch = rcu_retire_epoch(&node.rcu);
	cr_expect_lt(slot->quiescent, epoch);
	haven_poll(a.w);
	cr_expect_geq(slot->quiescent, epoch);
	cr_expect_gt(slot->progress, progress);
	haven_worker_end(a.w);
	cr_expect_eq(slot->quiescent, 0);
	end(&a);
}
