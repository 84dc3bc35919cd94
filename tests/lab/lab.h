/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * haven-lab: the network of the demonstration in one process. It joins memif ports to three virtual
 * networks, and on two of them it plays the hosts whose packets cross the address translator: a
 * source of many flows inside and an echo server outside, which check every packet.
 *
 * One thread runs everything (lab_main.c). All instants are nanoseconds of CLOCK_MONOTONIC_RAW.
 */
#ifndef HAVEN_LAB_H
#define HAVEN_LAB_H

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "lab_impair.h"
#include "lab_ledger.h"
#include "prng.h"

#define LAB_PORTS_MAX 16
#define LAB_NAME_MAX 16
#define LAB_BURST 64
#define LAB_MACS_MAX 64
#define LAB_ANNOUNCEMENTS_MAX 256

/** Networks; a frame never leaves the one it came in on. */
enum lab_group { LAB_HA = 0, LAB_INSIDE, LAB_OUTSIDE, LAB_GROUPS };
extern const char *const lab_group_names[LAB_GROUPS];

/** One port of the switch. Those that lead to a node have a DPDK port; the hosts of the lab itself
 *  sit on ports without one. */
struct lab_port {
	char name[LAB_NAME_MAX];
	enum lab_group group;
	bool host; /**< a port of the lab's own hosts */
	struct impair impair;
	uint16_t dpdk_port;
	uint16_t queued; /**< frames in `queue`, sent at the end of the turn */
	struct rte_mbuf *queue[LAB_BURST];
	uint64_t rx, tx, tx_full; /**< frames since start; tx_full: the peer's ring had no room */
	/* Since the last mark. Data frames are IPv4 frames that came in here and were accepted. */
	uint64_t data, first_data_ns, last_data_ns;
	uint64_t stale_refused; /**< frames refused because another port owns their source */
};

/** A source address: where it is, and who may use it. */
struct lab_mac {
	struct rte_ether_addr mac;
	uint8_t port;
	bool used;
	uint64_t epoch; /**< newest epoch announced for it, 0: an ordinary address */
};

struct lab_network {
	struct lab_mac mac[LAB_MACS_MAX];
	uint8_t owner; /**< port of the newest announcement, UINT8_MAX: none yet */
	uint64_t owner_epoch;
	/* Since the last mark: longest time without an accepted data frame, and when it began. */
	uint64_t last_data_ns, silence_max_ns, silence_from_ns;
};

/** A gratuitous ARP that carried an epoch. */
struct lab_announcement {
	uint64_t at_ns, epoch;
	uint64_t first_data_ns; /**< first data frame accepted from the port afterwards, 0: none yet
				 */
	struct rte_ether_addr mac;
	uint8_t port;
	bool accepted;
};

struct lab_switch {
	struct lab_port port[LAB_PORTS_MAX];
	unsigned n_ports;
	uint8_t host_port[LAB_GROUPS]; /**< port of the lab's own hosts, UINT8_MAX: none */
	struct lab_network network[LAB_GROUPS];
	struct lab_announcement announcement[LAB_ANNOUNCEMENTS_MAX];
	unsigned n_announcements; /**< since the last mark; the table keeps the first ones */
	uint64_t dual_primary;    /**< since the last mark, see switch_ingress() */
	struct rte_mempool *pool;
	struct prng prng;
	/** Takes frames for the lab's hosts; owns the mbuf afterwards. */
	void (*deliver)(void *context, enum lab_group group, struct rte_mbuf *m, uint64_t now);
	void *deliver_context;
};

/** Prepares an empty switch. `pool` gives copies of flooded and doubled frames. */
void switch_init(struct lab_switch *s, struct rte_mempool *pool);
/** Adds a port; returns its index or -1 when there are too many. */
int switch_add(struct lab_switch *s, enum lab_group group, const char *name, bool host,
	       uint16_t dpdk_port);
/** Port by name, NULL if there is none. */
struct lab_port *switch_find(struct lab_switch *s, const char *name);
/** Takes what has come on all ports; returns the number of frames. */
unsigned switch_poll(struct lab_switch *s);
/** A frame that a host of the lab sends into its network. Owns the mbuf. */
void switch_send(struct lab_switch *s, enum lab_group group, struct rte_mbuf *m, uint64_t now);
/** Sends what is queued; what the peer has no room for is dropped and counted. */
void switch_flush(struct lab_switch *s);
/** Starts the per-round counters anew. */
void switch_mark(struct lab_switch *s, uint64_t now);

/* ---- traffic -------------------------------------------------------------------------------- */

#define LAB_SERVER_PORT 7
/** Servers, with addresses one after the other. A translator has some 64 000 ports towards each; a
 *  flow's server is its number divided by the flows that one gets. */
#define LAB_SERVERS 20
#define LAB_FLOWS_PER_SERVER 50000
/** Inside hosts; a flow's host is its number modulo this. */
#define LAB_HOSTS 200
#define LAB_FIRST_HOST 10

/** Which sequence numbers of one direction have come. */
struct lab_window {
	uint64_t next; /**< one above the greatest seen */
	uint64_t seen; /**< bit i: next - 1 - i has come */
};

struct lab_flow {
	uint32_t inside_ip, outside_ip; /**< outside: as first translated, 0 before */
	uint16_t inside_port, outside_port;
	uint8_t proto;    /**< IPPROTO_UDP or IPPROTO_ICMP */
	bool changed;     /**< its translation was not constant */
	bool shared;      /**< another flow had the same translation */
	uint8_t attempts; /**< of the running verification */
	uint64_t next_seq;
	struct lab_window forward, back;
	uint64_t tried_ns;         /**< newest packet sent */
	uint64_t forward_sent_ns;  /**< when the newest packet that came out was sent */
	uint64_t answered_sent_ns; /**< when the newest packet that was answered was sent */
};

/** Packets of one direction since the last mark. */
struct lab_direction {
	uint64_t sent, received, duplicated, reordered;
};

/** What was wrong with packets since the last mark; any of them is a fault of the translator. */
struct lab_faults {
	uint64_t ip_checksum, l4_checksum, payload, address, shared, changed;
};

enum lab_mode {
	LAB_STOPPED = 0,
	LAB_RUN,    /**< all flows in turn, new ones are opened */
	LAB_VERIFY, /**< each flow until it is answered, a bounded number of times */
};

struct lab_traffic {
	struct lab_switch *sw;
	struct rte_mempool *pool;
	enum lab_mode mode;
	struct lab_flow *flow;
	uint32_t n_flows, flows_max;
	uint32_t flows_wanted; /**< opened at once; more follow at new_per_s */
	uint32_t pps, new_per_s;
	bool udp_only; /**< new flows: ICMP's time out after a minute, too soon for very many */
	uint32_t turn; /**< next flow to send on */
	uint64_t verify_ns;           /**< begin of the verification */
	uint64_t paced_ns, opened_ns; /**< instants up to which packets and flows are accounted */
	uint64_t *translation; /**< set of translations in use: key → flow, open addressing */
	uint32_t *translation_flow;
	uint32_t translation_mask;
	uint32_t gateway_ip, server_ip, inside_net; /**< server_ip: of the first one */
	struct rte_ether_addr inside_mac, outside_mac, gateway_mac;
	bool gateway_known;
	uint64_t asked_ns; /**< newest ARP request for the gateway */
	struct lab_direction forward, back;
	struct lab_faults faults;
	uint64_t unexpected;                  /**< data frames that are not of this traffic */
	uint64_t loss_first_ns, loss_last_ns; /**< send times around the gaps, 0: no gap */
	uint64_t rtt_sum_ns, rtt_max_ns;
	struct ledger ledger;
};

/** Allocates for `flows_max` flows. Returns false when memory is short. */
bool traffic_init(struct lab_traffic *t, struct lab_switch *s, struct rte_mempool *pool,
		  uint32_t flows_max);
void traffic_free(struct lab_traffic *t);
/** Address of the flow's server. */
static inline uint32_t traffic_server_ip(const struct lab_traffic *t, const struct lab_flow *f)
{
	return t->server_ip + (uint32_t)(f - t->flow) / LAB_FLOWS_PER_SERVER;
}
/** Begins or goes on sending. Zero keeps the value of before. */
void traffic_start(struct lab_traffic *t, uint32_t flows, uint32_t pps, uint32_t new_per_s,
		   uint64_t now);
void traffic_verify(struct lab_traffic *t, uint64_t now);
void traffic_stop(struct lab_traffic *t);
/** Starts the per-round counters anew. */
void traffic_mark(struct lab_traffic *t, uint64_t now);
/** Sends what is due; returns the number of packets. */
unsigned traffic_poll(struct lab_traffic *t, uint64_t now);
/** Flows by fate; `pending` are those that the running verification may still try. */
struct lab_flow_counts {
	uint32_t opened, kept, changed, shared, unanswered, pending;
};
void traffic_count(const struct lab_traffic *t, struct lab_flow_counts *out);
/** A frame for the lab's hosts (see lab_switch.deliver). */
void traffic_deliver(void *context, enum lab_group group, struct rte_mbuf *m, uint64_t now);

/* ---- packets ----------------------------------------------------------------------------------
 */

#define LAB_FILLER_BYTES 28
#define LAB_MAGIC 0x4c414256u /* "VBAL" */

/** Payload of every data packet; identical in both directions but for `direction`. */
struct lab_payload {
	uint32_t magic, flow;
	uint64_t seq, sent_ns;
	uint32_t direction; /**< 0: to the server, 1: its answer */
	uint8_t filler[LAB_FILLER_BYTES];
	uint32_t crc; /**< CRC-32C of all before */
} __attribute__((packed));

/** Addresses of a data packet, host byte order. For ICMP both ports are the identifier. */
struct lab_tuple {
	uint32_t src_ip, dst_ip;
	uint16_t src_port, dst_port;
	uint8_t proto;
};

enum lab_packet_fault {
	LAB_PACKET_OK = 0,
	LAB_PACKET_FOREIGN, /**< not of this traffic */
	LAB_PACKET_IP_CHECKSUM,
	LAB_PACKET_L4_CHECKSUM,
	LAB_PACKET_PAYLOAD
};

/** A whole data frame, or NULL when the pool is empty. */
struct rte_mbuf *packet_make(struct rte_mempool *pool, const struct rte_ether_addr *src,
			     const struct rte_ether_addr *dst, const struct lab_tuple *tuple,
			     struct lab_payload *payload);
/** Checks every field and checksum of a data frame and takes it apart. */
enum lab_packet_fault packet_read(const struct rte_mbuf *m, struct lab_tuple *tuple,
				  struct lab_payload *payload);
/** An ARP frame for Ethernet and IPv4; `target` is ignored for a request. */
struct rte_mbuf *packet_make_arp(struct rte_mempool *pool, uint16_t opcode,
				 const struct rte_ether_addr *sender, uint32_t sender_ip,
				 const struct rte_ether_addr *target, uint32_t target_ip);
struct lab_arp {
	uint16_t opcode;
	uint32_t sender_ip, target_ip;
	struct rte_ether_addr sender;
	uint64_t epoch; /**< of the trailer, 0: none */
};
/** True when the frame is a well-formed ARP frame for Ethernet and IPv4. */
bool packet_read_arp(const struct rte_mbuf *m, struct lab_arp *out);
bool packet_is_ipv4(const struct rte_mbuf *m);

/* ---- control ------------------------------------------------------------------------------------
 */

struct lab_control;
/** What commands act on, and what only the main loop knows. */
struct lab {
	struct lab_switch *sw;
	struct lab_traffic *traffic;
	struct lab_control *control;
	uint64_t mark_ns;
	uint64_t gap_max_ns, gap_at_ns; /**< longest turn of the loop since the last mark */
	uint64_t turns, turns_idle;     /**< since the last mark */
	bool quit;
};

/** Listens on the socket `path`. NULL on failure, errno is kept. */
struct lab_control *control_open(const char *path);
/** Serves what clients have sent; never waits. */
void control_poll(struct lab_control *c, struct lab *lab, uint64_t now);
void control_close(struct lab_control *c);

#endif
