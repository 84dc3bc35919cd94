/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Output commit for mbufs: haven_hold() and haven_release() with a DPDK port behind them. Header
 * only, so libhaven itself needs no DPDK; the program that includes this links both.
 *
 *     haven_hold_create(w, 4096, HAVEN_HOLD_REFUSE);
 *     per turn:  haven_poll; receive; haven_put...; seq = haven_commit(w, t);
 *                taken = haven_dpdk_hold(w, t, seq, burst, n, &counts);   // rest: drop, or wait
 *                haven_dpdk_release(w, instance, port, queue, &counts);
 *     at the end: haven_dpdk_drain(w); haven_worker_end(w);
 *
 * All calls belong to the worker's thread; the mbufs held are one instance's and one queue's. Who
 * sends to several of them calls haven_release() itself and sorts what comes out.
 */
#ifndef HAVEN_DPDK_H
#define HAVEN_DPDK_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "haven.h"

/** Most mbufs of one haven_dpdk_release(). */
#define HAVEN_DPDK_BURST 64u
/** How often a port that takes less than it is given is asked again. */
#define HAVEN_DPDK_TRIES 4u

/** What became of mbufs; begin with zero. Every one that was held is counted once. */
struct haven_dpdk_counts {
	uint64_t sent;    /**< taken by the port while the gate was open */
	uint64_t evicted; /**< freed: they had to make room (HAVEN_HOLD_DROP_OLDEST) */
	uint64_t dropped; /**< freed: the role was lost since they were held */
	uint64_t shut;    /**< freed: acknowledged, but the gate was shut */
	uint64_t full;    /**< freed: the port did not take them */
};

/** Hold the `n` mbufs of a burst until `seq` of `t` is acknowledged. Returns how many were taken,
 *  from the first on; the others stay the caller's, see enum haven_hold_overflow. */
static inline unsigned haven_dpdk_hold(struct haven_worker *w, struct haven_table *t, uint64_t seq,
				       struct rte_mbuf *const *m, unsigned n,
				       struct haven_dpdk_counts *counts)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		void *evicted;

		if (haven_hold(w, t, seq, m[i], &evicted) != 0)
			break;
		if (evicted) {
			rte_pktmbuf_free((struct rte_mbuf *)evicted);
			counts->evicted++;
		}
	}
	return i;
}

/** Send what is acknowledged, HAVEN_DPDK_BURST mbufs at most, if the gate of `instance` is open,
 *  and free what may not leave. A burst that left while the gate shut is counted by the worker
 *  (haven_gate_check()). Returns how many the port took. */
static inline unsigned haven_dpdk_release(struct haven_worker *w, unsigned instance, uint16_t port,
					  uint16_t queue, struct haven_dpdk_counts *counts)
{
	void *out[HAVEN_DPDK_BURST], *dropped[HAVEN_DPDK_BURST];
	struct rte_mbuf **m = (struct rte_mbuf **)(void *)out;
	unsigned n_dropped, sent = 0;
	unsigned n = haven_release(w, out, dropped, HAVEN_DPDK_BURST, &n_dropped);
	bool open = n && haven_gate(w, instance);

	rte_pktmbuf_free_bulk((struct rte_mbuf **)(void *)dropped, n_dropped);
	for (unsigned i = 0; open && i < HAVEN_DPDK_TRIES && sent < n; i++)
		sent += rte_eth_tx_burst(port, queue, m + sent, (uint16_t)(n - sent));
	rte_pktmbuf_free_bulk(m + sent, n - sent);
	haven_gate_check(w, instance, sent);
	counts->sent += sent;
	counts->dropped += n_dropped;
	*(open ? &counts->full : &counts->shut) += n - sent;
	return sent;
}

/** Free everything that is held: before the worker ends, or its port. Returns how many. */
static inline unsigned haven_dpdk_drain(struct haven_worker *w)
{
	void *out[HAVEN_DPDK_BURST];
	unsigned n, all = 0;

	while ((n = haven_hold_drain(w, out, HAVEN_DPDK_BURST)) != 0) {
		rte_pktmbuf_free_bulk((struct rte_mbuf **)(void *)out, n);
		all += n;
	}
	return all;
}

#endif
