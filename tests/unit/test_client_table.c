/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tables as an application uses them, with a node that does as it is told.
 */
#include "client_app.h"

Test(client_table, a_commit_reaches_the_node_and_its_acknowledgement_comes_back)
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

Test(client_table, a_full_log_waits_for_the_node)
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

Test(client_table, a_full_table_refuses_new_keys_and_keeps_what_it_has)
{
	char key[9], value[9];
	uint64_t seq;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	for (unsigned i = 0; i < 32; i++) {
		snprintf(key, sizeof(key), "key%05u", i);
		cr_assert_eq(haven_put(a.w, a.t, key, "value001"), 0, "its half of 64 entries");
	}
	seq = haven_commit(a.w, a.t);
	cr_expect_eq(haven_put(a.w, a.t, "key00032", "value001"), -HAVEN_EFULL);
	cr_expect_eq(haven_commit(a.w, a.t), seq, "the refused one is in no commit");
	cr_expect_eq(haven_table_count(a.t, 0), 32);
	cr_expect_eq(haven_put(a.w, a.t, "key00007", "value002"), 0, "one that is there");
	cr_expect_eq(haven_delete(a.w, a.t, "key00000"), 0);
	cr_expect_eq(haven_put(a.w, a.t, "key00032", "value003"), 0);
	cr_expect_eq(haven_commit(a.w, a.t), seq + 3);
	for (unsigned i = 1; i <= 32; i++) {
		snprintf(key, sizeof(key), "key%05u", i);
		cr_assert_eq(haven_get(a.w, a.t, key, value), 0);
		cr_expect_arr_eq(value, i == 7 ? "value002" : i == 32 ? "value003" : "value001", 8);
	}
	end(&a);
}

Test(client_table, who_is_not_primary_changes_nothing_and_publishes_nothing)
{
	static const enum haven_role roles[] = {HAVEN_OFFLINE, HAVEN_SPARE, HAVEN_SECONDARY};
	uint64_t digest, epoch = 10;
	struct app a;

	fake_start(&node);
	app_start(&a);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	cr_assert_eq(haven_put(a.w, a.t, "key00001", "value001"), 0);
	cr_assert_eq(haven_commit(a.w, a.t), 1);
	digest = table_digest(&node.table[0], 0);
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(roles); i++) {
		fake_role(&node, 0, roles[i], epoch++);
		haven_poll(a.w);
		cr_expect_eq(haven_put(a.w, a.t, "key00001", "value002"), -HAVEN_EROLE);
		cr_expect_eq(haven_put(a.w, a.t, "key00002", "value002"), -HAVEN_EROLE);
		cr_expect_eq(haven_delete(a.w, a.t, "key00001"), -HAVEN_EROLE);
		cr_expect_eq(haven_commit(a.w, a.t), 1, "the last one of its own time");
		cr_expect_eq(table_committed(&node.table[0], 0), 1);
		cr_expect_eq(table_digest(&node.table[0], 0), digest);
	}
	end(&a);
}

Test(client_table, a_new_primary_goes_on_where_the_replica_stood)
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

Test(client_table, tables_of_another_component_or_lane_are_out_of_reach)
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
