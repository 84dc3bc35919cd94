/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The node: everything that one runtime instance consists of. Parts marked "control" belong to the
 * control thread, all others to the poll loop (or to start and end, when neither runs).
 */
#ifndef HAVEN_NODE_INTERNAL_H
#define HAVEN_NODE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "adopt.h"
#include "auth.h"
#include "brain.h"
#include "command.h"
#include "config.h"
#include "control_fence.h"
#include "frame.h"
#include "haven_node.h"
#include "local.h"
#include "loop.h"
#include "meters.h"
#include "port.h"
#include "publish.h"
#include "rcu.h"
#include "registry.h"
#include "settings.h"

struct control;
struct rte_mempool;

/** What haven_node_stop() asked for. */
enum node_stop { NODE_RUNS = 0, NODE_STOP, NODE_STOP_NOW };

struct haven_node {
	struct haven_node_options options;
	struct config *config; /**< constant after haven_node_open() */
	const struct config_node *me;
	uint8_t self;
	bool eal_started; /**< by this node */
	bool started;
	int lock_fd, cpu;
	uint64_t incarnation, epoch_floor;

	struct auth *auth;
	struct rte_mempool *pool;
	unsigned n_ports;
	struct port port[HAVEN_LINKS_MAX];

	struct brain_config brain_config;
	struct brain *brain;
	struct registry registry;
	struct rcu_domain rcu;
	struct adopt_report adopted; /**< at start */
	uint64_t generation_kept;    /**< start, then control */

	struct loop loop;
	struct local local;
	struct publish publish;
	struct meters meters;

	struct command_queue to_loop, to_control;
	struct control *control;
	struct settings *settings; /**< replaced as a whole, see settings.h */
	uint32_t settings_number;  /**< of the set whose keys the loop uses */
	uint32_t stop;             /**< enum node_stop; any thread sets it */
	uint32_t reload;           /**< any thread sets it, control takes it */
};

/* ---- node.c ---------------------------------------------------------------------------------- */

/** Hand one sentence to whoever embeds the node. Never from the poll loop. */
void node_report(const struct haven_node_options *o, enum haven_node_report kind,
		 const char *sentence);
/** Read and check the configuration file; findings are reported. `*out` may be set after an error,
 *  too. Errors: EINVAL, ENOMEM, ECONFIG. */
int node_config_get(struct config **out, const struct haven_node_options *o);
/** The poll mode that options and file together ask for. */
bool node_is_busy(const struct haven_node_options *o, const struct config *c);

#endif
