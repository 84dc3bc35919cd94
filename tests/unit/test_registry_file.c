/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "huge_pool.h"
#include "registry.h"

#define POOL_PAGES 8
#define HUGE_NAME "haven-demo-a-registry"

static char run_dir[] = "/tmp/haven-file-XXXXXX";
static char place[64]; /**< a directory in it, for a file system of a test's own */
static bool mounted;
static struct registry node, reader;
static struct error_text error;
static struct registry_config config = {
	.cluster = "demo", .node = "a", .release = "1", .incarnation = 42};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(run_dir));
	snprintf(place, sizeof(place), "%s/fs", run_dir);
	cr_assert_eq(mkdir(place, 0700), 0);
	config.huge_dir = place;
	node.fd = -1;
}

static void teardown(void)
{
	char command[128];

	registry_close(&reader);
	registry_destroy(&node);
	if (mounted)
		umount(place);
	huge_pool_end();
	snprintf(command, sizeof(command), "rm -rf %s", run_dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(registry_file, .init = setup, .fini = teardown);

/** A test that is skipped is not ended by its suite. */
static void skip(const char *reason)
{
	teardown();
	cr_skip_test("%s", reason);
}

static void create(struct registry *r)
{
	cr_assert_eq(registry_create(r, run_dir, &config, &error), 0, "%s", error.text);
}

static void open_reader(void)
{
	cr_assert_eq(registry_open(&reader, run_dir, &error), 0, "%s", error.text);
}

static void expect_clean(const char *path)
{
	struct registry_report report;
	struct registry other;

	cr_assert_eq(registry_open(&other, path, &error), 0, "%s", error.text);
	cr_assert_eq(registry_check(&other, &report, NULL, NULL), 0);
	cr_assert_eq(report.unfinished, 0);
	registry_close(&other);
}

static bool exists(const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	return lstat(path, &st) == 0;
}

static bool mount_own(const char *type, const char *options)
{
	mounted = mount("none", place, type, 0, options) == 0;
	return mounted;
}

static bool huge_begin(void)
{
	config.pages.kind = PAGES_HUGE;
	return huge_pool_begin(POOL_PAGES) && mount_own("hugetlbfs", "pagesize=2M");
}

/* ---- usual memory ---------------------------------------------------------------------------- */

Test(registry_file, tells_what_it_stands_on)
{
	create(&node);
	open_reader();
	cr_assert_eq(reader.header->pages_kind, PAGES_USUAL);
	cr_assert_eq(reader.header->huge_bytes, 0);
	cr_assert_geq(reader.header->numa_node, PAGES_NODE_SEVERAL);
	expect_clean(run_dir);
}

Test(registry_file, transparent_pages_are_tried_and_nothing_else_differs)
{
	config.pages.kind = PAGES_TRANSPARENT;
	create(&node);
	open_reader();
	cr_assert_eq(reader.header->pages_kind, PAGES_TRANSPARENT);
	cr_assert_eq(reader.size_bytes % PAGES_HUGE_BYTES, 0);
	cr_assert_leq(reader.header->huge_bytes, reader.size_bytes);
	expect_clean(run_dir);
}

Test(registry_file, a_mount_that_advises_gives_transparent_huge_pages)
{
	char aside[80];

	if (!mount_own("tmpfs", "huge=advise"))
		skip("mounting a file system needs root");
	snprintf(aside, sizeof(aside), "%s", place);
	config.pages.kind = PAGES_TRANSPARENT;
	cr_assert_eq(registry_create(&node, aside, &config, &error), 0, "%s", error.text);
	if (node.header->huge_bytes == 0)
		skip("this kernel gave no transparent huge page");
	cr_assert_eq(node.header->huge_bytes % PAGES_HUGE_BYTES, 0);
}

Test(registry_file, the_wanted_numa_node_is_taken_or_refused)
{
	struct registry other;
	int status;

	config.pages = (struct pages_options){.bind = true, .numa_node = 0};
	status = registry_create(&node, run_dir, &config, &error);
	if (status == -HAVEN_EPERM)
		skip("this system forbids to choose a NUMA node");
	cr_assert_eq(status, 0, "%s", error.text);
	cr_assert(node.header->numa_node == 0 || node.header->numa_node == PAGES_NODE_UNKNOWN);
	config.pages.numa_node = 999;
	cr_assert_eq(registry_create(&other, run_dir, &config, &error), -HAVEN_EINVAL);
	cr_assert_not_null(strstr(error.text, "NUMA node 999"));
	cr_assert(!exists("registry.new"));
	expect_clean(run_dir);
}

Test(registry_file, without_room_it_says_what_is_needed_what_is_free_and_what_takes_most)
{
	struct stat st;
	char path[80];

	if (!mount_own("tmpfs", "size=1m"))
		skip("mounting a file system needs root");
	config.shape.lanes = 32768;
	cr_assert_eq(registry_create(&node, place, &config, &error), -HAVEN_ENOMEM);
	cr_assert_not_null(strstr(error.text, "1.0 MiB are free"), "%s", error.text);
	cr_assert_not_null(strstr(error.text, "(lanes takes 4.0 MiB of it)"), "%s", error.text);
	snprintf(path, sizeof(path), "%s/registry.new", place);
	cr_assert_neq(lstat(path, &st), 0, "nothing is left behind");
}

Test(registry_file, the_parts_are_named_and_the_largest_is_known)
{
	struct registry_shape shape = {.components = 100000};
	struct registry_part part[REGISTRY_PARTS];
	uint64_t bytes, sum = 0;

	cr_assert_eq(registry_shape_check(&shape, &bytes, &error), 0);
	registry_shape_parts(&shape, part);
	cr_assert_str_eq(part[registry_shape_largest(part)].name, "components");
	cr_assert_eq(part[0].count, 100000);
	for (unsigned i = 0; i < REGISTRY_PARTS; i++)
		sum += part[i].bytes;
	cr_assert_lt(sum, bytes);
	cr_assert_gt(sum, bytes - bytes / 50, "little else is in the file");
	shape.events = 1u << 20;
	registry_shape_parts(&shape, part);
	cr_assert_str_eq(part[registry_shape_largest(part)].name, "events");
	cr_assert_gt(registry_books_bytes(&shape), 100000);
}

/* ---- links ----------------------------------------------------------------------------------- */

Test(registry_file, a_link_to_anything_but_a_file_is_not_opened)
{
	char path[128], fifo[128];

	snprintf(path, sizeof(path), "%s/registry", run_dir);
	snprintf(fifo, sizeof(fifo), "%s/pipe", run_dir);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_assert_eq(symlink("/dev/zero", path), 0);
	cr_assert_neq(registry_open(&reader, run_dir, &error), 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink(fifo, path), 0);
	cr_assert_neq(registry_open(&reader, run_dir, &error), 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("nowhere", path), 0);
	cr_assert_eq(registry_open(&reader, run_dir, &error), -HAVEN_ENOENT);
}

Test(registry_file, a_link_of_somebody_else_is_replaced_and_its_target_stays)
{
	char path[128], other[128];

	snprintf(path, sizeof(path), "%s/registry", run_dir);
	snprintf(other, sizeof(other), "%s/haven-mine", run_dir);
	cr_assert_geq(open(other, O_CREAT | O_WRONLY, 0600), 0);
	cr_assert_eq(symlink(other, path), 0);
	create(&node);
	cr_assert(exists("haven-mine"));
	expect_clean(run_dir);
}

/* ---- 2 MiB pages ----------------------------------------------------------------------------- */

Test(registry_file, huge_pages_need_a_file_system_of_them)
{
	config.pages.kind = PAGES_HUGE;
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), -HAVEN_EINVAL);
	cr_assert_not_null(strstr(error.text, "mount -t hugetlbfs"), "%s", error.text);
	config.huge_dir = "/tmp/haven-none";
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), -HAVEN_ENOENT);
	config.huge_dir = NULL;
	cr_assert_neq(registry_create(&node, run_dir, &config, &error), 0);
	cr_assert(!exists("registry"));
}

Test(registry_file, a_registry_on_huge_pages_is_found_checked_and_copied)
{
	char command[256], copy[80];

	if (!huge_begin())
		skip("2 MiB pages need root and free memory");
	create(&node);
	open_reader();
	cr_assert_eq(reader.header->pages_kind, PAGES_HUGE);
	cr_assert_eq(reader.header->huge_bytes, reader.size_bytes);
	cr_assert(exists("fs/" HUGE_NAME));
	expect_clean(run_dir);
	snprintf(copy, sizeof(copy), "%s/copy", run_dir);
	snprintf(command, sizeof(command), "cp %s/registry %s", run_dir, copy);
	cr_assert_eq(system(command), 0);
	expect_clean(copy);
}

Test(registry_file, a_new_life_on_huge_pages_replaces_the_old_one)
{
	struct registry second;
	uint64_t before;

	if (!huge_begin())
		skip("2 MiB pages need root and free memory");
	before = pages_huge_free();
	create(&node);
	open_reader();
	config.incarnation = 43;
	create(&second);
	cr_assert_eq(reader.header->incarnation, 42, "who has it mapped keeps it");
	registry_close(&reader);
	registry_destroy(&node);
	open_reader();
	cr_assert_eq(reader.header->incarnation, 43);
	cr_assert_eq(before - pages_huge_free(), reader.size_bytes / PAGES_HUGE_BYTES,
		     "the first life's pages are free again");
	registry_destroy(&second);
}

Test(registry_file, back_on_usual_pages_the_huge_ones_are_given_back)
{
	uint64_t before;

	if (!huge_begin())
		skip("2 MiB pages need root and free memory");
	before = pages_huge_free();
	create(&node);
	registry_destroy(&node);
	cr_assert_lt(pages_huge_free(), before, "kept for whoever looks after its end");
	config.pages.kind = PAGES_USUAL;
	create(&node);
	cr_assert_eq(pages_huge_free(), before);
	cr_assert(!exists("fs/" HUGE_NAME));
	expect_clean(run_dir);
}

Test(registry_file, a_pool_without_room_is_told)
{
	uint64_t more;

	if (!huge_begin())
		skip("2 MiB pages need root and free memory");
	/* Whatever the machine has in its pool. */
	more = (pages_huge_free() + 1) * PAGES_HUGE_BYTES;
	if (more > REGISTRY_COUNTERS_LIMIT)
		skip("the pool is larger than a registry can be");
	config.shape.counters_bytes = (uint32_t)more;
	cr_assert_eq(registry_create(&node, run_dir, &config, &error), -HAVEN_ENOMEM);
	cr_assert_not_null(strstr(error.text, "vm.nr_hugepages"), "%s", error.text);
	cr_assert_not_null(strstr(error.text, "counters takes "), "%s", error.text);
	cr_assert(!exists("fs/" HUGE_NAME ".new"));
	cr_assert(!exists("registry"));
}
