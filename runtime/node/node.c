/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Start and end of a node. What it needs is taken in the order of use and given back in the
 * reverse; haven_node_close() copes with whatever part of a start had been done.
 */
#include "node.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "eal.h"
#include "hash.h"
#include "haven_assert.h"
#include "mirror_io.h"
#include "placement.h"
#include "registry_start.h"
#include "restart.h"
#include "run_dir.h"

#define FRAME_BUFFERS 4095u
/** Mirror frames on their way, of one lane and to one node: less than the ring of a port. */
#define NODE_MIRROR_WINDOW 512u
#define NODE_MIRROR_FLIGHT 768u
#define INCARNATION_RANDOM_BITS 20
#define EPOCH_CLOCK_SHIFT 10
#define CHECK_WINDOWS 5
/* Time for the last word, in heartbeats. */
#define LEAVE_BEATS 16u
#define CHECK_WINDOW_NS (20 * NSEC_PER_MSEC)
#define START_WINDOW_NS (4 * NSEC_PER_MSEC)

void node_report(const struct haven_node_options *o, enum haven_node_report kind,
		 const char *sentence)
{
	if (o->report)
		o->report(o->context, kind, sentence);
}

static int report_error(const struct haven_node_options *o, int err, const struct error_text *e)
{
	node_report(o, HAVEN_NODE_ERROR, e->text);
	return err;
}

static void report_findings(const struct haven_node_options *o, const struct config *c,
			    uint32_t first)
{
	char text[1024];

	for (uint32_t i = first; i < c->n_findings; i++) {
		config_finding_text(c, i, text, sizeof(text));
		node_report(o, HAVEN_NODE_FINDING, text);
	}
	if (first == 0 && c->errors + c->warnings > c->n_findings) {
		snprintf(text, sizeof(text), "%s: error: and %u more", c->path,
			 c->errors + c->warnings - c->n_findings);
		node_report(o, HAVEN_NODE_FINDING, text);
	}
}

int node_config_get(struct config **out, const struct haven_node_options *o)
{
	struct error_text none = {"no memory for the configuration"};

	*out = NULL;
	if (!o->config_file) {
		snprintf(none.text, sizeof(none.text), "no configuration file was named");
		return report_error(o, -HAVEN_EINVAL, &none);
	}
	config_load(out, o->config_file);
	if (!*out)
		return report_error(o, -HAVEN_ENOMEM, &none);
	config_check_key(*out);
	config_check_fence(*out);
	report_findings(o, *out, 0);
	return (*out)->errors ? -HAVEN_ECONFIG : 0;
}

bool node_is_busy(const struct haven_node_options *o, const struct config *c)
{
	return o->poll == HAVEN_NODE_POLL_BUSY ||
	       (o->poll == HAVEN_NODE_POLL_CONFIGURED && c->poll_busy);
}

/* Measure on the CPU that will poll; the caller's own place is restored. */
static int host_check(const struct haven_node_options *o, struct config *c, int cpu,
		      uint64_t window_ns)
{
	uint32_t before = c->n_findings, errors = c->errors;
	struct config_host host;
	cpu_set_t saved, one;
	bool moved = false;

	CPU_ZERO(&one);
	if (cpu >= 0) {
		CPU_SET((unsigned)cpu, &one);
		moved = sched_getaffinity(0, sizeof(saved), &saved) == 0 &&
			sched_setaffinity(0, sizeof(one), &one) == 0;
	}
	config_host_measure(&host, CHECK_WINDOWS, window_ns, !node_is_busy(o, c));
	if (moved)
		sched_setaffinity(0, sizeof(saved), &saved);
	config_check_host(c, &host);
	report_findings(o, c, before);
	if (c->errors == errors || o->force)
		return 0;
	return -HAVEN_ECONFIG;
}

/* Whether the registry has room here. */
static int room_check(const struct haven_node_options *o, struct config *c)
{
	uint32_t before = c->n_findings, errors = c->errors;
	int me = o->node ? config_node_find(c, o->node) : -1;

	registry_start_check(c, me >= 0 ? &c->node[me] : NULL);
	report_findings(o, c, before);
	return c->errors == errors ? 0 : -HAVEN_ECONFIG;
}

int haven_node_check(const struct haven_node_options *o)
{
	struct config *c;
	int err = node_config_get(&c, o);

	if (!err)
		err = room_check(o, c);
	if (!err)
		err = host_check(o, c, -1, CHECK_WINDOW_NS);
	config_free(c);
	return err;
}

/* ---- open ---------------------------------------------------------------------------------------
 */

static int node_find(struct haven_node *n, struct error_text *error)
{
	const struct config *c = n->config;
	const char *names[HAVEN_NODES_MAX], *nearest;
	int index = n->options.node ? config_node_find(c, n->options.node) : -1;

	if (index < 0) {
		for (unsigned i = 0; i < c->n_nodes; i++)
			names[i] = c->node[i].name;
		nearest = config_nearest(n->options.node ? n->options.node : "", names, c->n_nodes);
		return error_set(error, HAVEN_ECONFIG, "%s has no node '%s'; remedy: %s%s", c->path,
				 n->options.node ? n->options.node : "",
				 nearest ? "did you mean " : "name one of its nodes",
				 nearest ? nearest : "");
	}
	n->self = (uint8_t)index;
	n->me = &c->node[index];
	return 0;
}

/* Greater than any before, over restarts and a clock that was set back. */
static int new_life(struct haven_node *n, struct error_text *error)
{
	uint64_t wall_ms = clock_wall_ns() / NSEC_PER_MSEC, random = 0, last;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(error, HAVEN_ESYS, "no random numbers from the system");
	random &= ((uint64_t)1 << INCARNATION_RANDOM_BITS) - 1;
	n->incarnation = (wall_ms << INCARNATION_RANDOM_BITS) | random;
	last = run_dir_recall(n->me->run_dir, RUN_DIR_INCARNATION);
	if (n->incarnation <= last)
		n->incarnation = last + 1 + random;
	if (run_dir_keep(n->me->run_dir, RUN_DIR_INCARNATION, n->incarnation) != 0)
		return error_set(
			error, HAVEN_ESYS,
			"cannot write to the run directory %s; remedy: check its owner and "
			"the space left",
			n->me->run_dir);
	n->epoch_floor = wall_ms << EPOCH_CLOCK_SHIFT;
	last = run_dir_recall(n->me->run_dir, RUN_DIR_EPOCH);
	if (last > n->epoch_floor)
		n->epoch_floor = last;
	return 0;
}

static int node_open(struct haven_node *n, struct error_text *error)
{
	int err = node_find(n, error);

	if (!err) {
		n->lock_fd = run_dir_take(n->me->run_dir, error);
		err = n->lock_fd < 0 ? n->lock_fd : 0;
	}
	if (!err)
		err = new_life(n, error);
	if (!err) {
		n->cpu = placement_cpu(n->me->cpu, n->self, error);
		err = n->cpu < 0 ? n->cpu : 0;
	}
	return err;
}

int haven_node_open(struct haven_node **out, const struct haven_node_options *options)
{
	struct haven_node *n = calloc(1, sizeof(*n));
	struct error_text error = {"no memory for the node"};
	int err;

	*out = NULL;
	if (!n)
		return report_error(options, -HAVEN_ENOMEM, &error);
	n->options = *options;
	n->lock_fd = n->cpu = -1;
	err = node_config_get(&n->config, options);
	if (!err) {
		err = node_open(n, &error);
		if (err)
			report_error(options, err, &error);
	}
	if (!err)
		err = room_check(options, n->config);
	if (!err && !options->force)
		err = host_check(options, n->config, n->cpu, START_WINDOW_NS);
	if (err) {
		haven_node_close(n);
		return err;
	}
	*out = n;
	return 0;
}

int haven_node_cpu(const struct haven_node *n)
{
	return n->cpu;
}

int haven_node_eal_start(struct haven_node *n)
{
	char name[2 * HAVEN_NAME_MAX], prefix[16];
	struct eal_options o = {.runtime_dir = n->me->run_dir,
				.prefix = prefix,
				.cpu = n->cpu,
				.memory_mb = n->me->memory_mb,
				.hugepages = n->me->hugepages,
				.pci = n->me->pci};
	struct error_text error;
	int err;

	snprintf(name, sizeof(name), "%s/%s", n->config->cluster, n->me->name);
	snprintf(prefix, sizeof(prefix), "haven%08x", (uint32_t)hash_bytes(name, strlen(name), 0));
	placement_memory(n->cpu);
	err = eal_start(&o, &error);
	if (err)
		return report_error(&n->options, err, &error);
	n->eal_started = true;
	return 0;
}

/* ---- start --------------------------------------------------------------------------------------
 */

static int start_auth(struct haven_node *n, struct error_text *error)
{
	struct auth_keys keys;
	int err = auth_keys_load(n->config->key_file, &keys, error);

	if (err)
		return err;
	err = auth_create(&n->auth, &keys, n->self, (uint8_t)n->config->n_nodes, n->incarnation,
			  n->config->confidential);
	auth_keys_wipe(&keys);
	if (err == -HAVEN_ESYS)
		return error_set(error, err,
				 "confidential: this processor has no AES instructions; remedy: "
				 "take the line out on every node, or use another machine");
	return err ? error_set(error, err, "no memory for the session keys") : 0;
}

/* Where the ends of link `link` are, as the configuration says. */
static void ends_fill(const struct haven_node *n, unsigned link, struct port_ends *ends)
{
	static const enum wrap_kind kind[] = {[CONFIG_NO_IP] = WRAP_ETHERNET,
					      [CONFIG_IPV4] = WRAP_UDP4,
					      [CONFIG_IPV6] = WRAP_UDP6};
	const struct config *c = n->config;
	const struct config_port *me = &n->me->port[link];

	*ends = (struct port_ends){
		.n = c->n_nodes,
		.wrap = {.kind = kind[me->address.family],
			 .vlan = me->vlan,
			 .udp_port = me->udp_port ? me->udp_port : WRAP_UDP_PORT_DEFAULT}};
	for (unsigned i = 0; i < c->n_nodes; i++) {
		const struct config_port *p = &c->node[i].port[link];
		const struct config_ip *hop =
			config_port_reaches(me, &p->address) ? &p->address : &me->gateway;

		wrap_mac(c->cluster, (uint8_t)i, ends->peer[i].mac);
		memcpy(ends->peer[i].ip, p->address.bytes, WRAP_IP_BYTES);
		memcpy(ends->hop[i], hop->bytes, WRAP_IP_BYTES);
	}
	ends->wrap.self = ends->peer[n->self];
}

static int start_ports(struct haven_node *n, struct error_text *error)
{
	struct port_ends ends;
	char pool[32];
	int err = 0;

	if (n->me->n_ports == 0)
		return 0;
	snprintf(pool, sizeof(pool), "haven-%.20s", n->me->name);
	n->pool = port_pool_create(pool, FRAME_BUFFERS, error);
	if (!n->pool)
		return -HAVEN_ENOMEM;
	for (unsigned i = 0; !err && i < n->me->n_ports; i++) {
		ends_fill(n, i, &ends);
		err = port_open(&n->port[i], n->me->port[i].device, n->pool, &ends, error);
		if (!err)
			n->n_ports++;
	}
	return err;
}

static uint64_t names_digest(const struct config *c)
{
	uint64_t digest = 0;

	for (unsigned i = 0; i < c->n_nodes; i++)
		digest = hash_bytes(c->node[i].name, strlen(c->node[i].name) + 1, digest);
	for (unsigned i = 0; i < c->n_instances; i++)
		digest = hash_bytes(c->instance[i], strlen(c->instance[i]) + 1, digest);
	return digest;
}

static void brain_config_fill(struct haven_node *n)
{
	const struct config *c = n->config;
	const struct config_timers *t = &c->timers;
	struct brain_config *b = &n->brain_config;

	*b = (struct brain_config){
		.self = n->self,
		.n_nodes = (uint8_t)c->n_nodes,
		.n_instances = (uint8_t)c->n_instances,
		.interval_ns = t->interval_ns,
		.suspect_ns = t->suspect_ns,
		.lease_ns = t->lease_ns,
		.guard_ns = t->guard_ns,
		.rate_ppm = (uint32_t)t->rate_ppm,
		.stall_ns = t->stall_ns,
		.mirror_timeout_ns = t->mirror_timeout_ns,
		.mirror_window = NODE_MIRROR_WINDOW,
		.mirror_flight = NODE_MIRROR_FLIGHT,
		.mirror_split = c->mirror_split,
		.hold_ns = t->suspect_ns,
		.hold_max_ns = t->hold_max_ns,
		.gray_percent = (uint32_t)t->gray_percent,
		.verify_ns = t->verify_ns,
	};
	for (unsigned i = 0; i < HAVEN_NODES_MAX && i < c->n_nodes; i++) {
		if (config_is_voter(&c->node[i]))
			b->voters |= node_bit(i);
		if (c->node[i].witness)
			b->witnesses |= node_bit(i);
	}
	b->names = names_digest(c);
	for (unsigned i = 0; i < c->n_instances; i++) {
		const struct config_group *g = &c->group[c->instance_group[i]];

		for (unsigned k = 0; k < g->n_nodes; k++)
			b->instance[i].eligible |= node_bit(g->node[k]);
		b->instance[i].preferred = g->prefer;
		b->instance[i].secondaries = g->n_nodes > 1; /* 2N */
	}
}

static int start_brain(struct haven_node *n, struct error_text *error)
{
	size_t bytes = (brain_bytes(NODE_MIRROR_WINDOW) + 63) & ~(size_t)63;

	n->brain = aligned_alloc(64, bytes);
	n->loop.outputs = calloc(1, sizeof(*n->loop.outputs));
	n->loop.frame = calloc(1, sizeof(*n->loop.frame));
	if (!n->brain || !n->loop.outputs || !n->loop.frame)
		return error_set(error, HAVEN_ENOMEM, "no memory for the protocol's state");
	memset(n->brain, 0, bytes);
	brain_config_fill(n);
	brain_init(n->brain, &n->brain_config, n->incarnation, n->epoch_floor, clock_now_ns());
	return 0;
}

static int node_start(struct haven_node *n, struct error_text *error)
{
	int err;

	if (!eal_running())
		return error_set(error, HAVEN_EINVAL,
				 "DPDK is not initialised; remedy: call rte_eal_init() or "
				 "haven_node_eal_start() first");
	eal_calm_interrupts(n->cpu);
	err = start_auth(n, error);
	/* What takes long comes before the ports: from then on peers are listened to. */
	if (!err)
		err = restart_registry(n, error);
	if (!err)
		err = start_ports(n, error);
	if (!err)
		err = start_brain(n, error);
	if (err)
		return err;
	err = settings_begin(n, error);
	if (err)
		return err;
	rcu_register_thread();
	n->started = true;
	command_queue_init(&n->to_loop);
	command_queue_init(&n->to_control);
	loop_init(n);
	publish_init(n, clock_now_ns());
	restart_tell(n, clock_now_ns());
	return control_start(n, error);
}

int haven_node_start(struct haven_node *n)
{
	struct error_text error = {""};
	int err = node_start(n, &error);

	return err ? report_error(&n->options, err, &error) : 0;
}

/* ---- run and end --------------------------------------------------------------------------------
 */

unsigned haven_node_poll(struct haven_node *n)
{
	return loop_turn(n);
}

void haven_node_leave(struct haven_node *n)
{
	const struct brain_event leave = {.kind = BRAIN_LEAVE};
	uint64_t until = clock_now_ns() + 2 * brain_leave_limit_ns(&n->brain_config) +
			 LEAVE_BEATS * n->brain_config.interval_ns;

	loop_post(n, &leave);
	while (!brain_left(n->brain) && clock_now_ns() < until &&
	       load_relaxed(&n->stop) != NODE_STOP_NOW) {
		if (loop_turn(n) == 0 && !settings_now(n)->busy)
			sched_yield();
	}
}

void haven_node_run(struct haven_node *n)
{
	while (!load_relaxed(&n->stop)) {
		if (loop_turn(n) == 0 && !settings_now(n)->busy)
			sched_yield();
	}
	haven_node_leave(n);
}

void haven_node_stop(struct haven_node *n)
{
	store_relaxed(&n->stop, load_relaxed(&n->stop) ? NODE_STOP_NOW : NODE_STOP);
}

void haven_node_reload(struct haven_node *n)
{
	store_relaxed(&n->reload, 1);
}

static void node_stop_serving(struct haven_node *n)
{
	uint64_t now = clock_now_ns();

	local_stop(n, now);
	publish_stop(n, now);
	control_stop(n);
	settings_end(n);
	registry_destroy(&n->registry);
	rcu_unregister_thread();
}

void haven_node_close(struct haven_node *n)
{
	if (!n)
		return;
	if (n->started)
		node_stop_serving(n);
	else if (n->registry.base)
		registry_destroy(&n->registry);
	light_free(&n->local.light);
	for (unsigned i = 0; i < n->n_ports; i++)
		port_close(&n->port[i]);
	if (n->pool)
		port_pool_free(n->pool);
	auth_destroy(n->auth);
	free(n->brain);
	free(n->loop.outputs);
	free(n->loop.frame);
	if (n->eal_started)
		eal_stop();
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	config_free(n->config);
	free(n);
}
