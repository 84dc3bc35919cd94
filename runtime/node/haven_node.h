/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Haven node API: run a node inside a DPDK application, or stand alone as `havend` does.
 *
 *     haven_node_open -> [haven_node_eal_start] -> haven_node_start
 *                     -> haven_node_run, or haven_node_poll from the application's own loop
 *                     -> haven_node_close
 *
 * Thread rule: all calls on one node come from one thread, which is the poll thread, except
 * haven_node_stop(). The node starts one more thread for its socket. The library never exits,
 * aborts on input, prints or installs signal handlers: what is to be said goes to `report`.
 *
 * Errors: every int result is 0 or a negative `enum haven_error`, unless said otherwise.
 */
#ifndef HAVEN_NODE_H
#define HAVEN_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "haven_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct haven_node;

enum haven_node_poll_mode {
	HAVEN_NODE_POLL_CONFIGURED = 0, /**< as the configuration file says */
	HAVEN_NODE_POLL_POLITE,         /**< yield the CPU after a turn that found nothing */
	HAVEN_NODE_POLL_BUSY,           /**< never yield */
};

enum haven_node_report {
	HAVEN_NODE_ERROR = 0, /**< why a call failed; may come several times */
	HAVEN_NODE_WARNING,   /**< goes on all the same */
	HAVEN_NODE_NOTICE,    /**< what was done on request */
	HAVEN_NODE_FINDING, /**< about the configuration: "file:line:column: error|warning: …" */
};

/** Zero-initialise, then set what is needed. Strings and `context` stay the caller's. */
struct haven_node_options {
	const char *config_file; /**< cluster configuration (YAML) */
	const char *node;        /**< name of this node in it */
	enum haven_node_poll_mode poll;
	bool force; /**< start although this host stalls longer than the lease allows */
	/** Takes one sentence, with its remedy; NULL: silence. Never called from the poll loop. */
	void (*report)(void *context, enum haven_node_report kind, const char *sentence);
	void *context;
};

/**
 * Check a configuration file: structure, values, the rules between them, the key file, whether
 * this host has room for the registry, and its stalls, which are measured for 100 ms. Everything
 * found is reported. `options->node` may be NULL; if not, its run directory is looked at. Returns 0
 * (warnings included) or -HAVEN_ECONFIG.
 */
int haven_node_check(const struct haven_node_options *options);

/**
 * Read the configuration, take possession of the run directory and choose the CPU. May block for
 * tens of milliseconds, since it measures the stalls of the host unless `force` is set.
 * Errors: ECONFIG, EEXIST (another node owns the run directory), EPERM, ENOMEM, ESYS.
 */
int haven_node_open(struct haven_node **out, const struct haven_node_options *options);
/** CPU that the poll loop should run on: configured, or chosen by the machine's topology. */
int haven_node_cpu(const struct haven_node *n);
/** Stand-alone programs only: initialise DPDK for this node and pin the calling thread to its CPU.
 *  Errors: ESYS with DPDK's reason reported. */
int haven_node_eal_start(struct haven_node *n);
/** Open the ports, publish the registry, serve the socket. DPDK must be initialised. The calling
 *  thread becomes the poll thread. Errors: EINVAL (no DPDK), ENOENT (port), ENOMEM, ESYS. */
int haven_node_start(struct haven_node *n);
/** One turn of the loop; bounded, never blocks. Returns how much was found to do, 0: idle. Must be
 *  called much more often than the heartbeat interval. */
unsigned haven_node_poll(struct haven_node *n);
/** Turns until haven_node_stop(), then haven_node_leave(). */
void haven_node_run(struct haven_node *n);
/** Ask haven_node_run() to return; a second time: and haven_node_leave() not to wait for
 * successors. Any thread, signal handlers included. */
void haven_node_stop(struct haven_node *n);
/**
 * Ask the node to read its configuration file again. What may change while it runs (`poll`,
 * `timers.stuck`) is in force within 100 ms; anything else that changed is reported and waits for a
 * restart; a file with errors changes nothing. Any thread, signal handlers included.
 */
void haven_node_reload(struct haven_node *n);
/**
 * Orderly end, first part, for applications that poll by themselves: every role is given away, then
 * the peers are told that this node leaves, so that nobody suspects it. Polls meanwhile; takes some
 * heartbeats, and at most four times `mirror_timeout` and some heartbeats. Without it the peers see
 * silence.
 */
void haven_node_leave(struct haven_node *n);
/** Orderly end: shut all gates, mark the registry stopped, close everything that was opened. NULL
 *  is allowed. */
void haven_node_close(struct haven_node *n);

#ifdef __cplusplus
}
#endif
#endif
