/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The readers of the registry's stress case.
 */
#include <stdio.h>
#include <string.h>

#include "stress_registry.h"

static unsigned name_of(const struct registry_hot *hot)
{
	unsigned name = NAMES;

	return sscanf(hot->name, "component-%u", &name) == 1 ? name : NAMES;
}

static bool found_whole(const struct registry_hot *hot)
{
	return component_whole(hot, registry_cold_of(&node, hot), name_of(hot));
}

static const struct registry_hot *look(struct stress *s, unsigned name)
{
	char text[HAVEN_NAME_MAX];
	const struct registry_hot *hot;

	snprintf(text, sizeof(text), "component-%u", name);
	hot = registry_find(&node, text);
	if (hot ? name_of(hot) != name || !found_whole(hot) : name < STEADY)
		stress_fail(s, "component %u is %s", name, hot ? "torn" : "missing");
	return hot;
}

/** A burst of a packet loop: what is found stays until the next quiescent point, and beyond it as
 *  long as the count of changes stands (W2). */
void quiescent_reader(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed + 100};
	const struct registry_hot *held = NULL;
	uint64_t changes = 0;

	rcu_enter(&node.header->rcu_epoch, &reader_word[0]);
	while (!stress_stopped(t->stress)) {
		if (held && registry_changes(&node) == changes) {
			registry_counted[COUNT_PAST]++;
			if (!found_whole(held))
				stress_fail(t->stress, "what was held is torn");
		}
		changes = registry_changes(&node);
		held = look(t->stress, (unsigned)prng_below(&random, NAMES));
		if (held && prng_below(&random, 4) == 0)
			sched_yield();
		/* Found by name, so found by handle unless it was removed meanwhile (A3). */
		if (held) {
			const struct registry_hot *by_handle = registry_get(&node, held->handle);

			if (by_handle ? !found_whole(by_handle) : name_of(held) < STEADY)
				stress_fail(t->stress, "not the same by handle");
		}
		registry_counted[COUNT_LOOKS]++;
		rcu_quiescent(&node.header->rcu_epoch, &reader_word[0]);
		stress_round(t);
	}
	rcu_leave(&reader_word[0]);
}

/** Every steady component is visited exactly once (A2). */
static void iterate(struct stress *s)
{
	const struct registry_hot *hot;
	unsigned seen[NAMES + 1] = {0};
	uint32_t cursor = 0;

	while ((hot = registry_next(&node, &cursor))) {
		registry_counted[COUNT_ITERATED]++;
		seen[name_of(hot)]++;
		if (!found_whole(hot))
			stress_fail(s, "slot %u shows a torn component", cursor - 1);
	}
	for (unsigned i = 0; i < STEADY; i++) {
		if (seen[i] != 1)
			stress_fail(s, "component %u was visited %u times", i, seen[i]);
	}
}

static void bulk(struct stress *s)
{
	struct registry_key key[STEADY];
	const struct registry_key *keys[STEADY];
	const struct registry_hot *out[STEADY];

	for (unsigned i = 0; i < STEADY; i++) {
		char text[HAVEN_NAME_MAX];

		snprintf(text, sizeof(text), "component-%u", i);
		registry_key_set(&key[i], text);
		keys[i] = &key[i];
	}
	if (registry_find_bulk(&node, keys, STEADY, out) != STEADY)
		stress_fail(s, "the bulk look-up missed some");
	for (unsigned i = 0; i < STEADY; i++) {
		if (out[i] && !found_whole(out[i]))
			stress_fail(s, "the bulk look-up found a torn component");
	}
}

void section_reader(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed + 200};

	while (!stress_stopped(t->stress)) {
		rcu_enter(&node.header->rcu_epoch, &reader_word[1]);
		switch (prng_below(&random, 3)) {
		case 0:
			iterate(t->stress);
			break;
		case 1:
			bulk(t->stress);
			break;
		default:
			look(t->stress, (unsigned)prng_below(&random, NAMES));
			break;
		}
		rcu_leave(&reader_word[1]);
		registry_counted[COUNT_SECTIONS]++;
		stress_round(t);
		sched_yield();
	}
}

static void copy_gate(struct stress *s)
{
	for (uint32_t i = 0; i < node.shape.gates; i++) {
		struct registry_gate g;

		if (!registry_gate_copy(&node.gates[i], &g) || g.epoch == 0)
			continue;
		if (g.role == HAVEN_OFFLINE)
			continue;
		if (g.role != (g.epoch % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY))
			stress_fail(s, "gate %u: role and epoch do not belong together", i);
		registry_counted[COUNT_COPIES]++;
	}
}

static void copy_status(struct stress *s)
{
	static struct registry_status status;

	if (registry_copy_status(&node, &status) != 0) {
		registry_counted[COUNT_GIVEN_UP]++;
		return;
	}
	if (status.polls != status.frames_in || status.polls != status.instance[63].since_ns)
		stress_fail(s, "the status is torn");
	registry_counted[COUNT_COPIES]++;
}

static void copy_component(struct stress *s, unsigned name, unsigned how)
{
	struct registry_component c;
	char text[HAVEN_NAME_MAX];
	int status;

	snprintf(text, sizeof(text), "component-%u", name);
	status = how ? registry_copy_slot(&node, name, &c) : registry_find_copy(&node, text, &c);
	if (status == -HAVEN_EAGAIN) {
		registry_counted[COUNT_GIVEN_UP]++;
	} else if (status == 0) {
		registry_counted[COUNT_COPIES]++;
		if (!component_whole(&c.hot, &c.cold, name_of(&c.hot)) ||
		    (!how && name_of(&c.hot) != name))
			stress_fail(s, "the copy of component %u is torn", name);
		if (registry_get_copy(&node, c.hot.handle + REGISTRY_COMPONENTS_LIMIT, &c) == 0)
			stress_fail(s, "a handle of the future was found");
	} else if (status != -HAVEN_ENOENT || (!how && name < STEADY)) {
		stress_fail(s, "component %u gave %d", name, status);
	}
}

static void finding(void *context, enum registry_finding kind, const char *sentence)
{
	if (kind != REGISTRY_UNFINISHED)
		stress_fail(context, "check: %s: %s", registry_finding_name(kind), sentence);
}

void copying_reader(struct stress_thread *t)
{
	struct prng random = {.state = t->stress->seed + 300};

	while (!stress_stopped(t->stress)) {
		struct registry_report report;

		copy_component(t->stress, (unsigned)prng_below(&random, NAMES),
			       (unsigned)prng_below(&random, 2));
		copy_status(t->stress);
		copy_gate(t->stress);
		if (t->rounds % 64 == 0) {
			registry_check(&node, &report, finding, t->stress);
			registry_counted[COUNT_CHECKS]++;
		}
		stress_round(t);
		sched_yield();
	}
}

/** The changes up to where it stands: each once, in order, or told as missed (W3). */
static void follow_changes(struct stress *s, uint64_t *position, uint64_t *missed)
{
	uint64_t from = *position, before = *missed, counted = registry_changes(&node), seq;
	struct registry_change change;

	while ((seq = registry_watch_read(&node, position, &change, missed))) {
		if (seq != from + 1 + (*missed - before))
			stress_fail(s, "changes are miscounted");
		if (change.slot != registry_slot_of(change.handle) ||
		    change.kind >= REGISTRY_CHANGE_KINDS ||
		    strncmp(change.name, "component-", 10) != 0)
			stress_fail(s, "change %llu is torn", (unsigned long long)seq);
		from = seq;
		before = *missed;
		registry_counted[COUNT_CHANGES]++;
	}
	/* What the count showed before the ring was read is in the ring, or was missed. */
	if (*position < counted)
		stress_fail(s, "change %llu is counted and not in the ring",
			    (unsigned long long)counted);
}

/** Follows events, changes and the count of changes. */
void watching_reader(struct stress_thread *t)
{
	uint64_t position = 0, missed = 0, read = 0, first = 0, changes = 0, last = 0;
	uint64_t change = 0, change_missed = 0;

	while (!stress_stopped(t->stress)) {
		uint64_t now = registry_changes(&node);
		struct event e;

		if (now < changes)
			stress_fail(t->stress, "the count of changes went back");
		changes = now;
		follow_changes(t->stress, &change, &change_missed);
		stress_round(t);
		if (!event_ring_read(node.events, node.shape.events, &position, &e, &missed)) {
			sched_yield();
			continue;
		}
		if (e.b != ~e.a || e.kind != EVENT_ROLE || e.a <= last)
			stress_fail(t->stress, "event %llu is torn", (unsigned long long)e.seq);
		last = e.a;
		first = first ? first : e.seq;
		if (++read + missed != e.seq - first + 1)
			stress_fail(t->stress, "events are miscounted");
	}
	registry_counted[COUNT_EVENTS] = read;
	registry_counted[COUNT_MISSED] = missed;
	registry_counted[COUNT_CHANGES_MISSED] = change_missed;
}
