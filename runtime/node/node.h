/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The node: everything that one runtime instance consists of. Parts marked "control" belong to the
 * control thread, all others to the poll loop (or to start and end, when neither runs).
 */
#ifndef HAVEN_NODE_INTERNAL_H
#define HAVEN_NODE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "auth.h"
#include "brain.h"
#include "command.h"
#include "config.h"
#include "frame.h"
#include "haven_node.h"
#include "local.h"
#include "loop.h"
#include "port.h"
#include "publish.h"
#include "rcu.h"
#include "registry.h"

struct control;
struct rte_mempool;

struct haven_node {
	struct haven_node_options options;
	struct config *config; /**< constant after haven_node_open() */
	const struct config_node *me;
	uint8_t self;
	bool eal_started; /**< by this node */
	bool started, busy;
	int lock_fd, cpu;
	uint64_t incarnation, epoch_floor;

	struct auth *auth;
	struct rte_mempool *pool;
	unsigned n_ports;
	struct port port[HAVEN_LINKS_MAX];
	uint8_t address[HAVEN_NODES_MAX][PORT_ADDRESS_BYTES];

	struct brain_config brain_config;
	struct brain *brain;
	struct registry registry;
	struct rcu_domain rcu;

	struct loop loop;
	struct local local;
	struct publish publish;

	struct command_queue to_loop, to_control;
	struct control *control;
	uint32_t stop; /**< any thread sets it */
};

#endif
