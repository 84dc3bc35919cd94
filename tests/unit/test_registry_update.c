/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The node's side at its limits: books, index, gates, lane lines, handles of an earlier life.
 */
#include "registry_small.h"

TestSuite(registry_update, .init = small_make, .fini = small_drop);

/* ---- refusals -------------------------------------------------------------------------------- */

/** What adding, adopting and updating say of a component whose field is out of range. */
static void refuse(struct registry_component c, const char *why)
{
	uint64_t handle = small_add("victim", 0);
	struct registry_component twin = c;

	cr_expect_eq(registry_add(&node, &c, &error), -HAVEN_EINVAL);
	cr_expect_not_null(strstr(error.text, why), "%s", error.text);
	twin.hot.handle = handle;
	cr_expect_eq(registry_adopt(&node, &twin, &error), -HAVEN_EINVAL);
	cr_expect_eq(registry_update(&node, &twin, &rcu), -HAVEN_EINVAL);
	small_remove(handle);
}

Test(registry_update, each_field_out_of_its_range_is_refused)
{
	struct registry_component good = small_component("x", 0), c;

	c = good;
	memset(c.cold.group, 'x', sizeof(c.cold.group));
	refuse(c, "group or release");
	c = good;
	memset(c.cold.release, 'x', sizeof(c.cold.release));
	refuse(c, "group or release");
	c = good;
	c.hot.instances = HAVEN_INSTANCES_MAX + 1;
	refuse(c, "instances");
	c = good;
	c.hot.state = HAVEN_ROLE_COUNT;
	refuse(c, "state or health");
	c = good;
	c.hot.health = HAVEN_HEALTH_COUNT;
	refuse(c, "state or health");
	c = good;
	c.hot.load = REGISTRY_LOAD_MAX + 1;
	refuse(c, "load");
	c = good;
	c.cold.n_depends = REGISTRY_DEPENDS_MAX + 1;
	refuse(c, "depends");
}

Test(registry_update, without_gates_left_it_is_refused_and_nothing_is_taken)
{
	struct registry_component c = small_component("late", 2);
	uint64_t handle[SMALL_GATES];

	for (unsigned i = 0; i < SMALL_GATES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "g%u", i);
		handle[i] = small_add(name, 1);
	}
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EFULL);
	cr_assert_not_null(strstr(error.text, "2 gates"), "%s", error.text);
	/* Two are free, but not side by side. */
	small_remove(handle[1]);
	small_remove(handle[3]);
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EFULL);
	small_remove(handle[2]);
	cr_assert_eq(registry_add(&node, &c, &error), 0, "%s", error.text);
	cr_assert_eq(c.hot.gate_first, 1);
}

Test(registry_update, handles_end_before_they_repeat)
{
	struct registry_config config = {.node = "a",
					 .generation_floor = REGISTRY_GENERATION_MAX - 1};
	struct registry_component c = small_component("last", 0);

	registry_destroy(&node);
	cr_assert_eq(registry_create(&node, small_dir, &config, &error), 0, "%s", error.text);
	cr_assert_eq(registry_add(&node, &c, &error), 0);
	cr_assert_eq(c.hot.handle >> REGISTRY_SLOT_BITS, REGISTRY_GENERATION_MAX);
	c = small_component("one-more", 0);
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EFULL);
	cr_assert_not_null(strstr(error.text, "clock"), "%s", error.text);
}

/* ---- handles of an earlier life -------------------------------------------------------------- */

static int adopt(const char *name, uint64_t handle, uint16_t instances)
{
	struct registry_component c = small_component(name, instances);

	c.hot.handle = handle;
	return registry_adopt(&node, &c, &error);
}

Test(registry_update, a_component_of_an_earlier_life_keeps_its_handle)
{
	uint64_t now = node.header->generation, old = (now - 1) << REGISTRY_SLOT_BITS | 7;

	cr_assert_eq(adopt("", old, 0), -HAVEN_EINVAL);
	cr_assert_eq(adopt("old", old | 21, 0), -HAVEN_EFULL, "there is no such slot");
	cr_assert_eq(adopt("old", old, SMALL_GATES + 1), -HAVEN_EFULL);
	cr_assert_eq(adopt("old", (now + 1) << REGISTRY_SLOT_BITS | 7, 0), -HAVEN_ESTALE);
	cr_assert_eq(adopt("old", old, 1), 0, "%s", error.text);
	cr_assert_eq(registry_find(&reader, "old")->handle, old);
	cr_assert_eq(registry_own(&node, old)->handle, old);
	cr_assert_eq(adopt("old", old + 1, 0), -HAVEN_EEXIST, "the name is taken");
	cr_assert_eq(adopt("other", old, 0), -HAVEN_EEXIST, "the slot is taken");
	registry_expect(&node, old, UINT64_MAX);
	registry_expect(&node, UINT64_MAX, old);
	cr_assert_eq(registry_own(&node, old)->handle, old, "expecting a change is none");
	small_remove(old);
	cr_assert_null(registry_own(&node, old));
	cr_assert_eq(adopt("old", old, 0), -HAVEN_ESTALE, "removed is removed");
	cr_assert_eq(adopt("old", old + (1ull << REGISTRY_SLOT_BITS), 0), 0, "%s", error.text);
}

Test(registry_update, slots_taken_from_the_middle_leave_the_others_free)
{
	uint64_t old = (node.header->generation - 1) << REGISTRY_SLOT_BITS;
	unsigned taken[] = {0, SMALL_COMPONENTS - 1, 5, 6, 4};
	char name[HAVEN_NAME_MAX];

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(taken); i++) {
		snprintf(name, sizeof(name), "a%u", i);
		cr_assert_eq(adopt(name, old | taken[i], 0), 0, "%s", error.text);
	}
	for (unsigned i = 0; i < SMALL_COMPONENTS - HAVEN_ARRAY_LEN(taken); i++) {
		snprintf(name, sizeof(name), "b%u", i);
		small_add(name, 0);
	}
	cr_assert_eq(adopt("late", old | 9, 0), -HAVEN_EEXIST);
	cr_assert_eq(
		registry_update(&node, &(struct registry_component){.hot.handle = old | 9}, &rcu),
		-HAVEN_ESTALE, "another one lives in the slot");
}

/* ---- the index ------------------------------------------------------------------------------- */

Test(registry_update, names_alike_in_hash_are_told_apart)
{
	const char *twin;
	uint64_t first = small_add("first", 0), second;

	twin = small_double("first");
	cr_assert_null(registry_find(&reader, twin));
	second = small_add(twin, 0);
	cr_assert_eq(registry_find(&reader, "first")->handle, first);
	cr_assert_eq(registry_find(&reader, twin)->handle, second);
}

/** Let a name of every bucket live behind that bucket: fill it, add one more, take the others out;
 *  so each bucket counts somebody who passed. Returns how many live. */
static unsigned displace(void)
{
	uint64_t filler[REGISTRY_BUCKET_ENTRIES];
	unsigned live = 0;

	for (uint32_t bucket = 0; bucket <= node.bucket_mask; bucket++) {
		unsigned n = 0;

		/* The bucket may hold the one who passed the bucket before. */
		while (node.index[bucket].place[REGISTRY_BUCKET_ENTRIES - 1] == 0)
			filler[n] = small_add(small_name(bucket, n), 0), n++;
		small_add(small_name(bucket, n), 0);
		live++;
		while (n)
			small_remove(filler[--n]);
	}
	return live;
}

Test(registry_update, a_search_ends_even_if_every_bucket_was_passed)
{
	unsigned live = displace();

	for (uint32_t bucket = 0; bucket <= node.bucket_mask; bucket++)
		cr_assert_gt(node.index[bucket].overflow, 0);
	/* The node's own search and the readers'. */
	small_add("another", 0);
	cr_assert_null(registry_find(&reader, "none"));
	cr_assert_eq(live, node.bucket_mask + 1);
}

Test(registry_update, counts_go_back_when_the_displaced_leave)
{
	struct registry_component c;

	displace();
	for (uint32_t i = 0; i < SMALL_COMPONENTS; i++) {
		if (registry_copy_slot(&node, i, &c) == 0)
			small_remove(c.hot.handle);
	}
	for (uint32_t bucket = 0; bucket <= node.bucket_mask; bucket++)
		cr_assert_eq(node.index[bucket].overflow, 0);
}

/* ---- lane lines ------------------------------------------------------------------------------ */

Test(registry_update, lane_lines_go_to_living_components_and_once_only)
{
	uint64_t handle = small_add("a", 0);
	int first = registry_lanes_reserve(&node, 2);

	cr_assert_eq(first, 0);
	cr_assert_eq(registry_lanes_give(&node, 0, 1, handle + 1), -HAVEN_ESTALE);
	cr_assert_eq(registry_lanes_give(&node, SMALL_LANES, 1, handle), -HAVEN_EINVAL);
	cr_assert_eq(registry_lanes_give(&node, 1, SMALL_LANES, handle), -HAVEN_EINVAL);
	cr_assert_eq(registry_lanes_give(&node, 1, 2, handle), -HAVEN_EINVAL, "not reserved");
	cr_assert_eq(registry_lanes_give(&node, 0, 1, handle), 0);
	cr_assert_eq(registry_lanes_give(&node, 0, 2, handle), -HAVEN_EINVAL, "has an owner");
	cr_assert_eq(reader.lanes[0].component, registry_slot_of(handle));
	cr_assert_eq(reader.lanes[1].component, REGISTRY_NONE);
}

Test(registry_update, lane_lines_say_what_they_belong_to)
{
	struct registry_checkpoint what;
	struct registry_lane lane;
	uint64_t handle = small_add("a", 0);

	cr_assert_eq(registry_lanes_reserve(&node, 4), 0);
	cr_assert_not(registry_lane_copy(&reader, 0, &lane, &what), "nobody's");
	small_lanes(1, 2, handle);
	cr_assert(registry_lane_copy(&reader, 1, &lane, &what));
	cr_assert_str_eq(what.name, "flows");
	cr_assert_eq(what.key_bytes, 16);
	cr_assert_eq(what.value_bytes, 8);
	cr_assert_eq(what.capacity, 100);
	cr_assert_eq(what.lanes, 2);
	cr_assert_eq(what.lane_records, 64);
	cr_assert_eq(what.lane_capacity, 50);
	cr_assert_eq(lane.component, registry_slot_of(handle));
	memset(node.checkpoints[2].name, 'x', HAVEN_NAME_MAX);
	cr_assert(registry_lane_copy(&reader, 2, &lane, &what));
	cr_assert_eq(strlen(what.name), HAVEN_NAME_MAX - 1, "it ends");
}

Test(registry_update, only_reserved_lane_lines_without_an_owner_are_described)
{
	struct table_shape shape = {.name = "r",
				    .kind = TABLE_REGION,
				    .key_bytes = 4,
				    .value_bytes = 8,
				    .capacity = 9,
				    .lanes = 8,
				    .lane_records = 64};
	uint64_t handle = small_add("a", 0);
	struct table_geometry g;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	cr_assert_eq(registry_lanes_describe(&node, 0, &g), -HAVEN_EINVAL, "not reserved");
	cr_assert_eq(registry_lanes_reserve(&node, 8), 0);
	cr_assert_eq(registry_lanes_describe(&node, 1, &g), -HAVEN_EINVAL, "too few");
	cr_assert_eq(registry_lanes_describe(&node, SMALL_LANES, &g), -HAVEN_EINVAL);
	cr_assert_eq(registry_lanes_describe(&node, 0, &g), 0);
	/* Two blocks a lane, but the fifth has the last one and those after it none. */
	cr_assert_eq(reader.checkpoints[3].lane_capacity, 2);
	cr_assert_eq(reader.checkpoints[4].lane_capacity, 1);
	cr_assert_eq(reader.checkpoints[7].lane_capacity, 0);
	cr_assert_eq(registry_lanes_give(&node, 0, 8, handle), 0);
	cr_assert_eq(registry_lanes_describe(&node, 0, &g), -HAVEN_EINVAL, "has an owner");
	/* Who reserves them next finds nothing of it. */
	small_remove(handle);
	cr_assert_eq(registry_lanes_reserve(&node, 8), 0);
	cr_assert_eq(reader.checkpoints[0].name[0], 0);
}

/* ---- status ---------------------------------------------------------------------------------- */

Test(registry_update, a_status_is_shown_as_a_whole_under_a_new_version)
{
	static struct registry_status s, seen;

	s.version = 77; /* not looked at */
	s.epoch = 5;
	s.instance[HAVEN_INSTANCES_MAX - 1].since_epoch = 6;
	registry_status_publish(&node, &s);
	cr_assert_eq(registry_copy_status(&reader, &seen), 0);
	cr_assert_eq(seen.version, 2);
	cr_assert_eq(seen.epoch, 5);
	cr_assert_eq(seen.instance[HAVEN_INSTANCES_MAX - 1].since_epoch, 6);
}
