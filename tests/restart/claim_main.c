/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A component with instances, its table and its worker over a restart of the node: who may claim it
 * under its old handle, in which order, and what is refused meanwhile.
 *
 * usage: restart-claim RUN_DIR
 *
 * Serves instance 0 of group hello, says "serving", and at each line on its input claims everything
 * anew from a node that has been restarted, and says "serving" again. "BAD …" ends it.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_segment.h"
#include "message.h"
#include "rcu.h"
#include "registry.h"
#include "request.h"

#define CALL_MS 20000

static const struct table_shape shape = {.name = "flows",
					 .key_bytes = 8,
					 .value_bytes = 8,
					 .capacity = 64,
					 .lanes = 1,
					 .lane_records = 64};

struct side {
	int socket, segment_fd;
	struct client_segment *segment;
	struct registry registry;
	struct request_producer producer;
};

static const char *run_dir;
static struct side app;
static struct table table;
static int table_fd;
static uint64_t handle, generation;
static uint32_t gate;

__attribute__((format(printf, 1, 2), noreturn)) static void bad(const char *format, ...)
{
	va_list args;

	printf("BAD ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static void expect(const char *what, int got, int wanted)
{
	if (got != wanted)
		bad("%s: %s, not %s", what, error_name(got), error_name(wanted));
}

/* ---- talking to the node --------------------------------------------------------------------- */

static int call(struct side *s, struct message *m, int fd, int *reply_fd)
{
	struct error_text error;

	return message_call(s->socket, m, fd, reply_fd, CALL_MS, &error);
}

static void attach(struct side *s)
{
	struct message m = {.type = MESSAGE_ATTACH,
			    .u.attach = {.segment_layout = CLIENT_SEGMENT_LAYOUT_VERSION,
					 .registry_layout = REGISTRY_LAYOUT_VERSION,
					 .table_layout = TABLE_LAYOUT_VERSION,
					 .seen = s->producer.seen}};
	struct error_text error;
	int fd = -1;

	s->socket = message_connect(run_dir, &error);
	if (s->socket < 0)
		bad("%s", error.text);
	if (!s->segment && client_segment_create(&s->segment, &s->segment_fd, &error) != 0)
		bad("%s", error.text);
	s->producer.ring = &s->segment->requests;
	expect("attach", call(s, &m, s->segment_fd, &fd), 0);
	registry_close(&s->registry);
	if (registry_open_fd(&s->registry, fd, &error) != 0)
		bad("%s", error.text);
	close(fd);
	request_producer_move(&s->producer, &s->registry.clients[m.u.attach.client]);
}

static int ask_register(struct side *s, uint64_t wanted, const char *name)
{
	struct message m = {.type = MESSAGE_REGISTER, .handle = wanted, .u.reg.group = "hello"};
	int err;

	snprintf(m.u.reg.name, sizeof(m.u.reg.name), "%s", name);
	err = call(s, &m, -1, NULL);
	if (!err) {
		handle = m.handle;
		gate = m.u.reg.gate_first;
	}
	return err;
}

static int ask_checkpoint(void)
{
	struct message m = {
		.type = MESSAGE_CHECKPOINT, .handle = handle, .u.checkpoint = {.shape = shape}};

	return call(&app, &m, table_fd, NULL);
}

static int ask_simply(enum message_type type)
{
	struct message m = {.type = (uint16_t)type, .handle = handle};

	return call(&app, &m, -1, NULL);
}

static int ask_update(struct side *s, uint64_t of, uint32_t load)
{
	struct request r = {
		.kind = REQUEST_UPDATE, .handle = of, .load = load, .state = HAVEN_PRIMARY};
	struct registry_reply reply;
	int got;

	request_push(&s->producer, &r);
	while ((got = request_answered(&s->producer, &reply)) == 0)
		poll(NULL, 0, 1);
	return got < 0 ? got : (int)reply.result;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* What the worker does until it serves: it confirms each role that the gate shows. */
static void serve(void)
{
	struct registry_gate g = {0};

	while (g.role != HAVEN_PRIMARY) {
		poll(NULL, 0, 1);
		if (!registry_gate_copy(&app.registry.gates[gate], &g))
			continue;
		if (g.generation <= generation && g.role == HAVEN_PRIMARY)
			bad("the gate opens under generation %llu, which was used before",
			    (unsigned long long)g.generation);
		store_release(&app.segment->worker[0].confirmed[0], g.generation); /* P1 */
	}
	generation = g.generation;
	table_lane_begin(&table, 0);
	if (table_put(&table, 0, &generation, &generation, 0) != 0)
		bad("the table takes nothing");
	table_commit(&table, 0);
	printf("serving\n");
	fflush(stdout);
}

static void begin(void)
{
	struct error_text error;

	attach(&app);
	if (table_create(&table, &shape, &table_fd, &error) != 0)
		bad("%s", error.text);
	expect("register", ask_register(&app, 0, "front"), 0);
	expect("checkpoint", ask_checkpoint(), 0);
	expect("ready", ask_simply(MESSAGE_READY), 0);
	if (client_worker_claim(&app.segment->worker[0], handle) != 0)
		bad("cannot claim a worker slot");
	expect("worker", ask_simply(MESSAGE_WORKER), 0);
	serve();
}

/* Another process knows the handle. */
static void try_theft(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct side thief = {.registry.fd = -1};

		attach(&thief);
		expect("theft", ask_register(&thief, handle, "front"), -HAVEN_EPERM);
		expect("theft by name", ask_register(&thief, 0, "front"), -HAVEN_EEXIST);
		expect("theft of the group", ask_register(&thief, 0, "other"), -HAVEN_EEXIST);
		expect("theft by ring", ask_update(&thief, handle, 1), -HAVEN_EPERM);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		bad("the other process did not end well");
}

static void look(uint32_t load, uint8_t flags)
{
	struct registry_component c;

	expect("look", registry_get_copy(&app.registry, handle, &c), 0);
	if (c.hot.load != load || c.hot.flags != flags || strcmp(c.hot.name, "front") != 0)
		bad("it has load %u, flags %u, name %s", c.hot.load, c.hot.flags, c.hot.name);
}

static void claim(void)
{
	static uint32_t load;
	uint64_t before = handle;

	close(app.socket);
	attach(&app);
	look(load, REGISTRY_PENDING);
	try_theft();
	expect("update before it is claimed", ask_update(&app, handle, 9), -HAVEN_EAGAIN);
	expect("a claim by another name", ask_register(&app, handle, "back"), -HAVEN_EINVAL);
	expect("a new one of the name", ask_register(&app, 0, "front"), -HAVEN_EEXIST);
	expect("claim", ask_register(&app, handle, "front"), 0);
	expect("a second claim", ask_register(&app, handle, "front"), -HAVEN_EEXIST);
	if (handle != before)
		bad("another handle");
	look(load, 0);
	expect("checkpoint with content", ask_checkpoint(), 0);
	expect("ready with a worker that nobody watches", ask_simply(MESSAGE_READY),
	       -HAVEN_EREFUSED);
	expect("worker", ask_simply(MESSAGE_WORKER), 0);
	expect("ready", ask_simply(MESSAGE_READY), 0);
	expect("update", ask_update(&app, handle, ++load), 0);
	look(load, REGISTRY_READY);
	serve();
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc != 2) {
		fprintf(stderr, "usage: restart-claim RUN_DIR\n");
		return 2;
	}
	run_dir = argv[1];
	app.registry.fd = -1;
	begin();
	while (fgets(line, sizeof(line), stdin))
		claim();
	rcu_leave(&app.segment->worker[0].quiescent);
	client_worker_release(&app.segment->worker[0]);
	return 0;
}
