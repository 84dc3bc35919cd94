/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "huge_pool.h"
#include "segment.h"

#define BYTES (3u << 20)
#define POOL_PAGES 4

static struct error_text error;
static int fd = -1;
static void *base;

static uint64_t file_bytes(void)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static void expect_sealed(uint64_t bytes)
{
	cr_assert_eq(file_bytes(), bytes);
	cr_assert_neq(ftruncate(fd, 0), 0);
	cr_assert_neq(ftruncate(fd, (off_t)(bytes + PAGES_HUGE_BYTES)), 0);
	cr_assert_neq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	cr_assert_eq(errno, EPERM);
	cr_assert_eq(file_bytes(), bytes);
}

static void expect_zeroed_and_writable(uint64_t bytes)
{
	uint8_t *byte = base;

	for (uint64_t i = 0; i < bytes; i += 4096)
		cr_assert_eq(byte[i], 0);
	memset(base, 0x5a, bytes);
}

Test(segment, usual_pages_are_sealed_zeroed_and_mapped_by_others)
{
	void *other;

	cr_assert_eq(segment_make("test", BYTES, &fd, &base, &error), 0, "%s", error.text);
	expect_sealed(BYTES);
	expect_zeroed_and_writable(BYTES);
	cr_assert_eq(segment_map(fd, BYTES, false, "it", &other, &error), 0, "%s", error.text);
	cr_assert_eq(memcmp(other, base, BYTES), 0);
	cr_assert_eq(segment_map(fd, BYTES + 1, false, "it", &other, &error), -HAVEN_ESIZE);
	segment_unmap(base, BYTES);
	close(fd);
}

/* Whether the kernel really takes 2 MiB pages is its own setting; the segment is the same. */
Test(segment, transparent_huge_pages_are_usual_memory)
{
	const struct pages_options o = {.kind = PAGES_TRANSPARENT};
	struct pages_facts facts;
	void *other;

	cr_assert_eq(segment_make_on("test", BYTES, &o, &fd, &base, &error), 0, "%s", error.text);
	expect_sealed(2 * PAGES_HUGE_BYTES);
	expect_zeroed_and_writable(2 * PAGES_HUGE_BYTES);
	pages_look(base, 2 * PAGES_HUGE_BYTES, o.kind, &facts);
	cr_assert_leq(facts.huge_bytes, 2 * PAGES_HUGE_BYTES);
	cr_assert_eq(segment_map(fd, 2 * PAGES_HUGE_BYTES, false, "it", &other, &error), 0, "%s",
		     error.text);
}

Test(segment, memory_is_taken_from_the_wanted_numa_node)
{
	const struct pages_options o = {.bind = true, .numa_node = 0};
	struct pages_facts facts;
	int status = segment_make_on("test", BYTES, &o, &fd, &base, &error);

	if (status == -HAVEN_EPERM)
		cr_skip_test("this system forbids to choose a NUMA node");
	cr_assert_eq(status, 0, "%s", error.text);
	pages_look(base, BYTES, o.kind, &facts);
	cr_assert(facts.numa_node == 0 || facts.numa_node == PAGES_NODE_UNKNOWN);
	cr_assert_eq(facts.huge_bytes, 0);
}

Test(segment, a_numa_node_that_is_not_there_is_refused)
{
	struct pages_options o = {.bind = true, .numa_node = 1000};
	int status = segment_make_on("test", BYTES, &o, &fd, &base, &error);

	if (status == -HAVEN_EPERM)
		cr_skip_test("this system forbids to choose a NUMA node");
	cr_assert_eq(status, -HAVEN_EINVAL);
	cr_assert_not_null(strstr(error.text, "NUMA node 1000"));
	o.numa_node = UINT32_MAX;
	cr_assert_eq(segment_make_on("test", BYTES, &o, &fd, &base, &error), -HAVEN_EINVAL);
}

Test(segment, a_pool_that_is_too_small_is_told_with_figures)
{
	const struct pages_options o = {.kind = PAGES_HUGE};
	uint64_t pages = pages_huge_free() + 100000;
	char needs[64];

	cr_assert_eq(segment_make_on("test", pages * PAGES_HUGE_BYTES, &o, &fd, &base, &error),
		     -HAVEN_ENOMEM);
	snprintf(needs, sizeof(needs), "it needs %llu, ", (unsigned long long)pages);
	cr_assert_not_null(strstr(error.text, needs), "%s", error.text);
}

Test(segment, huge_pages_carry_the_same_seals_and_are_refused_from_strangers, .fini = huge_pool_end)
{
	const struct pages_options o = {.kind = PAGES_HUGE};
	struct pages_facts facts;
	uint64_t before;
	void *other;

	if (!huge_pool_begin(POOL_PAGES))
		cr_skip_test("2 MiB pages need root and free memory");
	before = pages_huge_free();
	cr_assert_eq(segment_make_on("test", BYTES, &o, &fd, &base, &error), 0, "%s", error.text);
	expect_sealed(2 * PAGES_HUGE_BYTES);
	expect_zeroed_and_writable(2 * PAGES_HUGE_BYTES);
	cr_assert_eq(before - pages_huge_free(), 2);
	pages_look(base, 2 * PAGES_HUGE_BYTES, o.kind, &facts);
	cr_assert_eq(facts.huge_bytes, 2 * PAGES_HUGE_BYTES);
	cr_assert_eq(segment_map(fd, 2 * PAGES_HUGE_BYTES, false, "it", &other, &error),
		     -HAVEN_EINVAL);
	segment_unmap(base, 2 * PAGES_HUGE_BYTES);
	close(fd);
	cr_assert_eq(pages_huge_free(), before, "nothing is left behind");
}

Test(segment, kinds_of_pages_have_names)
{
	cr_assert_str_eq(pages_kind_name(PAGES_USUAL), "usual");
	cr_assert_str_eq(pages_kind_name(PAGES_HUGE), "hugetlbfs");
	cr_assert_str_eq(pages_kind_name(PAGES_KIND_COUNT), "?");
}

Test(segment, sizes_are_rounded_to_pages_where_it_matters)
{
	cr_assert_eq(pages_round(PAGES_USUAL, 5), 5);
	cr_assert_eq(pages_round(PAGES_HUGE, 1), PAGES_HUGE_BYTES);
	cr_assert_eq(pages_round(PAGES_TRANSPARENT, PAGES_HUGE_BYTES), PAGES_HUGE_BYTES);
	cr_assert_eq(pages_round(PAGES_HUGE, PAGES_HUGE_BYTES + 1), 2 * PAGES_HUGE_BYTES);
}
