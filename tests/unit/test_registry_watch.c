/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broadcast.h"
#include "prng.h"
#include "rcu.h"
#include "registry.h"

#define COMPONENTS 32u
#define CHANGES 16u
#define STRIDE 64u

static char run_dir[] = "/tmp/haven-watch-XXXXXX";
static struct registry node, reader;
static struct rcu_domain rcu;
static struct error_text error;

static void setup(void)
{
	const struct registry_config config = {
		.cluster = "demo",
		.node = "a",
		.release = "1",
		.incarnation = 42,
		.shape = {.components = COMPONENTS, .spare = 64, .changes = CHANGES}};

	cr_assert_not_null(mkdtemp(run_dir));
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&rcu, &node.header->rcu_epoch);
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0, "%s", error.text);
}

static void teardown(void)
{
	char file[64];

	registry_close(&reader);
	registry_destroy(&node);
	snprintf(file, sizeof(file), "%s/%s", run_dir, REGISTRY_FILE);
	unlink(file);
	rmdir(run_dir);
}

TestSuite(registry_watch, .init = setup, .fini = teardown);

static uint64_t add(const char *name)
{
	struct registry_component c = {0};

	snprintf(c.hot.name, sizeof(c.hot.name), "%s", name);
	cr_assert_eq(registry_add(&node, &c, &error), 0, "%s", error.text);
	return c.hot.handle;
}

static int update(uint64_t handle, uint32_t load)
{
	struct registry_component c;

	cr_assert_eq(registry_get_copy(&node, handle, &c), 0);
	c.hot.load = load;
	return registry_update(&node, &c, &rcu);
}

static void expect(uint64_t *position, enum registry_change_kind kind, uint64_t handle,
		   const char *name)
{
	struct registry_change c;
	uint64_t missed = 0, before = *position;

	cr_assert_eq(registry_watch_read(&reader, position, &c, &missed), before + 1);
	cr_assert_eq(*position, before + 1);
	cr_assert_eq(missed, 0);
	cr_assert_eq(c.kind, kind);
	cr_assert_eq(c.handle, handle);
	cr_assert_eq(c.slot, registry_slot_of(handle));
	cr_assert_str_eq(c.name, name);
}

static void expect_nothing(uint64_t position)
{
	struct registry_change c;
	uint64_t missed = 0;

	cr_assert_eq(registry_watch_read(&reader, &position, &c, &missed), 0);
	cr_assert_eq(missed, 0);
	cr_assert_eq(position, registry_changes(&reader));
}

Test(registry_watch, every_change_is_told_once_and_in_order)
{
	uint64_t position = 0, nat, fw;
	struct registry_component again;

	expect_nothing(0);
	nat = add("nat");
	fw = add("fw");
	cr_assert_eq(update(nat, 7), 0);
	cr_assert_eq(registry_get_copy(&node, fw, &again), 0);
	cr_assert_eq(registry_remove(&node, fw, &rcu), 0);
	expect(&position, REGISTRY_ADDED, nat, "nat");
	expect(&position, REGISTRY_ADDED, fw, "fw");
	expect(&position, REGISTRY_UPDATED, nat, "nat");
	expect(&position, REGISTRY_REMOVED, fw, "fw");
	expect_nothing(position);
}

Test(registry_watch, an_adopted_component_is_told_as_added)
{
	struct registry_component c = {.hot.handle = (uint64_t)1 << REGISTRY_SLOT_BITS | 5};
	uint64_t position = 0;

	strcpy(c.hot.name, "nat");
	cr_assert_eq(registry_adopt(&node, &c, &error), 0, "%s", error.text);
	expect(&position, REGISTRY_ADDED, c.hot.handle, "nat");
}

Test(registry_watch, what_was_refused_or_changes_nothing_is_not_told)
{
	struct registry_component twice = {0};
	uint64_t nat = add("nat"), position = registry_changes(&reader);

	strcpy(twice.hot.name, "nat");
	cr_assert_eq(registry_add(&node, &twice, NULL), -HAVEN_EEXIST);
	cr_assert_eq(update(nat, 0), 0);
	cr_assert_eq(update(nat, REGISTRY_LOAD_MAX + 1), -HAVEN_EINVAL);
	cr_assert_eq(registry_remove(&node, nat + 1, &rcu), -HAVEN_ESTALE);
	expect_nothing(position);
}

Test(registry_watch, the_number_of_the_newest_change_is_the_count_of_changes)
{
	uint64_t nat = add("nat");

	for (uint32_t i = 1; i <= 3 * CHANGES; i++) {
		cr_assert_eq(update(nat, i), 0);
		cr_assert_eq(load_acquire(&reader.watch->head), registry_changes(&reader));
		registry_reclaim(&node, &rcu);
	}
}

Test(registry_watch, a_watcher_is_told_exactly_how_many_he_missed)
{
	uint64_t nat = add("nat"), made = 1;
	struct prng rng = {.state = 11};

	for (int round = 0; round < 200; round++) {
		uint64_t from = prng_below(&rng, made + 1), position = from, missed = 0, read = 0;
		uint64_t n = prng_below(&rng, 2 * CHANGES), last = from;
		struct registry_change c;

		for (uint64_t i = 0; i < n; i++, made++) {
			cr_assert_eq(update(nat, (uint32_t)made), 0);
			registry_reclaim(&node, &rcu);
		}
		for (uint64_t seq; (seq = registry_watch_read(&reader, &position, &c, &missed));
		     last = seq, read++)
			cr_assert_gt(seq, last);
		cr_assert_eq(read, made - from < CHANGES ? made - from : CHANGES);
		cr_assert_eq(read + missed, made - from, "round %d", round);
		cr_assert_eq(position, made);
	}
}

/* ---- list, then follow ----------------------------------------------------------------------- */

/** What a watcher believes: which component, in which version, stands in each slot. */
struct belief {
	uint64_t handle[COMPONENTS], position;
	uint32_t load[COMPONENTS];
};

static void list(struct belief *b, const struct registry *r)
{
	struct registry_component c;

	b->position = registry_changes(r);
	for (uint32_t slot = 0; slot < COMPONENTS; slot++) {
		bool there = registry_copy_slot(r, slot, &c) == 0;

		b->handle[slot] = there ? c.hot.handle : 0;
		b->load[slot] = there ? c.hot.load : 0;
	}
}

static void follow(struct belief *b, const struct registry *r)
{
	struct registry_component now;
	struct registry_change c;
	uint64_t missed = 0;

	while (registry_watch_read(r, &b->position, &c, &missed)) {
		bool there = registry_get_copy(r, c.handle, &now) == 0;

		if (c.kind == REGISTRY_REMOVED && b->handle[c.slot] != c.handle)
			continue; /* a later life of the slot was in the list already */
		b->handle[c.slot] = there ? c.handle : 0;
		b->load[c.slot] = there ? now.hot.load : 0;
	}
	if (missed)
		list(b, r);
}

static void random_change(struct prng *rng, uint64_t *live, uint32_t *n, uint32_t number)
{
	uint32_t what = (uint32_t)prng_below(rng, 4), at = *n ? (uint32_t)prng_below(rng, *n) : 0;
	char name[HAVEN_NAME_MAX];

	registry_reclaim(&node, &rcu);
	if (what == 0 && *n < COMPONENTS) {
		snprintf(name, sizeof(name), "c%u", number);
		live[(*n)++] = add(name);
	} else if (what == 1 && *n) {
		cr_assert_eq(registry_remove(&node, live[at], &rcu), 0);
		live[at] = live[--*n];
	} else if (*n) {
		cr_assert_eq(update(live[at], number), 0);
	}
}

Test(registry_watch, who_lists_and_follows_knows_the_registry)
{
	uint64_t live[COMPONENTS];
	struct belief watcher, truth;
	struct prng rng = {.state = 5};
	uint32_t n = 0;

	list(&watcher, &reader);
	for (uint32_t i = 1; i < 20000; i++) {
		random_change(&rng, live, &n, i);
		/* Now and then so late that the ring has overwritten some. */
		if (prng_below(&rng, CHANGES) != 0)
			continue;
		follow(&watcher, &reader);
		list(&truth, &reader);
		cr_assert_eq(memcmp(&watcher, &truth, sizeof(truth)), 0, "after change %u", i);
	}
}

/* ---- check ----------------------------------------------------------------------------------- */

static enum registry_finding found_kind;

static void note(void *context, enum registry_finding kind, const char *sentence)
{
	(void)context;
	(void)sentence;
	found_kind = kind;
}

static struct registry_report check(int expected)
{
	struct registry_report report;

	found_kind = REGISTRY_FINDING_COUNT;
	cr_assert_eq(registry_check(&reader, &report, note, NULL), expected);
	return report;
}

static uint64_t *slot_words(uint64_t seq)
{
	uint8_t *first = (uint8_t *)(node.watch + 1);

	return (uint64_t *)(void *)(first + seq % CHANGES * STRIDE);
}

/** The words of slot `seq` as a change. */
static struct registry_change *change_of(uint64_t seq)
{
	return (struct registry_change *)(void *)(slot_words(seq) + 1);
}

static void fill(uint32_t changes)
{
	uint64_t nat = add("nat");

	for (uint32_t i = 1; i < changes; i++) {
		cr_assert_eq(update(nat, i), 0);
		registry_reclaim(&node, &rcu);
	}
}

Test(registry_watch, the_check_walks_the_ring_before_and_after_it_is_full)
{
	cr_assert_eq(check(0).changes, 0);
	fill(CHANGES / 2);
	cr_assert_eq(check(0).changes, CHANGES / 2);
	cr_assert_eq(update(registry_find(&reader, "nat")->handle, 1000), 0);
	for (uint32_t i = 0; i < 3 * CHANGES; i++) {
		registry_reclaim(&node, &rcu);
		cr_assert_eq(update(registry_find(&reader, "nat")->handle, i), 0);
		cr_assert_eq(check(0).unfinished, 0);
	}
	cr_assert_eq(check(0).changes, CHANGES);
}

Test(registry_watch, the_check_finds_what_no_node_writes)
{
	struct registry_change good;
	uint64_t seq;

	fill(2 * CHANGES);
	seq = registry_changes(&reader) - 3;
	good = *change_of(seq);
	change_of(seq)->kind = REGISTRY_CHANGE_KINDS;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	cr_assert_eq(found_kind, REGISTRY_BAD_CHANGE);
	*change_of(seq) = good;
	change_of(seq)->slot = COMPONENTS;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	*change_of(seq) = good;
	change_of(seq)->handle++;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	*change_of(seq) = good;
	change_of(seq)->name[0] = 0;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	*change_of(seq) = good;
	cr_assert_eq(check(0).findings, 0);
}

Test(registry_watch, the_check_finds_missing_changes_but_for_one_being_written)
{
	uint64_t head;

	fill(2 * CHANGES);
	head = registry_changes(&reader);
	/* A node that died while it wrote change head + 1 had taken the oldest one's place. */
	*slot_words(head + 1) = 0;
	cr_assert_eq(check(0).changes, CHANGES - 1);
	*slot_words(head - 4) = 0;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	cr_assert_eq(found_kind, REGISTRY_BAD_CHANGE);
	*slot_words(head - 4) = head - 4;
	*slot_words(head) = 0;
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
}

Test(registry_watch, a_death_between_ring_and_count_is_unfinished)
{
	fill(3);
	store_relaxed(&node.header->changes, 2);
	cr_assert_eq(check(0).unfinished, 1);
	cr_assert_eq(found_kind, REGISTRY_UNFINISHED);
	store_relaxed(&node.header->changes, 1);
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	store_relaxed(&node.header->changes, 4);
	cr_assert_eq(check(-HAVEN_ECORRUPT).findings, 1);
	cr_assert_eq(found_kind, REGISTRY_BAD_CHANGE);
}

Test(registry_watch, any_content_of_the_ring_is_read_in_bounded_work)
{
	uint8_t *bytes = (uint8_t *)node.watch;
	struct registry_report report;
	struct prng rng = {.state = 3};

	fill(2 * CHANGES);
	for (int round = 0; round < 2000; round++) {
		uint64_t position = prng_next(&rng) >> prng_below(&rng, 64), missed = 0;
		struct registry_change c;

		for (int i = 0; i < 4; i++)
			bytes[prng_below(&rng, 64 + CHANGES * STRIDE)] = (uint8_t)prng_next(&rng);
		for (uint32_t i = 0; i <= CHANGES; i++) {
			if (!registry_watch_read(&reader, &position, &c, &missed))
				break;
			cr_assert_not_null(memchr(c.name, 0, sizeof(c.name)));
		}
		registry_check(&reader, &report, NULL, NULL);
		cr_assert_leq(report.changes, CHANGES);
	}
}
