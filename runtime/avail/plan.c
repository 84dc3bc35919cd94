/* SPDX-License-Identifier: BSD-3-Clause */
#include "plan.h"

#include <string.h>

#include "haven_assert.h"

static uint32_t plan_bit(unsigned node)
{
	return (uint32_t)1 << node;
}

static bool plan_flag(uint64_t mask, unsigned instance)
{
	return (mask >> instance & 1) != 0;
}

static void plan_because(struct plan_output *out, enum plan_reason reason, unsigned instance)
{
	if (out->reason != PLAN_NONE)
		return;
	out->reason = reason;
	out->about_instance = (uint8_t)instance;
}

static bool plan_holder_stays(const struct plan_input *in, unsigned i)
{
	uint8_t h = in->instance[i].holder;

	return h != HAVEN_NODE_NONE && in->node[h].alive && in->node[h].intact &&
	       !plan_flag(in->node[h].released, i);
}

static bool plan_copy_gone(const struct plan_input *in, unsigned n, unsigned i)
{
	return (in->node[n].alive && !in->node[n].intact) || plan_flag(in->node[n].lost, i);
}

/* No complete copy can come back: each holder of one has said so or was born again. */
static bool plan_all_lost(const struct plan_input *in, unsigned i)
{
	for (unsigned n = 0; n < in->n_nodes; n++)
		if ((in->instance[i].in_sync & plan_bit(n)) && !plan_copy_gone(in, n, i))
			return false;
	return true;
}

static bool plan_can_serve(const struct plan_input *in, unsigned n, unsigned i)
{
	return (in->instance[i].eligible & plan_bit(n)) && in->node[n].alive &&
	       in->node[n].majority && plan_flag(in->node[n].ready, i) &&
	       !plan_flag(in->node[n].yielded, i);
}

static uint8_t plan_choose(const struct plan_input *in, unsigned i, uint32_t among)
{
	const struct plan_instance *p = &in->instance[i];
	const uint8_t wish[] = {p->target, p->holder, p->preferred};

	for (unsigned k = 0; k < HAVEN_ARRAY_LEN(wish); k++)
		if (wish[k] < in->n_nodes && (among & plan_bit(wish[k])) &&
		    plan_can_serve(in, wish[k], i))
			return wish[k];
	for (unsigned n = 0; n < in->n_nodes; n++)
		if ((among & plan_bit(n)) && plan_can_serve(in, n, i))
			return (uint8_t)n;
	return HAVEN_NODE_NONE;
}

static enum plan_reason plan_why_moved(const struct plan_input *in, unsigned i, bool fresh)
{
	const struct plan_instance *p = &in->instance[i];

	if (p->holder == HAVEN_NODE_NONE)
		return fresh && p->in_sync ? PLAN_STATE_LOST : PLAN_ASSIGN;
	if (in->node[p->holder].leaving && in->node[p->holder].intact)
		return PLAN_LEAVING;
	if (!in->node[p->holder].alive || !in->node[p->holder].intact)
		return PLAN_NODE_DEAD;
	if (p->target != HAVEN_NODE_NONE)
		return PLAN_SWITCHOVER;
	return plan_flag(in->node[p->holder].yielded, i) ? PLAN_COMPONENT_DEAD : PLAN_LEASE_LOST;
}

/* Copies to go on from: those in sync; when they are gone, whole ones of secondaries that were not
 * in sync yet, or not as far as anybody remembers; when there are none, nothing. */
static uint32_t plan_candidates(const struct plan_input *in, unsigned i, bool fresh)
{
	const struct plan_instance *p = &in->instance[i];
	uint32_t whole = 0, served = 0, sought = fresh ? p->assigned : p->in_sync;

	for (unsigned n = 0; n < in->n_nodes; n++) {
		if (!(sought & plan_bit(n)) || !in->node[n].intact ||
		    plan_flag(in->node[n].lost, i))
			continue;
		whole |= plan_bit(n);
		if (plan_can_serve(in, n, i))
			served |= plan_bit(n);
	}
	return fresh && !served ? UINT32_MAX : whole;
}

static void plan_successor(const struct plan_input *in, unsigned i, struct plan_output *out)
{
	const struct plan_instance *p = &in->instance[i];
	bool fresh = p->in_sync == 0 || plan_all_lost(in, i);
	uint32_t gone = 0;
	uint8_t to;

	for (unsigned n = 0; n < in->n_nodes; n++)
		if (plan_copy_gone(in, n, i))
			gone |= plan_bit(n);
	to = plan_choose(in, i, plan_candidates(in, i, fresh));
	out->instance[i].holder = to;
	out->instance[i].assigned = 0;
	if (to != HAVEN_NODE_NONE)
		out->instance[i].in_sync = plan_bit(to);
	else
		out->instance[i].in_sync = fresh ? 0 : p->in_sync & ~gone;
	if (to == HAVEN_NODE_NONE && p->holder != HAVEN_NODE_NONE)
		out->no_successor |= (uint64_t)1 << i;
	/* A formation that goes on from a view cannot know what came after it: even where that view
	 * says that there is nothing, others may have begun. */
	if ((fresh && p->in_sync) || (in->formation && in->members))
		out->state_lost |= (uint64_t)1 << i;
	if (to != p->holder || out->instance[i].in_sync != p->in_sync ||
	    p->holder != HAVEN_NODE_NONE) {
		if (to != HAVEN_NODE_NONE || p->holder != HAVEN_NODE_NONE) {
			out->moved |= (uint64_t)1 << i;
			plan_because(out, plan_why_moved(in, i, fresh), i);
		} else {
			plan_because(out, fresh ? PLAN_STATE_LOST : PLAN_OUT_OF_SYNC, i);
		}
	}
}

static bool plan_can_assist(const struct plan_input *in, unsigned n, unsigned i, uint8_t holder)
{
	return n != holder && (in->instance[i].eligible & plan_bit(n)) && in->node[n].alive &&
	       plan_flag(in->node[n].ready, i) && (in->node[holder].hears & plan_bit(n));
}

static void plan_secondaries(const struct plan_input *in, unsigned i, bool stays,
			     struct plan_output *out)
{
	const struct plan_instance *p = &in->instance[i];
	uint8_t holder = out->instance[i].holder;
	uint32_t assigned = 0, in_sync = plan_bit(holder), lost = 0;
	unsigned count = 0;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned n = 0; n < in->n_nodes && count < p->secondaries; n++) {
			bool was = (p->assigned & plan_bit(n)) != 0;

			if (was != (pass == 0) || !plan_can_assist(in, n, i, holder) ||
			    (!was && in->node[n].held))
				continue;
			assigned |= plan_bit(n);
			count++;
		}
	}
	for (unsigned n = 0; stays && n < in->n_nodes; n++) {
		uint32_t bit = plan_bit(n) & assigned;

		if (!bit || !in->node[n].intact || plan_flag(in->node[n].lost, i))
			continue;
		if ((p->in_sync & bit) && !(in->self == holder && (p->stuck & bit)))
			in_sync |= bit;
		else if (!(p->in_sync & bit) && in->self == holder && (p->caught_up & bit))
			in_sync |= bit;
	}
	if (stays)
		lost = p->in_sync & ~in_sync;
	if (lost)
		plan_because(out, PLAN_OUT_OF_SYNC, i);
	if (stays && (in_sync & ~p->in_sync))
		plan_because(out, PLAN_IN_SYNC, i);
	if (assigned != p->assigned)
		plan_because(out, PLAN_ASSIGN, i);
	out->instance[i].assigned = assigned;
	out->instance[i].in_sync = in_sync;
}

/* In order only if every one of them is. */
static enum plan_reason plan_why_gone(const struct plan_input *in, uint32_t gone)
{
	for (unsigned n = 0; n < in->n_nodes; n++)
		if ((gone & plan_bit(n)) && !(in->node[n].leaving && in->node[n].intact))
			return PLAN_NODE_DEAD;
	return PLAN_LEAVING;
}

void plan_make(const struct plan_input *in, struct plan_output *out)
{
	bool stays;
	uint32_t born = 0;

	HAVEN_ASSERT(in->n_nodes <= HAVEN_NODES_MAX && in->n_instances <= HAVEN_INSTANCES_MAX);
	memset(out, 0, sizeof(*out));
	out->about_instance = 0xff;
	for (unsigned n = 0; n < in->n_nodes; n++) {
		if (in->node[n].alive)
			out->members |= plan_bit(n);
		if (in->node[n].alive && !in->node[n].intact)
			born |= plan_bit(n);
	}
	for (unsigned i = 0; i < in->n_instances; i++) {
		out->instance[i].holder = in->instance[i].holder;
		if (!plan_holder_stays(in, i))
			plan_successor(in, i, out);
		else if (in->formation)
			out->state_lost |= (uint64_t)1 << i;
	}
	if (in->members & ~out->members)
		plan_because(out, plan_why_gone(in, in->members & ~out->members), 0xff);
	if ((out->members & ~in->members) || born)
		plan_because(out, PLAN_ADMIT, 0xff);
	for (unsigned i = 0; i < in->n_instances; i++) {
		stays = plan_holder_stays(in, i) && !in->formation;
		if (out->instance[i].holder != HAVEN_NODE_NONE)
			plan_secondaries(in, i, stays, out);
	}
}
