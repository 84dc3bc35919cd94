/* SPDX-License-Identifier: BSD-3-Clause */
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define IO_MBUFS 8191u /* the hold queue may keep 4096 of them */
#define IO_MBUF_CACHE 256u
#define IO_RING 1024u
#define IO_MTU 1500u
#define IO_MEMORY_MB "128"
#define IO_LINK_NS (50 * NSEC_PER_MSEC)
/* A full ring empties while we look: some tries, then the packets are dropped. */
#define IO_SEND_TRIES 4

/* ---- start ---------------------------------------------------------------------------------- */

/* DPDK takes its run directory from the environment. It starts before any other thread does. */
static int eal_init_in(const char *runtime_dir, int argc, char **argv)
{
	setenv("RUNTIME_DIRECTORY", runtime_dir, 1);
	setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
	return rte_eal_init(argc, argv);
}

#define EAL_ARGS 11
#define EAL_ARG_BYTES 512

static bool eal_start(const struct io_options *o, char *error, unsigned error_bytes)
{
	/* DPDK keeps pointers to its arguments. */
	static char text[EAL_ARGS][EAL_ARG_BYTES];
	static const char *const fixed[] = {
		"haven-nat",  "--no-huge",      "--no-pci",           "-m",
		IO_MEMORY_MB, "--no-telemetry", "--log-level=warning"};
	char *argv[EAL_ARGS + 1] = {NULL};
	bool cut = false;
	int argc = 0;

	for (; argc < (int)RTE_DIM(fixed); argc++)
		cut |= snprintf(text[argc], EAL_ARG_BYTES, "%s", fixed[argc]) >= EAL_ARG_BYTES;
	snprintf(text[argc++], EAL_ARG_BYTES, "--lcores=0@%d", o->cpu);
	cut |= snprintf(text[argc++], EAL_ARG_BYTES, "--file-prefix=%s", o->prefix) >=
	       EAL_ARG_BYTES;
	for (unsigned i = 0; i < NAT_SIDES; i++)
		cut |= snprintf(text[argc++], EAL_ARG_BYTES, "--vdev=%s", o->port[i]) >=
		       EAL_ARG_BYTES;
	for (int i = 0; i < argc; i++)
		argv[i] = text[i];
	if (cut) {
		snprintf(error, error_bytes, "a port string or prefix is longer than %d bytes",
			 EAL_ARG_BYTES - 16);
		return false;
	}
	if (eal_init_in(o->runtime_dir, argc, argv) < 0) {
		snprintf(error, error_bytes, "DPDK did not start: %s; see its messages above",
			 rte_strerror(rte_errno));
		return false;
	}
	return true;
}

/*
 * memif takes a closed connection's memory away in DPDK's interrupt thread. On the loop's own CPU
 * at idle priority that thread runs only where the loop yields, so never in the middle of a burst.
 */
static void interrupts_calm(int cpu)
{
	const struct sched_param idle = {.sched_priority = 0};
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	while (dir && (entry = readdir(dir))) {
		char path[64], comm[32] = "";
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%d/comm", (int)tid);
		f = tid ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && strcmp(comm, "eal-intr-thread\n") == 0) {
			sched_setaffinity(tid, sizeof(set), &set);
			sched_setscheduler(tid, SCHED_IDLE, &idle);
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
}

static int port_start(uint16_t port, struct rte_mempool *pool)
{
	const struct rte_eth_conf conf = {.rxmode = {.mtu = IO_MTU}};
	uint16_t rx = IO_RING, tx = IO_RING;
	int status = rte_eth_dev_configure(port, 1, 1, &conf);

	if (status == 0)
		status = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (status == 0)
		status = rte_eth_rx_queue_setup(port, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (status == 0)
		status = rte_eth_tx_queue_setup(port, 0, tx, SOCKET_ID_ANY, NULL);
	if (status == 0)
		status = rte_eth_dev_start(port);
	/* The virtual address is not the port's own; a port without such a filter refuses. */
	if (status == 0)
		(void)rte_eth_promiscuous_enable(port);
	return status;
}

static bool ports_start(struct io *io, const struct io_options *o, char *error,
			unsigned error_bytes)
{
	io->pool = rte_pktmbuf_pool_create("nat", IO_MBUFS, IO_MBUF_CACHE, 0,
					   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!io->pool) {
		snprintf(error, error_bytes, "no memory for packets: %s", rte_strerror(rte_errno));
		return false;
	}
	for (unsigned i = 0; i < NAT_SIDES; i++) {
		char name[RTE_ETH_NAME_MAX_LEN];
		int status;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(o->port[i], ","), o->port[i]);
		status = rte_eth_dev_get_port_by_name(name, &io->port[i]);
		if (status == 0)
			status = port_start(io->port[i], io->pool);
		if (status) {
			snprintf(error, error_bytes, "port %s: %s", name, rte_strerror(-status));
			return false;
		}
	}
	return true;
}

bool io_start(struct io *io, const struct io_options *o, char *error, unsigned error_bytes)
{
	memset(io, 0, sizeof(*io));
	if (!eal_start(o, error, error_bytes))
		return false;
	if (!ports_start(io, o, error, error_bytes)) {
		rte_eal_cleanup();
		return false;
	}
	interrupts_calm(o->cpu);
	return true;
}

void io_stop(struct io *io)
{
	for (unsigned i = 0; i < NAT_SIDES; i++) {
		rte_eth_dev_stop(io->port[i]);
		rte_eth_dev_close(io->port[i]);
	}
	rte_mempool_free(io->pool);
	rte_eal_cleanup();
}

/* ---- packets ----------------------------------------------------------------------------------
 */

static struct nat_packet io_packet(struct rte_mbuf *m)
{
	return (struct nat_packet){.handle = m,
				   .data = rte_pktmbuf_mtod(m, uint8_t *),
				   .bytes = rte_pktmbuf_data_len(m)};
}

static struct nat_packet io_make(void *context, const uint8_t *frame, unsigned bytes)
{
	struct io *io = context;
	struct rte_mbuf *m = rte_pktmbuf_alloc(io->pool);
	char *room = m ? rte_pktmbuf_append(m, (uint16_t)bytes) : NULL;

	if (!room) {
		rte_pktmbuf_free(m);
		return (struct nat_packet){.handle = NULL};
	}
	memcpy(room, frame, bytes);
	return io_packet(m);
}

static void io_drop(void *context, void *handle)
{
	(void)context;
	rte_pktmbuf_free(handle);
}

struct nat_io io_for_nat(struct io *io)
{
	return (struct nat_io){.context = io, .make = io_make, .drop = io_drop};
}

unsigned io_receive(struct io *io, struct nat *n)
{
	struct rte_mbuf *burst[NAT_BURST];
	unsigned total = 0;

	for (unsigned side = 0; side < NAT_SIDES; side++) {
		unsigned got = rte_eth_rx_burst(io->port[side], 0, burst, NAT_BURST);

		for (unsigned i = 0; i < got; i++) {
			if (burst[i]->nb_segs > 1 && rte_pktmbuf_linearize(burst[i]) != 0)
				nat_drop(n, io_packet(burst[i]), COUNT_MALFORMED);
			else
				nat_receive(n, (enum nat_side)side, io_packet(burst[i]));
		}
		total += got;
	}
	return total;
}

static void side_send(struct io *io, struct nat *n, unsigned side)
{
	struct nat_out *out = &n->out[side];
	struct rte_mbuf *burst[NAT_OUT_MAX];
	unsigned done = 0;

	for (unsigned i = 0; i < out->n; i++)
		burst[i] = out->packet[i].handle;
	for (unsigned i = 0; i < IO_SEND_TRIES && done < out->n; i++)
		done += rte_eth_tx_burst(io->port[side], 0, burst + done,
					 (uint16_t)(out->n - done));
	for (; done < out->n; done++)
		nat_drop(n, out->packet[done], COUNT_TX_FULL);
}

unsigned io_send(struct io *io, struct nat *n)
{
	const struct nat_haven *h = &n->haven;
	unsigned total = n->out[NAT_INSIDE].n + n->out[NAT_OUTSIDE].n;
	bool in_time;

	if (total == 0)
		return 0;
	if (!haven_gate(h->worker, h->instance)) {
		nat_discard(n);
		return total;
	}
	side_send(io, n, NAT_OUTSIDE);
	side_send(io, n, NAT_INSIDE);
	in_time = haven_gate_check(h->worker, h->instance, total);
	nat_sent(n, in_time, clock_now_ns());
	return total;
}

void io_tend(struct io *io, uint64_t now)
{
	struct rte_eth_link link;

	if (now - io->link_asked_ns < IO_LINK_NS)
		return;
	io->link_asked_ns = now;
	for (unsigned i = 0; i < NAT_SIDES; i++)
		(void)rte_eth_link_get_nowait(io->port[i], &link);
}
