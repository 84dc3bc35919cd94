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

/** Asked for and not given: the node runs all the same. */
static void tell_pages(const struct haven_node *n)
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

int registry_start(struct haven_node *n, struct error_text *error)
{
	const struct config *c = n->config;
	const struct config_timers *t = &c->timers;
	struct registry_config r = {.cluster = c->cluster,
				    .node = n->me->name,
				    .release = n->me->release,
				    .incarnation = n->incarnation,
				    .interval_ns = t->interval_ns,
				    .lease_ns = t->lease_ns,
				    .suspect_ns = t->suspect_ns,
				    .guard_ns = t->guard_ns,
				    .pages = pages_wanted(n),
				    .huge_dir = c->registry.huge_dir};
	int err;

	config_registry_shape(c, meters_room(c), &r.shape);
	err = registry_create(&n->registry, n->me->run_dir, &r, error);
	if (err == -HAVEN_EPERM && r.pages.bind && c->registry.numa == CONFIG_NUMA_AUTO) {
		/* A sandbox may forbid to choose; nobody asked for it. */
		r.pages.bind = false;
		err = registry_create(&n->registry, n->me->run_dir, &r, error);
	}
	if (err)
		return err;
	rcu_domain_init(&n->rcu, &n->registry.header->rcu_epoch);
	tell_pages(n);
	return meters_begin(n, error);
}
