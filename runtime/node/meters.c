/* SPDX-License-Identifier: BSD-3-Clause */
#include "meters.h"

#include <stddef.h>
#include <stdio.h>

#include "counters.h"
#include "haven_assert.h"
#include "node.h"

/** Nanoseconds up to 68 s. */
#define TIME_BITS 36
#define SPARE_BYTES 16384u
#define ROOM_ALIGN 4096u

/** One counter, and where the loop counts it. */
struct meter {
	const char *name, *labels, *unit, *help;
	enum counter_kind kind;
	size_t offset; /**< in struct haven_node, struct meters_peer or struct meters_instance */
};

#define NODE(field) offsetof(struct haven_node, field)
#define BAD(reason, fault)                                                                         \
	{                                                                                          \
		"frames_bad", "reason=" reason, "frames", "HA frames refused, by reason.",         \
			COUNTER_COUNT, NODE(meters.frames_bad[fault])                              \
	}
#define EVENT(name, severity)                                                                      \
	{                                                                                          \
		"events", "severity=" name, "events", "Events told, by severity.", COUNTER_COUNT,  \
			NODE(publish.events[severity])                                             \
	}

static const struct meter fixed[] = {
	{"loop_polls", NULL, "turns", "Turns of the poll loop.", COUNTER_COUNT, NODE(loop.polls)},
	{"loop_stalls", NULL, "turns", "Turns longer than the stall limit.", COUNTER_COUNT,
	 NODE(loop.stalls)},
	{"clock_stood", NULL, "times", "The clock stood still: machine suspended or paused.",
	 COUNTER_COUNT, NODE(loop.clock_stood)},
	{"clock_bad", NULL, "", "1 while clocks disagree beyond the bound: no role is taken.",
	 COUNTER_GAUGE, NODE(loop.clock_bad)},
	{"frames_in", NULL, "frames", "HA frames taken.", COUNTER_COUNT, NODE(loop.frames_in)},
	{"frames_out", NULL, "frames", "HA frames handed to a port.", COUNTER_COUNT,
	 NODE(loop.frames_out)},
	{"frames_unsent", NULL, "frames", "HA frames for which there was no room.", COUNTER_COUNT,
	 NODE(loop.frames_unsent)},
	BAD("length", FRAME_BAD_LENGTH),
	BAD("version", FRAME_BAD_VERSION),
	BAD("type", FRAME_BAD_TYPE),
	BAD("peer", FRAME_BAD_PEER),
	BAD("tag", FRAME_BAD_TAG),
	BAD("key", FRAME_BAD_KEY),
	BAD("replay", FRAME_BAD_REPLAY),
	BAD("body", FRAME_BAD_BODY),
	EVENT("info", EVENT_INFO),
	EVENT("notice", EVENT_NOTICE),
	EVENT("warning", EVENT_WARNING),
	EVENT("critical", EVENT_CRITICAL),
	{"commands", NULL, "commands", "Requests of applications and operators carried out.",
	 COUNTER_COUNT, NODE(loop.commands)},
	{"gate_overruns", NULL, "bursts",
	 "Bursts of local workers that left after the lease's end.", COUNTER_GAUGE,
	 NODE(local.gate_overruns)},
	{"verify_blocks", NULL, "blocks", "Blocks of entries whose digests were sent.",
	 COUNTER_COUNT, NODE(local.verify_blocks)},
	{"verify_entries", NULL, "entries", "Entries of local copies compared with the primary's.",
	 COUNTER_COUNT, NODE(local.verify_entries)},
	{"verify_wrong", NULL, "entries", "Entries of local copies that were found to differ.",
	 COUNTER_COUNT, NODE(local.verify_wrong)},
	{"view_epoch", NULL, "", "Epoch of the view in force here.", COUNTER_GAUGE,
	 NODE(meters.epoch)},
	{"clients", NULL, "processes", "Applications attached.", COUNTER_GAUGE,
	 NODE(meters.clients)},
	{"components", NULL, "components", "Components that this node watches.", COUNTER_GAUGE,
	 NODE(meters.components_local)},
	{"registry_components", NULL, "slots", "Slots of the registry in use.", COUNTER_GAUGE,
	 NODE(meters.components)},
	{"registry_changes", NULL, "changes", "Changes of components.", COUNTER_COUNT,
	 NODE(meters.changes)},
	{"registry_held", NULL, "objects", "Replaced objects that readers may still hold.",
	 COUNTER_GAUGE, NODE(meters.held)},
	{"registry_retired", NULL, "items", "Everything that waits for a grace period.",
	 COUNTER_GAUGE, NODE(meters.retired)},
	{"registry_readers", NULL, "slots", "Reader slots watched for grace periods.",
	 COUNTER_GAUGE, NODE(meters.readers)},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(fixed) <= METERS_FIXED_MAX, "a cell for each");

#define PEER(field) offsetof(struct meters_peer, field)
static const struct meter per_peer[] = {
	{"peer_beats", NULL, "frames", "Heartbeats taken from the peer.", COUNTER_COUNT,
	 PEER(beats_received)},
	{"peer_beats_lost", NULL, "frames", "Gaps in the peer's sequence of heartbeats.",
	 COUNTER_COUNT, PEER(beats_lost)},
	{"peer_frames_bad", NULL, "frames", "Frames in the peer's name that failed a check.",
	 COUNTER_COUNT, PEER(frames_bad)},
	{"peer_rtt", NULL, "ns", "Newest measured round trip.", COUNTER_GAUGE, PEER(rtt_ns)},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(per_peer) == METERS_PEER_MAX, "a cell for each");

#define INSTANCE(field) offsetof(struct meters_instance, field)
static const struct meter per_instance[] = {
	{"mirror_lag", NULL, "records", "Largest lag of the instance's lanes.", COUNTER_GAUGE,
	 INSTANCE(lag_records)},
	{"mirror_sync", NULL, "percent", "Progress of a full transfer from this node.",
	 COUNTER_GAUGE, INSTANCE(sync_percent)},
};
HAVEN_STATIC_ASSERT(HAVEN_ARRAY_LEN(per_instance) == METERS_INSTANCE_MAX, "a cell for each");

uint32_t meters_bytes(const struct config *c)
{
	uint32_t singles = (uint32_t)HAVEN_ARRAY_LEN(fixed) +
			   METERS_PEER_MAX * (c->n_nodes ? c->n_nodes - 1 : 0) +
			   METERS_INSTANCE_MAX * c->n_instances;

	return (uint32_t)sizeof(struct counters_head) +
	       3 * counter_bytes(COUNTER_HISTOGRAM, TIME_BITS) +
	       singles * counter_bytes(COUNTER_COUNT, 0);
}

uint32_t meters_room(const struct config *c)
{
	return (meters_bytes(c) + SPARE_BYTES + ROOM_ALIGN - 1) / ROOM_ALIGN * ROOM_ALIGN;
}

/* ---- begin ------------------------------------------------------------------------------------
 */

static int meter_add(struct haven_node *n, const struct meter *meter, const char *labels,
		     const void *fields, struct error_text *error)
{
	const struct counter_spec spec = {.name = meter->name,
					  .labels = labels,
					  .unit = meter->unit,
					  .help = meter->help,
					  .kind = meter->kind};
	struct meters *m = &n->meters;

	HAVEN_ASSERT(m->n < METERS_MAX);
	m->cell[m->n].from =
		(const uint64_t *)(const void *)((const uint8_t *)fields + meter->offset);
	return counters_add(registry_counters(&n->registry), &spec, &m->cell[m->n++].to, error);
}

static int meters_add(struct haven_node *n, const struct meter *meter, unsigned count,
		      const char *key, const char *value, const void *fields,
		      struct error_text *error)
{
	char labels[COUNTER_LABELS_MAX];
	int err = 0;

	snprintf(labels, sizeof(labels), "%s=%s", key, value);
	for (unsigned i = 0; !err && i < count; i++)
		err = meter_add(n, &meter[i], labels, fields, error);
	return err;
}

static int histogram_begin(struct haven_node *n, const char *name, const char *help,
			   struct histogram *out, struct error_text *error)
{
	const struct counter_spec spec = {.name = name,
					  .unit = "ns",
					  .help = help,
					  .kind = COUNTER_HISTOGRAM,
					  .top_bits = TIME_BITS};

	return counters_add_histogram(registry_counters(&n->registry), &spec, out, error);
}

static int meters_describe(struct haven_node *n, struct error_text *error)
{
	struct meters *m = &n->meters;
	const struct config *c = n->config;
	int err = histogram_begin(n, "loop_gap", "From the begin of one turn to that of the next.",
				  &m->loop_gap, error);

	if (!err)
		err = histogram_begin(n, "peer_silence",
				      "From one beat of a peer to its next, own stalls taken off.",
				      &m->silence, error);
	if (!err)
		err = histogram_begin(n, "registry_grace",
				      "From the replacement of an object until it may be reused.",
				      &m->grace, error);
	for (unsigned i = 0; !err && i < HAVEN_ARRAY_LEN(fixed); i++)
		err = meter_add(n, &fixed[i], fixed[i].labels, n, error);
	for (unsigned i = 0; !err && i < c->n_nodes; i++) {
		if (i != n->self)
			err = meters_add(n, per_peer, HAVEN_ARRAY_LEN(per_peer), "peer",
					 c->node[i].name, &m->peer[i], error);
	}
	for (unsigned i = 0; !err && i < c->n_instances; i++)
		err = meters_add(n, per_instance, HAVEN_ARRAY_LEN(per_instance), "instance",
				 c->instance[i], &m->instance[i], error);
	return err;
}

int meters_begin(struct haven_node *n, struct error_text *error)
{
	int err = meters_describe(n, error);

	if (err)
		return err;
	HAVEN_ASSERT(counters_used(registry_counters(&n->registry)) == meters_bytes(n->config));
	n->rcu.grace = &n->meters.grace;
	return 0;
}

/* ---- publish ----------------------------------------------------------------------------------
 */

static void gather_registry(struct haven_node *n)
{
	const struct registry_usage use = registry_used(&n->registry);
	struct meters *m = &n->meters;

	m->components = use.components;
	m->held = use.held;
	m->retired = use.retired;
	m->changes = registry_changes(&n->registry);
	m->readers = n->rcu.used;
	m->clients = n->local.n_clients;
	m->components_local = n->local.n_components;
	m->epoch = brain_view(n->brain)->epoch;
}

static void gather_peers(struct haven_node *n, uint64_t now)
{
	for (unsigned i = 0; i < n->config->n_nodes; i++) {
		struct meters_peer *p = &n->meters.peer[i];
		struct brain_peer_status b;

		brain_peer(n->brain, i, now, &b);
		p->beats_received = b.beats_received;
		p->beats_lost = b.beats_lost;
		p->rtt_ns = b.rtt_ns;
		p->frames_bad = n->loop.peer_faults[i];
	}
}

static void gather_instances(struct haven_node *n)
{
	for (unsigned i = 0; i < n->config->n_instances; i++) {
		struct meters_instance *in = &n->meters.instance[i];
		uint32_t percent, lag;

		brain_mirror_status(n->brain, i, &percent, &lag);
		in->sync_percent = percent;
		in->lag_records = lag;
	}
}

void meters_publish(struct haven_node *n, uint64_t now)
{
	struct meters *m = &n->meters;

	for (unsigned i = 0; i < FRAME_FAULT_COUNT; i++)
		m->frames_bad[i] = n->loop.fault[i];
	m->frames_bad[FRAME_BAD_REPLAY] += brain_replays(n->brain);
	gather_registry(n);
	gather_peers(n, now);
	gather_instances(n);
	for (uint32_t i = 0; i < m->n; i++)
		store_relaxed(m->cell[i].to, *m->cell[i].from);
}
