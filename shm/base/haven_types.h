/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Haven: types shared by the client API, the node API and every floor below.
 *
 * Pure declarations: no function here reads a clock, allocates or locks. Units stand last in
 * every name (`_ns`, `_bytes`). Instants are nanoseconds of CLOCK_MONOTONIC_RAW on the local
 * machine; they mean nothing on another one.
 */
#ifndef HAVEN_TYPES_H
#define HAVEN_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Greatest length of a name (node, component, group, instance, checkpoint), with its NUL. */
#define HAVEN_NAME_MAX 32
/** Nodes in a cluster, voters and witnesses included. Node indices run 0…31. */
#define HAVEN_NODES_MAX 32
/** Voters in a cluster; three, five or seven are useful. */
#define HAVEN_VOTERS_MAX 7
/** Instances (units of work) in a cluster, all groups together. */
#define HAVEN_INSTANCES_MAX 64
/** Links of a node on which heartbeats and checkpoints travel. */
#define HAVEN_LINKS_MAX 4
/** Threads of one application that may each own a worker slot (and so a log lane). */
#define HAVEN_WORKERS_MAX 8
/** No node: the holder of an instance that nobody serves. */
#define HAVEN_NODE_NONE 255

/**
 * State of a component with regard to one instance. The order is the order of the allowed climb;
 * the legal moves stand in one table, runtime/avail/states.c.
 */
enum haven_role {
	HAVEN_OFFLINE = 0,   /**< not running, failed, or administratively out */
	HAVEN_SPARE = 1,     /**< healthy, holds no state of the instance */
	HAVEN_SECONDARY = 2, /**< holds, or is being given, a replica */
	HAVEN_PRIMARY = 3,   /**< serves the instance while its gate is open */
};
#define HAVEN_ROLE_COUNT 4

/** What a component is made of. */
enum haven_component_kind {
	HAVEN_KIND_PROCESS = 0, /**< a whole program */
	HAVEN_KIND_WORKER,      /**< one packet loop */
	HAVEN_KIND_PORT,        /**< a NIC port */
	HAVEN_KIND_LINK,        /**< a link */
	HAVEN_KIND_LCORE,       /**< a core */
	HAVEN_KIND_SHARD,       /**< a share of flows, keys or work */
	HAVEN_KIND_DEVICE,      /**< other hardware */
	HAVEN_KIND_SERVICE,     /**< other software */
	HAVEN_KIND_COUNT
};

/** How well a component does, as it (or who watches it) says. */
enum haven_health {
	HAVEN_HEALTH_UNKNOWN = 0, /**< nobody has said anything */
	HAVEN_HEALTH_GOOD = 1,
	HAVEN_HEALTH_DEGRADED = 2, /**< works, with less than it should have */
	HAVEN_HEALTH_FAILED = 3,   /**< does not work, though it may run */
};
#define HAVEN_HEALTH_COUNT 4

/**
 * Every error the library returns, always as a negative value (`return -HAVEN_EFULL;`).
 * haven_strerror() gives the sentence, haven_error_class() what the caller should do.
 */
enum haven_error {
	HAVEN_OK = 0,
	HAVEN_EINVAL,    /**< an argument is out of its documented range */
	HAVEN_ENOMEM,    /**< memory, address space or descriptors ran out */
	HAVEN_ENOENT,    /**< no such object (component, instance, key, run directory) */
	HAVEN_EEXIST,    /**< the name is registered already */
	HAVEN_EFULL,     /**< table, lane, pool or slot array is full */
	HAVEN_EAGAIN,    /**< not now: retry after the next poll */
	HAVEN_EROLE,     /**< the caller is not primary of this instance, or its lease ended */
	HAVEN_EVERSION,  /**< layout or protocol version differs; both are named in the text */
	HAVEN_ESIZE,     /**< a segment, message or field has the wrong size */
	HAVEN_ECORRUPT,  /**< content of a segment contradicts itself */
	HAVEN_ENODE,     /**< the node is not running or went away */
	HAVEN_EPERM,     /**< peer credentials do not allow this */
	HAVEN_ETIMEDOUT, /**< the wanted state did not come in time */
	HAVEN_EREFUSED,  /**< the node refused; the text says which check failed */
	HAVEN_ESYS,      /**< a system call failed; errno is kept */
	HAVEN_ESTALE,    /**< handle or epoch of an earlier life */
	HAVEN_ECONFIG,   /**< configuration invalid; the text has file:line:column */
	HAVEN_ERROR_COUNT
};

/** What to do about an error. */
enum haven_error_class {
	HAVEN_CLASS_NONE = 0, /**< no error */
	HAVEN_CLASS_RETRY,    /**< the same call may work later */
	HAVEN_CLASS_INPUT,    /**< fix the arguments or the configuration */
	HAVEN_CLASS_REATTACH, /**< detach and attach again */
	HAVEN_CLASS_GIVE_UP,  /**< nothing the caller can do at run time */
};

#ifdef __cplusplus
}
#endif
#endif
