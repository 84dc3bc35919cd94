/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * haven-nat: the packet loop and its attachment to the node.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"
#include "haven.h"
#include "io.h"
#include "nat.h"
#include "options.h"
#include "stats.h"

#define ATTACH_TRY_NS (100 * NSEC_PER_MSEC)

static struct nat nat;
static struct io io;
static struct stats stats;
static volatile sig_atomic_t stopping;

static void on_stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static void on_report(int signal_number)
{
	(void)signal_number;
	store_relaxed(&stats.wanted, 1);
}

static void signals_set(void)
{
	struct sigaction stop = {.sa_handler = on_stop};
	struct sigaction report = {.sa_handler = on_report, .sa_flags = SA_RESTART};

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &report, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Attach, register, make the tables, begin the worker, declare readiness. */
static int node_join(const struct options *o, struct haven **out)
{
	struct haven_component_config config = {.name = o->name,
						.group = o->group,
						.release = o->release,
						.kind = HAVEN_KIND_PROCESS};
	struct haven_component *component;
	struct haven_worker *worker;
	struct haven *h;
	int instance, status = haven_attach(&h, o->run_dir);

	*out = h;
	if (!status)
		status = haven_component_register(h, &config, &component);
	if (!status) {
		instance = haven_instance_find(component, o->instance);
		if (instance < 0) {
			fprintf(stderr, "haven-nat: instance %s of group %s: %s\n", o->instance,
				o->group, haven_strerror(instance));
			return instance;
		}
		status = nat_tables_create(&nat, component, (unsigned)instance);
	}
	if (!status)
		status = haven_worker_begin(component, &worker);
	if (!status) {
		status = nat_attach(&nat, worker);
		if (!status)
			status = haven_component_ready(component);
	}
	return status;
}

static void node_leave(struct haven **h)
{
	nat_detach(&nat);
	haven_detach(*h);
	*h = NULL;
}

/* The node as the packet loop knows it. */
struct link {
	struct haven *h;
	bool away;        /**< it went away; or its successor is there, and not all is settled */
	bool gone_over;   /**< the worker works with the successor */
	uint64_t next_ns; /**< when to look for it again */
};

/* A node that went away is looked for between turns; the loop goes on, with its gate shut. The
 * call after the worker has gone over gives the former node's memory back. Returns 0, or why this
 * application must attach anew. */
static int link_tend(struct link *l, unsigned changes, uint64_t now)
{
	int status;

	if (changes & HAVEN_CHANGE_NODE) {
		fprintf(stderr, "haven-nat: the node is gone, waiting for it\n");
		*l = (struct link){.h = l->h, .away = true, .next_ns = now};
	}
	if (changes & HAVEN_CHANGE_REATTACHED) {
		fprintf(stderr, "haven-nat: the node is back\n");
		l->away = l->gone_over = true;
	}
	if (!l->away || now < l->next_ns)
		return 0;
	status = haven_reattach(l->h);
	l->next_ns = now + ATTACH_TRY_NS;
	if (status == 0)
		l->away = !l->gone_over;
	if (status == -HAVEN_ENODE || status == -HAVEN_EAGAIN || status == -HAVEN_ETIMEDOUT)
		return 0;
	if (status)
		fprintf(stderr, "haven-nat: %s\n", haven_last_error(l->h));
	return status;
}

struct turn {
	uint64_t max_ns; /**< longest so far */
	bool busy;       /**< the last one moved something */
};

/* False when the application must attach anew. */
static bool loop_turn(struct turn *t, struct link *l)
{
	uint64_t now = clock_now_ns();
	unsigned changes = haven_poll(nat.haven.worker);

	if (nat.now && now - nat.now > t->max_ns)
		t->max_ns = now - nat.now;
	nat_turn_begin(&nat, changes, now);
	t->busy = io_receive(&io, &nat) != 0;
	t->busy |= nat_turn_end(&nat);
	t->busy |= io_send(&io, &nat) != 0;
	if (!t->busy || now >= stats.next_ns) {
		io_tend(&io, now);
		stats_turn(&stats, &nat, t->max_ns);
	}
	return link_tend(l, changes, now) == 0;
}

/* Until the end is wanted, or this attachment is of no more use. */
static void loop_run(const struct options *o, struct haven *h)
{
	struct turn t = {.max_ns = 0};
	struct link l = {.h = h};

	nat.now = 0;
	while (!stopping && loop_turn(&t, &l))
		if (!o->busy && !t.busy)
			sched_yield();
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
			     .tv_nsec = (long)(ns % NSEC_PER_SEC)};

	nanosleep(&t, NULL);
}

static void ready_tell(struct options *o)
{
	if (o->ready_fd < 0)
		return;
	if (write(o->ready_fd, "ready\n", 6) != 6)
		fprintf(stderr, "haven-nat: --ready-fd %d: cannot be written to\n", o->ready_fd);
	close(o->ready_fd);
	o->ready_fd = -1;
}

/* Serve as long as wanted; who is not taken back attaches anew. Returns the exit status. */
static int serve(struct options *o)
{
	bool joined = false;

	while (!stopping) {
		struct haven *h;
		int status = node_join(o, &h);

		if (!status) {
			joined = true;
			ready_tell(o);
			loop_run(o, h);
		} else if (!joined) {
			const char *why = haven_last_error(h);

			if (*why)
				fprintf(stderr, "haven-nat: %s\n", why);
			node_leave(&h);
			return 1;
		}
		if (stopping)
			stats_stop(&stats, &nat);
		node_leave(&h);
		if (!stopping) {
			nat.now = clock_now_ns();
			stats_turn(&stats, &nat, 0);
			pause_ns(ATTACH_TRY_NS);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o;
	struct nat_io packets;
	char error[256];
	int status = options_parse(&o, argc, argv);

	if (status)
		return status < 0 ? 0 : status;
	if (getrandom(&o.nat.seed, sizeof(o.nat.seed), 0) != sizeof(o.nat.seed)) {
		fprintf(stderr, "haven-nat: no random numbers\n");
		return 1;
	}
	signals_set();
	/* Before DPDK binds this thread to the loop's CPU: the writer may run on any. */
	if (!stats_start(&stats, o.stats, o.name, o.instance)) {
		fprintf(stderr, "haven-nat: cannot start a thread\n");
		return 1;
	}
	if (!io_start(&io, &o.io, error, sizeof(error))) {
		fprintf(stderr, "haven-nat: %s\n", error);
		return 1;
	}
	packets = io_for_nat(&io);
	if (!nat_init(&nat, &o.nat, &packets)) {
		fprintf(stderr, "haven-nat: no memory for %u flows\n", o.nat.flows);
		return 1;
	}
	status = serve(&o);
	stats_stop(&stats, &nat);
	nat_free(&nat);
	io_stop(&io);
	return status;
}
