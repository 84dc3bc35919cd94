/* SPDX-License-Identifier: BSD-3-Clause */
#include "request.h"

#include "words.h"

/* ---- application ---------------------------------------------------------------------------- */

unsigned request_room(const struct request_producer *p)
{
	return (unsigned)(REQUEST_SLOTS - (p->pushed - p->seen));
}

uint64_t request_push(struct request_producer *p, const struct request *r)
{
	struct request next = *r;

	if (request_room(p) == 0)
		return 0;
	next.seq = p->pushed + 1;
	words_store(&p->ring->slot[next.seq % REQUEST_SLOTS], &next, sizeof(next));
	p->pushed = next.seq;
	store_release(&p->ring->head, next.seq); /* Q4 */
	return next.seq;
}

int request_answered(struct request_producer *p, struct registry_reply *out)
{
	uint64_t next = p->seen + 1;

	if (load_acquire(&p->line->answered) < next) /* Q5 */
		return 0;
	words_load(out, &p->line->reply[next % REQUEST_SLOTS], sizeof(*out));
	if (out->seq != next || next > p->pushed)
		return -HAVEN_ECORRUPT;
	p->seen = next;
	return 1;
}

void request_producer_move(struct request_producer *p, const struct registry_client *line)
{
	p->line = line;
}

/* ---- node ----------------------------------------------------------------------------------- */

void request_consumer_init(struct request_consumer *c, const struct request_ring *ring,
			   struct registry_client *line, uint64_t seen)
{
	*c = (struct request_consumer){.ring = ring, .line = line, .taken = seen};
	for (unsigned i = 0; i < REQUEST_SLOTS; i++)
		store_relaxed(&line->reply[i].seq, 0);
	store_release(&line->answered, seen);
}

int request_take(struct request_consumer *c, struct request *out)
{
	uint64_t head = load_acquire(&c->ring->head); /* Q4 */
	uint64_t next = c->taken + 1;

	if (head == c->taken)
		return 0;
	if (head < c->taken || head - c->taken > REQUEST_SLOTS)
		return -HAVEN_ECORRUPT;
	words_load(out, &c->ring->slot[next % REQUEST_SLOTS], sizeof(*out));
	if (out->seq != next)
		return -HAVEN_ECORRUPT;
	c->taken = next;
	return 1;
}

uint64_t request_ahead(const struct request_consumer *c, unsigned n)
{
	return load_relaxed(&c->ring->slot[(c->taken + n) % REQUEST_SLOTS].handle);
}

void request_answer(struct request_consumer *c, int result, uint64_t handle)
{
	struct registry_reply *reply = &c->line->reply[c->taken % REQUEST_SLOTS];

	store_relaxed(&reply->seq, c->taken);
	store_relaxed(&reply->handle, handle);
	store_relaxed(&reply->result, (int64_t)result);
	store_release(&c->line->answered, c->taken); /* Q5 */
}
