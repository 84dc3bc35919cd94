/* SPDX-License-Identifier: BSD-3-Clause */
#include "port.h"

#include <errno.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <string.h>

#include "atomic.h"
#include "eal.h"
#include "haven_assert.h"
#include "memif.h"

HAVEN_STATIC_ASSERT(WRAP_BYTES_MAX <= RTE_PKTMBUF_HEADROOM, "headers fit in front of a frame");

/* Descriptors wanted of a driver that has no opinion. */
#define PORT_DESCRIPTORS 512
/* Looks at a link that does not come up before its device is started anew. */
#define PORT_PATIENCE 20

struct rte_mempool *port_pool_create(const char *name, uint32_t count, struct error_text *error)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		name, count, 128, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (!pool)
		error_set(error, HAVEN_ENOMEM, "no memory for %u frame buffers: %s", count,
			  eal_sentence(rte_errno));
	return pool;
}

void port_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

/* The generic reasons of a failed device say little; what the driver said stands on stderr. */
static const char *make_reason(int err)
{
	switch (err) {
	case -EFAULT:
		return "no driver knows such a device; remedy: net_memif0,… or "
		       "net_af_packet0,iface=NAME, or the name of a port";
	case -EPERM:
		return "its driver refused; remedy: check the arguments, that the interface "
		       "exists, "
		       "and CAP_NET_RAW for af_packet";
	default:
		return eal_sentence(err);
	}
}

/* Port number of the device, which is made if DPDK does not have it yet. */
static int port_find_or_make(struct port *p, const char *spec, struct error_text *error)
{
	size_t name_bytes = strcspn(spec, ",");
	const char *arguments = spec[name_bytes] ? spec + name_bytes + 1 : "";
	int err;

	if (name_bytes == 0 || name_bytes >= sizeof(p->name))
		return error_set(error, HAVEN_EINVAL, "port '%s': the device name is %s", spec,
				 name_bytes ? "too long" : "missing");
	memcpy(p->name, spec, name_bytes);
	p->name[name_bytes] = '\0';
	if (rte_eth_dev_get_port_by_name(p->name, &p->id) == 0)
		return 0;
	memif_socket_tidy(spec);
	err = rte_eal_hotplug_add("vdev", p->name, arguments);
	if (err != 0)
		return error_set(error, HAVEN_ENOENT,
				 "port '%s': DPDK has no port of this name and cannot make it: %s",
				 spec, make_reason(err));
	if (rte_eth_dev_get_port_by_name(p->name, &p->id) != 0) {
		rte_eal_hotplug_remove("vdev", p->name);
		return error_set(error, HAVEN_ENOENT, "port '%s' is not an Ethernet device", spec);
	}
	p->made_here = true;
	return 0;
}

static int port_start(struct port *p, struct rte_mempool *pool, struct error_text *error)
{
	uint16_t rx = PORT_DESCRIPTORS, tx = PORT_DESCRIPTORS;
	struct rte_eth_conf conf = {0};
	struct rte_ether_addr address;
	int err;

	memcpy(address.addr_bytes, p->wrap.self.mac, sizeof(address.addr_bytes));
	err = rte_eth_dev_configure(p->id, 1, 1, &conf);
	if (!err)
		err = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx);
	if (!err)
		err = rte_eth_rx_queue_setup(p->id, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (!err)
		err = rte_eth_tx_queue_setup(p->id, 0, tx, SOCKET_ID_ANY, NULL);
	if (!err) {
		err = rte_eth_dev_start(p->id);
		store_relaxed(&p->started, err == 0);
		if (err && p->waits_for_peer)
			err = 0; /* port_link_ask() tries again */
	}
	if (err)
		return error_set(error, HAVEN_ESYS, "port '%s' does not start: %s", p->name,
				 eal_sentence(err));
	/* The own address need not be the device's. Only a device that cannot pass everything is
	 * given it: a kernel interface below keeps the address its owner knows. */
	if (rte_eth_promiscuous_enable(p->id) != 0)
		rte_eth_dev_default_mac_addr_set(p->id, &address);
	return 0;
}

int port_open(struct port *p, const char *spec, struct rte_mempool *pool,
	      const struct port_ends *ends, struct error_text *error)
{
	int err;

	HAVEN_ASSERT(ends->n <= HAVEN_NODES_MAX);
	memset(p, 0, sizeof(*p));
	p->pool = pool;
	p->wrap = ends->wrap;
	p->n_peers = ends->n;
	memcpy(p->peer, ends->peer, sizeof(p->peer));
	for (unsigned i = 0; i < ends->n; i++)
		memcpy(p->hop[i].ip, ends->hop[i], sizeof(p->hop[i].ip));
	p->waits_for_peer = memif_is_client(spec);
	p->patience = PORT_PATIENCE;
	err = port_find_or_make(p, spec, error);
	if (err)
		return err;
	err = port_start(p, pool, error);
	if (err) {
		if (p->made_here)
			rte_eal_hotplug_remove("vdev", p->name);
		return err;
	}
	port_link_ask(p);
	return 0;
}

void port_close(struct port *p)
{
	port_release(p->queue, p->queued);
	p->queued = 0;
	rte_eth_dev_stop(p->id);
	if (p->made_here) {
		rte_eth_dev_close(p->id);
		rte_eal_hotplug_remove("vdev", p->name);
	}
}

unsigned port_receive(struct port *p, struct rte_mbuf **out, unsigned max)
{
	unsigned n;

	if (!load_acquire(&p->started)) {   /* P1 */
		store_release(&p->idle, 1); /* P2 */
		return 0;
	}
	n = rte_eth_rx_burst(p->id, 0, out, (uint16_t)max);
	p->received += n;
	return n;
}

/** Queue for the wire. */
static void port_queue(struct port *p, struct rte_mbuf *m)
{
	if (p->queued == PORT_BURST)
		port_flush(p);
	p->queue[p->queued++] = m;
}

/* Without a buffer the question is not answered; it will be asked again. */
static void port_say(struct port *p, const uint8_t *packet, size_t bytes)
{
	struct rte_mbuf *m = bytes ? rte_pktmbuf_alloc(p->pool) : NULL;

	if (!m)
		return;
	memcpy(rte_pktmbuf_append(m, (uint16_t)bytes), packet, bytes);
	port_queue(p, m);
}

/** Some drivers take the VLAN tag out and tell it aside. */
static void vlan_restore(struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth;

	if (!(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED))
		return;
	m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN);
	eth = (struct rte_ether_hdr *)(void *)rte_pktmbuf_prepend(m, sizeof(struct rte_vlan_hdr));
	if (!eth)
		return;
	memmove(eth, (uint8_t *)eth + sizeof(struct rte_vlan_hdr), 2 * sizeof(eth->src_addr));
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN);
	((struct rte_vlan_hdr *)(void *)(eth + 1))->vlan_tci = rte_cpu_to_be_16(m->vlan_tci);
}

uint8_t *port_frame(struct port *p, struct rte_mbuf *m, uint64_t now, size_t *size)
{
	uint8_t answer[NEIGHBOUR_BYTES_MAX], *packet, *frame = NULL;

	vlan_restore(m);
	packet = rte_pktmbuf_mtod(m, uint8_t *);
	/* A chained buffer is longer than any frame of ours. */
	if (m->nb_segs == 1)
		frame = wrap_read(&p->wrap, packet, rte_pktmbuf_data_len(m), size);
	if (frame)
		return frame;
	p->foreign++;
	if (m->nb_segs == 1 && p->wrap.kind != WRAP_ETHERNET)
		port_say(p, answer,
			 neighbour_take(&p->wrap, p->hop, p->n_peers, packet,
					rte_pktmbuf_data_len(m), now, answer));
	return NULL;
}

void port_release(struct rte_mbuf **mbufs, unsigned n)
{
	if (n)
		rte_pktmbuf_free_bulk(mbufs, n);
}

struct rte_mbuf *port_buffer(struct rte_mempool *pool, uint8_t **frame, size_t *room)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m) {
		*frame = rte_pktmbuf_mtod(m, uint8_t *);
		*room = rte_pktmbuf_tailroom(m);
	}
	return m;
}

struct rte_mbuf *port_buffer_copy(struct rte_mempool *pool, const struct rte_mbuf *m)
{
	return rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
}

void port_buffer_finish(struct rte_mbuf *m, size_t size)
{
	HAVEN_ASSERT(size <= rte_pktmbuf_tailroom(m));
	m->data_len = (uint16_t)size;
	m->pkt_len = m->data_len;
}

/** True when the Ethernet address of the next hop to `to` stands in p->peer; asks if need be. */
static bool port_resolve(struct port *p, unsigned to, uint64_t now)
{
	struct neighbour *hop = &p->hop[to];
	uint8_t question[NEIGHBOUR_BYTES_MAX];

	if (p->wrap.kind == WRAP_ETHERNET)
		return true;
	if (neighbour_due(hop, now))
		port_say(p, question, neighbour_ask(&p->wrap, hop, question));
	memcpy(p->peer[to].mac, hop->mac, WRAP_MAC_BYTES);
	return hop->known;
}

void port_send(struct port *p, struct rte_mbuf *m, unsigned to, uint64_t now)
{
	size_t frame_bytes = rte_pktmbuf_data_len(m);
	uint8_t *packet;

	HAVEN_ASSERT(to < p->n_peers);
	if (!port_resolve(p, to, now)) {
		p->unresolved++;
		rte_pktmbuf_free(m);
		return;
	}
	packet = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)wrap_bytes(&p->wrap));
	HAVEN_ASSERT(packet);
	wrap_write(&p->wrap, &p->peer[to], packet, frame_bytes);
	port_queue(p, m);
}

void port_flush(struct port *p)
{
	uint16_t n = 0;

	if (!p->queued)
		return;
	if (load_acquire(&p->started)) /* P1 */
		n = rte_eth_tx_burst(p->id, 0, p->queue, p->queued);
	p->sent += n;
	p->tx_lost += p->queued - n;
	port_release(p->queue + n, p->queued - n);
	p->queued = 0;
}

/** Start a device whose other end was not there, once the loop keeps away from it. */
static bool port_start_again(struct port *p)
{
	if (!load_acquire(&p->idle)) /* P2 */
		return false;
	rte_eth_dev_stop(p->id);
	if (rte_eth_dev_start(p->id) != 0)
		return false;
	p->patience = PORT_PATIENCE;
	store_relaxed(&p->idle, 0);
	store_release(&p->started, 1); /* P1: the loop finds the device running */
	return true;
}

bool port_link_ask(struct port *p)
{
	struct rte_eth_link link = {0};
	uint32_t up, before = load_relaxed(&p->link_up);

	if (!load_relaxed(&p->started) && !port_start_again(p))
		return false;
	up = rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
	store_relaxed(&p->link_up, up);
	/* A memif client does not connect again by itself. */
	if (p->waits_for_peer && !up && (before || p->patience-- == 0))
		store_release(&p->started, 0);
	return up != before;
}

bool port_link_up(const struct port *p)
{
	return load_relaxed(&p->link_up) != 0;
}
