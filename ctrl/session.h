/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The nodes that this call looks at: their registries, found in the run directories, mapped
 * read-only and copied once. A node that is hung or dead is read like any other and marked so.
 */
#ifndef HAVENCTL_SESSION_H
#define HAVENCTL_SESSION_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "command.h"
#include "registry.h"

#define SESSION_NODES_MAX HAVEN_NODES_MAX
/** A live node whose status is older than this has a poll loop that stands still. */
#define SESSION_HUNG_NS 1000000000ull

enum node_condition {
	NODE_RUNNING = 0,
	NODE_HUNG,       /**< the process lives, its poll loop does not */
	NODE_STOPPED,    /**< ended in order */
	NODE_DEAD,       /**< ended without saying so */
	NODE_UNREADABLE, /**< the registry could not be used; see `error` and `text` */
};

/** One registry and a copy of what it said at `taken_ns`. */
struct node {
	char path[PATH_MAX];      /**< run directory, or the registry file itself */
	struct registry registry; /**< mapped unless unreadable */
	dev_t device;
	ino_t inode; /**< tells a restart of the node, which makes the file anew */
	int error;
	struct error_text text; /**< why it is unreadable; names the path */
	enum node_condition condition;
	uint64_t taken_ns, taken_wall_ns, age_ns; /**< age of the status block */
	bool torn; /**< it was being written: parts may not fit together */
	struct registry_header header;
	struct registry_status status;
	struct registry_component *component; /**< copies, `components` of them */
	unsigned components, component_room;
};

struct session {
	struct context *context;
	struct node *node[SESSION_NODES_MAX];
	unsigned n;
};

/**
 * Find and read every registry in the run directories of the command line. Returns EXIT_GOOD when
 * at least one can be read; otherwise tells why and returns the code.
 */
int session_open(struct session *s, struct context *c);
/** Look for registries that appeared since. Returns how many are new. */
unsigned session_rescan(struct session *s);
/** True when the node's file was made anew (or became readable): nothing is written to the mapped
 *  one any more, its last events can be read, then session_reopen() maps the new one. */
bool node_replaced(const struct node *n);
bool session_reopen(struct session *s, unsigned i);
void session_close(struct session *s);
/** Copy status and components again. */
void node_refresh(struct node *n);
/** Name for people: the node's, or the path when it is unreadable. */
const char *node_name(const struct node *n);
const char *node_condition_name(enum node_condition condition);
/** Name of a cluster node or instance as `n` knows it; never NULL. */
const char *node_peer_name(const struct node *n, unsigned node);
const char *node_instance_name(const struct node *n, unsigned instance);
bool node_readable(const struct node *n);
/** True when this node's gate for `instance` is open: it is primary and its lease holds. Reads the
 *  live segment. */
bool node_gate_open(const struct node *n, unsigned instance);

#endif
