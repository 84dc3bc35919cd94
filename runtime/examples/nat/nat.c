/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stateful source NAT that survives the death of its process and of its node.
 *
 * What is mirrored. One table, `flows`: (protocol, outside port, outside address, remote endpoint)
 * -> (inside endpoint, state). Its key is what a packet from outside carries, so an inward packet
 * is one look-up on whichever node it arrives. An outward packet carries the inside endpoint
 * instead; it is found through the port pool, which is no state but a function (pool.h): the
 * endpoint's fixed sequence of candidate ports is walked and each candidate compared. The same walk
 * allocates: the first candidate whose key is free is taken. Uniqueness of a translation is
 * therefore uniqueness of a table key, after a takeover as before it, and there is no second
 * structure that could disagree. The sequence depends on the inside endpoint alone, so an endpoint
 * keeps its outside port towards different remotes unless somebody else has it there. A second
 * small table, `neighbours`, spares the new primary the ARP exchanges.
 *
 * What is not. Time of the last packet (a write per packet), the hash indices, the queues. The
 * working copy (flow.h) holds them in private memory. After a takeover it is empty and usable at
 * once: a miss looks into the checkpoint, and a scan of some entries per turn fetches the rest.
 * Only when that is through does a miss prove that there is no such flow (`warm`), and the walk for
 * a new flow may end at the first free candidate. Timers restart with the takeover.
 *
 * Output commit. A packet that has created or changed mirrored state is held until the standby has
 * that state; later packets of the same flow queue behind it. So whatever the world has seen of a
 * flow, whoever takes over knows it. Nothing waits for anything else.
 *
 * The gate. The loop asks before a burst goes to the ports, and again afterwards; out[] is dropped
 * whole when it is shut. A translator that is not primary drops everything and learns from ARP.
 *
 * Several workers: a lane of the table, a slice of the pool and an own `struct nat` each; inward
 * packets are steered by outside port, outward ones by inside endpoint.
 */
#include "nat.h"

#include <string.h>

#define NAT_HOLD_PACKETS 4096u
#define NAT_WAIT_PACKETS 512u
#define NAT_LANE_RECORDS 16384u
/* Gratuitous frames are sent at these instants after a promotion: one may be lost. */
static const uint64_t announce_after_ns[] = {0, 20000000, 200000000, 1000000000};

bool nat_init(struct nat *n, const struct nat_config *config, const struct nat_io *io)
{
	memset(n, 0, sizeof(*n));
	n->config = *config;
	n->io = *io;
	return flow_table_init(&n->flows, config->flows, config->seed) &&
	       hold_init(&n->hold, NAT_HOLD_PACKETS) && hold_init(&n->wait, NAT_WAIT_PACKETS);
}

void nat_free(struct nat *n)
{
	nat_drop_queued(n);
	flow_table_free(&n->flows);
	hold_free(&n->hold);
	hold_free(&n->wait);
}

int nat_tables_create(struct nat *n, struct haven_component *c, unsigned instance)
{
	struct haven_table_config flows = {.name = NAT_FLOWS_TABLE,
					   .key_bytes = sizeof(struct flow_key),
					   .value_bytes = sizeof(struct flow_value),
					   .capacity = n->config.flows,
					   .lanes = 1,
					   .lane_records = NAT_LANE_RECORDS};
	struct haven_table_config neighbours = {.name = NAT_NEIGHBOURS_TABLE,
						.key_bytes = sizeof(struct nat_neighbour_key),
						.value_bytes = sizeof(struct nat_neighbour_value),
						.capacity = ARP_NEIGHBOURS,
						.lanes = 1,
						.lane_records = ARP_NEIGHBOURS};
	int status = haven_table_create(c, instance, &flows, &n->haven.flows);

	n->haven.instance = instance;
	return status ? status : haven_table_create(c, instance, &neighbours, &n->haven.neighbours);
}

void nat_attach(struct nat *n, struct haven_worker *worker)
{
	n->haven.worker = worker;
}

static void nat_demote(struct nat *n)
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

void nat_detach(struct nat *n)
{
	nat_demote(n);
	memset(&n->haven, 0, sizeof(n->haven));
}

/* ---- queues and output ---------------------------------------------------------------------- */

void nat_drop(struct nat *n, struct nat_packet packet, enum nat_count reason)
{
	n->counts.n[reason]++;
	n->io.drop(n->io.context, packet.handle);
}

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

void nat_drop_queued(struct nat *n)
{
	struct hold *queue[] = {&n->hold, &n->wait};

	for (unsigned i = 0; i < 2; i++)
		for (; hold_count(queue[i]); hold_pop(queue[i]))
			nat_drop(n, hold_first(queue[i])->packet, COUNT_HOLD_DROPPED);
	n->burst_hold = n->hold.tail;
	nat_discard(n);
}

/* A rewritten packet leaves, or waits until its flow's newest record is acknowledged and the
 * flow's earlier packets have left. */
static void nat_pass(struct nat *n, struct nat_packet packet, uint32_t number, uint32_t ip)
{
	struct flow *f = &n->flows.flow[number];
	struct hold_item item = {
		.packet = packet, .until = f->pending_seq, .next_hop = ip, .flow = number};

	if (f->held == 0 && f->pending_seq != FLOW_UNCOMMITTED &&
	    (f->pending_seq == 0 ||
	     haven_acked(n->haven.worker, n->haven.flows) >= f->pending_seq)) {
		f->pending_seq = 0;
		nat_forward(n, packet, ip);
	} else if (hold_push(&n->hold, &item)) {
		f->held++;
		n->counts.n[COUNT_HELD]++;
	} else {
		nat_drop(n, packet, COUNT_HOLD_FULL);
	}
}

/* ---- translation --------------------------------------------------------------------------------
 */

static struct flow_tuple tuple_of(const struct packet_header *h, enum packet_end inside)
{
	enum packet_end remote = inside == PACKET_SOURCE ? PACKET_DESTINATION : PACKET_SOURCE;

	return (struct flow_tuple){.proto = h->proto,
				   .inside_ip = h->address[inside],
				   .inside_port = h->port[inside],
				   .remote_ip = h->address[remote],
				   .remote_port = h->proto == PACKET_ICMP ? 0 : h->port[remote]};
}

static struct flow_key key_of(const struct packet_header *h, enum packet_end outside)
{
	enum packet_end remote = outside == PACKET_SOURCE ? PACKET_DESTINATION : PACKET_SOURCE;

	return (struct flow_key){.proto = h->proto,
				 .outside_ip = h->address[outside],
				 .outside_port = h->port[outside],
				 .remote_ip = h->address[remote],
				 .remote_port = h->proto == PACKET_ICMP ? 0 : h->port[remote]};
}

/* An ICMP error about a packet of a flow: the quoted packet is put back into the form that its
 * sender knows, and the error is addressed accordingly. */
static enum nat_count error_translate(struct nat *n, enum nat_side from, struct packet *p,
				      uint32_t *number)
{
	enum nat_count reason = COUNT_NO_FLOW;
	const struct flow *f;

	if (from == NAT_OUTSIDE) {
		struct flow_key key = key_of(&p->quoted, PACKET_SOURCE);

		if (p->header.address[PACKET_DESTINATION] != n->config.ip[NAT_OUTSIDE])
			return COUNT_UNSUPPORTED;
		*number = nat_flow_inward(n, &key, &reason);
		if (!*number)
			return reason;
		f = &n->flows.flow[*number];
		packet_rewrite(&p->quoted, PACKET_SOURCE, f->value.inside_ip, f->value.inside_port);
		packet_readdress(&p->header, PACKET_DESTINATION, f->value.inside_ip);
	} else {
		struct flow_tuple tuple = tuple_of(&p->quoted, PACKET_DESTINATION);

		*number = nat_flow_outward(n, &tuple);
		if (!*number)
			return COUNT_NO_FLOW;
		f = &n->flows.flow[*number];
		packet_rewrite(&p->quoted, PACKET_DESTINATION, f->key.outside_ip,
			       f->key.outside_port);
		packet_readdress(&p->header, PACKET_SOURCE, f->key.outside_ip);
	}
	packet_seal_error(p);
	return COUNT_NONE;
}

static enum nat_count outward_translate(struct nat *n, struct packet *p, uint32_t *number)
{
	struct flow_tuple tuple = tuple_of(&p->header, PACKET_SOURCE);
	enum nat_count reason = COUNT_NONE;
	enum flow_state state;
	struct flow *f;

	if (p->header.proto == PACKET_ICMP && p->icmp_type == 0)
		return COUNT_UNSUPPORTED; /* nobody outside can have asked */
	*number = nat_flow_outward(n, &tuple);
	if (!*number) {
		if (p->header.proto == PACKET_TCP &&
		    (p->tcp_flags & (PACKET_SYN | PACKET_ACK | PACKET_RST)) != PACKET_SYN)
			return COUNT_TCP_NO_SYN;
		*number = nat_flow_open(n, &tuple, &reason);
		if (!*number)
			return reason;
	}
	f = &n->flows.flow[*number];
	f->last_ns = n->now;
	state = flow_next_state(f->key.proto, f->value.state, FLOW_OUTWARD, p->tcp_flags);
	if (state != f->value.state)
		reason = nat_flow_move(n, *number, state);
	if (reason == COUNT_NONE)
		packet_rewrite(&p->header, PACKET_SOURCE, f->key.outside_ip, f->key.outside_port);
	return reason;
}

static enum nat_count inward_translate(struct nat *n, struct packet *p, uint32_t *number)
{
	struct flow_key key = key_of(&p->header, PACKET_DESTINATION);
	enum nat_count reason = COUNT_NONE;
	enum flow_state state;
	struct flow *f;

	if (p->header.address[PACKET_DESTINATION] != n->config.ip[NAT_OUTSIDE] ||
	    (p->header.proto == PACKET_ICMP && p->icmp_type != 0))
		return COUNT_UNSUPPORTED;
	*number = nat_flow_inward(n, &key, &reason);
	if (!*number)
		return reason;
	f = &n->flows.flow[*number];
	f->last_ns = n->now;
	state = flow_next_state(f->key.proto, f->value.state, FLOW_INWARD, p->tcp_flags);
	if (state != f->value.state)
		reason = nat_flow_move(n, *number, state);
	if (reason == COUNT_NONE)
		packet_rewrite(&p->header, PACKET_DESTINATION, f->value.inside_ip,
			       f->value.inside_port);
	return reason;
}

static enum nat_count nat_translate(struct nat *n, enum nat_side from, struct packet *p,
				    uint32_t *number)
{
	uint32_t to = p->header.address[PACKET_DESTINATION];

	if (from == NAT_INSIDE &&
	    (to == n->config.ip[NAT_INSIDE] || to == n->config.ip[NAT_OUTSIDE]))
		return COUNT_UNSUPPORTED;
	if (!packet_hop(&p->header))
		return COUNT_TTL;
	if (p->error)
		return error_translate(n, from, p, number);
	return from == NAT_INSIDE ? outward_translate(n, p, number)
				  : inward_translate(n, p, number);
}

static bool frame_is_arp(const struct nat_packet *packet)
{
	return packet->bytes >= PACKET_ETHER_BYTES && packet->data[12] == 0x08 &&
	       packet->data[13] == 0x06;
}

static bool frame_is_ours(const struct nat *n, enum nat_side side, const struct nat_packet *packet)
{
	return packet->bytes >= PACKET_ETHER_BYTES &&
	       memcmp(packet->data, n->config.mac[side], PACKET_MAC_BYTES) == 0;
}

void nat_receive(struct nat *n, enum nat_side side, struct nat_packet packet)
{
	struct packet p;
	enum nat_count reason;
	uint32_t number = 0;

	if (frame_is_arp(&packet)) {
		nat_receive_arp(n, side, packet);
		return;
	}
	if (!n->open) {
		nat_drop(n, packet, n->primary ? COUNT_GATE_SHUT : COUNT_NOT_PRIMARY);
		return;
	}
	if (!frame_is_ours(n, side, &packet)) {
		nat_drop(n, packet, COUNT_NOT_OURS);
		return;
	}
	reason = packet_parse(packet.data, packet.bytes, &p);
	if (reason == COUNT_NONE) {
		uint32_t sender = p.header.address[PACKET_SOURCE];

		reason = nat_translate(n, side, &p, &number);
		if (reason == COUNT_NONE)
			nat_learn(n, side, sender, packet.data + PACKET_MAC_BYTES);
	}
	if (reason != COUNT_NONE) {
		nat_drop(n, packet, reason);
		return;
	}
	packet.side = side == NAT_INSIDE ? NAT_OUTSIDE : NAT_INSIDE;
	nat_pass(n, packet, number, p.header.address[PACKET_DESTINATION]);
}

/* ---- turns --------------------------------------------------------------------------------------
 */

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

/* What the standby has acknowledged may leave. */
static bool nat_release(struct nat *n)
{
	struct hold_item *item = hold_first(&n->hold);
	uint64_t acked;
	bool any = false;

	if (!item)
		return false;
	acked = haven_acked(n->haven.worker, n->haven.flows);
	for (; item && item->until <= acked && n->out[item->packet.side].n < NAT_OUT_MAX;
	     item = hold_first(&n->hold)) {
		struct hold_item released = *item;

		hold_pop(&n->hold);
		n->flows.flow[released.flow].held--;
		nat_forward(n, released.packet, released.next_hop);
		any = true;
	}
	return any;
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
		n->garp_out = n->announced == 0;
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
