/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim_carry.h"

#include "mirror_digest.h"
#include "sim_world.h"

static void gate_set(struct sim_world *w, struct sim_node *n, unsigned i, enum haven_role role,
		     uint64_t epoch, uint64_t valid_until_ns)
{
	struct sim_gate *g = &n->gate[i];

	if (role != g->role || epoch != g->epoch)
		g->generation++;
	g->role = role;
	g->epoch = epoch;
	g->valid_until_ns = valid_until_ns;
	if (role == HAVEN_PRIMARY)
		sim_check_lease(w, n, valid_until_ns);
	if (g->term_ns < valid_until_ns)
		g->term_ns = valid_until_ns;
	sim_check_acting(w, n, i);
	if (n->app[i].confirmed != g->generation)
		sim_app_nudge(w, n, i);
}

/* The node may write a table only while the worker knows that it may not. */
static bool node_has_baton(const struct sim_node *n, unsigned i)
{
	const struct sim_app *app = &n->app[i];

	return app->known_life && app->role != HAVEN_PRIMARY && n->gate[i].role != HAVEN_PRIMARY &&
	       app->confirmed == n->gate[i].generation;
}

static void node_role(struct sim_world *w, struct sim_node *n, const struct brain_output *o)
{
	struct sim_app *app = &n->app[o->instance];

	sim_trace_add(&w->trace, w->now, SIM_TR_ROLE, sim_node_index(w, n), o->instance, o->role,
		      o->epoch, o->valid_until_ns);
	sim_check_role(w, n, o->instance, o->role, o->epoch, o->valid_until_ns);
	if (o->role == HAVEN_PRIMARY && n->gate[o->instance].role != HAVEN_PRIMARY) {
		sim_flip_role(app);
		for (unsigned l = 0; l < w->options.lanes; l++) {
			app->told[l] = false;
			app->acked[l] = app->consumed[l] = 0;
		}
	}
	/* As havend does: the gate stays shut until what a warm standby keeps is applied. */
	app->draining = o->role == HAVEN_PRIMARY && sim_warm_waits(w, app);
	if (app->draining)
		gate_set(w, n, o->instance, HAVEN_SECONDARY, o->epoch, 0);
	else
		gate_set(w, n, o->instance, o->role, o->epoch, o->valid_until_ns);
}

bool sim_warm_waits(const struct sim_world *w, const struct sim_app *app)
{
	for (unsigned l = 0; l < w->options.lanes; l++)
		if (mirror_stage_waiting(&app->stage[l]))
			return true;
	return false;
}

void sim_warm_drain(struct sim_world *w, struct sim_node *n, unsigned i)
{
	struct sim_app *app = &n->app[i];

	if (!app->draining)
		return;
	if (brain_role(n->brain, i) != HAVEN_PRIMARY || n->gate[i].closing || !app->known_life) {
		app->draining = false;
		return;
	}
	if (!node_has_baton(n, i))
		return;
	for (unsigned l = 0; l < w->options.lanes; l++) {
		w->stats.drained += mirror_stage_waiting(&app->stage[l]);
		if (mirror_io_drain(&app->table, l, &app->stage[l], SIM_DRAIN_RECORDS))
			sim_fail(w, SIM_C5, sim_node_index(w, n), i,
				 "what was kept cannot be applied (lane)", l, 0, 0);
		w->stats.drained -= mirror_stage_waiting(&app->stage[l]);
	}
	if (sim_warm_waits(w, app))
		return;
	app->draining = false;
	gate_set(w, n, i, HAVEN_PRIMARY, brain_view(n->brain)->epoch, brain_lease_until(n->brain));
}

static void node_lease(struct sim_world *w, struct sim_node *n, uint64_t until)
{
	sim_trace_add(&w->trace, w->now, SIM_TR_LEASE, sim_node_index(w, n), SIM_NONE, until,
		      sim_node_now(w, n), 0);
	for (unsigned i = 0; i < w->options.instances; i++)
		if (n->gate[i].role == HAVEN_PRIMARY && !n->gate[i].closing)
			gate_set(w, n, i, HAVEN_PRIMARY, n->gate[i].epoch, until);
}

static void node_store(struct sim_world *w, struct sim_node *n, const struct brain_output *o,
		       const struct frame *f, struct sim_answers *answers)
{
	unsigned i = o->slot / SIM_LANES, lane = o->slot % SIM_LANES;
	struct sim_app *app = &n->app[i];
	struct brain_event *a = &answers->event[answers->n++];
	bool baton = node_has_baton(n, i);
	uint64_t applied = 0;
	int error = baton ? 0 : -HAVEN_EAGAIN;

	if (f && f->type != FRAME_MIRROR)
		f = NULL; /* a reset for a fresh start follows from a view, not from a stream */
	if (baton && f)
		sim_check_store(w, n, i, f);
	if (baton && o->kind == OUT_RESET) {
		mirror_io_reset(&app->table, lane, &app->stage[lane], o->seq);
		sim_flip_gone(app, lane);
		applied = o->seq;
		/* What it acknowledged as a holder was of the content that is gone: when it says
		 * the same number again, that is a new statement. */
		app->acked[lane] = 0;
		w->stats.resets++;
	} else if (baton && f) {
		error = mirror_io_apply(&app->table, lane, &app->stage[lane], f->u.mirror.kind,
					f->u.mirror.payload, f->u.mirror.payload_bytes, &applied);
		w->stats.applies++;
	}
	if (!f && o->kind == OUT_APPLY)
		sim_fail(w, SIM_C4, sim_node_index(w, n), i, "applies without a mirror frame", 0, 0,
			 0);
	if (!baton)
		w->stats.refused_applies++;
	sim_trace_add(&w->trace, w->now, o->kind == OUT_RESET ? SIM_TR_RESET : SIM_TR_APPLY,
		      sim_node_index(w, n), i, lane, applied,
		      o->kind == OUT_RESET ? (uint64_t)baton : (uint64_t)-error);
	*a = (struct brain_event){.kind = BRAIN_APPLIED,
				  .instance = (uint8_t)i,
				  .slot = o->slot,
				  .seq = applied,
				  .up = error == 0};
}

static void node_compare(struct sim_world *w, struct sim_node *n, const struct brain_output *o,
			 const struct frame *f, struct sim_answers *answers)
{
	unsigned i = o->slot / SIM_LANES, lane = o->slot % SIM_LANES;
	const struct sim_app *app = &n->app[i];
	struct mirror_verdict v;

	if (!f || f->type != FRAME_DIGEST) {
		sim_fail(w, SIM_BOUNDS, sim_node_index(w, n), i, "compares without digests", 0, 0,
			 0);
		return;
	}
	if (!node_has_baton(n, i) || app->stage[lane].applied != o->seq ||
	    !mirror_stage_comparable(&app->stage[lane]))
		return;
	if (mirror_digest_compare(&app->table, lane, app->stage[lane].in_table, &f->u.digest, &v))
		sim_fail(w, SIM_BOUNDS, sim_node_index(w, n), i, "malformed digests", 0, 0, 0);
	sim_trace_add(&w->trace, w->now, SIM_TR_COMPARE, sim_node_index(w, n), i, lane, o->seq,
		      v.wrong);
	sim_flip_compared(w, n, i, lane, v.wrong);
	answers->event[answers->n++] = (struct brain_event){
		.kind = BRAIN_COMPARED, .slot = o->slot, .seq = v.seq, .count = v.wrong};
}

void sim_carry_out(struct sim_world *w, struct sim_node *n, struct brain_output *o,
		   const struct frame *f, struct sim_answers *answers, uint64_t held_ns)
{
	unsigned self = sim_node_index(w, n);

	sim_hash(w, (uint64_t)o->kind << 8 | o->instance, o->epoch ^ o->seq ^ o->valid_until_ns);
	switch (o->kind) {
	case OUT_FRAME:
		if (o->frame.type == FRAME_BEAT)
			sim_check_beat(w, n, &o->frame);
		sim_net_send(w, self, o, held_ns);
		break;
	case OUT_ROLE:
		node_role(w, n, o);
		break;
	case OUT_LEASE:
		node_lease(w, n, o->valid_until_ns);
		break;
	case OUT_ACKED:
		sim_trace_add(&w->trace, w->now, SIM_TR_ACKED, self, o->slot / SIM_LANES,
			      o->slot % SIM_LANES, o->seq, o->consumed);
		n->app[o->slot / SIM_LANES].consumed[o->slot % SIM_LANES] = o->consumed;
		sim_check_acked(w, n, o->slot / SIM_LANES, o->slot % SIM_LANES, o->seq);
		break;
	case OUT_RESET:
	case OUT_APPLY:
		node_store(w, n, o, f, answers);
		break;
	case OUT_COMPARE:
		node_compare(w, n, o, f, answers);
		break;
	case OUT_CLOSE_GATE:
		sim_trace_add(&w->trace, w->now, SIM_TR_CLOSE_GATE, self, o->instance,
			      n->gate[o->instance].generation, n->gate[o->instance].term_ns, 0);
		gate_set(w, n, o->instance, HAVEN_SECONDARY, n->gate[o->instance].epoch, 0);
		n->gate[o->instance].closed_generation = n->gate[o->instance].generation;
		n->gate[o->instance].closing_number = o->seq;
		n->gate[o->instance].closing = true;
		break;
	case OUT_EVENT:
		sim_trace_add(&w->trace, w->now, SIM_TR_NOTE, self, o->instance,
			      o->note | (uint64_t)o->node << 8, o->epoch, o->a);
		if (o->note == NOTE_STATE_LOST)
			sim_check_lost_note(w, o->instance);
		if (o->note == NOTE_ROLE_RELEASED)
			sim_check_released(w, n, o->instance, o->epoch, o->a);
		if (o->note == NOTE_PEER_SUSPECT)
			sim_check_suspected(w, n, o->node);
		if (o->note == NOTE_LEFT && o->node != self)
			sim_check_gone(w, n, o->node, o->a);
		break;
	case OUT_COMMAND_DONE:
		sim_trace_add(&w->trace, w->now, SIM_TR_COMMAND, self, o->instance,
			      (uint64_t)-o->code, 0, 0);
		w->stats.switchovers += o->code == 0;
		break;
	}
}
