/* SPDX-License-Identifier: BSD-3-Clause */
#include "lab_impair.h"

#include <rte_ether.h>

#include "clock.h"

/** One frame in so many is recorded: recordings reach back over several lives of the nodes. */
#define RECORD_EVERY 64u

static bool happens(struct prng *prng, uint32_t ppm)
{
	return ppm && prng_chance_ppm(prng, ppm);
}

/* Any bit behind the Ethernet header: the switch must still know where the frame goes. */
static void flip_bit(struct impair *i, struct prng *prng, struct rte_mbuf *m)
{
	uint16_t bytes = rte_pktmbuf_data_len(m);
	uint64_t bit;

	if (bytes <= sizeof(struct rte_ether_hdr))
		return;
	bit = prng_below(prng, 8u * (bytes - sizeof(struct rte_ether_hdr)));
	rte_pktmbuf_mtod(m, uint8_t *)[sizeof(struct rte_ether_hdr) + bit / 8] ^=
		(uint8_t)(1u << bit % 8);
	i->corrupted++;
}

bool impair_in(struct impair *i, struct prng *prng, struct rte_mbuf *m)
{
	if (i->set.cut_in || happens(prng, i->set.loss_ppm)) {
		i->dropped++;
		return false;
	}
	if (happens(prng, i->set.corrupt_ppm))
		flip_bit(i, prng, m);
	return true;
}

static void record(struct impair *i, struct rte_mempool *pool, struct rte_mbuf *m)
{
	struct rte_mbuf **slot = &i->record[i->recorded / RECORD_EVERY % IMPAIR_RECORDS];

	if (!i->records || i->recorded++ % RECORD_EVERY)
		return;
	rte_pktmbuf_free(*slot);
	*slot = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
}

/* A recording of any age. */
static struct rte_mbuf *recording(const struct impair *i, struct prng *prng,
				  struct rte_mempool *pool)
{
	struct rte_mbuf *m = i->record[prng_below(prng, IMPAIR_RECORDS)];

	return m ? rte_pktmbuf_copy(m, pool, 0, UINT32_MAX) : NULL;
}

/** Now or later. */
static void pass(struct impair *i, struct prng *prng, struct rte_mbuf *m, uint64_t now,
		 void (*emit)(void *context, struct rte_mbuf *m), void *context)
{
	if (i->n_late < IMPAIR_LATE_MAX && happens(prng, i->set.late_ppm)) {
		i->late[i->n_late].m = m;
		i->late[i->n_late++].due_ns =
			now + prng_below(prng, i->set.late_us * NSEC_PER_USEC + 1);
		return;
	}
	emit(context, m);
}

void impair_out(struct impair *i, struct prng *prng, struct rte_mempool *pool, struct rte_mbuf *m,
		uint64_t now, void (*emit)(void *context, struct rte_mbuf *m), void *context)
{
	struct rte_mbuf *more = NULL, *old = NULL;

	record(i, pool, m);
	if (i->set.cut_out || happens(prng, i->set.loss_ppm)) {
		i->dropped++;
		rte_pktmbuf_free(m);
		return;
	}
	if (happens(prng, i->set.replay_ppm))
		old = recording(i, prng, pool);
	if (happens(prng, i->set.dup_ppm))
		more = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);
	if (happens(prng, i->set.corrupt_ppm))
		flip_bit(i, prng, m);
	pass(i, prng, m, now, emit, context);
	if (more)
		pass(i, prng, more, now, emit, context);
	if (old) {
		i->replayed++;
		emit(context, old);
	}
}

void impair_poll(struct impair *i, uint64_t now, void (*emit)(void *context, struct rte_mbuf *m),
		 void *context)
{
	for (unsigned k = i->n_late; k-- > 0;) {
		struct rte_mbuf *m = i->late[k].m;

		if (i->late[k].due_ns > now)
			continue;
		i->late[k] = i->late[--i->n_late];
		emit(context, m);
	}
}
