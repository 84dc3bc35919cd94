/* SPDX-License-Identifier: BSD-3-Clause */
/** havenctl registry watch: the ring of changes of each registry. */
#include <inttypes.h>
#include <stdio.h>

#include "command.h"
#include "follow.h"
#include "model.h"
#include "session.h"

struct watcher {
	struct context *context;
	struct session session;
	uint64_t position[SESSION_NODES_MAX];
	uint64_t left; /**< changes still to be shown */
};

static const char *const change_names[REGISTRY_CHANGE_KINDS] = {
	[REGISTRY_ADDED] = "added", [REGISTRY_UPDATED] = "updated", [REGISTRY_REMOVED] = "removed"};

static const char *change_name(uint32_t kind)
{
	return kind < REGISTRY_CHANGE_KINDS ? change_names[kind] : "?";
}

static void show_notice(const struct watcher *w, const struct node *n, const char *kind,
			uint64_t missed, const char *text)
{
	json_t *o;

	if (!w->context->out.json) {
		printf("--  %s: %s\n", node_name(n), text);
		return;
	}
	o = json_object();
	put_text(o, "schema", "registry-change/1");
	put_text(o, "node", node_name(n));
	put_text(o, "kind", kind);
	if (missed)
		put_count(o, "missed", missed);
	put_text(o, "text", text);
	output_json_line(o);
}

/* The change and, unless it took the component away, what the component is now. */
static void show_change(const struct watcher *w, const struct node *n, uint64_t seq,
			const struct registry_change *change)
{
	struct registry_component c;
	bool there = registry_get_copy(&n->registry, change->handle, &c) == 0;
	json_t *o = json_object();

	put_text(o, "schema", "registry-change/1");
	put_text(o, "node", node_name(n));
	put_text(o, "kind", change_name(change->kind));
	put_count(o, "seq", seq);
	put_text(o, "name", change->name);
	put_count(o, "handle", change->handle);
	put_count(o, "slot", change->slot);
	if (there)
		json_object_set_new(o, "now", model_component(n, &c));
	else
		put_null(o, "now");
	if (w->context->out.json) {
		output_json_line(o);
		return;
	}
	printf("%s  %" PRIu64 "  %-8s %s", node_name(n), seq, get_text(o, "kind"),
	       get_text(o, "name"));
	if (there)
		printf(": now %s, health %s, load %" PRIu64 " ppm",
		       get_text(json_object_get(o, "now"), "state"),
		       get_text(json_object_get(o, "now"), "health"),
		       get_count(json_object_get(o, "now"), "load_ppm"));
	putchar('\n');
	json_decref(o);
}

/* One round over the ring at most, so that a busy node does not hide the others. */
static void show_node(struct watcher *w, unsigned i)
{
	const struct node *n = w->session.node[i];
	uint64_t missed = 0, told = 0, seq;
	struct registry_change change;

	if (!node_readable(n))
		return;
	for (uint32_t k = 0; k < n->registry.shape.changes && w->left; k++) {
		char text[128];

		seq = registry_watch_read(&n->registry, &w->position[i], &change, &missed);
		if (missed != told) {
			snprintf(text, sizeof(text),
				 "missed %" PRIu64 " changes, overwritten before they could be "
				 "read: list the components again",
				 missed - told);
			show_notice(w, n, "missed", missed - told, text);
			told = missed;
		}
		if (!seq)
			break;
		show_change(w, n, seq, &change);
		w->left--;
	}
	fflush(stdout);
}

/* As events does it: once the new file is there nobody writes the old ring. */
static void turn(struct watcher *w, bool look)
{
	unsigned known = w->session.n;

	for (unsigned i = 0; i < known; i++) {
		bool replaced = look && node_replaced(w->session.node[i]);

		show_node(w, i);
		if (!replaced || !session_reopen(&w->session, i))
			continue;
		w->position[i] = 0;
		show_notice(w, w->session.node[i], "reopened", 0,
			    "havend was started again, following its new registry");
	}
	if (look)
		session_rescan(&w->session);
}

static bool lives(const struct node *n)
{
	return n->condition == NODE_RUNNING || n->condition == NODE_HUNG;
}

static void watch(struct watcher *w, const uint64_t *since)
{
	bool living = false;

	for (unsigned i = 0; i < w->session.n; i++) {
		const struct node *n = w->session.node[i];

		living |= lives(n);
		w->position[i] = since ? *since : lives(n) ? registry_changes(&n->registry) : 0;
	}
	follow_begin();
	for (unsigned k = 0; w->left && follow_on(); k++) {
		turn(w, living && k % FOLLOW_RESCAN_TURNS == 0);
		if (!living || (w->left && !follow_wait()))
			return;
	}
}

static int watch_run(struct context *c)
{
	struct watcher w = {.context = c};
	uint64_t since;
	int code;

	if (!option_number(c, "since", 0, &since) ||
	    !option_number(c, "count", UINT64_MAX, &w.left))
		return EXIT_USAGE;
	if (c->n_args) {
		c->run_dirs[0] = c->args[0];
		c->n_run_dirs = 1;
	}
	code = session_open(&w.session, c);
	if (!code)
		watch(&w, option_given(c, "since") ? &since : NULL);
	session_close(&w.session);
	return code;
}

static const struct option_spec watch_options[] = {
	{"since", 0, "SEQ", "begin after this number (of each registry); 0: with the first"},
	{"count", 0, "N", "end after N changes"},
	{0},
};

const struct command command_registry_watch = {
	.name = "registry watch",
	.arguments = "[FILE]",
	.args_max = 1,
	.objects = "file",
	.summary = "follow what is added, updated and removed",
	.details =
		"Show each change of the components as the nodes make it, from now on, until it is "
		"interrupted, also across restarts of a node. With --json each line is one object, "
		"written at once. Changes that were overwritten before they could be read are "
		"counted and told. When none of the nodes read lives (FILE may be a copied "
		"registry), what the rings still hold is shown.",
	.options = watch_options,
	.run = watch_run,
};
