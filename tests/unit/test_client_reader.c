/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers and look-ups: what is found, and how long it stays.
 */
#include "client_app.h"

static struct haven *h;
static struct haven_reader *r;

static uint64_t add(const char *name, uint32_t load)
{
	struct registry_component c = {.hot.load = load, .cold.pid = getpid()};

	snprintf(c.hot.name, sizeof(c.hot.name), "%s", name);
	cr_assert_eq(registry_add(&node.registry, &c, NULL), 0);
	return c.hot.handle;
}

static void update(uint64_t handle, uint32_t load)
{
	struct registry_component c;

	cr_assert_eq(registry_get_copy(&node.registry, handle, &c), 0);
	c.hot.load = load;
	cr_assert_eq(registry_update(&node.registry, &c, &node.rcu), 0);
}

/* True when the node may reuse all that was replaced. */
static bool reusable(void)
{
	registry_reclaim(&node.registry, &node.rcu);
	return node.rcu.grace_from_ns == 0;
}

static void begin(void)
{
	fake_start(&node);
	cr_assert_eq(haven_attach(&h, node.dir), 0);
	cr_assert_eq(haven_reader_begin(h, &r), 0, "%s", haven_last_error(h));
}

static void finish(void)
{
	haven_detach(h);
	fake_kill(&node);
	fake_end(&node);
}
TestSuite(client_reader, .init = begin, .fini = finish);

Test(client_reader, readers_leave_the_lanes_to_workers)
{
	struct haven_component *c;
	struct haven_worker *w;

	cr_expect_eq(node.newest_worker, HAVEN_WORKERS_MAX - 1);
	cr_expect_eq(node.worker_component[HAVEN_WORKERS_MAX - 1], 0, "of no component");
	cr_assert_eq(haven_component_register(h, &nat_config, &c), 0);
	cr_assert_eq(haven_worker_begin(c, &w), 0);
	cr_expect_eq(haven_worker_lane(w), 0);
	cr_expect_eq(node.worker_component[0], haven_component_handle(c));
}

Test(client_reader, what_is_found_in_a_section_stays)
{
	uint64_t handle = add("port0", 10);
	const struct haven_component_view *v;

	haven_reader_enter(r);
	v = haven_find(r, "port0");
	cr_assert_not_null(v);
	update(handle, 20);
	cr_expect_not(reusable());
	cr_expect_eq(v->load, 10, "as it was");
	cr_expect_eq(haven_find(r, "port0")->load, 20);
	haven_reader_leave(r);
	cr_expect(reusable());
}

Test(client_reader, sections_nest)
{
	uint64_t handle = add("port0", 10);

	haven_reader_enter(r);
	haven_reader_enter(r);
	update(handle, 20);
	haven_reader_leave(r);
	cr_expect_not(reusable());
	haven_reader_leave(r);
	cr_expect(reusable());
	haven_reader_leave(r);
	haven_reader_enter(r);
	update(handle, 30);
	cr_expect_not(reusable(), "one leave too many does no harm");
	haven_reader_leave(r);
}

Test(client_reader, outside_of_sections_nothing_is_held)
{
	uint64_t handle = add("port0", 10);

	update(handle, 20);
	cr_expect(reusable());
	haven_reader_end(r);
	cr_assert_eq(haven_reader_begin(h, &r), 0);
	update(handle, 30);
	cr_expect(reusable());
}

Test(client_reader, a_worker_reads_until_its_next_poll)
{
	uint64_t handle = add("port0", 10);
	const struct haven_component_view *v;
	struct haven_reader *reader;
	struct haven_component *c;
	struct haven_worker *w;

	cr_assert_eq(haven_component_register(h, &nat_config, &c), 0);
	cr_assert_eq(haven_worker_begin(c, &w), 0);
	reader = haven_worker_reader(w);
	haven_reader_enter(reader);
	v = haven_find(reader, "port0");
	haven_reader_leave(reader);
	update(handle, 20);
	cr_expect_not(reusable(), "leave is for others");
	cr_expect_eq(v->load, 10);
	haven_poll(w);
	cr_expect(reusable());
	haven_reader_end(reader);
	cr_expect_eq(haven_poll(w), 0, "it is still a worker");
}

Test(client_reader, by_name_key_and_handle)
{
	uint64_t handle = add("link.a", 1);
	struct haven_key key;

	haven_reader_enter(r);
	cr_assert(haven_key_set(&key, "link.a"));
	cr_expect_eq(haven_find_key(r, &key), haven_find(r, "link.a"));
	cr_expect_eq(haven_find_handle(r, handle), haven_find(r, "link.a"));
	cr_expect_null(haven_find(r, "link.b"));
	cr_expect_null(haven_find(r, ""));
	cr_expect_null(haven_find(r, "a-name-that-has-more-than-31-bytes"));
	cr_expect_not(haven_key_set(&key, "a-name-that-has-more-than-31-bytes"));
	cr_expect_not(haven_key_set(&key, ""));
	registry_remove(&node.registry, handle, &node.rcu);
	cr_expect_null(haven_find_handle(r, handle), "stale");
	cr_expect_null(haven_find(r, "link.a"));
	cr_expect_neq(add("link.a", 1), handle);
	cr_expect_null(haven_find_handle(r, handle), "stale for ever");
	haven_reader_leave(r);
}

Test(client_reader, many_at_once)
{
	const struct haven_component_view *out[HAVEN_BULK_MAX + 1];
	struct haven_key key[HAVEN_BULK_MAX + 1];
	const struct haven_key *keys[HAVEN_BULK_MAX + 1];
	char name[HAVEN_NAME_MAX];

	for (unsigned i = 0; i <= HAVEN_BULK_MAX; i++) {
		snprintf(name, sizeof(name), "shard%u", i);
		if (i % 2 == 0)
			add(name, i);
		haven_key_set(&key[i], name);
		keys[i] = &key[i];
	}
	haven_reader_enter(r);
	out[HAVEN_BULK_MAX] = (const struct haven_component_view *)(const void *)&out;
	cr_expect_eq(haven_find_bulk(r, keys, HAVEN_BULK_MAX + 1, out), HAVEN_BULK_MAX / 2);
	cr_expect_eq((const void *)out[HAVEN_BULK_MAX], (const void *)&out, "not looked at");
	for (unsigned i = 0; i < HAVEN_BULK_MAX; i++) {
		cr_assert_eq(out[i] != NULL, i % 2 == 0);
		if (out[i])
			cr_expect_eq(out[i]->load, i);
	}
	cr_expect_eq(haven_find_bulk(r, keys, 0, out), 0);
	haven_reader_leave(r);
}

Test(client_reader, all_of_them_once_each)
{
	const struct haven_component_view *v;
	uint32_t cursor = 0, seen = 0;

	for (unsigned i = 0; i < 20; i++) {
		char name[HAVEN_NAME_MAX];

		snprintf(name, sizeof(name), "core%u", i);
		add(name, 1u << i);
	}
	haven_reader_enter(r);
	while ((v = haven_next(r, &cursor))) {
		cr_expect_eq(seen & v->load, 0);
		seen |= v->load;
	}
	haven_reader_leave(r);
	cr_expect_eq(seen, (1u << 20) - 1);
}

Test(client_reader, everything_that_is_told_can_be_read)
{
	struct registry_component c = {.hot = {.name = "lcore3",
					       .kind = HAVEN_KIND_LCORE,
					       .state = HAVEN_SPARE,
					       .health = HAVEN_HEALTH_DEGRADED,
					       .flags = REGISTRY_READY,
					       .load = 500000,
					       .weight = 7},
				       .cold = {.group = "cores",
						.release = "2.1",
						.pid = 4711,
						.format_read_min = 3,
						.format_read_max = 5,
						.format_write = 4,
						.n_depends = 2,
						.depends = {77, 88}}};
	const struct haven_component_view *v;
	struct haven_component_info info;

	cr_assert_eq(registry_add(&node.registry, &c, NULL), 0);
	haven_reader_enter(r);
	v = haven_find(r, "lcore3");
	cr_assert_not_null(v);
	cr_expect_eq(v->handle, c.hot.handle);
	cr_expect_eq(v->kind, HAVEN_KIND_LCORE);
	cr_expect_eq(v->state, HAVEN_SPARE);
	cr_expect_eq(v->health, HAVEN_HEALTH_DEGRADED);
	cr_expect_eq(v->flags, HAVEN_VIEW_READY);
	cr_expect_str_eq(v->name, "lcore3");
	cr_expect_eq(v->load, 500000);
	cr_expect_eq(v->weight, 7);
	cr_expect_eq(v->instances, 0);
	haven_describe(r, v, &info);
	haven_reader_leave(r);
	cr_expect_str_eq(info.name, "lcore3");
	cr_expect_str_eq(info.group, "cores");
	cr_expect_str_eq(info.release, "2.1");
	cr_expect_eq(info.handle, c.hot.handle);
	cr_expect_eq(info.pid, 4711);
	cr_expect_eq(info.kind, HAVEN_KIND_LCORE);
	cr_expect_eq(info.state, HAVEN_SPARE);
	cr_expect_eq(info.health, HAVEN_HEALTH_DEGRADED);
	cr_expect_eq(info.ready, 1);
	cr_expect_eq(info.load, 500000);
	cr_expect_eq(info.weight, 7);
	cr_expect_eq(info.format_read_min, 3);
	cr_expect_eq(info.format_read_max, 5);
	cr_expect_eq(info.format_write, 4);
	cr_expect_eq(info.n_depends, 2);
	cr_expect_eq(info.depends[1], 88);
}

Test(client_reader, one_load_tells_whether_anything_changed)
{
	uint64_t before = haven_changes(r), handle;

	cr_expect_eq(haven_changes(r), before);
	handle = add("port0", 1);
	cr_expect_neq(haven_changes(r), before);
	before = haven_changes(r);
	update(handle, 2);
	cr_expect_neq(haven_changes(r), before);
	before = haven_changes(r);
	registry_remove(&node.registry, handle, &node.rcu);
	cr_expect_neq(haven_changes(r), before);
}

static void expect_change(struct haven_watch *watch, enum haven_watch_kind kind, uint64_t handle)
{
	struct haven_component_change change;

	cr_assert_eq(haven_watch_next(r, watch, &change), 1);
	cr_expect_eq(change.kind, kind);
	cr_expect_eq(change.handle, handle);
	cr_expect_str_eq(change.name, "port0");
}

Test(client_reader, changes_are_told_one_by_one)
{
	struct haven_component_change change;
	struct haven_watch watch;
	uint64_t handle;

	add("before", 0);
	haven_reader_enter(r);
	haven_watch_begin(r, &watch);
	cr_expect_eq(haven_watch_next(r, &watch, &change), 0);
	handle = add("port0", 1);
	update(handle, 2);
	registry_remove(&node.registry, handle, &node.rcu);
	expect_change(&watch, HAVEN_WATCH_ADDED, handle);
	expect_change(&watch, HAVEN_WATCH_UPDATED, handle);
	expect_change(&watch, HAVEN_WATCH_REMOVED, handle);
	cr_expect_eq(haven_watch_next(r, &watch, &change), 0);
	cr_expect_eq(watch.missed, 0);
	haven_reader_leave(r);
}

Test(client_reader, who_is_too_slow_is_told_how_much_he_missed)
{
	struct haven_component_change change;
	unsigned told = 0, made = node.registry.shape.changes + 10;
	struct haven_watch watch;
	uint64_t handle = add("port0", 0);

	haven_watch_begin(r, &watch);
	for (uint32_t i = 1; i <= made; i++) {
		update(handle, i);
		registry_reclaim(&node.registry, &node.rcu);
	}
	while (haven_watch_next(r, &watch, &change) == 1)
		told++;
	cr_expect_eq(watch.missed + told, made);
	cr_expect_geq(watch.missed, 10);
}

static void *thread_that_forgets(void *argument)
{
	(void)argument;
	return (void *)(intptr_t)haven_reader_begin(h, &(struct haven_reader *){NULL});
}

static void lose_a_reader(void)
{
	pthread_t thread;
	void *status;

	cr_assert_eq(pthread_create(&thread, NULL, thread_that_forgets, NULL), 0);
	cr_assert_eq(pthread_join(thread, &status), 0);
	cr_assert_eq(status, NULL);
}

Test(client_reader, slots_that_are_lost_are_told)
{
	struct haven_reader *more;
	struct haven_component *c;
	struct haven_worker *w;

	cr_assert_eq(haven_component_register(h, &nat_config, &c), 0);
	cr_assert_eq(haven_worker_begin(c, &w), 0);
	for (unsigned i = 2; i < HAVEN_WORKERS_MAX; i++)
		lose_a_reader();
	cr_expect_eq(haven_reader_begin(h, &more), -HAVEN_EFULL);
	cr_expect_null(more);
	cr_expect_not_null(strstr(haven_last_error(h), "1 by workers, 1 by readers, 6 lost"), "%s",
			   haven_last_error(h));
	cr_expect_eq(haven_poll(w) & HAVEN_CHANGE_NODE, 0, "the others go on");
	haven_reader_enter(r);
	cr_expect_not_null(haven_find(r, "nat-a"));
	haven_reader_leave(r);
	haven_reader_end(r);
	cr_expect_eq(haven_reader_begin(h, &r), 0, "a slot that was given back is free");
}

Test(client_reader, a_reader_that_is_not_watched_is_none)
{
	struct haven_reader *more;

	node.refuse_type = MESSAGE_WORKER;
	node.refuse_error = -HAVEN_EFULL;
	cr_expect_eq(haven_reader_begin(h, &more), -HAVEN_EFULL);
	cr_expect_null(more);
	cr_expect_eq(node.segment->worker[HAVEN_WORKERS_MAX - 2].state, CLIENT_WORKER_ENDED);
	haven_reader_end(NULL);
}
