/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The application goes on with the next incarnation of the node.
 */
#include "client_app.h"

static struct app a;

static void begin(void)
{
	fake_start(&node);
	app_start(&a);
}

static void finish(void)
{
	haven_detach(a.h);
	fake_kill(&node);
	fake_end(&node);
}
TestSuite(client_reattach, .init = begin, .fini = finish);

static void restart(bool lost)
{
	fake_kill(&node);
	fake_restart(&node, lost);
}

static void be_primary(uint64_t epoch)
{
	fake_role(&node, 0, HAVEN_PRIMARY, epoch);
	cr_expect(poll_until(a.w, HAVEN_CHANGE_ROLE) & HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_PRIMARY);
}

static const struct client_worker *slot0(void)
{
	return &node.segment->worker[0];
}

Test(client_reattach, while_the_node_is_there_nothing_happens)
{
	unsigned attached = node.asked[MESSAGE_ATTACH];

	cr_expect_eq(haven_reattach(a.h), 0);
	cr_expect_eq(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED, 0);
	cr_expect_eq(node.asked[MESSAGE_ATTACH], attached);
}

Test(client_reattach, without_a_node_it_is_tried_again)
{
	uint64_t handle = haven_component_handle(a.c);

	fake_kill(&node);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(haven_reattach(a.h), -HAVEN_ENODE);
	cr_expect_neq(haven_last_error(a.h)[0], '\0');
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_NODE | HAVEN_CHANGE_ROLE);
	fake_restart(&node, false);
	cr_expect_eq(haven_reattach(a.h), 0, "%s", haven_last_error(a.h));
	cr_expect_eq(haven_reattach(a.h), 0);
	cr_expect_eq(haven_component_handle(a.c), handle);
}

static void expect_handed_over(uint64_t handle)
{
	cr_expect_eq(node.asked[MESSAGE_ATTACH], 2);
	cr_expect_eq(node.asked[MESSAGE_REGISTER], 2);
	cr_expect_eq(node.asked[MESSAGE_CHECKPOINT], 2);
	cr_expect_eq(node.asked[MESSAGE_WORKER], 2);
	cr_expect_eq(node.asked[MESSAGE_READY], 2);
	cr_expect_eq(node.component.hot.handle, handle);
	cr_expect_eq(haven_component_handle(a.c), handle);
	cr_expect_neq(node.rcu_slot[0], 0, "watched");
	cr_expect_eq(node.worker_component[0], handle);
}

static void everything_is_handed_over(bool lost)
{
	uint64_t handle = haven_component_handle(a.c);
	uint8_t value[8];

	be_primary(9);
	haven_put(a.w, a.t, "key00001", "value001");
	cr_expect_eq(haven_commit(a.w, a.t), 1);
	store_release(&fake_lane(&node, 0, 0)->acked_seq, 1);
	cr_expect_eq(haven_acked(a.w, a.t), 1);
	restart(lost);
	cr_assert_eq(haven_reattach(a.h), 0, "%s", haven_last_error(a.h));
	expect_handed_over(handle);
	cr_expect_eq(table_committed(&node.table[0], 0), 1, "the same table");
	cr_expect_eq(haven_poll(a.w),
		     HAVEN_CHANGE_NODE | HAVEN_CHANGE_REATTACHED | HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_OFFLINE, "until the new node says otherwise");
	cr_expect_not(haven_gate(a.w, 0));
	cr_expect_eq(haven_acked(a.w, a.t), 0, "unknown");
	be_primary(12);
	cr_expect_eq(haven_epoch(a.w, 0), 12);
	cr_expect(haven_gate(a.w, 0));
	cr_expect_eq(haven_get(a.w, a.t, "key00001", value), 0);
	cr_expect_arr_eq(value, "value001", 8);
	cr_expect_eq(haven_put(a.w, a.t, "key00002", "value002"), 0);
	cr_expect_eq(haven_commit(a.w, a.t), 2);
	cr_expect_eq(table_committed(&node.table[0], 0), 2);
	store_release(&fake_lane(&node, 0, 0)->acked_seq, 2);
	cr_expect_eq(haven_acked(a.w, a.t), 2);
	cr_expect_eq(haven_instance_find(a.c, "nat1"), 1);
}

Test(client_reattach, everything_is_handed_over_beside_the_old_registry)
{
	everything_is_handed_over(false);
}

Test(client_reattach, everything_is_handed_over_when_the_registry_was_lost)
{
	everything_is_handed_over(true);
}

Test(client_reattach, a_loss_that_was_told_is_not_told_again)
{
	fake_kill(&node);
	cr_expect(poll_until(a.w, HAVEN_CHANGE_NODE) & HAVEN_CHANGE_NODE);
	fake_restart(&node, false);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_REATTACHED | HAVEN_CHANGE_ROLE);
	cr_expect_eq(haven_poll(a.w), 0);
}

/* The lane has one writer at any instant, across the restart. */
Test(client_reattach, the_baton_stays_with_the_worker_until_he_has_gone_over)
{
	const struct registry_gate *gate;

	be_primary(9);
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0);
	gate = fake_gate(&node, 0);
	cr_expect_gt(slot0()->confirmed[0], 0);
	cr_expect_lt(slot0()->confirmed[0], gate->generation, "he has confirmed nothing here");
	cr_expect_eq(haven_put(a.w, a.t, "key00001", "value001"), 0, "so he may still write");
	haven_commit(a.w, a.t);
	cr_expect(haven_gate(a.w, 0), "and the old lease still runs");
	haven_poll(a.w);
	cr_expect_eq(slot0()->confirmed[0], gate->generation);
	cr_expect_eq(haven_put(a.w, a.t, "key00001", "value001"), -HAVEN_EROLE, "no more");
	cr_expect_eq(table_committed(&node.table[0], 0), 1);
}

/* The new gate is being changed at that very moment: the old role is over all the same. */
Test(client_reattach, a_role_does_not_outlive_its_node)
{
	be_primary(9);
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0);
	fake_gate(&node, 0)->version++;
	cr_expect(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED);
	cr_expect_eq(haven_role(a.w, 0), HAVEN_OFFLINE);
	cr_expect_eq(haven_put(a.w, a.t, "key00001", "value001"), -HAVEN_EROLE);
	fake_gate(&node, 0)->version++;
	haven_poll(a.w);
	cr_expect_eq(slot0()->confirmed[0], fake_gate(&node, 0)->generation);
}

Test(client_reattach, gates_that_count_from_below_are_refused)
{
	uint64_t handle = haven_component_handle(a.c);

	fake_gate(&node, 0)->generation = UINT64_MAX - 1;
	haven_poll(a.w);
	restart(false);
	cr_expect_eq(haven_reattach(a.h), -HAVEN_ECORRUPT);
	cr_expect_not_null(strstr(haven_last_error(a.h), "count from below"));
	cr_expect_eq(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED, 0);
	cr_expect_eq(haven_component_handle(a.c), handle);
}

/* The slot is watched, with whatever epoch stands in it, before anything is found. */
Test(client_reattach, a_worker_reads_on_where_it_was_until_it_polls)
{
	struct haven_component_info info;
	uint64_t epoch, changes = haven_changes(haven_worker_reader(a.w));
	unsigned maps;

	fake_kill(&node);
	cr_expect(poll_until(a.w, HAVEN_CHANGE_NODE) & HAVEN_CHANGE_NODE);
	cr_expect_eq(haven_lookup(a.w, "nat-a", &info), 0, "while no node is there");
	fake_restart(&node, true);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(haven_lookup(a.w, "nat-a", &info), 0, "in the old registry");
	cr_expect_eq(haven_changes(haven_worker_reader(a.w)), changes);
	cr_expect_neq(node.rcu_slot[0], 0);
	maps = mappings();
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(mappings(), maps, "the old one is still needed");
	haven_poll(a.w);
	cr_expect_neq(haven_changes(haven_worker_reader(a.w)), changes);
	epoch = rcu_retire_epoch(&node.rcu);
	cr_expect_lt(rcu_poll(&node.rcu), epoch, "the new node sees what it holds");
	haven_poll(a.w);
	cr_expect_eq(rcu_poll(&node.rcu), epoch);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(mappings(), maps - 1, "given back");
}

Test(client_reattach, a_reader_goes_over_when_it_enters)
{
	const struct haven_component_view *v;
	struct haven_reader *r;
	unsigned maps;

	cr_assert_eq(haven_reader_begin(a.h, &r), 0);
	haven_reader_enter(r);
	v = haven_find(r, "nat-a");
	restart(true);
	cr_assert_eq(haven_reattach(a.h), 0);
	haven_poll(a.w);
	cr_assert_eq(haven_reattach(a.h), 0);
	maps = mappings();
	cr_expect_str_eq(v->name, "nat-a", "what was found stays");
	cr_expect_not_null(haven_find(r, "nat-a"));
	haven_reader_leave(r);
	haven_reader_enter(r);
	cr_expect_neq(haven_find(r, "nat-a"), v, "another registry");
	haven_reader_leave(r);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(mappings(), maps - 1);
	haven_reader_end(r);
}

Test(client_reattach, who_watches_begins_anew)
{
	struct haven_reader *r = haven_worker_reader(a.w);
	struct haven_component_change change;
	struct haven_watch watch;

	haven_watch_begin(r, &watch);
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect_eq(haven_watch_next(r, &watch, &change), 0, "not gone over yet");
	haven_poll(a.w);
	cr_expect_eq(haven_watch_next(r, &watch, &change), -HAVEN_ESTALE);
	cr_expect_eq(haven_watch_next(r, &watch, &change), 0, "told once");
	registry_remove(&node.registry, haven_component_handle(a.c), &node.rcu);
	cr_expect_eq(haven_watch_next(r, &watch, &change), 1);
	cr_expect_eq(change.kind, HAVEN_WATCH_REMOVED);
}

Test(client_reattach, a_step_that_fails_leaves_everything_as_it_was)
{
	static const uint16_t steps[] = {MESSAGE_ATTACH, MESSAGE_REGISTER, MESSAGE_CHECKPOINT,
					 MESSAGE_WORKER, MESSAGE_READY};
	unsigned descriptors;

	fake_kill(&node);
	cr_expect(poll_until(a.w, HAVEN_CHANGE_NODE) & HAVEN_CHANGE_NODE);
	descriptors = open_descriptors();
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(steps); i++) {
		fake_restart(&node, true);
		node.refuse_type = steps[i];
		node.refuse_error = -HAVEN_EREFUSED;
		cr_expect_eq(haven_reattach(a.h), -HAVEN_EREFUSED, "step %u", i);
		node.refuse_type = 0;
		node.hang_up_at = steps[i];
		cr_expect_eq(haven_reattach(a.h), -HAVEN_ENODE, "step %u", i);
		node.hang_up_at = 0;
		cr_expect_eq(haven_poll(a.w), 0);
		fake_kill(&node);
		/* A registry of the fake node stays open. */
		cr_expect_eq(open_descriptors(), ++descriptors, "step %u", i);
	}
	fake_restart(&node, true);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_expect(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED);
}

Test(client_reattach, a_node_that_contradicts_itself_is_refused)
{
	static const uint16_t steps[] = {MESSAGE_ATTACH, MESSAGE_ATTACH_LINE, MESSAGE_REGISTER,
					 MESSAGE_CHECKPOINT};

	fake_kill(&node);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(steps); i++) {
		fake_restart(&node, true);
		node.spoil_type = steps[i];
		cr_expect_eq(haven_reattach(a.h), -HAVEN_ECORRUPT, "step %u", i);
		node.spoil_type = 0;
		fake_kill(&node);
	}
	fake_restart(&node, true);
	cr_expect_eq(haven_reattach(a.h), 0);
}

static void *thread_that_dies(void *argument)
{
	return (void *)(intptr_t)haven_worker_begin(argument, &(struct haven_worker *){NULL});
}

Test(client_reattach, a_component_whose_worker_died_stays_off_line_and_the_others_go_on)
{
	const struct haven_component_config second = {.name = "nat-b", .group = "nat"};
	struct haven_component *c;
	pthread_t thread;

	cr_assert_eq(haven_component_register(a.h, &second, &c), 0);
	cr_assert_eq(pthread_create(&thread, NULL, thread_that_dies, c), 0);
	pthread_join(thread, NULL);
	cr_assert_eq(haven_component_ready(c), 0);
	cr_expect_eq(node.asked[MESSAGE_READY], 2);
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0, "%s", haven_last_error(a.h));
	cr_expect_eq(node.asked[MESSAGE_READY], 3, "for one of the two");
	cr_expect_eq(node.rcu_slot[1], 0, "the dead worker is not announced");
	cr_expect(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED);
}

/* The nodes of a cluster tell tables of a component apart by their order. */
Test(client_reattach, tables_are_handed_over_in_the_order_of_their_making)
{
	static const char *const names[] = {"flows", "second", "third"};
	struct haven_table_config config = small_table;
	struct haven_component *c;
	struct haven_table *t;

	haven_worker_end(a.w);
	cr_assert_eq(haven_component_deregister(a.c), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &c), 0);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(names); i++) {
		config.name = names[i];
		cr_assert_eq(haven_table_create(c, 0, &config, &t), 0);
	}
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_assert_eq(node.n_tables, HAVEN_ARRAY_LEN(names));
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(names); i++)
		cr_expect_str_eq(node.table[i].geometry.shape.name, names[i]);
}

Test(client_reattach, a_table_made_after_a_restart)
{
	struct haven_table_config config = small_table;
	struct haven_component *c;
	struct haven_worker *w;
	struct haven_table *t;

	cr_assert_eq(
		haven_component_register(
			a.h, &(struct haven_component_config){.name = "b", .group = "nat"}, &c),
		0);
	cr_assert_eq(haven_worker_begin(c, &w), 0);
	restart(false);
	cr_assert_eq(haven_reattach(a.h), 0);
	cr_assert_eq(haven_table_create(c, 0, &config, &t), 0);
	cr_expect_eq(haven_acked(w, t), 0, "unknown to the node that this worker still works with");
	haven_poll(w);
	node.component.hot.gate_first = registry_find(&node.registry, "b")->gate_first;
	fake_role(&node, 0, HAVEN_PRIMARY, 3);
	haven_poll(w);
	cr_expect_eq(haven_put(w, t, "key00001", "value001"), 0);
	haven_commit(w, t);
	store_release(&fake_lane(&node, 1, haven_worker_lane(w))->acked_seq, 1);
	cr_expect_eq(haven_acked(w, t), 1);
}

Test(client_reattach, a_thread_that_never_polls_holds_a_bounded_number_of_registries)
{
	unsigned restarts = 0;
	int status = 0;

	for (; restarts < FAKE_RESTARTS_MAX - 1 && !status; restarts++) {
		restart(false);
		status = haven_reattach(a.h);
	}
	cr_expect_eq(status, -HAVEN_EAGAIN);
	cr_expect_eq(restarts, 8);
	cr_expect_not_null(strstr(haven_last_error(a.h), "has not polled"));
	haven_poll(a.w);
	cr_expect_eq(haven_reattach(a.h), 0);
	cr_expect(haven_poll(a.w) & HAVEN_CHANGE_REATTACHED);
}

struct looping {
	pthread_barrier_t *begun;
	uint32_t stop; /* atomic */
	unsigned reattached, found, missed;
};

static void *thread_that_reads(void *argument)
{
	struct looping *l = argument;
	struct haven_reader *r;

	cr_assert_eq(haven_reader_begin(a.h, &r), 0);
	pthread_barrier_wait(l->begun);
	while (!load_acquire(&l->stop)) {
		haven_reader_enter(r);
		if (haven_find(r, "nat-a"))
			l->found++;
		else
			l->missed++;
		haven_reader_leave(r);
	}
	haven_reader_end(r);
	return NULL;
}

static void *thread_that_works(void *argument)
{
	struct looping *l = argument;
	struct haven_component_info info;
	struct haven_worker *w;

	cr_assert_eq(haven_worker_begin(a.c, &w), 0);
	pthread_barrier_wait(l->begun);
	while (!load_acquire(&l->stop)) {
		l->reattached += (haven_poll(w) & HAVEN_CHANGE_REATTACHED) != 0;
		if (haven_lookup(w, "nat-a", &info) == 0)
			l->found++;
		else
			l->missed++;
	}
	haven_worker_end(w);
	return NULL;
}

/* Reads never fail, whatever happens to the node. */
Test(client_reattach, threads_go_on_while_the_node_is_restarted)
{
	pthread_barrier_t begun;
	struct looping l[2] = {{.begun = &begun}, {.begun = &begun}};
	pthread_t thread[2];

	pthread_barrier_init(&begun, NULL, 3);
	cr_assert_eq(pthread_create(&thread[0], NULL, thread_that_reads, &l[0]), 0);
	cr_assert_eq(pthread_create(&thread[1], NULL, thread_that_works, &l[1]), 0);
	pthread_barrier_wait(&begun);
	for (unsigned i = 0; i < 6; i++) {
		uint64_t until = clock_now_ns() + WAIT_NS;
		int status;

		restart(i % 2);
		do {
			haven_poll(a.w);
			status = haven_reattach(a.h);
		} while ((status == -HAVEN_EAGAIN || status == -HAVEN_ENODE) &&
			 clock_now_ns() < until);
		cr_assert_eq(status, 0, "%s", haven_last_error(a.h));
	}
	store_release(&l[0].stop, 1);
	store_release(&l[1].stop, 1);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	cr_expect_eq(l[0].missed + l[1].missed, 0);
	cr_expect_gt(l[0].found + l[1].found, 0);
}
