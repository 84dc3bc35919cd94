/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOWS_MAX (4u << 20)

static const char usage[] =
	"usage: haven-nat [options] --inside VDEV --outside VDEV --inside-ip IP/N --outside-ip "
	"IP/N\n"
	"A stateful source NAT that is made highly available by Haven.\n"
	"\n"
	"  --run-dir DIR       run directory of the node (default: $HAVEN_RUN_DIR, /run/haven)\n"
	"  --name NAME         name of the component (default: nat)\n"
	"  --group NAME        its group (default: nat)\n"
	"  --instance NAME     instance to serve (default: nat0)\n"
	"  --release LABEL     software release label (default: that of the node)\n"
	"  --inside VDEV       port towards the clients, a DPDK vdev string\n"
	"  --outside VDEV      port towards the world\n"
	"  --inside-ip IP/N    virtual address inside: the clients' gateway\n"
	"  --outside-ip IP/N   virtual address outside: what clients are translated to\n"
	"  --gateway IP        next hop outside for what is not on the link\n"
	"  --pool-ports A-B    outside ports to use (default: 1024-65535)\n"
	"  --flows N           capacity of the flow table (default: 131072)\n"
	"  --mac-id N          1…127, tells virtual addresses of several NATs apart (default: 1)\n"
	"  --timeout-divisor N shorten all time-outs alike (default: 1)\n"
	"  --cpu N             CPU of the packet loop (default: the first allowed one)\n"
	"  --poll polite|busy  give the CPU away when idle, or never (default: polite)\n"
	"  --file-prefix P     DPDK's file prefix (default: nat-NAME)\n"
	"  --dpdk-dir DIR      where DPDK makes its folder (default: the run directory)\n"
	"  --stats FILE        write statistics there (JSON) once per second and at SIGUSR1\n"
	"  --ready-fd N        write \"ready\\n\" to this descriptor when it is at work\n"
	"  --help\n";

static int complain(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "haven-nat: --%s %s: %s\n", option, value, wanted);
	return 2;
}

static bool number_parse(const char *text, unsigned long low, unsigned long high,
			 unsigned long *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*out = strtoul(text, &end, 10);
	return *end == '\0' && *out >= low && *out <= high;
}

static bool network_parse(const char *text, uint32_t *ip, uint32_t *mask)
{
	char address[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct in_addr in;
	unsigned long bits;

	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    !number_parse(slash + 1, 1, 32, &bits))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1 || in.s_addr == 0)
		return false;
	*ip = in.s_addr;
	*mask = htonl((uint32_t)(0xffffffffull << (32 - bits)));
	return true;
}

static bool ports_parse(const char *text, struct pool *pool)
{
	unsigned long first, last;
	char low[8];
	const char *dash = strchr(text, '-');

	if (!dash || (size_t)(dash - text) >= sizeof(low))
		return false;
	memcpy(low, text, (size_t)(dash - text));
	low[dash - text] = '\0';
	if (!number_parse(low, 1, 65535, &first) || !number_parse(dash + 1, first, 65535, &last))
		return false;
	pool->first = (uint32_t)first;
	pool->size = (uint32_t)(last - first + 1);
	return true;
}

/* VRRP's kind of address (RFC 5798), but locally administered. */
static void macs_set(struct nat_config *c, unsigned id)
{
	static const uint8_t stem[5] = {0x02, 0x00, 0x5e, 0x00, 0x01};

	for (unsigned side = 0; side < NAT_SIDES; side++) {
		memcpy(c->mac[side], stem, sizeof(stem));
		c->mac[side][5] = (uint8_t)(2 * id - 1 + side);
	}
}

static int first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET((unsigned)i, &set))
				return i;
	return 0;
}

enum option_id {
	OPT_RUN_DIR = 1,
	OPT_NAME,
	OPT_GROUP,
	OPT_INSTANCE,
	OPT_RELEASE,
	OPT_INSIDE,
	OPT_OUTSIDE,
	OPT_INSIDE_IP,
	OPT_OUTSIDE_IP,
	OPT_GATEWAY,
	OPT_POOL_PORTS,
	OPT_FLOWS,
	OPT_MAC_ID,
	OPT_TIMEOUT_DIVISOR,
	OPT_CPU,
	OPT_POLL,
	OPT_FILE_PREFIX,
	OPT_DPDK_DIR,
	OPT_STATS,
	OPT_READY_FD,
	OPT_HELP
};

static const struct option options[] = {
	{"run-dir", required_argument, NULL, OPT_RUN_DIR},
	{"name", required_argument, NULL, OPT_NAME},
	{"group", required_argument, NULL, OPT_GROUP},
	{"instance", required_argument, NULL, OPT_INSTANCE},
	{"release", required_argument, NULL, OPT_RELEASE},
	{"inside", required_argument, NULL, OPT_INSIDE},
	{"outside", required_argument, NULL, OPT_OUTSIDE},
	{"inside-ip", required_argument, NULL, OPT_INSIDE_IP},
	{"outside-ip", required_argument, NULL, OPT_OUTSIDE_IP},
	{"gateway", required_argument, NULL, OPT_GATEWAY},
	{"pool-ports", required_argument, NULL, OPT_POOL_PORTS},
	{"flows", required_argument, NULL, OPT_FLOWS},
	{"mac-id", required_argument, NULL, OPT_MAC_ID},
	{"timeout-divisor", required_argument, NULL, OPT_TIMEOUT_DIVISOR},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"poll", required_argument, NULL, OPT_POLL},
	{"file-prefix", required_argument, NULL, OPT_FILE_PREFIX},
	{"dpdk-dir", required_argument, NULL, OPT_DPDK_DIR},
	{"stats", required_argument, NULL, OPT_STATS},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

/* Options whose value is kept as it is. */
static const char **option_text(struct options *o, int id)
{
	switch (id) {
	case OPT_RUN_DIR:
		return &o->run_dir;
	case OPT_NAME:
		return &o->name;
	case OPT_GROUP:
		return &o->group;
	case OPT_INSTANCE:
		return &o->instance;
	case OPT_RELEASE:
		return &o->release;
	case OPT_INSIDE:
		return &o->io.port[NAT_INSIDE];
	case OPT_OUTSIDE:
		return &o->io.port[NAT_OUTSIDE];
	case OPT_FILE_PREFIX:
		return &o->io.prefix;
	case OPT_DPDK_DIR:
		return &o->io.runtime_dir;
	case OPT_STATS:
		return &o->stats;
	default:
		return NULL;
	}
}

static const char *number_option(struct options *o, int id, const char *value)
{
	unsigned long n;

	switch (id) {
	case OPT_FLOWS:
		if (!number_parse(value, 1, FLOWS_MAX, &n))
			return "wanted: a number from 1 to 4194304";
		o->nat.flows = (uint32_t)n;
		return NULL;
	case OPT_MAC_ID:
		if (!number_parse(value, 1, 127, &n))
			return "wanted: a number from 1 to 127";
		macs_set(&o->nat, (unsigned)n);
		return NULL;
	case OPT_TIMEOUT_DIVISOR:
		if (!number_parse(value, 1, 1000000, &n))
			return "wanted: a number from 1 to 1000000";
		o->nat.timeout_divisor = (uint32_t)n;
		return NULL;
	case OPT_CPU:
		if (!number_parse(value, 0, CPU_SETSIZE - 1, &n))
			return "wanted: the number of a CPU";
		o->io.cpu = (int)n;
		return NULL;
	default:
		if (!number_parse(value, 0, 1023, &n))
			return "wanted: the number of an open descriptor";
		o->ready_fd = (int)n;
		return NULL;
	}
}

static const char *value_option(struct options *o, int id, const char *value)
{
	struct nat_config *c = &o->nat;

	switch (id) {
	case OPT_INSIDE_IP:
		return network_parse(value, &c->ip[NAT_INSIDE], &c->mask[NAT_INSIDE])
			       ? NULL
			       : "wanted: an address with its prefix length, 10.0.0.1/24";
	case OPT_OUTSIDE_IP:
		return network_parse(value, &c->ip[NAT_OUTSIDE], &c->mask[NAT_OUTSIDE])
			       ? NULL
			       : "wanted: an address with its prefix length, 192.0.2.1/24";
	case OPT_GATEWAY:
		return inet_pton(AF_INET, value, &c->gateway) == 1 && c->gateway
			       ? NULL
			       : "wanted: an IPv4 address";
	case OPT_POOL_PORTS:
		return ports_parse(value, &c->pool) ? NULL : "wanted: a range of ports, 1024-65535";
	case OPT_POLL:
		o->busy = strcmp(value, "busy") == 0;
		return o->busy || strcmp(value, "polite") == 0 ? NULL : "wanted: polite or busy";
	default:
		return number_option(o, id, value);
	}
}

static int options_check(struct options *o)
{
	const struct nat_config *c = &o->nat;

	if (!o->io.port[NAT_INSIDE] || !o->io.port[NAT_OUTSIDE])
		return complain("inside/--outside", "", "both ports are needed; see --help");
	if (!c->ip[NAT_INSIDE] || !c->ip[NAT_OUTSIDE])
		return complain("inside-ip/--outside-ip", "",
				"both addresses are needed; see --help");
	if (c->gateway && ((c->gateway ^ c->ip[NAT_OUTSIDE]) & c->mask[NAT_OUTSIDE]))
		return complain("gateway", "", "not in the network of --outside-ip");
	if (!o->io.prefix) {
		snprintf(o->prefix, sizeof(o->prefix), "nat-%s", o->name);
		o->io.prefix = o->prefix;
	}
	if (!o->io.runtime_dir)
		o->io.runtime_dir = o->run_dir ? o->run_dir : getenv("HAVEN_RUN_DIR");
	if (!o->io.runtime_dir || !*o->io.runtime_dir)
		o->io.runtime_dir = "/run/haven";
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int id, index = 0;

	memset(o, 0, sizeof(*o));
	o->name = o->group = "nat";
	o->instance = "nat0";
	o->ready_fd = -1;
	o->io.cpu = first_cpu();
	o->nat.pool = (struct pool){.first = 1024, .size = 65536 - 1024};
	o->nat.flows = 131072;
	o->nat.timeout_divisor = 1;
	macs_set(&o->nat, 1);
	while ((id = getopt_long(argc, argv, "", options, &index)) != -1) {
		const char **text = option_text(o, id);
		const char *wanted;

		if (id == OPT_HELP) {
			fputs(usage, stdout);
			return -1;
		}
		if (id == '?')
			return 2; /* getopt has complained */
		wanted = text ? NULL : value_option(o, id, optarg);
		if (text)
			*text = optarg;
		if (wanted)
			return complain(options[index].name, optarg, wanted);
	}
	if (optind < argc) {
		fprintf(stderr, "haven-nat: unexpected argument: %s; see --help\n", argv[optind]);
		return 2;
	}
	return options_check(o);
}
