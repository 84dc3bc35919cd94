/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Roles of the local components: derived from the view, the lease, the component's health and what
 * was given up, and moved only along the table of avail/states.c.
 *
 * Giving a role up ("release") is irrevocable within an epoch. It happens in four ways:
 *   - the lease ended a guard ago: the gate shut itself, and what had passed it is on the wire;
 *   - the component died or was declared unfit: its gate is shut, and when the caller is certain
 *     that it can emit nothing (BRAIN_GATE_CLOSED) the role is released;
 *   - the own clock cannot be trusted: the same, whatever the lease says;
 *   - switchover: as before, and what it had committed is acknowledged by the in-sync set first.
 *     A node that ends does the same, and goes all the same when that takes too long.
 */
#include "brain_internal.h"

#include "states.h"

bool brain_holds(const struct brain *b, unsigned i)
{
	return b->agree.view.instance[i].holder == b->config.self && brain_is_admitted(b);
}

static bool brain_may_be_primary(const struct brain *b, unsigned i)
{
	uint64_t bit = instance_bit(i);

	return brain_holds(b, i) && (b->up & bit) && (b->complete & bit) && !(b->released & bit) &&
	       b->closing[i].reason == REASON_NONE && b->now >= b->agree.act_from_ns[i] &&
	       b->now < b->lease.until_ns;
}

static enum haven_role brain_role_wanted(const struct brain *b, unsigned i)
{
	if (!(b->up & instance_bit(i)))
		return HAVEN_OFFLINE;
	if (brain_may_be_primary(b, i))
		return HAVEN_PRIMARY;
	if (brain_holds(b, i))
		return HAVEN_SECONDARY;
	if ((b->agree.view.instance[i].assigned & node_bit(b->config.self)) && brain_is_admitted(b))
		return HAVEN_SECONDARY;
	return HAVEN_SPARE;
}

static void brain_release(struct brain *b, unsigned i, enum brain_reason reason, bool yield,
			  struct brain_outputs *out)
{
	b->released |= instance_bit(i);
	if (yield)
		b->yielded |= instance_bit(i);
	b->beat_now = b->plan_due = true;
	brain_note(b, out, NOTE_ROLE_RELEASED, (uint8_t)i, b->config.self, reason, 0);
}

static void brain_tell_role(struct brain *b, unsigned i, enum haven_role role,
			    struct brain_outputs *out)
{
	struct brain_output *o = brain_out(out, OUT_ROLE);

	if (!o)
		return; /* role[] is unchanged, so the next step tells it */
	HAVEN_ASSERT(role == (enum haven_role)b->role[i] ||
		     states_move_allowed((enum haven_role)b->role[i], role));
	o->instance = (uint8_t)i;
	o->role = (uint8_t)role;
	o->node = b->agree.view.instance[i].holder;
	o->epoch = b->agree.view.epoch;
	o->valid_until_ns = role == HAVEN_PRIMARY ? b->lease.until_ns : 0;
	if (role != HAVEN_PRIMARY && !brain_closing_gate(b, i))
		b->watched &= ~instance_bit(i);
	if (role == HAVEN_PRIMARY)
		b->may_emit |= instance_bit(i);
	b->role[i] = (uint8_t)role;
	b->role_epoch[i] = b->agree.view.epoch;
}

static void brain_close(struct brain *b, unsigned i, enum brain_reason reason,
			struct brain_outputs *out)
{
	struct brain_output *o;

	if (b->closing[i].reason != REASON_NONE)
		return;
	o = brain_out(out, OUT_CLOSE_GATE);
	if (!o)
		return;
	o->instance = (uint8_t)i;
	o->epoch = b->agree.view.epoch;
	o->seq = ++b->closings;
	b->closing[i] = (struct brain_closing){
		.reason = (uint8_t)reason, .number = b->closings, .since_ns = b->now};
}

static void brain_reopen(struct brain *b, unsigned i)
{
	b->closing[i].reason = REASON_NONE;
	b->target[i] = HAVEN_NODE_NONE;
}

static void brain_progress_closing(struct brain *b, unsigned i, struct brain_outputs *out)
{
	struct brain_closing *c = &b->closing[i];

	if (c->reason == REASON_NONE || (b->released & instance_bit(i)))
		return;
	if (c->reason == REASON_SWITCHOVER && c->shut && !brain_mirror_drained(b, i)) {
		/* The other side cannot take it over whole: keep serving. */
		if (b->now - c->since_ns > b->config.mirror_timeout_ns)
			brain_reopen(b, i);
		return;
	}
	if (c->reason == REASON_LEAVING && c->shut && !brain_mirror_drained(b, i) &&
	    b->now - c->since_ns <= b->config.mirror_timeout_ns)
		return;
	if (c->shut)
		brain_release(b, i, (enum brain_reason)c->reason, true, out);
}

/* The gate shuts at the lease's end, but what passed it just before is on the wire only a guard
 * later: so much later is the role released. A lease that comes back in between goes on. */
static void brain_refresh_lapse(struct brain *b, unsigned i, struct brain_outputs *out)
{
	uint64_t bit = instance_bit(i);

	if (!brain_holds(b, i) || (b->released & bit) || b->now < b->lease.until_ns) {
		b->lapsed &= ~bit;
		return;
	}
	/* A lease that ended without warning did not end for the worker: it has to confirm. */
	if (b->closing[i].reason == REASON_CLOCK)
		return;
	if (b->role[i] == HAVEN_PRIMARY)
		b->lapsed |= bit;
	if ((b->lapsed & bit) && b->now >= b->lease.until_ns + b->config.guard_ns)
		brain_release(b, i, REASON_LEASE_LOST, false, out);
}

static void brain_refresh_instance(struct brain *b, unsigned i, struct brain_outputs *out)
{
	enum haven_role want, next;

	brain_refresh_lapse(b, i, out);
	/* A component that died and came back in one epoch is up again, but its copy is gone. */
	if (brain_holds(b, i) && !(b->up & (b->complete | b->afresh) & instance_bit(i)) &&
	    !(b->released & instance_bit(i)))
		brain_close(b, i, REASON_COMPONENT_DEAD, out);
	if ((b->leaving || b->clock_bad) && brain_holds(b, i) && !(b->released & instance_bit(i)))
		brain_close(b, i, b->leaving ? REASON_LEAVING : REASON_CLOCK, out);
	brain_progress_closing(b, i, out);
	want = brain_role_wanted(b, i);
	while ((enum haven_role)b->role[i] != want) {
		if (!brain_room(out, 1))
			return;
		next = states_next((enum haven_role)b->role[i], want);
		brain_tell_role(b, i, next, out);
	}
	if (b->role_epoch[i] != b->agree.view.epoch)
		brain_tell_role(b, i, want, out);
}

static void brain_refresh_lease(struct brain *b, struct brain_outputs *out)
{
	const struct agree *a = &b->agree;
	uint32_t voters = b->config.voters & ~brain_fenced(b);
	bool held;

	/* A voter that has voted to displace itself must not stretch what it told others. */
	if (brain_is_admitted(b) &&
	    !(a->accepted && agree_displaces(a, &a->accepted_view, b->config.self)))
		lease_renew(&b->lease, &b->agree_config.terms, voters,
			    (unsigned)__builtin_popcount(voters) / 2 + 1, b->config.self,
			    brain_is_voter(b), b->now);
	held = brain_is_admitted(b) && b->now < b->lease.until_ns;
	if (held != b->lease_held) {
		b->lease_held = held;
		brain_note(b, out, held ? NOTE_LEASE_GAINED : NOTE_LEASE_LOST, 0xff, b->config.self,
			   b->lease.until_ns, 0);
	}
}

static void brain_tell_lease(struct brain *b, struct brain_outputs *out)
{
	struct brain_output *o;

	if (b->lease_told_ns == b->lease.until_ns)
		return;
	for (unsigned i = 0; i < b->config.n_instances; i++) {
		if (b->role[i] != HAVEN_PRIMARY)
			continue;
		o = brain_out(out, OUT_LEASE);
		if (!o)
			return;
		o->valid_until_ns = b->lease.until_ns;
		break;
	}
	b->lease_told_ns = b->lease.until_ns;
}

void brain_role_step_down(struct brain *b, struct brain_outputs *out)
{
	for (unsigned i = 0; i < b->config.n_instances; i++)
		if (b->role[i] == HAVEN_PRIMARY)
			brain_close(b, i, REASON_CLOCK, out);
}

void brain_role_refresh(struct brain *b, struct brain_outputs *out)
{
	brain_refresh_lease(b, out);
	for (unsigned i = 0; i < b->config.n_instances; i++)
		brain_refresh_instance(b, i, out);
	brain_tell_lease(b, out);
}

void brain_role_on_component(struct brain *b, unsigned i, bool up)
{
	uint64_t bit = instance_bit(i);

	HAVEN_ASSERT(i < b->config.n_instances);
	b->up = up ? b->up | bit : b->up & ~bit;
	b->plan_due = b->beat_now = true;
}

void brain_role_on_gate_closed(struct brain *b, unsigned i, uint64_t number,
			       struct brain_outputs *out)
{
	HAVEN_ASSERT(i < b->config.n_instances);
	if (b->closing[i].reason == REASON_NONE || number != b->closing[i].number)
		return; /* opened again since, and perhaps being shut again */
	b->closing[i].shut = true;
	b->may_emit &= ~instance_bit(i);
	b->watched &= ~instance_bit(i);
	brain_progress_closing(b, i, out);
}

static void brain_answer(struct brain_outputs *out, unsigned i, int code, const char *text)
{
	struct brain_output *o = brain_out(out, OUT_COMMAND_DONE);

	if (!o)
		return;
	o->instance = (uint8_t)i;
	o->code = (int16_t)code;
	o->text = text;
}

/* The first check that fails, NULL when the move may begin. */
static const char *brain_switchover_refusal(const struct brain *b, unsigned i, uint8_t *to)
{
	const struct view_instance *in = &b->agree.view.instance[i];
	uint32_t others = in->in_sync & ~node_bit(b->config.self);

	if (!brain_holds(b, i))
		return "this node does not hold the instance: ask the holder";
	if (b->role[i] != HAVEN_PRIMARY)
		return "this node holds the instance but is not serving it now";
	if (b->closing[i].reason != REASON_NONE)
		return "the instance is being moved already";
	if (b->leaving)
		return "this node is ending and gives everything away";
	if (*to == b->config.self)
		return "this node serves the instance already";
	if (*to == HAVEN_NODE_NONE) {
		if (!others)
			return "no secondary is in sync: wait for the transfer to end";
		*to = (uint8_t)__builtin_ctz(others);
	}
	if (*to >= b->config.n_nodes || !(b->config.instance[i].eligible & node_bit(*to)))
		return "the target node may not serve this instance by configuration";
	if (!(others & node_bit(*to)))
		return "the target is not in sync: wait for the transfer to end";
	if (!b->peer[*to].alive)
		return "the target node is silent";
	if (!(b->peer[*to].last.ready & instance_bit(i)))
		return "the target's component is not ready";
	return NULL;
}

void brain_role_on_switchover(struct brain *b, unsigned i, uint8_t to, struct brain_outputs *out)
{
	const char *refusal;

	HAVEN_ASSERT(i < b->config.n_instances);
	refusal = brain_switchover_refusal(b, i, &to);
	if (refusal) {
		brain_answer(out, i, -HAVEN_EREFUSED, refusal);
		return;
	}
	brain_close(b, i, REASON_SWITCHOVER, out);
	b->target[i] = to;
	brain_note(b, out, NOTE_SWITCHOVER, (uint8_t)i, b->config.self, b->config.self, to);
	brain_answer(out, i, 0, NULL);
}

void brain_role_on_commit(struct brain *b, const struct view *was)
{
	for (unsigned i = 0; i < b->config.n_instances; i++) {
		const struct view_instance *now = &b->agree.view.instance[i];

		/* Whoever is named again after having given up starts with a clean slate; a
		 * component that is still down makes it give up again. */
		if (b->closing[i].reason != REASON_NONE && now->holder == b->config.self &&
		    was->instance[i].holder == b->config.self &&
		    b->closing[i].reason == REASON_SWITCHOVER && !b->closing[i].shut)
			continue;
		brain_reopen(b, i);
	}
}
