/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers: bulk look-up, iteration, and copies taken while the node acts. The node acts after each
 * single instruction of the copy, one run for each.
 */
#include <fcntl.h>

#include "registry_small.h"
#include "step.h"

TestSuite(registry_read, .init = small_make, .fini = small_drop);

/* ---- bulk and iteration ---------------------------------------------------------------------- */

static unsigned bulk(const char *const *names, unsigned n, const struct registry_hot **out)
{
	struct registry_key key[REGISTRY_BULK_MAX];
	const struct registry_key *keys[REGISTRY_BULK_MAX];

	for (unsigned i = 0; i < n; i++) {
		cr_assert(registry_key_set(&key[i], names[i]));
		keys[i] = &key[i];
	}
	return registry_find_bulk(&reader, keys, n, out);
}

Test(registry_read, a_bulk_look_up_finds_what_single_ones_find)
{
	const struct registry_hot *out[REGISTRY_BULK_MAX];
	char text[REGISTRY_BULK_MAX][HAVEN_NAME_MAX];
	const char *names[REGISTRY_BULK_MAX];
	unsigned found = 0;

	/* Fourteen names of one bucket, so that four live behind it; the rest is not there. */
	for (unsigned i = 0; i < REGISTRY_BULK_MAX; i++) {
		snprintf(text[i], sizeof(text[i]), "%s", small_name(1, i));
		names[i] = text[i];
		if (i < 14)
			small_add(text[i], 0);
	}
	snprintf(text[30], sizeof(text[30]), "%s", small_double(text[0]));
	snprintf(text[31], sizeof(text[31]), "%s", small_name(3, 0)); /* nobody passed bucket 3 */
	found = bulk(names, REGISTRY_BULK_MAX, out);
	cr_assert_eq(found, 14);
	for (unsigned i = 0; i < REGISTRY_BULK_MAX; i++)
		cr_assert_eq(out[i], registry_find(&reader, names[i]));
	cr_assert_eq(bulk(names, 0, out), 0);
}

Test(registry_read, a_bulk_look_up_in_garbage_finds_nothing)
{
	const char *const names[] = {"a"};
	const struct registry_hot *out[1];

	small_add("a", 0);
	for (uint32_t b = 0; b <= node.bucket_mask; b++) {
		for (unsigned i = 0; i < REGISTRY_BUCKET_ENTRIES; i++)
			node.index[b].place[i] = node.index[b].place[i] ? UINT32_MAX : 0;
	}
	cr_assert_eq(bulk(names, 1, out), 0);
}

Test(registry_read, iteration_visits_each_component_once)
{
	enum { MANY = 18 }; /* more than an iteration looks ahead */
	const struct registry_hot *hot;
	unsigned seen[MANY] = {0};
	uint32_t cursor = 0;
	char name[HAVEN_NAME_MAX];

	cr_assert_null(registry_next(&reader, &cursor));
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%u", i);
		small_add(name, 0);
	}
	small_remove(registry_find(&node, "3")->handle);
	cursor = 0;
	while ((hot = registry_next(&reader, &cursor)))
		seen[atoi(hot->name)]++;
	cr_assert_eq(cursor, SMALL_COMPONENTS);
	for (unsigned i = 0; i < MANY; i++)
		cr_assert_eq(seen[i], i != 3);
	/* A slot that shows another's object is passed over. */
	node.directory[SMALL_COMPONENTS - 1] = node.directory[0];
	cursor = 0;
	for (unsigned n = 0; registry_next(&reader, &cursor); n++)
		cr_assert_lt(n, MANY - 1);
}

/* ---- copies of what does not fit together ---------------------------------------------------- */

Test(registry_read, a_copy_by_name_or_handle_is_that_component_or_none)
{
	struct registry_component c;
	uint64_t a = small_add("a", 0), b = small_add("b", 0);

	cr_assert_eq(registry_find_copy(&reader, "", &c), -HAVEN_ENOENT);
	cr_assert_eq(registry_get_copy(&reader, a, &c), 0);
	cr_assert_eq(registry_get_copy(&reader, a + (1ull << REGISTRY_SLOT_BITS), &c),
		     -HAVEN_ESTALE, "another life of the slot");
	small_remove(b);
	cr_assert_eq(registry_get_copy(&reader, b, &c), -HAVEN_ESTALE);
}

Test(registry_read, a_node_that_died_in_the_middle_is_given_up_on_after_some_tries)
{
	struct registry_component c;
	uint64_t handle = small_add("a", 0);
	uint32_t slot = registry_slot_of(handle), place = node.directory[slot] - 1;

	node.hot[place].version |= 1;
	cr_assert_eq(registry_copy_slot(&reader, slot, &c), -HAVEN_EAGAIN);
	cr_assert_eq(registry_get_copy(&reader, handle, &c), -HAVEN_EAGAIN);
	cr_assert_eq(registry_find_copy(&reader, "a", &c), -HAVEN_EAGAIN);
	node.hot[place].version++;
	cr_assert_eq(registry_find_copy(&reader, "a", &c), 0);
	/* The index shows one object, the slot another one of the same handle: no such name. */
	node.hot[25] = node.hot[place];
	node.hot[25].name[0] = 'x';
	node.directory[slot] = 26;
	cr_assert_eq(registry_find_copy(&reader, "a", &c), -HAVEN_EAGAIN);
}

/* ---- the node acts at each instruction ------------------------------------------------------- */

static struct registry_component copied;
static struct registry_gate copied_gate;
static struct registry_status copied_status;
static uint64_t acted;
static uint32_t slot_read;
static int result;

static void fill(struct registry_component *c, uint64_t n)
{
	c->hot.weight = (uint32_t)n;
	c->cold.registered_ns = c->cold.updated_ns = n;
	c->cold.depends[REGISTRY_DEPENDS_MAX - 1] = n;
}

static bool whole(const struct registry_component *c)
{
	return c->hot.weight == (uint32_t)c->cold.registered_ns &&
	       c->cold.registered_ns == c->cold.updated_ns &&
	       c->cold.updated_ns == c->cold.depends[REGISTRY_DEPENDS_MAX - 1];
}

/** Replace the object so often that its first place is filled again. */
static void update_all_round(void)
{
	struct registry_component c = small_component("a", 0);

	c.hot.handle = registry_find(&node, "a")->handle;
	for (unsigned i = 0; i < node.objects + 1; i++) {
		fill(&c, ++acted);
		cr_assert_eq(registry_update(&node, &c, &rcu), 0);
		registry_reclaim(&node, &rcu);
	}
}

static void move_away(void)
{
	struct registry_component c = small_component("a", 0);

	small_remove(registry_find(&node, "a")->handle);
	fill(&c, ++acted);
	cr_assert_eq(registry_add(&node, &c, &error), 0);
}

static void set_gate(void)
{
	acted++;
	registry_gate_set(&node, 0, acted % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY, acted, acted);
}

static void set_status(void)
{
	static struct registry_status s;

	s.epoch = s.polls = s.instance[HAVEN_INSTANCES_MAX - 1].since_ns = ++acted;
	registry_status_publish(&node, &s);
}

static void copy_slot(void)
{
	result = registry_copy_slot(&reader, slot_read, &copied);
}

static void copy_name(void)
{
	result = registry_find_copy(&reader, "a", &copied);
}

static void copy_gate(void)
{
	result = registry_gate_copy(&reader.gates[0], &copied_gate) ? 0 : -HAVEN_EAGAIN;
}

static void copy_status(void)
{
	result = registry_copy_status(&reader, &copied_status);
}

static bool object_good(void)
{
	return whole(&copied) && strcmp(copied.hot.name, "a") == 0;
}

static bool gate_good(void)
{
	return copied_gate.role == (copied_gate.epoch % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY) &&
	       copied_gate.generation - registry_gate_generation(&node, 0) ==
		       copied_gate.epoch - acted;
}

static bool status_good(void)
{
	return copied_status.epoch == copied_status.polls &&
	       copied_status.epoch == copied_status.instance[HAVEN_INSTANCES_MAX - 1].since_ns;
}

/** Run the copy once for each of its instructions; of a long one for so many of them that this many
 *  are stepped over in all. `refused`: it may say that it changed. */
#define STEPS_MAX 60000u

static void at_each(void (*body)(void), void (*act)(void), bool (*good)(void), int refused)
{
	uint64_t at = 1, whole_copies = 0, stride;

	if (!step_possible())
		cr_skip_test("no single step here");
	step_run(body, UINT64_MAX, act); /* only counts */
	stride = step_count * step_count / (2 * STEPS_MAX) + 1;
	for (; step_run(body, at, act); at += stride) {
		if (result == refused)
			continue;
		cr_assert_eq(result, 0, "instruction %lu: %d", (unsigned long)at, result);
		cr_assert(good(), "instruction %lu: torn", (unsigned long)at);
		whole_copies++;
	}
	cr_assert_gt(at, 20, "so few instructions cannot be");
	cr_assert_gt(whole_copies, 0);
}

static void first_object(void)
{
	struct registry_component c = small_component("a", 0);

	fill(&c, ++acted);
	cr_assert_eq(registry_add(&node, &c, &error), 0);
	slot_read = registry_slot_of(c.hot.handle);
}

Test(registry_read, a_slot_is_copied_whole_though_its_place_is_filled_again, .timeout = 60)
{
	first_object();
	at_each(copy_slot, update_all_round, object_good, 0x7fff);
}

Test(registry_read, a_name_is_copied_whole_though_its_component_moves, .timeout = 60)
{
	first_object();
	at_each(copy_name, move_away, object_good, -HAVEN_ENOENT);
}

Test(registry_read, a_gate_is_copied_whole_or_refused, .timeout = 60)
{
	small_add("a", 1);
	set_gate();
	at_each(copy_gate, set_gate, gate_good, -HAVEN_EAGAIN);
}

Test(registry_read, a_status_is_copied_whole, .timeout = 60)
{
	set_status();
	at_each(copy_status, set_status, status_good, 0x7fff);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_with(size_t offset, char value, size_t bytes)
{
	char fill_bytes[64];
	struct registry other;
	int fd = open(small_file, O_RDWR), status;

	memset(fill_bytes, value, sizeof(fill_bytes));
	cr_assert_eq(pwrite(fd, fill_bytes, bytes, (off_t)offset), (ssize_t)bytes);
	close(fd);
	status = registry_open(&other, small_dir, &error);
	if (status == 0)
		registry_close(&other);
	return status;
}

Test(registry_read, names_of_the_header_must_end)
{
	const size_t offsets[] = {offsetof(struct registry_header, cluster),
				  offsetof(struct registry_header, node),
				  offsetof(struct registry_header, release)};

	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(offsets); i++) {
		cr_assert_eq(open_with(offsets[i], 'x', HAVEN_NAME_MAX), -HAVEN_ECORRUPT);
		cr_assert_eq(open_with(offsets[i], 0, HAVEN_NAME_MAX), 0);
	}
	cr_assert_eq(open_with(offsetof(struct registry_header, shape.events), 0, 4),
		     -HAVEN_ECORRUPT, "none at all");
}
