/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration file or a key file of any content. An input begins with its kind: 0
 * configuration, anything else keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth_key.h"
#include "config.h"
#include "fuzz_common.h"

static int file;
static char path[64];

static void name_good(const char *name)
{
	FUZZ_REQUIRE(strnlen(name, HAVEN_NAME_MAX) < HAVEN_NAME_MAX && name[0]);
}

static void group_good(const struct config *c, const struct config_group *g)
{
	name_good(g->name);
	FUZZ_REQUIRE(g->n_nodes >= 1 && g->n_nodes <= c->n_nodes);
	FUZZ_REQUIRE(g->n_instances >= 1 && g->instance_first + g->n_instances <= c->n_instances);
	FUZZ_REQUIRE(g->prefer == HAVEN_NODE_NONE || g->prefer < c->n_nodes);
	for (unsigned i = 0; i < g->n_nodes; i++)
		FUZZ_REQUIRE(g->node[i] < c->n_nodes);
}

/* What is accepted, the node relies on. */
static void config_good(const struct config *c)
{
	const struct config_timers *t = &c->timers;
	unsigned voters = 0;

	FUZZ_REQUIRE(c->n_nodes >= 1 && c->n_nodes <= HAVEN_NODES_MAX);
	FUZZ_REQUIRE(c->n_groups <= CONFIG_GROUPS_MAX && c->n_instances <= HAVEN_INSTANCES_MAX);
	FUZZ_REQUIRE(t->interval_ns && t->interval_ns < t->suspect_ns &&
		     t->suspect_ns <= t->lease_ns && t->guard_ns < t->lease_ns);
	name_good(c->cluster);
	for (unsigned i = 0; i < c->n_nodes; i++) {
		name_good(c->node[i].name);
		FUZZ_REQUIRE(config_node_find(c, c->node[i].name) == (int)i);
		FUZZ_REQUIRE(c->node[i].n_ports <= HAVEN_LINKS_MAX && c->node[i].run_dir[0] == '/');
		voters += config_is_voter(&c->node[i]);
	}
	FUZZ_REQUIRE(voters >= 1);
	for (unsigned i = 0; i < c->n_groups; i++)
		group_good(c, &c->group[i]);
}

static void use_config(void)
{
	char text[1024];
	struct config *c;
	int err = config_load(&c, path);

	FUZZ_REQUIRE(c != NULL && (err == 0) == (c->errors == 0));
	FUZZ_REQUIRE(c->errors + c->warnings == c->n_findings ||
		     c->n_findings == CONFIG_FINDINGS_MAX);
	for (uint32_t i = 0; i < c->n_findings && i < CONFIG_FINDINGS_MAX; i++)
		config_finding_text(c, i, text, sizeof(text));
	if (err == 0)
		config_good(c);
	config_free(c);
}

static void use_keys(void)
{
	struct auth_keys keys;
	struct error_text error = {""};

	if (auth_keys_load(path, &keys, &error) != 0) {
		FUZZ_REQUIRE(keys.n == 0 && error.text[0]);
		return;
	}
	FUZZ_REQUIRE(keys.n >= 1 && keys.n <= AUTH_KEYS_MAX && keys.send < keys.n);
	for (unsigned i = 0; i < keys.n; i++) {
		FUZZ_REQUIRE(keys.key[i].size >= AUTH_KEY_MIN && keys.key[i].size <= AUTH_KEY_MAX);
		FUZZ_REQUIRE(keys.key[i].id != AUTH_KEY_NONE);
		for (unsigned k = 0; k < i; k++)
			FUZZ_REQUIRE(keys.key[i].id != keys.key[k].id);
	}
	auth_keys_wipe(&keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	FUZZ_REQUIRE(ftruncate(file, 0) == 0);
	FUZZ_REQUIRE(pwrite(file, data + 1, n - 1, 0) == (ssize_t)(n - 1));
	if (data[0])
		use_keys();
	else
		use_config();
	return 0;
}

/* ---- seeds ------------------------------------------------------------------------------------
 */

static void seed_write(const char *folder, const char *name, uint8_t kind, const char *text)
{
	uint8_t data[2048] = {kind};

	FUZZ_REQUIRE(strlen(text) < sizeof(data));
	memcpy(data + 1, text, strlen(text));
	fuzz_seed_write(folder, name, data, 1 + strlen(text));
}

#define TIMERS                                                                                     \
	"timers: {interval: 1ms, suspect: 20ms, lease: 40ms, guard: 1ms, rate_ppm: 200,\n"         \
	"  stall: 2ms, mirror_timeout: 200ms}\n"
#define NODES                                                                                      \
	"nodes:\n- {name: a, voter: true, run_dir: /run/a, release: '1', cpu: 1, memory_mb: 64,\n" \
	"   ports: [net_memif0]}\n"                                                                \
	"- name: b\n  voter: true\n  run_dir: /run/b\n  id: 1\n"                                   \
	"  ports: [{device: x, vlan: 7, address: 10.1.0.2/24, gateway: 10.1.0.254, udp_port: "     \
	"9}]\n"                                                                                    \
	"- {name: w, witness: true, run_dir: /run/w, ports: [{device: y, address: "                \
	"'fd00::1/64'}]}\n"
#define GROUPS                                                                                     \
	"groups:\n- {name: nat, redundancy: 2N, standby: hot, instances: [n0, n1],\n"              \
	"   nodes: [a, b], prefer: a}\n"
#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void seeds_write(const char *folder)
{
	static const struct {
		const char *name, *text;
		uint8_t kind;
	} seeds[] = {
		{"whole",
		 "cluster: c\nkey_file: k\nconfidential: true\npoll: busy\nmirror_links: "
		 "split\n" TIMERS NODES GROUPS,
		 0},
		{"registry",
		 "cluster: c\nkey_file: k\nregistry: {components: 64, counters: 64KiB, hugepages: "
		 "transparent, numa: 0}\nnodes: [{name: a, run_dir: /a, ports: [x], voter: "
		 "true}]\n",
		 0},
		{"alias", "nodes: &n [*n]\ngroups: *n\n", 0},
		{"unknown", "cluter: c\ncluster: c\ncluster: d\n? [a]\n: b\n", 0},
		{"broken", "cluster: [\n", 0},
		{"empty", "", 0},
		{"key-raw", "0123456789abcdef_123456789abcdef", 1},
		{"key-hex", KEY "\n", 1},
		{"key-short", "00112233", 1},
		{"key-lines", "# keys\nkey 1 " KEY "\nkey 2 " KEY " send\r\n", 1},
		{"key-words", "key 1 " KEY " send now\nkey 300 x\n", 1},
	};

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		seed_write(folder, seeds[i].name, seeds[i].kind, seeds[i].text);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("HAVEN_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (folder) {
		seeds_write(folder);
		exit(0);
	}
	file = memfd_create("fuzz-config", MFD_CLOEXEC);
	FUZZ_REQUIRE(file >= 0 && fchmod(file, 0400) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return 0;
}
