/* SPDX-License-Identifier: BSD-3-Clause */
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "model.h"

enum severity { SEVERITY_NOTE = 0, SEVERITY_DEGRADED, SEVERITY_CRITICAL, SEVERITY_UNKNOWN };

static const struct {
	const char *name;
	int exit;
} severities[] = {
	[SEVERITY_NOTE] = {"note", EXIT_GOOD},
	[SEVERITY_DEGRADED] = {"degraded", EXIT_DEGRADED},
	[SEVERITY_CRITICAL] = {"critical", EXIT_CRITICAL},
	[SEVERITY_UNKNOWN] = {"unknown", EXIT_UNKNOWN},
};

struct problems {
	json_t *list;
	enum severity worst;
};

__attribute__((format(printf, 5, 6))) static void problem(struct problems *p,
							  enum severity severity, const char *kind,
							  const char *object, const char *format,
							  ...)
{
	json_t *o = json_object();
	char message[512];
	size_t at = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	put_text(o, "severity", severities[severity].name);
	put_text(o, "kind", kind);
	put_text(o, "object", object);
	put_text(o, "message", message);
	/* Worst first; in the order of discovery, causes before effects, among equals. */
	while (at < json_array_size(p->list)) {
		const char *other = get_text(json_array_get(p->list, at), "severity");
		unsigned rank = SEVERITY_NOTE;

		for (unsigned i = 0; i < HAVEN_ARRAY_LEN(severities); i++)
			if (!strcmp(other, severities[i].name))
				rank = i;
		if (rank < (unsigned)severity)
			break;
		at++;
	}
	json_array_insert_new(p->list, at, o);
	if (severity > p->worst)
		p->worst = severity;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void node_problem(struct problems *p, const struct node *n, bool others_run)
{
	enum severity severity = others_run ? SEVERITY_DEGRADED : SEVERITY_UNKNOWN;
	char age[32];

	format_duration(n->age_ns, age, sizeof(age));
	switch (n->condition) {
	case NODE_RUNNING:
		break;
	case NODE_HUNG:
		problem(p, severity, "node-hung", node_name(n),
			"node %s: havend (pid %d) lives but its poll loop stands still, showing "
			"its "
			"last state, %s old",
			node_name(n), n->header.pid, age);
		break;
	case NODE_STOPPED:
		problem(p, severity, "node-stopped", node_name(n),
			"node %s: havend was stopped in order, showing its last state, %s old",
			node_name(n), age);
		break;
	case NODE_DEAD:
		problem(p, severity, "node-dead", node_name(n),
			"node %s: havend is not running (pid %d gone), showing its last state, %s "
			"old",
			node_name(n), n->header.pid, age);
		break;
	case NODE_UNREADABLE:
		problem(p, severity, "registry-unreadable", n->path, "%s", n->text.text);
		break;
	}
	if (node_readable(n) && n->torn)
		problem(p, SEVERITY_NOTE, "status-torn", node_name(n),
			"node %s: its status was being written, parts may not fit together",
			node_name(n));
}

/* Links and peers that work, but not as they should. */
static void judge_links(struct problems *p, const struct node *n)
{
	for (unsigned i = 0; i < n->status.n_nodes; i++) {
		const struct registry_peer *peer = &n->status.peer[i];

		if (peer->fencing)
			problem(p, SEVERITY_NOTE, "node-fencing", peer->name,
				"the fence command of %s runs against node %s", node_name(n),
				peer->name);
		if (peer->self || !peer->alive)
			continue;
		if (peer->held)
			problem(p, SEVERITY_NOTE, "node-held", peer->name,
				"node %s keeps coming and going: %s gives it nothing new for now",
				peer->name, node_name(n));
		for (unsigned l = 0; l < HAVEN_LINKS_MAX; l++) {
			if (peer->links_gray & (1u << l))
				problem(p, SEVERITY_NOTE, "link-gray", peer->name,
					"link %u from %s to %s loses %u %% of the heartbeats", l,
					peer->name, node_name(n), peer->loss_percent[l]);
			if (peer->links_held & (1u << l))
				problem(p, SEVERITY_NOTE, "link-held", peer->name,
					"link %u from %s to %s keeps failing and is held down", l,
					peer->name, node_name(n));
		}
	}
}

static void own_problems(struct problems *p, const struct node *n)
{
	const struct registry_status *s = &n->status;
	char gap[32];

	if (n->condition != NODE_RUNNING)
		return;
	if (s->n_nodes && !s->admitted && s->peer[s->self % HAVEN_NODES_MAX].voter)
		problem(p, SEVERITY_DEGRADED, "not-admitted", node_name(n),
			"node %s has no vote yet: it keeps silent until every promise of its "
			"earlier "
			"life has certainly ended, then learns the view",
			node_name(n));
	else if (!s->has_view)
		problem(p, SEVERITY_DEGRADED, "no-view", node_name(n), "node %s has no view yet",
			node_name(n));
	if (s->gate_overruns)
		problem(p, SEVERITY_NOTE, "gate-overrun", node_name(n),
			"node %s: bursts that left after their gate had shut: %" PRIu64,
			node_name(n), s->gate_overruns);
	if (n->header.lease_ns && s->poll_gap_recent_max_ns > n->header.lease_ns)
		problem(p, SEVERITY_NOTE, "poll-gap", node_name(n),
			"node %s: its poll loop lately stood still for %s, longer than its lease",
			node_name(n), format_duration(s->poll_gap_recent_max_ns, gap, sizeof(gap)));
	judge_links(p, n);
}

/* Votes that `n` hears, its own included. */
static unsigned votes_heard(const struct node *n)
{
	unsigned votes = 0;

	for (unsigned i = 0; i < n->status.n_nodes; i++)
		votes += n->status.peer[i].voter &&
			 (n->status.peer[i].self || n->status.peer[i].alive);
	return votes;
}

static void peer_problem(struct problems *p, const struct session *s, const struct node *best,
			 unsigned i)
{
	const struct registry_peer *peer = &best->status.peer[i];
	const struct node *own = model_visible(s, peer->name);
	char by[256] = "", age[32] = "ever";
	uint64_t silence = UINT64_MAX;

	/* The node's own file already tells why it is silent. */
	if (own && own->condition != NODE_RUNNING)
		return;
	for (unsigned k = 0; k < s->n; k++) {
		const struct node *n = s->node[k];
		const struct registry_peer *seen = &n->status.peer[i];
		size_t used = strlen(by);

		if (n->condition != NODE_RUNNING || seen->self || seen->alive ||
		    !seen->configured || !n->status.has_view)
			continue;
		snprintf(by + used, sizeof(by) - used, "%s%s", used ? ", " : "", node_name(n));
		if (seen->last_heard_ns && n->taken_ns - seen->last_heard_ns < silence)
			silence = n->taken_ns - seen->last_heard_ns;
	}
	if (!by[0])
		return;
	if (silence != UINT64_MAX)
		problem(p, SEVERITY_DEGRADED, "node-silent", peer->name,
			"node %s is not heard by %s, for %s", peer->name, by,
			format_duration(silence, age, sizeof(age)));
	else
		problem(p, SEVERITY_DEGRADED, "node-silent", peer->name,
			"node %s was never heard by %s", peer->name, by);
}

static void cluster_problems(struct problems *p, const struct session *s, const struct node *best)
{
	unsigned votes = votes_heard(best), voters = best->status.n_voters;

	if (best->condition != NODE_RUNNING)
		return;
	if (votes * 2 <= voters)
		problem(p, SEVERITY_CRITICAL, "no-majority", node_name(best),
			"%u of %u voters are heard by node %s: no majority, so nothing can be "
			"promoted and leases run out",
			votes, voters, node_name(best));
	for (unsigned i = 0; i < best->status.n_nodes; i++) {
		const struct registry_peer *peer = &best->status.peer[i];

		peer_problem(p, s, best, i);
		if ((peer->alive || peer->self) && best->status.has_view && !peer->member)
			problem(p, SEVERITY_DEGRADED, "node-outside", peer->name,
				"node %s is heard but not yet a member of the view", peer->name);
	}
}

/* ---- instances ------------------------------------------------------------------------------ */

/* A lease is renewed many times in its length; a moment between two renewals is no failure. */
static bool gate_opens(const struct node *n, unsigned instance)
{
	const struct timespec pause = {.tv_nsec = 2 * NSEC_PER_MSEC};

	for (unsigned i = 0; i < 10; i++) {
		if (node_gate_open(n, instance))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Why an instance is not being served; false when it is. */
static bool unserved(const struct session *s, const struct node *n, unsigned i, char *why,
		     size_t size)
{
	const struct registry_instance *in = &n->status.instance[i];
	const char *holder = node_peer_name(n, in->holder);
	const struct node *own = model_visible(s, holder);

	if (in->holder >= HAVEN_NODES_MAX) {
		if (in->ready)
			snprintf(why, size, "served by nobody");
		else
			snprintf(why, size,
				 "served by nobody: no node has a ready component for it");
		return true;
	}
	if (!n->status.peer[in->holder].self && !n->status.peer[in->holder].alive) {
		snprintf(why, size,
			 "held by %s, which is silent; nobody takes over before its lease has "
			 "certainly ended",
			 holder);
		return true;
	}
	if (own && own->condition == NODE_RUNNING && !gate_opens(own, i)) {
		snprintf(why, size, "held by %s, but the gate there is shut", holder);
		return true;
	}
	return false;
}

static void join(const struct node *n, uint32_t mask, char *text, size_t size)
{
	json_t *list = model_names(n, mask);

	text[0] = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		size_t used = strlen(text);

		snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			 json_string_value(json_array_get(list, i)));
	}
	json_decref(list);
}

/* Redundancy in words. Returns its label. */
static const char *redundancy(const struct node *n, unsigned i, char *text, size_t size)
{
	const struct registry_instance *in = &n->status.instance[i];
	uint32_t holder = in->holder < HAVEN_NODES_MAX ? UINT32_C(1) << in->holder : 0;
	uint32_t good = in->in_sync & in->assigned & ~holder,
		 filling = in->assigned & ~good & ~holder;
	unsigned have = (unsigned)__builtin_popcount(good);
	char names[256];

	if (have >= in->wanted_secondaries) {
		join(n, good, names, sizeof(names));
		snprintf(text, size, have ? "in sync: %s" : "no secondary is wanted%s", names);
		return "whole";
	}
	if (filling) {
		join(n, filling, names, sizeof(names));
		snprintf(text, size, "%s in-sync secondary: %s is being synchronised, %u %%",
			 have ? "too few" : "no", names, in->sync_percent);
		return "syncing";
	}
	snprintf(text, size, "%s in-sync secondary: %s", have ? "too few" : "no",
		 in->ready & ~holder & ~in->in_sync ? "a ready node is not yet assigned"
						    : "no other node has a ready component for it");
	return "none";
}

static void instance_verdict(struct problems *p, const struct session *s, unsigned i, json_t *o)
{
	const struct node *n = model_witness_of(s, i);
	const struct registry_instance *in = &n->status.instance[i];
	char why[256], how[512], text[1024], since[64];
	const char *label = redundancy(n, i, how, sizeof(how));
	bool live = n->condition == NODE_RUNNING;

	format_clock(in->since_wall_ns, since, sizeof(since));
	since[strcspn(since, ".")] = 0;
	if (live && unserved(s, n, i, why, sizeof(why))) {
		snprintf(text, sizeof(text), "%s", why);
		put_text(o, "redundancy", "unserved");
		problem(p, SEVERITY_CRITICAL, "instance-unserved", in->name, "%s is %s", in->name,
			why);
	} else if (in->holder >= HAVEN_NODES_MAX) {
		snprintf(text, sizeof(text), "was served by nobody");
		put_text(o, "redundancy", "unserved");
	} else {
		snprintf(text, sizeof(text), "%sserved by %s since %s (epoch %" PRIu64 "), %s",
			 live ? "" : "was ", node_peer_name(n, in->holder), since, in->since_epoch,
			 how);
		put_text(o, "redundancy", label);
		if (live && strcmp(label, "whole"))
			problem(p, SEVERITY_DEGRADED, "redundancy", in->name, "%s has %s", in->name,
				how);
	}
	put_yes(o, "served", live && strcmp(get_text(o, "redundancy"), "unserved"));
	put_text(o, "text", text);
}

static void component_problems(struct problems *p, const struct session *s)
{
	for (unsigned k = 0; k < s->n; k++) {
		const struct node *n = s->node[k];

		for (unsigned i = 0; n->condition == NODE_RUNNING && i < n->components; i++) {
			const struct registry_component *c = &n->component[i];

			if (c->hot.flags & REGISTRY_DEAD)
				problem(p, SEVERITY_DEGRADED, "component-dead", c->hot.name,
					"component %s on %s is dead (pid %d)", c->hot.name,
					node_name(n), c->cold.pid);
			else if (!(c->hot.flags & REGISTRY_READY))
				problem(p, SEVERITY_DEGRADED, "component-not-ready", c->hot.name,
					"component %s on %s has not declared itself ready",
					c->hot.name, node_name(n));
		}
	}
}

int verdict_make(const struct session *s, json_t *data, json_t *instances)
{
	struct problems p = {.list = json_array()};
	const struct node *best = model_authority(s);
	bool running = best->condition == NODE_RUNNING;

	for (unsigned i = 0; i < s->n; i++)
		node_problem(&p, s->node[i], running);
	cluster_problems(&p, s, best);
	for (unsigned i = 0; i < s->n; i++)
		own_problems(&p, s->node[i]);
	component_problems(&p, s);
	for (unsigned i = 0; i < json_array_size(instances); i++)
		instance_verdict(&p, s, i, json_array_get(instances, i));
	put_text(data, "verdict", p.worst == SEVERITY_NOTE ? "good" : severities[p.worst].name);
	put_count(data, "exit", (uint64_t)severities[p.worst].exit);
	json_object_set_new(data, "problems", p.list);
	return severities[p.worst].exit;
}
