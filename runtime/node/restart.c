/* SPDX-License-Identifier: BSD-3-Clause */
#include "restart.h"

#include <stdio.h>
#include <string.h>

#include "meters.h"
#include "node.h"
#include "registry_start.h"
#include "run_dir.h"

/** Handles that can be given out between two looks of the control thread, with a wide margin. */
#define GENERATIONS_AHEAD ((uint64_t)1 << 24)

static int group_here(void *context, const char *group, uint16_t *instance_first)
{
	const struct haven_node *n = context;
	int index = config_group_find(n->config, group);
	const struct config_group *g;

	if (index < 0)
		return -HAVEN_ENOENT;
	g = &n->config->group[index];
	for (unsigned i = 0; i < g->n_nodes; i++) {
		if (g->node[i] == n->self) {
			*instance_first = g->instance_first;
			return g->n_instances;
		}
	}
	return -HAVEN_EREFUSED;
}

static void registry_wanted(const struct haven_node *n, struct registry_config *out)
{
	uint64_t kept = run_dir_recall(n->me->run_dir, RUN_DIR_GENERATION);

	registry_start_want(n, out);
	out->generation_floor = kept < REGISTRY_GENERATION_MAX ? kept : 0;
	/* Grows by 2^20 per ms, which no epoch does: above the epochs of a lost registry. */
	out->rcu_epoch_floor = n->incarnation;
}

/** What belongs to a prepared registry besides its file. */
static int registry_complete(struct haven_node *n, struct error_text *error)
{
	int err;

	rcu_domain_init(&n->rcu, &n->registry.header->rcu_epoch);
	err = light_new(&n->local.light, &n->registry, &n->rcu, n->me->release);
	if (err)
		error_set(error, err, "no memory for the owners of components");
	else
		err = meters_begin(n, error);
	if (err)
		registry_discard(&n->registry);
	return err;
}

int restart_registry(struct haven_node *n, struct error_text *error)
{
	struct registry_config wanted;
	struct registry old;
	bool found;
	int err;

	registry_wanted(n, &wanted);
	found = adopt_open(&old, n->me->run_dir, &wanted, &n->adopted) == 0;
	wanted.after_loss = !found && wanted.generation_floor;
	err = registry_start_prepare(n, &wanted, error);
	if (!err)
		err = registry_complete(n, error);
	if (!err && found)
		adopt_components(&n->local.light, &old, group_here, n, &n->adopted);
	if (found)
		registry_close(&old);
	if (!err) {
		registry_start_tell(n);
		restart_keep(n);
		err = registry_publish(&n->registry, error);
	}
	return err;
}

void restart_tell(struct haven_node *n, uint64_t now)
{
	const struct adopt_report *r = &n->adopted;
	struct event e = publish_event_init(EVENT_REGISTRY_LOST, EVENT_WARNING);

	e.node = n->self;
	if (r->lost.text[0]) {
		snprintf(e.detail, sizeof(e.detail), "%.*s", (int)sizeof(e.detail) - 1,
			 r->lost.text);
		publish_event(n, &e, now);
		return;
	}
	if (r->adopted + r->dead + r->refused + r->damaged == 0)
		return;
	e.kind = EVENT_COMPONENTS_ADOPTED;
	e.severity = r->refused + r->damaged ? EVENT_WARNING : EVENT_NOTICE;
	e.a = r->adopted;
	e.b = r->dead;
	e.c = r->took_ns;
	if (r->refused + r->damaged)
		snprintf(e.detail, sizeof(e.detail), "%u without a place here, %u damaged",
			 r->refused, r->damaged);
	publish_event(n, &e, now);
}

void restart_keep(struct haven_node *n)
{
	uint64_t generation = load_acquire(&n->registry.header->generation);

	if (generation + GENERATIONS_AHEAD / 2 <= n->generation_kept)
		return;
	if (run_dir_keep(n->me->run_dir, RUN_DIR_GENERATION, generation + GENERATIONS_AHEAD) == 0)
		n->generation_kept = generation + GENERATIONS_AHEAD;
}
