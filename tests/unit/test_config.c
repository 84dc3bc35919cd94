/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#define HEAD "cluster: demo\nkey_file: demo.key\n"
#define NODE_A "  - {name: a, run_dir: /tmp/x/a, ports: [net_null0]}\n"
#define NODE_B "  - {name: b, run_dir: /tmp/x/b, ports: [net_null0]}\n"
#define NODE_W "  - {name: w, run_dir: /tmp/x/w, ports: [net_null0], witness: true}\n"
#define NODES "nodes:\n" NODE_A NODE_B NODE_W
#define GROUPS "groups:\n  - {name: nat, instances: [nat0], nodes: [a, b], prefer: a}\n"
#define GOOD HEAD NODES GROUPS

static char path[64];

static void remove_file(void)
{
	unlink(path);
}

TestSuite(config, .fini = remove_file);

static struct config *load(const char *text, int expected)
{
	struct config *c;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/haven-test-config-%d", (int)getpid());
	f = fopen(path, "w");
	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
	cr_assert_eq(config_load(&c, path), expected, "%s: %s", text,
		     c->n_findings ? c->finding[0].reason : "no finding");
	return c;
}

/* The file is refused, and one of its errors is at this place (or line) and says this. */
static void refused(const char *text, const char *place, const char *reason, const char *remedy)
{
	struct config *c = load(text, -HAVEN_ECONFIG);
	char line[1024], start[128];
	bool found = false;

	snprintf(start, sizeof(start), "%s:%s%s", path, place,
		 strchr(place, ':') == strrchr(place, ':') ? "" : " error: ");
	for (unsigned i = 0; i < c->n_findings; i++) {
		config_finding_text(c, i, line, sizeof(line));
		found = found || (strncmp(line, start, strlen(start)) == 0 &&
				  strstr(line, reason) && strstr(line, remedy));
	}
	cr_assert(found, "wanted '%s%s … %s' for:\n%s\nlast finding: %s", start, reason, remedy,
		  text, line);
	config_free(c);
}

Test(config, a_whole_file_gives_its_values)
{
	struct config *c = load(
		"cluster: demo\n"
		"key_file: demo.key\n"
		"timers: {interval: 500us, suspect: 5ms, lease: 0.01s, guard: 500us, "
		"rate_ppm: 100, stall: 2ms, mirror_timeout: 200ms}\n"
		"poll: busy\n"
		"mirror_links: split\n"
		"nodes:\n"
		"  - name: a\n"
		"    run_dir: run/a\n"
		"    voter: true\n"
		"    release: \"1.0\"\n"
		"    cpu: 1\n"
		"    ports: [\"net_memif0,role=client\", net_null1]\n" NODE_B NODE_W "groups:\n"
		"  - {name: g, redundancy: 2N, standby: hot, instances: [i0, i1], "
		"nodes: [b, a], prefer: a}\n",
		0);

	cr_assert_str_eq(c->cluster, "demo");
	cr_assert_str_eq(c->key_file, "/tmp/demo.key");
	cr_assert_eq(c->timers.interval_ns, 500000);
	cr_assert_eq(c->timers.lease_ns, 10000000);
	cr_assert_eq(c->timers.stuck_ns, 100000000);
	cr_assert_eq(c->timers.hold_max_ns, 100000000);
	cr_assert_eq(c->timers.gray_percent, 10);
	cr_assert_eq(c->timers.rate_ppm, 100);
	cr_assert(c->poll_busy);
	cr_assert(c->mirror_split);
	cr_assert_eq(c->n_nodes, 3);
	cr_assert_str_eq(c->node[0].run_dir, "/tmp/run/a");
	cr_assert_str_eq(c->node[0].release, "1.0");
	cr_assert_eq(c->node[0].cpu, 1);
	cr_assert_eq(c->node[1].cpu, CONFIG_CPU_ANY);
	cr_assert_eq(c->node[0].n_ports, 2);
	cr_assert_str_eq(c->node[0].port[0].device, "net_memif0,role=client");
	cr_assert(c->node[2].witness && config_is_voter(&c->node[2]));
	cr_assert_eq(c->n_instances, 2);
	cr_assert_eq(c->group[0].n_instances, 2);
	cr_assert_eq(c->group[0].node[0], 1);
	cr_assert_eq(c->group[0].prefer, 0);
	cr_assert_eq(c->errors + c->warnings, 0);
	config_free(c);
}

Test(config, structure_errors_have_place_and_remedy)
{
	refused(GOOD "clutser: x\n", "9:1:", "unknown key 'clutser'", "did you mean 'cluster'?");
	refused(GOOD "zzz: x\n", "9:1:", "unknown key 'zzz'",
		"the keys here are cluster, key_file");
	refused(GOOD "cluster: x\n", "9:1:", "'cluster' is given twice", "keep one");
	refused("cluster: demo\n" NODES GROUPS, "1:1:", "'key_file' is missing", "demo.key");
	refused("", "1:1:", "empty", "");
	refused("- a\n", "1:1:", "must be a mapping", "key: value");
	refused(HEAD NODES "groups: {name: x}\n", "7:9:", "must be a list", "");
	refused("cluster: [\n", "2:1:", "", "");
	refused("cluster: Demo!\nkey_file: k\n" NODES GROUPS, "1:10:", "'Demo!' is not a name",
		"a-z");
	refused(HEAD "poll: polit\n" NODES GROUPS, "3:7:", "poll cannot be 'polit'",
		"did you mean 'polite'?");
}

Test(config, values_out_of_range_are_refused)
{
	refused(GOOD "timers: {lease: 10}\n", "9:17:", "lease '10' is not a duration", "unit");
	refused(GOOD "timers: {lease: -1ms}\n", "9:17:", "not a duration", "unit");
	refused(GOOD "timers: {lease: nanms}\n", "9:17:", "not a duration", "unit");
	refused(GOOD "timers: {lease: 61s}\n", "9:17:", "not a duration", "60s");
	refused(GOOD "timers: {guard: 0us}\n", "9:17:", "not a duration", "");
	refused(GOOD "timers: {rate_ppm: 0}\n", "9:20:", "not a whole number from 1", "");
	refused(HEAD "nodes:\n  - {name: a, run_dir: /x, cpu: 1x}\n", "4:33:", "cpu '1x'", "");
	refused(HEAD "nodes:\n  - {name: a, run_dir: /x, ports: [n0, n1, n2, n3, n4]}\n",
		"4:52:", "at most 4", "");
	refused(HEAD "nodes:\n  - {name: a, run_dir: /x, ports: [\"n0,a\", \"n0,b\"]}\n",
		"4:44:", "'n0' is given twice", "");
}

Test(config, timers_that_contradict_each_other_are_refused)
{
	refused(GOOD "timers: {interval: 5ms, guard: 1ms, lease: 16ms, suspect: 11ms}\n",
		"9:44:", "lease 16000us is shorter than 3 intervals + 2 guards = 17000us",
		"17000us or more");
	refused(GOOD "timers: {interval: 5ms, suspect: 9ms}\n", "9:34:", "suspect 9000us",
		"10000us");
	refused(GOOD "timers: {suspect: 10ms, hold_max: 9ms}\n", "9:35:", "hold_max 9000us",
		"hold_max: 10000us or more");
	refused(GOOD "timers: {gray_percent: 101}\n", "9:24:", "gray_percent", "0");
	refused(GOOD "timers: {suspect: 30ms, lease: 30ms}\n", "9:19:", "not shorter than lease",
		"below lease");
}

Test(config, duplicates_are_refused)
{
	refused(HEAD "nodes:\n" NODE_A NODE_W
		     "  - {name: a, run_dir: /tmp/x/c, ports: [n0]}\n" GROUPS,
		"6:5:", "node 'a' is given twice, first in line 4", "");
	refused(HEAD "nodes:\n" NODE_A NODE_W
		     "  - {name: b, run_dir: /tmp/x/a, ports: [n0]}\n" GROUPS,
		"6:24:", "run_dir of node 'b' is that of node 'a'", "");
	refused(HEAD "nodes:\n  - {name: a, id: 0, run_dir: /x/a, ports: [n0]}\n"
		     "  - {name: b, id: 0, run_dir: /x/b, ports: [n0]}\n" NODE_W GROUPS,
		"5:19:", "id 0 of node 'b' is that of node 'a' (line 4)", "");
	refused(GOOD "  - {name: nat, instances: [nat1], nodes: [a, b]}\n",
		"9:5:", "group 'nat' is given twice", "");
	refused(GOOD "  - {name: fw, instances: [nat0], nodes: [a, b]}\n",
		"9:28:", "instance 'nat0' is given twice, first in line 8", "unique");
}

Test(config, ids_number_the_nodes)
{
	struct config *c = load(HEAD "nodes:\n"
				     "  - {name: a, id: 2, run_dir: /x/a, ports: [n0]}\n"
				     "  - {name: b, id: 0, run_dir: /x/b, ports: [n0]}\n"
				     "  - {name: w, id: 1, run_dir: /x/w, ports: [n0]}\n" GROUPS,
				0);

	cr_assert_eq(config_node_find(c, "a"), 2);
	cr_assert_eq(config_node_find(c, "b"), 0);
	cr_assert_eq(c->group[0].node[0], 2);
	cr_assert_eq(c->group[0].prefer, 2);
	config_free(c);
}

Test(config, voters_that_cannot_decide_are_refused)
{
	struct config *c;

	refused(HEAD "nodes:\n" NODE_A NODE_B GROUPS, "4:3:", "two voters", "witness: true");
	refused(HEAD "nodes:\n" NODE_A NODE_B GROUPS, "4:3:", "two voters", "outside arbiter");
	refused(HEAD "nodes:\n" NODE_A NODE_B GROUPS, "4:3:", "two voters", "three or more");
	refused(HEAD "nodes:\n" NODE_A NODE_B GROUPS, "4:3:", "two voters",
		"let an operator decide");
	refused(GOOD "two_voters: operator\n", "9:13:", "exactly two voters",
		"remove 'two_voters'");
	refused(HEAD NODES "  - {name: c, run_dir: /tmp/x/c, ports: [n0]}\n" GROUPS,
		"4:3:", "4 voters", "odd number");
	refused(HEAD "nodes:\n  - {name: a, run_dir: /x, voter: false}\n",
		"4:3:", "no node may vote", "");
	c = load(HEAD "nodes:\n  - {name: a, run_dir: /x}\n"
		      "groups:\n  - {name: nat, instances: [nat0], nodes: [a]}\n",
		 0);
	cr_assert_eq(c->warnings, 1);
	cr_assert(strstr(c->finding[0].reason, "no redundancy"));
	config_free(c);
}

Test(config, nodes_and_groups_must_fit_each_other)
{
	refused(HEAD "nodes:\n" NODE_A "  - {name: b, run_dir: /x/b}\n" NODE_W GROUPS,
		"5:5:", "node 'b' has no port", "net_af_packet0");
	refused(HEAD NODES "groups:\n  - {name: g, instances: [i], nodes: [a, bb]}\n",
		"8:42:", "no node 'bb'", "did you mean 'b'?");
	refused(HEAD NODES "groups:\n  - {name: g, instances: [i], nodes: [a, w]}\n",
		"8:42:", "is a witness", "");
	refused(HEAD NODES "groups:\n  - {name: g, instances: [i], nodes: [a, b], prefer: w}\n",
		"8:54:", "prefers 'w'", "one of its nodes");
	refused(HEAD NODES "groups:\n  - {name: g, instances: [i], nodes: [a], redundancy: N+1}\n",
		"8:55:", "no planner", "2N");
	refused(HEAD NODES "groups:\n  - {name: g, instances: [i], nodes: [a], standby: warm}\n",
		"8:52:", "at once", "hot");
}

Test(config, all_errors_are_told_at_once)
{
	struct config *c = load(HEAD "x: 1\ny: 2\nnodes:\n" NODE_A NODE_B GROUPS, -HAVEN_ECONFIG);

	cr_assert_eq(c->errors, 3);
	config_free(c);
}

Test(config, more_than_the_limits_is_refused_and_nothing_overflows)
{
	char *text = malloc(300000), *at = text;
	struct config *c;

	at += sprintf(at, HEAD "nodes:\n");
	for (unsigned i = 0; i < 40; i++)
		at += sprintf(at, "  - {name: n%u, run_dir: /x/%u, ports: [p0], bad: 1}\n", i, i);
	at += sprintf(at, "groups:\n");
	for (unsigned g = 0; g < 70; g++)
		at += sprintf(at, "  - {name: g%u, nodes: [n0], instances: [i%ua, i%ub]}\n", g, g,
			      g);
	c = load(text, -HAVEN_ECONFIG);
	cr_assert_eq(c->n_nodes, HAVEN_NODES_MAX);
	cr_assert_eq(c->n_groups, CONFIG_GROUPS_MAX);
	cr_assert_eq(c->n_instances, HAVEN_INSTANCES_MAX);
	cr_assert_eq(c->n_findings, CONFIG_FINDINGS_MAX);
	cr_assert_gt(c->errors, CONFIG_FINDINGS_MAX);
	config_free(c);
	free(text);
}

Test(config, a_missing_file_is_refused)
{
	struct config *c;

	cr_assert_eq(config_load(&c, "/tmp/haven-no-such-file"), -HAVEN_ECONFIG);
	cr_assert(strstr(c->finding[0].reason, "No such file"));
	config_free(c);
	cr_assert_eq(config_load(&c, "/tmp"), -HAVEN_ECONFIG);
	config_free(c);
}

Test(config, a_lease_must_fit_the_stalls_of_the_host)
{
	struct config *c = load(GOOD, 0);
	struct config_host quiet = {.largest_ns = 7000000, .usual_ns = 7000000};
	struct config_host rare = {.largest_ns = 8000000, .usual_ns = 1000000};
	struct config_host loud = {.largest_ns = 8000000, .usual_ns = 8000000};

	config_check_host(c, &quiet);
	cr_assert_eq(c->errors + c->warnings, 0);
	config_check_host(c, &rare);
	cr_assert_eq(c->errors, 0);
	cr_assert_eq(c->warnings, 1);
	config_check_host(c, &loud);
	cr_assert_eq(c->errors, 1);
	cr_assert(strstr(c->finding[1].remedy, "32ms"), "%s", c->finding[1].remedy);
	config_free(c);
}

/* ---- ports ------------------------------------------------------------------------------------
 */

#define TWO(a_port, b_port)                                                                        \
	HEAD "nodes:\n"                                                                            \
	     "  - {name: a, run_dir: run/a, ports: [" a_port "]}\n"                                \
	     "  - {name: b, run_dir: run/b, ports: [" b_port "]}\n"                                \
	     "  - {name: w, run_dir: run/w, ports: [" W_PORT "], witness: true}\n" GROUPS
#define W_PORT "{device: net_null0, address: 10.3.0.1/16, gateway: 10.3.0.9, udp_port: 4000}"
#define PORT(more) "{device: net_null0" more "}"

Test(config, a_port_may_have_a_tag_and_an_address)
{
	struct config *c = load(TWO(PORT(", vlan: 5, address: 10.1.0.1/16, gateway: 10.1.0.9, "
					 "udp_port: 4000"),
				    PORT(", address: 10.2.0.1/16, gateway: 10.2.9.9, "
					 "udp_port: 4000")),
				0);
	const struct config_port *p = &c->node[0].port[0];
	const struct config_ip inside = {CONFIG_IPV4, {10, 1, 77, 1}};
	const struct config_ip outside = {CONFIG_IPV4, {10, 2, 0, 1}};

	cr_assert_str_eq(p->device, "net_null0");
	cr_assert_eq(p->vlan, 5);
	cr_assert_eq(p->udp_port, 4000);
	cr_assert_eq(p->prefix, 16);
	cr_assert_eq(p->address.bytes[3], 1);
	cr_assert(config_port_reaches(p, &inside) && !config_port_reaches(p, &outside));
	config_free(c);
}

Test(config, prefixes_are_compared_bit_by_bit)
{
	struct config_port p = {.address = {CONFIG_IPV6, {0x20, 1, 0x0d, 0xb8, 0xf8}}};
	struct config_ip ip = {CONFIG_IPV6, {0x20, 1, 0x0d, 0xb8, 0xf0}};

	for (unsigned bits = 1; bits <= 128; bits++) {
		p.prefix = (uint8_t)bits;
		cr_assert_eq(config_port_reaches(&p, &ip), bits <= 36, "%u bits", bits);
	}
	ip.family = CONFIG_IPV4;
	p.prefix = 1;
	cr_assert(!config_port_reaches(&p, &ip));
}

Test(config, ends_that_cannot_meet_are_told)
{
	refused(TWO(PORT(", address: 10.1.0.1"), PORT("")), "4:", "is not an IP address with",
		"192.0.2.1/24");
	refused(TWO(PORT(", address: 10.1.0.1/33"), PORT("")), "4:", "is not an IP address with",
		"");
	refused(TWO(PORT(", vlan: 4095"), PORT("")), "4:", "'4095' is not a whole number", "");
	refused(TWO(PORT(", gateway: 10.1.0.1"), PORT("")), "4:", "and no address", "address:");
	refused(TWO(PORT(", address: 10.1.0.1/16"), PORT("")), "4:", "wrap frames differently",
		"one family");
	refused(TWO(PORT(", address: 10.1.0.1/16"), PORT(", address: 'fd00::1/64'")),
		"4:", "wrap frames differently", "one family");
	refused(TWO(PORT(", address: 10.1.0.1/16"), PORT(", address: 10.1.0.1/16")),
		"4:", "have the same address", "of its own");
	refused(TWO(PORT(", address: 10.1.0.1/16"), PORT(", address: 10.2.0.1/16")),
		"4:", "no gateway", "gateway:");
	refused(TWO(PORT(", address: 10.1.0.1/16, gateway: 10.2.0.1"),
		    PORT(", address: 10.1.0.2/16")),
		"4:", "not in the network of its address", "within");
	refused(TWO("{vlan: 4}", PORT("")), "4:", "'device' is missing", "device:");
}

Test(config, holding_down_can_be_bounded_and_switched_off)
{
	struct config *c = load(GOOD "timers: {hold_max: 2s, gray_percent: 0, verify: 3ms}\n", 0);

	cr_expect_eq(c->timers.hold_max_ns, 2000000000);
	cr_expect_eq(c->timers.verify_ns, 3000000);
	cr_expect_eq(c->timers.gray_percent, 0);
	config_free(c);
	c = load(GOOD "timers: {hold_max: 0, verify: 0}\n", 0);
	cr_expect_eq(c->timers.hold_max_ns, 0);
	cr_expect_eq(c->timers.verify_ns, 0);
	config_free(c);
}

Test(config, two_voters_are_accepted_with_a_warning_when_an_operator_decides)
{
	struct config *c = load(HEAD "two_voters: operator\nnodes:\n" NODE_A NODE_B GROUPS, 0);

	cr_expect_eq(c->two_voters, CONFIG_OPERATOR);
	cr_expect_eq(c->warnings, 1);
	cr_expect(strstr(c->finding[0].reason, "confirm-dead"), "%s", c->finding[0].reason);
	config_free(c);
}
