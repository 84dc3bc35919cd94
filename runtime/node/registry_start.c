/* SPDX-License-Identifier: BSD-3-Clause */
#include "registry_start.h"

#include <stdio.h>

#include "meters.h"
#include "node.h"
#include "placement.h"

void registry_start_check(struct config *c, const struct config_node *me)
{
	config_check_registry(c, me, meters_bytes(c), meters_room(c));
}

static struct pages_options pages_wanted(const struct haven_node *n)
{
	const struct config_registry *g = &n->config->registry;
	int node = g->numa;

	if (node == CONFIG_NUMA_AUTO)
		node = placement_numa_node(n->cpu);
	return (struct pages_options){
		.kind = g->pages, .bind = node >= 0, .numa_node = node >= 0 ? (uint32_t)node : 0};
}

void registry_start_want(const struct haven_node *n, struct registry_config *out)
{
	const struct config *c = n->config;
	const struct config_timers *t = &c->timers;

	*out = (struct registry_config){.cluster = c->cluster,
					.node = n->me->name,
					.release = n->me->release,
					.incarnation = n->incarnation,
					.interval_ns = t->interval_ns,
					.lease_ns = t->lease_ns,
					.suspect_ns = t->suspect_ns,
					.guard_ns = t->guard_ns,
					.pages = pages_wanted(n),
					.huge_dir = c->registry.huge_dir};
	config_registry_shape(c, meters_room(c), &out->shape);
}

int registry_start_prepare(struct haven_node *n, struct registry_config *wanted,
			   struct error_text *error)
{
	int err = registry_prepare(&n->registry, n->me->run_dir, wanted, error);

	if (err == -HAVEN_EPERM && wanted->pages.bind &&
	    n->config->registry.numa == CONFIG_NUMA_AUTO) {
		/* A sandbox may forbid to choose; nobody asked for it. */
		wanted->pages.bind = false;
		err = registry_prepare(&n->registry, n->me->run_dir, wanted, error);
	}
	return err;
}

void registry_start_tell(const struct haven_node *n)
{
	const struct registry_header *h = n->registry.header;
	char text[512];

	if (h->pages_kind != PAGES_TRANSPARENT || h->huge_bytes)
		return;
	snprintf(text, sizeof(text),
		 "the registry stands on usual pages: %s allows no transparent huge pages; remedy: "
		 "mount it with huge=advise (mount -o remount,huge=advise), or configure registry: "
		 "hugepages: hugetlbfs DIRECTORY",
		 n->me->run_dir);
	node_report(&n->options, HAVEN_NODE_WARNING, text);
}
