/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations of the node's poll loop on its registry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_stage.h"
#include "table.h"

/** The child's. */
static struct yard yard;
static struct registry_component next;
static struct event event;
static uint64_t target;

/** The harness's: what it sees of the child's registry, and the next node's. */
struct own {
	struct registry r;
	struct registry successor;
	uint8_t *successor_bytes;
};

/* ---- set-up ---------------------------------------------------------------------------------- */

static struct registry_stage *begin(struct crash_case *c)
{
	yard_make(c, &yard);
	yard_note(c, &yard);
	target = yard.n_live ? yard.live[yard.n_live - 1] : 0;
	if (yard.n_live > 1 && c->variant % 2)
		target = yard.live[c->variant % yard.n_live];
	return registry_stage(c);
}

static void gates_move(struct crash_case *c, uint64_t handle)
{
	const struct registry_hot *own = registry_own(&yard.r, handle);

	registry_stage(c)->gate_first = own ? own->gate_first : 0;
	registry_stage(c)->gates = own ? own->instances : 0;
}

static void setup_plain(struct crash_case *c)
{
	begin(c);
}

/** What is to be added, as it will stand: the handle and gates that come next. `full`: what a full
 *  registry answers. */
static void expect_added(struct crash_case *c, uint64_t handle, int full)
{
	struct registry_stage *s = registry_stage(c);
	struct known *k = &s->known[s->n_known++];

	s->tells = true;
	*k = (struct known){.kind = KNOWN_MAYBE, .after = KNOWN_ALWAYS, .values = 1};
	k->value[0] = next;
	k->value[0].hot.handle = handle;
	k->value[0].hot.gate_first = registry_gates_find(&yard.r, next.hot.instances);
	s->change = REGISTRY_ADDED;
	s->change_handle = handle;
	s->gate_first = k->value[0].hot.gate_first;
	s->gates = next.hot.instances;
	if (yard.r.writer->free_slots == 0) {
		s->wanted = full;
		k->kind = k->after = KNOWN_NEVER;
		s->gates = 0;
	}
}

static void setup_add(struct crash_case *c)
{
	const struct registry_writer *w;

	begin(c);
	w = yard.r.writer;
	next = yard_component(20 + c->variant % 2, c->variant);
	expect_added(c,
		     (w->generation + 1) << REGISTRY_SLOT_BITS | (w->free_slots ? w->slot_head : 0),
		     -HAVEN_EFULL);
}

/** A handle from an earlier life: its generation is below, its slot free. */
static void setup_adopt(struct crash_case *c)
{
	const struct registry_writer *w;

	begin(c);
	w = yard.r.writer;
	next = yard_component(20 + c->variant % 2, c->variant);
	next.hot.handle = w->free_slots ? w->generation << REGISTRY_SLOT_BITS | w->slot_tail
					: 1u << REGISTRY_SLOT_BITS;
	expect_added(c, next.hot.handle, -HAVEN_EEXIST);
}

static void setup_update(struct crash_case *c)
{
	struct registry_stage *s = begin(c);
	struct known *k = yard_known(c, target);

	s->wanted = k ? 0 : -HAVEN_ESTALE;
	s->tells = true;
	s->change = REGISTRY_UPDATED;
	s->change_handle = target;
	if (!k)
		return;
	next = k->value[0];
	next.hot.load ^= 0x55;
	next.hot.state = (uint8_t)((next.hot.state + 1) % HAVEN_ROLE_COUNT);
	next.cold.updated_ns++;
	next.cold.depends[0] = ~next.cold.depends[0];
	snprintf(next.cold.release, sizeof(next.cold.release), "another release");
	k->value[1] = next;
	k->values = 2;
}

static void setup_remove(struct crash_case *c)
{
	struct registry_stage *s = begin(c);
	struct known *k = yard_known(c, target);

	s->wanted = k ? 0 : -HAVEN_ESTALE;
	s->tells = true;
	s->change = REGISTRY_REMOVED;
	s->change_handle = target;
	s->lanes = YARD_LANES;
	gates_move(c, target);
	if (!k)
		return;
	k->kind = KNOWN_MAYBE;
	k->after = KNOWN_NEVER;
}

/** A gate of the last component that has one: as it is, and as it will be set. */
static void setup_gate(struct crash_case *c, enum haven_role before, enum haven_role role,
		       uint64_t epoch, uint64_t until)
{
	struct registry_stage *s = begin(c);
	uint32_t i = YARD_GATES;

	while (i-- && yard.r.writer->gate[i].use != USE_LIVE)
		;
	CRASH_EXPECT(c, i < YARD_GATES);
	registry_gate_set(&yard.r, i, before, 77, 999);
	s->gate[i] = yard.r.gates[i];
	s->gate_first = i;
	s->gates = 1;
	s->gate_known = true;
	s->gate_after = s->gate[i];
	s->gate_after.role = role;
	s->gate_after.epoch = epoch;
	s->gate_after.generation += before != role || epoch != 77;
	s->gate_after.valid_until_ns = role == HAVEN_PRIMARY ? until : 0;
}

static void setup_gate_open(struct crash_case *c)
{
	setup_gate(c, HAVEN_SPARE, HAVEN_PRIMARY, 78, 5000 + c->variant);
}

static void setup_gate_shut(struct crash_case *c)
{
	setup_gate(c, HAVEN_PRIMARY, HAVEN_SECONDARY, 77 + c->variant % 2, 0);
}

static void setup_gate_renew(struct crash_case *c)
{
	setup_gate(c, HAVEN_PRIMARY, HAVEN_PRIMARY, 77, 6000 + c->variant);
}

static void setup_lanes(struct crash_case *c)
{
	struct registry_stage *s = begin(c);

	s->lane_first = 0;
	s->lanes = YARD_LANES;
}

static void setup_event(struct crash_case *c)
{
	struct registry_stage *s = begin(c);

	s->event_moves = true;
	event = yard_event(s->events + 1);
}

/** Everybody has left: what was retired is about to come back. */
static void setup_reclaim(struct crash_case *c)
{
	struct registry_stage *s = begin(c);

	s->word = 0;
	s->gates = YARD_GATES;
	s->lanes = YARD_LANES;
}

/* ---- the operations -------------------------------------------------------------------------- */

static void run_add(struct crash_case *c)
{
	struct error_text error;

	registry_stage(c)->result = registry_add(&yard.r, &next, &error);
}

static void run_adopt(struct crash_case *c)
{
	struct error_text error;

	registry_stage(c)->result = registry_adopt(&yard.r, &next, &error);
}

static void run_update(struct crash_case *c)
{
	registry_stage(c)->result = registry_update(&yard.r, &next, &yard.rcu);
}

static void run_remove(struct crash_case *c)
{
	registry_stage(c)->result = registry_remove(&yard.r, target, &yard.rcu);
}

static void run_gate_set(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);

	registry_gate_set(&yard.r, s->gate_first, (enum haven_role)s->gate_after.role,
			  s->gate_after.epoch, s->gate_after.valid_until_ns);
}

static void run_gate_renew(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);

	registry_gate_renew(&yard.r, s->gate_first, s->gate_after.valid_until_ns);
}

static void run_lanes_reserve(struct crash_case *c)
{
	int first = registry_lanes_reserve(&yard.r, 2);

	registry_stage(c)->result = first < 0 ? first : 0;
}

/** What was said before is said anew, in another shape. */
static void run_lanes_describe(struct crash_case *c)
{
	const struct table_shape shape = {.name = "counters",
					  .kind = TABLE_REGION,
					  .mode = TABLE_MODE_DIRTY,
					  .key_bytes = 4,
					  .value_bytes = 64,
					  .capacity = 32,
					  .lanes = yard.lanes,
					  .lane_records = 64};
	struct table_geometry g;

	registry_stage(c)->result = table_geometry_make(&shape, &g, NULL);
	if (registry_stage(c)->result == 0)
		registry_stage(c)->result = registry_lanes_describe(&yard.r, yard.lane_first, &g);
}

static void run_lanes_give(struct crash_case *c)
{
	registry_stage(c)->result =
		registry_lanes_give(&yard.r, yard.lane_first, yard.lanes, target);
}

static void run_lanes_release(struct crash_case *c)
{
	(void)c;
	registry_lanes_release(&yard.r, yard.lane_first, yard.lanes, &yard.rcu);
}

static void run_status(struct crash_case *c)
{
	(void)c;
	registry_status_begin(&yard.r);
	yard.r.status->epoch++;
	yard.r.status->polls = ~yard.r.status->polls;
	yard.r.status->n_nodes = 3;
	snprintf(yard.r.status->peer[1].name, HAVEN_NAME_MAX, "some other node");
	yard.r.status->instance[HAVEN_INSTANCES_MAX - 1].role = HAVEN_SECONDARY;
	registry_status_end(&yard.r);
}

static void run_event(struct crash_case *c)
{
	(void)c;
	event_ring_publish(yard.r.events, YARD_EVENTS, &event);
}

static void run_retire(struct crash_case *c)
{
	(void)c;
	rcu_retire_epoch(&yard.rcu);
}

static void run_reclaim(struct crash_case *c)
{
	(void)c;
	registry_reclaim(&yard.r, &yard.rcu);
}

/** Nothing died: all of it comes back, unless a reader holds it. */
static void after(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);

	if (s->result != s->wanted)
		crash_fault(c, "the operation gave %d, %d was wanted", s->result, s->wanted);
	yard_settle(c, &yard);
}

static void after_lanes(struct crash_case *c)
{
	struct registry_stage *s = registry_stage(c);

	s->wanted = s->result; /* as the start state has it; what counts is what stands there */
	after(c);
}

/* ---- the harness ----------------------------------------------------------------------------- */

static void open_registry(struct crash_case *c)
{
	struct own *own = calloc(1, sizeof(*own));
	struct error_text error;

	if (!own || registry_open(&own->r, c->dir, &error) != 0) {
		crash_fail(c, "the registry cannot be opened");
		free(own);
		return;
	}
	c->own = own;
	crash_region_add(c, own->r.base, own->r.size_bytes);
}

static void look(struct crash_case *c)
{
	struct own *own = c->own;
	char beside[96];

	snprintf(beside, sizeof(beside), "%s/next", c->dir);
	registry_view(c, &own->r, false);
	registry_recover(c, c->dir, c->pass == PASS_KILL ? c->dir : beside, NULL);
}

static void killed(struct crash_case *c)
{
	struct own *own = c->own;

	CRASH_CHECK(c, !registry_writer_alive(&own->r), "the dead node counts as alive");
}

/** The node stands still; it is not dead, and yet another one takes its place. */
static void world(struct crash_case *c)
{
	struct own *own = c->own;

	CRASH_CHECK(c, registry_writer_alive(&own->r), "the stopped node counts as dead");
	CRASH_CHECK(c, registry_restart(&own->successor, c->dir, c->dir, NULL) == 0,
		    "the second node cannot start");
	if (!own->successor.base)
		return;
	registry_judge_kept(c, &own->successor);
	own->successor_bytes = malloc(own->successor.size_bytes);
	HAVEN_ASSERT(own->successor_bytes != NULL);
	memcpy(own->successor_bytes, own->successor.base, own->successor.size_bytes);
}

static void ended(struct crash_case *c)
{
	struct own *own = c->own;
	struct registry now;

	registry_view(c, &own->r, true);
	if (!own->successor_bytes)
		return;
	CRASH_CHECK(c,
		    memcmp(own->successor_bytes, own->successor.base, own->successor.size_bytes) ==
			    0,
		    "the continued node wrote into the registry of its successor");
	CRASH_CHECK(c,
		    registry_open(&now, c->dir, NULL) == 0 &&
			    now.header->started_ns == own->successor.header->started_ns,
		    "the continued node took the successor's name away");
	registry_close(&now);
}

static void close_registry(struct crash_case *c)
{
	struct own *own = c->own;

	if (!own)
		return;
	if (own->successor.base)
		registry_destroy(&own->successor);
	free(own->successor_bytes);
	registry_close(&own->r);
	free(own);
	c->own = NULL;
}

#define HARNESS                                                                                    \
	.open = open_registry, .look = look, .killed = killed, .world = world, .ended = ended,     \
	.close = close_registry

const struct crash_op crash_registry_ops[] = {
	{.name = "add",
	 .starts = START_ALL,
	 .setup = setup_add,
	 .run = run_add,
	 .after = after,
	 HARNESS},
	{.name = "update",
	 .starts = START_ALL,
	 .setup = setup_update,
	 .run = run_update,
	 .after = after,
	 HARNESS},
	{.name = "remove",
	 .starts = START_ALL,
	 .setup = setup_remove,
	 .run = run_remove,
	 .after = after,
	 HARNESS},
	{.name = "adopt",
	 .starts = START_ALL,
	 .setup = setup_adopt,
	 .run = run_adopt,
	 .after = after,
	 HARNESS},
	{.name = "gate-open",
	 .starts = START_BUT(START_EMPTY),
	 .setup = setup_gate_open,
	 .run = run_gate_set,
	 .after = after,
	 HARNESS},
	{.name = "gate-shut",
	 .starts = START_BUT(START_EMPTY),
	 .setup = setup_gate_shut,
	 .run = run_gate_set,
	 .after = after,
	 HARNESS},
	{.name = "gate-renew",
	 .starts = START_BUT(START_EMPTY),
	 .setup = setup_gate_renew,
	 .run = run_gate_renew,
	 .after = after,
	 HARNESS},
	{.name = "lanes-reserve",
	 .starts = START_ALL,
	 .setup = setup_lanes,
	 .run = run_lanes_reserve,
	 .after = after_lanes,
	 HARNESS},
	{.name = "lanes-describe",
	 .starts = START_ALL,
	 .setup = setup_lanes,
	 .run = run_lanes_describe,
	 .after = after_lanes,
	 HARNESS},
	{.name = "lanes-give",
	 .starts = START_ALL,
	 .setup = setup_lanes,
	 .run = run_lanes_give,
	 .after = after_lanes,
	 HARNESS},
	{.name = "lanes-release",
	 .starts = START_ALL,
	 .setup = setup_lanes,
	 .run = run_lanes_release,
	 .after = after_lanes,
	 HARNESS},
	{.name = "status",
	 .starts = START_ALL,
	 .setup = setup_plain,
	 .run = run_status,
	 .after = after,
	 HARNESS},
	{.name = "event",
	 .starts = START_ALL,
	 .setup = setup_event,
	 .run = run_event,
	 .after = after,
	 HARNESS},
	{.name = "retire",
	 .starts = START_ALL,
	 .setup = setup_plain,
	 .run = run_retire,
	 .after = after,
	 HARNESS},
	{.name = "reclaim",
	 .starts = START_ALL,
	 .setup = setup_reclaim,
	 .run = run_reclaim,
	 .after = after,
	 HARNESS},
	{.name = NULL},
};
