/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers of a registry. They change nothing, so their deaths leave nothing but a reader slot; what
 * matters is that they may stand still anywhere. Here the harness is the node: while the reader is
 * stopped it replaces, removes and reuses whatever it may, and after the reader's death everything.
 *
 * Each reader copies what it finds twice, at once and at the end of its section, into the stage.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_segment.h"
#include "registry_stage.h"

#define FINDS_MAX 32u
#define EVENTS_MAX 64u

/** What a reader got. Behind the registry's stage. */
struct reader_stage {
	struct registry_component first[FINDS_MAX]; /**< as soon as it was found */
	struct registry_component last[FINDS_MAX];  /**< before the section ended */
	uint32_t finds;
	int status;
	struct event event[EVENTS_MAX];
	uint32_t events;
	uint64_t position, missed;
	struct registry_change change[EVENTS_MAX];
	uint32_t changes;
	uint64_t change_position, changes_missed;
	struct registry_gate gate;
	bool gate_whole;
	uint64_t status_epoch, status_polls;
	/* of the node */
	uint64_t target;
	char name[HAVEN_NAME_MAX];
	uint32_t target_gate;
	bool moved; /**< the world went on while it was stopped */
};

static struct yard yard;     /**< the harness's: it is the node */
static struct registry seen; /**< the child's own, read-only */
static struct registry_key key;

static struct reader_stage *reader_stage(const struct crash_case *c)
{
	return (struct reader_stage *)(void *)(c->stage->family + sizeof(struct registry_stage));
}

/* ---- the reader ------------------------------------------------------------------------------ */

static void setup(struct crash_case *c)
{
	CRASH_EXPECT(c, registry_open(&seen, c->dir, NULL) == 0);
	registry_key_set(&key, reader_stage(c)->name);
}

static void setup_poll(struct crash_case *c)
{
	setup(c);
	rcu_enter(&seen.header->rcu_epoch, &registry_stage(c)->word);
}

static void take(struct registry_component *to, const struct registry_hot *hot)
{
	to->hot = *hot;
	to->cold = *registry_cold_of(&seen, hot);
}

static void found_one(struct reader_stage *s, const struct registry_hot *hot)
{
	if (!hot)
		return;
	take(&s->first[0], hot);
	take(&s->last[0], hot);
	s->finds = 1;
}

static void run_find(struct crash_case *c)
{
	struct registry_stage *r = registry_stage(c);

	rcu_enter(&seen.header->rcu_epoch, &r->word);
	found_one(reader_stage(c), registry_find_key(&seen, &key));
	rcu_leave(&r->word);
}

static void run_get(struct crash_case *c)
{
	struct registry_stage *r = registry_stage(c);

	rcu_enter(&seen.header->rcu_epoch, &r->word);
	found_one(reader_stage(c), registry_get(&seen, reader_stage(c)->target));
	rcu_leave(&r->word);
}

/** A packet loop: what was found after a quiescent point is used until the next one. */
static void run_poll(struct crash_case *c)
{
	struct registry_stage *r = registry_stage(c);

	rcu_quiescent(&seen.header->rcu_epoch, &r->word);
	found_one(reader_stage(c), registry_find_key(&seen, &key));
	rcu_quiescent(&seen.header->rcu_epoch, &r->word);
}

static void run_iterate(struct crash_case *c)
{
	const struct registry_hot *all[FINDS_MAX];
	struct registry_stage *r = registry_stage(c);
	struct reader_stage *s = reader_stage(c);
	uint32_t cursor = 0;

	rcu_enter(&seen.header->rcu_epoch, &r->word);
	while (s->finds < FINDS_MAX && (all[s->finds] = registry_next(&seen, &cursor)))
		take(&s->first[s->finds], all[s->finds]), s->finds++;
	for (uint32_t i = 0; i < s->finds; i++)
		take(&s->last[i], all[i]);
	rcu_leave(&r->word);
}

static void run_bulk(struct crash_case *c)
{
	const struct registry_hot *all[3];
	const struct registry_key *keys[3] = {&key, &key, &key};
	struct registry_stage *r = registry_stage(c);
	struct reader_stage *s = reader_stage(c);

	rcu_enter(&seen.header->rcu_epoch, &r->word);
	if (registry_find_bulk(&seen, keys, 3, all)) {
		for (unsigned i = 0; i < 3; i++) {
			if (all[i])
				take(&s->first[s->finds++], all[i]);
		}
		s->finds = 0;
		for (unsigned i = 0; i < 3; i++) {
			if (all[i])
				take(&s->last[s->finds++], all[i]);
		}
	}
	rcu_leave(&r->word);
}

static void copied(struct reader_stage *s, const struct registry_component *one)
{
	s->finds = s->status == 0;
	s->first[0] = s->last[0] = *one;
}

static void run_find_copy(struct crash_case *c)
{
	struct reader_stage *s = reader_stage(c);
	struct registry_component one;

	s->status = registry_find_copy(&seen, s->name, &one);
	copied(s, &one);
}

static void run_get_copy(struct crash_case *c)
{
	struct reader_stage *s = reader_stage(c);
	struct registry_component one;

	s->status = registry_get_copy(&seen, s->target, &one);
	copied(s, &one);
}

static void run_gate_copy(struct crash_case *c)
{
	struct reader_stage *s = reader_stage(c);

	s->gate_whole = registry_gate_copy(&seen.gates[s->target_gate], &s->gate);
}

static void run_status_copy(struct crash_case *c)
{
	static struct registry_status status;
	struct reader_stage *s = reader_stage(c);

	s->status = registry_copy_status(&seen, &status);
	s->status_epoch = status.epoch;
	s->status_polls = status.polls;
}

static void run_events(struct crash_case *c)
{
	struct reader_stage *s = reader_stage(c);

	while (s->events < EVENTS_MAX && event_ring_read(seen.events, YARD_EVENTS, &s->position,
							 &s->event[s->events], &s->missed))
		s->events++;
}

static void run_watch(struct crash_case *c)
{
	struct reader_stage *s = reader_stage(c);

	while (s->changes < EVENTS_MAX &&
	       registry_watch_read(&seen, &s->change_position, &s->change[s->changes],
				   &s->changes_missed))
		s->changes++;
}

/* ---- the node -------------------------------------------------------------------------------- */

static void prepare(struct crash_case *c)
{
	struct registry_stage *s = registry_stage(c);
	struct reader_stage *own = reader_stage(c);
	struct registry_component target = {.hot = {.handle = 5}};

	c->at = 0;
	yard_make(c, &yard);
	s->word = 0; /* the reader is this child, and it is not there yet */
	registry_reclaim(&yard.r, &yard.rcu);
	yard_note(c, &yard);
	if (yard.n_live)
		registry_get_copy(&yard.r, yard.live[c->variant % yard.n_live], &target);
	own->target = target.hot.handle;
	memcpy(own->name, yard.n_live ? target.hot.name : "nobody", HAVEN_NAME_MAX);
	own->target_gate = target.hot.instances ? target.hot.gate_first : 0;
	own->position = s->event_position;
}

static void open_region(struct crash_case *c)
{
	crash_region_add(c, yard.r.base, yard.r.size_bytes);
}

/** A reader makes no system call and stores into its own slot alone (S11). */
static void look(struct crash_case *c)
{
	CRASH_CHECK(c, c->pass != PASS_LOOK || c->step == 0,
		    "a reader changed the registry or entered the kernel");
}

static void status_write(void)
{
	registry_status_begin(&yard.r);
	yard.r.status->epoch++;
	yard.r.status->polls = ~yard.r.status->epoch;
	registry_status_end(&yard.r);
}

/** Replace everything, remove the target, take every place that comes free. */
static void world(struct crash_case *c)
{
	struct registry_stage *s = registry_stage(c);

	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < yard.n_live; i++) {
			struct registry_component next = yard_known(c, yard.live[i])->value[0];

			next.hot.load = round + 1000;
			next.cold.updated_ns = ~0ull - round;
			registry_update(&yard.r, &next, &yard.rcu);
		}
		registry_reclaim(&yard.r, &yard.rcu);
	}
	registry_remove(&yard.r, reader_stage(c)->target, &yard.rcu);
	registry_reclaim(&yard.r, &yard.rcu);
	for (unsigned k = 0; k < YARD_COMPONENTS; k++) {
		struct registry_component one = yard_component(30 + k, 9);

		registry_add(&yard.r, &one, NULL);
	}
	for (unsigned i = 0; i < 2 * YARD_EVENTS + c->step % 3; i++) {
		struct event e = yard_event(++s->events);

		event_ring_publish(yard.r.events, YARD_EVENTS, &e);
	}
	for (uint32_t i = 0; i < YARD_GATES; i++)
		registry_gate_set(&yard.r, i, HAVEN_SECONDARY, 900, 0);
	status_write();
	reader_stage(c)->moved = true;
}

/** The slot of a dead reader is dropped on proof, and then nothing is held back. */
static void killed(struct crash_case *c)
{
	world(c);
	CRASH_CHECK(c, process_ended(process_pidfd(c->child, process_start_ticks(c->child))),
		    "the dead reader counts as alive");
	rcu_slot_drop(&yard.rcu, 0);
	registry_reclaim(&yard.r, &yard.rcu);
	CRASH_CHECK(c, yard.r.writer->retired_count == 0 && yard.r.writer->held == 0,
		    "a dead reader holds memory back");
	CRASH_CHECK(c, yard.rcu.used == 0, "a reader slot is lost");
}

/* ---- judging what it got --------------------------------------------------------------------- */

/** One of the forms the component ever had: as at the start, or as the world made it. */
static bool genuine(const struct crash_case *c, const struct registry_component *got)
{
	const struct registry_stage *s = registry_stage(c);
	struct registry_component want = yard_component(0, 0);

	for (uint32_t i = 0; i < s->n_known; i++) {
		if (s->known[i].value[0].hot.handle == got->hot.handle)
			want = s->known[i].value[0];
	}
	for (unsigned k = 0; k < YARD_COMPONENTS; k++) {
		struct registry_component fresh = yard_component(30 + k, 9);

		if (memcmp(fresh.hot.name, got->hot.name, HAVEN_NAME_MAX) == 0) {
			want = fresh;
			want.hot.handle = got->hot.handle;
			want.hot.gate_first = got->hot.gate_first;
		}
	}
	want.hot.version = got->hot.version;
	if (memcmp(&want, got, sizeof(want)) == 0)
		return true;
	want.hot.load = got->hot.load;
	want.cold.updated_ns = got->cold.updated_ns;
	return got->hot.load - 1000 < 3 && got->cold.updated_ns == ~0ull - (got->hot.load - 1000) &&
	       memcmp(&want, got, sizeof(want)) == 0;
}

static void ended(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);
	const struct reader_stage *got = reader_stage(c);

	for (uint32_t i = 0; i < got->finds; i++) {
		CRASH_CHECK(c, genuine(c, &got->first[i]), "what was found of %.31s is not whole",
			    got->first[i].hot.name);
		CRASH_CHECK(c, memcmp(&got->first[i], &got->last[i], sizeof(got->last[i])) == 0,
			    "%.31s changed under a reader that holds it", got->first[i].hot.name);
	}
	(void)s;
	registry_stage(c)->word = 0;
	registry_reclaim(&yard.r, &yard.rcu);
	CRASH_CHECK(c, yard.r.writer->retired_count == 0, "a reader that left holds memory back");
}

/** By name or handle: there, unless the target was removed meanwhile. */
static void ended_find(struct crash_case *c)
{
	const struct reader_stage *got = reader_stage(c);

	CRASH_CHECK(c, got->moved || got->finds >= (yard.n_live ? 1u : 0u),
		    "what is there was not found");
	CRASH_CHECK(c, got->status == 0 || got->moved || !yard.n_live,
		    "a copy of what is there failed: error %d", -got->status);
	if (got->finds)
		CRASH_CHECK(c, got->first[0].hot.handle == got->target,
			    "another component was found");
	ended(c);
}

static void ended_iterate(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);
	const struct reader_stage *got = reader_stage(c);

	for (uint32_t i = 0; i < s->n_known; i++) {
		uint64_t handle = s->known[i].value[0].hot.handle;
		unsigned visits = 0;

		for (uint32_t k = 0; k < got->finds; k++)
			visits += got->first[k].hot.handle == handle;
		CRASH_CHECK(c, visits <= 1, "%s was visited twice", s->known[i].value[0].hot.name);
		if (s->known[i].kind == KNOWN_ALWAYS && !(got->moved && handle == got->target))
			CRASH_CHECK(c, visits == 1, "%s was not visited",
				    s->known[i].value[0].hot.name);
	}
	ended(c);
}

static void ended_gate(struct crash_case *c)
{
	const struct reader_stage *got = reader_stage(c);
	const struct registry_gate *old = &registry_stage(c)->gate[got->target_gate];
	const struct registry_gate *now = &yard.r.gates[got->target_gate];

	if (got->gate_whole)
		CRASH_CHECK(c,
			    (got->gate.role == old->role && got->gate.epoch == old->epoch &&
			     got->gate.generation == old->generation) ||
				    (got->gate.role == now->role && got->gate.epoch == now->epoch &&
				     got->gate.generation == now->generation),
			    "the copy of a gate mixes two roles");
	CRASH_CHECK(c, got->gate_whole || got->moved, "a gate at rest cannot be copied");
	ended(c);
}

static void ended_status(struct crash_case *c)
{
	const struct reader_stage *got = reader_stage(c);

	CRASH_CHECK(c, got->status == 0, "the status cannot be copied: error %d", -got->status);
	CRASH_CHECK(c,
		    (got->status_epoch == 0) == (got->status_polls == 0) &&
			    (got->status_epoch == 0 || got->status_polls == ~got->status_epoch),
		    "the copy of the status mixes two states");
	ended(c);
}

static void ended_events(struct crash_case *c)
{
	const struct registry_stage *s = registry_stage(c);
	const struct reader_stage *got = reader_stage(c);
	uint64_t last = 0;

	for (uint32_t i = 0; i < got->events; i++) {
		struct event want = yard_event(got->event[i].seq);

		want.seq = got->event[i].seq;
		CRASH_CHECK(c, memcmp(&want, &got->event[i], sizeof(want)) == 0,
			    "event %llu is not whole", (unsigned long long)want.seq);
		CRASH_CHECK(c, want.seq > last, "events go back");
		last = want.seq;
	}
	if (s->event_position)
		CRASH_CHECK(c, got->events + got->missed == got->position - s->event_position,
			    "%u events read and %llu told as missed of %llu", got->events,
			    (unsigned long long)got->missed,
			    (unsigned long long)(got->position - s->event_position));
	CRASH_CHECK(c, got->moved || got->position == s->events, "the newest event was not read");
	ended(c);
}

/** From 0 on: each change is read, whole, or counted as missed. */
static void ended_watch(struct crash_case *c)
{
	const struct reader_stage *got = reader_stage(c);

	for (uint32_t i = 0; i < got->changes; i++) {
		const struct registry_change *change = &got->change[i];

		CRASH_CHECK(c,
			    change->kind < REGISTRY_CHANGE_KINDS &&
				    change->slot == registry_slot_of(change->handle) &&
				    change->slot < YARD_COMPONENTS && change->name[0] == 'c',
			    "a change is not whole");
	}
	CRASH_CHECK(c, got->changes + got->changes_missed == got->change_position,
		    "%u changes read and %llu told as missed of %llu", got->changes,
		    (unsigned long long)got->changes_missed,
		    (unsigned long long)got->change_position);
	CRASH_CHECK(c, got->moved || got->change_position == registry_changes(&yard.r),
		    "the newest change was not read");
	ended(c);
}

static void close_yard(struct crash_case *c)
{
	(void)c;
	registry_destroy(&yard.r);
}

#define READER(title, begin, function, judge)                                                      \
	{                                                                                          \
		.name = title, .starts = START_ALL, .setup = begin, .run = function,               \
		.prepare = prepare, .open = open_region, .look = look, .killed = killed,           \
		.world = world, .ended = judge, .close = close_yard,                               \
	}

const struct crash_op crash_reader_ops[] = {
	READER("find", setup, run_find, ended_find),
	READER("get", setup, run_get, ended_find),
	READER("poll", setup_poll, run_poll, ended_find),
	READER("bulk", setup, run_bulk, ended_find),
	READER("iterate", setup, run_iterate, ended_iterate),
	READER("find-copy", setup, run_find_copy, ended_find),
	READER("get-copy", setup, run_get_copy, ended_find),
	READER("gate-copy", setup, run_gate_copy, ended_gate),
	READER("status-copy", setup, run_status_copy, ended_status),
	READER("events-read", setup, run_events, ended_events),
	READER("watch-read", setup, run_watch, ended_watch),
	{.name = NULL},
};
