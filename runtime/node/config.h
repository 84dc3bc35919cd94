/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The cluster configuration: one YAML file, the same on every node.
 *
 * Reading goes in three steps: the file's structure (config.c on config_yaml.c), the rules between
 * its values (config_check.c), and, on request, what this host allows (config_check_host()). Every
 * step notes everything it finds, with file, line, column, reason and remedy, so that one run shows
 * all that is wrong.
 */
#ifndef HAVEN_CONFIG_H
#define HAVEN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "haven_types.h"
#include "pages.h"
#include "registry_layout.h"

#define CONFIG_PATH_MAX 256
/** Longest run directory: its longest socket path, DPDK's included, must fit sockaddr_un. */
#define CONFIG_RUN_DIR_MAX 72
#define CONFIG_PORT_MAX 256
#define CONFIG_GROUPS_MAX 64
#define CONFIG_FILE_BYTES_MAX (1u << 20)
#define CONFIG_FINDINGS_MAX 64
#define CONFIG_CPU_ANY (-1)
#define CONFIG_HOLD_DEFAULT UINT64_MAX

/** Place in the file, both from 1; line 0: the file as a whole. */
struct config_mark {
	uint32_t line, column;
};

struct config_finding {
	bool warning;
	struct config_mark mark;
	char reason[320];
	char remedy[320];
};

/** Redundancy models by their names in the file. */
enum config_redundancy { CONFIG_2N = 0, CONFIG_N_PLUS_M, CONFIG_LOAD_SHARING };

enum config_family { CONFIG_NO_IP = 0, CONFIG_IPV4, CONFIG_IPV6 };

struct config_ip {
	enum config_family family;
	uint8_t bytes[16]; /**< network order */
};

/** One end of a link; the ports of the same place in two nodes' lists are its ends. */
struct config_port {
	char device[CONFIG_PORT_MAX]; /**< name of a DPDK port, or a virtual device */
	uint16_t vlan;                /**< 0: untagged */
	uint16_t udp_port;            /**< 0: the default */
	uint8_t prefix;
	struct config_ip address; /**< CONFIG_NO_IP: Ethernet alone */
	struct config_ip gateway;
	struct config_mark mark, address_mark;
};

struct config_node {
	char name[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	char run_dir[CONFIG_PATH_MAX]; /**< absolute */
	bool voter, voter_given;
	bool witness;   /**< a voter without components */
	bool hugepages; /**< DPDK memory from hugepages */
	bool pci;       /**< probe PCI for NIC ports */
	int32_t id;     /**< -1: by its place in the file */
	int32_t cpu;    /**< CPU of the poll loop, or CONFIG_CPU_ANY */
	uint32_t memory_mb;
	uint32_t n_ports;
	struct config_port port[HAVEN_LINKS_MAX];
	struct config_mark mark, id_mark, run_dir_mark;
};

struct config_group {
	char name[HAVEN_NAME_MAX];
	enum config_redundancy redundancy;
	uint8_t n_instances, n_nodes;
	uint16_t instance_first; /**< cluster-wide number of its first instance */
	uint8_t node[HAVEN_NODES_MAX];
	uint8_t prefer; /**< HAVEN_NODE_NONE: none */
	char node_name[HAVEN_NODES_MAX][HAVEN_NAME_MAX];
	char prefer_name[HAVEN_NAME_MAX];
	struct config_mark mark, nodes_mark, node_mark[HAVEN_NODES_MAX], prefer_mark;
};

struct config_timers {
	uint64_t interval_ns, suspect_ns, lease_ns, guard_ns, stall_ns, mirror_timeout_ns;
	uint64_t stuck_ns;    /**< 0 in the file: 20 times suspect */
	uint64_t hold_max_ns; /**< CONFIG_HOLD_DEFAULT in the file: 10 times lease */
	uint64_t verify_ns;   /**< from one block of a copy compared to the next, 0: none is */
	uint64_t gray_percent, rate_ppm;
	struct config_mark mark, interval_mark, suspect_mark, lease_mark, guard_mark, stuck_mark,
		mirror_mark, hold_mark;
};

/** Sizes of the registry by their places in struct registry_shape. */
enum config_registry_field {
	CONFIG_REGISTRY_COMPONENTS = 0,
	CONFIG_REGISTRY_SPARE,
	CONFIG_REGISTRY_GATES,
	CONFIG_REGISTRY_LANES,
	CONFIG_REGISTRY_CLIENTS,
	CONFIG_REGISTRY_EVENTS,
	CONFIG_REGISTRY_CHANGES,
	CONFIG_REGISTRY_COUNTERS,
	CONFIG_REGISTRY_FIELDS
};
#define CONFIG_NUMA_AUTO (-1) /**< near the CPU of the poll loop */
#define CONFIG_NUMA_NONE (-2)

struct config_registry {
	struct registry_shape shape; /**< 0: the default */
	enum pages_kind pages;
	char huge_dir[CONFIG_PATH_MAX]; /**< absolute; for PAGES_HUGE */
	int32_t numa;                   /**< a node's number, or CONFIG_NUMA_… */
	struct config_mark mark, field_mark[CONFIG_REGISTRY_FIELDS], pages_mark, numa_mark;
};

/** Who may say that the other of two voters is dead: nobody (two are refused), an operator, or the
 *  fence command and, where that fails, an operator. */
enum config_two_voters { CONFIG_REFUSE = 0, CONFIG_OPERATOR, CONFIG_FENCE };

#define CONFIG_ARGUMENTS_MAX 16

struct config_fence {
	bool given, delay_given;
	uint32_t n_arguments; /**< the program's absolute path included */
	char argument[CONFIG_ARGUMENTS_MAX][CONFIG_PATH_MAX];
	uint64_t timeout_ns;
	uint64_t delay_ns; /**< of the node that does not go first; not given: the timeout */
	struct config_mark mark, command_mark;
};

struct config {
	char path[CONFIG_PATH_MAX];
	char folder[CONFIG_PATH_MAX]; /**< of the file, absolute: relative paths in it start here */
	char cluster[HAVEN_NAME_MAX];
	char key_file[CONFIG_PATH_MAX]; /**< absolute */
	bool poll_busy;
	bool mirror_split; /**< each lane on one link, not on all */
	bool confidential; /**< views and records are encrypted between nodes */
	enum config_two_voters two_voters;
	struct config_fence fence;
	struct config_timers timers;
	struct config_registry registry;
	uint32_t n_nodes, n_groups, n_instances;
	struct config_node node[HAVEN_NODES_MAX];
	struct config_group group[CONFIG_GROUPS_MAX];
	char instance[HAVEN_INSTANCES_MAX][HAVEN_NAME_MAX];
	uint8_t instance_group[HAVEN_INSTANCES_MAX];
	struct config_mark key_mark, nodes_mark, two_voters_mark,
		instance_mark[HAVEN_INSTANCES_MAX];
	/** What was found; findings beyond the array are only counted. */
	struct config_finding finding[CONFIG_FINDINGS_MAX];
	uint32_t n_findings, errors, warnings;
};

/**
 * Read and check a file. `*out` is set whenever memory allows, so that its findings can be shown;
 * it is usable only after 0. Errors: ECONFIG, ENOMEM.
 */
int config_load(struct config **out, const char *path);
void config_free(struct config *c);
/** One line "file:line:column: error: reason (remedy: …)". `size` of 1024 is enough. */
void config_finding_text(const struct config *c, uint32_t finding, char *out, size_t size);
/** Index of a node, or -1. */
int config_node_find(const struct config *c, const char *name);
/** Index of a group, or -1. */
int config_group_find(const struct config *c, const char *name);
bool config_is_voter(const struct config_node *n);

/** Note a finding at a place. `remedy` may be NULL. */
__attribute__((format(printf, 5, 6))) void config_note(struct config *c, bool warning,
						       struct config_mark mark, const char *remedy,
						       const char *reason, ...);

/** The name among `names` that `word` was probably meant to be, NULL if none is near. */
const char *config_nearest(const char *word, const char *const *names, unsigned n);

/* ---- config_port.c --------------------------------------------------------------------------- */

/** Rules between the ends of links. Adds findings. */
void config_check_ports(struct config *c);
bool config_ip_equal(const struct config_ip *a, const struct config_ip *b);
/** True when `ip` is in the network of the port's address. */
bool config_port_reaches(const struct config_port *p, const struct config_ip *ip);

/* ---- config_registry.c ----------------------------------------------------------------------- */

/** The registry's sizes as configured; `counters_room` bytes for counters unless the file says
 *  otherwise. What is 0 takes the registry's own default. */
void config_registry_shape(const struct config *c, uint32_t counters_room,
			   struct registry_shape *out);
/**
 * Whether the registry has room on this host: memory, the pool of 2 MiB pages, the NUMA node, and,
 * if `me` is not NULL, its run directory; and whether `counters_needed` bytes fit. Adds findings
 * that name the field, the bytes needed and the bytes free.
 */
void config_check_registry(struct config *c, const struct config_node *me, uint32_t counters_needed,
			   uint32_t counters_room);

/* ---- config_fence.c -------------------------------------------------------------------------- */

/** Fill in what the file leaves out, and the rules about a cluster of `voters` voters. Adds
 *  findings. */
void config_check_two_voters(struct config *c, unsigned voters);
/** The fence command on this host: there, a program, in nobody else's hands. Adds findings. */
void config_check_fence(struct config *c);

/* ---- config_check.c ------------------------------------------------------------------------- */

/** Rules between values. Adds findings. */
void config_check(struct config *c);
/** Checks the key file: there, private, long enough. Adds findings. */
void config_check_key(struct config *c);

/** Stalls of this host as the poll loop would see them. */
struct config_host {
	uint64_t largest_ns; /**< longest gap seen */
	uint64_t usual_ns;   /**< median over windows of each one's longest gap */
};
/** Watch the clock in `windows` (1…16) windows of `window_ns` on the calling thread's CPU, yielding
 *  between two looks if `polite`, as the loop does. */
void config_host_measure(struct config_host *h, unsigned windows, uint64_t window_ns, bool polite);
/**
 * Lease against the measured stalls: an error when the usual stall does not fit in it four times,
 * a warning when only the largest does not. Adds findings.
 */
void config_check_host(struct config *c, const struct config_host *h);

#endif
