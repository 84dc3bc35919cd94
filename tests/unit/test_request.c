/* SPDX-License-Identifier: BSD-3-Clause */
#include "request.h"

#include <criterion/criterion.h>
#include <string.h>

static struct request_ring ring;
static struct registry_client line, other_line;
static struct request_producer producer;
static struct request_consumer consumer;

static void begin(void)
{
	memset(&ring, 0, sizeof(ring));
	memset(&line, 0xff, sizeof(line));
	request_consumer_init(&consumer, &ring, &line, 0);
	producer = (struct request_producer){.ring = &ring, .line = &line};
}
TestSuite(request, .init = begin);

static struct request update_of(uint64_t handle)
{
	struct request r = {.kind = REQUEST_UPDATE, .handle = handle};

	for (unsigned i = 0; i < REGISTRY_DEPENDS_MAX; i++)
		r.depends[i] = handle;
	return r;
}

static void push(uint64_t handle)
{
	struct request r = update_of(handle);

	cr_assert_neq(request_push(&producer, &r), 0);
}

static void take_and_answer(uint64_t handle)
{
	struct request r;

	cr_assert_eq(request_take(&consumer, &r), 1);
	cr_assert_eq(r.handle, handle);
	cr_assert_eq(r.depends[REGISTRY_DEPENDS_MAX - 1], handle);
	request_answer(&consumer, -(int)(handle % 7), handle);
}

static void expect_answer(uint64_t handle)
{
	struct registry_reply reply;

	cr_assert_eq(request_answered(&producer, &reply), 1);
	cr_assert_eq(reply.handle, handle);
	cr_assert_eq(reply.result, -(int64_t)(handle % 7));
}

Test(request, empty_at_first_on_both_sides)
{
	struct registry_reply reply;
	struct request r;

	cr_assert_eq(request_room(&producer), REQUEST_SLOTS);
	cr_assert_eq(request_take(&consumer, &r), 0);
	cr_assert_eq(request_answered(&producer, &reply), 0);
}

Test(request, what_waits_is_seen_ahead)
{
	push(5);
	push(6);
	cr_assert_eq(request_ahead(&consumer, 1), 5);
	cr_assert_eq(request_ahead(&consumer, 2), 6);
	take_and_answer(5);
	cr_assert_eq(request_ahead(&consumer, 1), 6);
}

Test(request, requests_and_answers_come_in_order_over_many_rounds_of_the_ring)
{
	uint64_t next = 0, answered = 0;

	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 100 + round; i++)
			push(next + i);
		for (unsigned i = 0; i < 100 + round; i++)
			take_and_answer(next + i);
		next += 100 + round;
		for (; answered < next; answered++)
			expect_answer(answered);
	}
}

Test(request, a_full_ring_refuses_until_an_answer_was_read)
{
	struct request r = update_of(1000);

	for (unsigned i = 0; i < REQUEST_SLOTS; i++)
		push(i);
	cr_assert_eq(request_room(&producer), 0);
	cr_assert_eq(request_push(&producer, &r), 0);
	take_and_answer(0);
	cr_assert_eq(request_push(&producer, &r), 0, "the answer has not been read yet");
	expect_answer(0);
	cr_assert_eq(request_push(&producer, &r), REQUEST_SLOTS + 1);
	for (unsigned i = 1; i < REQUEST_SLOTS; i++)
		take_and_answer(i);
	take_and_answer(1000);
}

Test(request, a_new_node_begins_after_the_newest_answer_that_was_seen)
{
	for (unsigned i = 0; i < 10; i++)
		push(i);
	for (unsigned i = 0; i < 6; i++)
		take_and_answer(i);
	for (unsigned i = 0; i < 4; i++)
		expect_answer(i);
	request_consumer_init(&consumer, &ring, &other_line, producer.seen);
	request_producer_move(&producer, &other_line);
	for (unsigned i = 4; i < 10; i++)
		take_and_answer(i);
	for (unsigned i = 4; i < 10; i++)
		expect_answer(i);
}

Test(request, a_head_that_no_producer_can_have_is_told)
{
	struct request r;

	push(1);
	take_and_answer(1);
	ring.head = 0;
	cr_assert_eq(request_take(&consumer, &r), -HAVEN_ECORRUPT);
	ring.head = 2 + REQUEST_SLOTS;
	cr_assert_eq(request_take(&consumer, &r), -HAVEN_ECORRUPT);
	ring.head = UINT64_MAX;
	cr_assert_eq(request_take(&consumer, &r), -HAVEN_ECORRUPT);
	ring.head = 2;
	cr_assert_eq(request_take(&consumer, &r), -HAVEN_ECORRUPT, "the slot holds another number");
}

Test(request, answers_that_contradict_themselves_are_told)
{
	struct registry_reply reply;

	push(1);
	line.answered = 1;
	line.reply[1].seq = 77;
	cr_assert_eq(request_answered(&producer, &reply), -HAVEN_ECORRUPT);
	line.reply[1].seq = 1;
	cr_assert_eq(request_answered(&producer, &reply), 1);
	line.answered = 2;
	line.reply[2].seq = 2;
	cr_assert_eq(request_answered(&producer, &reply), -HAVEN_ECORRUPT,
		     "an answer to what was never asked");
}
