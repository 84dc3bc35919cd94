/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Components without instances, and requests without an answer, across a restart of the node.
 */
#include "client_app.h"

#define PATIENT_MS 5000
#define MANY 600u

static struct haven *h;

static void begin(void)
{
	fake_start(&node);
	cr_assert_eq(haven_attach(&h, node.dir), 0);
}

static void finish(void)
{
	haven_detach(h);
	fake_kill(&node);
	fake_end(&node);
}
TestSuite(client_settle, .init = begin, .fini = finish);

static uint64_t add(const char *name, uint32_t load)
{
	struct haven_attributes a = {.name = name,
				     .group = "ports",
				     .release = "2.0",
				     .kind = HAVEN_KIND_PORT,
				     .health = HAVEN_HEALTH_GOOD,
				     .state = HAVEN_SPARE,
				     .load = load,
				     .weight = 3,
				     .format_read_max = 4,
				     .format_write = 4,
				     .n_depends = 1,
				     .depends = {99}};
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &a};

	fake_serve_ring(&node, true);
	cr_assert_eq(haven_request_call(h, &q, 1, PATIENT_MS), 0);
	fake_serve_ring(&node, false);
	return q.handle;
}

static void post(enum haven_request_kind kind, uint64_t handle, const char *name, uint32_t load)
{
	struct haven_attributes a = {.name = name, .load = load};
	struct haven_request q = {
		.kind = kind, .handle = handle, .attributes = &a, .tag = kind * 1000u + load};

	cr_assert_eq(haven_request_post(h, &q, 1), 1);
}

/* The thread serves the ring from the start, as a real node does. */
static void restart(bool lost)
{
	fake_kill(&node);
	fake_serve_ring(&node, true);
	fake_restart(&node, lost);
}

static void reattach(void)
{
	uint64_t until = clock_now_ns() + WAIT_NS;
	int status;

	do
		status = haven_reattach(h);
	while (status == -HAVEN_EAGAIN && clock_now_ns() < until);
	cr_assert_eq(status, 0, "%s", haven_last_error(h));
	fake_serve_ring(&node, false);
}

static void expect_load(uint64_t handle, uint32_t load)
{
	struct registry_component c;

	cr_assert_eq(registry_get_copy(&node.registry, handle, &c), 0);
	cr_expect_eq(c.hot.load, load);
}

static void expect_answer(enum haven_request_kind kind, uint32_t load, int result)
{
	struct haven_request q;

	cr_assert_eq(haven_request_collect(h, &q, 1), 1);
	cr_expect_eq(q.tag, kind * 1000u + load);
	cr_expect_eq(q.result, result);
}

Test(client_settle, what_the_node_still_has_is_not_handed_over)
{
	uint64_t handle = add("port0", 5);

	restart(false);
	reattach();
	expect_load(handle, 5);
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], 0);
	cr_expect_eq(node.seen, 1);
}

Test(client_settle, what_was_lost_is_handed_over_under_its_handle)
{
	struct registry_component c;
	uint64_t handle[MANY];
	char name[HAVEN_NAME_MAX];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "port%u", i);
		handle[i] = add(name, i);
	}
	restart(true);
	reattach();
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], MANY);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "port%u", i);
		cr_assert_eq(registry_get_copy(&node.registry, handle[i], &c), 0);
		cr_assert_str_eq(c.hot.name, name);
		cr_assert_eq(c.hot.load, i);
	}
	cr_expect_str_eq(c.cold.group, "ports");
	cr_expect_str_eq(c.cold.release, "2.0");
	cr_expect_eq(c.hot.kind, HAVEN_KIND_PORT);
	cr_expect_eq(c.hot.health, HAVEN_HEALTH_GOOD);
	cr_expect_eq(c.hot.state, HAVEN_SPARE);
	cr_expect_eq(c.hot.weight, 3);
	cr_expect_eq(c.cold.format_read_max, 4);
	cr_expect_eq(c.cold.format_write, 4);
	cr_expect_eq(c.cold.n_depends, 1);
	cr_expect_eq(c.cold.depends[0], 99);
}

/* Whether the former node carried them out before it died, nobody knows; the next one does. */
Test(client_settle, unanswered_requests_are_carried_out_by_the_next_node)
{
	uint64_t updated = add("port0", 1), removed = add("port1", 2);
	struct registry_component c;

	post(HAVEN_REQUEST_UPDATE, updated, NULL, 11);
	post(HAVEN_REQUEST_REMOVE, removed, NULL, 0);
	post(HAVEN_REQUEST_ADD, 0, "port2", 33);
	restart(false);
	reattach();
	cr_expect_eq(node.seen, 2);
	expect_load(updated, 11);
	cr_expect_eq(registry_get_copy(&node.registry, removed, &c), -HAVEN_ESTALE);
	cr_assert_eq(registry_find_copy(&node.registry, "port2", &c), 0);
	cr_expect_eq(c.hot.load, 33);
	expect_answer(HAVEN_REQUEST_UPDATE, 11, 0);
	expect_answer(HAVEN_REQUEST_REMOVE, 0, 0);
	expect_answer(HAVEN_REQUEST_ADD, 33, 0);
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], 0);
}

Test(client_settle, unanswered_requests_and_a_lost_registry)
{
	uint64_t updated = add("port0", 1), removed = add("port1", 2);
	struct registry_component c;

	post(HAVEN_REQUEST_UPDATE, updated, NULL, 11);
	post(HAVEN_REQUEST_REMOVE, removed, NULL, 0);
	restart(true);
	reattach();
	/* The update came before its component and was asked again. */
	expect_load(updated, 11);
	expect_answer(HAVEN_REQUEST_REMOVE, 0, -HAVEN_ESTALE);
	expect_answer(HAVEN_REQUEST_UPDATE, 11, 0);
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], 1, "what was to be removed is not there");
	cr_expect_eq(node.asked_ring[REQUEST_UPDATE], 2);
	cr_expect_eq(registry_get_copy(&node.registry, removed, &c), -HAVEN_ESTALE);
}

Test(client_settle, nobody_goes_over_before_everything_is_there)
{
	uint64_t handle = add("port0", 5);
	struct haven_reader *r;

	cr_assert_eq(haven_reader_begin(h, &r), 0);
	fake_kill(&node);
	fake_serve_ring(&node, false);
	fake_restart(&node, true);
	cr_expect_eq(haven_reattach(h), -HAVEN_EAGAIN);
	haven_reader_enter(r);
	cr_expect_not_null(haven_find_handle(r, handle), "in the former registry");
	haven_reader_leave(r);
	fake_serve_ring(&node, true);
	reattach();
	haven_reader_enter(r);
	cr_expect_not_null(haven_find_handle(r, handle), "in the new one");
	haven_reader_leave(r);
	haven_reader_end(r);
}

Test(client_settle, a_place_that_was_taken_meanwhile)
{
	uint64_t handle = add("port0", 1);
	struct haven_request q = {.kind = HAVEN_REQUEST_REMOVE, .handle = handle};

	/* Without the file the next node gives the first place to the first who asks. */
	post(HAVEN_REQUEST_ADD, 0, "port1", 2);
	restart(true);
	reattach();
	expect_answer(HAVEN_REQUEST_ADD, 2, 0);
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], 0, "there is no place for it");
	fake_serve_ring(&node, true);
	cr_expect_eq(haven_request_call(h, &q, 1, PATIENT_MS), -HAVEN_ESTALE);
}

Test(client_settle, answers_that_were_there_are_not_asked_for_again)
{
	struct haven_request q;

	post(HAVEN_REQUEST_ADD, 0, "port0", 1);
	post(HAVEN_REQUEST_ADD, 0, "port1", 2);
	cr_assert_eq(fake_requests(&node, 1), 1, "answered, not read");
	restart(false);
	reattach();
	cr_expect_eq(node.seen, 1);
	cr_expect_eq(node.asked_ring[REQUEST_ADD], 2, "each once");
	expect_answer(HAVEN_REQUEST_ADD, 1, 0);
	expect_answer(HAVEN_REQUEST_ADD, 2, 0);
	cr_expect_eq(haven_request_collect(h, &q, 1), 0);
}

Test(client_settle, nothing_new_goes_in_front)
{
	struct haven_attributes a = {.load = 1};
	uint64_t handle = add("port0", 5);
	struct haven_request q = {.kind = HAVEN_REQUEST_UPDATE, .handle = handle, .attributes = &a};

	fake_kill(&node);
	fake_serve_ring(&node, false);
	fake_restart(&node, true);
	cr_expect_eq(haven_reattach(h), -HAVEN_EAGAIN, "the ring is not served");
	cr_expect_eq(haven_request_post(h, &q, 1), 0, "not before port0 is there");
	cr_expect_eq(haven_request_call(h, &q, 1, 1), -HAVEN_ETIMEDOUT);
	cr_expect_eq(haven_request_post(h, &q, 1), 0);
	fake_serve_ring(&node, true);
	reattach();
	expect_load(handle, 5);
	fake_serve_ring(&node, true);
	cr_expect_eq(haven_request_call(h, &q, 1, PATIENT_MS), 0);
	fake_serve_ring(&node, false);
	expect_load(handle, 1);
}

/* The next one finds neither of the former registries. */
Test(client_settle, two_nodes_that_die_one_after_the_other)
{
	uint64_t first = add("port0", 5), second = add("port1", 6);

	fake_kill(&node);
	fake_serve_ring(&node, false);
	fake_restart(&node, true);
	cr_expect_eq(haven_reattach(h), -HAVEN_EAGAIN);
	cr_expect_eq(fake_requests(&node, 1), 1, "one of two");
	restart(true);
	reattach();
	expect_load(first, 5);
	expect_load(second, 6);
}

Test(client_settle, attributes_of_a_component_with_instances_survive_a_lost_registry)
{
	struct haven_attributes a = {.health = HAVEN_HEALTH_GOOD, .load = 7, .weight = 8};
	struct haven_component *c;

	cr_assert_eq(haven_component_register(h, &nat_config, &c), 0);
	fake_serve_ring(&node, true);
	cr_assert_eq(haven_component_update(c, &a), 0);
	fake_serve_ring(&node, false);
	restart(true);
	reattach();
	expect_load(haven_component_handle(c), 7);
	cr_expect_eq(node.asked_ring[REQUEST_ADOPT], 0, "it went through the socket");
	cr_expect_eq(node.asked_ring[REQUEST_UPDATE], 2);
	restart(false);
	reattach();
	expect_load(haven_component_handle(c), 7);
	cr_expect_eq(node.asked_ring[REQUEST_UPDATE], 2, "the node still had them");
}

/* The update that restores them meets the second of two lost registries too early. */
Test(client_settle, attributes_survive_two_lost_registries)
{
	struct haven_attributes a = {.load = 7};
	struct haven_component *c;

	cr_assert_eq(haven_component_register(h, &nat_config, &c), 0);
	fake_serve_ring(&node, true);
	cr_assert_eq(haven_component_update(c, &a), 0);
	fake_serve_ring(&node, false);
	fake_kill(&node);
	fake_restart(&node, true);
	cr_expect_eq(haven_reattach(h), -HAVEN_EAGAIN);
	restart(true);
	reattach();
	expect_load(haven_component_handle(c), 7);
}

static void *thread_that_waits(void *argument)
{
	struct haven_request *q = argument;

	return (void *)(intptr_t)haven_request_call(h, q, 1, PATIENT_MS);
}

Test(client_settle, who_waits_is_told_that_the_node_is_gone)
{
	struct haven_attributes a = {.name = "port0"};
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &a};
	uint64_t until = clock_now_ns() + WAIT_NS;
	pthread_t thread;
	void *status;

	cr_assert_eq(pthread_create(&thread, NULL, thread_that_waits, &q), 0);
	while (load_acquire(&node.segment->requests.head) == 0 && clock_now_ns() < until)
		;
	fake_kill(&node);
	pthread_join(thread, &status);
	cr_expect_eq((int)(intptr_t)status, -HAVEN_ENODE);
	cr_expect_eq(q.result, -HAVEN_ENODE);
	fake_serve_ring(&node, true);
	fake_restart(&node, false);
	reattach();
	fake_serve_ring(&node, true);
	cr_expect_eq(haven_request_call(h, &q, 1, PATIENT_MS), -HAVEN_EEXIST);
	cr_expect_neq(q.handle, 0, "the next node carried it out");
}
