/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosts on both sides of the translator. Inside: many flows, each with its own address and port,
 * sent in turn at a steady rate. Outside: a server that answers each packet once. What comes out is
 * compared with what went in: addresses, checksums, payload, sequence; and each flow must keep the
 * one translation it was first seen with, which no other flow may have.
 */
#include <netinet/in.h>
#include <rte_arp.h>
#include <rte_ip.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "lab.h"

#define SERVER_PORT 7
#define FIRST_PORT 1024
/** Inside hosts; a flow's host is its number modulo this. */
#define HOSTS 200
#define FIRST_HOST 10
/** Every so many flows one is ICMP echo; its identifier has 16 bits, hence the bound. */
#define ICMP_EVERY 8
/** A pause of the lab itself is not made up for beyond this: it would only overrun the rings. */
#define BACKLOG_NS (4 * NSEC_PER_MSEC)
#define ARP_RETRY_NS (20 * NSEC_PER_MSEC)
#define VERIFY_ATTEMPTS 40
#define VERIFY_RETRY_NS (50 * NSEC_PER_MSEC)

static uint64_t translation_key(const struct lab_tuple *tuple)
{
	return (uint64_t)tuple->proto << 48 | (uint64_t)tuple->src_ip << 16 | tuple->src_port;
}

bool traffic_init(struct lab_traffic *t, struct lab_switch *s, struct rte_mempool *pool,
		  uint32_t flows_max)
{
	uint32_t slots = 1;

	while (slots < flows_max * 2)
		slots *= 2;
	memset(t, 0, sizeof(*t));
	t->sw = s;
	t->pool = pool;
	t->flows_max = flows_max;
	t->flow = calloc(flows_max, sizeof(*t->flow));
	t->translation = calloc(slots, sizeof(*t->translation));
	t->translation_flow = calloc(slots, sizeof(*t->translation_flow));
	t->translation_mask = slots - 1;
	t->inside_net = RTE_IPV4(10, 0, 0, 0);
	t->gateway_ip = RTE_IPV4(10, 0, 0, 1);
	t->server_ip = RTE_IPV4(192, 0, 2, 100);
	t->inside_mac = (struct rte_ether_addr){{0x02, 'l', 'a', 'b', 0, 0x10}};
	t->outside_mac = (struct rte_ether_addr){{0x02, 'l', 'a', 'b', 0, 0x20}};
	s->deliver = traffic_deliver;
	s->deliver_context = t;
	return t->flow && t->translation && t->translation_flow;
}

void traffic_free(struct lab_traffic *t)
{
	free(t->flow);
	free(t->translation);
	free(t->translation_flow);
}

void traffic_start(struct lab_traffic *t, uint32_t flows, uint32_t pps, uint32_t new_per_s,
		   uint64_t now)
{
	t->flows_wanted = flows ? flows : t->flows_wanted;
	t->pps = pps ? pps : t->pps;
	t->new_per_s = new_per_s ? new_per_s : t->new_per_s;
	t->paced_ns = t->opened_ns = now;
	t->mode = LAB_RUN;
}

void traffic_verify(struct lab_traffic *t, uint64_t now)
{
	t->verify_ns = t->paced_ns = now;
	for (uint32_t i = 0; i < t->n_flows; i++)
		t->flow[i].attempts = 0;
	t->mode = LAB_VERIFY;
}

void traffic_stop(struct lab_traffic *t)
{
	t->mode = LAB_STOPPED;
}

void traffic_mark(struct lab_traffic *t)
{
	memset(&t->forward, 0, sizeof(t->forward));
	memset(&t->back, 0, sizeof(t->back));
	memset(&t->faults, 0, sizeof(t->faults));
	t->unexpected = 0;
	t->loss_first_ns = t->loss_last_ns = 0;
	t->rtt_sum_ns = t->rtt_max_ns = 0;
}

static void flow_open(struct lab_traffic *t)
{
	uint32_t n = t->n_flows++;
	struct lab_flow *f = &t->flow[n];

	f->proto = n % ICMP_EVERY == ICMP_EVERY - 1 ? IPPROTO_ICMP : IPPROTO_UDP;
	f->inside_ip = t->inside_net + FIRST_HOST + n % HOSTS;
	f->inside_port = (uint16_t)(FIRST_PORT + n / HOSTS);
}

static bool flow_verified(const struct lab_traffic *t, const struct lab_flow *f)
{
	return f->answered_sent_ns >= t->verify_ns;
}

/* Next flow that the running verification wants a packet of, or NULL. */
static struct lab_flow *flow_to_verify(struct lab_traffic *t, uint64_t now)
{
	for (uint32_t i = 0; i < t->n_flows; i++) {
		struct lab_flow *f = &t->flow[t->turn++ % t->n_flows];

		if (!flow_verified(t, f) && f->attempts < VERIFY_ATTEMPTS &&
		    (f->attempts == 0 || now - f->tried_ns > VERIFY_RETRY_NS)) {
			f->attempts++;
			return f;
		}
	}
	return NULL;
}

static struct lab_flow *flow_next(struct lab_traffic *t, uint64_t now)
{
	if (t->mode == LAB_VERIFY)
		return flow_to_verify(t, now);
	if (t->n_flows < t->flows_wanted)
		flow_open(t);
	else
		return &t->flow[t->turn++ % t->n_flows];
	return &t->flow[t->n_flows - 1];
}

static bool flow_send(struct lab_traffic *t, struct lab_flow *f, uint64_t now)
{
	struct lab_tuple tuple = {.src_ip = f->inside_ip,
				  .dst_ip = t->server_ip,
				  .src_port = f->inside_port,
				  .dst_port = SERVER_PORT,
				  .proto = f->proto};
	struct lab_payload payload = {
		.flow = (uint32_t)(f - t->flow), .seq = f->next_seq, .sent_ns = now};
	struct rte_mbuf *m =
		packet_make(t->pool, &t->inside_mac, &t->gateway_mac, &tuple, &payload);

	if (!m)
		return false;
	f->next_seq++;
	f->tried_ns = now;
	t->forward.sent++;
	switch_send(t->sw, LAB_INSIDE, m, now);
	return true;
}

static void ask_gateway(struct lab_traffic *t, uint64_t now)
{
	struct rte_mbuf *m;

	if (now - t->asked_ns < ARP_RETRY_NS)
		return;
	t->asked_ns = now;
	m = packet_make_arp(t->pool, RTE_ARP_OP_REQUEST, &t->inside_mac, t->inside_net + FIRST_HOST,
			    &t->inside_mac, t->gateway_ip);
	if (m)
		switch_send(t->sw, LAB_INSIDE, m, now);
}

/* Flows that arrive over time, in the middle of whatever happens. */
static void grow(struct lab_traffic *t, uint64_t now)
{
	uint64_t due = (now - t->opened_ns) * t->new_per_s / NSEC_PER_SEC;

	if (!due)
		return;
	t->opened_ns += due * NSEC_PER_SEC / t->new_per_s;
	t->flows_wanted += (uint32_t)due;
	if (t->flows_wanted > t->flows_max)
		t->flows_wanted = t->flows_max;
}

unsigned traffic_poll(struct lab_traffic *t, uint64_t now)
{
	uint64_t due;
	unsigned sent = 0;

	if (t->mode == LAB_STOPPED || !t->pps)
		return 0;
	if (!t->gateway_known) {
		ask_gateway(t, now);
		t->paced_ns = t->opened_ns = now;
		return 0;
	}
	if (now - t->paced_ns > BACKLOG_NS)
		t->paced_ns = now - BACKLOG_NS;
	if (t->mode == LAB_RUN && t->new_per_s)
		grow(t, now);
	due = (now - t->paced_ns) * t->pps / NSEC_PER_SEC;
	t->paced_ns += due * NSEC_PER_SEC / t->pps;
	for (; sent < due && sent < LAB_BURST; sent++) {
		struct lab_flow *f = flow_next(t, now);

		if (!f || !flow_send(t, f, now))
			break;
	}
	return sent;
}

void traffic_count(const struct lab_traffic *t, struct lab_flow_counts *out)
{
	memset(out, 0, sizeof(*out));
	out->opened = t->n_flows;
	for (uint32_t i = 0; i < t->n_flows; i++) {
		const struct lab_flow *f = &t->flow[i];
		bool answered = flow_verified(t, f);

		out->changed += f->changed;
		out->shared += f->shared;
		out->unanswered += !answered;
		out->pending += !answered && f->attempts < VERIFY_ATTEMPTS;
		out->kept += answered && !f->changed && !f->shared;
	}
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
	uint64_t key = translation_key(tuple);
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

	if (tuple->dst_ip != t->server_ip || tuple->proto != f->proto || payload->direction != 0 ||
	    (tuple->proto == IPPROTO_UDP && tuple->dst_port != SERVER_PORT)) {
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

	if (tuple->src_ip != t->server_ip || tuple->dst_ip != f->inside_ip ||
	    tuple->dst_port != expected || tuple->proto != f->proto || payload->direction != 1 ||
	    (tuple->proto == IPPROTO_UDP && tuple->src_port != SERVER_PORT)) {
		t->faults.address++;
		return;
	}
	if (!window_take(&f->back, payload->seq, &t->back, &gap))
		return;
	if (gap)
		note_gap(t, f->answered_sent_ns, payload->sent_ns);
	f->answered_sent_ns = payload->sent_ns;
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
	uint32_t host = arp->target_ip - t->inside_net - FIRST_HOST;
	bool ours = group == LAB_INSIDE ? host < HOSTS : arp->target_ip == t->server_ip;
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
