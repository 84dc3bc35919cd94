/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client library as an application sees it, with a node that does as it is told.
 */
#include <dirent.h>
#include <sys/syscall.h>

#include "fake_node.h"
#include "haven.h"

#define WAIT_NS (5 * NSEC_PER_SEC)

static struct fake_node node;

static const struct haven_component_config nat_config = {.name = "nat-a", .group = "nat"};
static const struct haven_table_config small_table = {.name = "flows",
						      .key_bytes = 8,
						      .value_bytes = 8,
						      .capacity = 64,
						      .lanes = 2,
						      .lane_records = 64};

struct app {
	struct haven *h;
	struct haven_component *c;
	struct haven_table *t;
	struct haven_worker *w;
};

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Mappings of this library: segments and registries. The node's own are counted too. */
static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:haven") || strstr(line, "/" REGISTRY_FILE);
	fclose(f);
	return n;
}

static void app_start(struct app *a)
{
	cr_assert_eq(haven_attach(&a->h, node.dir), 0, "%s", haven_last_error(NULL));
	cr_assert_eq(haven_component_register(a->h, &nat_config, &a->c), 0, "%s",
		     haven_last_error(a->h));
	cr_assert_eq(haven_table_create(a->c, 0, &small_table, &a->t), 0, "%s",
		     haven_last_error(a->h));
	cr_assert_eq(haven_worker_begin(a->c, &a->w), 0, "%s", haven_last_error(a->h));
	cr_assert_eq(haven_component_ready(a->c), 0, "%s", haven_last_error(a->h));
}

static void end(struct app *a)
{
	haven_detach(a->h);
	fake_kill(&node);
	fake_end(&node);
}

static unsigned poll_until(struct haven_worker *w, unsigned wanted)
{
	uint64_t until = clock_now_ns() + WAIT_NS;
	unsigned changes = 0;

	while (!(changes & wanted) && clock_now_ns() < until)
		changes |= haven_poll(w);
	return changes;
}

/* ---- attach -----------------------------------------------------------------------------------
 */

Test(client, attach_without_a_node)
{
	unsigned before = open_descriptors();
	struct haven *h = (struct haven *)&h;

	cr_expect_eq(haven_attach(&h, "/tmp/no-such-haven"), -HAVEN_ENODE);
	cr_expect_null(h);
	cr_expect_neq(haven_last_error(NULL)[0], '\0');
	cr_expect_eq(open_descriptors(), before);
	setenv("HAVEN_RUN_DIR", "/tmp/nor-this-haven", 1);
	cr_expect_eq(haven_attach(&h, NULL), -HAVEN_ENODE);
	cr_expect_not_null(strstr(haven_last_error(NULL), "/tmp/nor-this-haven"));
	haven_detach(NULL);
}

Test(client, a_failed_attach_leaves_nothing_behind)
{
	unsigned descriptors, maps;
	struct haven *h;

	fake_start(&node);
	descriptors = open_descriptors();
	maps = mappings();
	node.refuse_type = MESSAGE_ATTACH;
	node.refuse_error = -HAVEN_EVERSION;
	cr_expect_eq(haven_attach(&h, node.dir), -HAVEN_EVERSION);
	cr_expect_str_eq(haven_last_error(NULL), "refused by the test");
	cr_expect_eq(haven_error_class(-HAVEN_EVERSION), HAVEN_CLASS_GIVE_UP);
	node.refuse_type = 0;
	node.hang_up_at = MESSAGE_ATTACH;
	cr_expect_eq(haven_attach(&h, node.dir), -HAVEN_ENODE);
	node.hang_up_at = 0;
	cr_expect_eq(mappings(), maps);
	node.spoil_type = MESSAGE_ATTACH;
	cr_expect_eq(haven_attach(&h, node.dir), -HAVEN_ECORRUPT, "no registry came");
	client_segment_unmap(node.segment);
	node.segment = NULL;
	cr_expect_eq(mappings(), maps);
	fake_kill(&node);
	cr_expect_leq(open_descriptors(), descriptors);
	fake_end(&node);
}

Test(client, attach_and_detach_leave_nothing_behind)
{
	unsigned descriptors, maps;
	struct app a;

	fake_start(&node);
	descriptors = open_descriptors();
	maps = mappings();
	app_start(&a);
	cr_expect_gt(mappings(), maps);
	haven_detach(a.h);
	cr_expect_eq(node.asked[MESSAGE_DEREGISTER], 1);
	client_segment_unmap(node.segment);
	table_unmap(&node.table[0]);
	node.segment = NULL;
	node.n_tables = 0;
	cr_expect_eq(mappings(), maps);
	fake_kill(&node);
	cr_expect_lt(open_descriptors(), descriptors, "the node's own are closed, ours too");
	fake_end(&node);
}

/* ---- registration ------------------------------------------------------------------------------
 */

Test(client, register_refuses_what_is_malformed)
{
	static const char *const bad[] = {NULL,         "",    "Capital",
					  "with space", "a/b", "12345678901234567890123456789012"};
	struct haven_component *c;
	struct haven *h;

	fake_start(&node);
	cr_assert_eq(haven_attach(&h, node.dir), 0);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(bad); i++) {
		struct haven_component_config config = {.name = bad[i], .group = "nat"};

		cr_expect_eq(haven_component_register(h, &config, &c), -HAVEN_EINVAL);
		cr_expect_null(c);
		config = (struct haven_component_config){.name = "nat", .release = bad[i]};
		if (bad[i])
			cr_expect_eq(haven_component_register(h, &config, &c), -HAVEN_EINVAL);
	}
	cr_expect_eq(node.asked[MESSAGE_REGISTER], 0, "the node was not bothered");
	node.refuse_type = MESSAGE_REGISTER;
	node.refuse_error = -HAVEN_EEXIST;
	cr_expect_eq(haven_component_register(h, &nat_config, &c), -HAVEN_EEXIST);
	cr_expect_str_eq(haven_last_error(h), "refused by the test");
	node.refuse_type = 0;
	node.spoil_type = MESSAGE_REGISTER;
	cr_expect_eq(haven_component_register(h, &nat_config, &c), -HAVEN_ECORRUPT,
		     "gates beyond the registry");
	end(&(struct app){.h = h});
}

Test(client, instances_are_found_by_name)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	cr_expect_eq(haven_instance_count(a.c), 2);
	cr_expect_eq(haven_instance_find(a.c, "nat0"), 0);
	cr_expect_eq(haven_instance_find(a.c, "nat1"), 1);
	cr_expect_eq(haven_instance_find(a.c, "other0"), -HAVEN_ENOENT, "of another group");
	end(&a);
}

Test(client, look_up_tells_what_the_registry_says)
{
	struct haven_component_info info;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 1, HAVEN_SECONDARY, 4);
	cr_assert_eq(haven_lookup(a.w, "nat-a", &info), 0);
	cr_expect_str_eq(info.name, "nat-a");
	cr_expect_str_eq(info.group, "nat");
	cr_expect_str_eq(info.release, "1.0");
	cr_expect_eq(info.pid, getpid());
	cr_expect_eq(info.instances, 2);
	cr_expect_eq(info.role[1], HAVEN_SECONDARY);
	cr_expect_eq(haven_lookup(a.w, "nobody", &info), -HAVEN_ENOENT);
	end(&a);
}

Test(client, a_component_with_workers_stays)
{
	struct app a;

	fake_start(&node);
	app_start(&a);
	cr_expect_eq(haven_component_deregister(a.c), -HAVEN_EINVAL);
	haven_worker_end(a.w);
	cr_expect_eq(haven_component_deregister(a.c), 0);
	cr_expect_eq(node.asked[MESSAGE_DEREGISTER], 1);
	end(&a);
}

Test(client, tables_are_refused_with_a_reason)
{
	struct haven_table_config config = small_table;
	struct haven_table *t;
	struct app a;
	unsigned maps;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	maps = mappings();
	cr_expect_eq(haven_table_create(a.c, 2, &config, &t), -HAVEN_EINVAL, "no such instance");
	config.key_bytes = 0;
	cr_expect_eq(haven_table_create(a.c, 0, &config, &t), -HAVEN_EINVAL);
	config = small_table;
	config.name = "no name";
	cr_expect_eq(haven_table_create(a.c, 0, &config, &t), -HAVEN_EINVAL);
	cr_expect_eq(node.asked[MESSAGE_CHECKPOINT], 0);
	node.refuse_type = MESSAGE_CHECKPOINT;
	node.refuse_error = -HAVEN_EFULL;
	cr_expect_eq(haven_table_create(a.c, 0, &small_table, &t), -HAVEN_EFULL);
	cr_expect_eq(mappings(), maps);
	node.refuse_type = 0;
	cr_expect_eq(haven_table_create(a.c, 0, &small_table, &t), 0);
	cr_expect_eq(haven_table_create(a.c, 0, &small_table, &t), -HAVEN_EEXIST);
	cr_expect_null(t);
	node.spoil_type = MESSAGE_CHECKPOINT;
	cr_expect_eq(haven_table_create(a.c, 1, &small_table, &t), -HAVEN_ECORRUPT,
		     "lanes beyond the registry");
	node.spoil_type = 0;
	cr_expect_eq(haven_component_ready(a.c), 0);
	config = small_table;
	config.name = "late";
	cr_expect_eq(haven_table_create(a.c, 0, &config, &t), -HAVEN_EREFUSED);
	end(&a);
}

/* ---- workers ------------------------------------------------------------------------------------
 */

Test(client, workers_take_the_lowest_free_lane)
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

Test(client, a_worker_that_is_not_watched_is_none)
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

Test(client, a_worker_thread_that_dies_is_marked)
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

Test(client, a_role_is_confirmed_and_then_acted_on)
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

Test(client, the_gate_shuts_without_a_poll_and_the_baton_does_not)
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

Test(client, a_role_that_changed_twice_between_polls_is_not_the_old_one)
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

Test(client, a_lease_that_ended_shuts_the_gate)
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

Test(client, a_poll_tells_progress_and_quiescence)
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

/* ---- tables
 * --------------------------------------------------------------------------------------- */

Test(client, a_commit_reaches_the_node_and_its_acknowledgement_comes_back)
{
	uint64_t room[16];
	struct table_record *got = (struct table_record *)(void *)room;
	uint8_t value[8];
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_expect_eq(haven_put(a.w, a.t, "key00001", "value001"), 0);
	cr_expect_eq(haven_put(a.w, a.t, "key00002", "value002"), 0);
	cr_expect_eq(table_committed(&node.table[0], 0), 0, "nothing is told before the commit");
	cr_expect_eq(haven_commit(a.w, a.t), 2);
	cr_expect_eq(haven_commit(a.w, a.t), 2, "without changes the same");
	cr_expect_eq(table_committed(&node.table[0], 0), 2);
	cr_assert_eq(table_read_record(&node.table[0], 0, 2, got), 0);
	cr_expect_eq(got->op, TABLE_OP_PUT);
	cr_expect_eq(got->flags, TABLE_RECORD_COMMIT);
	cr_expect_arr_eq(got->data, "key00002value002", 16);
	cr_expect_eq(haven_acked(a.w, a.t), 0);
	store_release(&fake_lane(&node, 0, 0)->acked_seq, 2);
	cr_expect_eq(haven_acked(a.w, a.t), 2);
	cr_expect_eq(haven_get(a.w, a.t, "key00001", value), 0);
	cr_expect_arr_eq(value, "value001", 8);
	cr_expect_eq(haven_get_lane(a.t, 1, "key00001", value), -HAVEN_ENOENT);
	cr_expect_eq(haven_get_lane(a.t, 2, "key00001", value), -HAVEN_EINVAL);
	cr_expect_eq(haven_delete(a.w, a.t, "key00001"), 0);
	cr_expect_eq(haven_delete(a.w, a.t, "key00001"), -HAVEN_ENOENT);
	cr_expect_eq(haven_table_count(a.t, 0), 1);
	end(&a);
}

Test(client, a_full_log_waits_for_the_node)
{
	unsigned put = 0;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	while (put < 1000 && haven_put(a.w, a.t, "key00001", "value001") == 0) {
		haven_commit(a.w, a.t);
		put++;
	}
	cr_expect_eq(put, 64, "the log's records");
	store_release(&fake_lane(&node, 0, 0)->consumed_seq, 10);
	for (put = 0; put < 1000 && haven_put(a.w, a.t, "key00001", "value001") == 0; put++)
		haven_commit(a.w, a.t);
	cr_expect_eq(put, 10);
	end(&a);
}

Test(client, a_new_primary_goes_on_where_the_replica_stood)
{
	uint8_t entry[64][16], value[8];
	uint32_t cursor = 0;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_SECONDARY, 8);
	haven_poll(a.w);
	for (uint64_t seq = 1; seq <= 20; seq++) {
		char key[9];

		snprintf(key, sizeof(key), "key%05u", (unsigned)seq);
		cr_assert_eq(table_apply(&node.table[0], 0, TABLE_OP_PUT, seq, key, "replica0"), 0);
	}
	table_applied(&node.table[0], 0, 20);
	store_release(&fake_lane(&node, 0, 0)->consumed_seq, 20);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_expect_eq(haven_table_count(a.t, 0), 20);
	cr_expect_eq(haven_get(a.w, a.t, "key00007", value), 0);
	cr_expect_arr_eq(value, "replica0", 8);
	cr_expect_eq(haven_put(a.w, a.t, "key00007", "primary0"), 0);
	cr_expect_eq(haven_commit(a.w, a.t), 21);
	cr_expect_eq(haven_table_scan(a.t, 0, &cursor, entry, 7), 7);
	cr_expect_eq(haven_table_scan(a.t, 0, &cursor, entry + 7, 64 - 7), 13);
	cr_expect_eq(haven_table_scan(a.t, 0, &cursor, entry, 64), 0);
	for (unsigned i = 0; i < 20; i++)
		for (unsigned k = 0; k < i; k++)
			cr_expect_neq(memcmp(entry[i], entry[k], 8), 0, "each entry once");
	cr_expect_eq(haven_table_scan(a.t, 2, &cursor, entry, 64), 0);
	end(&a);
}

Test(client, tables_of_another_component_or_lane_are_out_of_reach)
{
	const struct haven_component_config second = {.name = "nat-b", .group = "nat"};
	struct haven_table_config one_lane = small_table;
	struct haven_component *c;
	struct haven_worker *w;
	struct haven_table *t;
	struct app a;

	fake_start(&node);
	app_start(&a);
	one_lane.lanes = 1;
	cr_assert_eq(haven_component_register(a.h, &second, &c), 0);
	cr_assert_eq(haven_table_create(c, 0, &one_lane, &t), 0);
	cr_assert_eq(haven_worker_begin(c, &w), 0);
	cr_expect_eq(haven_worker_lane(w), 1);
	cr_expect_eq(haven_put(a.w, t, "key00001", "value001"), -HAVEN_EINVAL);
	cr_expect_eq(haven_put(w, t, "key00001", "value001"), -HAVEN_EINVAL, "it has one lane");
	cr_expect_eq(haven_acked(w, t), 0);
	cr_expect_eq(haven_commit(w, t), 0);
	end(&a);
}

/* ---- a node that goes away
 * ---------------------------------------------------------------------------- */

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

Test(client, the_death_of_the_node_is_noticed)
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

Test(client, the_orderly_end_of_the_node_is_noticed_at_once)
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

Test(client, a_node_that_dies_within_a_call_is_an_error_of_that_call)
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
Test(client, detach_and_end_in_any_order)
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

Test(client, every_error_has_a_sentence)
{
	for (int i = 0; i < HAVEN_ERROR_COUNT; i++) {
		cr_expect_str_eq(haven_strerror(i), haven_strerror(-i));
		cr_expect_eq(haven_error_class(i), haven_error_class(-i));
		cr_expect_neq(haven_strerror(i)[0], '\0');
	}
}
