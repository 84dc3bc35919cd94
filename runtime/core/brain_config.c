/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nodes of one cluster must agree on who votes, on how long promises last and on what a number
 * means: two that differ could each find a majority of its own. So every beat carries a digest of
 * that, and a beat with another one is not heard: such a node falls silent here, and is told.
 *
 * Nor does anybody form a cluster while such beats come: the others may be a majority by their own
 * configuration, and serve. A view that exists goes on, since it needs a majority of this
 * configuration that remembers it.
 */
#include "brain_internal.h"
#include "hash.h"

uint64_t brain_config_digest(const struct brain_config *c)
{
	const uint64_t must[] = {c->n_nodes,  c->n_instances, c->voters, c->lease_ns,
				 c->guard_ns, c->rate_ppm,    c->names};

	return hash_bytes(must, sizeof(must), 0x636f6e6669677572ull);
}

bool brain_config_differs(struct brain *b, const struct frame *f, struct brain_outputs *out)
{
	uint64_t its = f->u.beat.config;

	if (f->type != FRAME_BEAT || its == b->config_digest)
		return false;
	b->differs_ns = b->now;
	if (b->differs[f->src] != its) {
		b->differs[f->src] = its;
		brain_note(b, out, NOTE_CONFIG_DIFFERS, 0xff, f->src, its, b->config_digest);
	}
	return true;
}

bool brain_config_disputed(const struct brain *b)
{
	return b->differs_ns && b->now - b->differs_ns <= lease_promise_ns(&b->agree_config.terms);
}
