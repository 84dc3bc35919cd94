/* SPDX-License-Identifier: BSD-3-Clause */
/* A node that is configured otherwise is not heard, and nobody forms a cluster beside it. */
#include <criterion/criterion.h>

#include "brain_cluster.h"
#include "brain_internal.h"

#define A 0u
#define B 1u
#define C 2u

Test(brain_config, a_node_with_another_configuration_is_not_heard_and_is_told_once)
{
	struct cluster *c = cluster_start(3);

	cluster_run(c, MS(60));
	cr_assert_eq(brain_view(c->node[A].brain)->members, 7);
	node_dies(c, C);
	cluster_boot(c, C);
	c->node[C].brain->config_digest++;
	cluster_run(c, MS(200));
	cr_expect_eq(brain_view(c->node[A].brain)->members, 3);
	cr_expect_eq(brain_view(c->node[C].brain)->epoch, 0);
	cr_expect_eq(c->node[A].notes[NOTE_CONFIG_DIFFERS], 1);
	cr_expect_eq(c->node[C].notes[NOTE_CONFIG_DIFFERS], 2, "of a and of b");
	cluster_end(c);
}

Test(brain_config, nobody_forms_beside_a_node_with_another_configuration)
{
	struct cluster *c = cluster_start(3);

	/* To a and b, c is no voter; their own two are all that they need. */
	c->node[C].brain->config_digest++;
	for (unsigned k = A; k <= B; k++)
		c->node[k].brain->config.voters = c->node[k].brain->agree_config.voters = 3;
	cluster_run(c, MS(100));
	cr_expect_eq(brain_view(c->node[A].brain)->epoch, 0);
	node_dies(c, C);
	cluster_run(c, MS(100));
	cr_expect_neq(brain_view(c->node[A].brain)->epoch, 0);
	cluster_end(c);
}

Test(brain_config, the_digest_tells_what_must_be_equal_and_nothing_else)
{
	struct brain_config base = {.n_nodes = 3,
				    .n_instances = 1,
				    .voters = 7,
				    .lease_ns = 5,
				    .guard_ns = 1,
				    .rate_ppm = 200,
				    .names = 9};
	struct brain_config other = base;
	uint64_t digest = brain_config_digest(&base);

	other.self = 2;
	other.interval_ns = 77;
	cr_expect_eq(brain_config_digest(&other), digest);
	other = base;
	other.voters = 3;
	cr_expect_neq(brain_config_digest(&other), digest);
	other = base;
	other.lease_ns = 6;
	cr_expect_neq(brain_config_digest(&other), digest);
	other = base;
	other.names = 8;
	cr_expect_neq(brain_config_digest(&other), digest);
}
