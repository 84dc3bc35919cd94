/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bad frames: what refusing one costs by its reason, and how long good heartbeats wait when one
 * core does nothing but send bad ones.
 *
 * The flood is a thread with an end of its own on the ring: as many bad frames as the ring takes,
 * and once per interval a good heartbeat, which waits like the others. Node 0 runs turns as the
 * poll loop does: at most FRAMES_PER_TURN frames, then its tick. A good one's delay lasts from the
 * first attempt to put it into the ring until the brain has taken it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <rte_lcore.h>

#include "atomic.h"
#include "case_heartbeat.h"
#include "clock.h"
#include "haven_assert.h"

#define BATCH 64u
#define FRAMES_PER_TURN 256u
#define BEATS 4096u /* whose instants are kept, a power of two */
#define NODES 3u
/* What hearts_start() takes of the clock it is given, at most; then real time goes on. */
#define SETTLE_NS (5 * NSEC_PER_SEC)
#define ROUND_NS_MAX (20 * NSEC_PER_SEC)

#define TYPE_AT 3u
#define SOURCE_AT 4u
#define LIFE_AT 12u /* of the source, then of the destination */
#define BODY_AT FRAME_HEADER_BYTES

enum bad {
	BAD_NONE = 0, /* taken */
	BAD_LENGTH,
	BAD_VERSION,
	BAD_TYPE,
	BAD_PEER,
	BAD_KEY,
	BAD_LIFE,
	BAD_TAG,
	BAD_STRANGER,
	BAD_BODY,
	BAD_COUNTER,
	BADS
};
static const struct {
	const char *name;
	enum frame_fault fault;
} bads[] = {
	[BAD_NONE] = {"none: taken", FRAME_OK},
	[BAD_LENGTH] = {"length", FRAME_BAD_LENGTH},
	[BAD_VERSION] = {"version", FRAME_BAD_VERSION},
	[BAD_TYPE] = {"type", FRAME_BAD_TYPE},
	[BAD_PEER] = {"peer", FRAME_BAD_PEER},
	[BAD_KEY] = {"key's number", FRAME_BAD_KEY},
	[BAD_LIFE] = {"replay of an earlier life", FRAME_BAD_REPLAY},
	[BAD_TAG] = {"tag", FRAME_BAD_TAG},
	[BAD_STRANGER] = {"tag, of a life never seen", FRAME_BAD_TAG},
	[BAD_BODY] = {"body behind a good tag", FRAME_BAD_BODY},
	[BAD_COUNTER] = {"replay, by its counter", FRAME_OK},
};

struct bytes {
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX];
	size_t n;
};

/* A frame of node 1 to node 0, and what is wrong with it. */
static void make(struct hearts *h, enum bad bad, struct bytes *out)
{
	static uint64_t stranger = 1u << 30;
	struct frame f = h->beat;
	size_t n;

	if (bad != BAD_COUNTER) {
		h->beat.counter++;
		h->beat.u.beat.seq++;
		f = h->beat;
	}
	if (bad == BAD_BODY)
		f.u.beat.seq = 0;
	n = frame_encode(&f, out->data, FRAME_BYTES_MAX);
	out->n = auth_seal(h->auth[1], out->data, n, sizeof(out->data));
	HAVEN_ASSERT(out->n);
	switch (bad) {
	case BAD_LENGTH:
		out->n--;
		break;
	case BAD_VERSION:
		out->data[2]++;
		break;
	case BAD_TYPE:
		out->data[TYPE_AT] = FRAME_TYPE_END;
		break;
	case BAD_PEER:
		out->data[SOURCE_AT] = NODES;
		break;
	case BAD_KEY:
		out->data[6]++;
		break;
	case BAD_LIFE:
		out->data[LIFE_AT + 8]--;
		break;
	case BAD_TAG:
		out->data[BODY_AT] ^= 1;
		break;
	case BAD_STRANGER:
		stranger++;
		memcpy(out->data + LIFE_AT, &stranger, sizeof(stranger));
		break;
	case BAD_NONE:
	case BAD_BODY:
	case BAD_COUNTER:
	case BADS:
		break;
	}
}

/* ---- what refusing costs ----------------------------------------------------------------------
 */

static int refused_batch(struct hearts *h, enum bad bad, uint64_t *ns)
{
	static struct bytes frames[BATCH];
	uint64_t begin, replays;
	unsigned as_meant = 0;

	/* One that is taken: the newest counter is known to both. */
	make(h, BAD_NONE, &frames[0]);
	hearts_take(h, 0, frames[0].data, frames[0].n, h->now);
	replays = brain_replays(h->brain[0]);
	for (unsigned i = 0; i < BATCH; i++)
		make(h, bad, &frames[i]);
	begin = clock_now_ns();
	for (unsigned i = 0; i < BATCH; i++)
		as_meant +=
			hearts_take(h, 0, frames[i].data, frames[i].n, h->now) == bads[bad].fault;
	*ns = clock_now_ns() - begin;
	replays = brain_replays(h->brain[0]) - replays;
	if (as_meant == BATCH && replays == (bad == BAD_COUNTER ? BATCH : 0))
		return 0;
	fprintf(stderr, "haven-bench: bad frames (%s) were not refused as such\n", bads[bad].name);
	return 1;
}

int heartbeat_refused(struct bench *b, struct hearts *h)
{
	const unsigned rounds = b->quick ? 2 : 11, batches = b->quick ? 20 : 500;
	struct bench_result *line[BADS];
	int code = hearts_start(h, NODES, NSEC_PER_SEC);

	bench_section(b, "one frame opened, refused for its");
	for (unsigned i = 0; i < BADS; i++)
		line[i] = bench_line(b, "%s", bads[i].name);
	for (unsigned r = 0; r < rounds && !code; r++) {
		for (unsigned i = 0; i < BADS && !code; i++) {
			bench_begin(b);
			for (unsigned k = 0; k < batches && !code; k++) {
				uint64_t ns = 0;

				h->now += HEARTS_INTERVAL_NS / 10;
				code = refused_batch(h, (enum bad)i, &ns);
				bench_add(b, ns, BATCH);
			}
			bench_round(b, line[i]);
		}
	}
	return code;
}

/* ---- the flood --------------------------------------------------------------------------------
 */

static struct flood {
	struct hearts *hearts;
	enum bad bad;   /* BAD_NONE: good ones alone */
	uint32_t stop;  /* main writes, flood reads */
	uint32_t begun; /* flood writes, main reads */
	/* Writer: the flood, before the frame is in the ring; the ring orders it for the reader. */
	uint64_t sent_ns[BEATS];
} flood;

/* It waits as long as the ring is full. */
static void flood_good(struct flood *f)
{
	struct hearts *h = f->hearts;
	struct port *p = &h->port[1];
	uint64_t sent;

	port_flush(p);
	sent = p->sent + 1;
	h->beat.counter++;
	h->beat.u.beat.seq++;
	f->sent_ns[h->beat.u.beat.seq % BEATS] = clock_now_ns();
	while (p->sent < sent && !load_relaxed(&f->stop)) {
		hearts_send(h, 1, &h->beat, 0);
		port_flush(p);
	}
}

static void *flood_main(void *argument)
{
	struct flood *f = argument;
	struct hearts *h = f->hearts;
	uint64_t next = clock_now_ns();
	struct bytes bad[16];
	struct port *p = &h->port[1];
	bool registered;

	bench_pin(1);
	registered = rte_thread_register() == 0; /* for a cache of buffers of its own */
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(bad); i++)
		make(h, f->bad, &bad[i]);
	store_release(&f->begun, 1);
	for (unsigned i = 0; !load_acquire(&f->stop); i++) {
		if (clock_now_ns() >= next) {
			flood_good(f);
			next = clock_now_ns() + HEARTS_INTERVAL_NS;
		}
		if (f->bad != BAD_NONE)
			hearts_send_raw(h, 1, 0, bad[i % HAVEN_ARRAY_LEN(bad)].data, bad[0].n);
	}
	port_flush(p);
	if (registered)
		rte_thread_unregister();
	return NULL;
}

/* What node 0 heard in a round. */
static struct heard {
	struct bench *b;
	uint64_t beats, frames;
} heard;

/* A good one was taken. */
static void beat_taken(struct hearts *h, const struct frame *f)
{
	uint64_t waited = clock_now_ns() - flood.sent_ns[f->u.beat.seq % BEATS];

	(void)h;
	bench_add(heard.b, waited, 1);
	heard.beats++;
}

/* As the poll loop: frames, then the tick. */
static void turn(struct hearts *h)
{
	const struct brain_event tick = {.kind = BRAIN_TICK};
	unsigned total = 0, got;
	uint64_t taken = 0;

	do {
		h->now = clock_now_ns();
		got = hearts_receive(h, 0, &taken);
		total += got;
	} while (got == PORT_BURST && total < FRAMES_PER_TURN);
	h->now = clock_now_ns();
	brain_step(h->brain[0], h->now, &tick, h->out);
	heard.frames += total;
}

struct flood_lines {
	struct bench_result *delay, *most, *rate;
};

static int flood_round(struct bench *b, struct hearts *h, enum bad bad, struct flood_lines *lines)
{
	const uint64_t wanted = b->quick ? 40 : 1000;
	uint64_t begin, ns;
	pthread_t thread;
	int code = hearts_start(h, NODES, clock_now_ns() - SETTLE_NS);

	flood.hearts = h;
	flood.bad = bad;
	flood.stop = flood.begun = 0;
	heard = (struct heard){.b = b};
	h->heard = beat_taken;
	h->mute = true;
	if (code || pthread_create(&thread, NULL, flood_main, &flood) != 0)
		return 1;
	while (!load_acquire(&flood.begun))
		sched_yield();
	bench_begin(b);
	begin = clock_now_ns();
	while (heard.beats < wanted && clock_now_ns() - begin < ROUND_NS_MAX)
		turn(h);
	ns = clock_now_ns() - begin;
	store_release(&flood.stop, 1);
	pthread_join(thread, NULL);
	hearts_deliver(h);
	h->heard = NULL;
	bench_round(b, lines->delay);
	if (heard.beats < wanted) {
		fprintf(stderr, "haven-bench: of %llu good heartbeats %llu came\n",
			(unsigned long long)wanted, (unsigned long long)heard.beats);
		return 1;
	}
	bench_begin(b);
	bench_add(b, (uint64_t)(lines->delay->round[lines->delay->rounds - 1].p99 * b->unit_ns), 1);
	bench_round(b, lines->most);
	bench_begin(b);
	bench_add(b, heard.frames * NSEC_PER_SEC / ns, 1);
	b->unit_ns = 1;
	bench_round(b, lines->rate);
	b->unit_ns = NSEC_PER_USEC;
	return 0;
}

int heartbeat_flood(struct bench *b, struct hearts *h)
{
	static const struct {
		const char *name;
		enum bad bad;
	} kinds[] = {{"no flood", BAD_NONE},
		     {"tags that are wrong", BAD_TAG},
		     {"lives never seen", BAD_STRANGER}};
	struct flood_lines lines[HAVEN_ARRAY_LEN(kinds)];
	const unsigned rounds = b->quick ? 2 : 9;
	int code = 0;

	if (bench_cpus() < 2) {
		fputs("haven-bench: a flood needs a second CPU and is left out\n", stderr);
		return 0;
	}
	b->unit = "us";
	b->unit_ns = NSEC_PER_USEC;
	b->latencies = true;
	bench_section(b, "a good heartbeat's delay among a flood of one core");
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(kinds); i++)
		lines[i].delay = bench_line(b, "%s", kinds[i].name);
	bench_section(b, "what 99 of 100 good ones wait less than; goal: the guard");
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(kinds); i++) {
		lines[i].most = bench_line(b, "%s", kinds[i].name);
		lines[i].most->goal = i ? HEARTS_GUARD_NS / (double)NSEC_PER_USEC : 0;
	}
	b->unit = "frames/s";
	bench_section(b, "frames taken from the ring, good and bad");
	for (unsigned i = 0; i < HAVEN_ARRAY_LEN(kinds); i++)
		lines[i].rate = bench_line(b, "%s", kinds[i].name);
	for (unsigned r = 0; r < rounds && !code; r++)
		for (unsigned i = 0; i < HAVEN_ARRAY_LEN(kinds) && !code; i++)
			code = flood_round(b, h, kinds[i].bad, &lines[i]);
	b->unit = NULL;
	b->unit_ns = 0;
	b->latencies = false;
	return code;
}
