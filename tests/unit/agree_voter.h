/* SPDX-License-Identifier: BSD-3-Clause */
/** The voter of the agreement tests and the world around it. */
#ifndef AGREE_VOTER_H
#define AGREE_VOTER_H

#include <criterion/criterion.h>
#include <string.h>

#include "agree.h"

#define LIFE(n) (100u + (n))
#define NOW 1000000u

/*
 * The voter under test is node 2 of three. In view 7 node 0 holds instance 0 with node 1 in sync;
 * nobody has ever held instance 1. Everybody lives and hears everybody.
 */
struct voter {
	struct agree_config config;
	struct agree agree;
	struct peer peers[HAVEN_NODES_MAX];
	struct lease lease;
	struct agree_facts facts;
};

static inline struct voter *voter_start(uint8_t self)
{
	static struct voter v;
	struct view view;

	memset(&v, 0, sizeof(v));
	memset(&view, 0, sizeof(view));
	v.config = (struct agree_config){
		.self = self,
		.n_nodes = 3,
		.n_instances = 2,
		.voters = 7,
		.terms = {.lease_ns = 10000, .guard_ns = 500, .rate_ppm = 1000}};
	view.epoch = 7;
	view.n_nodes = 3;
	view.n_instances = 2;
	view.members = 7;
	for (unsigned n = 0; n < 3; n++) {
		view.incarnation[n] = LIFE(n);
		v.peers[n].incarnation = n == self ? 0 : LIFE(n);
		v.peers[n].alive = n != self;
		v.peers[n].last.epoch = 7;
	}
	view.instance[0] =
		(struct view_instance){.holder = 0, .assigned = 2, .in_sync = 3, .lineage = 4};
	view.instance[1] = (struct view_instance){.holder = HAVEN_NODE_NONE};
	agree_init(&v.agree);
	agree_commit(&v.agree, &view, 0);
	v.facts = (struct agree_facts){
		.peers = v.peers, .lease = &v.lease, .own_incarnation = LIFE(self)};
	return &v;
}

/* The next view, so far without a change. */
static inline struct view next_view(const struct voter *v, uint8_t author)
{
	struct view next = v->agree.view;

	next.epoch++;
	next.author = author;
	return next;
}

static inline void give_to(struct view *v, unsigned instance, uint8_t holder)
{
	v->instance[instance].holder = holder;
	v->instance[instance].assigned = 0;
	v->instance[instance].in_sync = node_bit(holder);
}

static inline bool accepts(const struct voter *v, const struct view *next, bool forced)
{
	return agree_acceptable(&v->agree, &v->config, &v->facts, next, forced);
}

static inline bool proposes(struct voter *v, ballot_t ballot, const struct view *next)
{
	return agree_on_proposal(&v->agree, &v->config, &v->facts, ballot, next, false, NOW);
}

static inline bool prepares(struct voter *v, ballot_t ballot)
{
	return agree_on_prepare(&v->agree, &v->config, &v->facts, ballot);
}

#endif
