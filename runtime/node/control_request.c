/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: their form is checked here, what needs the kernel (mapping, descriptors) is done here,
 * and the rest is a command to the loop. An error of one client changes nothing for any other.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "haven_assert.h"
#include "node.h"

/** How long a registration waits for a dead predecessor to be let go. */
#define PREDECESSOR_NS (2 * NSEC_PER_SEC)

/* ---- requests -----------------------------------------------------------------------------------
 */

static void refuse(struct control *c, struct control_connection *conn, struct message *m, int error,
		   const struct error_text *text)
{
	m->result = (int16_t)error;
	snprintf(m->text, sizeof(m->text), "%s", text->text);
	control_reply(c, conn, m, -1);
}

static struct command *command_new(struct control_connection *conn, enum command_kind kind,
				   const struct message *m)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command)
		return NULL;
	command->kind = kind;
	command->connection = conn;
	command->client = conn->client;
	command->message = *m;
	command->message.text[0] = '\0';
	command->fd = command->reply_fd = -1;
	return command;
}

static void command_send(struct control *c, struct control_connection *conn,
			 struct command *command)
{
	conn->busy = command;
	control_listen(c, conn, false);
	control_push(c, command);
}

static int attach_check(const struct control_connection *conn, const struct message *m, int fd,
			struct error_text *error)
{
	if (conn->client)
		return error_set(error, HAVEN_EEXIST, "this connection is attached already");
	if (m->u.attach.segment_layout != CLIENT_SEGMENT_LAYOUT_VERSION ||
	    m->u.attach.registry_layout != REGISTRY_LAYOUT_VERSION ||
	    m->u.attach.table_layout != TABLE_LAYOUT_VERSION)
		return error_set(error, HAVEN_EVERSION,
				 "layout versions differ: the application has segment %u, registry "
				 "%u, table %u; the node has %u, %u, %u; remedy: use libhaven of "
				 "the node's release",
				 m->u.attach.segment_layout, m->u.attach.registry_layout,
				 m->u.attach.table_layout, CLIENT_SEGMENT_LAYOUT_VERSION,
				 REGISTRY_LAYOUT_VERSION, TABLE_LAYOUT_VERSION);
	if (fd < 0)
		return error_set(error, HAVEN_EINVAL, "no client segment came with the request");
	return 0;
}

static void request_attach(struct control *c, struct control_connection *conn, struct message *m,
			   int fd)
{
	struct error_text error = {"no memory for the request"};
	struct local_client *client = NULL;
	struct command *command;
	int err = attach_check(conn, m, fd, &error);

	if (!err)
		err = control_client_new(&client, conn, fd, &error);
	if (err) {
		refuse(c, conn, m, err, &error);
		return;
	}
	command = command_new(conn, COMMAND_ATTACH, m);
	if (!command) {
		control_client_free(c, client);
		refuse(c, conn, m, -HAVEN_ENOMEM, &error);
		return;
	}
	command->client = client;
	command_send(c, conn, command);
}

static int register_check(const struct haven_node *n, const struct message *m,
			  struct error_text *error)
{
	const struct config *config = n->config;
	const struct config_group *g;
	int group = config_group_find(config, m->u.reg.group);
	char known[160] = "";
	size_t used = 0;

	if (!light_name_valid(m->u.reg.name))
		return error_set(error, HAVEN_EINVAL,
				 "'%s' is not a name: use 1 to 31 characters of a-z 0-9 _ . -",
				 m->u.reg.name);
	if (m->u.reg.release[0] && !light_name_valid(m->u.reg.release))
		return error_set(error, HAVEN_EINVAL, "'%s' is not a release label",
				 m->u.reg.release);
	if (m->u.reg.kind >= HAVEN_KIND_COUNT)
		return error_set(error, HAVEN_EINVAL, "there is no kind %u of components",
				 m->u.reg.kind);
	for (unsigned i = 0; i < config->n_groups && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 config->group[i].name);
	if (group < 0)
		return error_set(error, HAVEN_ENOENT,
				 "the configuration has no group '%s'; its groups are: %s",
				 m->u.reg.group, known);
	g = &config->group[group];
	for (unsigned i = 0; i < g->n_nodes; i++) {
		if (g->node[i] == n->self)
			return 0;
	}
	return error_set(error, HAVEN_EREFUSED, "node %s does not serve group %s", n->me->name,
			 g->name);
}

static void request_register(struct control *c, struct control_connection *conn, struct message *m)
{
	struct error_text error = {"no memory for another component"};
	struct local_component *comp;
	struct command *command;
	int err = register_check(c->node, m, &error);

	if (err) {
		refuse(c, conn, m, err, &error);
		return;
	}
	comp = calloc(1, sizeof(*comp));
	command = comp ? command_new(conn, COMMAND_REGISTER, m) : NULL;
	if (!command) {
		free(comp);
		refuse(c, conn, m, -HAVEN_ENOMEM, &error);
		return;
	}
	comp->client = conn->client;
	control_component_fill(c->node, comp, conn->client, m);
	command->component = comp;
	command->retry_until_ns = clock_now_ns() + PREDECESSOR_NS;
	command_send(c, conn, command);
}

static void request_checkpoint(struct control *c, struct control_connection *conn,
			       struct message *m, int fd)
{
	struct error_text error = {"no memory for the request"};
	struct local_table *t = NULL;
	struct command *command;
	int err = control_table_new(&t, m, fd, &error);

	if (err) {
		refuse(c, conn, m, err, &error);
		return;
	}
	command = command_new(conn, COMMAND_CHECKPOINT, m);
	if (!command) {
		control_table_free(t);
		refuse(c, conn, m, -HAVEN_ENOMEM, &error);
		return;
	}
	command->table = t;
	command_send(c, conn, command);
}

static int switchover_resolve(const struct config *config, const struct message *m,
			      uint64_t *instances, uint8_t *to, struct error_text *error)
{
	const char *instance = m->u.switchover.instance, *node = m->u.switchover.to;

	for (unsigned i = 0; instance[0] && i < config->n_instances; i++) {
		if (strcmp(config->instance[i], instance) == 0)
			*instances = (uint64_t)1 << i;
	}
	if (instance[0] && !*instances)
		return error_set(error, HAVEN_ENOENT, "there is no instance '%s'", instance);
	if (node[0] && config_node_find(config, node) < 0)
		return error_set(error, HAVEN_ENOENT, "there is no node '%s'", node);
	if (node[0])
		*to = (uint8_t)config_node_find(config, node);
	return 0;
}

/* The brain refuses what this node does not hold; who does is told here, from the newest view. */
static int switchover_holder(const struct haven_node *n, uint64_t instances,
			     struct error_text *error)
{
	unsigned i = instances ? (unsigned)__builtin_ctzll(instances) : 0;
	uint8_t holder = n->self;
	const struct publish_snapshot *s;

	rcu_read_lock();
	s = rcu_dereference(n->publish.snapshot);
	if (s && instances)
		holder = s->holder[i];
	rcu_read_unlock();
	if (holder == n->self || holder >= n->config->n_nodes)
		return 0;
	return error_set(error, HAVEN_EREFUSED,
			 "instance %s is held by node %s; remedy: give the command to that node",
			 n->config->instance[i], n->config->node[holder].name);
}

static void request_switchover(struct control *c, struct control_connection *conn,
			       struct message *m)
{
	struct error_text error = {"no memory for the request"};
	struct command *command;
	uint64_t instances = 0;
	uint8_t to = HAVEN_NODE_NONE;
	int err = switchover_resolve(c->node->config, m, &instances, &to, &error);

	if (!err)
		err = switchover_holder(c->node, instances, &error);
	command = err ? NULL : command_new(conn, COMMAND_SWITCHOVER, m);
	if (!command) {
		refuse(c, conn, m, err ? err : -HAVEN_ENOMEM, &error);
		return;
	}
	command->instances = instances;
	command->to = to;
	command_send(c, conn, command);
}

static void request_confirm_dead(struct control *c, struct control_connection *conn,
				 struct message *m)
{
	struct error_text error = {"no memory for the request"};
	int node = config_node_find(c->node->config, m->u.confirm.node);
	struct command *command = NULL;
	int err = -HAVEN_ENOMEM;

	if (node < 0)
		err = error_set(&error, HAVEN_ENOENT, "there is no node '%s'", m->u.confirm.node);
	else
		command = command_new(conn, COMMAND_CONFIRM_DEAD, m);
	if (!command) {
		refuse(c, conn, m, err, &error);
		return;
	}
	command->to = (uint8_t)node;
	command_send(c, conn, command);
}

/* Contents of tables are for whoever could read them in the application's memory, too. */
static void request_of_owner(struct control *c, struct control_connection *conn, struct message *m,
			     int fd)
{
	struct error_text error = {"no memory for the request"};
	bool restore = m->type == MESSAGE_RESTORE;
	struct command *command = NULL;
	int err = 0;

	if (!conn->owner)
		err = error_set(&error, HAVEN_EPERM,
				"only root and the user that runs the node may look into "
				"checkpoints and restore them");
	else if (restore && fd < 0)
		err = error_set(&error, HAVEN_EINVAL, "no file came with the request");
	if (!err)
		command = command_new(conn, restore ? COMMAND_RESTORE : COMMAND_TABLE, m);
	if (command && restore)
		command->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (!command || (restore && command->fd < 0)) {
		free(command);
		refuse(c, conn, m, err ? err : -HAVEN_ENOMEM, &error);
		return;
	}
	command_send(c, conn, command);
}

static enum command_kind kind_of(uint16_t type)
{
	switch (type) {
	case MESSAGE_READY:
		return COMMAND_READY;
	case MESSAGE_WORKER:
		return COMMAND_WORKER;
	case MESSAGE_RESTORE_TAKE:
		return COMMAND_RESTORE_TAKE;
	case MESSAGE_RESTORE_DONE:
		return COMMAND_RESTORE_DONE;
	default:
		return COMMAND_DEREGISTER;
	}
}

static void request_plain(struct control *c, struct control_connection *conn, struct message *m,
			  enum command_kind kind)
{
	struct error_text error = {"no memory for the request"};
	struct command *command = command_new(conn, kind, m);

	if (command)
		command_send(c, conn, command);
	else
		refuse(c, conn, m, -HAVEN_ENOMEM, &error);
}

static void request_route(struct control *c, struct control_connection *conn, struct message *m,
			  int fd)
{
	struct error_text error;

	m->result = 0;
	switch (m->type) {
	case MESSAGE_ATTACH:
		request_attach(c, conn, m, fd);
		return;
	case MESSAGE_SWITCHOVER:
		request_switchover(c, conn, m);
		return;
	case MESSAGE_CONFIRM_DEAD:
		request_confirm_dead(c, conn, m);
		return;
	case MESSAGE_TABLE:
	case MESSAGE_RESTORE:
		request_of_owner(c, conn, m, fd);
		return;
	case MESSAGE_PING:
		request_plain(c, conn, m, COMMAND_PING);
		return;
	default:
		break;
	}
	if (m->type >= MESSAGE_TYPE_COUNT || m->type == 0)
		refuse(c, conn, m, error_set(&error, HAVEN_EINVAL, "unknown request %u", m->type),
		       &error);
	else if (!conn->client)
		refuse(c, conn, m, error_set(&error, HAVEN_EINVAL, "attach before anything else"),
		       &error);
	else if (m->type == MESSAGE_REGISTER)
		request_register(c, conn, m);
	else if (m->type == MESSAGE_CHECKPOINT)
		request_checkpoint(c, conn, m, fd);
	else
		request_plain(c, conn, m, kind_of(m->type));
}

void control_request(struct control *c, struct control_connection *conn, struct message *m, int fd)
{
	request_route(c, conn, m, fd);
	if (fd >= 0)
		close(fd);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

/* The application gets the registry as a descriptor it can only read. */
static void attached(struct control *c, struct command *command)
{
	struct control_connection *conn = command->connection;
	struct local_client *client = command->client;
	int fd = -1;

	if (command->message.result == 0 && control_watch(c, client) != 0) {
		/* The loop knows the client, so it is the loop that lets it go. */
		command->message.result = -HAVEN_ESYS;
		client->in_flight++;
		control_push(c, &client->hang_up);
	} else if (command->message.result == 0) {
		conn->client = client;
		control_pending_attached(c, client);
		fd = c->node->registry.fd;
	} else {
		control_client_free(c, client);
	}
	control_reply(c, conn, &command->message, fd);
	if (conn->fd < 0)
		control_hang_up(c, conn); /* it went away meanwhile */
}

static void client_returned(struct control *c, struct local_client *client)
{
	if (client->let_go && client->in_flight == 0)
		control_client_free(c, client);
}

static void evicted(struct control *c, const struct local_client *client)
{
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		if (c->connection[i].client == client)
			control_hang_up(c, &c->connection[i]);
	}
}

static bool try_again(struct control *c, struct command *command)
{
	if (command->kind != COMMAND_REGISTER || command->message.result != -HAVEN_EAGAIN ||
	    command->connection->fd < 0 || clock_now_ns() >= command->retry_until_ns ||
	    c->n_retries == CONTROL_RETRIES_MAX)
		return false;
	command->message.result = 0;
	command->message.text[0] = '\0';
	c->retry[c->n_retries++] = command;
	return true;
}

void control_returned(struct control *c, struct command *command)
{
	struct control_connection *conn = command->connection;

	switch (command->kind) {
	case COMMAND_HANG_UP:
	case COMMAND_ENDED:
		command->client->in_flight--;
		client_returned(c, command->client);
		return;
	case COMMAND_FENCE:
		control_fence_returned(c);
		return;
	case COMMAND_PROCESS_ENDED:
		return; /* it is part of its entry, which stays */
	case COMMAND_EVICT:
		evicted(c, command->client);
		return;
	case COMMAND_RELEASE:
		command->client->let_go = true;
		client_returned(c, command->client);
		return;
	case COMMAND_ATTACH:
		conn->busy = NULL;
		attached(c, command);
		break;
	case COMMAND_REGISTER:
	case COMMAND_CHECKPOINT:
	case COMMAND_READY:
	case COMMAND_WORKER:
	case COMMAND_DEREGISTER:
	case COMMAND_SWITCHOVER:
	case COMMAND_CONFIRM_DEAD:
	case COMMAND_TABLE:
	case COMMAND_RESTORE:
	case COMMAND_RESTORE_TAKE:
	case COMMAND_RESTORE_DONE:
	case COMMAND_PING:
		if (try_again(c, command))
			return;
		conn->busy = NULL;
		control_reply(c, conn, &command->message, command->reply_fd);
		break;
	}
	control_listen(c, conn, true);
	if (command->component)
		control_component_free(command->component);
	if (command->table)
		control_table_free(command->table);
	if (command->fd >= 0)
		close(command->fd);
	free(command);
}
