/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Check of what stands beside the components: status, gates, lane lines, the two rings.
 */
#include <stdlib.h>

#include "registry_check.h"

void check_status(struct check *k)
{
	struct registry_status *s = malloc(sizeof(*s));
	const struct registry_status *now = k->r->status;

	if (s && registry_copy_status(k->r, s))
		check_found(k, REGISTRY_UNFINISHED, "status: it was being written");
	free(s);
	if (load_relaxed(&now->n_nodes) > HAVEN_NODES_MAX ||
	    load_relaxed(&now->n_instances) > HAVEN_INSTANCES_MAX)
		check_found(k, REGISTRY_BAD_STATUS,
			    "status: more nodes or instances than there "
			    "can be");
	for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++) {
		if (load_relaxed(&now->instance[i].role) >= HAVEN_ROLE_COUNT)
			check_found(k, REGISTRY_BAD_STATUS,
				    "status: instance %u has an unknown role", i);
	}
}

/* ---- gates ----------------------------------------------------------------------------------- */

enum gate_state { GATE_GOOD = 0, GATE_TORN, GATE_ROLE, GATE_VALID, GATE_OWNER, GATE_LEFT };

/** Component that the slot shows, copied; false: none. */
static bool owner_copy(const struct registry *r, uint32_t slot, struct registry_component *c)
{
	return registry_copy_slot(r, slot, c) == 0;
}

static enum gate_state gate_judge(const struct registry *r, uint32_t gate, struct registry_gate *g)
{
	struct registry_component c;

	if (!registry_gate_copy(&r->gates[gate], g))
		return GATE_TORN;
	if (g->role >= HAVEN_ROLE_COUNT)
		return GATE_ROLE;
	if (g->role != HAVEN_PRIMARY && g->valid_until_ns)
		return GATE_VALID;
	if (g->component != REGISTRY_NONE && g->component >= r->components)
		return GATE_OWNER;
	if (g->component == REGISTRY_NONE || !owner_copy(r, g->component, &c))
		return g->role == HAVEN_OFFLINE ? GATE_GOOD : GATE_LEFT;
	return gate >= c.hot.gate_first && gate - c.hot.gate_first < c.hot.instances ? GATE_GOOD
										     : GATE_OWNER;
}

/** Gates that a half-done change leaves are those of one component. */
static void gate_left(struct check *k, uint32_t gate, const struct registry_gate *g, uint32_t *left)
{
	bool first = *left == REGISTRY_NONE;

	if (g->component == REGISTRY_NONE || (!first && *left != g->component)) {
		check_found(k, REGISTRY_BAD_GATE, "gate %u has a role and no component", gate);
		return;
	}
	*left = g->component;
	if (first)
		check_found(k, REGISTRY_UNFINISHED,
			    "gate %u has a role, its component in slot %u was being removed", gate,
			    g->component);
}

static void gate_tell(struct check *k, uint32_t gate, const struct registry_gate *g,
		      enum gate_state state, uint32_t *torn, uint32_t *left)
{
	switch (state) {
	case GATE_GOOD:
		break;
	case GATE_TORN:
		check_found(k, (*torn)++ ? REGISTRY_BAD_GATE : REGISTRY_UNFINISHED,
			    "gate %u was being changed", gate);
		break;
	case GATE_ROLE:
		check_found(k, REGISTRY_BAD_GATE, "gate %u has the unknown role %u", gate, g->role);
		break;
	case GATE_VALID:
		check_found(k, REGISTRY_BAD_GATE, "gate %u is not primary and yet valid", gate);
		break;
	case GATE_OWNER:
		check_found(k, REGISTRY_BAD_GATE, "gate %u names slot %u, which does not claim it",
			    gate, g->component);
		break;
	case GATE_LEFT:
		gate_left(k, gate, g, left);
		break;
	}
}

void check_gates(struct check *k)
{
	uint32_t torn = 0, left = REGISTRY_NONE;

	for (uint32_t i = 0; i < k->r->shape.gates; i++) {
		struct registry_gate g;
		enum gate_state state;
		unsigned look = 0;

		do {
			state = gate_judge(k->r, i, &g);
		} while (state != GATE_GOOD && check_again(k, &look));
		k->report->gates++;
		gate_tell(k, i, &g, state, &torn, &left);
	}
}

/* ---- lanes and rings ------------------------------------------------------------------------- */

void check_lanes(struct check *k)
{
	for (uint32_t i = 0; i < k->r->shape.lanes; i++) {
		uint32_t owner = load_acquire(&k->r->lanes[i].component); /* A1 */

		k->report->lanes++;
		if (owner == REGISTRY_NONE)
			continue;
		if (owner < k->r->components)
			k->lanes_of[owner]++;
		else
			check_found(k, REGISTRY_BAD_LANE, "lane %u names slot %u of %u", i, owner,
				    k->r->components);
	}
}

static void check_events(struct check *k)
{
	uint64_t position = 0, missed = 0, last = 0;
	struct event e;

	/* A live ring may gain events while it is read: one round is enough. */
	for (uint32_t i = 0; i < k->r->shape.events; i++) {
		if (event_ring_read(k->r->events, k->r->shape.events, &position, &e, &missed) == 0)
			break;
		k->report->events++;
		if (e.kind >= EVENT_KIND_COUNT || e.severity > EVENT_CRITICAL)
			check_found(k, REGISTRY_BAD_EVENT,
				    "event %llu has the unknown kind %u or severity %u",
				    (unsigned long long)e.seq, e.kind, e.severity);
		if (last && e.seq != last + 1)
			check_found(k, REGISTRY_BAD_EVENT, "events %llu to %llu are missing",
				    (unsigned long long)last + 1, (unsigned long long)e.seq - 1);
		last = e.seq;
	}
}

void check_rings(struct check *k)
{
	check_events(k);
}
