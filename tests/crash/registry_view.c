/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The view judge: what readers may see at any instant, a death included. The guarantees are those
 * of registry_update.c (A1 to A6, W1, W2), registry_gate.c (G1, G2) and broadcast.h (B1 to B4).
 */
#include <string.h>

#include "registry_stage.h"

/** Unfinished things at once: a gate or status block, a filling, a slot or entry, an overflow. */
#define UNFINISHED_MAX 3u

struct view {
	struct crash_case *c;
	struct registry_stage *s;
	const struct registry *r;
	bool over;
	uint64_t places; /**< found so far */
};

/** Number of the known value that an object holds, -1: none of them. */
static int value_of(const struct known *k, const struct registry_component *found)
{
	for (uint32_t i = 0; i < k->values; i++) {
		struct registry_component want = k->value[i];

		want.hot.version = found->hot.version;
		if (memcmp(&want, found, sizeof(want)) == 0)
			return (int)i;
	}
	return -1;
}

/** Judge an object that a reader found; returns the number of its value. */
static int object_judge(struct view *v, const struct known *k, const struct registry_hot *hot,
			const char *how)
{
	struct registry_component found = {.hot = *hot, .cold = *registry_cold_of(v->r, hot)};
	int value = value_of(k, &found);

	v->places |= 1ull << (hot - v->r->hot);
	CRASH_CHECK(v->c, !(hot->version & 1), "%s found by %s is being filled",
		    k->value[0].hot.name, how);
	CRASH_CHECK(v->c, value >= 0, "%s found by %s is not whole", k->value[0].hot.name, how);
	for (uint32_t i = 0; i < hot->instances; i++) {
		const struct registry_gate *g = &v->r->gates[hot->gate_first + i];

		CRASH_CHECK(v->c,
			    g->component == registry_slot_of(hot->handle) &&
				    g->instance == hot->instance_first + i,
			    "a gate of %s found by %s is not its own", hot->name, how);
	}
	return value;
}

static void copies_judge(struct view *v, const struct known *k, enum known_kind kind)
{
	struct registry_component copy;
	const char *name = k->value[0].hot.name;
	int by_name = registry_find_copy(v->r, name, &copy), by_handle;

	CRASH_CHECK(v->c, by_name || value_of(k, &copy) >= 0, "the copy of %s is not whole", name);
	by_handle = registry_get_copy(v->r, k->value[0].hot.handle, &copy);
	CRASH_CHECK(v->c, by_handle || value_of(k, &copy) >= 0, "the copy of %s is not whole",
		    name);
	if (kind == KNOWN_ALWAYS)
		CRASH_CHECK(v->c, by_name == 0 && by_handle == 0,
			    "%s cannot be copied (by name %d, by handle %d)", name, by_name,
			    by_handle);
	else if (kind == KNOWN_NEVER)
		CRASH_CHECK(v->c, by_name == -HAVEN_ENOENT && by_handle == -HAVEN_ESTALE,
			    "%s is gone and can be copied (by name %d, by handle %d)", name,
			    by_name, by_handle);
}

static void known_judge(struct view *v, const struct known *k)
{
	enum known_kind kind = v->over ? k->after : k->kind;
	const struct registry_hot *named, *held;
	int old = -1, value = -1;

	/* In this order: who finds by name must find that one or a later one by handle (A3). */
	named = registry_find(v->r, k->value[0].hot.name);
	if (named)
		old = object_judge(v, k, named, "name");
	held = registry_get(v->r, k->value[0].hot.handle);
	if (held)
		value = object_judge(v, k, held, "handle");
	CRASH_CHECK(v->c, !named || (held && value >= old), "%s: the name shows more than the slot",
		    k->value[0].hot.name);
	CRASH_CHECK(v->c, kind != KNOWN_ALWAYS || (named && held),
		    "%s is lost (by name %d, by "
		    "handle %d)",
		    k->value[0].hot.name, named != NULL, held != NULL);
	CRASH_CHECK(v->c, kind != KNOWN_NEVER || (!named && !held), "%s is found though it is gone",
		    k->value[0].hot.name);
	CRASH_CHECK(v->c, !v->over || !held || value == (int)k->values - 1,
		    "%s is complete and shows its earlier value", k->value[0].hot.name);
	copies_judge(v, k, kind);
}

/** Every component that is there all the time is visited once, nothing else but what moves. */
static void iteration_judge(struct view *v)
{
	uint32_t seen[KNOWN_MAX] = {0}, cursor = 0;
	const struct registry_hot *hot;

	while ((hot = registry_next(v->r, &cursor))) {
		uint32_t i = 0;

		while (i < v->s->n_known && v->s->known[i].value[0].hot.handle != hot->handle)
			i++;
		v->places |= 1ull << (hot - v->r->hot);
		CRASH_CHECK(v->c, i < v->s->n_known, "an unknown component is visited");
		if (i < v->s->n_known)
			seen[i]++;
	}
	for (uint32_t i = 0; i < v->s->n_known; i++) {
		const struct known *k = &v->s->known[i];
		enum known_kind kind = v->over ? k->after : k->kind;

		CRASH_CHECK(v->c,
			    seen[i] <= 1 && (kind != KNOWN_ALWAYS || seen[i]) &&
				    (kind != KNOWN_NEVER || !seen[i]),
			    "%s is visited %u times", k->value[0].hot.name, seen[i]);
	}
}

static bool same_role(const struct registry_gate *a, const struct registry_gate *b)
{
	return a->role == b->role && a->epoch == b->epoch && a->generation == b->generation;
}

/** A gate that is being set: both its halves belong together, and no end outlives its role. */
static void gate_moving(struct view *v, const struct registry_gate *live,
			const struct registry_gate *before)
{
	const struct registry_gate *after = &v->s->gate_after;
	struct registry_gate copy;

	if (registry_gate_copy(live, &copy))
		CRASH_CHECK(v->c, same_role(&copy, before) || same_role(&copy, after),
			    "a gate shows a role that it never had");
	/* An application acts on the end when it knows the generation, whatever else moves. */
	if (live->generation == before->generation && before->generation != after->generation)
		CRASH_CHECK(v->c,
			    live->valid_until_ns == before->valid_until_ns ||
				    live->valid_until_ns == 0,
			    "a gate of the old generation shows another end");
	else
		CRASH_CHECK(v->c,
			    live->valid_until_ns == after->valid_until_ns ||
				    live->valid_until_ns == 0 ||
				    (before->generation == after->generation &&
				     live->valid_until_ns == before->valid_until_ns),
			    "a gate of the new generation shows an end that is not its own");
	if (v->over)
		CRASH_CHECK(v->c,
			    same_role(live, after) && live->valid_until_ns == after->valid_until_ns,
			    "a gate was set to something else");
}

static void gates_judge(struct view *v)
{
	for (uint32_t i = 0; i < YARD_GATES; i++) {
		const struct registry_gate *live = &v->r->gates[i];
		struct registry_gate then = v->s->gate[i], *before = &then;

		/* What was retired before is free at the end. */
		if (v->over && live->component == REGISTRY_NONE)
			then.component = REGISTRY_NONE;
		if (i - v->s->gate_first >= v->s->gates)
			CRASH_CHECK(v->c, memcmp(live, before, sizeof(*live)) == 0,
				    "gate %u changed and is nobody's business", i);
		else if (v->s->gate_known)
			gate_moving(v, live, before);
		else
			CRASH_CHECK(v->c,
				    live->generation >= before->generation &&
					    (live->generation != before->generation ||
					     live->valid_until_ns == before->valid_until_ns ||
					     live->valid_until_ns == 0),
				    "gate %u goes back or is opened", i);
	}
}

static void lanes_judge(struct view *v)
{
	for (uint32_t i = 0; i < YARD_LANES; i++) {
		struct registry_lane then = v->s->lane[i];

		if (v->over && v->r->lanes[i].component == REGISTRY_NONE)
			then.component = REGISTRY_NONE;
		if (i - v->s->lane_first >= v->s->lanes)
			CRASH_CHECK(v->c, memcmp(&v->r->lanes[i], &then, sizeof(then)) == 0,
				    "lane line %u changed and is nobody's business", i);
	}
}

static void event_judge(struct view *v, const struct event *e)
{
	struct event want = yard_event(e->seq);

	want.seq = e->seq;
	CRASH_CHECK(v->c, memcmp(e, &want, sizeof(want)) == 0, "event %llu is not whole",
		    (unsigned long long)e->seq);
}

/** Read the ring from a position to its end: whole events, in order, each lost one counted. */
static void events_from(struct view *v, uint64_t position)
{
	uint64_t missed = 0, got = 0, last = position, newest = v->s->events;
	struct event e;

	if (v->s->event_moves)
		newest += v->over || v->r->events->ring.head > newest;
	while (event_ring_read(v->r->events, YARD_EVENTS, &position, &e, &missed)) {
		CRASH_CHECK(v->c, e.seq > last, "an event comes twice or goes back");
		last = e.seq;
		got++;
		event_judge(v, &e);
	}
	if (v->s->event_position && got)
		CRASH_CHECK(v->c, last == newest, "the newest event is %llu, read up to %llu",
			    (unsigned long long)newest, (unsigned long long)last);
	if (position && v->s->event_position && missed)
		CRASH_CHECK(v->c, missed + got == newest - v->s->event_position,
			    "%llu events read and %llu told as missed of %llu",
			    (unsigned long long)got, (unsigned long long)missed,
			    (unsigned long long)(newest - v->s->event_position));
}

/** The ring of changes, from where the operation began: its change, once, whole, and not after the
 *  count (W3); from the oldest: every lost one is counted. */
static void changes_judge(struct view *v, bool told)
{
	uint64_t position = v->s->changes, missed = 0, got = 0;
	struct registry_change change;

	while (registry_watch_read(v->r, &position, &change, &missed)) {
		const struct known *k = NULL;

		got++;
		for (uint32_t i = 0; i < v->s->n_known; i++) {
			if (v->s->known[i].value[0].hot.handle == v->s->change_handle)
				k = &v->s->known[i];
		}
		CRASH_CHECK(v->c,
			    k && v->s->tells && change.handle == v->s->change_handle &&
				    change.kind == v->s->change &&
				    change.slot == registry_slot_of(change.handle) &&
				    memcmp(change.name, k->value[0].hot.name, HAVEN_NAME_MAX) == 0,
			    "the change told is not the one made");
	}
	CRASH_CHECK(v->c, got + missed == position - v->s->changes && got <= 1 && !missed,
		    "%llu changes are told, %llu missed", (unsigned long long)got,
		    (unsigned long long)missed);
	CRASH_CHECK(v->c, !told || got == 1, "the count is raised before its change is told (W3)");
	position = missed = got = 0;
	while (registry_watch_read(v->r, &position, &change, &missed))
		got++;
	CRASH_CHECK(v->c, got + missed == position,
		    "%llu changes read and %llu told as missed of %llu", (unsigned long long)got,
		    (unsigned long long)missed, (unsigned long long)position);
}

static void tell(void *context, enum registry_finding kind, const char *sentence)
{
	struct view *v = context;

	if (kind != REGISTRY_UNFINISHED)
		crash_fail(v->c, "registry_check: %s: %s", registry_finding_name(kind), sentence);
	else if (v->over)
		crash_fail(v->c, "complete, yet unfinished: %s", sentence);
}

static void holder_note(struct view *v)
{
	struct holder h = {.epoch = v->r->header->rcu_epoch, .places = v->places};

	for (uint32_t i = 0; i < v->s->holders; i++) {
		if (memcmp(&v->s->holder[i], &h, sizeof(h)) == 0)
			return;
	}
	if (v->s->holders < HOLDERS_MAX)
		v->s->holder[v->s->holders++] = h;
}

void registry_view(struct crash_case *c, const struct registry *r, bool over)
{
	struct registry_stage *s = registry_stage(c);
	struct registry_report report;
	/* W1: who sees the count raised sees the change complete. */
	bool told = registry_changes(r) > s->changes;
	struct view v = {.c = c, .s = s, .r = r, .over = over};

	registry_check(r, &report, tell, &v);
	CRASH_CHECK(c, report.unfinished <= UNFINISHED_MAX, "%llu things are unfinished",
		    (unsigned long long)report.unfinished);
	CRASH_CHECK(c, !s->tells || told || r->header->rcu_epoch == s->epoch || over,
		    "the epoch is open before the change is told (W2)");
	gates_judge(&v);
	lanes_judge(&v);
	changes_judge(&v, told);
	events_from(&v, s->event_position);
	v.over = over || told;
	for (uint32_t i = 0; i < s->n_known; i++)
		known_judge(&v, &s->known[i]);
	iteration_judge(&v);
	holder_note(&v);
}
