/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registry: one writer; a packet loop with quiescent points, a tool that enters and leaves, a
 * tool without a slot that copies, and a watcher of events. Steady components are there all the
 * time, the others come and go. All fields of a component follow from one number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress_registry.h"
#include "table.h"

struct registry node;
uint64_t reader_word[2];
uint64_t registry_counted[COUNTED];

static struct rcu_domain rcu;
static uint64_t handle[NAMES];

static const char *const counted_names[COUNTED] = {
	"quiescent looks", "looks past a point", "sections",      "components iterated",
	"copies",          "copies given up",    "whole checks",  "events read",
	"events missed",   "changes read",       "changes missed"};

void component_fill(struct registry_component *c, unsigned name, uint64_t number)
{
	snprintf(c->hot.name, sizeof(c->hot.name), "component-%u", name);
	c->hot.load = (uint32_t)(number % REGISTRY_LOAD_MAX);
	c->hot.weight = (uint32_t)number;
	c->cold.registered_ns = c->cold.updated_ns = c->cold.pid_start_ticks = number;
	c->cold.pid = (int32_t)(number & 0x7fffffff);
	memset(c->cold.group, 0, sizeof(c->cold.group));
	snprintf(c->cold.group, sizeof(c->cold.group), "%llx", (unsigned long long)number);
	for (unsigned i = 0; i < REGISTRY_DEPENDS_MAX; i++)
		c->cold.depends[i] = number + name;
	c->cold.n_depends = REGISTRY_DEPENDS_MAX;
	c->hot.instances = name < STEADY;
}

bool component_whole(const struct registry_hot *hot, const struct registry_cold *cold,
		     unsigned name)
{
	struct registry_component want = {.hot = *hot, .cold = *cold};

	memset(want.hot.name, 0, sizeof(want.hot.name));
	component_fill(&want, name, cold->registered_ns);
	return memcmp(&want.hot, hot, sizeof(*hot)) == 0 &&
	       memcmp(&want.cold, cold, sizeof(*cold)) == 0;
}

/* ---- writer ---------------------------------------------------------------------------------- */

static void add(struct stress *s, unsigned name, uint64_t number)
{
	struct registry_component c = {0};
	int status;

	component_fill(&c, name, number);
	status = registry_add(&node, &c, NULL);
	if (status && status != -HAVEN_EFULL)
		stress_fail(s, "adding gave %d", status);
	handle[name] = status ? 0 : c.hot.handle;
}

static void update(struct stress *s, unsigned name, uint64_t number)
{
	struct registry_component c;
	int status = registry_get_copy(&node, handle[name], &c);

	if (status)
		stress_fail(s, "the writer's own copy gave %d", status);
	/* Planted: the published object is changed in place. */
	if (stress_planted(s, "in-place")) {
		struct registry_hot *hot = (struct registry_hot *)registry_get(&node, handle[name]);

		component_fill(&c, name, number);
		memcpy(hot->name, c.hot.name, sizeof(hot->name));
		hot->load = c.hot.load;
		hot->weight = c.hot.weight;
		node.cold[hot - node.hot] = c.cold;
		return;
	}
	component_fill(&c, name, number);
	status = registry_update(&node, &c, &rcu);
	if (status && status != -HAVEN_EFULL)
		stress_fail(s, "updating gave %d", status);
}

static void tell(uint64_t number)
{
	static struct registry_status status;
	struct event e = {.a = number, .b = ~number, .kind = EVENT_ROLE};

	event_ring_publish(node.events, node.shape.events, &e);
	status.polls = status.frames_in = status.instance[63].since_ns = number;
	registry_status_publish(&node, &status);
}

static void lanes(struct stress *s, struct prng *random, unsigned name)
{
	static const struct table_shape shape = {.name = "flows",
						 .key_bytes = 16,
						 .value_bytes = 8,
						 .capacity = 64,
						 .lanes = 1,
						 .lane_records = 64};
	struct table_geometry g;
	int first = registry_lanes_reserve(&node, 1 + (uint32_t)prng_below(random, 3));

	if (first < 0)
		return;
	/* Only those of a component that goes come back by themselves. */
	if (name >= STEADY && handle[name] && prng_below(random, 2)) {
		if (table_geometry_make(&shape, &g, NULL) != 0 ||
		    registry_lanes_describe(&node, (uint32_t)first, &g) != 0)
			stress_fail(s, "a reserved lane line could not be described");
		if (registry_lanes_give(&node, (uint32_t)first, 1, handle[name]) != 0)
			stress_fail(s, "a reserved lane line was refused");
		registry_lanes_release(&node, (uint32_t)first + 1, 2, &rcu);
	} else {
		registry_lanes_release(&node, (uint32_t)first, 3, &rcu);
	}
}

static void step(struct stress *s, struct prng *random, uint64_t number)
{
	unsigned name = (unsigned)prng_below(random, NAMES);
	unsigned what = (unsigned)prng_below(random, 8);

	if (!handle[name])
		add(s, name, number);
	else if (name >= STEADY && what < 3) {
		if (registry_remove(&node, handle[name], &rcu) != 0)
			stress_fail(s, "removing failed");
		handle[name] = 0;
	} else if (what < 5) {
		update(s, name, number);
	} else if (what == 5 && name < STEADY) {
		const struct registry_hot *own = registry_own(&node, handle[name]);

		registry_gate_set(&node, own->gate_first,
				  number % 2 ? HAVEN_PRIMARY : HAVEN_SECONDARY, number, number);
	} else if (what == 6) {
		tell(number);
	} else {
		lanes(s, random, name);
	}
	registry_reclaim(&node, &rcu);
}

/* ---- the case -------------------------------------------------------------------------------- */

static bool make(struct stress *s)
{
	const struct registry_config config = {.node = "stress",
					       .incarnation = s->seed,
					       .shape = {.components = NAMES,
							 .spare = 8,
							 .gates = 2 * NAMES,
							 .lanes = 32,
							 .clients = 1,
							 .events = 8,
							 .changes = 32,
							 .counters_bytes = 64}};
	char dir[] = "/tmp/haven-stress-XXXXXX", file[64];
	struct error_text error = {""};
	int status;

	if (!mkdtemp(dir))
		return false;
	status = registry_create(&node, dir, &config, &error);
	snprintf(file, sizeof(file), "%s/" REGISTRY_FILE, dir);
	unlink(file);
	rmdir(dir);
	if (status)
		stress_fail(s, "%s", error.text);
	return status == 0;
}

static void run(struct stress *s)
{
	static void (*const bodies[])(struct stress_thread *) = {quiescent_reader, section_reader,
								 copying_reader, watching_reader};
	struct stress_thread threads[HAVEN_ARRAY_LEN(bodies)];
	struct prng random = {.state = s->seed};
	uint64_t done = 0;

	if (!make(s)) {
		stress_fail(s, "there is no registry");
		return;
	}
	rcu_domain_init(&rcu, &node.header->rcu_epoch);
	/* Planted: nobody's slot is watched, so objects are used again under their readers. */
	for (unsigned i = 0; i < 2 && !stress_planted(s, "no-grace"); i++)
		rcu_slot_add(&rcu, &reader_word[i]);
	for (unsigned i = 0; i < STEADY; i++)
		add(s, i, 1);
	tell(1);
	stress_start(s, threads, HAVEN_ARRAY_LEN(bodies), bodies);
	stress_begin(s);
	while (stress_more(s, done, threads, HAVEN_ARRAY_LEN(bodies))) {
		step(s, &random, ++done + 1);
		if (prng_below(&random, 16) == 0)
			sched_yield();
	}
	stress_finish(s, threads, HAVEN_ARRAY_LEN(bodies));
	printf("%llu steps, %llu changes;", (unsigned long long)done,
	       (unsigned long long)registry_changes(&node));
	for (unsigned i = 0; i < COUNTED; i++)
		printf(" %llu %s,", (unsigned long long)registry_counted[i], counted_names[i]);
	putchar(' ');
	registry_destroy(&node);
}

const struct stress_case stress_registry_case = {"registry", "no-grace in-place", run};
