/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A registry file of any content, as readers open and use it: whatever it says, no address outside
 * the image is touched, every loop ends, and what is given out is what it is said to be.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counters.h"
#include "fuzz.h"
#include "rcu.h"
#include "registry.h"
#include "registry_inner.h"

int __wrap_sched_yield(void);

/** Nobody else is there: stepping aside costs nothing. */
int __wrap_sched_yield(void)
{
	return 0;
}

static struct registry_header good;

static void sections(const struct registry_header *h)
{
	const struct registry_shape *s = &h->shape;

	fuzz_section_add("header", 0, sizeof(*h));
	fuzz_section_add("status", h->status_offset, sizeof(struct registry_status));
	fuzz_section_add("gates", h->gates_offset, s->gates * sizeof(struct registry_gate));
	fuzz_section_add("lanes", h->lanes_offset, s->lanes * sizeof(struct registry_lane));
	fuzz_section_add("clients", h->clients_offset, s->clients * sizeof(struct registry_client));
	fuzz_section_add("index", h->index_offset, h->buckets * sizeof(struct registry_bucket));
	fuzz_section_add("directory", h->directory_offset, s->components * sizeof(uint32_t));
	fuzz_section_add("events", h->events_offset, event_ring_bytes(s->events));
	fuzz_section_add("changes", h->changes_offset, registry_watch_bytes(s->changes));
	fuzz_section_add("counters", h->counters_offset, s->counters_bytes);
	fuzz_section_add("hot", h->hot_offset, 20 * sizeof(struct registry_hot));
	fuzz_section_add("cold", h->cold_offset, 20 * sizeof(struct registry_cold));
	fuzz_section_add("checkpoints", h->checkpoints_offset,
			 s->lanes * sizeof(struct registry_checkpoint));
	fuzz_section_add("any", 0, h->size_bytes);
}

static void count_something(struct registry *r)
{
	const struct counter_spec count = {.name = "frames", .labels = "k=v", .help = "Frames."};
	const struct counter_spec gap = {
		.name = "gap", .unit = "ns", .kind = COUNTER_HISTOGRAM, .top_bits = 20};
	struct histogram histogram;
	uint64_t *value;

	counters_add(&r->writer->counters, &count, &value, NULL);
	if (counters_add_histogram(&r->writer->counters, &gap, &histogram, NULL) == 0)
		histogram_add(&histogram, 1000);
}

static void fill(struct registry *r)
{
	struct rcu_domain rcu;

	rcu_domain_init(&rcu, &r->header->rcu_epoch);
	for (unsigned i = 0; i < 16; i++) {
		struct registry_component c = {.hot.instances = i == 0 ? 2 : 0};
		struct event e = {.kind = (uint16_t)i, .detail = "something happened"};

		snprintf(c.hot.name, sizeof(c.hot.name), "component-%u", i);
		FUZZ_REQUIRE(registry_add(r, &c, NULL) == 0);
		if (i % 4 == 3)
			registry_remove(r, c.hot.handle, &rcu);
		event_ring_publish(r->events, r->shape.events, &e);
	}
	count_something(r);
}

void fuzz_make(void)
{
	const struct registry_config config = {.cluster = "c",
					       .node = "n",
					       .release = "1",
					       .incarnation = 42,
					       .shape = {.components = 16,
							 .spare = 16,
							 .gates = 4,
							 .lanes = 4,
							 .clients = 1,
							 .events = 4,
							 .changes = 4,
							 .counters_bytes = 8192}};
	char dir[] = "/tmp/haven-fuzz-XXXXXX", file[64];
	struct error_text error;
	struct registry r;

	FUZZ_REQUIRE(mkdtemp(dir) != NULL);
	FUZZ_REQUIRE(registry_create(&r, dir, &config, &error) == 0);
	snprintf(file, sizeof(file), "%s/" REGISTRY_FILE, dir);
	unlink(file);
	rmdir(dir);
	fill(&r);
	fuzz_base.size = r.size_bytes;
	fuzz_base.bytes = malloc(r.size_bytes);
	FUZZ_REQUIRE(fuzz_base.bytes != NULL);
	memcpy(fuzz_base.bytes, r.base, r.size_bytes);
	memcpy(&good, r.base, sizeof(good));
	registry_destroy(&r);
	sections(&good);
}

void fuzz_repair(uint8_t *image)
{
	/* All above the line that changes. */
	memcpy(image, &good, offsetof(struct registry_header, rcu_epoch));
}

#ifdef HAVEN_FUZZ_CANARY
/** Planted: a place is believed without a look at how many there are. */
static uint64_t believe(const struct registry *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->components; i++)
		sum += r->directory[i] ? r->hot[r->directory[i] - 1].handle : 0;
	return sum;
}
#endif

/** An object that readers are given: its place exists. */
static void hot_good(const struct registry *r, const struct registry_hot *hot)
{
	FUZZ_REQUIRE(hot >= r->hot && hot < r->hot + r->objects);
	FUZZ_REQUIRE(registry_cold_of(r, hot) < r->cold + r->objects);
}

static void name_good(const char *name)
{
	FUZZ_REQUIRE(strnlen(name, HAVEN_NAME_MAX) < HAVEN_NAME_MAX);
}

static void look_up(const struct registry *r)
{
	static struct registry_key key[REGISTRY_BULK_MAX];
	const struct registry_key *keys[REGISTRY_BULK_MAX];
	const struct registry_hot *out[REGISTRY_BULK_MAX], *hot;
	uint32_t cursor = 0, visited = 0;

	for (unsigned i = 0; i < REGISTRY_BULK_MAX; i++) {
		char name[HAVEN_NAME_MAX];

		snprintf(name, sizeof(name), "component-%u", i);
		FUZZ_REQUIRE(registry_key_set(&key[i], name));
		keys[i] = &key[i];
		hot = registry_find(r, name);
		if (hot)
			hot_good(r, hot);
	}
	registry_find_bulk(r, keys, REGISTRY_BULK_MAX, out);
	for (unsigned i = 0; i < REGISTRY_BULK_MAX; i++) {
		FUZZ_REQUIRE(out[i] == registry_find_key(r, keys[i]));
		if (out[i])
			FUZZ_REQUIRE(memcmp(out[i]->name, key[i].text, HAVEN_NAME_MAX) == 0);
	}
	while ((hot = registry_next(r, &cursor))) {
		hot_good(r, hot);
		FUZZ_REQUIRE(++visited <= r->components);
		FUZZ_REQUIRE(registry_slot_of(hot->handle) == cursor - 1);
		FUZZ_REQUIRE(registry_get(r, hot->handle) == hot);
	}
}

static void copies(const struct registry *r)
{
	static struct registry_status status;
	struct registry_component c;
	struct registry_gate gate;

	for (uint32_t i = 0; i < r->components; i++) {
		if (registry_copy_slot(r, i, &c) == 0) {
			name_good(c.hot.name);
			name_good(c.cold.group);
			name_good(c.cold.release);
		}
		if (registry_get_copy(r, c.hot.handle, &c) == 0)
			FUZZ_REQUIRE(registry_slot_of(c.hot.handle) < r->components);
	}
	if (registry_find_copy(r, "component-1", &c) == 0)
		FUZZ_REQUIRE(strcmp(c.hot.name, "component-1") == 0);
	for (uint32_t i = 0; i < r->shape.gates; i++)
		registry_gate_copy(&r->gates[i], &gate);
	if (registry_copy_status(r, &status) == 0) {
		FUZZ_REQUIRE(status.n_nodes <= HAVEN_NODES_MAX);
		FUZZ_REQUIRE(status.n_instances <= HAVEN_INSTANCES_MAX);
		for (unsigned i = 0; i < REGISTRY_STATUS_PEERS; i++)
			name_good(status.peer[i].name);
		for (unsigned i = 0; i < HAVEN_INSTANCES_MAX; i++)
			name_good(status.instance[i].name);
	}
}

static void rings(const struct registry *r)
{
	uint64_t position = 0, missed = 0;
	struct registry_change change;
	char sentence[200];
	struct event e;

	for (unsigned i = 0; i < 8; i++) {
		if (!event_ring_read(r->events, r->shape.events, &position, &e, &missed))
			break;
		FUZZ_REQUIRE(e.seq == position);
		event_sentence(&e, NULL, sentence, sizeof(sentence));
		FUZZ_REQUIRE(strnlen(sentence, sizeof(sentence)) < sizeof(sentence));
	}
	position = missed = 0;
	for (unsigned i = 0; i < 8 && registry_watch_read(r, &position, &change, &missed); i++)
		name_good(change.name);
	registry_changes(r);
}

static void counters(const struct registry *r)
{
	static struct histogram_copy copy;
	struct counters_view view;
	struct counter_entry e;

	if (counters_open(&view, r->counters, r->shape.counters_bytes, NULL) != 0)
		return;
	for (uint32_t i = 0; counters_get(&view, i, &e) != -HAVEN_ENOENT; i++) {
		char key[COUNTER_LABELS_MAX], value[COUNTER_LABELS_MAX];

		FUZZ_REQUIRE(i < r->shape.counters_bytes);
		if (counters_get(&view, i, &e) != 0)
			continue;
		for (const char *at = e.labels; at; at = counter_label(at, key, value))
			FUZZ_REQUIRE(at >= e.labels && at < e.labels + sizeof(e.labels));
		if (e.kind == COUNTER_HISTOGRAM) {
			counters_histogram(&view, &e, &copy);
			histogram_contradiction(&copy);
		} else {
			counters_value(&view, &e);
		}
	}
}

static void told(void *context, enum registry_finding kind, const char *sentence)
{
	FUZZ_REQUIRE(kind < REGISTRY_FINDING_COUNT);
	FUZZ_REQUIRE(strlen(sentence) < 512);
	++*(uint64_t *)context;
}

void fuzz_use(uint8_t *image, size_t size, uint8_t flags, const uint8_t *rest, size_t n)
{
	struct registry r = {.fd = -1, .base = image, .size_bytes = size};
	struct registry_report report;
	struct error_text error;
	uint64_t sentences = 0;

	(void)rest;
	(void)n;
	if (size < sizeof(struct registry_header) || registry_bind(&r, "it", &error) != 0)
		return;
#ifdef HAVEN_FUZZ_CANARY
	FUZZ_REQUIRE(believe(&r) != 1);
#endif
	look_up(&r);
	copies(&r);
	rings(&r);
	counters(&r);
	if (!(flags & FUZZ_CHECK))
		return;
	registry_check(&r, &report, told, &sentences);
	FUZZ_REQUIRE(sentences == report.findings + report.unfinished);
}
