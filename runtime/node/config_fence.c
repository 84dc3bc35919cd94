/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the configuration says about two voters without a third: the keys two_voters and fence.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "config_yaml.h"

#define TIMEOUT_DEFAULT_NS (10 * NSEC_PER_SEC)

void config_take_two_voters(struct config_reader *r, yaml_node_t *v)
{
	static const char *const words[] = {"refuse", "operator", "fence"};
	int word = config_word(r, v, "two_voters", words, HAVEN_ARRAY_LEN(words));

	r->config->two_voters_mark = config_mark_of(v);
	r->config->two_voters = word < 0 ? CONFIG_REFUSE : (enum config_two_voters)word;
}

static void take_argument(struct config_reader *r, yaml_node_t *v)
{
	struct config_fence *f = &r->config->fence;

	if (config_text(r, v, "fence.command", f->argument[f->n_arguments], CONFIG_PATH_MAX))
		f->n_arguments++;
}

static void take_command(struct config_reader *r, yaml_node_t *v)
{
	struct config_fence *f = &r->config->fence;

	f->command_mark = config_mark_of(v);
	config_sequence(r, v, "arguments of fence.command", CONFIG_ARGUMENTS_MAX, take_argument);
	if (v->type == YAML_SEQUENCE_NODE && !f->n_arguments)
		config_note(r->config, false, f->command_mark,
			    "command: [/usr/local/sbin/fence-peer]",
			    "fence.command names no program");
	if (f->n_arguments && f->argument[0][0] != '/')
		config_note(r->config, false, f->command_mark, "give its absolute path",
			    "fence.command '%.200s' is not an absolute path", f->argument[0]);
}

static void take_timeout(struct config_reader *r, yaml_node_t *v)
{
	config_duration(r, v, "timeout", &r->config->fence.timeout_ns);
}

/* Zero is a delay, too. */
static void take_delay(struct config_reader *r, yaml_node_t *v)
{
	struct config_fence *f = &r->config->fence;
	const char *text = v->type == YAML_SCALAR_NODE ? (const char *)v->data.scalar.value : "";

	f->delay_given = true;
	if (strcmp(text, "0") != 0 && strcmp(text, "0s") != 0)
		config_duration(r, v, "delay", &f->delay_ns);
}

void config_take_fence(struct config_reader *r, yaml_node_t *v)
{
	static const struct config_key keys[] = {
		{"command", take_command, true, "command: [/usr/local/sbin/fence-peer]"},
		{"timeout", take_timeout, false, NULL},
		{"delay", take_delay, false, NULL},
	};

	r->config->fence.given = true;
	r->config->fence.mark = config_mark_of(v);
	config_mapping(r, v, "fence", keys, HAVEN_ARRAY_LEN(keys));
}

/* ---- rules ------------------------------------------------------------------------------------
 */

void config_check_two_voters(struct config *c, unsigned voters)
{
	struct config_fence *f = &c->fence;

	if (!f->timeout_ns)
		f->timeout_ns = TIMEOUT_DEFAULT_NS;
	if (!f->delay_given)
		f->delay_ns = f->timeout_ns;
	if (c->two_voters != CONFIG_REFUSE && voters != 2)
		config_note(c, false, c->two_voters_mark, "remove 'two_voters'",
			    "two_voters: %s is for exactly two voters, here are %u",
			    c->two_voters == CONFIG_FENCE ? "fence" : "operator", voters);
	if (c->two_voters == CONFIG_FENCE && !f->given)
		config_note(c, false, c->two_voters_mark,
			    "fence: {command: [/usr/local/sbin/fence-peer]}",
			    "two_voters: fence needs the key 'fence' with a command");
	if (c->two_voters != CONFIG_FENCE && f->given)
		config_note(c, false, f->mark, "two_voters: fence, or remove 'fence'",
			    "'fence' is used with two_voters: fence alone");
	if (voters == 2 && c->two_voters == CONFIG_OPERATOR)
		config_note(c, true, c->two_voters_mark, "add a witness node (witness: true)",
			    "two voters: when one falls silent the other stands still until an "
			    "operator has looked and says havenctl confirm-dead");
	if (voters == 2 && c->two_voters == CONFIG_FENCE)
		config_note(c, true, c->two_voters_mark, "add a witness node (witness: true)",
			    "two voters: when one falls silent the other stands still until the "
			    "fence command has cut it off; a command that says so and did not "
			    "lets both go on");
}

void config_check_fence(struct config *c)
{
	const char *path = c->fence.argument[0];
	struct stat st;

	if (path[0] != '/')
		return;
	if (stat(path, &st) != 0)
		config_note(c, false, c->fence.command_mark, "install it on this node",
			    "fence.command %.200s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0)
		config_note(c, false, c->fence.command_mark, "chmod 0755",
			    "fence.command %.200s is not a program that this user may run", path);
	else if (st.st_uid != 0 && st.st_uid != geteuid())
		config_note(c, false, c->fence.command_mark, "chown root",
			    "fence.command %.200s belongs to user %u, neither root nor the "
			    "node's user",
			    path, (unsigned)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		config_note(c, false, c->fence.command_mark, "chmod go-w",
			    "fence.command %.200s can be written by others", path);
}
