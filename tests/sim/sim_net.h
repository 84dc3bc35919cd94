/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The simulated network: per directed pair and link a delay, cuts and clogs; per frame loss,
 * duplication, lateness, corruption and replay. Frames are bytes in a pool; whoever receives one
 * decodes it again.
 *
 * It stands in for authentication too: a corrupted frame and one that was sealed for another life
 * of its receiver are dropped, exactly those that the tag would refuse.
 */
#ifndef HAVEN_SIM_NET_H
#define HAVEN_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "brain.h"
#include "frame.h"
#include "sim_options.h"

struct sim_world;
struct sim_node;

#define SIM_POOL_FRAMES 65536u
#define SIM_RECORDED 64u
/** Frames that wait at a node's port; more are lost, as in a full receive ring. */
#define SIM_RX_MAX 1024u

struct sim_frame {
	uint16_t bytes;
	uint8_t src, dst, link, type;
	bool corrupt;
	uint32_t next_free;
	uint64_t counter;
	uint8_t data[FRAME_BYTES_MAX];
};

struct sim_path {
	uint64_t delay_ns, jitter_ns;
	uint64_t cut_until, clog_until;
};

struct sim_net {
	struct sim_frame *pool;
	uint32_t free_head;              /**< given back */
	uint32_t untouched;              /**< frames from here on have not been used by this seed */
	uint32_t recorded[SIM_RECORDED]; /**< pool indices + 1, 0: none */
	uint32_t records;
	struct sim_path path[SIM_NODES][SIM_NODES][SIM_LINKS];
};

void sim_net_reset(struct sim_world *w);
/** Encode a frame that a brain wants sent (OUT_FRAME), and send it on the links that it names.
 *  `held_ns`: the sender stalls before it hands the frame over. */
void sim_net_send(struct sim_world *w, unsigned node, struct brain_output *o, uint64_t held_ns);
/** SIM_EV_FRAME: put it at the node's port. */
void sim_net_arrive(struct sim_world *w, uint32_t index);
/** Take the oldest frame from the port, decoded; false when there is none left. `*payload` keeps
 *  the bytes alive until sim_net_release(). */
bool sim_net_take(struct sim_world *w, struct sim_node *n, struct frame *f, uint8_t *link,
		  uint32_t *index);
void sim_net_release(struct sim_world *w, uint32_t index);
/** Forget what waits at a node's port. */
void sim_net_flush(struct sim_world *w, struct sim_node *n);
/** SIM_EV_REPLAY: an attacker sends a recorded frame again. */
void sim_net_replay(struct sim_world *w, uint32_t record);
/** Faults of the network as a whole. */
void sim_net_cut(struct sim_world *w, unsigned from, unsigned to, unsigned link, uint64_t until);
void sim_net_heal(struct sim_world *w);

#endif
