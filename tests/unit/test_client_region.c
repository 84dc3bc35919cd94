/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regions as an application uses them, with a node that does as it is told.
 */
#include "client_app.h"

static const struct haven_region_config small_region = {
	.name = "counters", .bytes = 640, .block_bytes = 32, .lanes = 2, .lane_records = 64};

static struct haven_region *region;

static void start(struct app *a)
{
	fake_start(&node);
	cr_assert_eq(haven_attach(&a->h, node.dir), 0);
	cr_assert_eq(haven_component_register(a->h, &nat_config, &a->c), 0);
	cr_assert_eq(haven_table_create(a->c, 0, &small_table, &a->t), 0);
	cr_assert_eq(haven_region_create(a->c, 0, &small_region, &region), 0, "%s",
		     haven_last_error(a->h));
	cr_assert_eq(haven_worker_begin(a->c, &a->w), 0);
	cr_assert_eq(haven_component_ready(a->c), 0);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a->w);
}

Test(client_region, what_is_written_is_committed_mirrored_and_acknowledged)
{
	struct haven_table *t;
	uint8_t got[640], want[640] = {0};
	struct app a;

	start(&a);
	t = haven_region_table(region);
	cr_expect_eq(haven_region_write(a.w, region, 30, "over two blocks", 15), 0);
	memcpy(want + 30, "over two blocks", 15);
	cr_expect_eq(haven_region_read(region, 0, got, 640), 0);
	cr_expect_arr_eq(got, want, 640);
	cr_expect_eq(table_committed(&node.table[1], 0), 0);
	cr_expect_eq(haven_commit(a.w, t), 2);
	cr_expect_eq(table_committed(&node.table[1], 0), 2);
	cr_expect_eq(table_region_read(&node.table[1], 0, got, 640), 0);
	cr_expect_arr_eq(got, want, 640);
	cr_expect_eq(haven_acked(a.w, t), 0);
	store_release(&fake_lane(&node, 1, 0)->acked_seq, 2);
	cr_expect_eq(haven_acked(a.w, t), 2);
	cr_expect_eq(haven_table_count(t, 0), 2);
	end(&a);
}

Test(client_region, a_worker_writes_its_own_run_of_bytes_while_it_is_primary)
{
	uint64_t offset, bytes;
	struct app a;

	start(&a);
	haven_region_span(region, 0, &offset, &bytes);
	cr_expect(offset == 0 && bytes == 320);
	haven_region_span(region, 1, &offset, &bytes);
	cr_expect(offset == 320 && bytes == 320);
	cr_expect_eq(haven_region_write(a.w, region, 319, "x", 1), 0);
	cr_expect_eq(haven_region_write(a.w, region, 320, "x", 1), -HAVEN_EINVAL);
	cr_expect_eq(haven_region_write(a.w, region, 319, "xx", 2), -HAVEN_EINVAL);
	cr_expect_eq(haven_region_read(region, 639, &offset, 2), -HAVEN_EINVAL);
	fake_role(&node, 0, HAVEN_SECONDARY, 10);
	haven_poll(a.w);
	cr_expect_eq(haven_region_write(a.w, region, 0, "x", 1), -HAVEN_EROLE);
	end(&a);
}

Test(client_region, a_full_log_waits_for_the_node)
{
	uint8_t bytes[320] = {1};
	unsigned written = 0;
	struct app a;

	start(&a);
	while (written < 100 && haven_region_write(a.w, region, 0, bytes, 320) == 0) {
		haven_commit(a.w, haven_region_table(region));
		written++;
	}
	cr_expect_eq(written, 6, "64 records of the log, 10 blocks each");
	store_release(&fake_lane(&node, 1, 0)->consumed_seq, 6);
	cr_expect_eq(haven_region_write(a.w, region, 0, bytes, 320), 0);
	cr_expect_eq(haven_region_write(a.w, region, 0, bytes, 1), -HAVEN_EFULL);
	end(&a);
}

Test(client_region, wrong_shapes_are_refused_and_named)
{
	struct haven_region_config c = small_region;
	struct haven_region *r;
	struct app a;

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	c.bytes = 641;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(haven_last_error(a.h), "641 bytes"));
	cr_expect_null(r);
	c.bytes = 0;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	c.bytes = (uint64_t)32 << 30;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	c = small_region;
	c.block_bytes = 0;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	c.block_bytes = 20;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(haven_last_error(a.h), "block_bytes 20"));
	c = small_region;
	c.name = "Counters";
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EINVAL);
	c.name = small_table.name;
	cr_expect_eq(haven_table_create(a.c, 0, &small_table, &a.t), 0);
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), -HAVEN_EEXIST, "of tables, too");
	cr_expect_eq(haven_region_create(a.c, 7, &small_region, &r), -HAVEN_EINVAL);
	c = small_region;
	c.lane_records = 0;
	cr_expect_eq(haven_region_create(a.c, 0, &c, &r), 0);
	cr_expect_eq(node.table[1].geometry.shape.lane_records, TABLE_LANE_RECORDS_DEFAULT);
	end(&a);
}

Test(client_region, in_mode_dirty_a_commit_pushes_what_it_may)
{
	struct haven_table_config table = small_table;
	struct haven_region_config c = small_region;
	struct haven_region *r;
	struct haven_table *t;
	struct app a;
	char key[9];

	fake_start(&node);
	cr_assert_eq(haven_attach(&a.h, node.dir), 0);
	cr_assert_eq(haven_component_register(a.h, &nat_config, &a.c), 0);
	table.mode = HAVEN_MODE_DIRTY;
	table.push_records = 257;
	cr_expect_eq(haven_table_create(a.c, 0, &table, &t), -HAVEN_EINVAL);
	table.push_records = 3;
	table.mode = (enum haven_mode)2;
	cr_expect_eq(haven_table_create(a.c, 0, &table, &t), -HAVEN_EINVAL);
	table.mode = HAVEN_MODE_DIRTY;
	cr_assert_eq(haven_table_create(a.c, 0, &table, &t), 0);
	c.mode = HAVEN_MODE_DIRTY;
	cr_assert_eq(haven_region_create(a.c, 0, &c, &r), 0);
	cr_assert_eq(haven_worker_begin(a.c, &a.w), 0);
	cr_assert_eq(haven_component_ready(a.c), 0);
	fake_role(&node, 0, HAVEN_PRIMARY, 9);
	haven_poll(a.w);
	for (unsigned k = 0; k < 20; k++) {
		snprintf(key, sizeof(key), "key%05u", k % 10);
		cr_assert_eq(haven_put(a.w, t, key, "value001"), 0);
	}
	cr_expect_eq(haven_dirty_count(t, 0), 10);
	cr_expect_eq(haven_dirty_count(t, 9), 0);
	cr_expect_eq(haven_commit(a.w, t), 13, "ten new keys and three values");
	cr_expect_eq(haven_commit(a.w, t), 16);
	cr_expect_eq(haven_commit(a.w, t), 19);
	cr_expect_eq(haven_commit(a.w, t), 20);
	cr_expect_eq(haven_commit(a.w, t), 20);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(haven_region_write(a.w, r, 0, &i, sizeof(i)), 0);
	cr_expect_eq(haven_commit(a.w, haven_region_table(r)), 2);
	cr_expect_eq(haven_dirty_count(haven_region_table(r), 0), 0);
	end(&a);
}
