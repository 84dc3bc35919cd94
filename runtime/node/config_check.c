/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules between the values of a configuration, and what the host adds to them.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "clock.h"
#include "config.h"
#include "haven_assert.h"

#define US(ns) ((double)(ns) / 1e3)

/* Node names as an array of pointers, for suggestions. */
static unsigned node_names(const struct config *c, const char *out[HAVEN_NODES_MAX])
{
	for (unsigned i = 0; i < c->n_nodes; i++)
		out[i] = c->node[i].name;
	return c->n_nodes;
}

static int compare_ids(const void *a, const void *b)
{
	const struct config_node *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Numbers of nodes: by place in the file, or all of them given. Frames carry the number, so two
 * nodes must never have the same one. */
static void check_ids(struct config *c)
{
	bool valid = true;
	unsigned given = 0;

	for (unsigned i = 0; i < c->n_nodes; i++)
		given += c->node[i].id >= 0;
	if (!given)
		return;
	for (unsigned i = 0; i < c->n_nodes; i++) {
		struct config_node *n = &c->node[i];

		if (n->id < 0 || (unsigned)n->id >= c->n_nodes) {
			config_note(c, false, n->id_mark,
				    "give every node an id from 0 on, or none at all",
				    n->id < 0 ? "node '%s' has no id, others have"
					      : "node '%s': id is not below the number of nodes",
				    n->name);
			valid = false;
		}
		for (unsigned k = 0; k < i; k++) {
			if (n->id >= 0 && c->node[k].id == n->id) {
				config_note(c, false, n->id_mark, "give each node its own",
					    "id %d of node '%s' is that of node '%s' (line %u)",
					    n->id, n->name, c->node[k].name,
					    c->node[k].id_mark.line);
				valid = false;
			}
		}
	}
	if (valid)
		qsort(c->node, c->n_nodes, sizeof(c->node[0]), compare_ids);
}

static void check_node_pair(struct config *c, const struct config_node *n,
			    const struct config_node *earlier)
{
	if (n->name[0] && strcmp(n->name, earlier->name) == 0)
		config_note(c, false, n->mark, "give each node its own name",
			    "node '%s' is given twice, first in line %u", n->name,
			    earlier->mark.line);
	if (n->run_dir[0] && strcmp(n->run_dir, earlier->run_dir) == 0)
		config_note(c, false, n->run_dir_mark, "give each node its own",
			    "run_dir of node '%s' is that of node '%s' (line %u)", n->name,
			    earlier->name, earlier->run_dir_mark.line);
}

static void check_nodes(struct config *c)
{
	for (unsigned i = 0; i < c->n_nodes; i++) {
		const struct config_node *n = &c->node[i];

		for (unsigned k = 0; k < i; k++)
			check_node_pair(c, n, &c->node[k]);
		if (n->witness && n->voter_given && !n->voter)
			config_note(c, false, n->mark, "remove 'voter: false'",
				    "node '%s' is a witness, and a witness does nothing but vote",
				    n->name);
		if (n->n_ports == 0 && c->n_nodes > 1)
			config_note(c, false, n->mark,
				    "ports: [\"net_af_packet0,iface=eth1\"], or the name of a "
				    "DPDK port",
				    "node '%s' has no port to reach the others", n->name);
	}
}

static void check_voters(struct config *c)
{
	static const char remedy[] =
		"add a witness node (witness: true), or let an outside arbiter vote (a witness "
		"node on a machine of its own, away from both), or use an odd number of voters, "
		"three or more; or, with two_voters: operator, let an operator decide, or with "
		"two_voters: fence a command that cuts the other one's power";
	unsigned voters = 0;

	for (unsigned i = 0; i < c->n_nodes; i++)
		voters += config_is_voter(&c->node[i]);
	config_check_two_voters(c, voters);
	if (voters == 0)
		config_note(c, false, c->nodes_mark, "voter: true on one, three or five nodes",
			    "no node may vote, so no view can ever be decided");
	else if (voters > HAVEN_VOTERS_MAX)
		config_note(c, false, c->nodes_mark, "set voter: false on the others",
			    "%u voters, at most %d are possible", voters, HAVEN_VOTERS_MAX);
	else if (voters == 2 && c->two_voters != CONFIG_REFUSE)
		return; /* the warning has been noted */
	else if (voters == 2)
		config_note(c, false, c->nodes_mark, remedy,
			    "two voters cannot tell a dead peer from a cut link: when one falls "
			    "silent the other may never take over");
	else if (voters % 2 == 0)
		config_note(c, false, c->nodes_mark, remedy,
			    "%u voters stand no more failures than %u, and can be split in two "
			    "halves that both stand still",
			    voters, voters - 1);
	else if (voters == 1)
		config_note(c, true, c->nodes_mark, "use three voters",
			    c->n_nodes == 1 ? "a cluster of one node has no redundancy"
					    : "a single voter: when it dies nobody may take over");
}

static void check_at_least(struct config *c, struct config_mark mark, const char *what,
			   uint64_t value, uint64_t least, const char *rule)
{
	char remedy[64];

	if (value >= least)
		return;
	snprintf(remedy, sizeof(remedy), "%.20s: %.6gus or more", what, US(least));
	config_note(c, false, mark, remedy, "%s %.6gus is shorter than %s = %.6gus", what,
		    US(value), rule, US(least));
}

static void check_timers(struct config *c)
{
	struct config_timers *t = &c->timers;

	if (!t->stuck_ns)
		t->stuck_ns = 20 * t->suspect_ns;
	if (t->hold_max_ns == CONFIG_HOLD_DEFAULT)
		t->hold_max_ns = 10 * t->lease_ns;
	check_at_least(c, t->lease_mark, "lease", t->lease_ns, 3 * t->interval_ns + 2 * t->guard_ns,
		       "3 intervals + 2 guards");
	check_at_least(c, t->suspect_mark, "suspect", t->suspect_ns, 2 * t->interval_ns,
		       "2 intervals");
	check_at_least(c, t->stuck_mark, "stuck", t->stuck_ns, t->suspect_ns, "suspect");
	check_at_least(c, t->mirror_mark, "mirror_timeout", t->mirror_timeout_ns,
		       2 * t->interval_ns, "2 intervals");
	if (t->hold_max_ns)
		check_at_least(c, t->hold_mark, "hold_max", t->hold_max_ns, t->suspect_ns,
			       "suspect");
	if (t->suspect_ns >= t->lease_ns)
		config_note(
			c, false, t->suspect_mark, "suspect below lease",
			"suspect %.6gus is not shorter than lease %.6gus: a silent node's lease "
			"would end before anybody looks for its successor",
			US(t->suspect_ns), US(t->lease_ns));
	if (t->stall_ns >= t->lease_ns)
		config_note(c, true, t->mark, "stall below lease",
			    "stall %.6gus is not shorter than lease %.6gus", US(t->stall_ns),
			    US(t->lease_ns));
}

static void check_group_nodes(struct config *c, struct config_group *g)
{
	const char *names[HAVEN_NODES_MAX];
	unsigned n = node_names(c, names);

	for (unsigned i = 0; i < g->n_nodes; i++) {
		const char *name = g->node_name[i];
		int index = config_node_find(c, name);
		char remedy[96] = "name a node of the list 'nodes'";
		const char *nearest = index < 0 ? config_nearest(name, names, n) : NULL;

		if (nearest)
			snprintf(remedy, sizeof(remedy), "did you mean '%s'?", nearest);
		if (index < 0)
			config_note(c, false, g->node_mark[i], remedy,
				    "group '%s': there is no node '%s'", g->name, name);
		else if (c->node[index].witness)
			config_note(c, false, g->node_mark[i],
				    "remove it here, or 'witness: true' there",
				    "group '%s': node '%s' is a witness and hosts no components",
				    g->name, name);
		for (unsigned k = 0; k < i; k++) {
			if (strcmp(g->node_name[k], name) == 0)
				config_note(c, false, g->node_mark[i], "name it once",
					    "group '%s' names node '%s' twice", g->name, name);
		}
		g->node[i] = index < 0 ? HAVEN_NODE_NONE : (uint8_t)index;
		if (g->prefer_name[0] && strcmp(g->prefer_name, name) == 0)
			g->prefer = g->node[i];
	}
	if (g->prefer_name[0] && g->prefer == HAVEN_NODE_NONE)
		config_note(c, false, g->prefer_mark, "prefer one of its nodes",
			    "group '%s' prefers '%s', which is not one of its nodes", g->name,
			    g->prefer_name);
}

static void check_groups(struct config *c)
{
	for (unsigned i = 0; i < c->n_groups; i++) {
		struct config_group *g = &c->group[i];

		for (unsigned k = 0; k < i; k++) {
			if (g->name[0] && strcmp(g->name, c->group[k].name) == 0)
				config_note(c, false, g->mark, "give each group its own name",
					    "group '%s' is given twice, first in line %u", g->name,
					    c->group[k].mark.line);
		}
		check_group_nodes(c, g);
		if (g->n_nodes == 1 && c->n_nodes > 1)
			config_note(c, true, g->nodes_mark, "name a second node",
				    "group '%s' has a single node, so nobody takes over", g->name);
	}
	for (unsigned i = 0; i < c->n_instances; i++) {
		for (unsigned k = 0; k < i; k++) {
			if (strcmp(c->instance[i], c->instance[k]) == 0)
				config_note(c, false, c->instance_mark[i],
					    "names of instances are unique in the cluster",
					    "instance '%s' is given twice, first in line %u",
					    c->instance[i], c->instance_mark[k].line);
		}
	}
	if (c->n_groups == 0)
		config_note(c, true, (struct config_mark){0}, "add 'groups'",
			    "no group, so nothing can be served");
}

void config_check(struct config *c)
{
	check_ids(c);
	check_nodes(c);
	config_check_ports(c);
	check_voters(c);
	check_timers(c);
	check_groups(c);
}

void config_check_key(struct config *c)
{
	struct error_text error = {""};
	struct auth_keys keys;
	char *remedy;

	if (!c->key_file[0])
		return;
	if (auth_keys_load(c->key_file, &keys, &error) != 0) {
		remedy = strstr(error.text, "; remedy: ");
		if (remedy) {
			*remedy = '\0';
			remedy += strlen("; remedy: ");
		}
		config_note(c, false, c->key_mark, remedy, "%s", error.text);
	}
	auth_keys_wipe(&keys);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void config_host_measure(struct config_host *h, unsigned windows, uint64_t window_ns, bool polite)
{
	uint64_t largest[16] = {0};

	HAVEN_ASSERT(windows >= 1 && windows <= HAVEN_ARRAY_LEN(largest));
	for (unsigned w = 0; w < windows; w++) {
		uint64_t start = clock_now_ns(), last = start, now;

		do {
			now = clock_now_ns();
			if (now - last > largest[w])
				largest[w] = now - last;
			last = now;
			if (polite)
				sched_yield();
		} while (now - start < window_ns);
	}
	qsort(largest, windows, sizeof(largest[0]), compare_u64);
	h->largest_ns = largest[windows - 1];
	h->usual_ns = largest[windows / 2];
}

void config_check_host(struct config *c, const struct config_host *h)
{
	const struct config_timers *t = &c->timers;
	bool error = 4 * h->usual_ns > t->lease_ns;
	uint64_t stall = error ? h->usual_ns : h->largest_ns;
	char remedy[160];

	if (4 * stall <= t->lease_ns)
		return;
	snprintf(remedy, sizeof(remedy), "lease: %.4gms or more, or give the node a quieter CPU%s",
		 (double)(4 * stall) / 1e6, error ? "; --force starts all the same" : "");
	config_note(c, !error, t->lease_mark, remedy,
		    "this host stops a poll loop for up to %.0fus%s, and lease %.6gus is less than "
		    "four times that",
		    US(stall), error ? " again and again" : "", US(t->lease_ns));
}
