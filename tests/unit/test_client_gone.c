/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A node that goes away.
 */
#include "client_app.h"

static void expect_lost(struct app *a)
{
	struct haven_component *c;

	cr_expect_eq(haven_poll(a->w), 0, "told once");
	cr_expect_eq(haven_role(a->w, 0), HAVEN_OFFLINE);
	cr_expect_not(haven_gate(a->w, 0));
	cr_expect_eq(haven_put(a->w, a->t, "key00001", "value001"), -HAVEN_EROLE);
	cr_expect_eq(haven_component_ready(a->c), -HAVEN_ENODE);
	cr_expect_eq(haven_component_register(a->h, &nat_config, &c), -HAVEN_ENODE);
	cr_expect_eq(haven_error_class(-HAVEN_ENODE), HAVEN_CLASS_REATTACH);
	cr_expect_neq(haven_last_error(a->h)[0], '\0');
}

Test(client_gone, the_death_of_the_node_is_noticed)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	fake_kill(&node);
	cr_expect(haven_gate(a.w, 0), "its last lease still runs");
	cr_expect(poll_until(a.w, HAVEN_CHANGE_NODE) & HAVEN_CHANGE_NODE);
	expect_lost(&a);
	haven_detach(a.h);
	fake_end(&node);
}

Test(client_gone, the_orderly_end_of_the_node_is_noticed_at_once)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	store_release(&node.registry.header->stopped_ns, clock_now_ns());
	cr_expect_eq(haven_poll(a.w), HAVEN_CHANGE_NODE | HAVEN_CHANGE_ROLE);
	expect_lost(&a);
	end(&a);
}

Test(client_gone, a_node_that_dies_within_a_call_is_an_error_of_that_call)
{
	struct haven_component *c;
	struct app a;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	node.hang_up_at = MESSAGE_REGISTER;
	cr_expect_eq(haven_component_register(a.h, &nat_config, &c), -HAVEN_ENODE);
	cr_expect_null(c);
	end(&a);
}

struct outliving {
	struct app *app;
	pthread_barrier_t begun, detached;
	unsigned changes;
	int put;
};

static void *thread_that_outlives(void *argument)
{
	struct outliving *o = argument;
	struct haven_worker *w;

	cr_assert_eq(haven_worker_begin(o->app->c, &w), 0);
	haven_poll(w);
	pthread_barrier_wait(&o->begun);
	pthread_barrier_wait(&o->detached);
	o->changes = haven_poll(w);
	o->put = haven_put(w, o->app->t, "key00001", "value001");
	haven_worker_end(w);
	return NULL;
}

/* The owner detaches first: the worker finds shut gates, and its end frees what is left. */
Test(client_gone, detach_and_end_in_any_order)
{
	struct outliving o;
	pthread_t thread;
	unsigned maps;
	struct app a;

	fake_start(&node);
	maps = mappings();
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	o = (struct outliving){.app = &a};
	pthread_barrier_init(&o.begun, NULL, 2);
	pthread_barrier_init(&o.detached, NULL, 2);
	cr_assert_eq(pthread_create(&thread, NULL, thread_that_outlives, &o), 0);
	pthread_barrier_wait(&o.begun);
	haven_detach(a.h);
	pthread_barrier_wait(&o.detached);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect(o.changes & HAVEN_CHANGE_NODE);
	cr_expect_eq(o.put, -HAVEN_EROLE);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_not(client_worker_marked(&node.segment->worker[i]));
	client_segment_unmap(node.segment);
	table_unmap(&node.table[0]);
	node.segment = NULL;
	node.n_tables = 0;
	cr_expect_eq(mappings(), maps);
	fake_kill(&node);
	fake_end(&node);
}
