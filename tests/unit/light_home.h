/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A registry with its books in a directory of its own, for tests of what the node does with light
 * components.
 */
#ifndef HAVEN_TEST_LIGHT_HOME_H
#define HAVEN_TEST_LIGHT_HOME_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "light.h"

static char home[64];
static struct registry registry;
static struct rcu_domain rcu;
static struct light light;
static struct error_text error;
static struct registry_config home_config = {
	.cluster = "demo",
	.node = "a",
	.release = "1.0",
	.incarnation = 1,
	.shape = {.components = 64, .spare = 8, .gates = 16, .lanes = 16, .clients = 4}};

static void home_make(void)
{
	strcpy(home, "/tmp/haven-light-XXXXXX");
	cr_assert_not_null(mkdtemp(home));
}

static void home_remove(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/registry", home);
	unlink(path);
	rmdir(home);
}

static void node_start(void)
{
	cr_assert_eq(registry_prepare(&registry, home, &home_config, &error), 0, "%s", error.text);
	rcu_domain_init(&rcu, &registry.header->rcu_epoch);
	cr_assert_eq(light_new(&light, &registry, &rcu, "1.0"), 0);
}

static void node_end(void)
{
	light_free(&light);
	registry_destroy(&registry);
}

static inline struct request request_of(enum request_kind kind, uint64_t handle, const char *name)
{
	struct request r = {.kind = (uint16_t)kind, .handle = handle};

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

/** The registry as its readers have it holds nothing that it should not. */
static inline void registry_sound(void)
{
	struct registry_report report;

	cr_assert_eq(registry_check(&registry, &report, NULL, NULL), 0);
	cr_assert_eq(report.findings, 0);
	cr_assert_eq(report.unfinished, 0);
}

#endif
