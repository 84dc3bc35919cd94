/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stateful packet filter between two DPDK ports, whose flow table survives: GUIDE.md is about it.
 * From the inside (port 0) everybody may open flows; from the outside (port 1) only their packets
 * pass, and ARP both ways.
 *
 * usage: haven-filter EAL-OPTIONS -- GROUP FLOWS [PACKETS]
 * Serves instance 0 of GROUP with a table for FLOWS flows; ends on SIGTERM, or when PACKETS packets
 * have passed to the outside.
 */
#include <haven/haven_dpdk.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow_table.h"

#define BURST 32u
#define HOLD_PACKETS 4096u
#define MBUFS 8191u
#define RING 1024u
#define INSTANCE 0u

enum side { INSIDE, OUTSIDE };
enum verdict { REFUSE, PASS, PASS_WHEN_SAFE };

struct filter {
	struct haven *haven;
	struct haven_worker *worker;
	struct flow_table flows;
	bool primary;        /* the gate was open when this turn began */
	bool away;           /* the node is gone, its successor not found yet */
	uint64_t look_again; /* TSC */
	uint64_t passed[2];  /* to each side */
	uint64_t refused;
	struct haven_dpdk_counts held;
};

static volatile sig_atomic_t stopping;

static void on_stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

/* ---- packets: nothing here knows of Haven -----------------------------------------------------
 */

/* False: no whole IPv4 packet of TCP or UDP. */
static bool packet_read(const struct rte_mbuf *m, enum side from, struct flow_key *key,
			uint8_t *tcp_flags)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	const struct rte_tcp_hdr *l4 = (const void *)(ip + 1);
	uint16_t need = RTE_ETHER_HDR_LEN + sizeof(*ip) + 8;

	if (rte_pktmbuf_data_len(m) < need || ip->version_ihl != RTE_IPV4_VHL_DEF ||
	    (ip->fragment_offset &
	     rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)))
		return false;
	*key = (struct flow_key){.inside_ip = from == INSIDE ? ip->src_addr : ip->dst_addr,
				 .outside_ip = from == INSIDE ? ip->dst_addr : ip->src_addr,
				 .inside_port = from == INSIDE ? l4->src_port : l4->dst_port,
				 .outside_port = from == INSIDE ? l4->dst_port : l4->src_port,
				 .protocol = ip->next_proto_id};
	*tcp_flags = 0;
	if (ip->next_proto_id == IPPROTO_UDP)
		return true;
	if (ip->next_proto_id != IPPROTO_TCP || rte_pktmbuf_data_len(m) < need - 8 + sizeof(*l4))
		return false;
	*tcp_flags = l4->tcp_flags;
	return true;
}

static enum verdict judge(struct filter *f, const struct rte_mbuf *m, enum side from, uint64_t now)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	struct flow_key key;
	struct flow *flow;
	uint8_t tcp_flags;

	if (ether->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
		return PASS;
	if (ether->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
	    !packet_read(m, from, &key, &tcp_flags))
		return REFUSE;
	flow = flow_find(&f->flows, &key, now);
	if (!flow && from == INSIDE)
		flow = flow_open(&f->flows, &key, now);
	if (!flow)
		return REFUSE;
	flow->last = now;
	if ((tcp_flags & (RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG)) && flow->value.phase == FLOW_OPEN &&
	    !flow_move(&f->flows, flow, FLOW_CLOSING))
		return REFUSE;
	return from == INSIDE ? PASS_WHEN_SAFE : PASS;
}

/* ---- what Haven adds to the loop --------------------------------------------------------------
 */

/* The outside must not see a packet of a flow that a standby does not know: who takes over would
 * refuse the answer. So the packets wait until all that was committed so far is acknowledged. */
static void send_when_safe(struct filter *f, struct rte_mbuf **m, unsigned n)
{
	uint64_t seq = haven_commit(f->worker, f->flows.saved);
	unsigned taken = haven_dpdk_hold(f->worker, f->flows.saved, seq, m, n, &f->held);

	rte_pktmbuf_free_bulk(m + taken, n - taken);
	f->refused += n - taken;
}

/* The gate is looked at right before the port gets the packets, and again after. */
static void send_now(struct filter *f, enum side to, struct rte_mbuf **m, unsigned n)
{
	unsigned sent = 0;

	if (n && haven_gate(f->worker, INSTANCE)) {
		sent = rte_eth_tx_burst((uint16_t)to, 0, m, (uint16_t)n);
		haven_gate_check(f->worker, INSTANCE, sent);
	}
	rte_pktmbuf_free_bulk(m + sent, n - sent);
	f->passed[to] += sent;
	f->refused += n - sent;
}

/* Once per turn, before any packet is looked at. */
static void role_follow(struct filter *f, uint64_t now)
{
	unsigned changes = haven_poll(f->worker);

	if (changes & HAVEN_CHANGE_NODE) {
		f->away = true;
		f->look_again = now;
	}
	f->primary = haven_gate(f->worker, INSTANCE);
	if ((changes & HAVEN_CHANGE_ROLE) && haven_role(f->worker, INSTANCE) != HAVEN_PRIMARY)
		flow_table_forget(&f->flows);
}

/* A node that was restarted gets everything handed over. False: it does not take us back. */
static bool node_look_for(struct filter *f, uint64_t now)
{
	int status;

	if (!f->away || now < f->look_again)
		return true;
	f->look_again = now + rte_get_tsc_hz() / 10;
	status = haven_reattach(f->haven);
	if (status == 0)
		f->away = false;
	return status == 0 || status == -HAVEN_ENODE || status == -HAVEN_EAGAIN ||
	       status == -HAVEN_ETIMEDOUT;
}

static bool turn(struct filter *f)
{
	struct rte_mbuf *in[BURST], *safe[BURST], *pass[2][BURST];
	unsigned n_safe = 0, n_pass[2] = {0, 0};
	uint64_t now = rte_rdtsc();

	role_follow(f, now);
	for (enum side from = INSIDE; from <= OUTSIDE; from++) {
		unsigned n = rte_eth_rx_burst((uint16_t)from, 0, in, BURST);

		for (unsigned i = 0; i < n; i++) {
			enum verdict v = f->primary ? judge(f, in[i], from, now) : REFUSE;

			if (v == PASS_WHEN_SAFE)
				safe[n_safe++] = in[i];
			else if (v == PASS)
				pass[from][n_pass[from]++] = in[i];
			else
				rte_pktmbuf_free(in[i]);
			f->refused += v == REFUSE;
		}
	}
	if (f->primary) {
		flow_table_tend(&f->flows, now);
		send_when_safe(f, safe, n_safe);
	}
	f->passed[OUTSIDE] += haven_dpdk_release(f->worker, INSTANCE, OUTSIDE, 0, &f->held);
	send_now(f, OUTSIDE, pass[INSIDE], n_pass[INSIDE]);
	send_now(f, INSIDE, pass[OUTSIDE], n_pass[OUTSIDE]);
	return node_look_for(f, now);
}

/* ---- start and end ----------------------------------------------------------------------------
 */

static int port_start(uint16_t port, struct rte_mempool *pool)
{
	const struct rte_eth_conf conf = {.rxmode = {.mtu = 1500}};
	uint16_t rx = RING, tx = RING;
	int status = rte_eth_dev_configure(port, 1, 1, &conf);

	if (!status)
		status = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (!status)
		status = rte_eth_rx_queue_setup(port, 0, rx, rte_eth_dev_socket_id(port), NULL,
						pool);
	if (!status)
		status = rte_eth_tx_queue_setup(port, 0, tx, rte_eth_dev_socket_id(port), NULL);
	if (!status)
		status = rte_eth_dev_start(port);
	if (!status)
		(void)rte_eth_promiscuous_enable(port);
	return status;
}

static int node_join(struct filter *f, const char *group)
{
	const struct haven_component_config config = {.name = "filter", .group = group};
	struct haven_component *c;
	int status = haven_attach(&f->haven, NULL);

	if (!status)
		status = haven_component_register(f->haven, &config, &c);
	if (!status)
		status = flow_table_save(&f->flows, c, INSTANCE);
	if (!status)
		status = haven_worker_begin(c, &f->worker);
	if (!status)
		status = haven_hold_create(f->worker, HOLD_PACKETS, HAVEN_HOLD_REFUSE);
	if (!status)
		status = haven_component_ready(c);
	f->flows.worker = f->worker;
	return status;
}

int main(int argc, char **argv)
{
	struct filter f = {.haven = NULL};
	struct rte_mempool *pool;
	uint64_t packets;
	bool served = true;
	int used = rte_eal_init(argc, argv);

	if (used < 0 || argc - used < 3 || rte_eth_dev_count_avail() != 2)
		return fprintf(stderr, "usage: haven-filter EAL-OPTIONS with two ports -- GROUP "
				       "FLOWS [PACKETS]\n"),
		       2;
	argv += used;
	packets = argc - used > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
	pool = rte_pktmbuf_pool_create("filter", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || port_start(INSIDE, pool) || port_start(OUTSIDE, pool))
		return fprintf(stderr, "haven-filter: the ports do not start\n"), 1;
	if (flow_table_make(&f.flows, (uint32_t)strtoul(argv[2], NULL, 10)))
		return fprintf(stderr, "haven-filter: no memory for %s flows\n", argv[2]), 1;
	if (node_join(&f, argv[1]))
		return fprintf(stderr, "haven-filter: %s\n", haven_last_error(f.haven)), 1;
	signal(SIGTERM, on_stop);
	while (!stopping && served && f.passed[OUTSIDE] < packets) {
		served = turn(&f);
		sched_yield(); /* the node may share the CPU */
	}
	if (!served)
		fprintf(stderr, "haven-filter: %s\n", haven_last_error(f.haven));
	printf("passed out %" PRIu64 " in %" PRIu64 " refused %" PRIu64
	       " lost with the role %" PRIu64 "\n",
	       f.passed[OUTSIDE], f.passed[INSIDE], f.refused, f.held.dropped + f.held.shut);
	haven_dpdk_drain(f.worker);
	haven_detach(f.haven);
	for (uint16_t port = INSIDE; port <= OUTSIDE; port++) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	rte_eal_cleanup();
	return !served;
}
