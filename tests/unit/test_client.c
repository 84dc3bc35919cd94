/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client library as an application sees it, with a node that does as it is told: attaching and
 * registering.
 */
#include "client_app.h"

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

Test(client, a_run_dir_is_where_it_was_when_the_process_goes_elsewhere)
{
	struct haven *h;

	fake_start(&node);
	cr_assert_eq(chdir("/tmp"), 0);
	cr_assert_eq(haven_attach(&h, node.dir + strlen("/tmp/")), 0, "%s", haven_last_error(NULL));
	cr_assert_eq(chdir("/"), 0);
	fake_kill(&node);
	fake_restart(&node, false);
	cr_expect_eq(haven_reattach(h), 0, "%s", haven_last_error(h));
	cr_expect_eq(haven_attach(&h, "no-such-directory"), -HAVEN_ENODE);
	cr_expect_not_null(strstr(haven_last_error(NULL), "no-such-directory"));
	end(&(struct app){.h = NULL});
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

Test(client, every_error_has_a_sentence)
{
	for (int i = 0; i < HAVEN_ERROR_COUNT; i++) {
		cr_expect_str_eq(haven_strerror(i), haven_strerror(-i));
		cr_expect_eq(haven_error_class(i), haven_error_class(-i));
		cr_expect_neq(haven_strerror(i)[0], '\0');
	}
}
