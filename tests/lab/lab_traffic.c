/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The clients: many flows, each with its own address and port, sent in turn at a steady rate. What
 * comes of their packets is in lab_check.c.
 */
#include <netinet/in.h>
#include <rte_arp.h>
#include <rte_ip.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define FIRST_PORT 1024
/** Every so many flows one is ICMP echo; its identifier has 16 bits, hence the bound. */
#define ICMP_EVERY 8
/** A pause of the lab itself is not made up for beyond this: it would only overrun the rings. */
#define BACKLOG_NS (4 * NSEC_PER_MSEC)
#define ARP_RETRY_NS (20 * NSEC_PER_MSEC)
#define VERIFY_ATTEMPTS 40
#define VERIFY_RETRY_NS (50 * NSEC_PER_MSEC)

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

void traffic_mark(struct lab_traffic *t, uint64_t now)
{
	memset(&t->forward, 0, sizeof(t->forward));
	memset(&t->back, 0, sizeof(t->back));
	memset(&t->faults, 0, sizeof(t->faults));
	t->unexpected = 0;
	t->loss_first_ns = t->loss_last_ns = 0;
	t->rtt_sum_ns = t->rtt_max_ns = 0;
	ledger_mark(&t->ledger, now);
}

static void flow_open(struct lab_traffic *t)
{
	uint32_t n = t->n_flows++;
	struct lab_flow *f = &t->flow[n];

	f->proto = !t->udp_only && n % ICMP_EVERY == ICMP_EVERY - 1 ? IPPROTO_ICMP : IPPROTO_UDP;
	f->inside_ip = t->inside_net + LAB_FIRST_HOST + n % LAB_HOSTS;
	f->inside_port = (uint16_t)(FIRST_PORT + n / LAB_HOSTS);
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
				  .dst_ip = traffic_server_ip(t, f),
				  .src_port = f->inside_port,
				  .dst_port = LAB_SERVER_PORT,
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
	ledger_sent(&t->ledger, now);
	switch_send(t->sw, LAB_INSIDE, m, now);
	return true;
}

static void ask_gateway(struct lab_traffic *t, uint64_t now)
{
	struct rte_mbuf *m;

	if (now - t->asked_ns < ARP_RETRY_NS)
		return;
	t->asked_ns = now;
	m = packet_make_arp(t->pool, RTE_ARP_OP_REQUEST, &t->inside_mac,
			    t->inside_net + LAB_FIRST_HOST, &t->inside_mac, t->gateway_ip);
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
