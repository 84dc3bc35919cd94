/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Turns of the translator: becoming and ceasing to be primary, queues, what leaves when.
 */
#include <string.h>

#include "nat.h"

/* Gratuitous frames are sent at these instants after a promotion: one may be lost. */
static const uint64_t announce_after_ns[] = {0, 20000000, 200000000, 1000000000};

void nat_discard(struct nat *n)
{
	for (unsigned side = 0; side < NAT_SIDES; side++) {
		struct nat_out *out = &n->out[side];

		for (unsigned i = 0; i < out->n; i++)
			nat_drop(n, out->packet[i], COUNT_GATE_SHUT);
		out->n = out->n_data = 0;
	}
	n->garp_out = false;
}

struct held nat_held_take(struct nat *n, struct held *held)
{
	struct held taken = *held;

	held_give(&n->held, held);
	n->flows.flow[taken.flow].held--;
	return taken;
}

void nat_drop_queued(struct nat *n)
{
	void *held[NAT_BURST];
	unsigned got;

	while (n->haven.worker && (got = haven_hold_drain(n->haven.worker, held, NAT_BURST)) != 0)
		for (unsigned i = 0; i < got; i++)
			nat_drop(n, nat_held_take(n, held[i]).packet, COUNT_HOLD_DROPPED);
	while (n->n_burst_held)
		nat_drop(n, nat_held_take(n, n->burst_held[--n->n_burst_held]).packet,
			 COUNT_HOLD_DROPPED);
	for (; hold_count(&n->wait); hold_pop(&n->wait))
		nat_drop(n, hold_first(&n->wait)->packet, COUNT_HOLD_DROPPED);
	nat_discard(n);
}

void nat_demote(struct nat *n)
{
	nat_drop_queued(n);
	flow_table_reset(&n->flows);
	for (unsigned i = 0; i < ARP_NEIGHBOURS; i++)
		n->arp.neighbour[i].mirrored = false;
	n->primary = n->open = false;
	n->warm = false;
	n->flows_changed = n->neighbours_changed = false;
	n->n_burst_flows = 0;
}

static struct nat_takeover *takeover_newest(struct nat *n)
{
	return &n->takeover[(n->n_takeovers - 1) % NAT_TAKEOVERS_MAX];
}

static void nat_promote(struct nat *n, uint64_t epoch)
{
	const struct nat_haven *h = &n->haven;

	if (!n->primary) {
		n->n_takeovers++;
		*takeover_newest(n) = (struct nat_takeover){
			.epoch = epoch,
			.gate_ns = n->now,
			.committed = haven_commit(h->worker, h->flows),
			.flows = haven_table_count(h->flows, haven_worker_lane(h->worker)),
		};
		n->warm_cursor = 0;
		n->warm = takeover_newest(n)->flows == 0;
		if (n->warm)
			takeover_newest(n)->warm_ns = n->now;
		n->primary = true;
		n->report = true;
	}
	/* A new epoch of an unbroken term is announced too: who refuses older ones must know it. */
	n->epoch = epoch;
	n->promoted_ns = n->now;
	n->announced = 0;
}

void nat_turn_begin(struct nat *n, unsigned changes, uint64_t now)
{
	const struct nat_haven *h = &n->haven;
	uint64_t epoch;

	n->now = now;
	n->open = false;
	if (!h->worker)
		return;
	if (haven_role(h->worker, h->instance) != HAVEN_PRIMARY) {
		if ((changes & HAVEN_CHANGE_ROLE) && n->primary)
			nat_demote(n);
		return;
	}
	n->open = haven_gate(h->worker, h->instance);
	epoch = haven_epoch(h->worker, h->instance);
	if (n->open && (!n->primary || epoch != n->epoch))
		nat_promote(n, epoch);
}

/* What the standby has acknowledged may leave; what was held before the role was lost may not. Each
 * port has room for a burst at least, or nothing is taken out. */
static bool nat_release(struct nat *n)
{
	void *left[NAT_BURST], *dropped[NAT_BURST];
	unsigned n_left, n_dropped, any = 0;

	do {
		if (n->out[NAT_INSIDE].n + NAT_BURST > NAT_OUT_MAX ||
		    n->out[NAT_OUTSIDE].n + NAT_BURST > NAT_OUT_MAX)
			break;
		n_left = haven_release(n->haven.worker, left, dropped, NAT_BURST, &n_dropped);
		for (unsigned i = 0; i < n_left; i++) {
			struct held held = nat_held_take(n, left[i]);

			nat_forward(n, held.packet, held.next_hop);
		}
		for (unsigned i = 0; i < n_dropped; i++)
			nat_drop(n, nat_held_take(n, dropped[i]).packet, COUNT_HOLD_DROPPED);
		any += n_left + n_dropped;
	} while (n_left + n_dropped == NAT_BURST);
	return any != 0;
}

bool nat_turn_end(struct nat *n)
{
	bool busy;

	if (!n->open)
		return false;
	nat_flow_commit(n);
	busy = nat_release(n);
	if (n->announced < sizeof(announce_after_ns) / sizeof(announce_after_ns[0]) &&
	    n->now - n->promoted_ns >= announce_after_ns[n->announced]) {
		n->garp_out = true;
		n->announced++;
		nat_announce(n);
		busy = true;
	}
	nat_wait_turn(n);
	busy |= nat_flow_tend(n);
	nat_flow_commit(n);
	return busy;
}

void nat_sent(struct nat *n, bool in_time, uint64_t now)
{
	struct nat_out *inside = &n->out[NAT_INSIDE], *outside = &n->out[NAT_OUTSIDE];

	n->counts.n[COUNT_SENT_INSIDE] += inside->n_data;
	n->counts.n[COUNT_SENT_OUTSIDE] += outside->n_data;
	if (n->primary && in_time) {
		struct nat_takeover *t = takeover_newest(n);

		if (n->garp_out && !t->garp_ns) {
			t->garp_ns = now;
			n->report = true;
		}
		if (inside->n_data + outside->n_data && !t->packet_ns) {
			t->packet_ns = now;
			n->report = true;
		}
	}
	n->garp_out = false;
	inside->n = inside->n_data = outside->n = outside->n_data = 0;
}
