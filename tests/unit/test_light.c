/* SPDX-License-Identifier: BSD-3-Clause */
#include "light.h"

#include "light_home.h"

static uint16_t mine, other;

static void begin(void)
{
	home_make();
	node_start();
	cr_assert_eq(registry_publish(&registry, &error), 0, "%s", error.text);
	mine = owner_attach(&light.owners, 10, 100);
	other = owner_attach(&light.owners, 20, 200);
}
static void end(void)
{
	registry_sound();
	node_end();
	home_remove();
}
TestSuite(light, .init = begin, .fini = end);

static int ask(uint16_t process, const struct request *r, uint64_t *handle)
{
	return light_request(&light, process, r, false, 1000, handle);
}

static uint64_t add(uint16_t process, const char *name)
{
	struct request r = request_of(REQUEST_ADD, 0, name);
	uint64_t handle = 0;

	cr_assert_eq(ask(process, &r, &handle), 0);
	cr_assert_neq(handle, 0);
	return handle;
}

static int ask_simply(uint16_t process, enum request_kind kind, uint64_t handle, const char *name)
{
	struct request r = request_of(kind, handle, name);
	uint64_t got;

	return ask(process, &r, &got);
}

static struct registry_component shown(uint64_t handle)
{
	struct registry_component c;

	cr_assert_eq(registry_get_copy(&registry, handle, &c), 0);
	return c;
}

static void sweep_all(void)
{
	struct light_done done;

	while (light_sweep(&light, 3, &done))
		;
	for (int i = 0; i < 10; i++)
		registry_reclaim(&registry, &rcu);
}

Test(light, an_added_component_is_what_its_owner_said)
{
	struct request r = request_of(REQUEST_ADD, 0, "port0");
	struct registry_component c;
	uint64_t handle, first = add(mine, "first");

	r.component_kind = HAVEN_KIND_PORT;
	r.state = HAVEN_SECONDARY;
	r.health = HAVEN_HEALTH_DEGRADED;
	r.load = 5;
	r.weight = 6;
	r.n_depends = 1;
	r.depends[0] = first;
	r.format_read_min = 1;
	r.format_read_max = 3;
	r.format_write = 2;
	strcpy(r.group, "ports");
	memset(r.group + 6, 'x', sizeof(r.group) - 6);
	cr_assert_eq(ask(mine, &r, &handle), 0);
	c = shown(handle);
	cr_assert_str_eq(c.hot.name, "port0");
	cr_assert_str_eq(c.cold.group, "ports");
	cr_assert_eq(c.cold.group[10], 0, "what stands behind the end is not copied");
	cr_assert_str_eq(c.cold.release, "1.0", "that of the node when it names none");
	cr_assert(c.hot.kind == HAVEN_KIND_PORT && c.hot.state == HAVEN_SECONDARY &&
		  c.hot.health == HAVEN_HEALTH_DEGRADED && c.hot.load == 5 && c.hot.weight == 6);
	cr_assert(c.hot.instances == 0 && c.hot.flags == REGISTRY_READY);
	cr_assert(c.cold.n_depends == 1 && c.cold.depends[0] == first);
	cr_assert(c.cold.format_read_min == 1 && c.cold.format_read_max == 3 &&
		  c.cold.format_write == 2);
	cr_assert(c.cold.pid == 10 && c.cold.pid_start_ticks == 100 &&
		  c.cold.registered_ns == 1000);
}

Test(light, only_names_of_the_agreed_letters_are_names)
{
	char full[HAVEN_NAME_MAX];

	memset(full, 'a', sizeof(full));
	cr_assert(light_name_valid("a-b_c.9"));
	cr_assert(!light_name_valid(""));
	cr_assert(!light_name_valid("A"));
	cr_assert(!light_name_valid("a b"));
	cr_assert(!light_name_valid("a\n"));
	cr_assert(!light_name_valid(full), "no end within the field");
	full[HAVEN_NAME_MAX - 1] = 0;
	cr_assert(light_name_valid(full));
}

Test(light, a_request_with_a_field_out_of_its_range_changes_nothing)
{
	uint64_t handle = add(mine, "x"), changes = registry_changes(&registry), got;
	struct request bad[9];

	for (int i = 0; i < 9; i++)
		bad[i] = request_of(REQUEST_UPDATE, handle, "x");
	bad[0].component_kind = HAVEN_KIND_COUNT;
	bad[1].state = HAVEN_ROLE_COUNT;
	bad[2].health = HAVEN_HEALTH_COUNT;
	bad[3].load = REGISTRY_LOAD_MAX + 1;
	bad[4].n_depends = REGISTRY_DEPENDS_MAX + 1;
	bad[5].n_depends = 1; /* on nothing */
	bad[6].format_read_min = 1;
	memset(bad[7].group, 'g', sizeof(bad[7].group));
	strcpy(bad[8].release, "not a label");
	for (int i = 0; i < 9; i++) {
		cr_assert_eq(ask(mine, &bad[i], &got), -HAVEN_EINVAL, "update %d", i);
		bad[i].kind = REQUEST_ADD;
		snprintf(bad[i].name, sizeof(bad[i].name), "new%d", i);
		cr_assert_eq(ask(mine, &bad[i], &got), -HAVEN_EINVAL, "add %d", i);
		bad[i].kind = REQUEST_ADOPT;
		cr_assert_eq(ask(mine, &bad[i], &got), -HAVEN_EINVAL, "adopt %d", i);
	}
	cr_assert_eq(ask_simply(mine, REQUEST_ADD, 0, "Not A Name"), -HAVEN_EINVAL);
	cr_assert_eq(ask_simply(mine, 0, handle, "x"), -HAVEN_EINVAL);
	cr_assert_eq(ask_simply(mine, REQUEST_KIND_COUNT, handle, "x"), -HAVEN_EINVAL);
	cr_assert_eq(registry_changes(&registry), changes);
}

Test(light, only_the_owner_may_update_and_remove)
{
	uint64_t handle = add(mine, "x");

	cr_assert_eq(ask_simply(other, REQUEST_UPDATE, handle, "x"), -HAVEN_EPERM);
	cr_assert_eq(ask_simply(other, REQUEST_REMOVE, handle, "x"), -HAVEN_EPERM);
	cr_assert_eq(ask_simply(other, REQUEST_ADOPT, handle, "x"), -HAVEN_EEXIST);
	cr_assert_eq(ask_simply(other, REQUEST_ADD, 0, "x"), -HAVEN_EEXIST);
	cr_assert_eq(ask_simply(mine, REQUEST_UPDATE, handle, "x"), 0);
	cr_assert_eq(ask_simply(mine, REQUEST_REMOVE, handle, "x"), 0);
	cr_assert_eq(ask_simply(mine, REQUEST_REMOVE, handle, "x"), -HAVEN_ESTALE);
	cr_assert_eq(ask_simply(mine, REQUEST_UPDATE, handle, "x"), -HAVEN_ESTALE);
	cr_assert_eq(ask_simply(mine, REQUEST_UPDATE, UINT64_MAX, "x"), -HAVEN_ESTALE);
}

Test(light, an_update_without_a_difference_is_no_change)
{
	struct request r = request_of(REQUEST_UPDATE, add(mine, "x"), "");
	uint64_t changes = registry_changes(&registry), handle;

	cr_assert_eq(ask(mine, &r, &handle), 0);
	cr_assert_eq(registry_changes(&registry), changes);
	r.load = 1;
	cr_assert_eq(ask(mine, &r, &handle), 0);
	cr_assert_eq(registry_changes(&registry), changes + 1);
	cr_assert_str_eq(shown(r.handle).hot.name, "x", "the name stays");
}

Test(light, an_update_that_slow_readers_hold_up_is_to_be_tried_again)
{
	struct request r = request_of(REQUEST_UPDATE, add(mine, "x"), "x");
	uint64_t word = 0, handle;
	int slot = rcu_slot_add(&rcu, &word);

	rcu_enter(&registry.header->rcu_epoch, &word);
	for (r.load = 1; r.load <= home_config.shape.spare; r.load++)
		cr_assert_eq(ask(mine, &r, &handle), 0);
	cr_assert_eq(ask(mine, &r, &handle), -HAVEN_EAGAIN);
	registry_reclaim(&registry, &rcu);
	cr_assert_eq(ask(mine, &r, &handle), -HAVEN_EAGAIN, "the reader has not moved");
	rcu_leave(&word);
	registry_reclaim(&registry, &rcu);
	cr_assert_eq(ask(mine, &r, &handle), 0);
	rcu_slot_drop(&rcu, slot);
}

Test(light, a_full_registry_refuses_and_goes_on)
{
	char name[16];

	for (unsigned i = 0; i < home_config.shape.components; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		add(i % 2 ? mine : other, name);
	}
	cr_assert_eq(ask_simply(mine, REQUEST_ADD, 0, "more"), -HAVEN_EFULL);
	cr_assert_eq(
		ask_simply(other, REQUEST_REMOVE, registry_own_find(&registry, "c0")->handle, ""),
		0);
	registry_reclaim(&registry, &rcu);
	add(mine, "more");
}

Test(light, what_leaves_with_its_process_is_removed_in_bounded_steps_and_told_once)
{
	struct light_done done;
	char name[16];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		add(i < 14 ? mine : other, name);
	}
	cr_assert_eq(light_sweep(&light, 10, &done), 0);
	owner_ended(&light.owners, mine);
	cr_assert_eq(ask_simply(mine, REQUEST_ADD, 0, "late"), -HAVEN_EREFUSED);
	cr_assert_eq(light_sweep(&light, 10, &done), 10);
	cr_assert_eq(done.pid, 0);
	cr_assert(light_name_leaving(&light, "c13"));
	cr_assert(!light_name_leaving(&light, "c14") && !light_name_leaving(&light, "none"));
	cr_assert_eq(ask_simply(other, REQUEST_ADD, 0, "c13"), -HAVEN_EAGAIN,
		     "the name will soon be free");
	cr_assert_eq(light_sweep(&light, 10, &done), 4);
	cr_assert(done.pid == 10 && done.count == 14 && done.ended);
	cr_assert_eq(light_sweep(&light, 10, &done), 0);
	cr_assert_eq(done.pid, 0);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		cr_assert_eq(registry_own_find(&registry, name) != NULL, i >= 14);
	}
	add(other, "c13");
}

Test(light, what_an_earlier_node_did_unheard_is_not_done_twice)
{
	struct request r = request_of(REQUEST_ADD, 0, "x");
	uint64_t handle = add(mine, "x"), got;

	r.load = 9;
	cr_assert_eq(light_request(&light, mine, &r, true, 5, &got), 0);
	cr_assert_eq(got, handle);
	cr_assert_eq(shown(handle).hot.load, 9);
	cr_assert_eq(light_request(&light, other, &r, true, 5, &got), -HAVEN_EEXIST);
	r = request_of(REQUEST_REMOVE, handle, "");
	cr_assert_eq(light_request(&light, mine, &r, true, 5, &got), 0);
	cr_assert_eq(light_request(&light, mine, &r, true, 5, &got), 0);
}

Test(light, adopting_gives_back_the_handle_of_an_earlier_life_once)
{
	uint64_t handle = (registry.header->generation - 3) << REGISTRY_SLOT_BITS | 17;
	uint64_t there = add(mine, "there");

	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle, "old"), 0);
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle, "old"), 0, "as often as asked");
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle, "other"), -HAVEN_EEXIST);
	cr_assert_eq(ask_simply(other, REQUEST_ADOPT, handle, "old"), -HAVEN_EEXIST);
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, there, "there"), 0);
	cr_assert_eq(shown(handle).hot.handle, handle);
	cr_assert_eq(ask_simply(mine, REQUEST_REMOVE, handle, ""), 0);
	sweep_all();
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle, "old"), -HAVEN_ESTALE);
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle | 40, "far"), 0);
	handle = (registry.header->generation + 1) << REGISTRY_SLOT_BITS | 50;
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, handle, "future"), -HAVEN_ESTALE);
}

Test(light, of_a_component_with_instances_the_owner_says_what_is_his_to_say)
{
	struct registry_component c = {.hot = {.name = "nat", .instances = 2, .state = HAVEN_SPARE},
				       .cold = {.group = "nat", .release = "1.0"}};
	struct request r = request_of(REQUEST_UPDATE, 0, "nat");
	struct registry_component before;
	uint64_t handle;

	cr_assert_eq(registry_add(&registry, &c, &error), 0);
	owner_local(&light.owners, registry_slot_of(c.hot.handle), 0);
	r.handle = c.hot.handle;
	r.load = 3;
	r.state = HAVEN_PRIMARY;
	cr_assert_eq(ask(mine, &r, &handle), LIGHT_LOCAL);
	cr_assert_eq(ask_simply(mine, REQUEST_REMOVE, c.hot.handle, ""), -HAVEN_EPERM);
	cr_assert_eq(ask_simply(mine, REQUEST_ADOPT, c.hot.handle, "nat"), -HAVEN_EEXIST);
	before = c;
	cr_assert_eq(light_attributes(&c, &r), 0);
	cr_assert_eq(c.hot.load, 3);
	c.hot.load = before.hot.load;
	cr_assert_eq(memcmp(&c, &before, sizeof(c)), 0, "and nothing else");
	owner_local_end(&light.owners, registry_slot_of(c.hot.handle));
}
