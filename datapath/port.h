/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * HA ports: the DPDK ports on which frames between nodes travel. Each is one link.
 *
 * A port is named in the configuration either by the name of a port that DPDK has already (a NIC,
 * or one of the embedding application) or by a virtual device string (`net_memif0,role=…`), which
 * is then made here. One receive and one transmit queue.
 *
 * Around a frame stands what wrap.h says. On a link that carries UDP the next hops are resolved
 * while frames are sent; a frame whose next hop is not known yet is dropped and counted, as the
 * network might have done.
 *
 * Thread rule: everything belongs to the poll loop, except port_link_ask() and port_link_up().
 */
#ifndef HAVEN_PORT_H
#define HAVEN_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "haven_types.h"
#include "neighbour.h"
#include "wrap.h"

struct rte_mbuf;
struct rte_mempool;

#define PORT_BURST 32u
#define PORT_SPEC_MAX 256u

/** Both ends of a link: how frames are wrapped, where the peers are. */
struct port_ends {
	struct wrap wrap;
	unsigned n; /**< nodes */
	struct wrap_address peer[HAVEN_NODES_MAX];
	/** IP address of the next hop to each: its own, or that of a gateway. UDP only. */
	uint8_t hop[HAVEN_NODES_MAX][WRAP_IP_BYTES];
};

struct port {
	char name[64];
	uint16_t id;
	bool made_here;      /**< a virtual device that port_close() removes */
	bool waits_for_peer; /**< cannot start while its other end does not listen */
	uint32_t started;    /**< writer: who opens, then the thread that asks (P1) */
	uint32_t idle;       /**< writer: the loop, which has seen that it is not started (P2) */
	int patience;        /**< of the thread that asks */
	struct rte_mempool *pool;
	struct wrap wrap;
	unsigned n_peers;
	struct wrap_address peer[HAVEN_NODES_MAX];
	struct neighbour hop[HAVEN_NODES_MAX];
	uint16_t queued;
	struct rte_mbuf *queue[PORT_BURST];
	uint64_t received, sent;
	uint64_t tx_lost;    /**< could not be sent: no link, or the ring was full */
	uint64_t foreign;    /**< received, but not a frame for this node */
	uint64_t unresolved; /**< not sent, for the next hop was not known yet */
	uint32_t link_up;    /**< writer: the thread that asks */
};

/** The process's buffers for frames. NULL after an error. */
struct rte_mempool *port_pool_create(const char *name, uint32_t count, struct error_text *error);
void port_pool_free(struct rte_mempool *pool);

/** Open and start. Errors: ENOENT (no such device), ESYS; the text says what DPDK said. */
int port_open(struct port *p, const char *spec, struct rte_mempool *pool,
	      const struct port_ends *ends, struct error_text *error);
/** Stop; frees what is queued. */
void port_close(struct port *p);

/** Up to `max` buffers that have come; the caller frees them with port_release(). */
unsigned port_receive(struct port *p, struct rte_mbuf **out, unsigned max);
/** The frame in a received buffer, NULL when it is not one for this node: then it was a word about
 *  next hops, which is taken note of and answered, or foreign, which is counted. */
uint8_t *port_frame(struct port *p, struct rte_mbuf *m, uint64_t now, size_t *size);
void port_release(struct rte_mbuf **mbufs, unsigned n);

/** An empty buffer; `*frame` is where to write up to `*room` bytes. NULL when there is none. */
struct rte_mbuf *port_buffer(struct rte_mempool *pool, uint8_t **frame, size_t *room);
/** A copy of a finished buffer, for a further link. NULL when there is none. */
struct rte_mbuf *port_buffer_copy(struct rte_mempool *pool, const struct rte_mbuf *m);
/** Finish a buffer that now holds `size` bytes of frame. */
void port_buffer_finish(struct rte_mbuf *m, size_t size);
/** Queue a finished buffer for node `to`; it is sent at the latest by the next port_flush(). */
void port_send(struct port *p, struct rte_mbuf *m, unsigned to, uint64_t now);
/** Hand what is queued to the driver. What it does not take is freed and counted as lost. */
void port_flush(struct port *p);

/** Ask the driver for the state of the link; a memif client starts and connects only when asked.
 * Any one thread; may enter the kernel. Returns true when the state has changed. */
bool port_link_ask(struct port *p);
/** State at the last time it was asked for. */
bool port_link_up(const struct port *p);

#endif
