/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client segment of any content: mapped and looked at as the node does, and its requests carried
 * out. Whatever they are, the node's own registry stays sound.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client_segment.h"
#include "fuzz.h"
#include "light.h"
#include "segment.h"

static struct registry registry;
static struct rcu_domain rcu;
static struct client_segment good;
static int segment_fd;
static uint8_t *segment; /* writable mapping of what the node maps */
static uint64_t runs;

/** Requests as an application would make them. */
static void requests_fill(struct client_segment *s)
{
	for (uint64_t i = 1; i <= 12; i++) {
		struct request *r = &s->requests.slot[i % REQUEST_SLOTS];

		*r = (struct request){.seq = i, .kind = (uint16_t)(i < 9 ? REQUEST_ADD : i - 7)};
		r->component_kind = HAVEN_KIND_PORT;
		snprintf(r->name, sizeof(r->name), "port-%u", (unsigned)(i % 9));
	}
	s->requests.head = 12;
}

static void registry_start(void)
{
	const struct registry_config config = {.node = "n",
					       .incarnation = 1,
					       .shape = {.components = 8,
							 .spare = 4,
							 .gates = 2,
							 .lanes = 2,
							 .clients = 1,
							 .events = 4,
							 .changes = 4,
							 .counters_bytes = 64}};
	char dir[] = "/tmp/haven-fuzz-XXXXXX", file[64];
	struct error_text error;

	FUZZ_REQUIRE(mkdtemp(dir) != NULL);
	FUZZ_REQUIRE(registry_create(&registry, dir, &config, &error) == 0);
	snprintf(file, sizeof(file), "%s/" REGISTRY_FILE, dir);
	unlink(file);
	rmdir(dir);
	rcu_domain_init(&rcu, &registry.header->rcu_epoch);
}

void fuzz_make(void)
{
	struct client_segment *made;
	void *base;

	FUZZ_REQUIRE(client_segment_create(&made, &segment_fd, NULL) == 0);
	requests_fill(made);
	memcpy(&good, made, sizeof(good));
	base = made;
	segment = base;
	fuzz_base.bytes = (uint8_t *)&good;
	fuzz_base.size = sizeof(good);
	fuzz_section_add("header", 0, offsetof(struct client_segment, worker));
	fuzz_section_add("worker", offsetof(struct client_segment, worker), sizeof(made->worker));
	fuzz_section_add("marks", offsetof(struct client_segment, worker), 192);
	fuzz_section_add("head", offsetof(struct client_segment, requests), 64);
	fuzz_section_add("requests", offsetof(struct client_segment, requests.slot),
			 14 * sizeof(struct request));
	fuzz_section_add("any", 0, sizeof(good));
	registry_start();
}

void fuzz_repair(uint8_t *image)
{
	/* Process and start time are taken from the socket and the kernel. */
	memcpy(image, &good, offsetof(struct client_segment, pid_start_ticks));
}

/** Every word that the node looks at in its turns. */
static unsigned scan(const struct client_segment *s)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++) {
		const struct client_worker *w = &s->worker[i];

		seen += client_worker_marked(w);
		seen += load_acquire(&w->state) == CLIENT_WORKER_ENDED;
		seen += load_relaxed(&w->progress) != 0;
		for (unsigned k = 0; k < CLIENT_CONFIRMS; k++)
			seen += load_acquire(&w->confirmed[k]) != 0;
	}
	return seen;
}

static void slots_watch(const struct client_segment *s)
{
	static struct rcu_domain domain;
	static uint64_t epoch;

	epoch = 5;
	rcu_domain_init(&domain, &epoch);
	for (unsigned i = 0; i < HAVEN_WORKERS_MAX; i++)
		FUZZ_REQUIRE(rcu_slot_add(&domain, &s->worker[i].quiescent) == (int)i);
	FUZZ_REQUIRE(rcu_poll(&domain) <= 5); /* R4 */
}

static void requests_do(const struct client_segment *s, uint64_t seen, bool replay)
{
	static struct registry_client line;
	struct request_consumer consumer;
	struct registry_report report;
	struct light_done done;
	struct request r;
	struct light light;
	uint16_t process;
	unsigned taken = 0;
	int status;

	FUZZ_REQUIRE(light_new(&light, &registry, &rcu, "1") == 0);
	process = owner_attach(&light.owners, 10, 100);
	request_consumer_init(&consumer, &s->requests, &line, seen);
	while ((status = request_take(&consumer, &r)) > 0) {
		uint64_t handle = 0;
		int result = light_request(&light, process, &r, replay, 1000 + taken, &handle);

		FUZZ_REQUIRE(++taken <= REQUEST_SLOTS); /* N3 */
		FUZZ_REQUIRE(result != LIGHT_LOCAL && result <= 0);
		request_answer(&consumer, result, handle);
		registry_reclaim(&registry, &rcu);
	}
	FUZZ_REQUIRE(status == 0 || status == -HAVEN_ECORRUPT);
	FUZZ_REQUIRE(registry_check(&registry, &report, NULL, NULL) == 0);
	FUZZ_REQUIRE(report.findings == 0 && report.unfinished == 0);
	/* The process leaves; all that it had goes. */
	owner_ended(&light.owners, process);
	for (unsigned i = 0; owner_leaving(&light.owners) != OWNER_NONE; i++) {
		FUZZ_REQUIRE(i < 1000);
		light_sweep(&light, 64, &done);
		registry_reclaim(&registry, &rcu);
	}
	registry_reclaim(&registry, &rcu);
	FUZZ_REQUIRE(registry.writer == NULL ||
		     registry_check(&registry, &report, NULL, NULL) == 0);
	FUZZ_REQUIRE(report.components == 0);
	light_free(&light);
}

void fuzz_use(uint8_t *image, size_t size, uint8_t flags, const uint8_t *rest, size_t n)
{
	struct client_segment *s;
	struct error_text error;
	uint64_t seen = n > 2 && (flags & FUZZ_EXTRA) ? rest[1] : 0;

	/* A cut image: the descriptor has another size, which segment_map() refuses. */
	if (size != sizeof(good))
		return;
	memcpy(segment, image, size);
	if (client_segment_map(segment_fd, &s, &error) != 0) {
		FUZZ_REQUIRE(flags & FUZZ_RAW_HEADER);
		return;
	}
	scan(s);
	slots_watch(s);
	requests_do(s, seen, (flags & FUZZ_CHECK) != 0);
	client_segment_unmap(s);
	/* Handles grow with every add; a new registry before they end. */
	if (++runs % 100000 == 0) {
		registry_destroy(&registry);
		registry_start();
	}
}
