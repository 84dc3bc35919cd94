/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Check of what stands beside the components: status, gates, lane lines, the two rings, counters.
 */
#include <stdlib.h>

#include "broadcast.h"
#include "registry_check.h"
#include "table.h"

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

/** What is wrong with what lane line `i` says of its checkpoint, NULL: nothing. */
static const char *lane_fault(const struct registry_lane *lane,
			      const struct registry_checkpoint *what)
{
	struct table_shape shape = {.key_bytes = what->key_bytes,
				    .value_bytes = what->value_bytes,
				    .capacity = what->capacity,
				    .lanes = what->lanes,
				    .lane_records = what->lane_records,
				    .kind = what->kind,
				    .mode = what->mode};
	struct table_geometry g;
	struct error_text error;

	memcpy(shape.name, what->name, sizeof(shape.name));
	if (table_geometry_make(&shape, &g, &error) != 0)
		return "names a checkpoint of no possible shape";
	if (lane->lane >= what->lanes)
		return "has a number that its checkpoint has not";
	if (what->lane_capacity != table_geometry_room(&g, lane->lane))
		return "has another room than its checkpoint's shape gives it";
	if (lane->live > what->lane_capacity || lane->dirty > lane->live)
		return "holds more than it can";
	return NULL;
}

/** The line is copied without a lock: what is found wrong is looked at again. NULL as well: it is
 *  nobody's, or becoming somebody's. */
static const char *lane_judge(const struct check *k, uint32_t i)
{
	struct registry_checkpoint what;
	struct registry_lane lane;

	return registry_lane_copy(k->r, i, &lane, &what) ? lane_fault(&lane, &what) : NULL;
}

void check_lanes(struct check *k)
{
	for (uint32_t i = 0; i < k->r->shape.lanes; i++) {
		uint32_t owner = load_acquire(&k->r->lanes[i].component); /* A1 */
		const char *fault;
		unsigned look = 0;

		k->report->lanes++;
		if (owner != REGISTRY_NONE && owner >= k->r->components) {
			check_found(k, REGISTRY_BAD_LANE, "lane %u names slot %u of %u", i, owner,
				    k->r->components);
			continue;
		}
		if (owner != REGISTRY_NONE)
			k->lanes_of[owner]++;
		do {
			fault = lane_judge(k, i);
		} while (fault && check_again(k, &look));
		if (fault)
			check_found(k, REGISTRY_BAD_LANE, "lane %u %s", i, fault);
	}
}

/** A ring as it is walked. */
struct ring {
	const struct broadcast *ring;
	uint32_t slots;
	const char *what; /**< of its records, for sentences */
	enum registry_finding bad;
	uint64_t position; /**< of the record read last, or of the last one that is missing */
};

/** After a read that moved from `from` to `ring->position` and gave `seq` (0: none): what lies
 *  between must have been overwritten meanwhile; the writer is one record ahead of the head. */
static void check_gap(struct check *k, const struct ring *g, uint64_t from, uint64_t seq)
{
	uint64_t last = seq ? seq - 1 : g->position, head = load_acquire(&g->ring->head); /* E3 */

	if (last > from && (head < g->slots || last > head + 1 - g->slots))
		check_found(k, g->bad, "%s %llu to %llu are missing", g->what,
			    (unsigned long long)from + 1, (unsigned long long)last);
}

static void check_events(struct check *k)
{
	struct ring g = {.ring = &k->r->events->ring,
			 .slots = k->r->shape.events,
			 .what = "events",
			 .bad = REGISTRY_BAD_EVENT};

	/* A live ring may gain events while it is read: one round is enough. */
	for (uint32_t i = 0; i < g.slots; i++) {
		uint64_t from = g.position, missed = 0;
		struct event e = {0};
		int got = event_ring_read(k->r->events, g.slots, &g.position, &e, &missed);

		check_gap(k, &g, from, e.seq);
		if (!got)
			break;
		k->report->events++;
		if (e.kind >= EVENT_KIND_COUNT || e.severity > EVENT_CRITICAL)
			check_found(k, REGISTRY_BAD_EVENT,
				    "event %llu has the unknown kind %u or severity %u",
				    (unsigned long long)e.seq, e.kind, e.severity);
	}
}

/** The count of changes is that of the ring or, when the node died between the two, one less. */
static void check_count(struct check *k)
{
	uint64_t count, head;
	unsigned look = 0;

	do {
		count = registry_changes(k->r);
		head = load_acquire(&k->r->watch->head); /* E3 */
	} while (head != count && check_again(k, &look));
	if (head == count + 1)
		check_found(k, REGISTRY_UNFINISHED,
			    "change %llu is in the ring and not counted yet",
			    (unsigned long long)head);
	else if (head != count && registry_changes(k->r) == count)
		check_found(k, REGISTRY_BAD_CHANGE,
			    "the ring of changes shows %llu, %llu were counted",
			    (unsigned long long)head, (unsigned long long)count);
}

static void check_changes(struct check *k)
{
	struct ring g = {.ring = k->r->watch,
			 .slots = k->r->shape.changes,
			 .what = "changes",
			 .bad = REGISTRY_BAD_CHANGE};

	for (uint32_t i = 0; i < g.slots; i++) {
		uint64_t from = g.position, missed = 0, seq;
		struct registry_change c;

		seq = registry_watch_read(k->r, &g.position, &c, &missed);
		check_gap(k, &g, from, seq);
		if (!seq)
			break;
		k->report->changes++;
		if (c.kind >= REGISTRY_CHANGE_KINDS || c.slot >= k->r->components ||
		    c.slot != registry_slot_of(c.handle) || !c.name[0])
			check_found(k, REGISTRY_BAD_CHANGE,
				    "change %llu has the unknown kind %u, slot %u or no name",
				    (unsigned long long)seq, c.kind, c.slot);
	}
	check_count(k);
}

void check_rings(struct check *k)
{
	check_events(k);
	check_changes(k);
}

static void counter_found(void *context, const char *sentence)
{
	check_found(context, REGISTRY_BAD_COUNTER, "%s", sentence);
}

void check_counters(struct check *k)
{
	k->report->counters =
		counters_check(k->r->counters, k->r->shape.counters_bytes, counter_found, k);
}
