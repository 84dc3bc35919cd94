/* SPDX-License-Identifier: BSD-3-Clause */
#include "adopt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client_segment.h"
#include "light_home.h"
#include "prng.h"

static struct registry old;
static struct adopt_report report;
static int32_t dead_pid;
static uint64_t dead_ticks;

/* A process that has been and is no more. */
static void dead_make(void)
{
	int gate[2];
	char byte;

	cr_assert_eq(pipe(gate), 0);
	dead_pid = fork();
	cr_assert_geq(dead_pid, 0);
	if (dead_pid == 0) {
		close(gate[1]);
		_exit(read(gate[0], &byte, 1) < 0);
	}
	dead_ticks = process_start_ticks(dead_pid);
	close(gate[0]);
	close(gate[1]);
	cr_assert_eq(waitpid(dead_pid, NULL, 0), dead_pid);
}

static void begin(void)
{
	home_make();
	home_config.incarnation = 1;
	home_config.generation_floor = home_config.rcu_epoch_floor = 0;
	node_start();
	cr_assert_eq(registry_publish(&registry, &error), 0);
	dead_make();
}
static void end(void)
{
	node_end();
	home_remove();
}
TestSuite(adopt, .init = begin, .fini = end);

static uint64_t add(const char *name, int32_t pid, uint64_t ticks, uint16_t instances)
{
	struct registry_component c = {.hot = {.instances = instances, .load = 7},
				       .cold = {.pid = pid, .pid_start_ticks = ticks}};

	snprintf(c.hot.name, sizeof(c.hot.name), "%s", name);
	snprintf(c.cold.group, sizeof(c.cold.group), "%s", instances ? "nat" : "");
	cr_assert_eq(registry_add(&registry, &c, &error), 0, "%s", error.text);
	return c.hot.handle;
}

static uint64_t add_own(const char *name, uint16_t instances)
{
	return add(name, getpid(), process_start_ticks(getpid()), instances);
}

static int nat_only(void *context, const char *group, uint16_t *instance_first)
{
	*instance_first = 3;
	return strcmp(group, "nat") == 0 ? *(int *)context : -HAVEN_ENOENT;
}

/* The node is killed and started again. Returns what adopt_open() said. */
static int restart(int instances)
{
	int err;

	memset(&report, 0, sizeof(report));
	node_end();
	home_config.incarnation++;
	err = adopt_open(&old, home, &home_config, &report);
	node_start();
	if (!err) {
		adopt_components(&light, &old, nat_only, &instances, &report);
		registry_close(&old);
	}
	cr_assert_eq(registry_publish(&registry, &error), 0);
	registry_sound();
	return err;
}

static struct registry_component shown(uint64_t handle)
{
	struct registry_component c;

	cr_assert_eq(registry_get_copy(&registry, handle, &c), 0);
	return c;
}

Test(adopt, the_first_start_finds_nothing_and_says_nothing)
{
	home_remove();
	cr_assert_eq(mkdir(home, 0700), 0);
	cr_assert_eq(restart(0), -HAVEN_ENOENT);
	cr_assert_str_empty(report.lost.text);
}

Test(adopt, what_is_alive_keeps_handle_and_content_and_waits_for_its_owner)
{
	uint64_t a = add_own("a", 0), b = add_own("b", 0), gone = add("c", dead_pid, dead_ticks, 0);
	uint64_t reused = add("d", getpid(), process_start_ticks(getpid()) + 1, 0);
	struct registry_component c;
	struct light_done done;
	uint16_t process;

	cr_assert_eq(restart(0), 0);
	cr_assert(report.adopted == 2 && report.dead == 2 && report.processes == 1);
	cr_assert(report.refused == 0 && report.damaged == 0);
	c = shown(a);
	cr_assert_str_eq(c.hot.name, "a");
	cr_assert(c.hot.load == 7 && (c.hot.flags & REGISTRY_PENDING));
	cr_assert_eq(registry_own(&registry, gone), NULL);
	cr_assert_eq(registry_own(&registry, reused), NULL, "a pid that came back is no owner");
	process = owner_attach(&light.owners, getpid(), process_start_ticks(getpid()));
	cr_assert_eq(light_claim(&light, 1, 9, &done), 1);
	cr_assert_eq(done.pid, 0);
	cr_assert_eq(light_claim(&light, 1, 9, &done), 1);
	cr_assert(done.pid == getpid() && done.count == 2);
	cr_assert(!(shown(a).hot.flags & REGISTRY_PENDING));
	cr_assert(!(shown(b).hot.flags & REGISTRY_PENDING));
	cr_assert_eq(owner_of(&light.owners, registry_slot_of(a)), process);
	cr_assert_gt(add_own("e", 0), b, "new handles are above the old ones");
}

Test(adopt, a_claim_waits_for_slow_readers_and_goes_on_where_it_was)
{
	uint64_t word = 0, handle[12];
	struct light_done done;
	char name[8];
	int slot;

	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		handle[i] = add_own(name, 0);
	}
	cr_assert_eq(restart(0), 0);
	owner_attach(&light.owners, getpid(), process_start_ticks(getpid()));
	slot = rcu_slot_add(&rcu, &word);
	rcu_enter(&registry.header->rcu_epoch, &word);
	cr_assert_eq(light_claim(&light, 100, 9, &done), home_config.shape.spare);
	cr_assert_eq(light_claim(&light, 100, 9, &done), 0);
	rcu_leave(&word);
	registry_reclaim(&registry, &rcu);
	cr_assert_eq(light_claim(&light, 100, 9, &done), 12 - home_config.shape.spare);
	cr_assert_eq(done.count, 12);
	for (int i = 0; i < 12; i++)
		cr_assert(!(shown(handle[i]).hot.flags & REGISTRY_PENDING));
	rcu_slot_drop(&rcu, slot);
}

Test(adopt, an_owner_that_ends_before_it_comes_back_takes_its_components_with_it)
{
	uint64_t a = add_own("a", 0), b = add_own("nat", 2);
	struct light_done done;

	cr_assert_eq(restart(2), 0);
	owner_ended(&light.owners,
		    owner_find(&light.owners, getpid(), process_start_ticks(getpid())));
	cr_assert_eq(light_sweep(&light, 100, &done), 2);
	cr_assert(done.count == 2 && done.ended);
	cr_assert_null(registry_own(&registry, a));
	cr_assert_null(registry_own(&registry, b));
	cr_assert_null(light_pending(&light, b));
	registry_sound();
}

Test(adopt, a_component_with_instances_is_off_line_under_new_gates)
{
	uint64_t handle = add_own("nat", 2), light_one = add_own("port", 0), before;
	struct registry_component c = shown(handle);

	registry_gate_set(&registry, c.hot.gate_first, HAVEN_PRIMARY, 5, UINT64_MAX);
	before = registry_gate_generation(&registry, c.hot.gate_first);
	cr_assert_eq(restart(2), 0);
	c = shown(handle);
	cr_assert(c.hot.instances == 2 && c.hot.instance_first == 3);
	cr_assert(c.hot.state == HAVEN_OFFLINE && c.hot.flags == REGISTRY_PENDING);
	for (uint32_t g = c.hot.gate_first; g < c.hot.gate_first + 2; g++) {
		cr_assert_eq(registry.gates[g].role, HAVEN_OFFLINE);
		cr_assert_eq(registry.gates[g].valid_until_ns, 0);
		cr_assert_gt(registry.gates[g].generation, before);
	}
	cr_assert_eq(light_pending(&light, handle)->handle, handle);
	cr_assert(light.adopted[3] == handle && light.adopted[4] == handle);
	cr_assert_null(light_pending(&light, light_one));
}

Test(adopt, without_its_group_a_component_has_no_place)
{
	uint64_t handle = add_own("nat", 2);

	cr_assert_eq(restart(-1), 0);
	cr_assert(report.adopted == 0 && report.refused == 1);
	cr_assert_null(registry_own(&registry, handle));
}

Test(adopt, what_does_not_fit_into_a_smaller_registry_is_told)
{
	char name[8];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		add_own(name, 0);
	}
	home_config.shape.components = 32;
	cr_assert_eq(restart(0), 0);
	cr_assert(report.adopted == 32 && report.refused == 8);
	home_config.shape.components = 64;
}

Test(adopt, epochs_and_generations_go_on_above_over_many_restarts)
{
	uint64_t handle = add_own("a", 0), generation = 0, epoch = 0;

	for (int i = 0; i < 20; i++) {
		cr_assert_gt(registry.header->generation, generation);
		cr_assert_gt(registry.header->rcu_epoch, epoch);
		generation = registry.header->generation;
		epoch = registry.header->rcu_epoch;
		cr_assert_eq(restart(0), 0);
		cr_assert_eq(report.adopted, 1);
		cr_assert_eq(registry_own_find(&registry, "a")->handle, handle);
	}
}

Test(adopt, the_registry_of_another_node_is_not_taken_over)
{
	add_own("a", 0);
	home_config.node = "b";
	cr_assert_eq(restart(0), -HAVEN_EINVAL);
	cr_assert_not_null(strstr(report.lost.text, "node a"), "%s", report.lost.text);
	cr_assert_null(registry_own_find(&registry, "a"));
	home_config.node = "a";
}

static void file_write(off_t at, const void *bytes, size_t n)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/registry", home);
	fd = open(path, O_WRONLY);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

Test(adopt, another_version_or_half_a_file_is_told_and_the_node_starts_empty)
{
	uint32_t version = REGISTRY_LAYOUT_VERSION + 1;
	char path[96];

	add_own("a", 0);
	file_write(offsetof(struct registry_header, layout_version), &version, sizeof(version));
	cr_assert_eq(restart(0), -HAVEN_EVERSION);
	cr_assert_not_null(strstr(report.lost.text, "version"), "%s", report.lost.text);
	cr_assert_null(registry_own_find(&registry, "a"));
	add_own("a", 0);
	snprintf(path, sizeof(path), "%s/registry", home);
	cr_assert_eq(truncate(path, (off_t)registry.size_bytes / 2), 0);
	/* The mapping ends with the file: what the node writes is in its first half. */
	cr_assert_eq(restart(0), -HAVEN_ESIZE);
	cr_assert_null(registry_own_find(&registry, "a"));
}

Test(adopt, of_a_scribbled_file_what_is_left_is_adopted_and_nothing_breaks)
{
	struct prng p = {.state = 3};
	char name[8];

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		add_own(name, 0);
	}
	for (int round = 0; round < 300; round++) {
		off_t from = (off_t)registry.header->status_offset;
		size_t room = registry.size_bytes - (size_t)from;

		for (int k = 0; k < 200; k++) {
			uint64_t word = prng_next(&p) >> prng_below(&p, 64);

			/* Directory, objects and index are small; most hits are to go there. */
			if (prng_below(&p, 2)) {
				from = (off_t)registry.header->directory_offset;
				room = 64 * sizeof(uint32_t);
			} else if (prng_below(&p, 2)) {
				from = (off_t)registry.header->hot_offset;
				room = 72 * sizeof(struct registry_hot);
			}
			memcpy(registry.base + from + prng_below(&p, room - 8), &word, 8);
		}
		restart(0);
		cr_assert_leq(report.adopted, 64);
		for (int i = 0; i < 50; i++) {
			struct registry_component c = {
				.cold = {.pid = getpid(),
					 .pid_start_ticks = process_start_ticks(getpid())}};

			snprintf(c.hot.name, sizeof(c.hot.name), "c%d", i);
			registry_add(&registry, &c, NULL);
		}
	}
}
