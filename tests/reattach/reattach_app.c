/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An application that outlives its node, written against the public headers.
 *
 * usage: reattach-app RUN_DIR COMPONENTS
 *
 * A component with one table and one worker, COMPONENTS without instances, a reader. The worker
 * polls, commits while it is primary, and looks its own component up in every turn; the reader
 * looks up all the others; the main thread changes their loads without pause and reattaches. Each
 * look-up must succeed and show the handle it always had. The first that does not is told in one
 * line "BAD …" and ends the program.
 *
 * Reads commands, one word a line: "check" stops the changes, waits until the worker is primary and
 * a commit of it is acknowledged, compares everything and answers "OK" with figures; "forget"
 * removes one component behind the threads' backs, which must be noticed; "quit".
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "haven.h"

#define COMPONENTS_MAX 65536u
#define PATIENT_MS 90000u
#define POSTS 32u
#define LOADS 1000u

static struct haven *h;
static struct haven_component *component;
static struct haven_table *table;
static unsigned n_components;
static char (*name)[HAVEN_NAME_MAX];
static uint64_t *handle;
static uint32_t *load; /* as told last */

static int stop;
static uint64_t worker_sees_acked, worker_polls, worker_reattached, worker_committed, worker_acked,
	reader_rounds;

static void bad(const char *format, ...)
{
	va_list args;

	flockfile(stdout);
	printf("BAD ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- threads ----------------------------------------------------------------------------------
 */

static void worker_turn(struct haven_worker *w)
{
	struct haven_component_info info;
	uint64_t seq, value = worker_polls;
	unsigned changes = haven_poll(w);

	if (changes & HAVEN_CHANGE_REATTACHED)
		store_release(&worker_reattached, worker_reattached + 1);
	/* With a new role the table may be another one: that of who held it meanwhile, or empty. */
	if (changes & HAVEN_CHANGE_ROLE)
		store_release(&worker_committed, haven_commit(w, table));
	store_release(&worker_polls, worker_polls + 1);
	if (haven_lookup(w, "app", &info) != 0)
		bad("the worker does not find its component");
	if (info.handle != haven_component_handle(component))
		bad("the worker's component has another handle");
	store_release(&worker_sees_acked, haven_acked(w, table));
	if (!haven_gate(w, 0) || haven_acked(w, table) < worker_committed)
		return;
	store_release(&worker_acked, worker_acked + 1);
	if (haven_put(w, table, "key", &value) != 0)
		return;
	seq = haven_commit(w, table);
	if (seq < worker_committed)
		bad("commit %llu after %llu", (unsigned long long)seq,
		    (unsigned long long)worker_committed);
	store_release(&worker_committed, seq);
}

static void *worker_run(void *argument)
{
	struct haven_worker *w;

	(void)argument;
	if (haven_worker_begin(component, &w))
		bad("worker: %s", haven_last_error(h));
	while (!load_acquire(&stop)) {
		worker_turn(w);
		sched_yield();
	}
	haven_worker_end(w);
	return NULL;
}

static void reader_look(struct haven_reader *r, unsigned first, unsigned n)
{
	const struct haven_component_view *view[HAVEN_BULK_MAX];
	const struct haven_key *keys[HAVEN_BULK_MAX];
	struct haven_key key[HAVEN_BULK_MAX];

	for (unsigned i = 0; i < n; i++) {
		haven_key_set(&key[i], name[first + i]);
		keys[i] = &key[i];
	}
	haven_reader_enter(r);
	haven_find_bulk(r, keys, n, view);
	for (unsigned i = 0; i < n; i++) {
		if (!view[i])
			bad("%s is not found", name[first + i]);
		if (view[i]->handle != handle[first + i])
			bad("%s has another handle", name[first + i]);
		if (!haven_find_handle(r, handle[first + i]))
			bad("the handle of %s is stale", name[first + i]);
	}
	haven_reader_leave(r);
}

static void *reader_run(void *argument)
{
	struct haven_reader *r;

	(void)argument;
	if (haven_reader_begin(h, &r))
		bad("reader: %s", haven_last_error(h));
	while (!load_acquire(&stop)) {
		for (unsigned i = 0; i < n_components; i += HAVEN_BULK_MAX)
			reader_look(r, i,
				    n_components - i < HAVEN_BULK_MAX ? n_components - i
								      : HAVEN_BULK_MAX);
		store_release(&reader_rounds, reader_rounds + 1);
		sched_yield();
	}
	haven_reader_end(r);
	return NULL;
}

/* ---- main thread ------------------------------------------------------------------------------
 */

static void components_add(void)
{
	struct haven_attributes *a = calloc(n_components, sizeof(*a));
	struct haven_request *q = calloc(n_components, sizeof(*q));

	name = calloc(n_components, sizeof(*name));
	handle = calloc(n_components, sizeof(*handle));
	load = calloc(n_components, sizeof(*load));
	if (!a || !q || !name || !handle || !load)
		bad("no memory");
	for (unsigned i = 0; i < n_components; i++) {
		snprintf(name[i], sizeof(name[i]), "port.%u", i);
		a[i] = (struct haven_attributes){
			.name = name[i], .group = "ports", .kind = HAVEN_KIND_PORT};
		q[i] = (struct haven_request){.kind = HAVEN_REQUEST_ADD, .attributes = &a[i]};
	}
	if (haven_request_call(h, q, n_components, PATIENT_MS))
		bad("components: %s", haven_strerror(q[n_components - 1].result));
	for (unsigned i = 0; i < n_components; i++)
		handle[i] = q[i].handle;
	free(a);
	free(q);
}

static void start(const char *run_dir)
{
	const struct haven_attributes told = {.health = HAVEN_HEALTH_GOOD, .load = 4321};
	const struct haven_component_config config = {
		.name = "app", .group = "app", .attributes = &told};
	const struct haven_table_config shape = {"words", 4, 8, 16, 1, 64};

	if (haven_attach(&h, run_dir) || haven_component_register(h, &config, &component) ||
	    haven_table_create(component, 0, &shape, &table) || haven_component_ready(component))
		bad("start: %s", haven_last_error(h));
	components_add();
}

static unsigned posted, answered;

static void collect(void)
{
	struct haven_request got[POSTS];
	unsigned n = haven_request_collect(h, got, POSTS);

	for (unsigned i = 0; i < n; i++) {
		unsigned k = (unsigned)(got[i].tag >> 32);

		/* Slow readers: the load is told again later. */
		if (got[i].result == -HAVEN_EAGAIN)
			load[k] = LOADS;
		else if (got[i].result)
			bad("update of %s: %s", name[k], haven_strerror(got[i].result));
	}
	answered += n;
}

/* The next component gets another load. */
static void change(unsigned k, uint32_t to)
{
	struct haven_attributes a = {
		.group = "ports", .kind = HAVEN_KIND_PORT, .load = to, .weight = k};
	struct haven_request q = {.kind = HAVEN_REQUEST_UPDATE,
				  .handle = handle[k],
				  .attributes = &a,
				  .tag = (uint64_t)k << 32};
	int taken = haven_request_post(h, &q, 1);

	if (taken < 0)
		bad("post: %s", haven_strerror(taken));
	if (taken == 0)
		return;
	load[k] = to;
	posted++;
}

static void reattach(void)
{
	int status = haven_reattach(h);

	if (status && status != -HAVEN_ENODE && status != -HAVEN_EAGAIN &&
	    status != -HAVEN_ETIMEDOUT)
		bad("reattach: %s", haven_last_error(h));
}

static void turn(bool changing)
{
	static unsigned next, round;

	for (unsigned i = 0; changing && i < POSTS; i++) {
		change(next, round % LOADS);
		if (++next == n_components) {
			next = 0;
			round++;
		}
	}
	collect();
	reattach();
	if (!changing)
		sched_yield();
}

/* Everything that was asked for stands in the registry, under the handles it always had. */
static void compare(void)
{
	struct haven_component_info info;
	struct haven_reader *r;

	if (haven_reader_begin(h, &r))
		bad("reader: %s", haven_last_error(h));
	haven_reader_enter(r);
	for (unsigned i = 0; i < n_components; i++) {
		const struct haven_component_view *v = haven_find_handle(r, handle[i]);

		if (!v || strcmp(v->name, name[i]) != 0)
			bad("%s is not where it was", name[i]);
		if (load[i] != LOADS && v->load != load[i])
			bad("%s has load %u, not %u", name[i], v->load, load[i]);
		haven_describe(r, v, &info);
		if (info.pid != getpid() || strcmp(info.group, "ports") != 0)
			bad("%s: process %d, group %s", name[i], (int)info.pid, info.group);
	}
	if (!haven_find(r, "app") || haven_find(r, "app")->load != 4321)
		bad("the component with instances has lost its attributes");
	haven_reader_leave(r);
	haven_reader_end(r);
}

static void check(void)
{
	uint64_t until = now_ms() + PATIENT_MS, acked;
	uint64_t polls = load_acquire(&worker_polls), rounds = load_acquire(&reader_rounds);

	while (answered != posted || haven_reattach(h) != 0) {
		turn(false);
		if (now_ms() > until)
			bad("%u answers did not come: %s", posted - answered, haven_last_error(h));
	}
	compare();
	acked = load_acquire(&worker_acked);
	/* One commit may have been under way before the restart; the second is of this node. */
	while (load_acquire(&worker_acked) < acked + 2 || load_acquire(&worker_polls) == polls ||
	       load_acquire(&reader_rounds) == rounds) {
		turn(false);
		if (now_ms() > until)
			bad("the worker is not primary again, or its commit %llu not acknowledged: "
			    "%llu is",
			    (unsigned long long)load_acquire(&worker_committed),
			    (unsigned long long)load_acquire(&worker_sees_acked));
	}
	printf("OK reattached %llu times, %u updates, %llu commits, %llu polls, %llu look-up "
	       "rounds\n",
	       (unsigned long long)load_acquire(&worker_reattached), answered,
	       (unsigned long long)load_acquire(&worker_acked),
	       (unsigned long long)load_acquire(&worker_polls),
	       (unsigned long long)load_acquire(&reader_rounds));
	fflush(stdout);
}

static void forget(void)
{
	struct haven_request q = {.kind = HAVEN_REQUEST_REMOVE, .handle = handle[0]};

	if (haven_request_call(h, &q, 1, PATIENT_MS))
		bad("remove: %s", haven_strerror(q.result));
	/* The reader ends the program. */
	pause();
}

/* False: "quit", or nobody is there any more. */
static bool command(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "quit\n") == 0)
		return false;
	if (strcmp(line, "forget\n") == 0)
		forget();
	else if (strcmp(line, "check\n") == 0)
		check();
	else
		bad("what is %s", line);
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd input = {.events = POLLIN};
	pthread_t worker, reader;
	bool more = true;

	n_components = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	if (n_components == 0 || n_components > COMPONENTS_MAX)
		return 2;
	setvbuf(stdin, NULL, _IONBF, 0);
	start(argv[1]);
	pthread_create(&worker, NULL, worker_run, NULL);
	pthread_create(&reader, NULL, reader_run, NULL);
	while (load_acquire(&worker_polls) == 0 || load_acquire(&reader_rounds) == 0)
		sched_yield();
	printf("READY\n");
	fflush(stdout);
	while (more) {
		turn(true);
		if (poll(&input, 1, 0) > 0)
			more = command();
	}
	store_release(&stop, 1);
	pthread_join(worker, NULL);
	pthread_join(reader, NULL);
	haven_detach(h);
	printf("BYE\n");
	return 0;
}
