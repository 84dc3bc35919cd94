/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A small registry for tests that reach its limits: twenty components in four buckets.
 */
#ifndef HAVEN_TEST_REGISTRY_SMALL_H
#define HAVEN_TEST_REGISTRY_SMALL_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rcu.h"
#include "registry.h"
#include "table.h"

#define SMALL_COMPONENTS 20u
#define SMALL_GATES 8u
#define SMALL_LANES 8u

static char small_dir[] = "/tmp/haven-small-XXXXXX";
static char small_file[64];
static struct registry node, reader;
static struct rcu_domain rcu;
static struct error_text error;

static inline void small_make(void)
{
	const struct registry_config config = {.node = "a",
					       .incarnation = 42,
					       .shape = {.components = SMALL_COMPONENTS,
							 .spare = 8,
							 .gates = SMALL_GATES,
							 .lanes = SMALL_LANES,
							 .clients = 1,
							 .events = 4,
							 .changes = 4,
							 .counters_bytes = 4096}};

	cr_assert_not_null(mkdtemp(small_dir));
	snprintf(small_file, sizeof(small_file), "%s/%s", small_dir, REGISTRY_FILE);
	cr_assert_eq(registry_create(&node, small_dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&rcu, &node.header->rcu_epoch);
	cr_assert_eq(registry_open(&reader, small_dir, &error), 0, "%s", error.text);
}

static inline void small_drop(void)
{
	registry_close(&reader);
	registry_destroy(&node);
	unlink(small_file);
	rmdir(small_dir);
}

/** Reserved lane lines `first` … are those of one table, and shown to be `handle`'s. */
static inline void small_lanes(uint32_t first, uint32_t count, uint64_t handle)
{
	const struct table_shape shape = {.name = "flows",
					  .key_bytes = 16,
					  .value_bytes = 8,
					  .capacity = 100,
					  .lanes = count,
					  .lane_records = 64};
	struct table_geometry g;

	cr_assert_eq(table_geometry_make(&shape, &g, &error), 0, "%s", error.text);
	cr_assert_eq(registry_lanes_describe(&node, first, &g), 0);
	cr_assert_eq(registry_lanes_give(&node, first, count, handle), 0);
}

static inline struct registry_component small_component(const char *name, uint16_t instances)
{
	struct registry_component c = {.hot.instances = instances};

	snprintf(c.hot.name, sizeof(c.hot.name), "%.31s", name);
	return c;
}

static inline uint64_t small_add(const char *name, uint16_t instances)
{
	struct registry_component c = small_component(name, instances);

	cr_assert_eq(registry_add(&node, &c, &error), 0, "%s", error.text);
	return c.hot.handle;
}

static inline void small_remove(uint64_t handle)
{
	cr_assert_eq(registry_remove(&node, handle, &rcu), 0);
	registry_reclaim(&node, &rcu);
}

static inline uint64_t small_hash(const char *name)
{
	struct registry_key key;

	cr_assert(registry_key_set(&key, name));
	return registry_hash(&node, &key);
}

/** The `n`-th name that belongs into a bucket. */
static inline const char *small_name(uint32_t bucket, unsigned n)
{
	static char name[HAVEN_NAME_MAX];

	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		if ((small_hash(name) & node.bucket_mask) == bucket && n-- == 0)
			return name;
	}
}

/** Another name of the same bucket and tag. */
static inline const char *small_double(const char *of)
{
	static char name[HAVEN_NAME_MAX];
	uint64_t hash = small_hash(of), other;

	for (unsigned i = 0;; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		other = small_hash(name);
		if (((other ^ hash) & node.bucket_mask) == 0 &&
		    registry_tag(other) == registry_tag(hash) && strcmp(name, of) != 0)
			return name;
	}
}

#endif
