/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Check of the index, the directory and the objects: that they fit together, so that every
 * component is found by name and by handle and nothing else is.
 */
#include "registry_check.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_WALKS 4

static const char *const finding_names[] = {
	[REGISTRY_UNFINISHED] = "unfinished",   [REGISTRY_BAD_HEADER] = "bad-header",
	[REGISTRY_BAD_STATUS] = "bad-status",   [REGISTRY_BAD_PLACE] = "bad-place",
	[REGISTRY_BAD_OBJECT] = "bad-object",   [REGISTRY_BAD_HANDLE] = "bad-handle",
	[REGISTRY_BAD_ENTRY] = "bad-entry",     [REGISTRY_BAD_OVERFLOW] = "bad-overflow",
	[REGISTRY_NAMED_TWICE] = "named-twice", [REGISTRY_NOT_NAMED] = "not-named",
	[REGISTRY_BAD_GATE] = "bad-gate",       [REGISTRY_BAD_LANE] = "bad-lane",
	[REGISTRY_BAD_EVENT] = "bad-event",     [REGISTRY_BAD_CHANGE] = "bad-change",
	[REGISTRY_BAD_COUNTER] = "bad-counter",
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(finding_names) == REGISTRY_FINDING_COUNT, "a label for each");

const char *registry_finding_name(unsigned kind)
{
	return kind < REGISTRY_FINDING_COUNT ? finding_names[kind] : "?";
}

void check_found(struct check *k, enum registry_finding kind, const char *format, ...)
{
	va_list args;

	if (kind == REGISTRY_UNFINISHED)
		k->report->unfinished++;
	else
		k->report->findings++;
	if (!k->tell)
		return;
	va_start(args, format);
	vsnprintf(k->sentence, sizeof(k->sentence), format, args);
	va_end(args);
	k->tell(k->context, kind, k->sentence);
}

bool check_again(struct check *k, unsigned *look)
{
	if (++*look == CHECK_LOOKS || k->looks == 0)
		return false;
	k->looks--;
	sched_yield();
	return true;
}

bool check_text(const char *text)
{
	return memchr(text, 0, HAVEN_NAME_MAX) != NULL;
}

/** What is said of an item; NULL sentence: nothing wrong. */
struct verdict {
	enum registry_finding kind;
	const char *sentence;
};
#define GOOD                                                                                       \
	(struct verdict)                                                                           \
	{                                                                                          \
		0                                                                                  \
	}
#define BAD(kind, sentence)                                                                        \
	(struct verdict)                                                                           \
	{                                                                                          \
		kind, sentence                                                                     \
	}

static struct verdict handle_judge(const struct registry *r, uint64_t handle)
{
	uint64_t generation = handle >> REGISTRY_SLOT_BITS;

	if (registry_slot_of(handle) >= r->components)
		return BAD(REGISTRY_BAD_HANDLE, "its handle names a slot that does not exist");
	if (generation == 0 || generation > load_acquire(&r->header->generation))
		return BAD(REGISTRY_BAD_HANDLE, "its handle is newer than the newest");
	return GOOD;
}

/** The name as a key; false: no name, not terminated, or not padded with zeros. */
static bool key_of(const struct registry_hot *hot, struct registry_key *key)
{
	char name[HAVEN_NAME_MAX];

	memcpy(name, hot->name, sizeof(name));
	return check_text(name) && registry_key_set(key, name) &&
	       memcmp(key->text, name, sizeof(name)) == 0;
}

/* ---- index ----------------------------------------------------------------------------------- */

struct entry {
	uint32_t bucket, number; /**< where it is */
	uint32_t home, slot;     /**< where its name belongs, and whose it is */
	bool empty;
};

static struct verdict entry_judge(const struct registry *r, struct entry *e)
{
	const struct registry_bucket *b = &r->index[e->bucket];
	uint32_t place = load_acquire(&b->place[e->number]) - 1, shown; /* I1 */
	struct registry_component c;
	struct registry_key key;
	struct verdict v;
	uint64_t hash;

	e->empty = place == REGISTRY_NONE;
	if (e->empty)
		return GOOD;
	if (place >= r->objects)
		return BAD(REGISTRY_BAD_PLACE, "it shows a place that does not exist");
	if (!registry_object_copy(r, place, &c))
		return BAD(REGISTRY_BAD_OBJECT, "it shows an object that is being filled");
	v = handle_judge(r, c.hot.handle);
	if (v.sentence)
		return v;
	if (!key_of(&c.hot, &key))
		return BAD(REGISTRY_BAD_OBJECT, "it shows an object without a proper name");
	hash = registry_hash(r, &key);
	e->home = (uint32_t)hash & r->bucket_mask;
	e->slot = registry_slot_of(c.hot.handle);
	if (load_relaxed(&b->tag[e->number]) != registry_tag(hash))
		return BAD(REGISTRY_BAD_ENTRY, "its tag is not that of the name");
	shown = registry_place_of(r, e->slot);
	if (shown == place)
		return GOOD;
	if (shown != REGISTRY_NONE && load_relaxed(&r->hot[shown].handle) == c.hot.handle)
		return BAD(REGISTRY_UNFINISHED, "it shows the object before the newest: an update "
						"was under way");
	return BAD(REGISTRY_BAD_ENTRY, "the slot of its component shows something else");
}

static void check_entry(struct check *k, struct entry *e)
{
	struct verdict v;
	unsigned look = 0;

	do {
		v = entry_judge(k->r, e);
	} while (v.sentence && check_again(k, &look));
	if (e->empty)
		return;
	k->report->entries++;
	if (v.sentence && v.kind == REGISTRY_UNFINISHED && k->half_updated++)
		v.kind = REGISTRY_BAD_ENTRY; /* one node leaves one at most */
	if (v.sentence)
		check_found(k, v.kind, "index bucket %u entry %u: %s", e->bucket, e->number,
			    v.sentence);
	if (v.sentence && v.kind != REGISTRY_UNFINISHED)
		return;
	k->entries_of[e->slot] = (uint8_t)(k->entries_of[e->slot] ? 2 : 1);
	if (e->home == e->bucket)
		return;
	/* It passes the buckets from its home up to the one before its own, in the ring. */
	k->passed[e->home]++;
	k->passed[e->bucket]--;
	k->passed[0] += e->home > e->bucket;
}

static void check_index(struct check *k)
{
	for (uint32_t i = 0; i <= k->r->bucket_mask; i++) {
		k->report->buckets++;
		for (uint32_t n = 0; n < REGISTRY_BUCKET_ENTRIES; n++)
			check_entry(k, &(struct entry){.bucket = i, .number = n});
	}
}

/** Overflow counts against the names that pass. One too high is what a death may leave. */
static void check_overflow(struct check *k)
{
	int64_t passed = 0;
	uint32_t high = 0;

	for (uint32_t i = 0; i <= k->r->bucket_mask; i++) {
		int64_t told = load_relaxed(&k->r->index[i].overflow);

		passed += k->passed[i];
		high += told == passed + 1;
		if (told != passed && told != passed + 1)
			check_found(k, REGISTRY_BAD_OVERFLOW,
				    "index bucket %u: %lld names are said to live behind it, %lld "
				    "do",
				    i, (long long)told, (long long)passed);
	}
	if (high)
		check_found(k, REGISTRY_UNFINISHED,
			    "index: %u buckets count a name that is not entered: it was being "
			    "added or removed",
			    high);
}

/* ---- directory and objects ------------------------------------------------------------------- */

static struct verdict gates_judge(const struct registry *r, const struct registry_hot *hot)
{
	if (hot->instances > HAVEN_INSTANCES_MAX)
		return BAD(REGISTRY_BAD_OBJECT, "it has too many instances");
	if (hot->instances == 0)
		return GOOD;
	if ((uint64_t)hot->gate_first + hot->instances > r->shape.gates)
		return BAD(REGISTRY_BAD_OBJECT, "it claims gates beyond the last");
	for (uint32_t i = 0; i < hot->instances; i++) {
		const struct registry_gate *g = &r->gates[hot->gate_first + i];

		if (load_acquire(&g->component) != registry_slot_of(hot->handle) ||
		    load_relaxed(&g->instance) != (uint16_t)(hot->instance_first + i))
			return BAD(REGISTRY_BAD_GATE, "one of its gates is not its own");
	}
	return GOOD;
}

static struct verdict object_judge(const struct registry *r, const struct registry_component *c)
{
	struct registry_key key;

	if (!key_of(&c->hot, &key) || !check_text(c->cold.group) || !check_text(c->cold.release))
		return BAD(REGISTRY_BAD_OBJECT, "its name, group or release is not proper");
	if (c->hot.state >= HAVEN_ROLE_COUNT || c->hot.health >= HAVEN_HEALTH_COUNT ||
	    c->hot.load > REGISTRY_LOAD_MAX || c->cold.n_depends > REGISTRY_DEPENDS_MAX)
		return BAD(REGISTRY_BAD_OBJECT, "its state, health, load or dependencies are out "
						"of range");
	return gates_judge(r, &c->hot);
}

static struct verdict slot_judge(const struct registry *r, uint32_t slot,
				 struct registry_component *c, bool *empty)
{
	uint32_t place = load_acquire(&r->directory[slot]) - 1; /* C1 */
	struct verdict v;

	*empty = place == REGISTRY_NONE;
	if (*empty)
		return GOOD;
	if (place >= r->objects)
		return BAD(REGISTRY_BAD_PLACE, "it shows a place that does not exist");
	if (!registry_object_copy(r, place, c))
		return BAD(REGISTRY_BAD_OBJECT, "it shows an object that is being filled");
	if (registry_slot_of(c->hot.handle) != slot)
		return BAD(REGISTRY_BAD_HANDLE, "it shows the object of another slot");
	v = handle_judge(r, c->hot.handle);
	return v.sentence ? v : object_judge(r, c);
}

static void check_slot(struct check *k, uint32_t slot)
{
	struct registry_component c;
	unsigned look = 0;
	struct verdict v;
	bool empty;

	do {
		v = slot_judge(k->r, slot, &c, &empty);
	} while (v.sentence && check_again(k, &look));
	if (empty)
		return;
	k->report->components++;
	if (v.sentence)
		check_found(k, v.kind, "slot %u: %s", slot, v.sentence);
	else if (c.cold.lanes > k->lanes_of[slot])
		check_found(k, REGISTRY_BAD_LANE, "component %s claims %u lane lines and has %u",
			    c.hot.name, c.cold.lanes, k->lanes_of[slot]);
}

/** Every component is named once; one may not be named yet, or no more. */
static void check_named(struct check *k)
{
	uint32_t unnamed = 0;

	for (uint32_t slot = 0; slot < k->r->components; slot++) {
		bool shown = registry_place_of(k->r, slot) != REGISTRY_NONE;

		if (k->entries_of[slot] > 1)
			check_found(k, REGISTRY_NAMED_TWICE,
				    "slot %u has more than one entry in the index", slot);
		if (!shown || k->entries_of[slot])
			continue;
		if (++unnamed == 1)
			check_found(k, REGISTRY_UNFINISHED,
				    "slot %u is not in the index: it was being added or removed",
				    slot);
		else
			check_found(k, REGISTRY_NOT_NAMED, "slot %u is not in the index", slot);
	}
}

/* ---- all ------------------------------------------------------------------------------------- */

static void check_header(struct check *k)
{
	const struct registry_header *h = k->r->header;
	struct registry_header want = registry_layout(&k->r->shape);

	if (load_relaxed(&h->rcu_epoch) == 0)
		check_found(k, REGISTRY_BAD_HEADER, "header: the epoch is 0");
	if (load_relaxed(&h->generation) > REGISTRY_GENERATION_MAX)
		check_found(k, REGISTRY_BAD_HEADER, "header: the generation is out of range");
	if (h->pages_kind >= PAGES_KIND_COUNT)
		check_found(k, REGISTRY_BAD_HEADER, "header: it stands on unknown pages");
	else if (want.buckets != k->r->bucket_mask + 1 ||
		 pages_round(h->pages_kind, want.size_bytes) != k->r->size_bytes)
		check_found(k, REGISTRY_BAD_HEADER,
			    "header: index or file have another size than this shape needs");
}

/** A place whose filling has not ended; no entry or slot shows it (that is looked at with them). */
static void check_fillings(struct check *k)
{
	uint32_t filling = 0;

	for (uint32_t place = 0; place < k->r->objects; place++)
		filling += load_relaxed(&k->r->hot[place].version) & 1;
	if (filling)
		check_found(k, filling > 1 ? REGISTRY_BAD_OBJECT : REGISTRY_UNFINISHED,
			    "%u objects are being filled", filling);
}

/** One walk over index, directory and objects. What compares counts over all of them is left out
 *  when something changed meanwhile. */
static void walk(struct check *k)
{
	const struct registry *r = k->r;
	uint64_t changes = registry_changes(r);

	memset(k->entries_of, 0, r->components * sizeof(*k->entries_of));
	memset(k->passed, 0, ((size_t)r->bucket_mask + 1) * sizeof(*k->passed));
	k->half_updated = 0;
	check_index(k);
	for (uint32_t slot = 0; slot < r->components; slot++)
		check_slot(k, slot);
	check_fillings(k);
	k->report->moving = registry_changes(r) != changes;
	if (k->report->moving)
		return;
	check_overflow(k);
	check_named(k);
}

/** Walks until nothing is wrong; the last walk tells. So a change that was under way during one
 *  walk of a living registry is over in the next. */
static void check_walks(struct check *k)
{
	struct registry_report before = *k->report;
	struct check quiet = *k;

	quiet.tell = NULL;
	for (unsigned i = 1; i < CHECK_WALKS; i++) {
		walk(&quiet);
		if (k->report->findings == before.findings &&
		    k->report->unfinished == before.unfinished && !k->report->moving)
			return;
		*k->report = before;
		sched_yield();
	}
	k->looks = quiet.looks;
	walk(k);
}

static bool check_room(struct check *k)
{
	k->lanes_of = calloc(k->r->components, sizeof(*k->lanes_of));
	k->entries_of = calloc(k->r->components, sizeof(*k->entries_of));
	k->passed = calloc((size_t)k->r->bucket_mask + 1, sizeof(*k->passed));
	return k->lanes_of && k->entries_of && k->passed;
}

int registry_check(const struct registry *r, struct registry_report *report,
		   void (*tell)(void *context, enum registry_finding kind, const char *sentence),
		   void *context)
{
	struct check k = {.r = r,
			  .report = report,
			  .tell = tell,
			  .context = context,
			  .looks = CHECK_LOOKS_ALL};
	int status = -HAVEN_ENOMEM;

	*report = (struct registry_report){0};
	if (check_room(&k)) {
		check_header(&k);
		check_status(&k);
		check_gates(&k);
		check_lanes(&k);
		check_walks(&k);
		check_rings(&k);
		check_counters(&k);
		status = report->findings ? -HAVEN_ECORRUPT : 0;
	}
	free(k.lanes_of);
	free(k.entries_of);
	free(k.passed);
	return status;
}
