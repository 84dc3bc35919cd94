/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The translator: one worker of a stateful source NAT, made highly available with libhaven. It
 * works on bytes and handles, so everything but the ports (io.h) is tested without DPDK.
 *
 * One `struct nat` belongs to one thread. Per turn of the loop:
 *
 *     nat_turn_begin -> nat_receive (each packet) -> nat_turn_end -> send out[], nat_sent
 */
#ifndef NAT_NAT_H
#define NAT_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "arp.h"
#include "count.h"
#include "flow.h"
#include "haven.h"
#include "hold.h"
#include "packet.h"
#include "pool.h"

enum nat_side { NAT_INSIDE = 0, NAT_OUTSIDE = 1, NAT_SIDES };

#define NAT_BURST 32u
#define NAT_OUT_MAX 512u
#define NAT_TAKEOVERS_MAX 64u
#define NAT_FLOWS_TABLE "flows"
#define NAT_NEIGHBOURS_TABLE "neighbours"

struct nat_config {
	uint32_t ip[NAT_SIDES];   /**< virtual addresses, network byte order */
	uint32_t mask[NAT_SIDES]; /**< network byte order */
	uint32_t gateway;         /**< outside, network byte order; 0: none */
	uint8_t mac[NAT_SIDES][6];
	struct pool pool;
	uint32_t flows;           /**< capacity of the flow table */
	uint32_t timeout_divisor; /**< 1; larger to see time-outs sooner */
	uint64_t seed;            /**< of the private hashes, random */
};

/** Key and value of the mirrored neighbour table. */
struct nat_neighbour_key {
	uint32_t ip;
	uint32_t side;
};
struct nat_neighbour_value {
	uint8_t mac[6];
	uint8_t zero[2];
};

/** What the translator needs of Haven, see nat_tables_create(). */
struct nat_haven {
	struct haven_worker *worker;
	struct haven_table *flows, *neighbours;
	unsigned instance;
};

/** One time this translator became primary. Instants are 0 until they have come. */
struct nat_takeover {
	uint64_t epoch;
	uint64_t gate_ns;   /**< gate first seen open */
	uint64_t garp_ns;   /**< addresses announced on both sides */
	uint64_t packet_ns; /**< first translated packet handed to a port */
	uint64_t warm_ns;   /**< every flow of the checkpoint is in the working copy */
	uint64_t committed; /**< sequence of the flow table at that moment */
	uint32_t flows;     /**< entries of the flow table at that moment */
};

struct nat_out {
	struct nat_packet packet[NAT_OUT_MAX];
	unsigned n, n_data; /**< all, and those that are translated packets */
};

/** How the translator gets and gives back packets. */
struct nat_io {
	void *context;
	/** A packet with these bytes, `handle` NULL when there is no memory. */
	struct nat_packet (*make)(void *context, const uint8_t *frame, unsigned bytes);
	void (*drop)(void *context, void *handle);
};

struct nat {
	struct nat_config config;
	struct nat_haven haven;
	struct nat_io io;
	uint64_t now; /**< of this turn */
	bool primary; /**< the gate was seen open for the epoch below */
	bool open;    /**< and it was open at the begin of this turn */
	uint64_t epoch;
	struct flow_table flows;
	struct arp_cache arp;
	struct held_pool held; /**< wait for acknowledgement: in the worker's ring, or below */
	struct hold wait;      /**< wait for a next hop */
	struct nat_out out[NAT_SIDES];
	uint32_t burst_flow[2 * NAT_BURST]; /**< flows put in this turn and not committed */
	unsigned n_burst_flows;
	struct held
		*burst_held[2 * NAT_BURST]; /**< of this turn: held as soon as it is committed */
	unsigned n_burst_held;
	bool flows_changed, neighbours_changed; /**< something is to be committed */
	bool warm;                              /**< the working copy holds every flow */
	uint32_t warm_cursor;
	unsigned announced; /**< announcements sent since the promotion */
	uint64_t promoted_ns;
	uint64_t waited_ns; /**< when the queue for next hops was last looked through */
	bool garp_out;      /**< out[] holds an announcement */
	struct nat_counts counts;
	struct nat_takeover takeover[NAT_TAKEOVERS_MAX]; /**< a ring, newest at n_takeovers - 1 */
	uint64_t n_takeovers;
	bool report; /**< a takeover has got a new instant: statistics are worth writing */
};

/** Allocates. False when memory is short. `haven` may still be empty. */
bool nat_init(struct nat *n, const struct nat_config *config, const struct nat_io *io);
/** Drops what is queued and frees. */
void nat_free(struct nat *n);
/** Create the mirrored tables of `instance` on `c`. Returns 0 or a negative error. */
int nat_tables_create(struct nat *n, struct haven_component *c, unsigned instance);
/** Begin to work for an attachment whose worker has begun. Returns 0 or a negative error. */
int nat_attach(struct nat *n, struct haven_worker *worker);
/** The attachment is about to end: its tables will be gone. */
void nat_detach(struct nat *n);

/** Begin a turn: roles, gate. `changes` is what haven_poll() returned. */
void nat_turn_begin(struct nat *n, unsigned changes, uint64_t now);
/** A packet that came in on `side`; the translator owns it now. At most NAT_BURST per side. */
void nat_receive(struct nat *n, enum nat_side side, struct nat_packet packet);
/** Commit, release what is acknowledged, timers. Returns true when there was work. */
bool nat_turn_end(struct nat *n);
/** The gate is shut: drop out[]. */
void nat_discard(struct nat *n);
/** out[] was handed to the ports (`in_time`: the gate was still open afterwards). */
void nat_sent(struct nat *n, bool in_time, uint64_t now);

/* ---- between the files of the translator ---------------------------------------------------- */

void nat_drop(struct nat *n, struct nat_packet packet, enum nat_count reason);
/** Send a rewritten packet: finds its next hop (`ip`), or lets it wait for it. */
void nat_forward(struct nat *n, struct nat_packet packet, uint32_t ip);
/** An ARP frame of our own. */
void nat_send_arp(struct nat *n, enum nat_side side, const uint8_t *to, const struct arp_message *m,
		  uint64_t epoch);
/** An address was heard of: noted when it is on the link. */
void nat_learn(struct nat *n, enum nat_side side, uint32_t ip, const uint8_t *mac);
void nat_receive_arp(struct nat *n, enum nat_side side, struct nat_packet packet);
/** Gratuitous frames in both forms on both sides. */
void nat_announce(struct nat *n);
/** Ask again for what packets wait for, give up what came too late. */
void nat_wait_turn(struct nat *n);
/** A packet waits for its acknowledgement no longer: what is known of it. */
struct held nat_held_take(struct nat *n, struct held *held);
/** Cease to be primary: forget the working copy, drop what is queued. */
void nat_demote(struct nat *n);
/** Drop everything that is queued. */
void nat_drop_queued(struct nat *n);

/** Flow of a packet; 0 with `*reason` when there is none and none could be made. */
uint32_t nat_flow_inward(struct nat *n, const struct flow_key *key, enum nat_count *reason);
uint32_t nat_flow_outward(struct nat *n, const struct flow_tuple *tuple);
uint32_t nat_flow_open(struct nat *n, const struct flow_tuple *tuple, enum nat_count *reason);
/** Move a flow to another state, mirrored. Returns the reason when it cannot be. */
enum nat_count nat_flow_move(struct nat *n, uint32_t number, enum flow_state state);
/** Commit what this turn has put. */
void nat_flow_commit(struct nat *n);
/** Bounded work: fetch flows of the checkpoint, expire idle ones. */
bool nat_flow_tend(struct nat *n);

#endif
