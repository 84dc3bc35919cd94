/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A scriptable registry for the tests of havenctl: makes the segment of a node with the real
 * writer, changes it line by line as standard input says, answers "ok" to each line, and keeps it
 * fresh meanwhile. It is no node: it decides nothing.
 *
 * usage: ctl-fixture RUN_DIR NODE      (nodes are a, b and the witness w)
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "message.h"
#include "rcu.h"
#include "registry.h"

#define FRESH_MS 20
#define NODES 3

struct fixture {
	struct registry registry;
	struct rcu_domain rcu;
	uint64_t handle;
	uint32_t gate;
	bool has_component, primary, frozen;
	int listener;
	enum { SERVE_ACCEPT, SERVE_REFUSE, SERVE_IGNORE } serve;
	uint8_t move_to;
	struct registry_lane *lane; /**< two of them */
};

static const char *const names[NODES] = {"a", "b", "w"};

static unsigned node_index(const char *name)
{
	for (unsigned i = 0; i < NODES; i++)
		if (!strcmp(names[i], name))
			return i;
	return HAVEN_NODE_NONE;
}

static uint32_t mask_of(const char *list)
{
	uint32_t mask = 0;

	for (; *list && strcmp(list, "-"); list++)
		for (unsigned i = 0; i < NODES; i++)
			if (*list == names[i][0])
				mask |= UINT32_C(1) << i;
	return mask;
}

static void keep_fresh(struct fixture *f)
{
	uint64_t now = clock_now_ns();

	if (f->frozen)
		return;
	registry_status_begin(&f->registry);
	f->registry.status->updated_ns = now;
	f->registry.status->polls++;
	registry_status_end(&f->registry);
	if (f->has_component && f->primary)
		registry_gate_renew(&f->registry, f->gate, now + NSEC_PER_SEC);
}

static void start(struct fixture *f, const char *run_dir, const char *node)
{
	const struct registry_config config = {
		.cluster = "test",
		.node = node,
		.release = "1.0",
		.incarnation = 7,
		.interval_ns = 500000,
		.lease_ns = 10000000,
		.suspect_ns = 5000000,
		.guard_ns = 500000,
	};
	struct registry_status *s;
	struct error_text error;

	if (registry_create(&f->registry, run_dir, &config, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	rcu_domain_init(&f->rcu, &f->registry.header->rcu_epoch);
	registry_status_begin(&f->registry);
	s = f->registry.status;
	s->self = (uint8_t)node_index(node);
	s->n_nodes = NODES;
	s->n_voters = NODES;
	s->n_instances = 1;
	s->admitted = 1;
	for (unsigned i = 0; i < NODES; i++) {
		struct registry_peer *p = &s->peer[i];

		snprintf(p->name, sizeof(p->name), "%s", names[i]);
		snprintf(p->release, sizeof(p->release), "1.0");
		p->configured = p->voter = 1;
		p->witness = i == 2;
		p->self = i == s->self;
		p->incarnation = 7 + i;
	}
	snprintf(s->instance[0].name, sizeof(s->instance[0].name), "nat0");
	snprintf(s->instance[0].group, sizeof(s->instance[0].group), "nat");
	s->instance[0].wanted_secondaries = 1;
	s->instance[0].holder = HAVEN_NODE_NONE;
	registry_status_end(&f->registry);
	keep_fresh(f);
}

/* view EPOCH HOLDER ASSIGNED IN_SYNC READY: sets as letters, "-" for none */
static void do_view(struct fixture *f, char **word)
{
	struct registry_status *s = f->registry.status;
	unsigned holder = node_index(word[2]);

	registry_status_begin(&f->registry);
	s->epoch = strtoull(word[1], NULL, 10);
	s->has_view = 1;
	s->members = 7;
	for (unsigned i = 0; i < NODES; i++)
		s->peer[i].member = 1;
	if (s->instance[0].holder != holder) {
		s->instance[0].since_ns = clock_now_ns();
		s->instance[0].since_wall_ns = clock_wall_ns();
		s->instance[0].since_epoch = s->epoch;
	}
	s->instance[0].holder = (uint8_t)holder;
	s->instance[0].assigned = mask_of(word[3]);
	s->instance[0].in_sync = mask_of(word[4]);
	s->instance[0].ready = mask_of(word[5]);
	registry_status_end(&f->registry);
}

/* heard NODES: the peers that are alive */
static void do_heard(struct fixture *f, char **word)
{
	struct registry_status *s = f->registry.status;
	uint32_t mask = mask_of(word[1]);

	registry_status_begin(&f->registry);
	for (unsigned i = 0; i < NODES; i++) {
		s->peer[i].alive = (mask >> i) & 1;
		if (s->peer[i].alive)
			s->peer[i].last_heard_ns = clock_now_ns();
		s->peer[i].rtt_ns = 21000;
		s->peer[i].beats_received = 1000;
	}
	registry_status_end(&f->registry);
}

/* fencing NODES: those that a fence command runs against */
static void do_fencing(struct fixture *f, char **word)
{
	uint32_t mask = mask_of(word[1]);

	registry_status_begin(&f->registry);
	for (unsigned i = 0; i < NODES; i++)
		f->registry.status->peer[i].fencing = (mask >> i) & 1;
	registry_status_end(&f->registry);
}

static void show_checkpoint(struct fixture *f, struct registry_component *c)
{
	const struct table_shape shape = {.name = "flows",
					  .key_bytes = 12,
					  .value_bytes = 20,
					  .capacity = 1000,
					  .lanes = 2,
					  .lane_records = 64};
	int first = registry_lanes_reserve(&f->registry, 2);
	struct table_geometry g;

	if (first < 0 || table_geometry_make(&shape, &g, NULL) ||
	    registry_lanes_describe(&f->registry, (uint32_t)first, &g))
		return;
	f->lane = &f->registry.lanes[first];
	f->lane[0].acked_seq = 1234;
	f->lane[0].applied_seq = 1200;
	f->lane[0].consumed_seq = 1100;
	f->lane[0].lag_records = 3;
	f->lane[0].waiting_records = 2000;
	f->lane[0].record_ns = 250;
	f->lane[0].committed_seq = 1237;
	f->lane[0].live = 40;
	f->lane[1].lane = 1;
	f->lane[1].acked_seq = f->lane[1].committed_seq = 7;
	f->lane[1].live = 2;
	c->cold.lane_first = (uint32_t)first;
	c->cold.lanes = 2;
	registry_lanes_give(&f->registry, (uint32_t)first, 2, c->hot.handle);
	registry_update(&f->registry, c, &f->rcu);
}

/* component NAME READY, with a table of two lanes */
static void do_component(struct fixture *f, char **word)
{
	struct registry_component c = {.hot.instances = 1, .cold.pid = getpid()};
	struct error_text error;

	snprintf(c.hot.name, sizeof(c.hot.name), "%s", word[1]);
	snprintf(c.cold.group, sizeof(c.cold.group), "nat");
	c.hot.flags = word[2][0] == '1' ? REGISTRY_READY : 0;
	c.cold.registered_ns = clock_now_ns();
	if (registry_add(&f->registry, &c, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	show_checkpoint(f, &c);
	f->handle = c.hot.handle;
	f->gate = c.hot.gate_first;
	f->has_component = true;
}

/* load N TIMES: so many updates of the component, its load from N on */
static void do_load(struct fixture *f, char **word)
{
	uint32_t load = (uint32_t)strtoul(word[1], NULL, 10);
	struct registry_component c;

	for (unsigned long n = strtoul(word[2], NULL, 10); n; n--) {
		registry_reclaim(&f->registry, &f->rcu);
		if (registry_get_copy(&f->registry, f->handle, &c))
			exit(1);
		c.hot.load = load++;
		registry_update(&f->registry, &c, &f->rcu);
	}
}

/* count NAME LABELS UNIT VALUE: a counter with this value */
static void do_count(struct fixture *f, char **word)
{
	const struct counter_spec spec = {.name = word[1],
					  .labels = word[2][0] == '-' ? "" : word[2],
					  .unit = word[3],
					  .help = "Counted by the fixture."};
	struct error_text error;
	uint64_t *value = NULL;

	if (counters_add(registry_counters(&f->registry), &spec, &value, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	store_relaxed(value, strtoull(word[4], NULL, 10));
}

/* times NAME FIRST LAST: a histogram of nanoseconds with each value from FIRST to LAST */
static void do_times(struct fixture *f, char **word)
{
	const struct counter_spec spec = {.name = word[1],
					  .unit = "ns",
					  .help = "Measured by the fixture.",
					  .kind = COUNTER_HISTOGRAM,
					  .top_bits = 36};
	struct error_text error;
	struct histogram h;

	if (counters_add_histogram(registry_counters(&f->registry), &spec, &h, &error)) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	for (uint64_t v = strtoull(word[2], NULL, 10); v <= strtoull(word[3], NULL, 10); v++)
		histogram_add(&h, v);
}

/* dirty N: values of lane 0 that are in no record yet */
static void do_dirty(struct fixture *f, char **word)
{
	store_relaxed(&f->lane[0].dirty, (uint32_t)strtoul(word[1], NULL, 10));
}

/* remove: the component */
static void do_remove(struct fixture *f)
{
	registry_remove(&f->registry, f->handle, &f->rcu);
	f->has_component = false;
}

/* role ROLE EPOCH */
static void do_role(struct fixture *f, char **word)
{
	enum haven_role role = (enum haven_role)atoi(word[1]);

	f->primary = role == HAVEN_PRIMARY;
	registry_gate_set(&f->registry, f->gate, role, strtoull(word[2], NULL, 10),
			  f->primary ? clock_now_ns() + NSEC_PER_SEC : 0);
}

/* event KIND NODE INSTANCE A B DETAIL DELAY_NS: kind by its label, so long after the one before;
 * an underscore in the detail stands for a blank */
static void do_event(struct fixture *f, char **word)
{
	static uint64_t at_ns, wall_ns;
	struct event e = {0};

	if (!at_ns) {
		at_ns = clock_now_ns() - NSEC_PER_SEC;
		wall_ns = clock_wall_ns() - NSEC_PER_SEC;
	}
	at_ns += strtoull(word[7], NULL, 10);
	wall_ns += strtoull(word[7], NULL, 10);
	while (e.kind < EVENT_KIND_COUNT && strcmp(event_kind_name(e.kind), word[1]))
		e.kind++;
	e.at_ns = at_ns;
	e.wall_ns = wall_ns;
	e.epoch = f->registry.status->epoch;
	e.node = (uint8_t)(word[2][0] == '-' ? 0xff : node_index(word[2]));
	e.instance = (uint8_t)(word[3][0] == '-' ? 0xff : atoi(word[3]));
	e.a = strtoull(word[4], NULL, 10);
	e.b = strtoull(word[5], NULL, 10);
	e.severity = e.kind == EVENT_COMPONENT_DEAD ? EVENT_WARNING : EVENT_NOTICE;
	if (strcmp(word[6], "-"))
		snprintf(e.detail, sizeof(e.detail), "%s", word[6]);
	for (char *c = e.detail; *c; c++)
		if (*c == '_')
			*c = ' ';
	event_ring_publish(f->registry.events, f->registry.shape.events, &e);
}

/* flood N: so many events at once */
static void do_flood(struct fixture *f, char **word)
{
	struct event e = {.kind = EVENT_STALL, .node = 0xff, .instance = 0xff};

	for (unsigned long n = strtoul(word[1], NULL, 10); n; n--) {
		e.at_ns = clock_now_ns();
		e.wall_ns = clock_wall_ns();
		event_ring_publish(f->registry.events, f->registry.shape.events, &e);
	}
}

/* set FIELD VALUE, of the status block */
static void do_set(struct fixture *f, char **word)
{
	struct registry_status *s = f->registry.status;
	uint64_t value = strtoull(word[2], NULL, 10);

	registry_status_begin(&f->registry);
	if (!strcmp(word[1], "bad_tag"))
		s->bad_tag = value;
	else if (!strcmp(word[1], "sync_percent"))
		s->instance[0].sync_percent = (uint32_t)value;
	else if (!strcmp(word[1], "gate_overruns"))
		s->gate_overruns = value;
	else if (!strcmp(word[1], "admitted"))
		s->admitted = (uint8_t)value;
	registry_status_end(&f->registry);
}

/* serve accept NODE | serve refuse | serve ignore: how a switchover is answered */
static void do_serve(struct fixture *f, const char *run_dir, char **word)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	f->serve = !strcmp(word[1], "accept")   ? SERVE_ACCEPT
		   : !strcmp(word[1], "refuse") ? SERVE_REFUSE
						: SERVE_IGNORE;
	f->move_to = (uint8_t)node_index(word[2]);
	if (f->listener >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" MESSAGE_SOCKET, run_dir);
	unlink(address.sun_path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(f->listener, 4)) {
		perror(address.sun_path);
		exit(1);
	}
}

static void answer(struct fixture *f)
{
	int client = accept(f->listener, NULL, NULL), fd = -1;
	struct message m;

	if (client < 0 || message_receive(client, &m, &fd, 1000))
		return;
	if (fd >= 0)
		close(fd);
	m.result = 0;
	if (f->serve == SERVE_REFUSE) {
		m.result = -HAVEN_EREFUSED;
		snprintf(m.text, sizeof(m.text), "node b is not in sync");
	}
	if (f->serve == SERVE_ACCEPT) {
		registry_status_begin(&f->registry);
		f->registry.status->epoch++;
		f->registry.status->instance[0].holder = f->move_to;
		registry_status_end(&f->registry);
	}
	message_send(client, &m, -1);
	close(client);
}

static void obey(struct fixture *f, const char *run_dir, char *line)
{
	static char none[] = "-";
	char *word[9], *rest = line;
	unsigned n = 0;

	while (n < 9 && (word[n] = strsep(&rest, " \n")))
		n++;
	while (n < 9)
		word[n++] = none;
	if (!strcmp(word[0], "view"))
		do_view(f, word);
	else if (!strcmp(word[0], "heard"))
		do_heard(f, word);
	else if (!strcmp(word[0], "fencing"))
		do_fencing(f, word);
	else if (!strcmp(word[0], "component"))
		do_component(f, word);
	else if (!strcmp(word[0], "load"))
		do_load(f, word);
	else if (!strcmp(word[0], "count"))
		do_count(f, word);
	else if (!strcmp(word[0], "times"))
		do_times(f, word);
	else if (!strcmp(word[0], "dirty"))
		do_dirty(f, word);
	else if (!strcmp(word[0], "remove"))
		do_remove(f);
	else if (!strcmp(word[0], "role"))
		do_role(f, word);
	else if (!strcmp(word[0], "event"))
		do_event(f, word);
	else if (!strcmp(word[0], "flood"))
		do_flood(f, word);
	else if (!strcmp(word[0], "set"))
		do_set(f, word);
	else if (!strcmp(word[0], "serve"))
		do_serve(f, run_dir, word);
	else if (!strcmp(word[0], "freeze")) /* as a hung loop, so many ns ago */
		f->frozen = true, f->registry.status->updated_ns -= strtoull(word[1], NULL, 10);
	else if (!strcmp(word[0], "stop")) {
		registry_destroy(&f->registry);
		exit(0);
	} else {
		fprintf(stderr, "unknown: %s\n", word[0]);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct fixture f = {.listener = -1};
	char line[512];

	if (argc != 3 || node_index(argv[2]) == HAVEN_NODE_NONE)
		return 2;
	start(&f, argv[1], argv[2]);
	setvbuf(stdin, NULL, _IONBF, 0);
	puts("ok");
	fflush(stdout);
	for (;;) {
		struct pollfd wait[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
					 {.fd = f.listener, .events = POLLIN}};

		poll(wait, 2, FRESH_MS);
		keep_fresh(&f);
		if (f.listener >= 0 && wait[1].revents)
			answer(&f);
		if (!wait[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		obey(&f, argv[1], line);
		puts("ok");
		fflush(stdout);
	}
}
