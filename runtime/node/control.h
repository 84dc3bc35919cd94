/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The control thread: serves the node's socket, watches the processes of the clients, keeps the
 * numbers that must grow over restarts, and asks the ports for their links. Whatever may block or
 * enter the kernel for long happens here; what changes state goes to the poll loop as a command.
 *
 * Thread rule: control_start() and control_stop() belong to the poll thread, the rest to the
 * control thread.
 */
#ifndef HAVEN_CONTROL_H
#define HAVEN_CONTROL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <urcu.h>

#include "command.h"
#include "control_fence.h"
#include "local.h"

struct haven_node;

/** Applications, and as many tools at a time as anybody may need. */
#define CONTROL_CONNECTIONS_MAX (LOCAL_CLIENTS_MAX + 64)
#define CONTROL_RETRIES_MAX CONTROL_CONNECTIONS_MAX

/** One connection: an application, or a tool that sends a command. */
struct control_connection {
	int fd; /**< -1: free, or closed while a request is under way */
	pid_t pid;
	bool owner;                  /**< root, or the node's own user */
	struct local_client *client; /**< after MESSAGE_ATTACH */
	struct command *busy;        /**< the request under way: the next one is read after it */
};

/** A process that had components in the registry of an earlier node and has not attached yet. */
struct control_pending {
	int32_t pid;
	uint64_t pid_start_ticks;
	int pidfd;           /**< -1: none yet */
	bool done;           /**< it attached, or its end was told */
	struct command told; /**< COMMAND_PROCESS_ENDED */
};

enum control_watch { WATCH_LISTEN = 0, WATCH_STOP, WATCH_CONNECTION, WATCH_PROCESS, WATCH_PENDING };
#define CONTROL_TAG(kind, index) (((uint64_t)(kind) << 32) | (uint32_t)(index))

struct control {
	struct haven_node *node;
	pthread_t thread;
	int epoll_fd, listen_fd, stop_fd;
	int spare_fd;       /**< given up to refuse a connection when descriptors have run out */
	gid_t group;        /**< of the run directory */
	uint32_t under_way; /**< commands pushed and not yet back */
	uint32_t n_retries;
	struct command
		*retry[CONTROL_RETRIES_MAX]; /**< refused for the moment, to be pushed again */
	struct control_connection connection[CONTROL_CONNECTIONS_MAX];
	struct local_client *client[LOCAL_CLIENTS_MAX + CONTROL_CONNECTIONS_MAX];
	struct control_pending *pending;
	uint32_t n_pending;
	uint64_t epoch_kept, ports_due_ns;
	struct control_fence fence;
	struct call_rcu_data *reclaimer;
	uint32_t ready; /**< set once it serves */
};

/** Listen on the socket and start the thread. Errors: ENOMEM, ESYS. */
int control_start(struct haven_node *n, struct error_text *error);
/** End the thread, close all connections, free everything. The poll loop must have ended. */
void control_stop(struct haven_node *n);

/* ---- control_request.c ------------------------------------------------------------------------
 */

/** Take a request: answer it at once, or push a command. Owns `fd`. */
void control_request(struct control *c, struct control_connection *conn, struct message *m, int fd);
/** A command came back from the loop: answer whoever asked, free what is nobody's. */
void control_returned(struct control *c, struct command *command);
/* ---- control_objects.c -------------------------------------------------------------------------
 */

/** A client for the process behind the connection, with its segment `fd` mapped. Errors: ENOENT
 *  (the process is gone), ENOMEM, those of client_segment_map(). */
int control_client_new(struct local_client **out, const struct control_connection *conn, int fd,
		       struct error_text *error);
/** What the registry is to say of a component; its group must be in the configuration. */
void control_component_fill(const struct haven_node *n, struct local_component *comp,
			    const struct local_client *client, const struct message *m);
/** A table with its segment `fd` mapped. Errors: EINVAL, ENOMEM, those of table_map(). */
int control_table_new(struct local_table **out, const struct message *m, int fd,
		      struct error_text *error);
/** Unmap and free a client that the loop does not know (any more). */
void control_client_free(struct control *c, struct local_client *client);
/** Free a table or a component that the loop does not know (any more). */
void control_table_free(struct local_table *t);
void control_component_free(struct local_component *comp);

/* ---- control.c --------------------------------------------------------------------------------
 */

void control_push(struct control *c, struct command *command);
/** Send a reply; a peer that does not take it is cut off. */
void control_reply(struct control *c, struct control_connection *conn, const struct message *m,
		   int fd);
/** Look for requests of the connection, or not while one is under way. */
void control_listen(struct control *c, struct control_connection *conn, bool listen);
void control_hang_up(struct control *c, struct control_connection *conn);
/** Wait for a descriptor to become readable. Returns 0 or -HAVEN_ESYS. */
int control_watch_fd(struct control *c, int fd, enum control_watch kind, size_t index);

/* ---- control_process.c ------------------------------------------------------------------------
 */

/** Watch the client's process. Errors: EFULL, ESYS. */
int control_watch(struct control *c, struct local_client *client);
void control_unwatch(struct control *c, struct local_client *client);
void control_process_event(struct control *c, unsigned index);
/** Processes whose components were adopted: who they are, before the thread starts. Returns 0 or
 *  -HAVEN_ENOMEM. */
int control_pending_start(struct control *c, struct error_text *error);
void control_pending_stop(struct control *c);
/** Now and then: watch those that are not watched yet. */
void control_pending_look(struct control *c);
void control_pending_event(struct control *c, unsigned index);
/** A process has attached: it is watched by its client from now on. */
void control_pending_attached(struct control *c, const struct local_client *client);

#endif
