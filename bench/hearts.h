/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Nodes that do nothing but beat, for what a heartbeat costs: the node's own brain, authentication
 * and port code, on a link that is a ring of DPDK within this process. Time is the caller's.
 *
 * A frame goes the way of the node's poll loop: brain, codec, tag, headers, driver; and back.
 */
#ifndef HAVEN_BENCH_HEARTS_H
#define HAVEN_BENCH_HEARTS_H

#include "auth.h"
#include "brain.h"
#include "port.h"

#define HEARTS_MAX HAVEN_NODES_MAX
/* The defaults of the configuration. */
#define HEARTS_INTERVAL_NS 1000000u
#define HEARTS_GUARD_NS 1000000u

struct hearts {
	unsigned n;
	uint64_t now;
	struct brain *brain[HEARTS_MAX];
	struct auth *auth[HEARTS_MAX];
	struct port port[HEARTS_MAX]; /**< all are ends of the one ring */
	struct brain_outputs *out;
	struct frame beat; /**< the newest from node 1 to node 0 */
	struct rte_mbuf *held[2 * HEARTS_MAX];
	unsigned n_held; /**< for node 0, while `holds` */
	bool holds;
	bool mute; /**< node 0's frames are made and thrown away: the ring has one writer */
	/** Told of each good beat that node 0 has taken; NULL: nobody is. */
	void (*heard)(struct hearts *h, const struct frame *f);
};

/** Start DPDK and the ring; once. Returns 0 or 1 after telling why on stderr. */
int hearts_open(void);
void hearts_close(void);
/** `n` nodes from now on, which have agreed on a view when this returns. Ends those before. Returns
 *  0 or 1. */
int hearts_start(struct hearts *h, unsigned n, uint64_t now);
void hearts_end(struct hearts *h);

/** Node `k` ticks; what it says is handed to the driver. Returns the frames. Node 0 beats at each
 *  whole interval after the start, the others a tenth of one earlier. */
unsigned hearts_tick(struct hearts *h, unsigned k);
/** All but node 0 tick, and what they say is delivered. */
void hearts_tick_others(struct hearts *h);
/** Encode, seal and queue a frame of node `k`. False: there is no buffer. */
bool hearts_send(struct hearts *h, unsigned k, const struct frame *f, uint64_t now);
/** Queue what is a frame already, or is to pass for one. */
bool hearts_send_raw(struct hearts *h, unsigned k, unsigned to, const uint8_t *data, size_t size);
/** Hand everything that waits in the ring to whom it is for; `holds`: but what is for node 0. */
void hearts_deliver(struct hearts *h);
/** Put what is held back into the ring, where node 0 finds it. Returns the frames. */
unsigned hearts_return_held(struct hearts *h);
/** What the poll loop does with a frame. */
enum frame_fault hearts_take(struct hearts *h, unsigned k, uint8_t *data, size_t size,
			     uint64_t now);
/** One burst of the port for node `k`. Returns frames received; `*taken` grows by the good ones. */
unsigned hearts_receive(struct hearts *h, unsigned k, uint64_t *taken);

#endif
