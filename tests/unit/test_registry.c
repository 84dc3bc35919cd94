/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_segment.h"
#include "interrupt.h"
#include "prng.h"
#include "rcu.h"
#include "registry.h"

static char run_dir[] = "/tmp/haven-registry-XXXXXX";
static char file[64];
static struct registry node, reader;
static struct rcu_domain rcu;
static struct error_text error;
static const struct registry_config config = {.cluster = "demo",
					      .node = "a",
					      .release = "1.0",
					      .incarnation = 42,
					      .interval_ns = 500000,
					      .lease_ns = 10000000,
					      .shape = {.components = 256, .spare = 256}};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(run_dir));
	snprintf(file, sizeof(file), "%s/%s", run_dir, REGISTRY_FILE);
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&rcu, &node.header->rcu_epoch);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0, "%s", error.text);
}

static void teardown(void)
{
	registry_close(&reader);
	registry_destroy(&node);
	unlink(file);
	rmdir(run_dir);
}

TestSuite(registry, .init = setup, .fini = teardown);

static struct registry_component component(const char *name, uint8_t instances)
{
	struct registry_component c = {.hot.instances = instances, .cold.pid = getpid()};

	strncpy(c.hot.name, name, sizeof(c.hot.name) - 1);
	strcpy(c.cold.group, "nat");
	return c;
}

static uint64_t add(const char *name, uint8_t instances)
{
	struct registry_component c = component(name, instances);

	cr_assert_eq(registry_add(&node, &c, &error), 0, "%s", error.text);
	return c.hot.handle;
}

/* ---- the file ------------------------------------------------------------------------------ */

Test(registry, a_reader_sees_what_the_node_is)
{
	struct stat st;

	cr_assert_str_eq(reader.header->cluster, "demo");
	cr_assert_str_eq(reader.header->node, "a");
	cr_assert_eq(reader.header->incarnation, 42);
	cr_assert_eq(reader.header->lease_ns, 10000000);
	cr_assert_eq(reader.header->rcu_epoch, 1);
	cr_assert(registry_writer_alive(&reader));
	cr_assert_eq(stat(file, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
}

Test(registry, the_descriptor_for_clients_cannot_be_written)
{
	struct registry other;

	cr_assert_eq(fcntl(node.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert_eq(registry_open_fd(&other, node.fd, &error), 0, "%s", error.text);
	cr_assert_eq(other.header->incarnation, 42);
	registry_close(&other);
	cr_assert_neq(fcntl(node.fd, F_GETFD), -1, "the descriptor stays the caller's");
}

Test(registry, a_file_can_be_opened_by_its_own_path)
{
	struct registry other;

	cr_assert_eq(registry_open(&other, file, &error), 0, "%s", error.text);
	registry_close(&other);
}

Test(registry, a_new_node_replaces_the_file_and_old_readers_keep_theirs)
{
	struct registry_config next = config;
	struct registry second, fresh;
	char aside[80];
	int fd;

	/* what a node that died while it made the file left behind */
	snprintf(aside, sizeof(aside), "%s.new", file);
	fd = open(aside, O_CREAT | O_WRONLY, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	next.incarnation = 43;
	cr_assert_eq(registry_create(&second, run_dir, &next, &error), 0, "%s", error.text);
	cr_assert_neq(access(aside, F_OK), 0);
	cr_assert_eq(registry_open(&fresh, run_dir, &error), 0);
	cr_assert_eq(fresh.header->incarnation, 43);
	cr_assert_eq(reader.header->incarnation, 42);
	registry_close(&fresh);
	registry_destroy(&second);
}

Test(registry, a_prepared_registry_is_seen_when_it_is_published_and_not_before)
{
	struct registry_component c = {.hot.name = "early"}, out;
	struct registry second, fresh;
	char aside[80];

	snprintf(aside, sizeof(aside), "%s.new", file);
	cr_assert_eq(registry_prepare(&second, run_dir, &config, &error), 0, "%s", error.text);
	cr_assert_eq(registry_add(&second, &c, &error), 0);
	cr_assert_eq(registry_find_copy(&reader, "early", &out), -HAVEN_ENOENT);
	cr_assert_eq(registry_open(&fresh, run_dir, &error), 0);
	cr_assert_eq(registry_find_copy(&fresh, "early", &out), -HAVEN_ENOENT, "still the old one");
	registry_close(&fresh);
	cr_assert_eq(registry_publish(&second, &error), 0, "%s", error.text);
	cr_assert_eq(registry_open(&fresh, run_dir, &error), 0);
	cr_assert_eq(registry_find_copy(&fresh, "early", &out), 0);
	registry_close(&fresh);
	registry_destroy(&second);
	cr_assert_eq(registry_prepare(&second, run_dir, &config, &error), 0);
	registry_discard(&second);
	cr_assert_null(second.base);
	cr_assert_neq(access(aside, F_OK), 0, "nothing is left behind");
	cr_assert_eq(registry_open(&fresh, run_dir, &error), 0);
	cr_assert_eq(registry_find_copy(&fresh, "early", &out), 0);
	registry_close(&fresh);
	cr_assert_eq(registry_prepare(&second, run_dir, &config, &error), 0);
	cr_assert_eq(unlink(aside), 0);
	cr_assert_eq(registry_publish(&second, &error), -HAVEN_ENOENT);
	cr_assert_null(second.base);
}

Test(registry, a_successor_starts_above_all_that_its_predecessor_has_shown)
{
	uint64_t generation = 7, epoch = 7, most = 0;
	struct registry_config next = config;
	struct registry second;

	registry_gate_set(&node, 3, HAVEN_PRIMARY, 1, 99);
	rcu_retire_epoch(&rcu);
	cr_assert_eq(registry_floors(&reader, &generation, &epoch), 0);
	for (uint32_t i = 0; i < reader.shape.gates; i++)
		most = reader.gates[i].generation > most ? reader.gates[i].generation : most;
	cr_assert_gt(generation << 16, most);
	cr_assert_geq(generation, reader.header->generation);
	cr_assert_eq(epoch, 7, "a floor that is higher stays");
	epoch = 0;
	cr_assert_eq(registry_floors(&reader, &generation, &epoch), 0);
	cr_assert_eq(epoch, reader.header->rcu_epoch);
	next.generation_floor = generation;
	next.rcu_epoch_floor = epoch;
	cr_assert_eq(registry_create(&second, run_dir, &next, &error), 0, "%s", error.text);
	cr_assert_gt(second.header->rcu_epoch, reader.header->rcu_epoch);
	for (uint32_t i = 0; i < second.shape.gates; i++)
		cr_assert_gt(second.gates[i].generation, most);
	registry_destroy(&second);
}

Test(registry, numbers_that_no_node_can_reach_are_no_floor)
{
	uint64_t generation = 5, epoch = 6;

	node.header->generation = REGISTRY_GENERATION_MAX + 1;
	cr_assert_eq(registry_floors(&reader, &generation, &epoch), -HAVEN_ECORRUPT);
	node.header->generation = 1;
	node.header->rcu_epoch = UINT64_MAX;
	cr_assert_eq(registry_floors(&reader, &generation, &epoch), -HAVEN_ECORRUPT);
	node.header->rcu_epoch = 1;
	node.gates[0].generation = UINT64_MAX;
	cr_assert_eq(registry_floors(&reader, &generation, &epoch), -HAVEN_ECORRUPT);
	cr_assert(generation == 5 && epoch == 6);
}

Test(registry, the_nodes_own_truth_is_found_by_name_and_by_slot)
{
	struct registry_component c = {.hot.name = "own"};
	const struct registry_hot *own;

	cr_assert_null(registry_own_find(&node, "own"));
	cr_assert_eq(registry_add(&node, &c, &error), 0);
	own = registry_own_find(&node, "own");
	cr_assert_eq(own->handle, c.hot.handle);
	cr_assert_eq(registry_own_slot(&node, registry_slot_of(c.hot.handle)), own);
	cr_assert_null(registry_own_slot(&node, node.components));
	cr_assert_null(registry_own_find(&node, ""));
	cr_assert_null(registry_own_find(&node, "own2"));
	cr_assert_eq(registry_remove(&node, c.hot.handle, &rcu), 0);
	cr_assert_null(registry_own_find(&node, "own"));
	cr_assert_null(registry_own_slot(&node, registry_slot_of(c.hot.handle)));
}

Test(registry, after_a_loss_new_components_leave_the_first_slots_to_old_handles)
{
	struct registry_component c = {.hot.name = "new"}, back = {.hot.name = "back"};
	struct registry_config next = config;
	struct registry second;

	next.after_loss = true;
	cr_assert_eq(registry_create(&second, run_dir, &next, &error), 0, "%s", error.text);
	cr_assert_eq(registry_add(&second, &c, &error), 0);
	cr_assert_eq(registry_slot_of(c.hot.handle), second.components / 2);
	back.hot.handle = second.header->generation << REGISTRY_SLOT_BITS;
	cr_assert_eq(registry_adopt(&second, &back, &error), 0, "%s", error.text);
	for (uint32_t i = 2; i < second.components; i++) {
		snprintf(c.hot.name, sizeof(c.hot.name), "new%u", i);
		cr_assert_eq(registry_add(&second, &c, &error), 0, "every slot is given out");
	}
	registry_destroy(&second);
}

Test(registry, an_object_half_filled_is_no_copy_of_a_dead_registry)
{
	struct registry_component c = {.hot.name = "torn"}, out;
	uint32_t slot;

	cr_assert_eq(registry_add(&node, &c, &error), 0);
	slot = registry_slot_of(c.hot.handle);
	cr_assert_eq(registry_copy_dead(&reader, slot, &out), 0);
	cr_assert_str_eq(out.hot.name, "torn");
	node.hot[node.directory[slot] - 1].version |= 1;
	cr_assert_eq(registry_copy_dead(&reader, slot, &out), -HAVEN_EAGAIN);
	node.directory[slot] = 0;
	cr_assert_eq(registry_copy_dead(&reader, slot, &out), -HAVEN_ENOENT);
	cr_assert_eq(registry_copy_dead(&reader, reader.components, &out), -HAVEN_ENOENT);
}

Test(registry, an_orderly_stop_is_told_to_readers_afterwards)
{
	struct registry late;

	cr_assert_eq(reader.header->stopped_ns, 0);
	registry_destroy(&node);
	cr_assert_neq(reader.header->stopped_ns, 0);
	cr_assert_eq(registry_open(&late, run_dir, &error), 0, "the file stays for readers");
	registry_close(&late);
}

Test(registry, a_directory_that_is_missing_or_a_name_too_long_is_refused)
{
	struct registry other;
	struct registry_config bad = config;

	cr_assert_eq(registry_create(&other, "/tmp/haven-none/none", &config, &error),
		     -HAVEN_ENOENT);
	cr_assert_not_null(strstr(error.text, "/tmp/haven-none/none"), "%s", error.text);
	bad.node = "a-name-that-is-much-longer-than-a-name-may-be";
	cr_assert_eq(registry_create(&other, run_dir, &bad, &error), -HAVEN_EINVAL);
	cr_assert_eq(registry_open(&other, "/tmp/haven-none", &error), -HAVEN_ENOENT);
	cr_assert_not_null(strstr(error.text, "/tmp/haven-none"), "%s", error.text);
	cr_assert_eq(access(file, F_OK), 0, "the old registry is untouched");
}

static int open_changed(size_t offset, const void *bytes, size_t n)
{
	struct registry other;
	uint8_t old[16];
	int fd = open(file, O_RDWR), status;

	cr_assert_eq(pread(fd, old, n, (off_t)offset), (ssize_t)n);
	cr_assert_eq(pwrite(fd, bytes, n, (off_t)offset), (ssize_t)n);
	status = registry_open(&other, run_dir, &error);
	if (status == 0)
		registry_close(&other);
	cr_assert_eq(pwrite(fd, old, n, (off_t)offset), (ssize_t)n);
	close(fd);
	return status;
}

#define CHANGED(field, value)                                                                      \
	open_changed(offsetof(struct registry_header, field),                                      \
		     &(__typeof__(((struct registry_header *)0)->field)){value},                   \
		     sizeof(((struct registry_header *)0)->field))

Test(registry, open_refuses_what_it_does_not_know_and_says_why)
{
	struct registry other;
	FILE *f;

	cr_assert_eq(CHANGED(magic, 5), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(layout_version, 77), -HAVEN_EVERSION);
	cr_assert_not_null(strstr(error.text, "77"), "%s", error.text);
	cr_assert_not_null(strstr(error.text, "knows 5"), "%s", error.text);
	cr_assert_eq(CHANGED(size_bytes, 1), -HAVEN_ESIZE);
	cr_assert_eq(CHANGED(header_bytes, 8), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(status_offset, 1ull << 40), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(gates_offset, UINT64_MAX - 63), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(lanes_offset, 4097), -HAVEN_ECORRUPT, "unaligned");
	cr_assert_eq(CHANGED(checkpoints_offset, 1ull << 40), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(index_offset, 0), -HAVEN_ECORRUPT, "inside the header");
	cr_assert_eq(CHANGED(buckets, 1000), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(buckets, 0), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(shape.components, 1u << 20), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(shape.events, 1u << 31), -HAVEN_ECORRUPT);
	cr_assert_eq(CHANGED(shape.spare, UINT32_MAX), -HAVEN_ECORRUPT);
	cr_assert_eq(
		open_changed(offsetof(struct registry_header, cluster), "0123456789abcdef", 16), 0,
		"half a name is still terminated");

	cr_assert_eq(truncate(file, 100), 0);
	cr_assert_eq(registry_open(&other, run_dir, &error), -HAVEN_ESIZE);
	unlink(file);
	cr_assert_eq(registry_open(&other, run_dir, &error), -HAVEN_ENOENT);
	cr_assert_eq(mkfifo(file, 0600), 0);
	cr_assert_eq(registry_open(&other, run_dir, &error), -HAVEN_EINVAL);
	unlink(file);
	f = fopen(file, "w");
	for (int i = 0; i < 10000; i++)
		fputs("not a registry ", f);
	fclose(f);
	cr_assert_eq(registry_open(&other, run_dir, &error), -HAVEN_ECORRUPT);
}

Test(registry, a_killed_node_is_known_as_dead)
{
	int ends[2];
	pid_t pid;
	char x;

	registry_close(&reader);
	cr_assert_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct registry own;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
		if (registry_create(&own, run_dir, &config, NULL) != 0 ||
		    write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(ends[0], &x, 1), 1);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0);
	cr_assert(registry_writer_alive(&reader));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert(!registry_writer_alive(&reader));
	cr_assert_eq(reader.header->stopped_ns, 0);
}

/* ---- components ------------------------------------------------------------------------------ */

Test(registry, an_added_component_is_found_by_name_and_handle)
{
	uint64_t handle = add("nat", 2);
	const struct registry_hot *c = registry_find(&reader, "nat");
	struct registry_component copy;

	cr_assert_not_null(c);
	cr_assert_eq(c->handle, handle);
	cr_assert_eq(registry_get(&reader, handle), c);
	cr_assert_eq(registry_find_copy(&reader, "nat", &copy), 0);
	cr_assert_str_eq(copy.cold.group, "nat");
	cr_assert_eq(registry_copy_slot(&reader, registry_slot_of(handle), &copy), 0);
	cr_assert_str_eq(copy.hot.name, "nat");
	cr_assert_null(registry_find(&reader, "na"));
	cr_assert_null(registry_find(&reader, ""));
	cr_assert_null(registry_find(&reader, "a-name-that-is-much-longer-than-a-name-may-be"));
	cr_assert_null(registry_get(&reader, handle + (1 << REGISTRY_SLOT_BITS)));
	cr_assert_null(registry_get(&reader, UINT64_MAX));
	cr_assert_eq(registry_find_copy(&reader, "none", &copy), -HAVEN_ENOENT);
	cr_assert_eq(registry_copy_slot(&reader, 1u << 20, &copy), -HAVEN_ENOENT);
	cr_assert_eq(registry_copy_slot(&reader, 200, &copy), -HAVEN_ENOENT);
}

Test(registry, a_second_component_of_the_name_is_refused_and_changes_nothing)
{
	uint64_t handle = add("nat", 1);
	struct registry_component c = component("nat", 1);

	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EEXIST);
	cr_assert_not_null(strstr(error.text, "nat"));
	cr_assert_eq(registry_find(&reader, "nat")->handle, handle);
}

Test(registry, names_and_counts_out_of_range_are_refused)
{
	struct registry_component c = component("", 1);

	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EINVAL);
	memset(c.hot.name, 'x', sizeof(c.hot.name));
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EINVAL);
	c = component("many", HAVEN_INSTANCES_MAX + 1);
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EINVAL);
}

Test(registry, an_update_replaces_the_object_and_keeps_what_is_fixed)
{
	uint64_t handle = add("nat", 2);
	struct registry_component c;
	const struct registry_hot *before, *after;

	before = registry_find(&reader, "nat");
	cr_assert_eq(registry_copy_slot(&reader, registry_slot_of(handle), &c), 0);
	c.hot.flags = REGISTRY_READY;
	c.hot.instances = 9;
	c.hot.gate_first = 77;
	strcpy(c.hot.name, "other");
	cr_assert_eq(registry_update(&node, &c, &rcu), 0);
	after = registry_find(&reader, "nat");
	cr_assert_neq(after, before);
	cr_assert_eq(after->flags, REGISTRY_READY);
	cr_assert_eq(after->instances, 2);
	cr_assert_eq(after->gate_first, before->gate_first);
	cr_assert_eq(after->handle, handle);
	cr_assert_null(registry_find(&reader, "other"));
	cr_assert_eq(before->flags, 0, "a reader's old object is untouched");
	cr_assert_eq(registry_update(&node, &c, &rcu), 0);
	cr_assert_eq(registry_find(&reader, "nat"), after, "nothing changed, nothing replaced");
}

Test(registry, a_removed_component_is_gone_and_its_handle_is_stale_for_ever)
{
	uint64_t handle = add("nat", 1), again;
	struct registry_component c = component("nat", 1);

	cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
	cr_assert_null(registry_find(&reader, "nat"));
	cr_assert_null(registry_get(&reader, handle));
	cr_assert_eq(registry_remove(&node, handle, &rcu), -HAVEN_ESTALE);
	c.hot.handle = handle;
	cr_assert_eq(registry_update(&node, &c, &rcu), -HAVEN_ESTALE);
	registry_reclaim(&node, &rcu);
	again = add("nat", 1);
	cr_assert_neq(again, handle);
	cr_assert_null(registry_get(&reader, handle));
	c.hot.handle = REGISTRY_COMPONENTS_LIMIT - 1;
	cr_assert_eq(registry_update(&node, &c, &rcu), -HAVEN_ESTALE);
}

Test(registry, handles_are_never_reused)
{
	uint64_t last = 0;

	for (int i = 0; i < 5000; i++) {
		uint64_t handle = add("nat", 1);

		cr_assert_gt(handle >> REGISTRY_SLOT_BITS, last);
		last = handle >> REGISTRY_SLOT_BITS;
		cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
		registry_reclaim(&node, &rcu);
	}
}

Test(registry, every_name_is_found_whatever_was_removed_before)
{
	uint64_t handle[100] = {0};
	struct prng p = {.state = 11};

	for (int round = 0; round < 20000; round++) {
		unsigned n = (unsigned)prng_below(&p, 100);
		char name[HAVEN_NAME_MAX];

		snprintf(name, sizeof(name), "component-%u", n);
		if (handle[n]) {
			cr_assert_eq(registry_find(&reader, name)->handle, handle[n]);
			cr_assert_eq(registry_remove(&node, handle[n], &rcu), 0);
			handle[n] = 0;
			cr_assert_null(registry_find(&reader, name));
		} else {
			cr_assert_null(registry_find(&reader, name));
			handle[n] = add(name, (uint8_t)prng_below(&p, 3));
		}
		registry_reclaim(&node, &rcu);
		if (round % 500 == 0)
			for (unsigned i = 0; i < 100; i++) {
				snprintf(name, sizeof(name), "component-%u", i);
				cr_assert_eq(registry_find(&reader, name) != NULL, handle[i] != 0);
			}
	}
}

Test(registry, look_ups_stay_short_after_many_removals)
{
	unsigned used = 0;

	for (int i = 0; i < 20000; i++) {
		char name[HAVEN_NAME_MAX];
		uint64_t handle;

		snprintf(name, sizeof(name), "c%d", i);
		handle = add(name, 0);
		cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
		registry_reclaim(&node, &rcu);
	}
	for (uint32_t i = 0; i <= node.bucket_mask; i++) {
		used += node.index[i].overflow;
		for (unsigned k = 0; k < REGISTRY_BUCKET_ENTRIES; k++)
			used += node.index[i].place[k] != 0;
	}
	cr_assert_eq(used, 0, "%u entries are left", used);
}

Test(registry, when_it_is_full_adding_is_refused_and_the_others_work_on)
{
	struct registry_component c;
	char name[HAVEN_NAME_MAX];
	uint64_t first = 0;

	for (unsigned i = 0; i < node.components; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		first = i ? first : add(name, 1);
		if (i)
			add(name, 1);
	}
	c = component("one-more", 0);
	cr_assert_eq(registry_add(&node, &c, &error), -HAVEN_EFULL);
	cr_assert_not_null(strstr(error.text, "one-more"));
	cr_assert_eq(registry_copy_slot(&node, registry_slot_of(first), &c), 0);
	c.hot.flags = REGISTRY_READY;
	cr_assert_eq(registry_update(&node, &c, &rcu), 0);
	cr_assert_eq(registry_remove(&node, first, &rcu), 0);
	registry_reclaim(&node, &rcu);
	add("one-more", 1);
}

/* ---- grace ------------------------------------------------------------------------------------
 */

Test(registry, what_a_reader_may_hold_is_not_reused)
{
	uint64_t word = 0, handle = add("nat", 1);
	const struct registry_hot *held;
	int slot = rcu_slot_add(&rcu, &word), lanes;
	uint32_t gate;

	rcu_enter(&reader.header->rcu_epoch, &word);
	held = registry_find(&reader, "nat");
	gate = held->gate_first;
	lanes = registry_lanes_reserve(&node, 2);
	cr_assert_eq(registry_lanes_give(&node, (uint32_t)lanes, 2, handle), 0);
	cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
	for (int i = 0; i < 100; i++) {
		struct registry_component c = component("other", 1);

		registry_reclaim(&node, &rcu);
		cr_assert_eq(registry_add(&node, &c, &error), 0);
		cr_assert_neq(registry_find(&reader, "other"), held);
		cr_assert_neq(c.hot.gate_first, gate);
		cr_assert_neq(registry_slot_of(c.hot.handle), registry_slot_of(handle));
		cr_assert_eq(registry_remove(&node, c.hot.handle, &rcu), 0);
	}
	cr_assert_str_eq(held->name, "nat");
	cr_assert_neq(registry_lanes_reserve(&node, 2), lanes);
	cr_assert_neq(rcu.grace_from_ns, 0);
	rcu_leave(&word);
	for (int i = 0; i < 20; i++)
		registry_reclaim(&node, &rcu);
	cr_assert_eq(rcu.grace_from_ns, 0, "nothing waits any more");
	cr_assert_gt(rcu.grace_max_ns, 0);
	cr_assert_eq(registry_lanes_reserve(&node, 2), lanes);
	rcu_slot_drop(&rcu, slot);
}

Test(registry, a_reader_that_never_moves_cannot_break_the_node)
{
	uint64_t word = 1, handle = add("nat", 1);
	struct registry_component c;
	int status = 0, updates = 0;

	rcu_slot_add(&rcu, &word);
	cr_assert_eq(registry_copy_slot(&node, registry_slot_of(handle), &c), 0);
	while (status == 0 && updates < 100000) {
		c.cold.registered_ns++;
		status = registry_update(&node, &c, &rcu);
		registry_reclaim(&node, &rcu);
		updates++;
	}
	cr_assert_eq(status, -HAVEN_EFULL);
	cr_assert_eq((unsigned)updates, node.shape.spare + 1);
	cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
	add("room-for-adding-is-kept", 1);
	word = 0;
	for (int i = 0; i < 100; i++)
		registry_reclaim(&node, &rcu);
	add("new", 1);
}

/* ---- lanes and gates --------------------------------------------------------------------------
 */

Test(registry, lane_lines_are_contiguous_distinct_and_come_back)
{
	int a = registry_lanes_reserve(&node, 8), b = registry_lanes_reserve(&node, 4), c;

	cr_assert_eq(a, 0);
	cr_assert_eq(b, 8);
	registry_lanes_release(&node, 0, 8, &rcu);
	registry_reclaim(&node, &rcu);
	cr_assert_eq(registry_lanes_reserve(&node, 9), 12);
	cr_assert_eq(registry_lanes_reserve(&node, 8), 0);
	cr_assert_eq(registry_lanes_reserve(&node, node.shape.lanes), -HAVEN_EFULL);
	cr_assert_eq(registry_lanes_reserve(&node, 0), -HAVEN_EFULL);
	c = registry_lanes_reserve(&node, node.shape.lanes - 21);
	cr_assert_eq(c, 21);
	cr_assert_eq(registry_lanes_reserve(&node, 1), -HAVEN_EFULL);
	/* releasing twice, or what is out of range, is harmless */
	for (int i = 0; i < 3; i++) {
		registry_lanes_release(&node, 21, 5, &rcu);
		registry_lanes_release(&node, UINT32_MAX, 5, &rcu);
		registry_lanes_release(&node, 250, 500, &rcu);
		registry_reclaim(&node, &rcu);
	}
	cr_assert_eq(registry_lanes_reserve(&node, 5), 21);
	cr_assert_eq(registry_lanes_reserve(&node, 1), -HAVEN_EFULL);
}

Test(registry, removing_a_component_frees_its_lane_lines_wherever_they_stand)
{
	uint64_t mine = add("mine", 1), other = add("other", 1);
	const uint64_t owner[] = {mine, other, mine, mine, other};

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(owner); i++) {
		int lane = registry_lanes_reserve(&node, 2);

		cr_assert_eq(lane, 2 * (int)i);
		cr_assert_eq(registry_lanes_give(&node, (uint32_t)lane, 2, owner[i]), 0);
	}
	cr_assert_eq(registry_remove(&node, mine, &rcu), 0);
	registry_reclaim(&node, &rcu);
	cr_assert_eq(registry_lanes_reserve(&node, 4), 4);
	cr_assert_eq(registry_lanes_reserve(&node, 2), 0);
	cr_assert_eq(registry_lanes_reserve(&node, 2), 10);
}

Test(registry, a_gates_generation_grows_with_role_and_epoch_only)
{
	uint64_t handle = add("nat", 2);
	const struct registry_hot *c = registry_get(&reader, handle);
	const struct registry_gate *g = &reader.gates[c->gate_first + 1];
	uint32_t gate = c->gate_first + 1u;
	uint64_t start = g->generation;
	struct registry_gate copy;

	cr_assert_neq(start, 0, "a new worker has confirmed nothing yet");
	cr_assert_eq(g->instance, c->instance_first + 1);
	registry_gate_set(&node, gate, HAVEN_SECONDARY, 5, 1000);
	cr_assert_eq(g->generation, start + 1);
	cr_assert_eq(g->valid_until_ns, 0, "only a primary's gate opens");
	registry_gate_set(&node, gate, HAVEN_PRIMARY, 6, 1000);
	cr_assert_eq(g->generation, start + 2);
	cr_assert_eq(g->valid_until_ns, 1000);
	registry_gate_set(&node, gate, HAVEN_PRIMARY, 6, 2000);
	registry_gate_renew(&node, gate, 3000);
	cr_assert_eq(g->generation, start + 2);
	cr_assert_eq(g->valid_until_ns, 3000);
	cr_assert(registry_gate_copy(g, &copy));
	cr_assert_eq(copy.role, HAVEN_PRIMARY);
	cr_assert_eq(copy.epoch, 6);
	registry_gate_set(&node, gate, HAVEN_PRIMARY, 7, 4000);
	cr_assert_eq(g->generation, start + 3);
	registry_gate_renew(&node, gate, 0);
	cr_assert_eq(g->valid_until_ns, 0);
	registry_gate_set(&node, gate, HAVEN_OFFLINE, 8, 9000);
	registry_gate_renew(&node, gate, 9000);
	cr_assert_eq(g->valid_until_ns, 0);
}

Test(registry, removing_a_component_shuts_its_gates_at_once)
{
	uint64_t handle = add("nat", 1);
	const struct registry_gate *g = &reader.gates[registry_get(&reader, handle)->gate_first];
	uint32_t gate = (uint32_t)(g - reader.gates);
	uint64_t generation;

	registry_gate_set(&node, gate, HAVEN_PRIMARY, 3, UINT64_MAX);
	generation = g->generation;
	cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
	cr_assert_eq(g->valid_until_ns, 0);
	cr_assert_neq(g->role, HAVEN_PRIMARY);
	cr_assert_gt(g->generation, generation);
	registry_reclaim(&node, &rcu);
	generation = g->generation;
	cr_assert_eq(registry_find(&reader, "nat"), NULL);
	add("next", 1);
	cr_assert_gt(g->generation, generation, "the next owner starts unconfirmed");
}

/* ---- status ------------------------------------------------------------------------------------
 */

Test(registry, status_is_copied_whole_or_not_at_all)
{
	struct registry_status s;

	registry_status_begin(&node);
	node.status->epoch = 7;
	cr_assert_eq(registry_copy_status(&reader, &s), -HAVEN_EAGAIN);
	registry_status_end(&node);
	cr_assert_eq(registry_copy_status(&reader, &s), 0);
	cr_assert_eq(s.epoch, 7);
	registry_status_begin(&node);
	memset(node.status->peer, 'x', sizeof(node.status->peer));
	memset(node.status->instance, 'x', sizeof(node.status->instance));
	node.status->n_nodes = node.status->n_instances = 255;
	registry_status_end(&node);
	cr_assert_eq(registry_copy_status(&reader, &s), 0);
	cr_assert_eq(s.n_nodes, HAVEN_NODES_MAX);
	cr_assert_eq(s.n_instances, HAVEN_INSTANCES_MAX);
	cr_assert_lt(strnlen(s.peer[31].name, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
	cr_assert_lt(strnlen(s.instance[63].group, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
}

/* ---- readers beside the node -------------------------------------------------------------------
 */

#define ROUNDS 20000
static uint32_t stop, wrong;
static uint64_t word[2];

/** All fields of the test's objects follow from `registered_ns`. */
static void fill(struct registry_component *c, uint64_t n)
{
	c->cold.registered_ns = n;
	c->cold.pid_start_ticks = n;
	c->cold.pid = (int32_t)(n & 0x7fffffff);
	snprintf(c->cold.release, sizeof(c->cold.release), "%llu", (unsigned long long)n);
}

static bool whole(const struct registry_component *c)
{
	struct registry_component want = *c;

	memset(want.cold.release, 0, sizeof(want.cold.release));
	fill(&want, c->cold.registered_ns);
	return c->cold.pid_start_ticks == want.cold.pid_start_ticks &&
	       c->cold.pid == want.cold.pid && strcmp(c->cold.release, want.cold.release) == 0;
}

static bool found_whole(const struct registry_hot *hot, const char *name)
{
	struct registry_component c = {.hot = *hot, .cold = *registry_cold_of(&reader, hot)};

	return whole(&c) && strcmp(hot->name, name) == 0;
}

static void *slot_reader(void *argument)
{
	uint64_t *own = argument;

	while (!load_relaxed(&stop)) {
		const struct registry_hot *c;

		rcu_enter(&reader.header->rcu_epoch, own);
		c = registry_find(&reader, "steady");
		if (!c || !found_whole(c, "steady"))
			store_relaxed(&wrong, 1);
		c = registry_find(&reader, "flicker");
		if (c && !found_whole(c, "flicker"))
			store_relaxed(&wrong, 2);
		rcu_leave(own);
	}
	return NULL;
}

static void *tool_reader(void *unused)
{
	struct registry_component c;
	struct registry_status s;

	(void)unused;
	while (!load_relaxed(&stop)) {
		int status = registry_find_copy(&reader, "steady", &c);

		if (status == -HAVEN_ENOENT || (status == 0 && !whole(&c)))
			store_relaxed(&wrong, 3);
		status = registry_find_copy(&reader, "flicker", &c);
		if (status == 0 && (!whole(&c) || strcmp(c.hot.name, "flicker") != 0))
			store_relaxed(&wrong, 4);
		status = registry_copy_status(&reader, &s);
		if (status == 0 && (s.polls != s.frames_in || s.polls != s.instance[63].since_ns))
			store_relaxed(&wrong, 5);
	}
	return NULL;
}

Test(registry, readers_see_whole_objects_while_the_node_changes_them, .timeout = 60)
{
	struct registry_component steady = component("steady", 1), flicker;
	pthread_t thread[3];

	fill(&steady, 1);
	cr_assert_eq(registry_add(&node, &steady, &error), 0);
	for (int i = 0; i < 2; i++) {
		rcu_slot_add(&rcu, &word[i]);
		pthread_create(&thread[i], NULL, slot_reader, &word[i]);
	}
	pthread_create(&thread[2], NULL, tool_reader, NULL);
	for (uint64_t n = 2; n < ROUNDS; n++) {
		memset(steady.cold.release, 0, sizeof(steady.cold.release));
		fill(&steady, n);
		registry_update(&node, &steady, &rcu);
		flicker = component("flicker", 1);
		fill(&flicker, n);
		if (registry_add(&node, &flicker, NULL) == 0)
			cr_assert_eq(registry_remove(&node, flicker.hot.handle, &rcu), 0);
		registry_status_begin(&node);
		node.status->polls = node.status->frames_in = n;
		node.status->instance[63].since_ns = n;
		registry_status_end(&node);
		registry_reclaim(&node, &rcu);
	}
	store_relaxed(&stop, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	cr_assert_eq(wrong, 0, "reader saw a torn or missing object (%u)", wrong);
}

#define INTERRUPTS 30000u
static uint32_t interrupts;
static struct registry_component changing;

static void change_registry(int unused)
{
	uint64_t n = ++interrupts + 1;

	(void)unused;
	/* enough updates that places of objects come back under a reader */
	for (int i = 0; i < 4; i++) {
		memset(changing.cold.release, 0, sizeof(changing.cold.release));
		fill(&changing, n * 4 + (uint64_t)i);
		registry_update(&node, &changing, &rcu);
		registry_reclaim(&node, &rcu);
	}
	registry_status_begin(&node);
	node.status->polls = node.status->frames_in = n;
	node.status->instance[63].since_ns = n;
	registry_status_end(&node);
	registry_gate_set(&node, 5, n % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY, n, n);
}

Test(registry, a_tool_interrupted_anywhere_gets_whole_copies, .timeout = 60)
{
	uint32_t torn[4] = {0};

	changing = component("steady", 1);
	fill(&changing, 1);
	cr_assert_eq(registry_add(&node, &changing, &error), 0);
	interrupt_start(change_registry);
	while (load_relaxed(&interrupts) < INTERRUPTS) {
		struct registry_component c;
		struct registry_status s;
		struct registry_gate g;
		int status = registry_find_copy(&reader, "steady", &c);

		torn[0] += status == -HAVEN_ENOENT;
		torn[1] += status == 0 && !whole(&c);
		status = registry_copy_status(&reader, &s);
		torn[2] += status == 0 &&
			   (s.polls != s.frames_in || s.polls != s.instance[63].since_ns);
		torn[3] += registry_gate_copy(&reader.gates[5], &g) && g.epoch &&
			   g.role != (g.epoch % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY);
	}
	interrupt_stop();
	cr_assert_eq(torn[0], 0, "steady was missed %u times", torn[0]);
	cr_assert_eq(torn[1], 0, "%u torn objects", torn[1]);
	cr_assert_eq(torn[2], 0, "%u torn status blocks", torn[2]);
	cr_assert_eq(torn[3], 0, "%u torn gates", torn[3]);
}

/* ---- hostile content
 * ----------------------------------------------------------------------------- */

static void read_everything(struct registry *r)
{
	static struct registry_status s;
	struct registry_component c;
	uint64_t position = 0, missed = 0;
	struct event e;

	registry_find(r, "nat");
	registry_find(r, "none");
	registry_find_copy(r, "nat", &c);
	for (uint32_t i = 0; i < r->components; i += 7) {
		const struct registry_hot *o = registry_get(r, (1 << REGISTRY_SLOT_BITS) | i);

		if (o)
			cr_assert_eq(registry_slot_of(o->handle), i);
		if (registry_copy_slot(r, i, &c) == 0)
			cr_assert_lt(strnlen(c.hot.name, HAVEN_NAME_MAX), HAVEN_NAME_MAX);
	}
	registry_copy_status(r, &s);
	for (int i = 0; i < 3; i++)
		event_ring_read(r->events, r->shape.events, &position, &e, &missed);
	registry_writer_alive(r);
}

Test(registry, readers_survive_any_change_of_any_byte, .timeout = 60)
{
	struct registry_header good;
	struct prng p = {.state = 99};
	uint64_t from[5] = {0};
	int fd, opened = 0;

	for (int i = 0; i < 20; i++) {
		char name[HAVEN_NAME_MAX];

		snprintf(name, sizeof(name), i ? "c%d" : "nat", i);
		add(name, 1);
	}
	fd = open(file, O_RDWR);
	memcpy(&good, node.header, sizeof(good));
	/* Offsets as the test knows them: the header's own words are among what is changed. */
	from[1] = node.header->index_offset;
	from[2] = node.header->directory_offset;
	from[3] = node.header->hot_offset;
	from[4] = node.header->events_offset;
	for (int round = 0; round < 1500; round++) {
		unsigned where = (unsigned)prng_below(&p, HAVEN_ARRAY_LEN(from));
		struct registry other;

		for (int i = 0; i < 40; i++) {
			off_t at = (off_t)(from[where] + prng_below(&p, where ? 4096 : 512));
			uint64_t value = prng_next(&p) >> prng_below(&p, 64);
			size_t n = 1 + prng_below(&p, 8);

			cr_assert_eq(pwrite(fd, &value, n, at), (ssize_t)n);
		}
		read_everything(&reader);
		if (registry_open(&other, run_dir, &error) == 0) {
			opened++;
			read_everything(&other);
			registry_close(&other);
		}
		if (round % 10 == 0) /* and from the good header again */
			cr_assert_eq(pwrite(fd, &good, sizeof(good), 0), (ssize_t)sizeof(good));
	}
	cr_assert_gt(opened, 0);
	close(fd);
}

/* ---- counters ------------------------------------------------------------------------------ */

Test(registry, what_the_node_counts_is_read_by_others_and_after_its_end)
{
	const struct counter_spec spec = {.name = "polls", .unit = "turns", .help = "Turns."};
	struct registry_report report;
	struct counters_view view;
	struct counter_entry entry;
	uint64_t *polls = NULL;

	cr_assert_eq(counters_add(registry_counters(&node), &spec, &polls, &error), 0, "%s",
		     error.text);
	store_relaxed(polls, 5);
	cr_assert_eq(registry_check(&reader, &report, NULL, NULL), 0);
	cr_assert_eq(report.counters, 1);
	registry_destroy(&node);
	cr_assert_eq(counters_open(&view, reader.counters, reader.shape.counters_bytes, &error), 0);
	cr_assert_eq(counters_get(&view, 0, &entry), 0);
	cr_assert_str_eq(entry.name, "polls");
	cr_assert_eq(counters_value(&view, &entry), 5);
}

Test(registry, the_check_finds_a_damaged_counter)
{
	const struct counter_spec spec = {.name = "polls"};
	struct registry_report report;
	uint64_t *polls = NULL;

	cr_assert_eq(counters_add(registry_counters(&node), &spec, &polls, &error), 0);
	node.counters[sizeof(struct counters_head)] = 'P';
	cr_assert_eq(registry_check(&reader, &report, NULL, NULL), -HAVEN_ECORRUPT);
	cr_assert_eq(report.findings, 1);
	node.counters[0] ^= 1;
	cr_assert_eq(registry_check(&reader, &report, NULL, NULL), -HAVEN_ECORRUPT);
}

Test(registry, grace_periods_and_what_waits_for_them_are_counted)
{
	const struct counter_spec spec = {
		.name = "grace", .kind = COUNTER_HISTOGRAM, .top_bits = 36};
	static struct histogram_copy copy;
	uint64_t slot = 1, nat = add("nat", 1);
	struct registry_component c;
	struct histogram grace;

	cr_assert_eq(counters_add_histogram(registry_counters(&node), &spec, &grace, &error), 0);
	rcu.grace = &grace;
	cr_assert_geq(rcu_slot_add(&rcu, &slot), 0);
	cr_assert_eq(registry_get_copy(&node, nat, &c), 0);
	c.hot.load = 7;
	cr_assert_eq(registry_update(&node, &c, &rcu), 0);
	cr_assert_eq(registry_remove(&node, nat, &rcu), 0);
	registry_reclaim(&node, &rcu);
	cr_assert_eq(registry_used(&node).held, 1);
	cr_assert_eq(registry_used(&node).retired, 2);
	cr_assert_eq(registry_used(&node).components, 1);
	slot = 0;
	registry_reclaim(&node, &rcu);
	cr_assert_eq(registry_used(&node).held, 0);
	cr_assert_eq(registry_used(&node).retired, 0);
	cr_assert_eq(registry_used(&node).components, 0);
	histogram_copy(grace.words, grace.last + 1, &copy);
	cr_assert_eq(copy.count, 2);
	cr_assert_eq(copy.max, rcu.grace_max_ns);
}
