/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an operator wants of a checkpoint: to look into it, and to have a snapshot put back.
 *
 * A lane has one writer. While the component is primary that is the application's worker, so the
 * node restores nothing: it shows in the registry that something is to be restored, hands the file
 * to the application when that asks, and answers the operator when the application says it is done.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "node.h"

/** An application that restores at all asks within this time. Shorter than what havenctl waits, so
 *  that its user hears the reason. */
#define TAKE_NS (4 * NSEC_PER_SEC)

static struct local_table *checkpoint_find(struct haven_node *n, const char *instance,
					   const char *name, struct local_component **owner)
{
	for (unsigned k = 0; k < n->local.n_components; k++) {
		struct local_component *c = n->local.component[k];

		for (unsigned j = 0; j < c->n_tables; j++) {
			struct local_table *t = c->table[j];
			unsigned i = c->object.hot.instance_first + t->instance;

			if (strcmp(n->config->instance[i], instance) == 0 &&
			    strcmp(t->table.geometry.shape.name, name) == 0) {
				*owner = c;
				return t;
			}
		}
	}
	return NULL;
}

static void answer_unknown(struct haven_node *n, struct command *c, const char *instance,
			   const char *name)
{
	struct error_text error;

	error_set(&error, HAVEN_ENOENT, "no component here has a checkpoint %s of instance %s",
		  name, instance);
	local_answer(n, c, -HAVEN_ENOENT, error.text);
}

void local_table_command(struct haven_node *n, struct command *c)
{
	struct local_component *owner;
	const struct local_table *t =
		checkpoint_find(n, c->message.u.table.instance, c->message.u.table.name, &owner);

	if (!t) {
		answer_unknown(n, c, c->message.u.table.instance, c->message.u.table.name);
		return;
	}
	c->message.u.table.shape = t->table.geometry.shape;
	c->message.u.table.lane_first = t->lane_first;
	/* The control thread answers before it can come to freeing the table. */
	c->reply_fd = t->read_fd;
	local_answer(n, c, 0, NULL);
}

/* ---- restore -------------------------------------------------------------------------------- */

static int restore_refusal(const struct haven_node *n, const struct local_component *c,
			   const struct local_table *t, struct error_text *error)
{
	const char *instance = n->config->instance[c->object.hot.instance_first + t->instance];

	if (n->local.restore.waiting)
		return error_set(error, HAVEN_EAGAIN, "another snapshot is being restored");
	if (c->state != LOCAL_READY)
		return error_set(error, HAVEN_EREFUSED, "component %s is not ready",
				 c->object.hot.name);
	if (c->gate[t->instance].role != HAVEN_PRIMARY)
		return error_set(
			error, HAVEN_EREFUSED,
			"component %s is not primary for instance %s, and only the primary "
			"writes; remedy: give the command to the node that serves it",
			c->object.hot.name, instance);
	return 0;
}

void local_restore_command(struct haven_node *n, struct command *c, uint64_t now)
{
	struct local_restore *r = &n->local.restore;
	const char *instance = c->message.u.restore.instance, *name = c->message.u.restore.name;
	struct local_component *owner;
	struct local_table *t = checkpoint_find(n, instance, name, &owner);
	struct error_text error;
	int err;

	if (!t) {
		answer_unknown(n, c, instance, name);
		return;
	}
	err = restore_refusal(n, owner, t, &error);
	if (err) {
		local_answer(n, c, err, error.text);
		return;
	}
	r->waiting = c;
	r->component = owner;
	r->table = t;
	r->taken = false;
	r->take_by_ns = now + TAKE_NS;
	r->number = r->number == UINT32_MAX ? 1 : r->number + 1;
	store_release(&n->registry.checkpoints[t->lane_first].restore, r->number);
}

/* Answer the operator. Whoever comes later with this number is told that nobody waits. */
static void restore_end(struct haven_node *n, int result, const char *text)
{
	struct local_restore *r = &n->local.restore;
	struct command *c = r->waiting;

	store_release(&n->registry.checkpoints[r->table->lane_first].restore, 0);
	r->waiting = NULL;
	local_answer(n, c, result, text);
}

void local_restore_application(struct haven_node *n, struct command *c)
{
	struct local_restore *r = &n->local.restore;
	bool take = c->kind == COMMAND_RESTORE_TAKE;
	struct command *waiting = r->waiting;

	if (!waiting || r->component->client != c->client ||
	    c->message.u.restore.number != r->number || (take == r->taken)) {
		local_answer(n, c, -HAVEN_ESTALE, "nobody waits for this to be restored");
		return;
	}
	if (take) {
		r->taken = true;
		c->message.u.restore = waiting->message.u.restore;
		c->message.u.restore.number = r->number;
		/* Open until the waiting command goes back, which is after this one. */
		c->reply_fd = waiting->fd;
		local_answer(n, c, 0, NULL);
		return;
	}
	waiting->message.u.restore.entries = c->message.u.restore.entries;
	restore_end(n, c->message.u.restore.result < 0 ? c->message.u.restore.result : 0,
		    c->message.u.restore.result < 0 ? c->message.u.restore.why : NULL);
	local_answer(n, c, 0, NULL);
}

void local_restore_drop(struct haven_node *n, const struct local_component *c)
{
	if (n->local.restore.waiting && (!c || n->local.restore.component == c))
		restore_end(n, -HAVEN_EREFUSED,
			    "the component has left or failed; what it had put back by then is "
			    "put back");
}

void local_restore_scan(struct haven_node *n, uint64_t now)
{
	struct local_restore *r = &n->local.restore;

	if (r->waiting && !r->taken && now >= r->take_by_ns)
		restore_end(n, -HAVEN_ETIMEDOUT,
			    "the application does not take it: it has to ask, "
			    "haven_restore_wanted()");
}
