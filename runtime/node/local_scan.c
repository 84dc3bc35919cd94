/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each turn looks at. Every turn: the marks of the workers (a plain load of a line that stays
 * in this core's cache until the kernel writes it), closing gates, committed sequences of
 * primaries. Every LOCAL_LOOK_NS: what workers write all the time.
 */
#include <stdio.h>

#include "node.h"

static void mark_seen(struct haven_node *n, struct local_client *client, unsigned k, uint64_t now)
{
	struct local_component *c = client->worker[k].component;
	char proof[64];

	if (!c) {
		/* A reader has nothing but its slot, and the thread is dead. */
		local_unwatch(n, client, k);
		return;
	}
	c->dead_workers |= (uint8_t)(1u << k);
	/* It ended in order and its thread died between that word and the mark's release. */
	if (load_acquire(&client->segment->worker[k].state) == CLIENT_WORKER_ENDED)
		return;
	snprintf(proof, sizeof(proof), "worker %u, kernel mark", k);
	local_fail(n, c, now, proof);
}

static void scan_marks(struct haven_node *n, struct local_client *client, uint64_t now)
{
	for (unsigned left = client->watched; left; left &= left - 1) {
		unsigned k = (unsigned)__builtin_ctz(left);
		const struct local_component *c = client->worker[k].component;

		if ((!c || !(c->dead_workers & (1u << k))) &&
		    client_worker_marked(&client->segment->worker[k]))
			mark_seen(n, client, k, now);
	}
}

static void scan_progress(struct local_component *c, unsigned k, uint64_t now)
{
	struct local_worker *w = &c->client->worker[k];
	uint64_t progress = load_relaxed(&c->client->segment->worker[k].progress);

	w->overruns = load_relaxed(&c->client->segment->worker[k].gate_overruns);
	if (progress != w->progress) {
		w->progress = progress;
		w->moved_ns = now;
	}
}

static bool serves(const struct local_component *c)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		if (c->gate[i].role == HAVEN_PRIMARY)
			return true;
	}
	return false;
}

/* Alive, but one of its workers does not poll. Only the primary's silence hurts anybody; once it is
 * taken for stuck it must poll again before it counts as healthy. */
static void judge_stuck(struct haven_node *n, struct local_component *c, uint64_t now)
{
	uint64_t silent = 0;

	for (unsigned k = 0; k < HAVEN_WORKERS_MAX; k++) {
		const struct local_worker *w = &c->client->worker[k];

		if ((c->workers & (1u << k)) && now - w->moved_ns > silent)
			silent = now - w->moved_ns;
	}
	if (c->stuck && silent < settings_now(n)->stuck_ns) {
		struct event e = publish_event_init(EVENT_COMPONENT_POLLS, EVENT_NOTICE);

		c->stuck = false;
		e.node = n->self;
		e.a = now - c->stuck_ns;
		snprintf(e.detail, sizeof(e.detail), "%s", c->object.hot.name);
		publish_event(n, &e, now);
	} else if (!c->stuck && silent > settings_now(n)->stuck_ns && serves(c)) {
		struct event e = publish_event_init(EVENT_COMPONENT_STUCK, EVENT_CRITICAL);

		c->stuck = true;
		c->stuck_ns = now - silent;
		e.node = n->self;
		e.a = silent;
		snprintf(e.detail, sizeof(e.detail), "%s", c->object.hot.name);
		publish_event(n, &e, now);
	}
}

/* May the component be given instance i, or keep it? To be given it the node must hold the baton;
 * to keep it, the component must be healthy. */
static bool is_up(const struct local_component *c, unsigned i)
{
	return c->state == LOCAL_READY && !c->stuck && c->workers && !c->dead_workers &&
	       (c->gate[i].told_up || local_gate_baton(c, i));
}

static void judge_up(struct haven_node *n, struct local_component *c)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++)
		local_tell_up(n, c, i, is_up(c, i));
}

/* True when the component's work has moved, or has nowhere to go. */
static bool has_left(struct haven_node *n, const struct local_component *c, uint64_t now)
{
	if (now >= c->leave_by_ns)
		return true;
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		if (c->gate[i].closing || c->gate[i].role == HAVEN_PRIMARY ||
		    brain_view(n->brain)->instance[c->object.hot.instance_first + i].holder ==
			    n->self)
			return false;
	}
	return true;
}

static bool still_closing(const struct local_component *c)
{
	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		if (c->gate[i].closing)
			return true;
	}
	return false;
}

static void finish_leaving(struct haven_node *n, struct local_component *c, uint64_t now)
{
	struct event e = publish_event_init(EVENT_COMPONENT_GONE, EVENT_INFO);
	struct command *waiting = c->leaving;

	e.node = n->self;
	e.a = (uint64_t)c->object.cold.pid;
	snprintf(e.detail, sizeof(e.detail), "%s", c->object.hot.name);
	local_remove(n, c);
	publish_event(n, &e, now);
	loop_pump(n, now);
	if (waiting) {
		waiting->component = c;
		local_answer(n, waiting, 0, NULL);
	} else {
		c->next_retired = c->client->retired;
		c->client->retired = c;
	}
}

/* Words that change often, and what follows from them. */
static void look_at_component(struct haven_node *n, struct local_component *c, uint64_t now)
{
	for (unsigned k = 0; k < HAVEN_WORKERS_MAX; k++) {
		if (!(c->workers & (1u << k)))
			continue;
		scan_progress(c, k, now);
		if (load_acquire(&c->client->segment->worker[k].state) == CLIENT_WORKER_ENDED)
			local_unwatch(n, c->client, k);
	}
	judge_stuck(n, c, now);
	judge_up(n, c);
	local_resets_scan(n, c);
	local_lanes_show(n, c);
	loop_pump(n, now);
	if (c->state == LOCAL_LEAVING && has_left(n, c, now)) {
		finish_leaving(n, c, now);
	} else if (c->state == LOCAL_FAILED && c->client->ended && !still_closing(c)) {
		local_remove(n, c);
		c->next_retired = c->client->retired;
		c->client->retired = c;
	}
}

/* What a component commits cannot be true: nothing more is taken from it. */
static void evict(struct haven_node *n, struct local_component *c, const char *why, uint64_t now)
{
	struct event e = publish_event_init(EVENT_CLIENT_EVICTED, EVENT_CRITICAL);

	e.node = n->self;
	e.a = (uint64_t)c->object.cold.pid;
	snprintf(e.detail, sizeof(e.detail), "%s: %s", c->object.hot.name, why);
	publish_event(n, &e, now);
	local_fail(n, c, now, why);
}

static unsigned scan_commits(struct haven_node *n, struct local_component *c, uint64_t now)
{
	unsigned moved = 0;

	for (unsigned i = 0; i < c->object.hot.instances; i++) {
		int result;

		if (c->gate[i].role != HAVEN_PRIMARY && !c->gate[i].closing)
			continue;
		result = local_commits(n, c, i);
		if (result < 0) {
			evict(n, c, "its lanes contradict themselves", now);
			return moved;
		}
		moved += (unsigned)result;
	}
	return moved;
}

/* Words of workers that belong to no component, and clients of which nothing is left. */
static void look_at_client(struct haven_node *n, struct local_client *client, uint64_t *overruns)
{
	for (unsigned left = client->watched; left; left &= left - 1) {
		unsigned k = (unsigned)__builtin_ctz(left);
		const struct local_worker *w = &client->worker[k];

		*overruns += w->overruns;
		if (!w->component &&
		    load_acquire(&client->segment->worker[k].state) == CLIENT_WORKER_ENDED)
			local_unwatch(n, client, k);
	}
	local_release(n, client);
}

static void look_at_clients(struct haven_node *n)
{
	uint64_t overruns = n->local.overruns_gone;

	for (unsigned k = n->local.n_clients; k-- > 0;)
		look_at_client(n, n->local.client[k], &overruns);
	n->local.gate_overruns = overruns;
}

unsigned local_scan(struct haven_node *n, uint64_t now)
{
	struct local *l = &n->local;
	bool look = now >= l->look_ns;
	unsigned work = 0;

	for (unsigned k = 0; k < l->n_clients; k++)
		scan_marks(n, l->client[k], now);
	/* Downwards, because a removed one is replaced by the last. */
	for (unsigned k = l->n_components; k-- > 0;) {
		struct local_component *c = l->component[k];

		work += local_warm_scan(n, c, now);
		work += scan_commits(n, c, now);
		local_gate_scan(n, c, now);
		loop_pump(n, now);
		if (look)
			look_at_component(n, c, now);
	}
	if (look) {
		l->look_ns = now + LOCAL_LOOK_NS;
		look_at_clients(n);
		local_switchover_scan(n, now);
		local_restore_scan(n, now);
	}
	return work;
}
