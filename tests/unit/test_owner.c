/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner.h"

#include <criterion/criterion.h>

#include "prng.h"

#define SLOTS 64

static struct owner_books b;

static void begin(void)
{
	cr_assert_eq(owner_books_new(&b, SLOTS), 0);
}
static void end(void)
{
	owner_books_free(&b);
}
TestSuite(owner, .init = begin, .fini = end);

/* The list of a process, read forwards and backwards, holds each of its slots once. */
static uint32_t list_count(uint16_t process)
{
	const struct owner_process *p = &b.process[process];
	uint32_t n = 0, back = 0;

	for (uint32_t s = p->first; s != OWNER_NO_SLOT; s = b.slot[s].next, n++)
		cr_assert_eq(owner_of(&b, s), process);
	for (uint32_t s = p->last; s != OWNER_NO_SLOT; s = b.slot[s].prev)
		back++;
	cr_assert_eq(n, back);
	cr_assert_eq(n, p->count);
	return n;
}

static void remove_all(uint16_t process)
{
	while (b.process[process].count)
		owner_remove(&b, b.process[process].first);
}

Test(owner, a_process_is_one_entry_however_often_it_attaches)
{
	uint16_t p = owner_attach(&b, 10, 100);

	cr_assert_neq(p, OWNER_NONE);
	cr_assert_eq(owner_attach(&b, 10, 100), p);
	cr_assert_neq(owner_attach(&b, 10, 101), p, "a pid that came back is another process");
	cr_assert_eq(owner_find(&b, 10, 100), p);
	cr_assert_eq(owner_find(&b, 11, 100), OWNER_NONE);
	owner_detach(&b, p);
	cr_assert_eq(owner_find(&b, 10, 100), p, "one client is left");
	owner_detach(&b, p);
	cr_assert_eq(owner_find(&b, 10, 100), OWNER_NONE);
	cr_assert_eq(owner_leaving(&b), p);
	owner_left(&b);
	cr_assert_eq(owner_leaving(&b), OWNER_NONE);
	cr_assert_eq(b.used, 2);
}

Test(owner, slots_go_to_the_end_of_the_list_and_leave_it_anywhere)
{
	uint16_t p = owner_attach(&b, 1, 1);

	for (uint32_t s = 0; s < 5; s++)
		owner_add(&b, p, s, false);
	cr_assert_eq(list_count(p), 5);
	owner_remove(&b, 2);
	owner_remove(&b, 0);
	owner_remove(&b, 4);
	cr_assert_eq(list_count(p), 2);
	cr_assert_eq(b.process[p].first, 1);
	cr_assert_eq(b.process[p].last, 3);
	cr_assert_eq(owner_of(&b, 2), OWNER_NONE);
	owner_add(&b, p, 2, false);
	cr_assert_eq(b.process[p].last, 2);
	remove_all(p);
	cr_assert_eq(b.process[p].first, OWNER_NO_SLOT);
	cr_assert_eq(b.process[p].last, OWNER_NO_SLOT);
}

Test(owner, what_is_pending_is_claimed_once_its_process_attaches)
{
	uint16_t p = owner_open(&b, 1, 1);

	owner_add(&b, p, 7, true);
	owner_add(&b, p, 8, true);
	cr_assert_eq(b.n_pending, 1);
	cr_assert_eq(owner_claiming(&b), OWNER_NONE);
	cr_assert_eq(owner_attach(&b, 1, 1), p);
	cr_assert_eq(b.n_pending, 0);
	cr_assert_eq(owner_claiming(&b), p);
	cr_assert_eq(b.process[p].claim, 7);
	owner_remove(&b, 7);
	cr_assert_eq(b.process[p].claim, 8, "the sweep goes on behind a slot that is removed");
	owner_claimed(&b);
	cr_assert_eq(owner_claiming(&b), OWNER_NONE);
}

Test(owner, a_process_with_nothing_pending_has_nothing_to_claim)
{
	owner_attach(&b, 1, 1);
	cr_assert_eq(owner_claiming(&b), OWNER_NONE);
}

Test(owner, a_process_that_ends_leaves_at_once_and_stays_until_its_client_lets_go)
{
	uint16_t p = owner_attach(&b, 1, 1), q;

	owner_add(&b, p, 3, false);
	owner_ended(&b, p);
	owner_ended(&b, p);
	cr_assert_eq(owner_leaving(&b), p);
	q = owner_attach(&b, 1, 1);
	cr_assert_neq(q, p, "who attaches meanwhile is not the one that leaves");
	remove_all(p);
	owner_left(&b);
	cr_assert_eq(b.process[p].state, OWNER_LEAVING);
	owner_detach(&b, p);
	cr_assert_eq(b.process[p].state, OWNER_FREE);
	cr_assert_eq(owner_find(&b, 1, 1), q);
}

Test(owner, a_process_that_leaves_while_it_claims_claims_no_more)
{
	uint16_t p[3];

	for (int i = 0; i < 3; i++) {
		p[i] = owner_open(&b, i + 1, 1);
		owner_add(&b, p[i], (uint32_t)i, true);
		owner_attach(&b, i + 1, 1);
	}
	owner_detach(&b, p[1]);
	cr_assert_eq(owner_claiming(&b), p[0]);
	owner_claimed(&b);
	cr_assert_eq(owner_claiming(&b), p[2]);
	owner_claimed(&b);
	cr_assert_eq(owner_claiming(&b), OWNER_NONE);
	cr_assert_eq(owner_leaving(&b), p[1]);
	owner_detach(&b, p[2]);
	owner_detach(&b, p[0]);
	for (int i = 0; i < 3; i++) {
		remove_all(owner_leaving(&b));
		owner_left(&b);
	}
	cr_assert_eq(b.used, 0);
}

Test(owner, full_books_refuse_and_serve_again_when_one_has_left)
{
	for (uint32_t i = 0; i < OWNER_PROCESSES; i++)
		cr_assert_neq(owner_attach(&b, (int32_t)i + 1, 5), OWNER_NONE);
	cr_assert_eq(owner_attach(&b, 99999, 5), OWNER_NONE);
	cr_assert_eq(owner_find(&b, 77, 5), 76);
	owner_detach(&b, 76);
	owner_left(&b);
	cr_assert_eq(owner_attach(&b, 99999, 5), 76);
	cr_assert_eq(owner_find(&b, 77, 5), OWNER_NONE);
}

Test(owner, a_local_component_is_in_no_list)
{
	owner_local(&b, 9, 3);
	cr_assert_eq(owner_of(&b, 9), OWNER_NONE);
	cr_assert_eq(b.slot[9].number, 3);
	owner_local(&b, 9, 4);
	owner_local_end(&b, 9);
	cr_assert_eq(b.slot[9].use, OWNER_USE_NONE);
}

/* Against a plain model: who owns each slot. */
Test(owner, any_order_of_steps_keeps_lists_and_owners_together)
{
	uint16_t model[SLOTS], process[4];
	struct prng rng = {.state = 11};

	memset(model, 0xff, sizeof(model));
	for (int i = 0; i < 4; i++)
		process[i] = owner_attach(&b, i + 1, 1);
	for (int step = 0; step < 20000; step++) {
		uint32_t slot = (uint32_t)prng_below(&rng, SLOTS);
		unsigned who = (unsigned)prng_below(&rng, 4);

		if (model[slot] == OWNER_NONE) {
			owner_add(&b, process[who], slot, prng_below(&rng, 2));
			model[slot] = process[who];
		} else if (prng_below(&rng, 20) == 0) {
			uint16_t leaver = process[who];

			owner_detach(&b, leaver);
			remove_all(leaver);
			owner_left(&b);
			for (uint32_t s = 0; s < SLOTS; s++)
				model[s] = model[s] == leaver ? OWNER_NONE : model[s];
			process[who] = owner_attach(&b, (int32_t)who + 1, (uint64_t)step + 2);
		} else {
			owner_remove(&b, slot);
			model[slot] = OWNER_NONE;
		}
		for (uint32_t s = 0; s < SLOTS; s++)
			cr_assert_eq(owner_of(&b, s), model[s]);
		for (int i = 0; i < 4; i++)
			list_count(process[i]);
	}
}
