/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Commands between the control thread and the poll loop. The control thread makes one, fills it
 * and pushes it; the loop carries it out, writes the answer into it and pushes it back. Nobody
 * blocks, and the loop allocates nothing: what a command adds to its tables comes with it.
 *
 * Both queues are liburcu's wait-free ones: any number of pushers, one taker each.
 */
#ifndef HAVEN_COMMAND_H
#define HAVEN_COMMAND_H

#include <stdint.h>
#include <urcu/wfcqueue.h>

#include "message.h"

struct local_client;
struct local_component;
struct local_table;
struct control_connection;
struct fence_talk;

enum command_kind {
	COMMAND_ATTACH = 0, /**< `client` becomes the loop's */
	COMMAND_REGISTER,   /**< `component` becomes the loop's if the result is 0 */
	COMMAND_CHECKPOINT, /**< `table` becomes the loop's if the result is 0 */
	COMMAND_READY,
	COMMAND_WORKER,
	COMMAND_DEREGISTER,   /**< on success `component` comes back to be freed */
	COMMAND_SWITCHOVER,   /**< `instances`, `to` */
	COMMAND_CONFIRM_DEAD, /**< `to`: the other voter */
	COMMAND_FENCE,        /**< `to`: the other voter, `fence_talk` */
	COMMAND_TABLE,        /**< reply: `reply_fd` */
	COMMAND_RESTORE,      /**< `fd`: the snapshot; comes back when it is restored */
	COMMAND_RESTORE_TAKE, /**< reply: `reply_fd` */
	COMMAND_RESTORE_DONE,
	COMMAND_PING,
	COMMAND_HANG_UP,       /**< the client's connection has ended */
	COMMAND_ENDED,         /**< the client's process has provably ended */
	COMMAND_PROCESS_ENDED, /**< process `pid`, which had components and is not attached */
	COMMAND_EVICT,         /**< loop to control: cut the connection of `client` */
	COMMAND_RELEASE,       /**< loop to control: nothing of `client` is used any more */
};

struct command {
	struct cds_wfcq_node node;
	enum command_kind kind;
	struct control_connection *connection; /**< whom to answer; NULL: nobody */
	struct local_client *client;
	struct local_component *component;
	struct local_table *table;
	struct fence_talk *fence_talk;
	uint64_t instances; /**< bit per instance */
	uint8_t to;         /**< node, HAVEN_NODE_NONE: any */
	int32_t pid;
	uint64_t pid_start_ticks;
	uint64_t retry_until_ns;
	int fd;                 /**< COMMAND_RESTORE: the command's own */
	int reply_fd;           /**< goes with the reply; another one's, who keeps it. -1: none */
	struct message message; /**< request, then reply: result, text and the fields of its type */
};

struct command_queue {
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
};

static inline void command_queue_init(struct command_queue *q)
{
	__cds_wfcq_init(&q->head, &q->tail);
}

static inline void command_push(struct command_queue *q, struct command *c)
{
	cds_wfcq_node_init(&c->node);
	cds_wfcq_enqueue(&q->head, &q->tail, &c->node);
}

/** Next command, NULL when there is none or its pusher is not quite done. Never blocks. */
static inline struct command *command_take(struct command_queue *q)
{
	struct cds_wfcq_node *n;

	if (cds_wfcq_empty(&q->head, &q->tail))
		return NULL;
	n = __cds_wfcq_dequeue_nonblocking(&q->head, &q->tail);
	if (!n || n == CDS_WFCQ_WOULDBLOCK)
		return NULL;
	return caa_container_of(n, struct command, node);
}

#endif
