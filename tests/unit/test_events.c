/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "events.h"
#include "interrupt.h"
#include "prng.h"

#define SLOTS 16u

static struct event_ring *ring;

static void setup(void)
{
	ring = aligned_alloc(64, event_ring_bytes(SLOTS));
	event_ring_init(ring, SLOTS);
}

static void teardown(void)
{
	free(ring);
}

TestSuite(events, .init = setup, .fini = teardown);

/** An event whose fields all follow from one number. */
static struct event event_of(uint64_t n)
{
	struct event e = {.at_ns = n, .wall_ns = n, .epoch = n, .a = n, .b = n, .c = n};

	memset(e.detail, (int)('a' + n % 26), sizeof(e.detail) - 1);
	return e;
}

static bool event_whole(const struct event *e)
{
	struct event want = event_of(e->a);

	want.seq = e->seq;
	return e->a == e->seq && memcmp(e, &want, sizeof(want)) == 0;
}

static void publish(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++) {
		struct event e = event_of(n);

		event_ring_publish(ring, SLOTS, &e);
		cr_assert_eq(e.seq, n);
	}
}

Test(events, are_read_in_order_once)
{
	uint64_t position = 0, missed = 0;
	struct event e;

	cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 0);
	publish(1, 10);
	for (uint64_t n = 1; n <= 10; n++) {
		cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 1);
		cr_assert_eq(e.seq, n);
		cr_assert(event_whole(&e));
	}
	cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 0);
	cr_assert_eq(position, 10);
	cr_assert_eq(missed, 0);
}

Test(events, who_starts_late_gets_the_oldest_and_has_missed_nothing)
{
	uint64_t position = 0, missed = 0;
	struct event e;

	publish(1, 100);
	cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 1);
	cr_assert_eq(e.seq, 100 - SLOTS + 1);
	cr_assert_eq(missed, 0);
}

Test(events, every_overwritten_event_is_counted_exactly)
{
	struct prng p = {.state = 3};
	uint64_t position = 0, missed = 0, read = 0, published = 1;
	struct event e;

	publish(1, 1);
	cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 1);
	read++;
	for (int round = 0; round < 2000; round++) {
		uint64_t more = prng_below(&p, 3 * SLOTS);

		publish(published + 1, published + more);
		published += more;
		for (uint64_t take = prng_below(&p, 2 * SLOTS); take > 0; take--) {
			if (!event_ring_read(ring, SLOTS, &position, &e, &missed))
				break;
			cr_assert(event_whole(&e));
			cr_assert_eq(e.seq, ++read + missed);
		}
	}
	while (event_ring_read(ring, SLOTS, &position, &e, &missed))
		read++;
	cr_assert_eq(read + missed, published);
	cr_assert_gt(missed, 0);
}

Test(events, an_event_half_overwritten_by_a_writer_that_died_is_missed_not_awaited)
{
	uint64_t position = 1, missed = 0;
	struct event e;

	publish(1, SLOTS + 1);
	store_release((uint64_t *)(void *)((uint8_t *)(&ring->ring + 1) + 2 % SLOTS * 256),
		      0); /* event 2, being overwritten */
	cr_assert_eq(event_ring_read(ring, SLOTS, &position, &e, &missed), 1);
	cr_assert_eq(e.seq, 3);
	cr_assert_eq(missed, 1);
}

Test(events, a_reader_of_garbage_returns)
{
	struct prng p = {.state = 8};

	for (int round = 0; round < 500; round++) {
		uint64_t position = prng_next(&p) >> prng_below(&p, 64), missed = 0;
		struct event e;

		for (size_t i = 0; i < event_ring_bytes(SLOTS) / 8; i++)
			((uint64_t *)(void *)ring)[i] = prng_next(&p) >> prng_below(&p, 64);
		for (int i = 0; i < 5; i++)
			if (event_ring_read(ring, SLOTS, &position, &e, &missed))
				cr_assert_lt(strnlen(e.detail, sizeof(e.detail)), sizeof(e.detail));
	}
}

#define PUBLISHED 300000

static void *writer(void *unused)
{
	(void)unused;
	for (uint64_t n = 1; n <= PUBLISHED; n++) {
		struct event e = event_of(n);

		event_ring_publish(ring, SLOTS, &e);
	}
	return NULL;
}

Test(events, readers_beside_the_writer_see_whole_events_and_count_the_rest)
{
	uint64_t position = 0, missed = 0, read = 0, first = 0;
	pthread_t thread;
	struct event e;

	pthread_create(&thread, NULL, writer, NULL);
	while (position < PUBLISHED) {
		if (!event_ring_read(ring, SLOTS, &position, &e, &missed))
			continue;
		cr_assert(event_whole(&e), "event %lu is torn", (unsigned long)e.seq);
		if (read++ == 0) {
			first = e.seq;
			missed = 0;
		}
		cr_assert_eq(e.seq, first + read - 1 + missed);
	}
	pthread_join(thread, NULL);
}

#define INTERRUPTS 30000u
static uint64_t published_by_interrupt;
static uint32_t interrupts;

static void publish_some(int unused)
{
	(void)unused;
	for (int i = 0; i < 5; i++) {
		struct event e = event_of(++published_by_interrupt);

		event_ring_publish(ring, SLOTS, &e);
	}
	interrupts++;
}

Test(events, a_reader_interrupted_anywhere_sees_whole_events_and_counts_the_rest, .timeout = 60)
{
	uint64_t position = 1, missed = 0, read = 1, torn = 0, wrong = 0;
	struct event e;

	publish_some(0);
	interrupt_start(publish_some);
	while (load_relaxed(&interrupts) < INTERRUPTS) {
		if (!event_ring_read(ring, SLOTS, &position, &e, &missed))
			continue;
		read++;
		torn += !event_whole(&e);
		wrong += e.seq != read + missed;
	}
	interrupt_stop();
	cr_assert_gt(read, 1);
	cr_assert_eq(torn, 0);
	cr_assert_eq(wrong, 0);
}

/* ---- sentences --------------------------------------------------------------------------- */

static const char *name_node(void *context, unsigned node)
{
	static const char *const names[] = {"alpha", "beta", "gamma"};

	(void)context;
	return node < 3 ? names[node] : NULL;
}

static const char *name_instance(void *context, unsigned instance)
{
	(void)context;
	return instance == 0 ? "nat0" : NULL;
}

static const struct event_names names = {.node = name_node, .instance = name_instance};

static const char *sentence(struct event e)
{
	static char out[300];
	int n = event_sentence(&e, &names, out, sizeof(out));

	cr_assert_eq((size_t)n, strlen(out));
	return out;
}

Test(events, sentences_name_who_what_and_the_numbers)
{
	cr_expect_str_eq(
		sentence((struct event){
			.kind = EVENT_PEER_SUSPECT, .node = 1, .a = 5100000, .b = 5000000}),
		"peer beta silent for 5.1 ms (limit 5 ms): suspected");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_COMPONENT_DEAD,
						 .at_ns = 1031000,
						 .a = 4242,
						 .b = 1000000,
						 .detail = "nat: kernel mark"}),
			 "component nat (pid 4242) is dead: kernel mark; seen 31 us before this "
			 "entry");
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_VIEW, .epoch = 12, .node = 0, .a = 5}),
		"view 12: members alpha, gamma (author alpha)");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_ROLE,
						 .instance = 0,
						 .epoch = 13,
						 .a = HAVEN_SECONDARY,
						 .b = HAVEN_PRIMARY}),
			 "nat0: role here secondary -> primary in view 13");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_ROLE_RELEASED, .a = 4}),
			 "nat0: given up at once: the holder's component died");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_SWITCHOVER,
						 .instance = 0xff,
						 .a = 0,
						 .b = HAVEN_NODE_NONE,
						 .detail = "root"}),
			 "all instances: switchover from alpha to nobody requested (root)");
}

Test(events, news_of_links_name_the_evidence)
{
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_LINK_GRAY, .node = 0, .a = 1, .b = 12}),
		"link 1 to alpha is gray (loss 12 %)");
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_LINK_HELD, .node = 0, .a = 1, .b = 400000}),
		"link 1 to alpha keeps failing: held down until it has worked for 400 us");
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_PEER_HELD, .node = 0, .a = 2000000, .b = 3}),
		"peer alpha keeps coming and going (3 times): nothing new is given to it until it "
		"has been heard for 2 ms");
}

Test(events, a_copy_that_differs_says_where)
{
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_COPY_DIFFERS,
					.node = 0,
					.a = 2,
					.detail = "checkpoint flows, lane 1, key 0a0b"}),
		"ALARM: nat0: the copy here differs from that of alpha (entries of one block: 2); "
		"it counts no more and is fetched anew (checkpoint flows, lane 1, key 0a0b)");
}

Test(events, news_of_a_fence_command_say_what_it_said)
{
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_FENCE_STARTED, .node = 0}),
			 "the fence command for node alpha is started");
	cr_expect_str_eq(
		sentence((struct event){.kind = EVENT_FENCE_DONE, .node = 0, .b = 2000000}),
		"the fence command says after 2 ms that node alpha is cut off");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_FENCE_FAILED,
						 .node = 0,
						 .b = 4000000,
						 .detail = "exit status 3: no route"}),
			 "the fence command for node alpha failed, next try not before 4 ms (exit "
			 "status 3: no route)");
}

Test(events, an_orderly_end_is_told_with_its_duration_where_it_is_known)
{
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_LEFT, .node = 0}),
			 "node alpha has left in order: it holds nothing");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_LEFT, .node = 0, .b = 4000000}),
			 "node alpha has left in order: it holds nothing, after 4 ms");
}

Test(events, a_clock_that_cannot_be_trusted_is_told_with_the_evidence)
{
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_CLOCK_STOOD, .a = 4000000}),
			 "the clock stood still for 4 ms (machine suspended or paused): every role "
			 "is given up");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_CLOCK_BAD, .a = 700, .b = 200}),
			 "the clocks disagree by 700 ppm (bound 200): no role is taken here");
	cr_expect_str_eq(sentence((struct event){.kind = EVENT_CLOCK_GOOD, .a = 3, .b = 200}),
			 "the clocks agree again within 3 ppm (bound 200)");
}

Test(events, a_worker_that_polls_again_is_told_with_how_long_it_did_not)
{
	cr_expect_str_eq(sentence((struct event){
				 .kind = EVENT_COMPONENT_POLLS, .a = 450000000, .detail = "nat"}),
			 "component nat polls again, after 450 ms");
}

Test(events, every_kind_has_a_label_and_a_sentence_of_its_own)
{
	for (unsigned kind = 0; kind < EVENT_KIND_COUNT; kind++) {
		struct event e = {.kind = (uint16_t)kind, .detail = "x"};

		cr_assert_str_neq(event_kind_name(kind), "unknown");
		cr_assert_null(strstr(sentence(e), "unknown"), "%s", sentence(e));
		for (unsigned other = 0; other < kind; other++)
			cr_assert_str_neq(event_kind_name(kind), event_kind_name(other));
	}
	for (unsigned i = 0; i < EVENT_REASON_COUNT; i++)
		cr_assert_str_neq(event_reason_name(i), "unknown reason");
	for (unsigned i = 0; i <= EVENT_CRITICAL; i++)
		cr_assert_str_neq(event_severity_name(i), "unknown");
}

Test(events, any_event_becomes_a_printable_terminated_sentence)
{
	struct prng p = {.state = 5};

	for (int round = 0; round < 20000; round++) {
		size_t size = 1 + prng_below(&p, 300);
		struct event e = {0};
		char out[301];
		int n;

		for (size_t i = 0; i < sizeof(e) / 8; i++)
			((uint64_t *)(void *)&e)[i] = prng_next(&p) >> prng_below(&p, 64);
		e.detail[prng_below(&p, EVENT_DETAIL_MAX)] = 0;
		e.detail[EVENT_DETAIL_MAX - 1] = 0;
		if (round % 4)
			e.kind %= EVENT_KIND_COUNT;
		memset(out, 1, sizeof(out));
		n = event_sentence(&e, round % 2 ? &names : NULL, out, size);
		cr_assert_lt((size_t)n, size);
		cr_assert_eq(out[n], 0);
		cr_assert_eq(out[size], 1, "written past the end");
		for (int i = 0; i < n; i++)
			cr_assert((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
	}
	cr_assert_str_eq(event_kind_name(EVENT_KIND_COUNT), "unknown");
	cr_assert_str_eq(event_severity_name(99), "unknown");
	cr_assert_str_eq(event_reason_name(UINT64_MAX), "unknown reason");
}
