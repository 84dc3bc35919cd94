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
#include "hash.h"
#include "haven_assert.h"

HAVEN_STATIC_ASSERT(PORT_HEADER_BYTES == sizeof(struct rte_ether_hdr), "Ethernet header");

/* Descriptors wanted of a driver that has no opinion. */
#define PORT_DESCRIPTORS 512

void port_address(const char *cluster, uint8_t node, uint8_t out[PORT_ADDRESS_BYTES])
{
	const uint8_t address[PORT_ADDRESS_BYTES] = {
		0x02, 0x48, 0x56, (uint8_t)hash_bytes(cluster, strlen(cluster), 0), node, 0};

	memcpy(out, address, sizeof(address));
}

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

	memcpy(address.addr_bytes, p->address, sizeof(address.addr_bytes));
	err = rte_eth_dev_configure(p->id, 1, 1, &conf);
	if (!err)
		err = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx);
	if (!err)
		err = rte_eth_rx_queue_setup(p->id, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (!err)
		err = rte_eth_tx_queue_setup(p->id, 0, tx, SOCKET_ID_ANY, NULL);
	if (!err)
		err = rte_eth_dev_start(p->id);
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
	      const uint8_t address[PORT_ADDRESS_BYTES], struct error_text *error)
{
	int err;

	memset(p, 0, sizeof(*p));
	memcpy(p->address, address, PORT_ADDRESS_BYTES);
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
	unsigned n = rte_eth_rx_burst(p->id, 0, out, (uint16_t)max);

	p->received += n;
	return n;
}

uint8_t *port_frame(struct port *p, struct rte_mbuf *m, size_t *size)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);

	/* A chained buffer is longer than any frame of ours. */
	if (m->nb_segs != 1 || rte_pktmbuf_data_len(m) < PORT_HEADER_BYTES ||
	    eth->ether_type != rte_cpu_to_be_16(PORT_ETHERTYPE) ||
	    memcmp(eth->dst_addr.addr_bytes, p->address, PORT_ADDRESS_BYTES) != 0) {
		p->foreign++;
		return NULL;
	}
	*size = rte_pktmbuf_data_len(m) - PORT_HEADER_BYTES;
	return (uint8_t *)eth + PORT_HEADER_BYTES;
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
		*frame = rte_pktmbuf_mtod_offset(m, uint8_t *, PORT_HEADER_BYTES);
		*room = rte_pktmbuf_tailroom(m) - PORT_HEADER_BYTES;
	}
	return m;
}

struct rte_mbuf *port_buffer_copy(struct rte_mempool *pool, const struct rte_mbuf *m)
{
	return rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
}

void port_buffer_finish(struct rte_mbuf *m, size_t size, const uint8_t source[PORT_ADDRESS_BYTES],
			const uint8_t destination[PORT_ADDRESS_BYTES])
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);

	HAVEN_ASSERT(size + PORT_HEADER_BYTES <= rte_pktmbuf_tailroom(m));
	memcpy(eth->src_addr.addr_bytes, source, PORT_ADDRESS_BYTES);
	memcpy(eth->dst_addr.addr_bytes, destination, PORT_ADDRESS_BYTES);
	eth->ether_type = rte_cpu_to_be_16(PORT_ETHERTYPE);
	m->data_len = (uint16_t)(size + PORT_HEADER_BYTES);
	m->pkt_len = m->data_len;
}

void port_send(struct port *p, struct rte_mbuf *m)
{
	if (p->queued == PORT_BURST)
		port_flush(p);
	p->queue[p->queued++] = m;
}

void port_flush(struct port *p)
{
	uint16_t n;

	if (!p->queued)
		return;
	n = rte_eth_tx_burst(p->id, 0, p->queue, p->queued);
	p->sent += n;
	p->tx_lost += p->queued - n;
	port_release(p->queue + n, p->queued - n);
	p->queued = 0;
}

bool port_link_ask(struct port *p)
{
	struct rte_eth_link link = {0};
	uint32_t up, before = load_relaxed(&p->link_up);

	up = rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
	store_relaxed(&p->link_up, up);
	return up != before;
}

bool port_link_up(const struct port *p)
{
	return load_relaxed(&p->link_up) != 0;
}
