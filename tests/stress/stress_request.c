/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The request ring: the application asks, the node answers, each request once and in order.
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "prng.h"
#include "request.h"
#include "stress.h"

static struct request_ring ring;
static struct registry_client line;
static uint64_t taken;

static struct request request_of(uint64_t seq)
{
	struct request r = {.handle = hash_mix64(seq),
			    .kind = (uint16_t)(1 + seq % (REQUEST_KIND_COUNT - 1)),
			    .weight = (uint32_t)seq};

	snprintf(r.name, sizeof(r.name), "c%llu", (unsigned long long)seq);
	memcpy(r.release, r.name, sizeof(r.release));
	return r;
}

static void node(struct stress_thread *t)
{
	struct request_consumer c;
	bool last = false;

	request_consumer_init(&c, &ring, &line, 0);
	for (;;) {
		struct request got, want;
		int status = request_take(&c, &got);

		stress_round(t);
		if (status == 0) {
			if (last)
				break;
			last = stress_stopped(t->stress); /* once more after the end */
			sched_yield();
			continue;
		}
		want = request_of(taken + 1);
		want.seq = taken + 1;
		if (status < 0 || memcmp(&got, &want, sizeof(want)) != 0) {
			stress_fail(t->stress, "request %llu is not what was asked (%d)",
				    (unsigned long long)(taken + 1), status);
			break;
		}
		taken++;
		request_answer(&c, -(int)(taken % 5), got.handle ^ taken);
	}
}

/** Take answers; returns how many, which are all there should be. */
static uint64_t answers(struct stress *s, struct request_producer *p)
{
	struct registry_reply reply;
	uint64_t n = 0;
	int status;

	while ((status = request_answered(p, &reply)) > 0) {
		n++;
		if (reply.result != -(int64_t)(reply.seq % 5) ||
		    reply.handle != (hash_mix64(reply.seq) ^ reply.seq))
			stress_fail(s, "answer %llu belongs to another request",
				    (unsigned long long)reply.seq);
	}
	if (status < 0)
		stress_fail(s, "the answers contradict themselves");
	return n;
}

static void run(struct stress *s)
{
	void (*const bodies[])(struct stress_thread *) = {node};
	struct request_producer p = {.ring = &ring, .line = &line};
	uint64_t answered = 0, full = 0, patience = 0;
	struct prng random = {.state = s->seed};
	struct stress_thread threads[1];

	stress_start(s, threads, 1, bodies);
	stress_begin(s);
	while (stress_more(s, p.pushed, threads, 1) && !load_relaxed(&s->failures)) {
		for (uint64_t n = prng_below(&random, REQUEST_SLOTS); n; n--) {
			struct request r = request_of(p.pushed + 1);

			/* Planted: a slot is used again before its request was answered. */
			if (stress_planted(s, "early-reuse"))
				p.seen = p.pushed;
			if (!request_push(&p, &r)) {
				full++;
				sched_yield();
				break;
			}
		}
		answered += answers(s, &p);
	}
	while (answered < p.pushed && !load_relaxed(&s->failures)) {
		answered += answers(s, &p);
		if (++patience == STRESS_PATIENCE)
			stress_fail(s, "the last answers did not come");
		sched_yield();
	}
	stress_finish(s, threads, 1);
	if (!s->failures && taken != p.pushed)
		stress_fail(s, "%llu of %llu requests were taken", (unsigned long long)taken,
			    (unsigned long long)p.pushed);
	printf("%llu requests, %llu answers, %llu times full; ", (unsigned long long)p.pushed,
	       (unsigned long long)answered, (unsigned long long)full);
}

const struct stress_case stress_request_case = {"request", "early-reuse", run};
