/* SPDX-License-Identifier: BSD-3-Clause */
/** A node as far as agreement goes; used by the explorations. */
#ifndef AGREE_NODE_H
#define AGREE_NODE_H

#include <criterion/criterion.h>
#include <string.h>

#include "agree.h"

#define NOW 1000u

/** Nobody here ever promised a lease: votes wait for nothing. */
static const struct lease no_lease;

struct node {
	struct agree_config config;
	struct agree agree;
	uint64_t life;
	struct agree_facts facts;
};

static inline void node_start(struct node *n, unsigned self, unsigned nodes, uint64_t life,
			      const struct peer *peers)
{
	memset(n, 0, sizeof(*n));
	n->config = (struct agree_config){.self = (uint8_t)self,
					  .n_nodes = (uint8_t)nodes,
					  .n_instances = 2,
					  .voters = node_bit(nodes) - 1,
					  .terms = {.lease_ns = 1000, .guard_ns = 10}};
	n->life = life;
	n->facts =
		(struct agree_facts){.peers = peers, .lease = &no_lease, .own_incarnation = life};
	agree_init(&n->agree);
}

static inline struct view first_view(unsigned nodes)
{
	struct view v;

	memset(&v, 0, sizeof(v));
	v.epoch = 1;
	v.n_nodes = (uint8_t)nodes;
	v.n_instances = 2;
	v.members = node_bit(nodes) - 1;
	for (unsigned n = 0; n < nodes; n++)
		v.incarnation[n] = n + 1;
	v.instance[0].holder = v.instance[1].holder = HAVEN_NODE_NONE;
	return v;
}

static inline struct frame_beat node_beat(const struct node *n)
{
	const struct agree *a = &n->agree;

	return (struct frame_beat){
		.epoch = a->view.epoch,
		.prepare = a->phase == AGREE_PREPARE ? a->ballot : 0,
		.promised = a->promised,
		.accepted = a->accepted,
		.accepted_digest = a->accepted_digest,
		.flags = n->facts.amnesic_ready ? BEAT_AMNESIC : 0,
	};
}

static inline void node_hear_beat(struct node *n, unsigned from, const struct frame_beat *b)
{
	if (b->epoch != n->agree.view.epoch)
		return;
	agree_on_vote(&n->agree, &n->config, from, b, NOW);
	if (b->prepare)
		agree_on_prepare(&n->agree, &n->config, &n->facts, b->prepare);
}

static inline void node_propose(struct node *n)
{
	bool first = agree_coordinator(&n->agree, &n->config, &n->facts) == n->config.self;

	agree_propose(&n->agree, &n->config, &n->facts, first && n->agree.round_seen == 0, NOW);
}

#endif
