/* SPDX-License-Identifier: BSD-3-Clause */
/** Ports of the translator on DPDK, and DPDK's start. All calls from one thread. */
#ifndef NAT_IO_H
#define NAT_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "nat.h"

struct rte_mempool;

struct io_options {
	const char *port[NAT_SIDES]; /**< vdev strings, "net_memif0,role=client,…" */
	const char *prefix;          /**< DPDK's file prefix */
	const char *runtime_dir;     /**< where DPDK makes its own folder */
	int cpu;
};

struct io {
	struct rte_mempool *pool;
	uint16_t port[NAT_SIDES];
	uint64_t link_asked_ns;
};

/** Start DPDK and both ports. On failure returns false with a sentence in `error`. */
bool io_start(struct io *io, const struct io_options *o, char *error, unsigned error_bytes);
void io_stop(struct io *io);
/** What the translator needs of packets. */
struct nat_io io_for_nat(struct io *io);
/** Take up to a burst from each side; returns the number of packets. */
unsigned io_receive(struct io *io, struct nat *n);
/** Hand out[] to the ports if the gate is open; returns the number of packets. */
unsigned io_send(struct io *io, struct nat *n);
/** Now and then: a memif client reconnects only when its link is asked for. */
void io_tend(struct io *io, uint64_t now);

#endif
