/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usage: restart-app RUN_DIR PREFIX COMPONENTS READERS [adopt|calm]
 *        restart-app RUN_DIR inspect
 *
 * Reads commands, one word a line, and answers each with one line: "check" when everything asked
 * for was answered and stands in the registry; "lie" makes the ring contradict itself; "quit".
 */
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"

void app_bad(const char *format, ...)
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

void app_name(const struct app *a, char *to, uint32_t index)
{
	snprintf(to, HAVEN_NAME_MAX, "%s-%u", a->prefix, index);
}

/* ---- the registry as a whole ----------------------------------------------------------------- */

static void finding_print(void *context, enum registry_finding kind, const char *sentence)
{
	(void)context;
	fprintf(stderr, "%s: %s\n", registry_finding_name(kind), sentence);
}

/* One line: components (those that come and go apart; pending ones), clients, gates and lanes in
 * use, and findings. */
static int inspect(const char *run_dir)
{
	unsigned components = 0, guests = 0, pending = 0, clients = 0, gates = 0, lanes = 0;
	struct registry_report report;
	struct registry_component c;
	struct error_text error;
	struct registry r;

	if (registry_open(&r, run_dir, &error) != 0)
		app_bad("%s", error.text);
	for (uint32_t slot = 0; slot < r.components; slot++) {
		if (registry_copy_slot(&r, slot, &c) != 0)
			continue;
		if (strstr(c.hot.name, "-guest-")) {
			guests++;
			continue;
		}
		components++;
		pending += (c.hot.flags & REGISTRY_PENDING) != 0;
	}
	for (uint32_t i = 0; i < r.shape.clients; i++)
		clients += load_relaxed(&r.clients[i].pid) != 0;
	for (uint32_t i = 0; i < r.shape.gates; i++)
		gates += load_relaxed(&r.gates[i].component) != REGISTRY_NONE;
	for (uint32_t i = 0; i < r.shape.lanes; i++)
		lanes += load_relaxed(&r.lanes[i].component) != REGISTRY_NONE;
	registry_check(&r, &report, finding_print, NULL);
	printf("{\"components\": %u, \"guests\": %u, \"pending\": %u, \"clients\": %u, \"gates\": "
	       "%u, "
	       "\"lanes\": %u, \"findings\": %llu, \"alive\": %s}\n",
	       components, guests, pending, clients, gates, lanes,
	       (unsigned long long)report.findings, registry_writer_alive(&r) ? "true" : "false");
	registry_close(&r);
	return 0;
}

/* ---- the application ------------------------------------------------------------------------- */

static void app_open(struct app *a)
{
	struct error_text error;

	a->socket = -1;
	a->prng.state = (uint64_t)getpid();
	a->name = calloc(a->components, sizeof(*a->name));
	a->handle = calloc(a->components, sizeof(*a->handle));
	a->load = calloc(a->components, sizeof(*a->load));
	for (uint32_t i = 0; i < a->components; i++)
		app_name(a, a->name[i], i);
	if (client_segment_create(&a->segment, &a->segment_fd, &error) != 0)
		app_bad("%s", error.text);
	a->producer.ring = &a->segment->requests;
}

static uint64_t lookups(const struct app *a)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < a->n_readers; i++)
		sum += load_relaxed(&a->lookups[i]);
	return sum;
}

/* All is registered, all is answered, and it stands there as it was last said. */
static bool check(struct app *a)
{
	while (a->known < a->components) {
		if (app_lost(a))
			return false;
		app_ring_turn(a);
	}
	if (!app_ring_drain(a))
		return false;
	app_verify(a, &a->view->registry, true);
	printf("good %llu attached %llu answered %llu again %llu lookups\n",
	       (unsigned long long)a->attached, (unsigned long long)a->answered,
	       (unsigned long long)a->again, (unsigned long long)lookups(a));
	fflush(stdout);
	return true;
}

/* What is removed now may be looked up no more: two rounds later no reader does. */
static void forget_all(struct app *a)
{
	store_release(&a->known, 0); /* K */
	for (unsigned i = 0; i < a->n_readers; i++) {
		uint64_t was = load_relaxed(&a->lookups[i]);

		while (load_relaxed(&a->lookups[i]) < was + 2 * APP_LOOKUPS)
			sched_yield();
	}
}

static bool command(struct app *a, const char *word)
{
	if (strcmp(word, "check") == 0) {
		while (!check(a))
			app_attach(a);
	} else if (strcmp(word, "lie") == 0) {
		forget_all(a);
		store_release(&a->segment->requests.head, a->producer.pushed + 100000);
		while (!app_lost(a))
			poll(NULL, 0, 1);
		printf("evicted\n");
		fflush(stdout);
		pause();
	}
	return strcmp(word, "quit") != 0;
}

static void run(struct app *a)
{
	char word[32];
	bool going = true;

	while (going) {
		struct pollfd input[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = -1}};

		if (app_lost(a))
			app_attach(a);
		app_ring_turn(a);
		app_views_tidy(a);
		input[1].fd = a->socket;
		/* A calm one has nothing to do before it is asked or loses its node. */
		if (poll(input, 2, a->calm && a->known == a->components ? -1 : 1) <= 0 ||
		    !input[0].revents)
			continue;
		going = scanf("%31s", word) == 1 && command(a, word);
	}
}

int main(int argc, char **argv)
{
	static struct app a;

	if (argc == 3 && strcmp(argv[2], "inspect") == 0)
		return inspect(argv[1]);
	if (argc < 5) {
		fprintf(stderr,
			"usage: restart-app RUN_DIR PREFIX COMPONENTS READERS [adopt|calm]\n");
		return 2;
	}
	setvbuf(stdin, NULL, _IONBF, 0);
	a.run_dir = argv[1];
	a.prefix = argv[2];
	a.components = (uint32_t)strtoul(argv[3], NULL, 10);
	a.n_readers = (uint32_t)strtoul(argv[4], NULL, 10);
	a.adopt = argc > 5 && strcmp(argv[5], "adopt") == 0;
	a.calm = argc > 5 && strcmp(argv[5], "calm") == 0;
	if (a.components > APP_COMPONENTS_MAX || a.n_readers > HAVEN_WORKERS_MAX)
		return 2;
	app_open(&a);
	app_readers_start(&a);
	app_attach(&a);
	run(&a);
	app_readers_stop(&a);
	close(a.socket);
	printf("bye\n");
	return 0;
}
