/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry's check: each kind of damage, planted by hand, is found under its own name, and what
 * a death of the node may leave is told as unfinished.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "rcu.h"
#include "registry.h"
#include "registry_check.h"
#include "step.h"
#include "table.h"

FAULT(void *, NULL, malloc, (size_t bytes), (bytes))
FAULT(void *, NULL, calloc, (size_t n, size_t bytes), (n, bytes))

/** What the "node" does while the check steps aside; gets the number of the time. */
static void (*yielded)(unsigned times);
static unsigned yields;

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
	if (yielded)
		yielded(++yields);
	return 0;
}

static char run_dir[] = "/tmp/haven-check-XXXXXX";
static char file[64];
static struct registry node, reader;
static struct rcu_domain rcu;
static struct error_text error;
static uint64_t handle[2];

static const struct registry_config config = {.node = "a",
					      .incarnation = 42,
					      .shape = {.components = 20,
							.spare = 8,
							.gates = 8,
							.lanes = 8,
							.clients = 1,
							.events = 4,
							.changes = 4,
							.counters_bytes = 4096}};

static uint64_t add(const char *name, uint16_t instances)
{
	struct registry_component c = {.hot.instances = instances};

	snprintf(c.hot.name, sizeof(c.hot.name), "%s", name);
	cr_assert_eq(registry_add(&node, &c, &error), 0, "%s", error.text);
	return c.hot.handle;
}

/** A whole registry with two components, "a" with two gates and "b" with one. */
static void make(void)
{
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&rcu, &node.header->rcu_epoch);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0, "%s", error.text);
	handle[0] = add("a", 2);
	handle[1] = add("b", 1);
}

/** Lane lines 0 and 1 are those of a region of "a": five blocks, three of them in lane 0. */
static void give_lanes(void)
{
	const struct table_shape shape = {.name = "flows",
					  .kind = TABLE_REGION,
					  .key_bytes = 4,
					  .value_bytes = 64,
					  .capacity = 5,
					  .lanes = 2,
					  .lane_records = 64};
	struct table_geometry g;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	cr_assert_eq(registry_lanes_reserve(&node, 2), 0);
	cr_assert_eq(registry_lanes_describe(&node, 0, &g), 0);
	node.lanes[1].lane = 1;
	cr_assert_eq(registry_lanes_give(&node, 0, 2, handle[0]), 0);
}

static void drop(void)
{
	registry_close(&reader);
	registry_destroy(&node);
	unlink(file);
}

static void setup(void)
{
	cr_assert_not_null(mkdtemp(run_dir));
	snprintf(file, sizeof(file), "%s/%s", run_dir, REGISTRY_FILE);
	make();
}

static void teardown(void)
{
	yielded = NULL;
	drop();
	rmdir(run_dir);
}

TestSuite(registry_check, .init = setup, .fini = teardown);

static unsigned found[REGISTRY_FINDING_COUNT];
static char sentences[4000];
static struct registry_report report;

static void note(void *context, enum registry_finding kind, const char *sentence)
{
	size_t at = strlen(sentences);

	(void)context;
	found[kind]++;
	snprintf(sentences + at, sizeof(sentences) - at, "%s: %s\n", registry_finding_name(kind),
		 sentence);
}

static int check(void)
{
	memset(found, 0, sizeof(found));
	sentences[0] = 0;
	yields = 0;
	return registry_check(&reader, &report, note, NULL);
}

static void expect(enum registry_finding kind, const char *what)
{
	int status = check();

	cr_expect_gt(found[kind], 0, "%s: %s was not found but:\n%s", what,
		     registry_finding_name(kind), sentences);
	cr_expect_eq(status, report.findings ? -HAVEN_ECORRUPT : 0);
	if (kind == REGISTRY_UNFINISHED)
		cr_expect_eq(report.findings, 0, "%s: an error was told:\n%s", what, sentences);
	else
		cr_expect_gt(report.findings, 0);
}

/** On a fresh registry: after the statements the check finds this. */
#define FINDS(kind, ...)                                                                           \
	do {                                                                                       \
		drop();                                                                            \
		make();                                                                            \
		__VA_ARGS__;                                                                       \
		expect(kind, #__VA_ARGS__);                                                        \
	} while (0)

static uint32_t slot(unsigned i)
{
	return registry_slot_of(handle[i]);
}

static struct registry_hot *hot(unsigned i)
{
	return &node.hot[node.directory[slot(i)] - 1];
}

static struct registry_cold *cold(unsigned i)
{
	return &node.cold[node.directory[slot(i)] - 1];
}

/** Bucket and number of the entry that shows the component. */
static struct registry_bucket *entry(unsigned i, unsigned *number)
{
	for (uint32_t b = 0; b <= node.bucket_mask; b++) {
		for (*number = 0; *number < REGISTRY_BUCKET_ENTRIES; ++*number) {
			if (node.index[b].place[*number] == node.directory[slot(i)])
				return &node.index[b];
		}
	}
	cr_assert_fail("no entry");
	return NULL;
}

static uint32_t *shown(unsigned i)
{
	unsigned number;
	struct registry_bucket *b = entry(i, &number);

	return &b->place[number];
}

static uint16_t *tag(unsigned i)
{
	unsigned number;
	struct registry_bucket *b = entry(i, &number);

	return &b->tag[number];
}

/** A name that belongs into this bucket, another one for each `n`. */
static const char *name_for(uint32_t bucket, unsigned n)
{
	static char name[HAVEN_NAME_MAX];

	for (unsigned i = 0;; i++) {
		struct registry_key key;

		snprintf(name, sizeof(name), "n%u", i);
		registry_key_set(&key, name);
		if ((registry_hash(&node, &key) & node.bucket_mask) == bucket && n-- == 0)
			return name;
	}
}

/* ---- whole ----------------------------------------------------------------------------------- */

static void fill_events(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct event e = {.kind = EVENT_VIEW};

		event_ring_publish(node.events, node.shape.events, &e);
	}
}

Test(registry_check, a_whole_registry_has_no_findings_and_all_of_it_was_looked_at)
{
	registry_gate_set(&node, hot(0)->gate_first, HAVEN_PRIMARY, 3, 1000);
	/* Changes and events have gone round their rings. */
	fill_events(9);
	cr_assert_eq(registry_remove(&node, handle[1], &rcu), 0);
	add("c", 0);
	add("d", 0);
	give_lanes();
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_eq(report.unfinished, 0, "%s", sentences);
	cr_assert_eq(report.components, 3);
	cr_assert_eq(report.entries, 3);
	cr_assert_eq(report.gates, 8);
	cr_assert_eq(report.lanes, 8);
	cr_assert_eq(report.events, 4);
	cr_assert_eq(report.changes, 4);
	cr_assert_eq(registry_check(&reader, &report, NULL, NULL), 0, "nobody need be told");
}

Test(registry_check, names_that_live_behind_full_buckets_are_in_order)
{
	/* Bucket 3, the last, is full; the rest goes round to bucket 0. */
	for (unsigned i = 0; i < REGISTRY_BUCKET_ENTRIES + 3; i++)
		add(name_for(node.bucket_mask, i), 0);
	cr_assert_gt(node.index[node.bucket_mask].overflow, 0);
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_eq(report.unfinished, 0, "%s", sentences);
}

Test(registry_check, without_memory_it_says_so)
{
	unsigned at = 1;

	for (; at <= 3; at++) {
		fault_arm(at, 1, ENOMEM);
		cr_assert_eq(check(), -HAVEN_ENOMEM);
		cr_assert(fault_disarm());
	}
	/* The rest can do without the memory for comparing. */
	for (bool came = true; came; at++) {
		fault_arm(at, 1, ENOMEM);
		cr_assert_eq(check(), 0, "%s", sentences);
		came = fault_disarm();
		cr_assert_lt(at, 10);
	}
}

Test(registry_check, every_kind_has_a_name_of_its_own)
{
	for (unsigned i = 0; i < REGISTRY_FINDING_COUNT; i++) {
		cr_assert_str_neq(registry_finding_name(i), "?");
		for (unsigned k = 0; k < i; k++)
			cr_assert_str_neq(registry_finding_name(i), registry_finding_name(k));
	}
	cr_assert_str_eq(registry_finding_name(REGISTRY_FINDING_COUNT), "?");
}

/* ---- header and status ----------------------------------------------------------------------- */

static void reopen_changed(size_t offset, uint64_t value, size_t bytes, off_t longer)
{
	int fd = open(file, O_RDWR);

	cr_assert_eq(pwrite(fd, &value, bytes, (off_t)offset), (ssize_t)bytes);
	cr_assert_eq(ftruncate(fd, (off_t)node.size_bytes + longer), 0);
	close(fd);
	registry_close(&reader);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0, "%s", error.text);
}

Test(registry_check, a_header_that_contradicts_itself)
{
	FINDS(REGISTRY_BAD_HEADER, node.header->rcu_epoch = 0);
	FINDS(REGISTRY_BAD_HEADER, node.header->generation = REGISTRY_GENERATION_MAX + 1);
	FINDS(REGISTRY_BAD_HEADER, node.header->pages_kind = PAGES_KIND_COUNT);
	FINDS(REGISTRY_BAD_HEADER,
	      reopen_changed(offsetof(struct registry_header, buckets), 8, 4, 0));
	FINDS(REGISTRY_BAD_HEADER, reopen_changed(offsetof(struct registry_header, size_bytes),
						  node.size_bytes + 4096, 8, 4096));
}

Test(registry_check, a_status_out_of_range_or_half_written)
{
	FINDS(REGISTRY_UNFINISHED, registry_status_begin(&node));
	FINDS(REGISTRY_BAD_STATUS, node.status->n_nodes = HAVEN_NODES_MAX + 1);
	FINDS(REGISTRY_BAD_STATUS, node.status->n_instances = HAVEN_INSTANCES_MAX + 1);
	FINDS(REGISTRY_BAD_STATUS, node.status->instance[7].role = HAVEN_ROLE_COUNT);
}

/* ---- index ----------------------------------------------------------------------------------- */

Test(registry_check, entries_that_show_what_they_must_not)
{
	FINDS(REGISTRY_BAD_PLACE, *shown(0) = node.objects + 1);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->version |= 1);
	FINDS(REGISTRY_BAD_HANDLE, hot(0)->handle |= 30); /* of 20 slots */
	FINDS(REGISTRY_BAD_HANDLE, hot(0)->handle = slot(0));
	FINDS(REGISTRY_BAD_HANDLE, node.header->generation = 1);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->name[0] = 0);
	FINDS(REGISTRY_BAD_OBJECT, memset(hot(0)->name, 'x', HAVEN_NAME_MAX));
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->name[9] = 'x'); /* not padded */
	FINDS(REGISTRY_BAD_ENTRY, *tag(0) ^= 1);
	FINDS(REGISTRY_BAD_ENTRY, hot(0)->name[0] = 'x');
	FINDS(REGISTRY_BAD_ENTRY, node.directory[slot(0)] = 0);
	FINDS(REGISTRY_BAD_ENTRY, node.directory[slot(0)] = node.directory[slot(1)]);
}

/** Show an older copy of the component's object in the index. */
static void half_update(unsigned i)
{
	uint32_t old = node.objects - 1 - i, now = node.directory[slot(i)];

	node.hot[old] = node.hot[now - 1];
	node.cold[old] = node.cold[now - 1];
	*shown(i) = old + 1;
}

Test(registry_check, one_half_done_update_is_what_a_death_leaves_and_two_are_not)
{
	FINDS(REGISTRY_UNFINISHED, half_update(0));
	FINDS(REGISTRY_BAD_ENTRY, half_update(0), half_update(1));
}

static void name_twice(void)
{
	unsigned number;
	struct registry_bucket *b = entry(0, &number);

	for (unsigned i = 0; i < REGISTRY_BUCKET_ENTRIES; i++) {
		if (b->place[i])
			continue;
		b->tag[i] = b->tag[number];
		b->place[i] = b->place[number];
		return;
	}
}

Test(registry_check, components_named_twice_or_not_at_all)
{
	FINDS(REGISTRY_NAMED_TWICE, name_twice());
	FINDS(REGISTRY_UNFINISHED, *shown(0) = 0);
	FINDS(REGISTRY_NOT_NAMED, *shown(0) = 0, *shown(1) = 0);
}

Test(registry_check, counts_of_names_behind_a_bucket)
{
	FINDS(REGISTRY_UNFINISHED, node.index[2].overflow = 1);
	FINDS(REGISTRY_BAD_OVERFLOW, node.index[2].overflow = 2);
}

/* ---- directory and objects ------------------------------------------------------------------- */

Test(registry_check, slots_that_show_what_they_must_not)
{
	FINDS(REGISTRY_BAD_PLACE, node.directory[slot(0)] = node.objects + 1);
	FINDS(REGISTRY_BAD_HANDLE, node.directory[slot(0)] = node.directory[slot(1)]);
	FINDS(REGISTRY_BAD_HANDLE, node.directory[19] = node.directory[slot(1)]);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->state = HAVEN_ROLE_COUNT);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->health = HAVEN_HEALTH_COUNT);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->load = REGISTRY_LOAD_MAX + 1);
	FINDS(REGISTRY_BAD_OBJECT, cold(0)->n_depends = REGISTRY_DEPENDS_MAX + 1);
	FINDS(REGISTRY_BAD_OBJECT, memset(cold(0)->group, 'x', HAVEN_NAME_MAX));
	FINDS(REGISTRY_BAD_OBJECT, memset(cold(0)->release, 'x', HAVEN_NAME_MAX));
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->instances = HAVEN_INSTANCES_MAX + 1);
	FINDS(REGISTRY_BAD_OBJECT, hot(0)->gate_first = 7);
	FINDS(REGISTRY_BAD_GATE, hot(0)->gate_first = 3);
	FINDS(REGISTRY_BAD_GATE, hot(0)->instance_first = 3);
	FINDS(REGISTRY_BAD_LANE, cold(0)->lanes = 1);
}

Test(registry_check, one_object_being_filled_is_unfinished_and_two_are_not)
{
	FINDS(REGISTRY_UNFINISHED, node.hot[node.objects - 1].version |= 1);
	FINDS(REGISTRY_BAD_OBJECT, node.hot[node.objects - 1].version |= 1,
	      node.hot[node.objects - 2].version |= 1);
}

/* ---- gates and lanes ------------------------------------------------------------------------- */

Test(registry_check, gates_out_of_range_or_without_their_owner)
{
	FINDS(REGISTRY_UNFINISHED, node.gates[0].version |= 1);
	FINDS(REGISTRY_BAD_GATE, node.gates[0].version |= 1, node.gates[1].version |= 1);
	FINDS(REGISTRY_BAD_GATE, node.gates[0].role = HAVEN_ROLE_COUNT);
	FINDS(REGISTRY_BAD_GATE, node.gates[0].valid_until_ns = 1);
	FINDS(REGISTRY_BAD_GATE, node.gates[5].component = 20);
	FINDS(REGISTRY_BAD_GATE, node.gates[5].component = slot(0)); /* not claimed, above */
	FINDS(REGISTRY_BAD_GATE, node.gates[0].component = slot(1)); /* not claimed, below */
	FINDS(REGISTRY_BAD_GATE, node.gates[5].role = HAVEN_SECONDARY);
}

static void left_gates(uint32_t a, uint32_t b)
{
	node.gates[5].component = a;
	node.gates[5].role = HAVEN_SECONDARY;
	node.gates[6].component = b;
	node.gates[6].role = HAVEN_SECONDARY;
}

Test(registry_check, gates_that_a_death_left_are_those_of_one_component)
{
	FINDS(REGISTRY_UNFINISHED, left_gates(10, 10));
	FINDS(REGISTRY_BAD_GATE, left_gates(10, 11));
	FINDS(REGISTRY_UNFINISHED, node.gates[5].component = 10, node.gates[0].version |= 1);
	/* Shut already, only its owner is gone: nothing to tell. */
	drop();
	make();
	node.gates[5].component = 10;
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_eq(report.unfinished, 0, "%s", sentences);
}

Test(registry_check, a_lane_of_a_slot_that_does_not_exist)
{
	FINDS(REGISTRY_BAD_LANE, node.lanes[3].component = 20);
}

Test(registry_check, a_lane_that_no_checkpoint_can_have)
{
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[0].name[0] = 0);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[0].kind = TABLE_KIND_COUNT);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[0].mode = TABLE_MODE_COUNT);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[0].key_bytes = 0);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[0].lanes = 0);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[1].lane_records = 65);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.checkpoints[1].lane_capacity = 3);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.lanes[1].lane = 2);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.lanes[1].live = 3);
	FINDS(REGISTRY_BAD_LANE, give_lanes(), node.lanes[0].dirty = 1);
	drop();
	make();
	give_lanes();
	node.lanes[1].live = node.lanes[1].dirty = 2;
	cr_assert_eq(check(), 0, "%s", sentences);
	/* Nobody looks at the description of a line without an owner. */
	memset(&node.checkpoints[2], 0xff, sizeof(node.checkpoints[2]));
	cr_assert_eq(check(), 0, "%s", sentences);
}

static void lane_mended(unsigned times)
{
	(void)times;
	node.lanes[1].live = 2;
}

Test(registry_check, a_lane_that_changes_meanwhile_is_looked_at_again)
{
	give_lanes();
	node.lanes[1].live = 3;
	yielded = lane_mended;
	cr_assert_eq(check(), 0, "%s", sentences);
	yielded = NULL;
}

/* ---- rings and counters ---------------------------------------------------------------------- */

static uint64_t *record(struct broadcast *ring, size_t stride, uint64_t seq)
{
	return (uint64_t *)(void *)((uint8_t *)(ring + 1) + seq % 4 * stride);
}

static struct event *event(uint64_t seq)
{
	return (struct event *)(void *)record(&node.events->ring, sizeof(struct event), seq);
}

static struct registry_change *change(uint64_t seq)
{
	return (struct registry_change *)(void *)(record(node.watch, 64, seq) + 1);
}

Test(registry_check, events_of_no_kind_and_events_that_are_missing)
{
	FINDS(REGISTRY_BAD_EVENT, fill_events(3), event(2)->kind = EVENT_KIND_COUNT);
	FINDS(REGISTRY_BAD_EVENT, fill_events(3), event(2)->severity = EVENT_CRITICAL + 1);
	FINDS(REGISTRY_BAD_EVENT, fill_events(3), event(2)->seq = 0);
	FINDS(REGISTRY_BAD_EVENT, fill_events(3), event(3)->seq = 0);
	FINDS(REGISTRY_BAD_EVENT, fill_events(9), event(8)->seq = 0);
}

Test(registry_check, changes_of_no_kind_and_changes_that_are_missing)
{
	FINDS(REGISTRY_BAD_CHANGE, change(1)->kind = REGISTRY_CHANGE_KINDS);
	FINDS(REGISTRY_BAD_CHANGE, change(1)->slot = 20);
	FINDS(REGISTRY_BAD_CHANGE, change(1)->slot ^= 1);
	FINDS(REGISTRY_BAD_CHANGE, change(1)->name[0] = 0);
	FINDS(REGISTRY_BAD_CHANGE, *record(node.watch, 64, 1) = 0);
	FINDS(REGISTRY_UNFINISHED, node.header->changes--);
	FINDS(REGISTRY_BAD_CHANGE, node.header->changes++);
}

Test(registry_check, counters_that_are_none)
{
	FINDS(REGISTRY_BAD_COUNTER, memset(node.counters, 0xee, 64));
}

/* ---- beside a living node -------------------------------------------------------------------- */

static void change_again(unsigned times)
{
	struct registry_component c;

	if (times > 1 && times % 19)
		return;
	cr_assert_eq(registry_get_copy(&node, handle[1], &c), 0);
	c.cold.registered_ns++;
	cr_assert_eq(registry_update(&node, &c, &rcu), 0);
	registry_reclaim(&node, &rcu);
}

static void repair(unsigned times)
{
	if (times == 1)
		*tag(0) ^= 1;
	change_again(times);
}

Test(registry_check, what_is_right_at_the_second_look_is_no_finding)
{
	*tag(0) ^= 1;
	yielded = repair;
	cr_assert_eq(check(), 0, "%s", sentences);
	cr_assert_gt(yields, 0);
	cr_assert_eq(report.unfinished, 0);
	cr_assert(!report.moving, "the next walk met no change");
}

Test(registry_check, over_a_registry_that_never_rests_counts_are_not_compared)
{
	*tag(0) ^= 1;
	node.index[2].overflow = 7;
	yielded = change_again;
	cr_assert_eq(check(), -HAVEN_ECORRUPT);
	cr_assert(report.moving);
	cr_assert_eq(found[REGISTRY_BAD_OVERFLOW], 0, "%s", sentences);
	cr_assert_gt(found[REGISTRY_BAD_ENTRY], 0);
}

static void count_only(unsigned times)
{
	(void)times;
}

Test(registry_check, looks_at_a_registry_full_of_nonsense_are_limited)
{
	struct registry_config large = config;

	drop();
	large.shape.components = 400;
	cr_assert_eq(registry_create(&node, run_dir, &large, &error), 0, "%s", error.text);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0);
	for (uint32_t i = 0; i < 400; i++)
		node.directory[i] = UINT32_MAX - i;
	yielded = count_only;
	cr_assert_eq(check(), -HAVEN_ECORRUPT);
	cr_assert_geq(found[REGISTRY_BAD_PLACE], 400);
	cr_assert_gt(yields, CHECK_LOOKS_ALL);
	cr_assert_leq(yields, CHECK_LOOKS_ALL + 10, "and one per walk");
}

static void count_changes(void)
{
	node.header->changes++;
}

static void step_from_last(unsigned times)
{
	if (times == CHECK_LOOKS - 1)
		step_flag(true);
}

static void check_stepped(void)
{
	check();
	step_flag(false);
}

/* The count is compared with the ring's once more at the end: another change may have been made
 * at any instruction since the last look. */
Test(registry_check, a_change_between_the_last_looks_is_no_damage)
{
	unsigned good = 0, bad = 0;

	if (!step_possible())
		cr_skip_test("no single step here");
	for (uint64_t at = 1; at <= 150; at++) {
		node.header->changes = node.watch->head + 5;
		yielded = step_from_last;
		step_at = at;
		step_count = 0;
		step_act = count_changes;
		step_arm();
		check_stepped();
		good += report.findings == 0;
		bad += found[REGISTRY_BAD_CHANGE] > 0;
	}
	cr_assert_gt(good, 0, "no instruction lies between the looks");
	cr_assert_gt(bad, 0);
}
