/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Messages on the node's socket (`haven.sock` in the run directory, SOCK_SEQPACKET): attach and
 * registration by applications, commands by havenctl. One request, one reply, fixed sizes, checked
 * field by field; strings are always terminated by the reader. Descriptors travel by SCM_RIGHTS.
 */
#ifndef HAVEN_MESSAGE_H
#define HAVEN_MESSAGE_H

#include <stdint.h>

#include "error.h"
#include "haven_types.h"
#include "table.h"

#define MESSAGE_VERSION 3u
#define MESSAGE_SOCKET "haven.sock"

enum message_type {
	MESSAGE_ATTACH = 1, /**< + client segment fd; reply carries a read-only registry fd */
	MESSAGE_REGISTER,   /**< reply: handle, gates, instances. With a handle: adopt the component
				 under it, which an earlier incarnation of the node gave out */
	MESSAGE_CHECKPOINT, /**< + checkpoint segment fd; reply: first lane line */
	MESSAGE_READY,      /**< component complete */
	MESSAGE_WORKER,     /**< a worker slot was claimed: watch it (reply after it is watched).
				 Handle 0: a reader of the registry that belongs to no component */
	MESSAGE_DEREGISTER,
	MESSAGE_SWITCHOVER,   /**< command: move an instance; reply when accepted or refused */
	MESSAGE_PING,         /**< command: is the poll loop alive; reply after one turn */
	MESSAGE_CONFIRM_DEAD, /**< command: an operator says that the other voter is dead */
	MESSAGE_TABLE,   /**< command: look into a checkpoint; reply: its shape, and a descriptor of
			      its segment that can only be read. For root and the node's own user */
	MESSAGE_RESTORE, /**< command, + snapshot file: have the application put it back; the reply
			      comes when it has, or when it cannot. For root and the node's own
			      user */
	MESSAGE_RESTORE_TAKE, /**< the application asks for what is to be restored; reply: + the
				   file */
	MESSAGE_RESTORE_DONE, /**< the application says how that went */
	MESSAGE_TYPE_COUNT
};

struct message {
	uint32_t version; /**< MESSAGE_VERSION */
	uint16_t type;    /**< enum message_type, also in the reply */
	int16_t result;   /**< reply: 0 or -enum haven_error */
	uint32_t id;      /**< copied into the reply */
	uint32_t size;    /**< sizeof(struct message) */
	uint64_t handle;  /**< component */
	union {
		struct {
			uint32_t segment_layout, registry_layout, table_layout, pad;
			int32_t pid;
			uint32_t client; /**< reply: index of its line in the registry */
			uint64_t seen;   /**< newest request whose answer was seen (request.h) */
		} attach;
		struct {
			char name[HAVEN_NAME_MAX], group[HAVEN_NAME_MAX], release[HAVEN_NAME_MAX];
			uint8_t kind;
			/* reply */
			uint8_t instances;
			uint16_t gate_first, instance_first, pad;
		} reg;
		struct {
			struct table_shape shape;
			uint32_t instance;     /**< within the component */
			uint32_t warm_records; /**< a standby keeps so many; 0: hot */
			/* reply */
			uint32_t lane_first, checkpoint;
		} checkpoint;
		struct {
			uint32_t worker, pad;
		} worker;
		struct {
			char instance[HAVEN_NAME_MAX]; /**< "" : every instance this node holds */
			char to[HAVEN_NAME_MAX];       /**< node name; "" : the planner's choice */
		} switchover;
		struct {
			char instance[HAVEN_NAME_MAX], name[HAVEN_NAME_MAX];
			/* reply */
			struct table_shape shape;
			uint32_t lane_first;
		} table;
		struct {
			char instance[HAVEN_NAME_MAX], name[HAVEN_NAME_MAX]; /**< command */
			uint32_t number;  /**< take, done: registry_checkpoint.restore */
			int32_t result;   /**< done */
			uint64_t entries; /**< done, and in the reply to the command */
			char why[128];    /**< done: the sentence of a failure */
		} restore;
		struct {
			char node[HAVEN_NAME_MAX];
			char why[64]; /**< who says so, and why; for the event */
		} confirm;
	} u;
	char text[ERROR_TEXT_MAX]; /**< reply: the sentence of a refusal */
};

/** Send with an optional descriptor (-1: none); version and size are filled in. Errors: ENODE,
 * EAGAIN (the other side does not read), ESYS. Never raises SIGPIPE. */
int message_send(int socket, const struct message *m, int fd);
/** Receive exactly one message; checks version and size, terminates strings, closes surplus
 *  descriptors. `*fd` is -1 when none came. `timeout_ms` < 0: wait for ever. Errors: ENODE
 * (closed), EVERSION, ESIZE, ETIMEDOUT, ESYS. */
int message_receive(int socket, struct message *m, int *fd, int timeout_ms);
/** One request and its reply, which replaces `*m`. Late replies to earlier requests are skipped. A
 *  refusal becomes the reply's error with its text, and `*m` stays. `*reply_fd` (may be NULL) is -1
 *  when no descriptor came. */
int message_call(int socket, struct message *m, int fd, int *reply_fd, int timeout_ms,
		 struct error_text *error);
/** Connect to the node in `run_dir`; checks that the peer is root or the caller's own user. Returns
 *  a descriptor, which waits at most 5 s when it sends, or a negative error: ENODE (not running),
 *  EPERM, ETIMEDOUT (stopped), ESYS. */
int message_connect(const char *run_dir, struct error_text *error);

#endif
