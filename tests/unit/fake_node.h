/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A node for tests of the client library: one thread that answers the socket and does as it is
 * told, on a real registry. Calls of the test and answers of the thread never overlap, because the
 * client waits for each answer.
 */
#ifndef FAKE_NODE_H
#define FAKE_NODE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client_segment.h"
#include "clock.h"
#include "message.h"
#include "rcu.h"
#include "registry.h"
#include "table.h"

#define FAKE_TABLES_MAX 4
#define FAKE_INSTANCES 2
#define FAKE_FAR_NS (1000 * NSEC_PER_SEC)

struct fake_node {
	char dir[64];
	struct registry registry;
	struct rcu_domain rcu;
	struct registry_component component;
	struct client_segment *segment;
	struct table table[FAKE_TABLES_MAX];
	uint32_t lane_first[FAKE_TABLES_MAX];
	unsigned n_tables;
	unsigned asked[MESSAGE_TYPE_COUNT]; /**< requests seen */
	uint32_t newest_worker;
	/* What goes wrong; set by the test before a call. */
	uint16_t refuse_type; /**< this request is refused with `refuse_error` */
	int16_t refuse_error;
	uint16_t hang_up_at; /**< the connection is closed instead of an answer to this one */
	uint16_t spoil_type; /**< the answer to this one contradicts itself */
	int listener, connection, stop[2];
	pthread_t thread;
};

static inline void fake_attach(struct fake_node *f, struct message *m, int fd, int *reply_fd)
{
	char path[96];

	m->result = (int16_t)client_segment_map(fd, &f->segment, NULL);
	snprintf(path, sizeof(path), "%s/" REGISTRY_FILE, f->dir);
	if (f->spoil_type != MESSAGE_ATTACH)
		*reply_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static inline void fake_register(struct fake_node *f, struct message *m)
{
	struct registry_component *c = &f->component;

	memset(c, 0, sizeof(*c));
	memcpy(c->hot.name, m->u.reg.name, sizeof(c->hot.name));
	memcpy(c->cold.group, m->u.reg.group, sizeof(c->cold.group));
	snprintf(c->cold.release, sizeof(c->cold.release), "%s",
		 m->u.reg.release[0] ? m->u.reg.release : "1.0");
	c->hot.kind = m->u.reg.kind;
	c->cold.pid = getpid();
	c->hot.instances = FAKE_INSTANCES;
	c->hot.instance_first = 1;
	m->result = (int16_t)registry_add(&f->registry, c, NULL);
	m->handle = c->hot.handle;
	m->u.reg.instances = FAKE_INSTANCES;
	m->u.reg.gate_first =
		(uint16_t)(f->spoil_type == MESSAGE_REGISTER ? f->registry.shape.gates - 1
							     : c->hot.gate_first);
	m->u.reg.instance_first = 1;
}

static inline void fake_checkpoint(struct fake_node *f, struct message *m, int fd)
{
	struct table *t = &f->table[f->n_tables];
	int lane;

	m->result = (int16_t)table_map(t, fd, &m->u.checkpoint.shape, NULL);
	if (m->result)
		return;
	lane = registry_lanes_reserve(&f->registry, m->u.checkpoint.shape.lanes);
	f->lane_first[f->n_tables++] = (uint32_t)lane;
	m->u.checkpoint.lane_first =
		f->spoil_type == MESSAGE_CHECKPOINT ? f->registry.shape.lanes : (uint32_t)lane;
}

static inline void fake_serve(struct fake_node *f, struct message *m, int fd, int *reply_fd)
{
	f->asked[m->type]++;
	m->result = 0;
	if (m->type == f->refuse_type) {
		m->result = f->refuse_error;
		snprintf(m->text, sizeof(m->text), "refused by the test");
		return;
	}
	switch (m->type) {
	case MESSAGE_ATTACH:
		fake_attach(f, m, fd, reply_fd);
		break;
	case MESSAGE_REGISTER:
		fake_register(f, m);
		break;
	case MESSAGE_CHECKPOINT:
		fake_checkpoint(f, m, fd);
		break;
	case MESSAGE_WORKER:
		f->newest_worker = m->u.worker.worker;
		break;
	case MESSAGE_DEREGISTER:
		m->result = (int16_t)registry_remove(&f->registry, m->handle, &f->rcu);
		break;
	default:
		break;
	}
}

static inline void fake_hang_up(struct fake_node *f)
{
	if (f->connection >= 0)
		close(f->connection);
	f->connection = -1;
}

static inline void fake_answer(struct fake_node *f)
{
	int fd, reply_fd = -1;
	struct message m;

	if (message_receive(f->connection, &m, &fd, 1000) != 0) {
		fake_hang_up(f);
		return;
	}
	if (m.type == f->hang_up_at) {
		fake_hang_up(f);
	} else {
		fake_serve(f, &m, fd, &reply_fd);
		message_send(f->connection, &m, reply_fd);
	}
	if (fd >= 0)
		close(fd);
	if (reply_fd >= 0)
		close(reply_fd);
}

static inline void *fake_thread(void *argument)
{
	struct fake_node *f = argument;

	for (;;) {
		struct pollfd p[3] = {{.fd = f->stop[0], .events = POLLIN},
				      {.fd = f->listener, .events = POLLIN},
				      {.fd = f->connection, .events = POLLIN}};

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		if (p[2].revents)
			fake_answer(f);
		if (p[1].revents) {
			fake_hang_up(f);
			f->connection = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		}
	}
}

static inline void fake_names(struct fake_node *f)
{
	static const char *const names[] = {"other0", "nat0", "nat1"};

	registry_status_begin(&f->registry);
	f->registry.status->n_instances = 3;
	for (unsigned i = 0; i < 3; i++)
		snprintf(f->registry.status->instance[i].name, HAVEN_NAME_MAX, "%s", names[i]);
	registry_status_end(&f->registry);
}

static inline void fake_start(struct fake_node *f)
{
	struct registry_config config = {
		.cluster = "test", .node = "a", .release = "1.0", .incarnation = 5};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct error_text error;

	memset(f, 0, sizeof(*f));
	f->connection = -1;
	snprintf(f->dir, sizeof(f->dir), "/tmp/haven-client-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	cr_assert_eq(registry_create(&f->registry, f->dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&f->rcu, &f->registry.header->rcu_epoch);
	fake_names(f);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MESSAGE_SOCKET, f->dir);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(f->listener, 4), 0);
	cr_assert_eq(pipe2(f->stop, O_CLOEXEC), 0);
	cr_assert_eq(pthread_create(&f->thread, NULL, fake_thread, f), 0);
}

/** The node's process ends, without a word. Its registry file stays. */
static inline void fake_kill(struct fake_node *f)
{
	cr_assert_eq(write(f->stop[1], "x", 1), 1);
	pthread_join(f->thread, NULL);
	fake_hang_up(f);
	close(f->listener);
	close(f->stop[0]);
	close(f->stop[1]);
}

/** Gives everything back that the node still has. */
static inline void fake_end(struct fake_node *f)
{
	char path[96];

	for (unsigned i = 0; i < f->n_tables; i++)
		table_unmap(&f->table[i]);
	if (f->segment)
		client_segment_unmap(f->segment);
	registry_destroy(&f->registry);
	snprintf(path, sizeof(path), "%s/" REGISTRY_FILE, f->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/" MESSAGE_SOCKET, f->dir);
	unlink(path);
	cr_expect_eq(rmdir(f->dir), 0, "nothing else was left in the run directory");
}

static inline void fake_role(struct fake_node *f, unsigned instance, enum haven_role role,
			     uint64_t epoch)
{
	registry_gate_set(&f->registry, f->component.hot.gate_first + instance, role, epoch,
			  role == HAVEN_PRIMARY ? clock_now_ns() + FAKE_FAR_NS : 0);
}

static inline struct registry_gate *fake_gate(struct fake_node *f, unsigned instance)
{
	return &f->registry.gates[f->component.hot.gate_first + instance];
}

static inline struct registry_lane *fake_lane(struct fake_node *f, unsigned table, unsigned lane)
{
	return &f->registry.lanes[f->lane_first[table] + lane];
}

#endif
