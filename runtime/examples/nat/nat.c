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
bool nat_init(struct nat *n, const struct nat_config *config, const struct nat_io *io)
{
	memset(n, 0, sizeof(*n));
	n->config = *config;
	n->io = *io;
	return flow_table_init(&n->flows, config->flows, config->seed) &&
	       held_pool_init(&n->held, NAT_HOLD_PACKETS) && hold_init(&n->wait, NAT_WAIT_PACKETS);
}

void nat_free(struct nat *n)
{
	nat_drop_queued(n);
	flow_table_free(&n->flows);
	held_pool_free(&n->held);
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

int nat_attach(struct nat *n, struct haven_worker *worker)
{
	n->haven.worker = worker;
	return haven_hold_create(worker, NAT_HOLD_PACKETS, HAVEN_HOLD_REFUSE);
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

/* A rewritten packet leaves, or waits until its flow's newest record is acknowledged and the
 * flow's earlier packets have left. */
static void nat_pass(struct nat *n, struct nat_packet packet, uint32_t number, uint32_t ip)
{
	struct flow *f = &n->flows.flow[number];
	struct held *held;

	if (f->held == 0 && f->pending_seq != FLOW_UNCOMMITTED &&
	    (f->pending_seq == 0 ||
	     haven_acked(n->haven.worker, n->haven.flows) >= f->pending_seq)) {
		f->pending_seq = 0;
		nat_forward(n, packet, ip);
		return;
	}
	held = n->n_burst_held < 2 * NAT_BURST ? held_take(&n->held) : NULL;
	if (!held) {
		nat_drop(n, packet, COUNT_HOLD_FULL);
		return;
	}
	*held = (struct held){
		.packet = packet, .until = f->pending_seq, .next_hop = ip, .flow = number};
	n->burst_held[n->n_burst_held++] = held;
	f->held++;
	n->counts.n[COUNT_HELD]++;
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
