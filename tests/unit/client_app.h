/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * An application beside a fake node: one component with one table and one worker.
 */
#ifndef CLIENT_APP_H
#define CLIENT_APP_H

#include <dirent.h>
#include <sys/syscall.h>

#include "fake_node.h"
#include "haven.h"

#define WAIT_NS (5 * NSEC_PER_SEC)

static struct fake_node node;

static const struct haven_component_config nat_config = {.name = "nat-a", .group = "nat"};
static const struct haven_table_config small_table = {.name = "flows",
						      .key_bytes = 8,
						      .value_bytes = 8,
						      .capacity = 64,
						      .lanes = 2,
						      .lane_records = 64};

struct app {
	struct haven *h;
	struct haven_component *c;
	struct haven_table *t;
	struct haven_worker *w;
};

static inline unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Mappings of this library: segments and registries. The node's own are counted too. */
static inline unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:haven") || strstr(line, "/" REGISTRY_FILE);
	fclose(f);
	return n;
}

static inline void app_start(struct app *a)
{
	cr_assert_eq(haven_attach(&a->h, node.dir), 0, "%s", haven_last_error(NULL));
	cr_assert_eq(haven_component_register(a->h, &nat_config, &a->c), 0, "%s",
		     haven_last_error(a->h));
	cr_assert_eq(haven_table_create(a->c, 0, &small_table, &a->t), 0, "%s",
		     haven_last_error(a->h));
	cr_assert_eq(haven_worker_begin(a->c, &a->w), 0, "%s", haven_last_error(a->h));
	cr_assert_eq(haven_component_ready(a->c), 0, "%s", haven_last_error(a->h));
}

static inline void end(struct app *a)
{
	haven_detach(a->h);
	fake_kill(&node);
	fake_end(&node);
}

static inline unsigned poll_until(struct haven_worker *w, unsigned wanted)
{
	uint64_t until = clock_now_ns() + WAIT_NS;
	unsigned changes = 0;

	while (!(changes & wanted) && clock_now_ns() < until)
		changes |= haven_poll(w);
	return changes;
}

#endif
