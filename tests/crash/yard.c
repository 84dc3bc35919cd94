/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The child's side: a registry in the start state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "registry_stage.h"
#include "table.h"

/** Stores after which the earlier writer of START_DEAD dies: one of these. */
#define DEATH_STORES 41u

/** The `k`th name whose home is bucket 0, so that a full bucket is passed over. */
static void name_make(unsigned k, char *name)
{
	const struct registry r = {.bucket_mask = 3,
				   .hash_seed = hash_mix64(YARD_INCARNATION ^ REGISTRY_MAGIC)};
	struct registry_key key;

	for (unsigned i = 0, n = 0;; i++) {
		snprintf(name, HAVEN_NAME_MAX, "component-%u", i);
		if (registry_key_set(&key, name) && (registry_hash(&r, &key) & 3) == 0 && n++ == k)
			return;
	}
}

struct registry_component yard_component(unsigned k, unsigned revision)
{
	struct registry_component c = {
		.hot = {.kind = (uint8_t)(k % 3),
			.state = (uint8_t)(revision % HAVEN_ROLE_COUNT),
			.health = (uint8_t)((k + revision) % HAVEN_HEALTH_COUNT),
			.flags = REGISTRY_READY,
			.load = revision * 31 % (REGISTRY_LOAD_MAX + 1),
			.instances = (uint16_t)(k % 3),
			.instance_first = (uint16_t)k,
			.weight = revision},
		.cold = {.pid_start_ticks = k * 1000 + revision,
			 .registered_ns = k + 1,
			 .updated_ns = revision + 1,
			 .pid = (int32_t)k + 1,
			 .format_read_min = 1,
			 .format_read_max = (uint16_t)(revision + 1),
			 .format_write = (uint16_t)(revision + 1),
			 .n_depends = 2,
			 .depends = {revision, k}}};

	name_make(k, c.hot.name);
	snprintf(c.cold.group, sizeof(c.cold.group), "group-%u", k);
	snprintf(c.cold.release, sizeof(c.cold.release), "release-%u.%u", k, revision);
	return c;
}

struct event yard_event(uint64_t seq)
{
	struct event e = {.at_ns = seq * 3,
			  .wall_ns = seq * 5,
			  .epoch = seq * 7,
			  .a = seq * 11,
			  .b = seq * 13,
			  .c = ~seq,
			  .kind = (uint16_t)(seq % EVENT_KIND_COUNT),
			  .severity = (uint8_t)(seq % 4)};

	snprintf(e.detail, sizeof(e.detail), "event %llu", (unsigned long long)seq);
	return e;
}

static void add(struct crash_case *c, struct yard *y, unsigned k, unsigned revision)
{
	struct registry_component one = yard_component(k, revision);

	CRASH_EXPECT(c, registry_add(&y->r, &one, NULL) == 0);
	y->live[y->n_live++] = one.hot.handle;
}

/** Roles that differ from gate to gate. */
static void gates_dress(struct yard *y)
{
	for (uint32_t i = 0; i < y->r.shape.gates; i++) {
		if (y->r.writer->gate[i].use == USE_LIVE)
			registry_gate_set(&y->r, i, (enum haven_role)(i % HAVEN_ROLE_COUNT), 5 + i,
					  1000000 + i);
	}
}

static void events_fill(struct crash_case *c, struct yard *y, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct event e = yard_event(y->r.events->ring.head + 1);

		event_ring_publish(y->r.events, YARD_EVENTS, &e);
	}
	registry_stage(c)->event_position = y->r.events->ring.head > 3 ? 1 : 0;
}

/** Replace and remove at random, so that free places and slots stand in another order. */
static void churn(struct crash_case *c, struct yard *y)
{
	for (unsigned i = 0; i < c->variant * 3; i++) {
		uint64_t h = hash_mix64(c->variant * 1000 + i);
		unsigned at = (unsigned)(h % (y->n_live ? y->n_live : 1));
		struct known k;

		if (!y->n_live || registry_get_copy(&y->r, y->live[at], &k.value[0]) != 0)
			return;
		if (h >> 32 & 1) {
			k.value[0].hot.load = (uint32_t)(h >> 40) % REGISTRY_LOAD_MAX;
			CRASH_EXPECT(c, registry_update(&y->r, &k.value[0], &y->rcu) == 0);
		} else {
			CRASH_EXPECT(c, registry_remove(&y->r, y->live[at], &y->rcu) == 0);
			registry_reclaim(&y->r, &y->rcu);
			CRASH_EXPECT(c, registry_add(&y->r, &k.value[0], NULL) == 0);
			y->live[at] = k.value[0].hot.handle;
		}
		registry_reclaim(&y->r, &y->rcu);
	}
}

struct registry_shape yard_shape(void)
{
	return (struct registry_shape){.components = YARD_COMPONENTS,
				       .spare = YARD_SPARE,
				       .gates = YARD_GATES,
				       .lanes = YARD_LANES,
				       .clients = 1,
				       .events = YARD_EVENTS,
				       .changes = YARD_CHANGES,
				       .counters_bytes = YARD_COUNTERS_BYTES};
}

static void create(struct crash_case *c, struct yard *y, uint64_t floor)
{
	struct registry_config config = {.cluster = "yard",
					 .node = "a",
					 .release = "1",
					 .incarnation = YARD_INCARNATION,
					 .shape = yard_shape(),
					 .generation_floor = floor};

	CRASH_EXPECT(c, registry_create(&y->r, c->dir, &config, NULL) == 0);
	rcu_domain_init(&y->rcu, &y->r.header->rcu_epoch);
	CRASH_EXPECT(c, rcu_slot_add(&y->rcu, &registry_stage(c)->word) == 0);
}

/** Counters that are as good as full. */
static void wind_up(struct yard *y)
{
	y->r.writer->fills = (1u << 31) - 3;
	y->r.writer->changes = UINT32_MAX - 5;
	y->r.header->changes = UINT32_MAX - 5;
	y->r.watch->head = UINT32_MAX - 5;
	y->r.header->rcu_epoch = UINT32_MAX;
	y->r.events->ring.head = UINT32_MAX - 3;
	for (uint32_t i = 0; i < y->r.shape.gates; i++) {
		y->r.writer->gate[i].version = UINT32_MAX - 5;
		y->r.gates[i].version = UINT32_MAX - 5;
		y->r.writer->gate[i].generation = UINT32_MAX - 1;
		y->r.gates[i].generation = UINT32_MAX - 1;
	}
}

/* ---- an earlier writer that died ------------------------------------------------------------- */

static struct {
	struct yard *yard;
	struct registry_component next; /**< what it would have updated or added */
} dying;

/** One of the three changes, in the middle of which it dies. */
static void work_of_the_dead(struct crash_case *c)
{
	struct yard *y = dying.yard;

	switch (c->variant % 3) {
	case 0:
		registry_update(&y->r, &dying.next, &y->rcu);
		break;
	case 1:
		registry_remove(&y->r, y->live[y->n_live - 1], &y->rcu);
		break;
	default:
		registry_add(&y->r, &dying.next, NULL);
		break;
	}
}

static void death_of_a_writer(struct crash_case *c, struct yard *y)
{
	dying.yard = y;
	dying.next = yard_component(9, 1);
	if (c->variant % 3 == 0) {
		registry_get_copy(&y->r, y->live[y->n_live - 1], &dying.next);
		dying.next.hot.load ^= 1;
	}
	crash_death(c, work_of_the_dead, y->r.base, y->r.size_bytes,
		    1 + c->variant * 7 % DEATH_STORES);
}

void yard_abandon(struct yard *y)
{
	munmap(y->r.base, y->r.size_bytes);
	close(y->r.fd);
	registry_books_free(&y->r);
}

/** The next node takes over what the dead one left. */
static void take_over(struct crash_case *c, struct yard *y)
{
	uint32_t cursor = 0;
	const struct registry_hot *hot;

	yard_abandon(y);
	CRASH_EXPECT(c, registry_restart(&y->r, c->dir, c->dir, NULL) == 0);
	rcu_domain_init(&y->rcu, &y->r.header->rcu_epoch);
	CRASH_EXPECT(c, rcu_slot_add(&y->rcu, &registry_stage(c)->word) == 0);
	y->n_live = 0;
	while ((hot = registry_next(&y->r, &cursor)))
		y->live[y->n_live++] = hot->handle;
}

/* ---- start states ---------------------------------------------------------------------------- */

static void known_add(struct crash_case *c, const struct registry_component *value,
		      enum known_kind kind)
{
	struct registry_stage *s = registry_stage(c);

	s->known[s->n_known++] =
		(struct known){.kind = kind, .after = kind, .values = 1, .value = {*value}};
}

/** Lane lines `first` … are those of one checkpoint. */
static void lanes_describe(struct crash_case *c, struct yard *y, uint32_t first, uint32_t count)
{
	const struct table_shape shape = {.name = "flows",
					  .key_bytes = 16,
					  .value_bytes = 8,
					  .capacity = 64,
					  .lanes = count,
					  .lane_records = 64};
	struct table_geometry g;

	CRASH_EXPECT(c, table_geometry_make(&shape, &g, NULL) == 0);
	CRASH_EXPECT(c, registry_lanes_describe(&y->r, first, &g) == 0);
}

/** A reader is on line; a component with gates and lane lines goes, another one is replaced. */
static void retire_some(struct crash_case *c, struct yard *y)
{
	struct registry_component gone, changed;
	int first = registry_lanes_reserve(&y->r, 2);

	lanes_describe(c, y, (uint32_t)first, 2);
	CRASH_EXPECT(c, registry_lanes_give(&y->r, (uint32_t)first, 2, y->live[2]) == 0);
	registry_stage(c)->word = y->r.header->rcu_epoch;
	registry_get_copy(&y->r, y->live[2], &gone);
	known_add(c, &gone, KNOWN_NEVER);
	CRASH_EXPECT(c, registry_remove(&y->r, y->live[2], &y->rcu) == 0);
	y->live[2] = y->live[--y->n_live];
	registry_get_copy(&y->r, y->live[1], &changed);
	changed.hot.load ^= 1;
	CRASH_EXPECT(c, registry_update(&y->r, &changed, &y->rcu) == 0);
	registry_reclaim(&y->r, &y->rcu);
}

/** Some lane lines are owned, some reserved; the free ones show what an earlier owner left. */
static void lanes_dress(struct crash_case *c, struct yard *y)
{
	int first = registry_lanes_reserve(&y->r, 2);

	for (uint32_t i = 0; i < YARD_LANES; i++) {
		y->r.lanes[i].acked_seq = y->r.lanes[i].consumed_seq = 1000 + i;
		y->r.lanes[i].lag_records = i + 1;
	}
	CRASH_EXPECT(c, first >= 0);
	lanes_describe(c, y, (uint32_t)first, 2);
	if (y->n_live)
		CRASH_EXPECT(c, registry_lanes_give(&y->r, (uint32_t)first, 2,
						    y->live[y->n_live - 1]) == 0);
	first = registry_lanes_reserve(&y->r, c->start == START_FULL ? YARD_LANES - 2 : 3);
	CRASH_EXPECT(c, first >= 0);
	y->lane_first = (uint32_t)first;
	y->lanes = c->start == START_FULL ? YARD_LANES - 2 : 3;
	lanes_describe(c, y, y->lane_first, y->lanes);
}

void yard_make(struct crash_case *c, struct yard *y)
{
	static const unsigned count[START_COUNT] = {
		[START_EMPTY] = 0,
		[START_ONE] = 1,
		[START_FULL] = YARD_COMPONENTS,
		[START_RETIRED] = YARD_COMPONENTS - 1,
		[START_WRAP] = 5,
		[START_DEAD] = 6,
	};

	*y = (struct yard){0};
	create(c, y, c->start == START_WRAP ? REGISTRY_GENERATION_MAX - 6 : YARD_FLOOR);
	if (c->start == START_WRAP)
		wind_up(y);
	for (unsigned k = 0; k < count[c->start]; k++)
		add(c, y, k + (c->start == START_ONE), c->variant);
	if (c->start != START_WRAP)
		churn(c, y);
	events_fill(c, y, c->start == START_EMPTY ? 0 : c->start == START_ONE ? 1 : 9);
	gates_dress(y);
	if (c->start == START_RETIRED)
		retire_some(c, y);
	if (c->start == START_DEAD) {
		death_of_a_writer(c, y);
		take_over(c, y);
		events_fill(c, y, 2);
		gates_dress(y);
	}
	lanes_dress(c, y);
}

void yard_note(struct crash_case *c, struct yard *y)
{
	struct registry_stage *s = registry_stage(c);

	for (uint32_t i = 0; i < y->n_live; i++) {
		struct registry_component one;

		CRASH_EXPECT(c, registry_get_copy(&y->r, y->live[i], &one) == 0);
		known_add(c, &one, KNOWN_ALWAYS);
	}
	memcpy(s->gate, y->r.gates, sizeof(s->gate));
	memcpy(s->lane, y->r.lanes, sizeof(s->lane));
	s->changes = y->r.header->changes;
	s->epoch = y->r.header->rcu_epoch;
	s->generation = y->r.header->generation;
	s->events = y->r.events->ring.head;
}

struct known *yard_known(struct crash_case *c, uint64_t handle)
{
	struct registry_stage *s = registry_stage(c);

	for (uint32_t i = 0; i < s->n_known; i++) {
		if (s->known[i].value[0].hot.handle == handle)
			return &s->known[i];
	}
	return NULL;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static int by_epoch(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	return x->epoch < y->epoch ? -1 : x->epoch > y->epoch;
}

/** Nothing that a reader found may be free while its slot shows the epoch in which it came. */
static void honour(struct crash_case *c, struct yard *y, const struct holder *h)
{
	const struct registry_writer *w = y->r.writer;

	for (uint32_t i = 0; i < w->free_objects; i++) {
		uint32_t place = w->free_object[(w->free_head + i) % y->r.objects];

		if (h->places >> place & 1)
			crash_fault(c,
				    "object %u is free for reuse although a reader that came in "
				    "epoch %llu found it and has not left",
				    place, (unsigned long long)h->epoch);
	}
}

void yard_settle(struct crash_case *c, struct yard *y)
{
	struct registry_stage *s = registry_stage(c);
	const struct registry_writer *w = y->r.writer;
	uint32_t live = 0;

	qsort(s->holder, s->holders, sizeof(s->holder[0]), by_epoch);
	for (uint32_t i = 0; i < s->holders; i++) {
		s->word = s->holder[i].epoch;
		registry_reclaim(&y->r, &y->rcu);
		honour(c, y, &s->holder[i]);
	}
	s->word = 0;
	registry_reclaim(&y->r, &y->rcu);
	for (uint32_t i = 0; i < y->r.components; i++)
		live += w->slot[i].use == USE_LIVE;
	CRASH_EXPECT(c, w->retired_count == 0 && w->held == 0);
	CRASH_EXPECT(c, w->free_slots + live == y->r.components);
	CRASH_EXPECT(c, w->free_objects + live == y->r.objects);
}
