/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever the old file says, the work is bounded: one copy per slot, and one look at a process for
 * each of at most OWNER_PROCESSES owners.
 */
#include "adopt.h"

#include <string.h>
#include <unistd.h>

#include "client_segment.h"
#include "clock.h"

int adopt_open(struct registry *old, const char *run_dir, struct registry_config *config,
	       struct adopt_report *report)
{
	int err = registry_open(old, run_dir, &report->lost);

	if (err == -HAVEN_ENOENT) {
		report->lost.text[0] = 0;
		return err;
	}
	if (!err && (strcmp(old->header->cluster, config->cluster) != 0 ||
		     strcmp(old->header->node, config->node) != 0))
		err = error_set(&report->lost, HAVEN_EINVAL,
				"it belongs to node %.31s of cluster %.31s", old->header->node,
				old->header->cluster);
	else if (!err &&
		 registry_floors(old, &config->generation_floor, &config->rcu_epoch_floor) != 0)
		err = error_set(&report->lost, HAVEN_ECORRUPT,
				"its handles, gates or epochs have numbers that no node can reach");
	if (err)
		registry_close(old);
	return err;
}

/* ---- owners ---------------------------------------------------------------------------------- */

/* Without proof of death a process counts as alive: descriptors may have run out. */
static bool process_lives(int32_t pid, uint64_t pid_start_ticks)
{
	int fd = process_pidfd(pid, pid_start_ticks);
	bool lives = fd != -HAVEN_ENOENT;

	if (fd >= 0) {
		lives = !process_ended(fd);
		close(fd);
	}
	return lives;
}

/* Entry of a component's owner; that of an ended process is marked and gets no components. */
static uint16_t owner_entry(struct light *l, const struct registry_cold *cold)
{
	uint16_t process = owner_find(&l->owners, cold->pid, cold->pid_start_ticks);

	if (process != OWNER_NONE)
		return process;
	process = owner_open(&l->owners, cold->pid, cold->pid_start_ticks);
	if (process != OWNER_NONE)
		l->owners.process[process].ended = !process_lives(cold->pid, cold->pid_start_ticks);
	return process;
}

/* Owners without components are not waited for. */
static void owners_tidy(struct light *l, struct adopt_report *report)
{
	uint32_t used = l->owners.used;

	for (uint32_t i = 0; i < used; i++) {
		if (l->owners.process[i].count) {
			report->processes++;
			continue;
		}
		owner_ended(&l->owners, (uint16_t)i);
		owner_left(&l->owners);
	}
}

/* ---- components ------------------------------------------------------------------------------ */

/* Its work waits for nobody: gates are off-line, and it is not ready before it says so again. */
static bool prepare_local(struct light *l, struct registry_component *c, adopt_group group,
			  void *context)
{
	uint16_t first = 0;
	int n = group(context, c->cold.group, &first);

	if (n <= 0 || n > HAVEN_INSTANCES_MAX || first + n > HAVEN_INSTANCES_MAX ||
	    light_pending(l, l->adopted[first]))
		return false;
	c->hot.instances = (uint16_t)n;
	c->hot.instance_first = first;
	c->hot.state = HAVEN_OFFLINE;
	c->hot.flags = REGISTRY_PENDING;
	return true;
}

static void instances_note(struct light *l, const struct registry_component *c)
{
	for (unsigned i = 0; i < c->hot.instances; i++)
		l->adopted[c->hot.instance_first + i] = c->hot.handle;
}

/* Only a node writes such a component; the rest is checked by registry_adopt(). */
static bool well_formed(const struct registry *old, uint32_t slot,
			const struct registry_component *c)
{
	return registry_slot_of(c->hot.handle) == slot &&
	       c->hot.handle >> REGISTRY_SLOT_BITS <= load_relaxed(&old->header->generation) &&
	       light_name_valid(c->hot.name) && c->hot.kind < HAVEN_KIND_COUNT &&
	       memchr(c->cold.group, 0, HAVEN_NAME_MAX) != NULL;
}

static void adopt_one(struct light *l, struct registry_component *c, adopt_group group,
		      void *context, struct adopt_report *report)
{
	uint16_t process = owner_entry(l, &c->cold);

	if (process == OWNER_NONE) {
		report->refused++;
		return;
	}
	if (l->owners.process[process].ended || (c->hot.flags & REGISTRY_DEAD)) {
		report->dead++;
		return;
	}
	c->hot.flags |= REGISTRY_PENDING;
	if ((c->hot.instances && !prepare_local(l, c, group, context)) ||
	    registry_adopt(l->registry, c, NULL) != 0) {
		report->refused++;
		return;
	}
	owner_add(&l->owners, process, registry_slot_of(c->hot.handle), true);
	instances_note(l, c);
	report->adopted++;
}

void adopt_components(struct light *l, const struct registry *old, adopt_group group, void *context,
		      struct adopt_report *report)
{
	uint64_t begin = clock_now_ns();
	struct registry_component c;

	for (uint32_t slot = 0; slot < old->components; slot++) {
		int err = registry_copy_dead(old, slot, &c);

		if (err == -HAVEN_ENOENT)
			continue;
		if (err || !well_formed(old, slot, &c))
			report->damaged++;
		else
			adopt_one(l, &c, group, context, report);
	}
	owners_tidy(l, report);
	report->took_ns = clock_now_ns() - begin;
}
