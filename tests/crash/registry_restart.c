/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The restart judge: the next node finds the registry of one that died anywhere, makes its own from
 * it, and has everything.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_stage.h"

static int adopt_all(struct registry *r, const struct registry *old)
{
	struct registry_component c;
	int status = 0;

	for (uint32_t slot = 0; slot < old->components && !status; slot++) {
		if (registry_copy_slot(old, slot, &c) == 0)
			status = registry_adopt(r, &c, NULL);
	}
	return status;
}

static int adopt_clients(struct registry *r, const struct registry_stage *clients)
{
	int status = 0;

	for (uint32_t i = 0; i < clients->n_known && !status; i++) {
		const struct known *k = &clients->known[i];
		struct registry_component c = k->value[k->values - 1];

		if (k->kind == KNOWN_ALWAYS)
			status = registry_adopt(r, &c, NULL);
	}
	return status;
}

int registry_restart(struct registry *r, const char *old_dir, const char *new_dir,
		     const struct registry_stage *clients)
{
	struct registry_config config = {.cluster = "yard", .node = "a", .release = "2"};
	struct registry old;
	int status = registry_open(&old, old_dir, NULL);

	if (status)
		return status;
	config.shape = old.shape;
	/* The same as before, so that names fall into the same buckets. */
	config.incarnation = old.header->incarnation;
	status = registry_floors(&old, &config.generation_floor, &config.rcu_epoch_floor);
	if (!status)
		status = registry_prepare(r, new_dir, &config, NULL);
	if (!status) {
		status = clients ? adopt_clients(r, clients) : adopt_all(r, &old);
		/* Nobody sees it before everybody is in it. */
		if (status)
			registry_discard(r);
		else
			status = registry_publish(r, NULL);
	}
	registry_close(&old);
	return status;
}

/** Everything about a component but what a restart gives anew. */
static bool same_component(const struct known *k, const struct registry_component *found)
{
	for (uint32_t i = 0; i < k->values; i++) {
		struct registry_component want = k->value[i];

		want.hot.version = found->hot.version;
		want.hot.gate_first = found->hot.gate_first;
		want.cold.lanes = found->cold.lanes;
		want.cold.lane_first = found->cold.lane_first;
		if (memcmp(&want, found, sizeof(want)) == 0)
			return true;
	}
	return false;
}

void registry_judge_kept(struct crash_case *c, const struct registry *r)
{
	const struct registry_stage *s = registry_stage(c);

	for (uint32_t i = 0; i < s->n_known; i++) {
		const struct known *k = &s->known[i];
		const char *name = k->value[0].hot.name;
		struct registry_component found;
		int named = registry_find_copy(r, name, &found);
		int held;

		CRASH_CHECK(c, named || same_component(k, &found),
			    "after a restart %s is not what it was", name);
		held = registry_get_copy(r, k->value[0].hot.handle, &found);
		CRASH_CHECK(c, held || same_component(k, &found),
			    "after a restart the handle of %s shows something else", name);
		CRASH_CHECK(c, k->kind != KNOWN_ALWAYS || (!named && !held),
			    "a restart lost %s (by name %d, by handle %d)", name, named, held);
		CRASH_CHECK(c, k->kind != KNOWN_NEVER || held == -HAVEN_ESTALE,
			    "after a restart the stale handle of %s is good", name);
		CRASH_CHECK(c, !named == !held, "after a restart %s is there by half", name);
	}
}

void registry_judge_clean(struct crash_case *c, const struct registry *r, const char *when)
{
	struct registry_report report;

	CRASH_CHECK(c, registry_check(r, &report, NULL, NULL) == 0 && report.unfinished == 0,
		    "%s: %llu findings, %llu unfinished", when, (unsigned long long)report.findings,
		    (unsigned long long)report.unfinished);
}

/** Whatever is not adopted is free: slots, objects, gates, lane lines, handles. */
static void judge_capacity(struct crash_case *c, struct registry *r)
{
	struct registry_writer *w = r->writer;
	uint32_t live = r->components - w->free_slots, gates = 0, added = 0, fits;
	uint64_t handle[YARD_COMPONENTS] = {0}, left = REGISTRY_GENERATION_MAX - w->generation;
	uint64_t newest = w->generation;
	struct rcu_domain rcu;

	rcu_domain_init(&rcu, &r->header->rcu_epoch);
	for (uint32_t i = 0; i < r->components; i++)
		gates += w->slot[i].use == USE_LIVE ? w->slot[i].own.instances : 0u;
	CRASH_CHECK(c,
		    gates == r->shape.gates ||
			    registry_gates_find(r, r->shape.gates - gates) != REGISTRY_NONE,
		    "after a restart gates are missing");
	CRASH_CHECK(c, registry_lanes_reserve(r, r->shape.lanes) == 0,
		    "after a restart lane lines are missing");
	fits = r->components - live < left ? r->components - live : (uint32_t)left;
	for (; added < YARD_COMPONENTS; added++) {
		struct registry_component one = yard_component(40 + added, 0);

		one.hot.instances = 0;
		if (registry_add(r, &one, NULL) != 0)
			break;
		handle[added] = one.hot.handle;
		CRASH_CHECK(c, one.hot.handle >> REGISTRY_SLOT_BITS > newest,
			    "a handle is given out again");
		newest = one.hot.handle >> REGISTRY_SLOT_BITS;
	}
	CRASH_CHECK(c, added == fits, "after a restart %u of %u slots are free", added, fits);
	registry_judge_clean(c, r, "full after a restart");
	while (added)
		registry_remove(r, handle[--added], &rcu);
	registry_lanes_release(r, 0, r->shape.lanes, &rcu);
	registry_reclaim(r, &rcu);
	CRASH_CHECK(c,
		    w->free_slots + live == r->components && w->retired_count == 0 &&
			    w->free_objects + live == r->objects,
		    "after a restart something does not come back");
}

void registry_recover(struct crash_case *c, const char *old_dir, const char *new_dir,
		      const struct registry_stage *clients)
{
	struct registry r;
	int status;

	if (mkdir(new_dir, 0700) != 0 && access(new_dir, F_OK) != 0) {
		crash_fail(c, "cannot make the folder of the restart");
		return;
	}
	status = registry_restart(&r, old_dir, new_dir, clients);
	if (status) {
		crash_fail(c, "the restart fails: error %d", -status);
		return;
	}
	registry_judge_clean(c, &r, "after a restart");
	registry_judge_kept(c, &r);
	judge_capacity(c, &r);
	registry_judge_clean(c, &r, "emptied after a restart");
	registry_destroy(&r);
}
