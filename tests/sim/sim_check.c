/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "haven_assert.h"
#include "sim_world.h"

static const char *const invariant_names[] = {"C1", "C2", "C3",  "C4",  "C5",  "C6",  "C7",
					      "C8", "C9", "C10", "C11", "C12", "C13", "BOUNDS"};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(invariant_names) == SIM_CHECK_COUNT, "every one has a name");

const char *sim_invariant_name(unsigned invariant)
{
	return invariant < SIM_CHECK_COUNT ? invariant_names[invariant] : "?";
}

void sim_check_reset(struct sim_world *w)
{
	memset(&w->check, 0, sizeof(w->check));
	memset(w->check.owner, HAVEN_NODE_NONE, sizeof(w->check.owner));
	memset(w->check.cut, 0xff, sizeof(w->check.cut));
}

void sim_fail(struct sim_world *w, enum sim_invariant invariant, unsigned node, unsigned instance,
	      const char *text, uint64_t a, uint64_t b, uint64_t c)
{
	char where[48] = "";
	size_t used = 0;

	if (w->failed)
		return;
	w->failed = true;
	w->check.invariant = invariant;
	if (node != SIM_NONE)
		used = (size_t)snprintf(where, sizeof(where), " node %u", node);
	if (instance != SIM_NONE)
		snprintf(where + used, sizeof(where) - used, " instance %u", instance);
	snprintf(w->check.text, sizeof(w->check.text),
		 "%s broken at %.6f ms%s: %s: %" PRIu64 " %" PRIu64 " %" PRIu64,
		 invariant_names[invariant], (double)w->now / 1e6, where, text, a, b, c);
}

/* ---- C1, C2, C10: who may act ------------------------------------------------------------------
 */

void sim_check_role(struct sim_world *w, struct sim_node *n, unsigned instance, unsigned role,
		    uint64_t epoch, uint64_t valid_until_ns)
{
	unsigned node = sim_node_index(w, n), place = epoch % SIM_EPOCHS;
	struct sim_check *c = &w->check;

	w->stats.checks[SIM_C10]++;
	if (epoch < n->gate[instance].epoch)
		sim_fail(w, SIM_C3, node, instance, "a role's epoch goes back (from, to)",
			 n->gate[instance].epoch, epoch, 0);
	if (role != HAVEN_PRIMARY && valid_until_ns != 0)
		sim_fail(w, SIM_C10, node, instance, "an open gate without primary role (role)",
			 role, 0, 0);
	if (role != HAVEN_PRIMARY)
		return;
	if (!n->app[instance].known_life || !n->app[instance].known_ready)
		sim_fail(w, SIM_C10, node, instance, "primary without a healthy component (epoch)",
			 epoch, 0, 0);
	w->stats.checks[SIM_C2]++;
	if (c->primary_of[instance][place].epoch == epoch &&
	    (c->primary_of[instance][place].node != node ||
	     c->primary_of[instance][place].incarnation != n->incarnation) &&
	    (c->view_of[place].epoch != epoch || sim_check_stands(w, c->view_of[place].life)))
		sim_fail(w, SIM_C2, node, instance,
			 "two primaries of one epoch (epoch, other node, its incarnation)", epoch,
			 c->primary_of[instance][place].node,
			 c->primary_of[instance][place].incarnation);
	if (c->primary_of[instance][place].epoch < epoch) {
		c->primary_of[instance][place].epoch = epoch;
		c->primary_of[instance][place].node = (uint8_t)node;
		c->primary_of[instance][place].incarnation = n->incarnation;
	}
}

void sim_check_acting(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	unsigned node = sim_node_index(w, n);
	struct sim_window *mine = &w->check.window[node][instance];
	uint64_t until;

	if (!sim_app_may_act(w, n, instance))
		return;
	/* A role may be confirmed after its lease has ended: promoted is who starts to act. */
	if (n->app[instance].promoted) {
		n->app[instance].promoted = false;
		sim_check_promoted(w, n, instance);
	}
	/* What passed the gate at its last instant is on the wire within the guard. */
	until = sim_clock_global(&n->clock, n->gate[instance].valid_until_ns + w->options.guard_ns);
	if (mine->until <= w->now) {
		mine->from = w->now;
		w->stats.acting++;
		sim_trace_add(&w->trace, w->now, SIM_TR_ACTING, node, instance, until,
			      n->gate[instance].epoch, 0);
	}
	if (mine->until < until)
		mine->until = until;
	w->stats.checks[SIM_C1]++;
	for (unsigned k = 0; k < w->options.nodes; k++)
		if (k != node && w->check.window[k][instance].until > w->now)
			sim_fail(w, SIM_C1, node, instance,
				 "may emit while another node still may (node, from ns, until ns)",
				 k, w->check.window[k][instance].from,
				 w->check.window[k][instance].until);
}

void sim_check_clock(struct sim_world *w, struct sim_node *n)
{
	for (unsigned i = 0; i < w->options.instances; i++) {
		struct sim_window *mine = &w->check.window[sim_node_index(w, n)][i];

		if (mine->until > w->now)
			mine->until = sim_clock_global(&n->clock,
						       n->gate[i].term_ns + w->options.guard_ns);
	}
}

void sim_check_ended(struct sim_world *w, struct sim_node *n, unsigned instance)
{
	struct sim_window *mine = &w->check.window[sim_node_index(w, n)][instance];

	if (mine->until > w->now)
		mine->until = w->now;
}

void sim_check_brains(struct sim_world *w, struct sim_node *n)
{
	unsigned node = sim_node_index(w, n);

	for (unsigned i = 0; i < w->options.instances; i++) {
		if (!brain_may_act(n->brain, i, sim_node_now(w, n)))
			continue;
		w->stats.checks[SIM_C1]++;
		for (unsigned k = 0; k < w->options.nodes; k++) {
			const struct sim_node *o = &w->node[k];

			if (k != node && o->up && brain_may_act(o->brain, i, sim_node_now(w, o)))
				sim_fail(w, SIM_C1, node, i,
					 "two brains say that they may act (other, epoch, other's)",
					 k, n->epoch, o->epoch);
		}
	}
}

/* ---- C3, C4: stores ----------------------------------------------------------------------------
 */

void sim_check_store(struct sim_world *w, struct sim_node *n, unsigned instance,
		     const struct frame *f)
{
	unsigned node = sim_node_index(w, n);
	struct sim_store *store = &w->check.store[node][instance];
	uint64_t epoch = f->u.mirror.epoch;
	uint64_t *lane = &store->lane_epoch[f->u.mirror.stream.lane % SIM_LANES];

	w->stats.checks[SIM_C4]++;
	if (f->u.mirror.kind == MIRROR_START && n->epoch == w->check.view.epoch &&
	    (w->check.view.instance[instance].in_sync & node_bit(node)))
		sim_fail(w, SIM_C5, node, instance, "empties a copy that is in sync (epoch, from)",
			 epoch, f->src, 0);
	if (epoch < *lane || (epoch < store->epoch && f->src != store->src))
		sim_fail(w, SIM_C4, node, instance,
			 "applies a frame of an old epoch (its, highest applied, from)", epoch,
			 store->epoch, f->src);
	*lane = epoch;
	if (epoch >= store->epoch) {
		store->epoch = epoch;
		store->src = f->src;
	}
}

/* ---- C11 ---------------------------------------------------------------------------------------
 */

static unsigned check_acting_node(const struct sim_world *w, unsigned i, unsigned *count)
{
	unsigned found = SIM_NONE;

	*count = 0;
	for (unsigned k = 0; k < w->options.nodes; k++) {
		const struct sim_node *n = &w->node[k];

		if (!n->up || !sim_app_may_act(w, n, i) ||
		    !brain_may_act(n->brain, i, sim_node_now(w, n)))
			continue;
		found = k;
		++*count;
	}
	return found;
}

bool sim_check_whole(const struct sim_world *w)
{
	unsigned eligible = w->options.nodes - sim_bits(w->options.witnesses);
	unsigned wanted = w->options.secondaries + 1u;
	unsigned count, node;

	if (wanted > eligible)
		wanted = eligible;
	for (unsigned i = 0; i < w->options.instances; i++) {
		node = check_acting_node(w, i, &count);
		if (count != 1)
			return false;
		if (sim_bits(brain_view(w->node[node].brain)->instance[i].in_sync) < wanted)
			return false;
	}
	return true;
}

static bool check_equal(const struct sim_world *w, unsigned i)
{
	unsigned count, node = check_acting_node(w, i, &count);
	uint32_t in_sync;

	if (count != 1)
		return false;
	in_sync = brain_view(w->node[node].brain)->instance[i].in_sync;
	for (unsigned l = 0; l < w->options.lanes; l++) {
		const struct table *t = &w->node[node].app[i].table;
		const struct sim_lineage *line = &w->check.lineage[i][l];

		if (w->node[node].app[i].staged || line->base_seq != line->last_seq ||
		    table_committed(t, l) != line->last_seq)
			return false;
		for (unsigned k = 0; k < w->options.nodes; k++) {
			const struct sim_app *app = &w->node[k].app[i];
			struct table copy;

			if (!(in_sync & node_bit(k)))
				continue;
			if (!app->alive)
				return false;
			sim_look(w, app, l, &copy);
			if (table_committed(&copy, l) != line->last_seq ||
			    table_digest(&copy, l) != table_digest(t, l))
				return false;
		}
	}
	return true;
}

bool sim_check_settled(const struct sim_world *w)
{
	if (!sim_check_whole(w))
		return false;
	if (w->check.view.members != sim_all_nodes(&w->options))
		return false;
	for (unsigned k = 0; k < w->options.nodes; k++)
		if (w->node[k].epoch != w->check.view.epoch || w->node[k].in_turn)
			return false;
	for (unsigned i = 0; i < w->options.instances; i++)
		if (!check_equal(w, i))
			return false;
	return true;
}
