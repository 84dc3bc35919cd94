/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "config.h"
#include "registry.h"

#define GOOD                                                                                       \
	"cluster: demo\nkey_file: demo.key\n"                                                      \
	"nodes:\n"                                                                                 \
	"  - {name: a, run_dir: /tmp/x/a, ports: [net_null0]}\n"                                   \
	"  - {name: b, run_dir: /tmp/x/b, ports: [net_null0]}\n"                                   \
	"  - {name: w, run_dir: /tmp/x/w, ports: [net_null0], witness: true}\n"                    \
	"groups:\n  - {name: nat, instances: [nat0], nodes: [a, b], prefer: a}\n"
/** The section begins in this line. */
#define AT "9:"
#define NEEDED 30000u
#define ROOM 49152u

static char path[64];
static struct config *c;

static void teardown(void)
{
	config_free(c);
	unlink(path);
}

TestSuite(config_registry, .fini = teardown);

static void load(const char *section, int expected)
{
	FILE *f;

	config_free(c);
	snprintf(path, sizeof(path), "/tmp/haven-test-registry-%d", (int)getpid());
	f = fopen(path, "w");
	cr_assert(f && fputs(GOOD, f) >= 0 && fputs(section, f) >= 0 && fclose(f) == 0);
	cr_assert_eq(config_load(&c, path), expected, "%s: %s", section,
		     c->n_findings ? c->finding[0].reason : "no finding");
}

/** One finding is at this place and says this. */
static void told(const char *place, const char *reason, const char *remedy)
{
	char line[1024] = "", start[128];
	bool found = false;

	snprintf(start, sizeof(start), "%s:%s error: ", path, place);
	for (unsigned i = 0; i < c->n_findings && !found; i++) {
		config_finding_text(c, i, line, sizeof(line));
		found = strncmp(line, start, strlen(start)) == 0 && strstr(line, reason) &&
			strstr(line, remedy);
	}
	cr_assert(found, "wanted '%s%s … %s', last: %s", start, reason, remedy, line);
}

static void refused(const char *section, const char *place, const char *reason, const char *remedy)
{
	load(section, -HAVEN_ECONFIG);
	told(place, reason, remedy);
}

/* ---- the section ------------------------------------------------------------------------------
 */

Test(config_registry, without_the_section_all_is_as_the_registry_wants_it)
{
	struct registry_shape shape;
	uint64_t bytes;

	load("", 0);
	config_registry_shape(c, ROOM, &shape);
	cr_assert_eq(shape.components, 0);
	cr_assert_eq(shape.counters_bytes, ROOM);
	cr_assert_eq(registry_shape_check(&shape, &bytes, NULL), 0);
	cr_assert_eq(c->registry.pages, PAGES_USUAL);
	cr_assert_eq(c->registry.numa, CONFIG_NUMA_AUTO);
}

Test(config_registry, every_key_is_taken)
{
	load("registry:\n"
	     "  components: 1048576\n  spare: 5000\n  gates: 300\n  lanes: 400\n  clients: 70\n"
	     "  events: 8192\n  changes: 1024\n  counters: 64KiB\n"
	     "  hugepages: hugetlbfs /dev/hugepages\n  numa: 1\n",
	     0);
	cr_assert_eq(c->registry.shape.components, 1048576);
	cr_assert_eq(c->registry.shape.spare, 5000);
	cr_assert_eq(c->registry.shape.gates, 300);
	cr_assert_eq(c->registry.shape.lanes, 400);
	cr_assert_eq(c->registry.shape.clients, 70);
	cr_assert_eq(c->registry.shape.events, 8192);
	cr_assert_eq(c->registry.shape.changes, 1024);
	cr_assert_eq(c->registry.shape.counters_bytes, 65536);
	cr_assert_eq(c->registry.pages, PAGES_HUGE);
	cr_assert_str_eq(c->registry.huge_dir, "/dev/hugepages");
	cr_assert_eq(c->registry.numa, 1);
	load("registry: {hugepages: transparent, numa: no, counters: 1000}\n", 0);
	cr_assert_eq(c->registry.pages, PAGES_TRANSPARENT);
	cr_assert_eq(c->registry.numa, CONFIG_NUMA_NONE);
	cr_assert_eq(c->registry.shape.counters_bytes, 1024, "whole lines");
	load("registry: {hugepages: no, numa: auto, counters: 2MiB}\n", 0);
	cr_assert_eq(c->registry.pages, PAGES_USUAL);
	cr_assert_eq(c->registry.numa, CONFIG_NUMA_AUTO);
	cr_assert_eq(c->registry.shape.counters_bytes, 2u << 20);
}

Test(config_registry, values_out_of_range_have_place_and_remedy)
{
	refused("registry: {components: 1048577}\n", AT "24:", "'1048577' is not a whole number",
		"");
	refused("registry: {components: 0}\n", AT "24:", "from 1 to 1048576", "");
	refused("registry: {clients: 1025}\n", AT "21:", "from 1 to 1024", "");
	refused("registry: {events: 5000}\n", AT "20:", "5000 is not a power of two",
		"events: 4096 or 8192");
	refused("registry: {changes: 3}\n", AT "21:", "not a power of two", "changes: 2 or 4");
	refused("registry: {counters: 64kb}\n", AT "22:", "'64kb' is not a size", "64KiB");
	refused("registry: {counters: 4096MiB}\n", AT "22:", "1073741824 bytes", "");
	refused("registry: {hugepages: yes}\n", AT "23:", "cannot be 'yes'", "transparent");
	refused("registry: {hugepages: hugetlbfs relative}\n", AT "23:", "", "absolute path");
	refused("registry: {numa: near}\n", AT "18:", "cannot be 'near'", "use auto");
	refused("registry: {numa: 1024}\n", AT "18:", "from 0 to 1023", "");
	refused("registry: {compnents: 5}\n", AT "12:", "unknown key 'compnents'",
		"did you mean 'components'?");
	refused("registry: 5\n", AT "11:", "must be a mapping", "key: value");
}

/* ---- this host --------------------------------------------------------------------------------
 */

static unsigned findings_here(const char *section, const char *run_dir)
{
	uint32_t before;

	load(section, 0);
	before = c->n_findings;
	snprintf(c->node[0].run_dir, sizeof(c->node[0].run_dir), "%s", run_dir);
	config_check_registry(c, &c->node[0], NEEDED, ROOM);
	return c->n_findings - before;
}

Test(config_registry, what_fits_is_no_finding)
{
	cr_assert_eq(findings_here("", "/tmp/haven-not-yet/a"), 0, "%s", c->finding[0].reason);
	cr_assert_eq(findings_here("registry: {counters: 64KiB, components: 1000}\n", "/tmp"), 0);
}

Test(config_registry, too_few_bytes_for_counters_are_told_with_what_is_needed)
{
	cr_assert_eq(findings_here("registry: {counters: 16KiB}\n", "/tmp"), 1);
	told(AT "22:", "needs 30000 bytes, not 16384", "counters: 30KiB or more");
}

Test(config_registry, a_full_file_system_is_told_with_field_need_and_what_is_free)
{
	char where[] = "/tmp/haven-full-XXXXXX", deep[64];
	bool full;
	unsigned n;

	cr_assert_not_null(mkdtemp(where));
	full = mount("none", where, "tmpfs", 0, "size=1m") == 0;
	snprintf(deep, sizeof(deep), "%s/not/yet", where);
	n = findings_here("registry: {components: 50000}\n", deep);
	if (full)
		umount(where);
	rmdir(where);
	if (!full)
		cr_skip_test("mounting a file system needs root");
	cr_assert_eq(n, 1);
	told(AT "24:", "/not/yet, where 1.0 MiB are free", "components: less than 50000");
	cr_assert_not_null(strstr(c->finding[c->n_findings - 1].reason, "for components 50000"));
}

Test(config_registry, a_file_system_that_tells_no_size_is_no_finding)
{
	cr_assert_eq(findings_here("", "/proc"), 0);
}

Test(config_registry, a_numa_node_that_is_not_there_is_told)
{
	cr_assert_eq(findings_here("registry: {numa: 1023}\n", "/tmp"), 1);
	told(AT "18:", "has no NUMA node 1023", "numa: auto");
}

Test(config_registry, huge_pages_need_their_file_system_and_a_pool)
{
	unsigned n = findings_here("registry: {components: 1048576, spare: 1048576, hugepages: "
				   "hugetlbfs /tmp}\n",
				   "/tmp");

	cr_assert(n == 1 || n == 2, "%u", n); /* a large pool may be there */
	told(AT "60:", "/tmp is no file system of 2 MiB pages", "mount -t hugetlbfs");
	cr_assert_geq(findings_here("registry: {hugepages: hugetlbfs /nowhere/at/all}\n", "/tmp"),
		      1);
	told(AT "23:", "No such file", "mount -t hugetlbfs");
}
