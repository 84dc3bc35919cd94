/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A learning switch per network that knows virtual addresses.
 *
 * An ordinary source address belongs to the port it was seen on last. A source address that was
 * announced with an epoch (gratuitous ARP with trailer) belongs to the port that announced the
 * greatest epoch; frames with that source from any other port are refused. That is what "accepted"
 * means in the demonstration: of two nodes that both believe to be primary, at most one gets
 * packets through, and it is the newer one.
 *
 * Two observations say that the nodes broke their promise, whatever the switch did about it, and
 * are counted as dual_primary: an equal epoch announced on two ports, and a data frame accepted
 * from a port of a node that is not the newest announcer (it used another source address).
 */
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

#include "lab.h"

const char *const lab_group_names[LAB_GROUPS] = {"ha", "inside", "outside"};

void switch_init(struct lab_switch *s, struct rte_mempool *pool)
{
	memset(s, 0, sizeof(*s));
	s->pool = pool;
	s->prng.state = clock_now_ns();
	for (unsigned g = 0; g < LAB_GROUPS; g++) {
		s->host_port[g] = UINT8_MAX;
		s->network[g].owner = UINT8_MAX;
	}
}

int switch_add(struct lab_switch *s, enum lab_group group, const char *name, bool host,
	       uint16_t dpdk_port)
{
	struct lab_port *p = &s->port[s->n_ports];

	if (s->n_ports == LAB_PORTS_MAX)
		return -1;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->group = group;
	p->host = host;
	p->dpdk_port = dpdk_port;
	p->impair.records = group == LAB_HA;
	if (host)
		s->host_port[group] = (uint8_t)s->n_ports;
	return (int)s->n_ports++;
}

struct lab_port *switch_find(struct lab_switch *s, const char *name)
{
	for (unsigned i = 0; i < s->n_ports; i++)
		if (strcmp(s->port[i].name, name) == 0)
			return &s->port[i];
	return NULL;
}

/* Entry of an address; a free one is taken for an address that is new. NULL: table full. */
static struct lab_mac *mac_entry(struct lab_network *n, const struct rte_ether_addr *mac, bool make)
{
	unsigned at = (mac->addr_bytes[5] * 31u + mac->addr_bytes[4]) % LAB_MACS_MAX;

	for (unsigned i = 0; i < LAB_MACS_MAX; i++) {
		struct lab_mac *e = &n->mac[(at + i) % LAB_MACS_MAX];

		if (e->used && rte_is_same_ether_addr(&e->mac, mac))
			return e;
		if (e->used)
			continue;
		if (!make)
			return NULL;
		*e = (struct lab_mac){.mac = *mac, .used = true, .port = UINT8_MAX};
		return e;
	}
	return NULL;
}

static void port_flush(struct lab_port *p)
{
	uint16_t sent = rte_eth_tx_burst(p->dpdk_port, 0, p->queue, p->queued);

	p->tx += sent;
	p->tx_full += p->queued - sent;
	if (sent < p->queued)
		rte_pktmbuf_free_bulk(p->queue + sent, p->queued - sent);
	p->queued = 0;
}

static void port_queue(void *port, struct rte_mbuf *m)
{
	struct lab_port *p = port;

	if (p->queued == LAB_BURST)
		port_flush(p);
	p->queue[p->queued++] = m;
}

static void port_emit(struct lab_switch *s, struct lab_port *p, struct rte_mbuf *m, uint64_t now)
{
	if (p->host)
		s->deliver(s->deliver_context, p->group, m, now);
	else
		impair_out(&p->impair, &s->prng, s->pool, m, now, port_queue, p);
}

/* A frame that was taken: to the port of its destination, or to all of the network. */
static void forward(struct lab_switch *s, unsigned from, struct rte_mbuf *m, uint64_t now)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct lab_network *n = &s->network[s->port[from].group];
	const struct lab_mac *to = NULL;
	struct rte_mbuf *copy;

	if (rte_is_unicast_ether_addr(&eth->dst_addr))
		to = mac_entry(n, &eth->dst_addr, false);
	if (to) {
		if (to->port != from)
			port_emit(s, &s->port[to->port], m, now);
		else
			rte_pktmbuf_free(m);
		return;
	}
	for (unsigned i = 0; i < s->n_ports; i++) {
		if (i == from || s->port[i].group != s->port[from].group)
			continue;
		copy = rte_pktmbuf_copy(m, s->pool, 0, UINT32_MAX);
		if (copy)
			port_emit(s, &s->port[i], copy, now);
	}
	rte_pktmbuf_free(m);
}

/* An announcement moves the address to its port unless a newer one stands. True: accepted. */
static bool announce(struct lab_switch *s, unsigned from, const struct rte_ether_addr *mac,
		     uint64_t epoch, uint64_t now)
{
	struct lab_network *n = &s->network[s->port[from].group];
	struct lab_mac *e = mac_entry(n, mac, true);
	bool conflict, accepted;

	if (!e)
		return false;
	conflict = e->epoch == epoch && e->port != from;
	accepted = epoch >= e->epoch && !conflict;
	s->dual_primary += conflict;
	if (accepted) {
		e->epoch = epoch;
		e->port = (uint8_t)from;
		n->owner = (uint8_t)from;
		n->owner_epoch = epoch;
	}
	if (s->n_announcements < LAB_ANNOUNCEMENTS_MAX)
		s->announcement[s->n_announcements++] =
			(struct lab_announcement){.at_ns = now,
						  .epoch = epoch,
						  .mac = *mac,
						  .port = (uint8_t)from,
						  .accepted = accepted};
	return accepted;
}

static void account_data(struct lab_switch *s, unsigned from, uint64_t now)
{
	struct lab_port *p = &s->port[from];
	struct lab_network *n = &s->network[p->group];

	if (n->owner != UINT8_MAX && n->owner != from)
		s->dual_primary++;
	if (now - n->last_data_ns > n->silence_max_ns) {
		n->silence_max_ns = now - n->last_data_ns;
		n->silence_from_ns = n->last_data_ns;
	}
	n->last_data_ns = now;
	p->last_data_ns = now;
	if (p->data++ == 0)
		p->first_data_ns = now;
	for (unsigned i = s->n_announcements; i-- > 0;) {
		struct lab_announcement *a = &s->announcement[i];

		if (a->port == from && a->first_data_ns)
			break;
		if (a->port == from && a->accepted)
			a->first_data_ns = now;
	}
}

/* Decides on one frame: refuse, or learn, account and forward. */
static void switch_ingress(struct lab_switch *s, unsigned from, struct rte_mbuf *m, uint64_t now)
{
	struct lab_port *p = &s->port[from];
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct lab_mac *source;
	struct lab_arp arp;

	if (m->nb_segs != 1 || rte_pktmbuf_data_len(m) < sizeof(*eth) ||
	    !rte_is_unicast_ether_addr(&eth->src_addr)) {
		rte_pktmbuf_free(m);
		return;
	}
	if (p->group != LAB_HA && packet_read_arp(m, &arp) && arp.epoch)
		announce(s, from, &eth->src_addr, arp.epoch, now);
	source = mac_entry(&s->network[p->group], &eth->src_addr, true);
	if (source && source->epoch && source->port != from) {
		p->stale_refused++;
		rte_pktmbuf_free(m);
		return;
	}
	if (source)
		source->port = (uint8_t)from;
	if (!p->host && p->group != LAB_HA && packet_is_ipv4(m))
		account_data(s, from, now);
	forward(s, from, m, now);
}

unsigned switch_poll(struct lab_switch *s)
{
	struct rte_mbuf *burst[LAB_BURST];
	unsigned total = 0;

	for (unsigned i = 0; i < s->n_ports; i++) {
		struct lab_port *p = &s->port[i];

		if (p->impair.n_late)
			impair_poll(&p->impair, clock_now_ns(), port_queue, p);
		uint16_t n = p->host ? 0 : rte_eth_rx_burst(p->dpdk_port, 0, burst, LAB_BURST);
		uint64_t now = n ? clock_now_ns() : 0;

		p->rx += n;
		total += n;
		for (uint16_t k = 0; k < n; k++) {
			if (impair_in(&p->impair, &s->prng, burst[k]))
				switch_ingress(s, i, burst[k], now);
			else
				rte_pktmbuf_free(burst[k]);
		}
	}
	return total;
}

void switch_send(struct lab_switch *s, enum lab_group group, struct rte_mbuf *m, uint64_t now)
{
	switch_ingress(s, s->host_port[group], m, now);
}

void switch_flush(struct lab_switch *s)
{
	for (unsigned i = 0; i < s->n_ports; i++)
		if (s->port[i].queued)
			port_flush(&s->port[i]);
}

void switch_mark(struct lab_switch *s, uint64_t now)
{
	s->n_announcements = 0;
	s->dual_primary = 0;
	for (unsigned i = 0; i < s->n_ports; i++) {
		struct lab_port *p = &s->port[i];

		p->data = p->first_data_ns = p->last_data_ns = p->stale_refused = 0;
	}
	for (unsigned g = 0; g < LAB_GROUPS; g++) {
		s->network[g].last_data_ns = now;
		s->network[g].silence_max_ns = s->network[g].silence_from_ns = 0;
	}
}
