/* SPDX-License-Identifier: BSD-3-Clause */
/* What the nodes of the world show in their registries, and what its applications tell. */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "world.h"

#define LOOK_US 200

bool world_registry_fresh(struct world *w, unsigned node)
{
	struct error_text error;
	char run_dir[96];

	if (w->registry[node].base && load_relaxed(&w->registry[node].header->pid) == w->node[node])
		return true;
	registry_close(&w->registry[node]);
	world_run_dir(w, node, run_dir, sizeof(run_dir));
	return registry_open(&w->registry[node], run_dir, &error) == 0 &&
	       load_relaxed(&w->registry[node].header->pid) == w->node[node];
}

bool world_status(struct world *w, unsigned node, struct registry_status *out)
{
	return world_registry_fresh(w, node) && registry_copy_status(&w->registry[node], out) == 0;
}

bool world_event(struct world *w, unsigned node, unsigned kind, uint64_t after_ns,
		 struct event *out)
{
	const struct registry *r = &w->registry[node];
	uint64_t position = 0, missed = 0;

	if (!r->base)
		return false;
	while (event_ring_read(r->events, r->shape.events, &position, out, &missed)) {
		if (out->kind == kind && out->at_ns >= after_ns)
			return true;
	}
	return false;
}

unsigned world_count(struct world *w, unsigned kind, uint64_t from_ns, uint64_t until_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WORLD_NODES; i++) {
		const struct registry *r = &w->registry[i];
		uint64_t position = 0, missed = 0;
		struct event e;

		while (r->base &&
		       event_ring_read(r->events, r->shape.events, &position, &e, &missed))
			n += e.kind == kind && e.at_ns >= from_ns && e.at_ns < until_ns;
	}
	return n;
}

static int holder_when_whole(struct world *w)
{
	static struct registry_status s;
	int holder;

	for (unsigned i = WORLD_NODES; i-- > 0;) {
		if (!world_status(w, i, &s) || !s.has_view)
			return -1;
	}
	/* The last look was at node a. */
	holder = s.instance[0].holder;
	if (holder > WORLD_B || (s.instance[0].in_sync & 3) != 3 || (s.members & 7) != 7)
		return -1;
	for (unsigned i = 0; i < WORLD_APPS; i++) {
		if (!load_acquire(&w->line[i].ready))
			return -1;
	}
	return load_acquire(&w->line[holder].opened_ns) ? holder : -1;
}

int world_whole(struct world *w)
{
	uint64_t until = clock_now_ns() + WORLD_WAIT_NS;
	unsigned good = 0;
	int holder = -1;

	/* A few looks in a row, so that what is still moving is not taken for whole. */
	while (good < 5) {
		int now = holder_when_whole(w);

		good = now >= 0 && now == holder ? good + 1 : 0;
		holder = now;
		if (clock_now_ns() > until) {
			fputs("haven-bench: the cluster does not become whole within 20 s; is the "
			      "machine "
			      "busy?\n",
			      stderr);
			return -1;
		}
		usleep(1000);
	}
	return holder;
}

uint64_t world_opened(struct world *w, unsigned node, uint64_t after_ns, uint64_t timeout_ns)
{
	uint64_t until = clock_now_ns() + timeout_ns, at;

	do {
		at = load_acquire(&w->line[node].opened_ns);
		if (at > after_ns)
			return at;
		usleep(LOOK_US);
	} while (clock_now_ns() < until);
	return 0;
}
