/* SPDX-License-Identifier: BSD-3-Clause */
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>
#include <urcu/urcu-qsbr.h>

#include "clock.h"
#include "node.h"

/** A set with what its reclaim needs. */
struct settings_box {
	struct rcu_head rcu;
	struct settings settings;
};

static struct settings_box *box_new(const struct haven_node *n, const struct config *c)
{
	/* Locked and left out of core dumps, for it holds keys. */
	struct settings_box *box = sodium_malloc((sizeof(*box) + 63) & ~(size_t)63);

	if (!box)
		return NULL;
	memset(box, 0, sizeof(*box));
	box->settings.busy = node_is_busy(&n->options, c);
	box->settings.stuck_ns = c->timers.stuck_ns;
	return box;
}

static void box_free(struct rcu_head *head)
{
	sodium_free(caa_container_of(head, struct settings_box, rcu));
}

int settings_begin(struct haven_node *n, struct error_text *error)
{
	struct settings_box *box = box_new(n, n->config);

	if (!box)
		return error_set(error, HAVEN_ENOMEM, "no memory for the settings");
	urcu_qsbr_register_thread();
	rcu_assign_pointer(n->settings, &box->settings);
	return 0;
}

void settings_end(struct haven_node *n)
{
	if (!n->settings)
		return;
	sodium_free(caa_container_of(n->settings, struct settings_box, settings));
	n->settings = NULL;
	urcu_qsbr_unregister_thread();
	urcu_qsbr_barrier(); /* earlier sets */
}

const struct settings *settings_now(const struct haven_node *n)
{
	return rcu_dereference(n->settings);
}

void settings_follow(struct haven_node *n)
{
	const struct settings *s = settings_now(n);

	if (s->number == n->settings_number)
		return;
	n->settings_number = s->number;
	auth_keys_exchange(n->auth, &s->keys);
}

void settings_quiescent(void)
{
	urcu_qsbr_quiescent_state();
}

/* ---- reload -----------------------------------------------------------------------------------
 */

/* Leaves only what needs a restart: places in the file, findings and settings are cleared. */
static void strip(struct config *c)
{
	const struct config_mark none = {0, 0};
	struct config_timers *t = &c->timers;

	memset(c->finding, 0, sizeof(c->finding));
	c->n_findings = c->errors = c->warnings = 0;
	c->poll_busy = false;
	t->stuck_ns = 0;
	t->mark = t->interval_mark = t->suspect_mark = t->lease_mark = none;
	t->guard_mark = t->stuck_mark = t->mirror_mark = t->hold_mark = none;
	c->key_mark = c->nodes_mark = c->two_voters_mark = none;
	c->fence.mark = c->fence.command_mark = none;
	memset(c->instance_mark, 0, sizeof(c->instance_mark));
	memset(c->registry.field_mark, 0, sizeof(c->registry.field_mark));
	c->registry.mark = c->registry.pages_mark = c->registry.numa_mark = none;
	for (unsigned i = 0; i < HAVEN_NODES_MAX; i++) {
		struct config_node *n = &c->node[i];

		n->mark = n->id_mark = n->run_dir_mark = none;
		for (unsigned k = 0; k < HAVEN_LINKS_MAX; k++)
			n->port[k].mark = n->port[k].address_mark = none;
	}
	for (unsigned i = 0; i < CONFIG_GROUPS_MAX; i++) {
		struct config_group *g = &c->group[i];

		g->mark = g->nodes_mark = g->prefer_mark = none;
		memset(g->node_mark, 0, sizeof(g->node_mark));
	}
}

/* True when the files differ in more than settings. Both were made by calloc, so that bytes between
 * fields are equal. */
static bool needs_restart(const struct config *now, const struct config *then)
{
	struct config *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	bool differs = true;

	if (a && b) {
		memcpy(a, now, sizeof(*a));
		memcpy(b, then, sizeof(*b));
		strip(a);
		strip(b);
		differs = memcmp(a, b, sizeof(*a)) != 0;
	}
	free(a);
	free(b);
	return differs;
}

static void publish(struct haven_node *n, struct settings_box *box)
{
	struct settings *old = n->settings;
	const struct auth_keys *keys = &box->settings.keys;
	char text[160];

	box->settings.number = old->number + 1;
	snprintf(text, sizeof(text),
		 "configuration read again: poll %s, stuck after %llu ms, %u keys, number %u seals",
		 box->settings.busy ? "busy" : "polite",
		 (unsigned long long)(box->settings.stuck_ns / NSEC_PER_MSEC), keys->n,
		 keys->key[keys->send].id);
	rcu_assign_pointer(n->settings, &box->settings);
	/* Not waited for: in a host application nobody promises when the loop turns again. */
	urcu_qsbr_call_rcu(&caa_container_of(old, struct settings_box, settings)->rcu, box_free);
	node_report(&n->options, HAVEN_NODE_NOTICE, text);
}

int settings_reload(struct haven_node *n)
{
	struct settings_box *box = NULL;
	struct error_text error = {"no memory for the settings"};
	struct config *c;
	int err = node_config_get(&c, &n->options);

	if (!err) {
		box = box_new(n, c);
		err = box ? auth_keys_load(c->key_file, &box->settings.keys, &error)
			  : -HAVEN_ENOMEM;
		if (err)
			node_report(&n->options, HAVEN_NODE_ERROR, error.text);
	}
	if (err && box)
		sodium_free(box);
	if (err)
		node_report(&n->options, HAVEN_NODE_WARNING,
			    "the configuration was not taken over; the node goes on as before");
	else
		publish(n, box);
	if (!err && needs_restart(n->config, c))
		node_report(&n->options, HAVEN_NODE_WARNING,
			    "the file differs from what this node runs with in more than poll and "
			    "timers.stuck; remedy: restart the node to take the rest over");
	config_free(c);
	return err;
}
