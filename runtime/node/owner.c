/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "haven_assert.h"
#include "haven_types.h"

HAVEN_STATIC_ASSERT(OWNER_PROCESSES < OWNER_NONE, "an index of 16 bits");
HAVEN_STATIC_ASSERT(sizeof(struct owner_slot) == 16, "as the header says");

int owner_books_new(struct owner_books *b, uint32_t slots)
{
	memset(b, 0, sizeof(*b));
	memset(b->bucket, 0xff, sizeof(b->bucket));
	b->leaving = b->claiming = (struct owner_queue){OWNER_NONE, OWNER_NONE};
	b->slot = malloc(slots * sizeof(*b->slot));
	if (!b->slot)
		return -HAVEN_ENOMEM;
	/* Written, so that the poll loop takes no page fault for it later. */
	memset(b->slot, 0xff, slots * sizeof(*b->slot));
	for (uint32_t i = 0; i < slots; i++)
		b->slot[i].use = OWNER_USE_NONE;
	b->slots = slots;
	return 0;
}

void owner_books_free(struct owner_books *b)
{
	free(b->slot);
	b->slot = NULL;
	b->slots = 0;
}

/* ---- processes ------------------------------------------------------------------------------- */

static uint16_t *bucket_of(struct owner_books *b, int32_t pid, uint64_t ticks)
{
	return &b->bucket[hash_mix64(ticks ^ ((uint64_t)(uint32_t)pid << 32)) % OWNER_PROCESSES];
}

uint16_t owner_find(const struct owner_books *b, int32_t pid, uint64_t pid_start_ticks)
{
	uint16_t i = *bucket_of((struct owner_books *)b, pid, pid_start_ticks);

	for (; i != OWNER_NONE; i = b->process[i].chain) {
		const struct owner_process *p = &b->process[i];

		if (p->pid == pid && p->pid_start_ticks == pid_start_ticks &&
		    p->state != OWNER_LEAVING)
			return i;
	}
	return OWNER_NONE;
}

uint16_t owner_open(struct owner_books *b, int32_t pid, uint64_t pid_start_ticks)
{
	uint16_t *bucket = bucket_of(b, pid, pid_start_ticks);
	uint32_t i = 0;

	/* Entries are few and come and go with connections: a search is good enough. */
	while (i < b->used && b->process[i].state != OWNER_FREE)
		i++;
	if (i == OWNER_PROCESSES)
		return OWNER_NONE;
	b->used = i == b->used ? i + 1 : b->used;
	b->process[i] = (struct owner_process){.pid = pid,
					       .pid_start_ticks = pid_start_ticks,
					       .first = OWNER_NO_SLOT,
					       .last = OWNER_NO_SLOT,
					       .claim = OWNER_NO_SLOT,
					       .chain = *bucket,
					       .queue = OWNER_NONE,
					       .state = OWNER_PENDING};
	*bucket = (uint16_t)i;
	b->n_pending++;
	return (uint16_t)i;
}

/* A process stands in the queue of its state. */
static struct owner_queue *queue_of(struct owner_books *b, uint16_t process)
{
	return b->process[process].state == OWNER_LEAVING ? &b->leaving : &b->claiming;
}

static void queue_put(struct owner_books *b, uint16_t process)
{
	struct owner_queue *q = queue_of(b, process);

	b->process[process].queue = OWNER_NONE;
	b->process[process].queued = true;
	if (q->tail == OWNER_NONE)
		q->head = process;
	else
		b->process[q->tail].queue = process;
	q->tail = process;
}

static void queue_take(struct owner_books *b, uint16_t process)
{
	struct owner_queue *q = queue_of(b, process);
	uint16_t before = OWNER_NONE, i = q->head;

	if (!b->process[process].queued)
		return;
	for (; i != process; i = b->process[i].queue)
		before = i;
	if (before == OWNER_NONE)
		q->head = b->process[process].queue;
	else
		b->process[before].queue = b->process[process].queue;
	if (q->tail == process)
		q->tail = before;
	b->process[process].queued = false;
}

uint16_t owner_attach(struct owner_books *b, int32_t pid, uint64_t pid_start_ticks)
{
	uint16_t process = owner_find(b, pid, pid_start_ticks);
	struct owner_process *p;

	if (process == OWNER_NONE)
		process = owner_open(b, pid, pid_start_ticks);
	if (process == OWNER_NONE)
		return OWNER_NONE;
	p = &b->process[process];
	p->clients++;
	if (p->state == OWNER_PENDING) {
		p->state = OWNER_ATTACHED;
		b->n_pending--;
		p->claim = p->first;
		if (p->count)
			queue_put(b, process);
	}
	return process;
}

static void leave(struct owner_books *b, uint16_t process)
{
	struct owner_process *p = &b->process[process];

	if (p->state == OWNER_LEAVING)
		return;
	if (p->state == OWNER_PENDING)
		b->n_pending--;
	queue_take(b, process);
	p->state = OWNER_LEAVING;
	p->claim = OWNER_NO_SLOT;
	p->swept = 0;
	queue_put(b, process);
}

/* An entry is kept while a client refers to it or components are left to remove. */
static void settle(struct owner_books *b, uint16_t process)
{
	struct owner_process *p = &b->process[process];
	uint16_t *at = bucket_of(b, p->pid, p->pid_start_ticks);

	if (p->queued || p->clients)
		return;
	HAVEN_ASSERT(p->state == OWNER_LEAVING && p->count == 0);
	while (*at != process)
		at = &b->process[*at].chain;
	*at = p->chain;
	p->state = OWNER_FREE;
	while (b->used && b->process[b->used - 1].state == OWNER_FREE)
		b->used--;
}

void owner_detach(struct owner_books *b, uint16_t process)
{
	struct owner_process *p = &b->process[process];

	HAVEN_ASSERT(p->state != OWNER_FREE && p->clients > 0);
	if (--p->clients)
		return;
	leave(b, process);
	settle(b, process);
}

void owner_ended(struct owner_books *b, uint16_t process)
{
	HAVEN_ASSERT(b->process[process].state != OWNER_FREE);
	b->process[process].ended = true;
	leave(b, process);
}

void owner_left(struct owner_books *b)
{
	uint16_t process = b->leaving.head;

	HAVEN_ASSERT(process != OWNER_NONE && b->process[process].count == 0);
	queue_take(b, process);
	settle(b, process);
}

void owner_claimed(struct owner_books *b)
{
	HAVEN_ASSERT(b->claiming.head != OWNER_NONE);
	queue_take(b, b->claiming.head);
}

/* ---- slots ----------------------------------------------------------------------------------- */

void owner_add(struct owner_books *b, uint16_t process, uint32_t slot, bool pending)
{
	struct owner_process *p = &b->process[process];
	struct owner_slot *s = &b->slot[slot];

	HAVEN_ASSERT(s->use == OWNER_USE_NONE && p->state != OWNER_FREE);
	*s = (struct owner_slot){.next = OWNER_NO_SLOT,
				 .prev = p->last,
				 .process = process,
				 .use = OWNER_USE_LISTED,
				 .pending = pending};
	if (p->last == OWNER_NO_SLOT)
		p->first = slot;
	else
		b->slot[p->last].next = slot;
	p->last = slot;
	p->count++;
}

void owner_remove(struct owner_books *b, uint32_t slot)
{
	struct owner_slot *s = &b->slot[slot];
	struct owner_process *p = &b->process[s->process];

	HAVEN_ASSERT(s->use == OWNER_USE_LISTED);
	if (s->prev == OWNER_NO_SLOT)
		p->first = s->next;
	else
		b->slot[s->prev].next = s->next;
	if (s->next == OWNER_NO_SLOT)
		p->last = s->prev;
	else
		b->slot[s->next].prev = s->prev;
	if (p->claim == slot)
		p->claim = s->next;
	p->count--;
	s->use = OWNER_USE_NONE;
	s->pending = 0;
}

void owner_local(struct owner_books *b, uint32_t slot, uint32_t number)
{
	HAVEN_ASSERT(b->slot[slot].use != OWNER_USE_LISTED);
	b->slot[slot].use = OWNER_USE_LOCAL;
	b->slot[slot].number = number;
}

void owner_local_end(struct owner_books *b, uint32_t slot)
{
	HAVEN_ASSERT(b->slot[slot].use == OWNER_USE_LOCAL);
	b->slot[slot].use = OWNER_USE_NONE;
}
