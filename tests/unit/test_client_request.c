/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Components without instances: told through the request ring, waiting or not.
 */
#include "client_app.h"

#define PATIENT_MS 5000
#define MANY 1000u

static struct haven *h;

static const struct haven_attributes port = {.name = "port0",
					     .group = "ports",
					     .release = "2.0",
					     .kind = HAVEN_KIND_PORT,
					     .state = HAVEN_SPARE,
					     .health = HAVEN_HEALTH_GOOD,
					     .load = 250000,
					     .weight = 3,
					     .format_read_min = 1,
					     .format_read_max = 2,
					     .format_write = 2,
					     .n_depends = 1,
					     .depends = {99}};

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
TestSuite(client_request, .init = begin, .fini = finish);

static int call_one(struct haven_request *q)
{
	return haven_request_call(h, q, 1, PATIENT_MS);
}

Test(client_request, add_update_remove)
{
	struct haven_attributes a = port;
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &a};
	struct registry_component c;

	fake_serve_ring(&node, true);
	cr_assert_eq(call_one(&q), 0);
	cr_expect_neq(q.handle, 0);
	cr_assert_eq(registry_get_copy(&node.registry, q.handle, &c), 0);
	cr_expect_str_eq(c.hot.name, "port0");
	cr_expect_str_eq(c.cold.group, "ports");
	cr_expect_str_eq(c.cold.release, "2.0");
	cr_expect_eq(c.hot.kind, HAVEN_KIND_PORT);
	cr_expect_eq(c.hot.state, HAVEN_SPARE);
	cr_expect_eq(c.hot.health, HAVEN_HEALTH_GOOD);
	cr_expect_eq(c.hot.load, 250000);
	cr_expect_eq(c.hot.weight, 3);
	cr_expect_eq(c.cold.format_read_min, 1);
	cr_expect_eq(c.cold.format_read_max, 2);
	cr_expect_eq(c.cold.format_write, 2);
	cr_expect_eq(c.cold.n_depends, 1);
	cr_expect_eq(c.cold.depends[0], 99);
	q.kind = HAVEN_REQUEST_UPDATE;
	a.health = HAVEN_HEALTH_FAILED;
	cr_assert_eq(call_one(&q), 0);
	cr_assert_eq(registry_get_copy(&node.registry, q.handle, &c), 0);
	cr_expect_eq(c.hot.health, HAVEN_HEALTH_FAILED);
	q.kind = HAVEN_REQUEST_REMOVE;
	cr_assert_eq(call_one(&q), 0);
	cr_expect_eq(registry_get_copy(&node.registry, q.handle, &c), -HAVEN_ESTALE);
	cr_expect_eq(call_one(&q), -HAVEN_ESTALE);
	cr_expect_eq(q.result, -HAVEN_ESTALE);
}

/* More than the ring holds, each answer with its request. */
Test(client_request, a_batch_of_any_length)
{
	static struct haven_request q[MANY];
	static struct haven_attributes a[MANY];
	static char name[MANY][16];

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name[i], sizeof(name[i]), "flow.%u", i);
		a[i] = (struct haven_attributes){.name = name[i], .load = i};
		q[i] = (struct haven_request){.kind = HAVEN_REQUEST_ADD, .attributes = &a[i]};
	}
	fake_serve_ring(&node, true);
	cr_assert_eq(haven_request_call(h, q, MANY, PATIENT_MS), 0);
	for (unsigned i = 0; i < MANY; i++) {
		struct registry_component c;

		cr_assert_eq(q[i].result, 0);
		cr_assert_eq(registry_get_copy(&node.registry, q[i].handle, &c), 0);
		cr_assert_str_eq(c.hot.name, name[i]);
		cr_assert_eq(c.hot.load, i);
	}
	cr_expect_eq(haven_request_call(h, q, 0, 0), 0);
}

Test(client_request, what_is_malformed_is_refused_alone)
{
	struct haven_attributes good = port,
				bad[] = {port, port, port, port, port, port, port, port, port};
	struct haven_request q[HAVEN_ARRAY_LEN(bad) + 4];
	unsigned n = 0;

	bad[0].name = "no name";
	bad[1].name = NULL;
	bad[2].kind = HAVEN_KIND_COUNT;
	bad[3].state = (enum haven_role)HAVEN_ROLE_COUNT;
	bad[4].health = (enum haven_health)HAVEN_HEALTH_COUNT;
	bad[5].load = HAVEN_LOAD_MAX + 1;
	bad[6].n_depends = HAVEN_DEPENDS_MAX + 1;
	bad[7].format_read_min = 3;
	bad[8].n_depends = 2;
	for (; n < HAVEN_ARRAY_LEN(bad); n++)
		q[n] = (struct haven_request){.kind = HAVEN_REQUEST_ADD, .attributes = &bad[n]};
	q[n++] = (struct haven_request){.kind = HAVEN_REQUEST_ADD};
	q[n++] = (struct haven_request){.kind = HAVEN_REQUEST_UPDATE, .handle = 1};
	q[n++] = (struct haven_request){.kind = (enum haven_request_kind)4, .attributes = &good};
	q[n++] = (struct haven_request){.kind = HAVEN_REQUEST_ADD, .attributes = &good};
	fake_serve_ring(&node, true);
	cr_expect_eq(haven_request_call(h, q, n, PATIENT_MS), -HAVEN_EINVAL);
	for (unsigned i = 0; i + 1 < n; i++)
		cr_expect_eq(q[i].result, -HAVEN_EINVAL, "number %u", i);
	cr_expect_eq(q[n - 1].result, 0, "the last is good");
	cr_expect_eq(node.asked_ring[REQUEST_ADD], 1, "the node was not bothered with the rest");
	cr_expect_eq(haven_request_post(h, q, n), -HAVEN_EINVAL);
}

Test(client_request, an_answer_that_does_not_come)
{
	struct haven_attributes a = port, other = port;
	struct haven_request q[2] = {{.kind = HAVEN_REQUEST_ADD, .attributes = &a},
				     {.kind = HAVEN_REQUEST_ADD, .attributes = &other}};
	struct registry_component c;

	other.name = "port1";
	cr_expect_eq(haven_request_call(h, q, 2, 1), -HAVEN_ETIMEDOUT);
	cr_expect_eq(q[0].result, -HAVEN_ETIMEDOUT);
	cr_expect_eq(q[1].result, -HAVEN_ETIMEDOUT);
	cr_expect_eq(fake_requests(&node, 10), 2, "carried out later");
	/* Asked again: it is there, and whose it is, is known. */
	fake_serve_ring(&node, true);
	cr_expect_eq(call_one(&q[0]), -HAVEN_EEXIST);
	cr_assert_eq(registry_find_copy(&node.registry, "port0", &c), 0);
	cr_expect_eq(q[0].handle, c.hot.handle);
	q[0].kind = HAVEN_REQUEST_REMOVE;
	cr_expect_eq(call_one(&q[0]), 0);
}

Test(client_request, a_name_of_another_process)
{
	struct registry_component c = {.hot.name = "port0", .cold.pid = getppid()};
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &port};

	cr_assert_eq(registry_add(&node.registry, &c, NULL), 0);
	fake_serve_ring(&node, true);
	cr_expect_eq(call_one(&q), -HAVEN_EEXIST);
	cr_expect_eq(q.handle, 0);
}

Test(client_request, posting_never_waits)
{
	struct haven_request q[REQUEST_SLOTS + 10], got[REQUEST_SLOTS + 10];
	struct haven_attributes a = {.health = HAVEN_HEALTH_GOOD};

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(q); i++)
		q[i] = (struct haven_request){.kind = HAVEN_REQUEST_UPDATE,
					      .handle = i + 1,
					      .attributes = &a,
					      .tag = 1000 + i};
	cr_expect_eq(haven_request_collect(h, got, 10), 0);
	cr_expect_eq(haven_request_post(h, q, HAVEN_ARRAY_LEN(q)), REQUEST_SLOTS, "the ring");
	cr_expect_eq(haven_request_post(h, q, 1), 0, "no room");
	cr_expect_eq(haven_request_collect(h, got, 10), 0, "no answer yet");
	cr_expect_eq(fake_requests(&node, 20), 20);
	cr_expect_eq(haven_request_post(h, q, 1), 0, "20 answers wait to be collected");
	cr_expect_eq(haven_request_collect(h, got, 5), 5);
	cr_expect_eq(haven_request_collect(h, got + 5, REQUEST_SLOTS), 15);
	for (unsigned i = 0; i < 20; i++) {
		cr_expect_eq(got[i].kind, HAVEN_REQUEST_UPDATE);
		cr_expect_eq(got[i].tag, 1000 + i);
		cr_expect_eq(got[i].handle, i + 1);
		cr_expect_eq(got[i].result, -HAVEN_ESTALE);
		cr_expect_null(got[i].attributes);
	}
	cr_expect_eq(haven_request_post(h, q + REQUEST_SLOTS, 10), 10);
	cr_expect_eq(haven_request_post(h, q, 11), 10);
	cr_expect_eq(haven_request_post(h, q, 1), 0);
	cr_expect_eq(fake_requests(&node, UINT32_MAX), REQUEST_SLOTS);
	cr_expect_eq(haven_request_collect(h, got, HAVEN_ARRAY_LEN(got)), REQUEST_SLOTS);
	cr_expect_eq(got[REQUEST_SLOTS - 20].tag, 1000 + REQUEST_SLOTS);
}

Test(client_request, those_who_wait_and_those_who_post_get_their_own)
{
	struct haven_attributes a = port;
	struct haven_request posted = {.kind = HAVEN_REQUEST_UPDATE,
				       .handle = 5,
				       .attributes = &a,
				       .tag = 42},
			     called = {.kind = HAVEN_REQUEST_ADD, .attributes = &a}, got[4];

	cr_assert_eq(haven_request_post(h, &posted, 1), 1);
	fake_serve_ring(&node, true);
	cr_expect_eq(call_one(&called), 0);
	cr_expect_eq(haven_request_collect(h, got, 4), 1);
	cr_expect_eq(got[0].tag, 42);
	cr_expect_eq(got[0].result, -HAVEN_ESTALE);
}

Test(client_request, a_full_ring_makes_a_caller_wait_not_fail)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_REMOVE, .handle = 7, .tag = 1}, got;
	struct haven_request called = {.kind = HAVEN_REQUEST_ADD, .attributes = &port};

	for (unsigned i = 0; i < REQUEST_SLOTS; i++)
		cr_assert_eq(haven_request_post(h, &q, 1), 1);
	cr_expect_eq(haven_request_call(h, &called, 1, 1), -HAVEN_ETIMEDOUT);
	fake_serve_ring(&node, true);
	cr_expect_eq(call_one(&called), 0);
	for (unsigned i = 0; i < REQUEST_SLOTS; i++)
		cr_assert_eq(haven_request_collect(h, &got, 1), 1);
	cr_expect_eq(haven_request_collect(h, &got, 1), 0);
}

Test(client_request, a_node_that_is_gone)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &port};

	fake_kill(&node);
	cr_expect_eq(call_one(&q), -HAVEN_ENODE);
	cr_expect_eq(q.result, -HAVEN_ENODE);
	fake_restart(&node, false);
}

Test(client_request, answers_that_cannot_be)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &port};

	store_release(&node.registry.clients[1].answered, 17);
	cr_expect_eq(call_one(&q), -HAVEN_ENODE, "nothing more is taken from this node");
	cr_expect_eq(haven_component_register(h, &nat_config, &(struct haven_component *){NULL}),
		     -HAVEN_ENODE);
}

Test(client_request, an_error_that_does_not_exist)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_ADD, .attributes = &port};

	node.ring_refusal = -1000;
	fake_serve_ring(&node, true);
	cr_expect_eq(call_one(&q), -HAVEN_ECORRUPT);
}

Test(client_request, attributes_of_a_component_with_instances)
{
	struct haven_attributes a = port;
	struct haven_component_config config = nat_config;
	struct haven_component *c;
	struct registry_component shown;

	config.attributes = &a;
	fake_serve_ring(&node, true);
	cr_assert_eq(haven_component_register(h, &config, &c), 0, "%s", haven_last_error(h));
	cr_assert_eq(registry_get_copy(&node.registry, haven_component_handle(c), &shown), 0);
	cr_expect_eq(shown.hot.load, 250000);
	cr_expect_eq(shown.cold.depends[0], 99);
	a.load = 1;
	cr_expect_eq(haven_component_update(c, &a), 0);
	cr_assert_eq(registry_get_copy(&node.registry, haven_component_handle(c), &shown), 0);
	cr_expect_eq(shown.hot.load, 1);
	a.load = HAVEN_LOAD_MAX + 1;
	cr_expect_eq(haven_component_update(c, &a), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(haven_last_error(h), "nat-a"));
	config.name = "nat-b";
	cr_expect_eq(haven_component_register(h, &config, &c), -HAVEN_EINVAL);
	cr_expect_null(c, "without them it is not what was asked for");
	cr_expect_eq(registry_find_copy(&node.registry, "nat-b", &shown), -HAVEN_ENOENT);
}
