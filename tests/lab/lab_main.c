/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eal.h"
#include "lab.h"

#define MEMORY_MB 96
#define MBUFS 8191
#define MBUF_CACHE 256
#define QUEUE_SLOTS 1024
/** The flow table costs about 130 bytes a flow. */
#define FLOWS_MAX (LAB_SERVERS * LAB_FLOWS_PER_SERVER)

static const char usage[] =
	"usage: haven-lab --dir DIR --memif SOCKET --control SOCKET --port NETWORK/NAME ...\n"
	"\n"
	"The network of the demonstration: memif ports (ids in the order given, from 0) joined to\n"
	"the networks ha, inside and outside, with checked traffic between inside and outside.\n"
	"\n"
	"  --dir DIR       folder for DPDK's own files\n"
	"  --memif PATH    socket that the nodes' memif ports connect to\n"
	"  --control PATH  socket for commands, one JSON object per line\n"
	"  --port N/NAME   a port called NAME in network N\n"
	"  --cpu N         CPU to run on (default 0)\n"
	"  --busy          never give the CPU away when idle\n";

struct options {
	const char *dir, *memif, *control;
	const char *port[LAB_PORTS_MAX];
	unsigned ports;
	int cpu;
	bool busy;
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
	(void)number;
	asked_to_end = 1;
}

static bool options_read(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"dir", required_argument, NULL, 'd'},     {"memif", required_argument, NULL, 'm'},
		{"control", required_argument, NULL, 'c'}, {"port", required_argument, NULL, 'p'},
		{"cpu", required_argument, NULL, 'u'},     {"busy", no_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'd')
			o->dir = optarg;
		else if (c == 'm')
			o->memif = optarg;
		else if (c == 'c')
			o->control = optarg;
		else if (c == 'p' && o->ports < LAB_PORTS_MAX - LAB_GROUPS)
			o->port[o->ports++] = optarg;
		else if (c == 'u')
			o->cpu = (int)strtol(optarg, NULL, 10);
		else if (c == 'b')
			o->busy = true;
		else
			return false;
	}
	return optind == argc && o->dir && o->memif && o->control && o->ports > 0;
}

/* Sets a port of DPDK up and running. Returns its number or a negative errno. */
static int port_open(const char *memif, unsigned id, struct rte_mempool *pool)
{
	const struct rte_eth_conf conf = {0};
	char name[32], arguments[256];
	uint16_t port;
	int result;

	snprintf(name, sizeof(name), "net_memif%u", id);
	snprintf(arguments, sizeof(arguments),
		 "role=server,id=%u,socket=%s,socket-abstract=no,bsize=2048,rsize=10,"
		 "mac=02:6c:61:62:ff:%02x",
		 id, memif, id);
	result = rte_eal_hotplug_add("vdev", name, arguments);
	if (result == 0)
		result = rte_eth_dev_get_port_by_name(name, &port);
	if (result == 0)
		result = rte_eth_dev_configure(port, 1, 1, &conf);
	if (result == 0)
		result = rte_eth_rx_queue_setup(port, 0, QUEUE_SLOTS, SOCKET_ID_ANY, NULL, pool);
	if (result == 0)
		result = rte_eth_tx_queue_setup(port, 0, QUEUE_SLOTS, SOCKET_ID_ANY, NULL);
	if (result == 0)
		result = rte_eth_dev_start(port);
	return result == 0 ? port : result;
}

static bool port_add(struct lab_switch *s, const char *text, const char *memif, unsigned id)
{
	const char *slash = strchr(text, '/');
	unsigned g;
	int port;

	for (g = 0; slash && g < LAB_GROUPS; g++)
		if (strlen(lab_group_names[g]) == (size_t)(slash - text) &&
		    strncmp(text, lab_group_names[g], (size_t)(slash - text)) == 0)
			break;
	if (!slash || g == LAB_GROUPS) {
		fprintf(stderr,
			"haven-lab: port \"%s\": wanted ha/NAME, inside/NAME or "
			"outside/NAME\n",
			text);
		return false;
	}
	port = port_open(memif, id, s->pool);
	if (port < 0) {
		fprintf(stderr, "haven-lab: port %s: %s\n", slash + 1, eal_sentence(port));
		return false;
	}
	return switch_add(s, (enum lab_group)g, slash + 1, false, (uint16_t)port) >= 0;
}

static bool lab_open(struct lab *lab, const struct options *o)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"lab", MBUFS, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (!pool) {
		fprintf(stderr, "haven-lab: no memory for packets\n");
		return false;
	}
	switch_init(lab->sw, pool);
	for (unsigned i = 0; i < o->ports; i++)
		if (!port_add(lab->sw, o->port[i], o->memif, i))
			return false;
	switch_add(lab->sw, LAB_INSIDE, "source", true, 0);
	switch_add(lab->sw, LAB_OUTSIDE, "sink", true, 0);
	if (!traffic_init(lab->traffic, lab->sw, pool, FLOWS_MAX)) {
		fprintf(stderr, "haven-lab: no memory for flows\n");
		return false;
	}
	lab->control = control_open(o->control);
	if (!lab->control)
		fprintf(stderr, "haven-lab: control socket %s: %s\n", o->control, strerror(errno));
	return lab->control != NULL;
}

static void lab_run(struct lab *lab, bool busy)
{
	uint64_t before = clock_now_ns();

	while (!lab->quit && !asked_to_end) {
		uint64_t now = clock_now_ns();
		unsigned work;

		if (now - before > lab->gap_max_ns) {
			lab->gap_max_ns = now - before;
			lab->gap_at_ns = before;
		}
		before = now;
		work = switch_poll(lab->sw);
		work += traffic_poll(lab->traffic, now);
		switch_flush(lab->sw);
		control_poll(lab->control, lab, now);
		lab->turns++;
		if (work)
			continue;
		lab->turns_idle++;
		if (!busy)
			sched_yield();
	}
}

int main(int argc, char **argv)
{
	static struct lab_switch sw;
	static struct lab_traffic traffic;
	struct lab lab = {.sw = &sw, .traffic = &traffic};
	struct options o = {0};
	struct error_text error;
	bool ok;

	if (!options_read(&o, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (eal_start(&(struct eal_options){.runtime_dir = o.dir,
					    .prefix = "lab",
					    .cpu = o.cpu,
					    .memory_mb = MEMORY_MB},
		      &error) < 0) {
		fprintf(stderr, "haven-lab: %s\n", error.text);
		return 1;
	}
	ok = lab_open(&lab, &o);
	if (ok)
		lab_run(&lab, o.busy);
	if (lab.control)
		control_close(lab.control);
	for (unsigned i = 0; i < sw.n_ports; i++)
		if (!sw.port[i].host)
			rte_eth_dev_stop(sw.port[i].dpdk_port);
	traffic_free(&traffic);
	eal_stop();
	return ok ? 0 : 1;
}
