/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes out of the translator, checked by the hosts it comes out at: addresses, checksums,
 * payload, sequence; and each flow must keep the one translation it was first seen with, which no
 * other flow may have. The server outside answers every packet once.
 */
#include <netinet/in.h>
#include <rte_arp.h>

#include "hash.h"
#include "lab.h"

/* Two flows to different servers may have the same port. */
static uint64_t translation_key(const struct lab_traffic *t, const struct lab_tuple *tuple)
{
	uint64_t server = tuple->dst_ip - t->server_ip;

	return server << 56 | (uint64_t)tuple->proto << 48 | (uint64_t)tuple->src_ip << 16 |
	       tuple->src_port;
}

/* Takes a sequence number; false for a copy. `gap` tells whether numbers before it are missing. */
static bool window_take(struct lab_window *w, uint64_t seq, struct lab_direction *d, bool *gap)
{
	uint64_t behind;

	*gap = seq > w->next;
	if (seq >= w->next) {
		uint64_t ahead = seq - w->next + 1;

		w->seen = ahead < 64 ? w->seen << ahead | 1 : 1;
		w->next = seq + 1;
		d->received++;
		return true;
	}
	behind = w->next - 1 - seq;
	if (behind >= 64 || w->seen >> behind & 1) {
		d->duplicated++;
		return false;
	}
	w->seen |= 1ull << behind;
	d->received++;
	d->reordered++;
	return true;
}

/* Books a translation for a flow and notes when it is not its own alone. */
static void translation_check(struct lab_traffic *t, struct lab_flow *f,
			      const struct lab_tuple *tuple)
{
	uint32_t number = (uint32_t)(f - t->flow);
	uint64_t key = translation_key(t, tuple);
	uint32_t at = (uint32_t)hash_mix64(key) & t->translation_mask;

	if (f->outside_ip) {
		if (f->outside_ip != tuple->src_ip || f->outside_port != tuple->src_port) {
			f->changed = true;
			t->faults.changed++;
		}
		return;
	}
	f->outside_ip = tuple->src_ip;
	f->outside_port = tuple->src_port;
	while (t->translation[at] && t->translation[at] != key)
		at = (at + 1) & t->translation_mask;
	if (t->translation[at]) {
		f->shared = t->flow[t->translation_flow[at]].shared = true;
		t->faults.shared++;
		return;
	}
	t->translation[at] = key;
	t->translation_flow[at] = number;
}

static void note_gap(struct lab_traffic *t, uint64_t before_ns, uint64_t after_ns)
{
	if (before_ns && (!t->loss_first_ns || before_ns < t->loss_first_ns))
		t->loss_first_ns = before_ns;
	if (after_ns > t->loss_last_ns)
		t->loss_last_ns = after_ns;
}

/* The server: a packet came out of the translator. */
static void server_take(struct lab_traffic *t, const struct rte_mbuf *m,
			const struct lab_tuple *tuple, struct lab_payload *payload, uint64_t now)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct lab_flow *f = &t->flow[payload->flow];
	struct lab_tuple answer = {.src_ip = tuple->dst_ip,
				   .dst_ip = tuple->src_ip,
				   .src_port = tuple->dst_port,
				   .dst_port = tuple->src_port,
				   .proto = tuple->proto};
	struct rte_mbuf *reply;
	bool gap;

	if (tuple->dst_ip != traffic_server_ip(t, f) || tuple->proto != f->proto ||
	    payload->direction != 0 ||
	    (tuple->proto == IPPROTO_UDP && tuple->dst_port != LAB_SERVER_PORT)) {
		t->faults.address++;
		return;
	}
	translation_check(t, f, tuple);
	if (!window_take(&f->forward, payload->seq, &t->forward, &gap))
		return;
	if (gap)
		note_gap(t, f->forward_sent_ns, payload->sent_ns);
	f->forward_sent_ns = payload->sent_ns;
	payload->direction = 1;
	reply = packet_make(t->pool, &t->outside_mac, &eth->src_addr, &answer, payload);
	if (!reply)
		return;
	t->back.sent++;
	switch_send(t->sw, LAB_OUTSIDE, reply, now);
}

/* The source: an answer came back. */
static void source_take(struct lab_traffic *t, const struct lab_tuple *tuple,
			const struct lab_payload *payload, uint64_t now)
{
	struct lab_flow *f = &t->flow[payload->flow];
	uint64_t rtt = now - payload->sent_ns;
	uint16_t expected = f->inside_port;
	bool gap;

	if (tuple->src_ip != traffic_server_ip(t, f) || tuple->dst_ip != f->inside_ip ||
	    tuple->dst_port != expected || tuple->proto != f->proto || payload->direction != 1 ||
	    (tuple->proto == IPPROTO_UDP && tuple->src_port != LAB_SERVER_PORT)) {
		t->faults.address++;
		return;
	}
	if (!window_take(&f->back, payload->seq, &t->back, &gap))
		return;
	if (gap)
		note_gap(t, f->answered_sent_ns, payload->sent_ns);
	f->answered_sent_ns = payload->sent_ns;
	ledger_answered(&t->ledger, payload->sent_ns);
	t->rtt_sum_ns += rtt;
	if (rtt > t->rtt_max_ns)
		t->rtt_max_ns = rtt;
}

static void take_data(struct lab_traffic *t, enum lab_group group, const struct rte_mbuf *m,
		      uint64_t now)
{
	struct lab_tuple tuple;
	struct lab_payload payload;

	switch (packet_read(m, &tuple, &payload)) {
	case LAB_PACKET_OK:
		break;
	case LAB_PACKET_FOREIGN:
		t->unexpected++;
		return;
	case LAB_PACKET_IP_CHECKSUM:
		t->faults.ip_checksum++;
		return;
	case LAB_PACKET_L4_CHECKSUM:
		t->faults.l4_checksum++;
		return;
	case LAB_PACKET_PAYLOAD:
		t->faults.payload++;
		return;
	}
	if (payload.flow >= t->n_flows || payload.seq >= t->flow[payload.flow].next_seq)
		t->faults.payload++;
	else if (group == LAB_OUTSIDE)
		server_take(t, m, &tuple, &payload, now);
	else
		source_take(t, &tuple, &payload, now);
}

static void take_arp(struct lab_traffic *t, enum lab_group group, const struct lab_arp *arp,
		     uint64_t now)
{
	const struct rte_ether_addr *own = group == LAB_INSIDE ? &t->inside_mac : &t->outside_mac;
	uint32_t host = arp->target_ip - t->inside_net - LAB_FIRST_HOST;
	bool ours = group == LAB_INSIDE ? host < LAB_HOSTS
					: arp->target_ip - t->server_ip < LAB_SERVERS;
	struct rte_mbuf *m;

	if (group == LAB_INSIDE && arp->sender_ip == t->gateway_ip) {
		t->gateway_mac = arp->sender;
		t->gateway_known = true;
	}
	if (!ours || arp->opcode != RTE_ARP_OP_REQUEST)
		return;
	m = packet_make_arp(t->pool, RTE_ARP_OP_REPLY, own, arp->target_ip, &arp->sender,
			    arp->sender_ip);
	if (m)
		switch_send(t->sw, group, m, now);
}

void traffic_deliver(void *context, enum lab_group group, struct rte_mbuf *m, uint64_t now)
{
	struct lab_traffic *t = context;
	struct lab_arp arp;

	if (packet_read_arp(m, &arp))
		take_arp(t, group, &arp, now);
	else if (packet_is_ipv4(m))
		take_data(t, group, m, now);
	rte_pktmbuf_free(m);
}
