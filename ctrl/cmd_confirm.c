/* SPDX-License-Identifier: BSD-3-Clause */
/** confirm-dead: an operator's word that the other of two voters is dead. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "message.h"
#include "model.h"
#include "session.h"

static int confirm_ask(const struct context *c)
{
	char answer[8] = "";

	if (option_given(c, "yes"))
		return EXIT_GOOD;
	if (c->out.json || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return output_fail(&c->out, EXIT_USAGE,
				   "give --yes when the node's power is off or its ports are shut",
				   "nobody can be asked here whether %s is really dead",
				   c->args[0]);
	printf("If %s still runs and reaches clients, work is done twice and state is lost.\n"
	       "Is its power off, or are all of its ports shut? [y/N] ",
	       c->args[0]);
	fflush(stdout);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_GOOD;
	return output_fail(&c->out, EXIT_REFUSED, NULL, "nothing was done");
}

static int confirm_tell(const struct context *c, const struct node *n)
{
	struct message m = {.type = MESSAGE_CONFIRM_DEAD};
	struct error_text error = {""};
	int result, socket = message_connect(n->path, &error);

	if (socket < 0)
		return output_fail(&c->out, exit_of_error(socket), "see havenctl status",
				   "node %s cannot be asked: %s", node_name(n), error.text);
	snprintf(m.u.confirm.node, sizeof(m.u.confirm.node), "%s", c->args[0]);
	snprintf(m.u.confirm.why, sizeof(m.u.confirm.why), "user %u: %s", (unsigned)getuid(),
		 option_text(c, "because", "no reason given"));
	result = message_call(socket, &m, -1, NULL, (int)(c->timeout_ns / NSEC_PER_MSEC), &error);
	close(socket);
	if (!result)
		return EXIT_GOOD;
	return output_fail(&c->out, exit_of_error(result), "see havenctl status", "node %s: %s",
			   node_name(n), error.text[0] ? error.text : error_sentence(result));
}

static int confirm_on(const struct context *c, const struct node *n)
{
	int code;

	if (n->condition != NODE_RUNNING)
		return output_fail(&c->out, EXIT_NOT_RUNNING, "see havenctl status",
				   "no node runs here that could be told");
	code = confirm_ask(c);
	if (!code)
		code = confirm_tell(c, n);
	if (code || c->quiet)
		return code;
	if (c->out.json) {
		json_t *data = json_object();

		put_text(data, "node", c->args[0]);
		put_text(data, "told", node_name(n));
		put_yes(data, "accepted", true);
		output_json("confirm-dead/1", data);
	} else {
		printf("accepted: node %s counts %s as dead until it hears it\n", node_name(n),
		       c->args[0]);
	}
	return EXIT_GOOD;
}

static int confirm_run(struct context *c)
{
	struct session s;
	int code = session_open(&s, c);

	if (!code)
		code = confirm_on(c, model_authority(&s));
	session_close(&s);
	return code;
}

static const struct option_spec confirm_options[] = {
	{"because", 0, "TEXT", "what was seen; stands in the event"},
	{"yes", 0, NULL, "do not ask"},
	{0},
};

const struct command command_confirm_dead = {
	.name = "confirm-dead",
	.arguments = "NODE",
	.args_min = 1,
	.args_max = 1,
	.summary = "say that the other one of two voters is dead",
	.details =
		"Of two voters without a witness the survivor may not go on by itself, for a cut "
		"link looks like a dead node. Make sure that the other node is off or cut off from "
		"everybody, then say so here: its vote counts as given until it is heard again. "
		"The "
		"node refuses while it hears the other one, when it remembers no view, and unless "
		"the configuration says two_voters: operator.",
	.options = confirm_options,
	.run = confirm_run,
};
