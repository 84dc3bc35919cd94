/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "message.h"
#include "model.h"
#include "session.h"

#define WAIT_POLL_NS (500 * NSEC_PER_USEC)

struct plan {
	struct context *context;
	struct session session;
	unsigned instance;     /**< number in the cluster */
	const char *name, *to; /**< `to` "": the planner's choice */
	char from[HAVEN_NAME_MAX];
	json_t *json;
	bool feasible;
};

static int find_instance(struct plan *p)
{
	const struct node *best = model_authority(&p->session);
	const struct output *o = &p->context->out;

	if (!p->context->n_args) {
		if (best->status.n_instances != 1)
			return output_fail(o, EXIT_USAGE, "see havenctl instance list",
					   "there are %u instances: name the one to move",
					   best->status.n_instances);
		p->name = best->status.instance[0].name;
		return EXIT_GOOD;
	}
	for (unsigned i = 0; i < best->status.n_instances; i++)
		if (!strcmp(best->status.instance[i].name, p->context->args[0])) {
			p->instance = i;
			p->name = best->status.instance[i].name;
			return EXIT_GOOD;
		}
	return output_fail(o, EXIT_NO_OBJECT, "see havenctl instance list",
			   "there is no instance \"%s\"", p->context->args[0]);
}

static int find_target(const struct node *n, const char *name)
{
	for (unsigned i = 0; i < n->status.n_nodes; i++)
		if (!strcmp(n->status.peer[i].name, name))
			return (int)i;
	return -1;
}

static void check(struct plan *p, bool good, const char *name, const char *text)
{
	json_t *o = json_object();

	put_text(o, "check", name);
	put_yes(o, "good", good);
	put_text(o, "text", text);
	json_array_append_new(json_object_get(p->json, "checks"), o);
	p->feasible = p->feasible && good;
}

static void check_target(struct plan *p, const struct node *n, unsigned to)
{
	const struct registry_instance *in = &n->status.instance[p->instance];
	const struct registry_peer *peer = &n->status.peer[to];
	bool synced = (in->in_sync >> to) & 1;
	char text[160];

	snprintf(text, sizeof(text), "%s is %s", peer->name,
		 peer->self || peer->alive ? "heard" : "silent");
	check(p, peer->self || peer->alive, "target-alive", text);
	snprintf(text, sizeof(text), "%s is %s of the view", peer->name,
		 peer->member ? "a member" : "no member");
	check(p, peer->member, "target-member", text);
	if (synced)
		snprintf(text, sizeof(text), "%s is in sync", peer->name);
	else if ((in->assigned >> to) & 1)
		snprintf(text, sizeof(text), "%s is still being synchronised, %u %%", peer->name,
			 in->sync_percent);
	else
		snprintf(text, sizeof(text), "%s holds no replica of %s", peer->name, p->name);
	check(p, synced, "target-in-sync", text);
}

/* What would be done and what stands against it. The node decides; this tells beforehand. */
static int make_plan(struct plan *p)
{
	const struct node *n = model_witness_of(&p->session, p->instance);
	const struct registry_instance *in = &n->status.instance[p->instance];
	uint32_t others = in->in_sync;
	int to = *p->to ? find_target(n, p->to) : -1;

	if (*p->to && to < 0)
		return output_fail(&p->context->out, EXIT_NO_OBJECT, "see havenctl node list",
				   "there is no node \"%s\"", p->to);
	p->json = json_object();
	p->feasible = true;
	put_text(p->json, "instance", p->name);
	json_object_set_new(p->json, "checks", json_array());
	if (in->holder >= HAVEN_NODES_MAX) {
		put_null(p->json, "from");
		check(p, false, "served", "nobody serves it");
		return EXIT_GOOD;
	}
	snprintf(p->from, sizeof(p->from), "%s", node_peer_name(n, in->holder));
	put_text(p->json, "from", p->from);
	others &= ~(UINT32_C(1) << in->holder);
	if (to >= 0)
		check_target(p, n, (unsigned)to);
	else
		check(p, others, "any-in-sync",
		      others ? "a secondary is in sync" : "no secondary is in sync");
	if (to < 0 && others)
		put_text(p->json, "to", node_peer_name(n, (unsigned)__builtin_ctz(others)));
	else if (to >= 0)
		put_text(p->json, "to", p->to);
	else
		put_null(p->json, "to");
	return EXIT_GOOD;
}

static void show_plan(const struct plan *p)
{
	const json_t *checks = json_object_get(p->json, "checks");

	printf("plan: move %s from %s to %s\n", p->name, *p->from ? p->from : "nobody",
	       *get_text(p->json, "to") ? get_text(p->json, "to") : "nobody");
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *o = json_array_get(checks, i);

		printf("  %s  ", get_yes(o, "good") ? "ok " : "NO ");
		output_fold(get_text(o, "text"), 7, 7);
	}
	fflush(stdout);
}

static int ask(const struct plan *p)
{
	char answer[8] = "";

	if (option_given(p->context, "yes"))
		return EXIT_GOOD;
	if (p->context->out.json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return output_fail(&p->context->out, EXIT_USAGE,
				   "give --yes, or --dry-run to look first",
				   "nobody can be asked here whether to go on");
	printf("go on? [y/N] ");
	fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_GOOD;
	return output_fail(&p->context->out, EXIT_REFUSED, NULL, "nothing was done");
}

static int command_node(struct plan *p)
{
	const struct node *n = *p->from ? model_visible(&p->session, p->from) : NULL;
	struct error_text error = {""};
	struct message m = {.type = MESSAGE_SWITCHOVER};
	char hint[160];
	int socket, result;

	if (!n || n->condition != NODE_RUNNING)
		n = model_authority(&p->session);
	socket = message_connect(n->path, &error);
	if (socket < 0)
		return output_fail(&p->context->out, exit_of_error(socket), "see havenctl status",
				   "node %s cannot be asked: %s", node_name(n), error.text);
	m.version = MESSAGE_VERSION;
	m.size = sizeof(m);
	snprintf(m.u.switchover.instance, sizeof(m.u.switchover.instance), "%s", p->name);
	snprintf(m.u.switchover.to, sizeof(m.u.switchover.to), "%s", p->to);
	result = message_call(socket, &m, -1, NULL, (int)(p->context->timeout_ns / NSEC_PER_MSEC),
			      &error);
	close(socket);
	if (!result)
		return EXIT_GOOD;
	if (*p->from && strcmp(node_name(n), p->from))
		snprintf(hint, sizeof(hint),
			 "ask node %s, which serves it: havenctl there, or its "
			 "run directory with --run-dir",
			 p->from);
	else
		snprintf(hint, sizeof(hint), "see havenctl status");
	return output_fail(&p->context->out, exit_of_error(result), hint, "node %s: %s",
			   node_name(n), error.text[0] ? error.text : error_sentence(result));
}

/* True when somebody else than before serves the instance, with an open gate where it is seen. */
static bool moved(struct plan *p, char *to, size_t size)
{
	const struct node *n, *own;
	unsigned holder;

	for (unsigned i = 0; i < p->session.n; i++)
		node_refresh(p->session.node[i]);
	n = model_witness_of(&p->session, p->instance);
	holder = n->status.instance[p->instance].holder;
	if (holder >= HAVEN_NODES_MAX)
		return false;
	snprintf(to, size, "%s", node_peer_name(n, holder));
	if (!strcmp(to, p->from) || (*p->to && strcmp(to, p->to)))
		return false;
	own = model_visible(&p->session, to);
	return !own || own->condition != NODE_RUNNING || node_gate_open(own, p->instance);
}

static int wait_moved(struct plan *p, uint64_t begin, char *to, size_t size)
{
	const struct timespec pause = {.tv_nsec = WAIT_POLL_NS};

	while (!moved(p, to, size)) {
		if (clock_now_ns() - begin > p->context->timeout_ns)
			return output_fail(&p->context->out, EXIT_TIMEOUT,
					   "see havenctl status and events",
					   "%s was accepted to move but is still served by %s",
					   p->name, *to ? to : "nobody");
		nanosleep(&pause, NULL);
	}
	return EXIT_GOOD;
}

static int carry_out(struct plan *p)
{
	bool waiting = !option_given(p->context, "no-wait");
	char to[HAVEN_NAME_MAX] = "", took[32];
	uint64_t begin, end;
	int code = ask(p);

	begin = clock_now_ns();
	if (!code)
		code = command_node(p);
	if (!code && waiting)
		code = wait_moved(p, begin, to, sizeof(to));
	if (code)
		return code;
	end = clock_now_ns();
	put_yes(p->json, "accepted", true);
	put_yes(p->json, "done", waiting);
	put_count(p->json, "took_ns", end - begin);
	if (waiting)
		put_text(p->json, "to", to);
	if (p->context->quiet || p->context->out.json)
		return EXIT_GOOD;
	if (waiting)
		printf("done: %s is served by %s, %s after the request\n", p->name, to,
		       format_duration(end - begin, took, sizeof(took)));
	else
		printf("accepted\n");
	return EXIT_GOOD;
}

static int switchover_plan(struct plan *p)
{
	const struct output *o = &p->context->out;
	bool dry = option_given(p->context, "dry-run");
	bool there;
	int code = find_instance(p);

	if (!code)
		code = make_plan(p);
	if (code)
		return code;
	there = *p->to && !strcmp(p->to, p->from);
	put_yes(p->json, "dry_run", dry);
	put_yes(p->json, "feasible", there || p->feasible);
	if (!o->json && !p->context->quiet && !there)
		show_plan(p);
	if (there && !o->json && !p->context->quiet)
		printf("%s is served by %s already: nothing to do\n", p->name, p->to);
	if (there)
		put_yes(p->json, "done", true);
	else if (!dry)
		code = carry_out(p);
	if (o->json && !p->context->quiet && !code)
		output_json("switchover/1", json_incref(p->json));
	if (dry && !there && !p->feasible)
		code = output_fail(o, EXIT_REFUSED, "see the plan", "%s cannot be moved now",
				   p->name);
	return code;
}

static int switchover_run(struct context *c)
{
	struct plan p = {.context = c, .to = option_text(c, "to", "")};
	int code = session_open(&p.session, c);

	if (!code && model_authority(&p.session)->condition != NODE_RUNNING)
		code = output_fail(&c->out, EXIT_NOT_RUNNING, "see havenctl status",
				   "no node runs here that could be asked");
	if (!code)
		code = switchover_plan(&p);
	json_decref(p.json);
	session_close(&p.session);
	return code;
}

static const struct option_spec switchover_options[] = {
	{"to", 0, "NODE", "the new holder (default: the planner chooses an in-sync secondary)"},
	{"wait", 0, NULL, "wait until the new holder acts (the default)"},
	{"no-wait", 0, NULL, "end as soon as the node has accepted"},
	{"dry-run", 0, NULL, "show the plan and its checks, do nothing"},
	{"yes", 0, NULL, "do not ask"},
	{0},
};

const struct command command_switchover = {
	.name = "switchover",
	.arguments = "[INSTANCE]",
	.args_max = 1,
	.objects = "instance",
	.summary = "move an instance to another node, in order",
	.details = "Show the plan, ask, then give the request to the node that serves the instance "
		   "and "
		   "wait until the new holder acts, or for --timeout. Without a terminal --yes is "
		   "needed. "
		   "The instance may be left out when there is only one. The node decides: a "
		   "refusal says "
		   "which check failed.",
	.options = switchover_options,
	.run = switchover_run,
};
