/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "haven_types.h"
#include "interrupt.h"
#include "rcu.h"

static struct rcu_domain domain;
static uint64_t epoch;

static void setup(void)
{
	epoch = 1;
	rcu_domain_init(&domain, &epoch);
}

TestSuite(rcu, .init = setup);

Test(rcu, without_readers_everything_is_free_at_once)
{
	uint64_t e = rcu_retire_epoch(&domain);

	cr_assert_eq(e, 2);
	cr_assert_eq(epoch, 2);
	cr_assert_geq(rcu_poll(&domain), e);
}

Test(rcu, a_reader_of_an_earlier_epoch_holds_what_was_retired_later)
{
	uint64_t word = 0, first, second;

	cr_assert_geq(rcu_slot_add(&domain, &word), 0);
	rcu_enter(&epoch, &word);
	first = rcu_retire_epoch(&domain);
	cr_assert_lt(rcu_poll(&domain), first);
	rcu_quiescent(&epoch, &word);
	cr_assert_geq(rcu_poll(&domain), first);
	second = rcu_retire_epoch(&domain);
	cr_assert_geq(rcu_poll(&domain), first, "the first stays free");
	cr_assert_lt(rcu_poll(&domain), second);
	rcu_leave(&word);
	cr_assert_geq(rcu_poll(&domain), second);
}

Test(rcu, the_slowest_of_several_readers_decides)
{
	uint64_t word[3] = {0}, e[3];

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(rcu_slot_add(&domain, &word[i]), i);
		rcu_enter(&epoch, &word[i]);
		e[i] = rcu_retire_epoch(&domain);
	}
	cr_assert_lt(rcu_poll(&domain), e[0]);
	rcu_leave(&word[0]);
	cr_assert_geq(rcu_poll(&domain), e[0]);
	cr_assert_lt(rcu_poll(&domain), e[1]);
	rcu_leave(&word[2]);
	cr_assert_lt(rcu_poll(&domain), e[1]);
	rcu_leave(&word[1]);
	cr_assert_geq(rcu_poll(&domain), e[2]);
}

Test(rcu, a_stopped_reader_holds_memory_until_its_slot_is_dropped)
{
	uint64_t word = 0, e = 0;
	int slot = rcu_slot_add(&domain, &word);

	rcu_enter(&epoch, &word);
	for (int i = 0; i < 1000; i++)
		e = rcu_retire_epoch(&domain);
	cr_assert_lt(rcu_poll(&domain), 2);
	rcu_slot_drop(&domain, slot);
	cr_assert_geq(rcu_poll(&domain), e);
}

Test(rcu, slots_are_found_again_after_a_drop_and_never_more_than_there_are)
{
	static uint64_t word[RCU_SLOTS_MAX + 1];

	for (int i = 0; i < RCU_SLOTS_MAX; i++)
		cr_assert_eq(rcu_slot_add(&domain, &word[i]), i);
	cr_assert_eq(rcu_slot_add(&domain, &word[RCU_SLOTS_MAX]), -HAVEN_EFULL);
	rcu_slot_drop(&domain, 17);
	cr_assert_eq(rcu_slot_add(&domain, &word[RCU_SLOTS_MAX]), 17);
	for (int i = RCU_SLOTS_MAX; i-- > 0;)
		rcu_slot_drop(&domain, i);
	cr_assert_eq(domain.used, 0);
	rcu_slot_drop(&domain, -1);
	rcu_slot_drop(&domain, 5);
	cr_assert_eq(domain.used, 0);
}

Test(rcu, a_dropped_slot_between_others_holds_nothing)
{
	uint64_t word[3] = {0}, e;

	for (int i = 0; i < 3; i++)
		cr_assert_eq(rcu_slot_add(&domain, &word[i]), i);
	rcu_enter(&epoch, &word[1]);
	e = rcu_retire_epoch(&domain);
	cr_assert_lt(rcu_poll(&domain), e);
	rcu_slot_drop(&domain, 1);
	cr_assert_eq(domain.used, 3);
	cr_assert_geq(rcu_poll(&domain), e);
}

Test(rcu, hostile_words_never_free_more_than_the_current_epoch)
{
	uint64_t word = UINT64_MAX, e = rcu_retire_epoch(&domain);

	rcu_slot_add(&domain, &word);
	cr_assert_eq(rcu_poll(&domain), e);
	word = 1;
	cr_assert_eq(rcu_poll(&domain), 1);
}

/* ---- readers and a writer that reuses what the grace period released ---------------------- */

#define OBJECTS 8
#define READERS 2
#define ROUNDS 5000

struct object {
	uint64_t value, twin; /* equal while the object is published */
};

static struct object objects[OBJECTS];
static struct object *published;
static uint64_t words[READERS];
static uint32_t stop, torn;

static void look(void)
{
	for (int i = 0; i < 4; i++) {
		struct object *o = load_acquire(&published);
		uint64_t value = load_relaxed(&o->value), twin = load_relaxed(&o->twin);

		if (value == 0 || value != twin)
			store_relaxed(&torn, 1);
	}
}

static void *reader(void *argument)
{
	uint64_t *word = argument;
	bool quiescent = (word - words) & 1;

	if (quiescent)
		rcu_enter(&epoch, word);
	while (!load_relaxed(&stop)) {
		if (quiescent)
			rcu_quiescent(&epoch, word);
		else
			rcu_enter(&epoch, word);
		look();
		if (!quiescent)
			rcu_leave(word);
		sched_yield(); /* the machine may have fewer CPUs than threads */
	}
	rcu_leave(word);
	return NULL;
}

/** What the writer has retired and what he may use. */
static struct {
	struct object *object;
	uint64_t epoch;
} waiting[OBJECTS];
static struct object *free_list[OBJECTS];
static unsigned n_waiting, n_free;
static uint64_t rounds, reused;

static void writer_init(void)
{
	objects[0] = (struct object){1, 1};
	published = &objects[0];
	for (unsigned i = 1; i < OBJECTS; i++)
		free_list[n_free++] = &objects[i];
	rounds = 1;
}

/** One turn: reclaim what has passed, replace the published object if there is a free one. */
static bool writer_turn(void)
{
	uint64_t passed = rcu_poll(&domain), n = ++rounds;
	struct object *o, *old = published;

	while (n_waiting && waiting[0].epoch <= passed) {
		/* what a reader that still held it would see at once */
		store_relaxed(&waiting[0].object->value, 0);
		store_relaxed(&waiting[0].object->twin, n);
		free_list[n_free++] = waiting[0].object;
		memmove(&waiting[0], &waiting[1], --n_waiting * sizeof(waiting[0]));
		reused++;
	}
	if (n_free == 0)
		return false;
	o = free_list[--n_free];
	store_relaxed(&o->value, n);
	store_relaxed(&o->twin, n);
	store_release(&published, o);
	waiting[n_waiting].object = old;
	waiting[n_waiting++].epoch = rcu_retire_epoch(&domain);
	return true;
}

Test(rcu, readers_never_see_an_object_in_its_next_use, .timeout = 60)
{
	pthread_t thread[READERS];

	writer_init();
	for (unsigned i = 0; i < READERS; i++) {
		rcu_slot_add(&domain, &words[i]);
		pthread_create(&thread[i], NULL, reader, &words[i]);
	}
	while (rounds < ROUNDS)
		if (!writer_turn())
			sched_yield();
	store_relaxed(&stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	cr_assert_gt(reused, 0, "the test reused nothing, so it showed nothing");
	cr_assert_eq(torn, 0);
}

#define INTERRUPTS 20000

static void interrupting_writer(int unused)
{
	(void)unused;
	for (unsigned i = 0; i < 2 * OBJECTS; i++)
		writer_turn();
}

Test(rcu, a_reader_interrupted_anywhere_keeps_what_it_holds, .timeout = 60)
{
	writer_init();
	rcu_slot_add(&domain, &words[0]);
	interrupt_start(interrupting_writer);
	while (load_relaxed(&rounds) < (uint64_t)INTERRUPTS * 2 * OBJECTS) {
		rcu_enter(&epoch, &words[0]);
		for (int i = 0; i < 3; i++) {
			look();
			rcu_quiescent(&epoch, &words[0]);
		}
		look();
		rcu_leave(&words[0]);
	}
	interrupt_stop();
	cr_assert_gt(reused, 0);
	cr_assert_eq(torn, 0);
}
