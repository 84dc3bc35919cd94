/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A node for tests of the client library: one thread that answers the socket and does as it is
 * told, on a real registry. Calls of the test and answers of the thread never overlap, because the
 * client waits for each answer. Requests of the ring are taken by the test, fake_requests(), or by
 * the thread while fake_serve_ring() says so; then the test itself must leave the registry alone.
 *
 * fake_kill() and fake_restart() are a node that dies and its next incarnation, with what was in
 * the former registry or, when its file was lost, with nothing.
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

/** spoil_type: the answer to ATTACH names a line that is not there. */
#define MESSAGE_ATTACH_LINE 1000
#define FAKE_TABLES_MAX 4
#define FAKE_INSTANCES 2
#define FAKE_FAR_NS (1000 * NSEC_PER_SEC)
#define FAKE_RESTARTS_MAX 12
#define FAKE_TURN_MS 1

struct fake_node {
	char dir[64];
	struct registry registry;
	struct registry former[FAKE_RESTARTS_MAX]; /**< of killed incarnations; never stopped */
	unsigned restarts;
	struct rcu_domain rcu;
	struct registry_component component; /**< registered last */
	struct client_segment *segment;
	struct request_consumer consumer;
	uint64_t seen;                           /**< of the newest ATTACH */
	unsigned asked_ring[REQUEST_KIND_COUNT]; /**< requests of the ring seen */
	uint32_t ring_served;                    /**< by the thread; atomic */
	int ring_refusal;                        /**< answer to every request, 0: carry it out */
	int rcu_slot[HAVEN_WORKERS_MAX];         /**< + 1; 0: not watched */
	uint64_t worker_component[HAVEN_WORKERS_MAX]; /**< as announced */
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
	struct registry_client *line;
	char path[96];

	if (f->segment)
		client_segment_unmap(f->segment);
	m->result = (int16_t)client_segment_map(fd, &f->segment, NULL);
	if (m->result)
		return;
	f->seen = m->u.attach.seen;
	m->u.attach.client = f->spoil_type == MESSAGE_ATTACH_LINE ? f->registry.shape.clients : 1;
	line = &f->registry.clients[1];
	request_consumer_init(&f->consumer, &f->segment->requests, line, f->seen);
	line->pid_start_ticks = process_start_ticks(getpid());
	store_release(&line->pid, getpid());
	memset(f->rcu_slot, 0, sizeof(f->rcu_slot));
	snprintf(path, sizeof(path), "%s/" REGISTRY_FILE, f->dir);
	if (f->spoil_type != MESSAGE_ATTACH)
		*reply_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static inline void fake_register(struct fake_node *f, struct message *m)
{
	struct registry_component *c = &f->component;

	const struct registry_hot *own = m->handle ? registry_get(&f->registry, m->handle) : NULL;

	memset(c, 0, sizeof(*c));
	if (own) {
		c->hot = *own;
		c->cold = *registry_cold_of(&f->registry, own);
	}
	memcpy(c->hot.name, m->u.reg.name, sizeof(c->hot.name));
	memcpy(c->cold.group, m->u.reg.group, sizeof(c->cold.group));
	snprintf(c->cold.release, sizeof(c->cold.release), "%s",
		 m->u.reg.release[0] ? m->u.reg.release : "1.0");
	c->hot.kind = m->u.reg.kind;
	c->cold.pid = getpid();
	c->hot.instances = FAKE_INSTANCES;
	c->hot.instance_first = 1;
	c->hot.handle = m->handle;
	c->hot.flags = 0;
	if (own)
		m->result = (int16_t)registry_update(&f->registry, c, &f->rcu);
	else if (m->handle)
		m->result = (int16_t)registry_adopt(&f->registry, c, NULL);
	else
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

/* Watched before the answer. */
static inline void fake_worker(struct fake_node *f, struct message *m)
{
	uint32_t k = m->u.worker.worker;

	f->newest_worker = k;
	f->worker_component[k] = m->handle;
	if (client_worker_marked(&f->segment->worker[k]))
		m->result = -HAVEN_EREFUSED;
	else if (!f->rcu_slot[k])
		f->rcu_slot[k] = rcu_slot_add(&f->rcu, &f->segment->worker[k].quiescent) + 1;
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
		fake_worker(f, m);
		break;
	case MESSAGE_DEREGISTER:
		m->result = (int16_t)registry_remove(&f->registry, m->handle, &f->rcu);
		break;
	default:
		break;
	}
}

static inline void fake_content(struct registry_component *c, const struct request *r)
{
	c->hot.kind = r->component_kind;
	c->hot.state = r->state;
	c->hot.health = r->health;
	c->hot.load = r->load;
	c->hot.weight = r->weight;
	c->hot.flags = REGISTRY_READY;
	memcpy(c->cold.group, r->group, sizeof(c->cold.group));
	memcpy(c->cold.release, r->release, sizeof(c->cold.release));
	c->cold.format_read_min = r->format_read_min;
	c->cold.format_read_max = r->format_read_max;
	c->cold.format_write = r->format_write;
	c->cold.n_depends = r->n_depends;
	memcpy(c->cold.depends, r->depends, sizeof(c->cold.depends));
}

static inline int fake_request(struct fake_node *f, const struct request *r, uint64_t *handle)
{
	struct registry_component c = {.cold.pid = getpid(),
				       .cold.pid_start_ticks = process_start_ticks(getpid())};
	int status;

	*handle = r->handle;
	if (f->ring_refusal)
		return f->ring_refusal;
	memcpy(c.hot.name, r->name, sizeof(c.hot.name));
	c.hot.handle = r->handle;
	switch (r->kind) {
	case REQUEST_ADD:
		fake_content(&c, r);
		status = registry_add(&f->registry, &c, NULL);
		*handle = status ? 0 : c.hot.handle;
		return status;
	case REQUEST_ADOPT:
		fake_content(&c, r);
		return registry_adopt(&f->registry, &c, NULL);
	case REQUEST_UPDATE:
		status = registry_get_copy(&f->registry, r->handle, &c);
		fake_content(&c, r);
		return status ? status : registry_update(&f->registry, &c, &f->rcu);
	default:
		return registry_remove(&f->registry, r->handle, &f->rcu);
	}
}

/** Take and answer requests of the ring, `max` at most. Returns how many. */
static inline unsigned fake_requests(struct fake_node *f, unsigned max)
{
	struct request r;
	unsigned n = 0;

	for (; n < max && f->consumer.ring && request_take(&f->consumer, &r) == 1; n++) {
		uint64_t handle;
		int result = fake_request(f, &r, &handle);

		f->asked_ring[r.kind]++;
		request_answer(&f->consumer, result, handle);
		registry_reclaim(&f->registry, &f->rcu);
	}
	return n;
}

static inline void fake_serve_ring(struct fake_node *f, bool on)
{
	store_release(&f->ring_served, on);
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

		if (poll(p, 3, FAKE_TURN_MS) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		if (load_acquire(&f->ring_served))
			fake_requests(f, UINT32_MAX);
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

/* One incarnation: a registry, a socket, a thread. */
static inline void fake_live(struct fake_node *f, uint64_t generation_floor)
{
	struct registry_config config = {.cluster = "test",
					 .node = "a",
					 .release = "1.0",
					 .incarnation = 5 + f->restarts,
					 .generation_floor = generation_floor};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct error_text error;

	f->connection = -1;
	f->consumer.ring = NULL;
	cr_assert_eq(registry_create(&f->registry, f->dir, &config, &error), 0, "%s", error.text);
	rcu_domain_init(&f->rcu, &f->registry.header->rcu_epoch);
	fake_names(f);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MESSAGE_SOCKET, f->dir);
	unlink(address.sun_path);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(f->listener, 4), 0);
	cr_assert_eq(pipe2(f->stop, O_CLOEXEC), 0);
}

static inline void fake_run(struct fake_node *f)
{
	cr_assert_eq(pthread_create(&f->thread, NULL, fake_thread, f), 0);
}

static inline void fake_start(struct fake_node *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/haven-client-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	fake_live(f, 0);
	fake_run(f);
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

static inline void fake_forget(struct fake_node *f)
{
	for (unsigned i = 0; i < f->n_tables; i++)
		table_unmap(&f->table[i]);
	if (f->segment)
		client_segment_unmap(f->segment);
	f->n_tables = 0;
	f->segment = NULL;
}

/** The next incarnation after fake_kill(). `lost`: the registry's file was not there any more. */
static inline void fake_restart(struct fake_node *f, bool lost)
{
	struct registry *old = &f->former[f->restarts];
	uint32_t cursor = 0;
	const struct registry_hot *hot;

	cr_assert_lt(f->restarts, FAKE_RESTARTS_MAX);
	fake_forget(f);
	*old = f->registry;
	f->restarts++;
	fake_live(f, old->header->generation + 1);
	while (!lost && (hot = registry_next(old, &cursor))) {
		struct registry_component c = {.hot = *hot, .cold = *registry_cold_of(old, hot)};

		c.hot.flags = REGISTRY_PENDING;
		cr_assert_eq(registry_adopt(&f->registry, &c, NULL), 0);
	}
	fake_run(f);
}

/** Gives everything back that the node still has. */
static inline void fake_end(struct fake_node *f)
{
	char path[96];

	fake_forget(f);
	for (unsigned i = 0; i < f->restarts; i++)
		registry_destroy(&f->former[i]);
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
