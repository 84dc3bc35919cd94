/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Light components: ports, links, cores, flow shards, by the hundred thousand. They have no
 * instances, so no gates, lanes or workers: they are what their owner says in a request (request.h)
 * and nothing else. Those with instances (local.h) come through the socket; only what an owner may
 * say of them without being asked passes here, too.
 *
 * Poll loop's, or start's before the loop runs. Nothing here blocks, allocates or tells events.
 */
#ifndef HAVEN_LIGHT_H
#define HAVEN_LIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "owner.h"
#include "rcu.h"
#include "registry.h"
#include "request.h"

/** light_request(): the handle is that of a component with instances: the caller's business. */
#define LIGHT_LOCAL 1

struct light {
	struct registry *registry;
	struct rcu_domain *rcu;
	char release[HAVEN_NAME_MAX]; /**< of components that name none */
	/** By cluster-wide instance: handle of an adopted component that served it and whose owner
	 *  has not claimed it yet (light_pending() says whether that still is so), 0: none. */
	uint64_t adopted[HAVEN_INSTANCES_MAX];
	struct owner_books owners;
};

/** What a sweep has finished. */
struct light_done {
	int32_t pid; /**< 0: nothing is finished yet */
	bool ended;  /**< the process has provably ended */
	uint32_t count;
};

/** Books for a registry without components. Returns 0 or -HAVEN_ENOMEM. */
int light_new(struct light *l, struct registry *r, struct rcu_domain *rcu, const char *release);
void light_free(struct light *l);

/** 1 to 31 characters of a-z 0-9 _ . - and a zero within HAVEN_NAME_MAX bytes. */
bool light_name_valid(const char *name);
/**
 * Carry out a request of a process that is attached. `replay`: an earlier node may have carried it
 * out already, unheard. Then an add finds its own component and a removal nothing, and both are
 * good (N4 in request.h).
 * Returns the result for the reply and `*handle` for it; or LIGHT_LOCAL.
 */
int light_request(struct light *l, uint16_t process, const struct request *r, bool replay,
		  uint64_t now, uint64_t *handle);
/** What the owner of a component with instances may change of it: health, load, weight, formats,
 *  dependencies. Returns 0 or -HAVEN_EINVAL, and then nothing is changed. */
int light_attributes(struct registry_component *c, const struct request *r);

/** Remove components of a process that leaves, `budget` at most. Returns how many. */
unsigned light_sweep(struct light *l, unsigned budget, struct light_done *done);
/** Take the mark REGISTRY_PENDING from components whose owner is back, `budget` at most. Returns
 *  how many were looked at. */
unsigned light_claim(struct light *l, unsigned budget, uint64_t now, struct light_done *done);

/** An adopted component with instances that is still pending, NULL: it is not. */
const struct registry_hot *light_pending(const struct light *l, uint64_t handle);
/** Whether a component named so is about to be removed with its process: then another one may have
 *  the name soon. */
bool light_name_leaving(const struct light *l, const char *name);

#endif
