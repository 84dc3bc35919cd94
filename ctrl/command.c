/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "haven_assert.h"

const struct option_spec global_options[] = {
	{"run-dir", 0, "DIR",
	 "run directory of a node, or a directory of run directories; may be repeated "
	 "(default: $HAVEN_RUN_DIR, else /run/haven)"},
	{"json", 'j', NULL, "one JSON object on standard output, errors as JSON on standard error"},
	{"timeout", 0, "SECONDS", "how long to wait for the node or the wanted state (default 5)"},
	{"color", 0, "WHEN", "auto, always or never; NO_COLOR in the environment means never"},
	{"quiet", 'q', NULL, "print no result, only errors; the exit code tells"},
	{"help", 'h', NULL, "show help, of a command when one is given"},
	{"version", 0, NULL, "show the version"},
	{0},
};

const struct command *const commands[] = {
	&command_status,
	&command_events,
	&command_counters,
	&command_switchover,
	&command_confirm_dead,
	&command_node_list,
	&command_instance_list,
	&command_component_list,
	&command_component_show,
	&command_checkpoint_list,
	&command_checkpoint_show,
	&command_checkpoint_snapshot,
	&command_checkpoint_restore,
	&command_checkpoint_verify,
	&command_registry,
	&command_registry_verify,
	&command_registry_dump,
	&command_registry_watch,
	&command_tune,
	&command_exit_codes,
	&command_completion,
	&command_help,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

bool option_given(const struct context *c, const char *name)
{
	return option_text(c, name, NULL) != NULL;
}

const char *option_text(const struct context *c, const char *name, const char *fallback)
{
	for (unsigned i = c->n_options; i-- > 0;)
		if (!strcmp(c->option[i].spec->name, name))
			return c->option[i].value;
	return fallback;
}

bool option_number(struct context *c, const char *name, uint64_t fallback, uint64_t *out)
{
	const char *text = option_text(c, name, NULL);
	char *end;

	*out = fallback;
	if (!text)
		return true;
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-') {
		output_fail(&c->out, EXIT_USAGE, "give a whole number", "--%s: \"%s\" is no number",
			    name, text);
		return false;
	}
	return true;
}

/* Edit distance of short words, for "did you mean". */
static unsigned word_distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned row[64];

	if (n >= HAVEN_ARRAY_LEN(row) || strlen(a) >= HAVEN_ARRAY_LEN(row))
		return 64;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static const char *nearest_command(const char *word)
{
	const char *best = NULL;
	unsigned limit = 3;

	for (const struct command *const *c = commands; *c; c++) {
		unsigned d = word_distance(word, (*c)->name);
		size_t first = strcspn((*c)->name, " ");

		/* "componnet list" is compared as a whole, "componnet" with the object alone. */
		if (!strchr(word, ' ') && (*c)->name[first]) {
			char object[64];

			snprintf(object, sizeof(object), "%.*s", (int)first, (*c)->name);
			if (word_distance(word, object) < d)
				d = word_distance(word, object);
		}
		if (d < limit) {
			limit = d;
			best = (*c)->name;
		}
	}
	return best;
}

static int unknown_command(struct context *c, const char *word)
{
	const char *near = nearest_command(word);
	char hint[128];

	if (near)
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	else
		snprintf(hint, sizeof(hint), "see havenctl help");
	return output_fail(&c->out, EXIT_USAGE, hint, "there is no command \"%s\"", word);
}

static const struct option_spec *spec_find(const struct option_spec *list, const char *name,
					   size_t length, char letter)
{
	for (; list && list->name; list++)
		if (name ? strlen(list->name) == length && !memcmp(list->name, name, length)
			 : list->letter == letter)
			return list;
	return NULL;
}

static const struct option_spec *spec_any(const char *name, size_t length)
{
	const struct option_spec *spec = spec_find(global_options, name, length, 0);

	for (const struct command *const *c = commands; *c && !spec; c++)
		spec = spec_find((*c)->options, name, length, 0);
	return spec;
}

/*
 * First walk: options may stand before the command that defines them, so they are recognised in the
 * tables of all commands and checked against the chosen command afterwards.
 */
static int parse_option(struct context *c, int argc, char **argv, int *at)
{
	const char *text = argv[*at] + 1;
	const char *value = NULL;
	const struct option_spec *spec = NULL;

	if (*text == '-') {
		size_t length = strcspn(++text, "=");

		value = text[length] ? text + length + 1 : NULL;
		spec = spec_any(text, length);
	} else if (text[0] && !text[1]) {
		spec = spec_find(global_options, NULL, 0, text[0]);
	}
	if (!spec)
		return output_fail(&c->out, EXIT_USAGE, "see havenctl help",
				   "there is no option \"%s\"", argv[*at]);
	if (!spec->argument && value)
		return output_fail(&c->out, EXIT_USAGE, NULL, "--%s takes no value", spec->name);
	if (spec->argument && !value) {
		if (++*at >= argc)
			return output_fail(&c->out, EXIT_USAGE, NULL, "--%s needs a value: %s",
					   spec->name, spec->argument);
		value = argv[*at];
	}
	if (c->n_options == COMMAND_OPTIONS_MAX)
		return output_fail(&c->out, EXIT_USAGE, NULL, "too many options");
	c->option[c->n_options].spec = spec;
	c->option[c->n_options++].value = value ? value : "";
	return EXIT_GOOD;
}

static int choose_command(struct context *c, const char **word, unsigned n)
{
	const char *near;
	char name[128];
	unsigned used = 1;

	if (!n) {
		c->command = &command_status;
		return EXIT_GOOD;
	}
	c->named = true;
	c->command = NULL;
	if (n > 1) {
		snprintf(name, sizeof(name), "%s %s", word[0], word[1]);
		c->command = command_find(name);
		used = c->command ? 2 : 1;
	}
	if (!c->command) {
		/* "registry FILE" is the command "registry", but "registry verfy" a slip. */
		c->command = command_find(word[0]);
		near = c->command && n > 1 ? nearest_command(name) : NULL;
		if (near && strchr(near, ' '))
			return unknown_command(c, name);
	}
	if (!c->command) {
		snprintf(name, sizeof(name), "%s%s%s", word[0], n > 1 ? " " : "",
			 n > 1 ? word[1] : "");
		return unknown_command(c, name);
	}
	for (unsigned i = used; i < n; i++) {
		if (c->n_args == c->command->args_max)
			return output_fail(&c->out, EXIT_USAGE, NULL,
					   "one argument too many: \"%s\" (usage: havenctl %s %s)",
					   word[i], c->command->name, c->command->arguments);
		c->args[c->n_args++] = word[i];
	}
	if (c->n_args < c->command->args_min && !option_given(c, "help"))
		return output_fail(&c->out, EXIT_USAGE, NULL,
				   "an argument is missing (usage: havenctl %s %s)",
				   c->command->name, c->command->arguments);
	return EXIT_GOOD;
}

static int check_options(struct context *c)
{
	for (unsigned i = 0; i < c->n_options; i++) {
		const struct option_spec *spec = c->option[i].spec;

		if (spec_find(global_options, spec->name, strlen(spec->name), 0) ||
		    spec_find(c->command->options, spec->name, strlen(spec->name), 0))
			continue;
		return output_fail(&c->out, EXIT_USAGE, NULL, "%s has no option --%s",
				   c->command->name, spec->name);
	}
	return EXIT_GOOD;
}

static int apply_globals(struct context *c)
{
	const char *when = option_text(c, "color", "auto");
	const char *timeout = option_text(c, "timeout", NULL);
	const char *environment = getenv("HAVEN_RUN_DIR");
	char *end;

	c->quiet = option_given(c, "quiet");
	if (timeout) {
		double seconds = strtod(timeout, &end);

		if (end == timeout || *end || !(seconds >= 0 && seconds <= 86400))
			return output_fail(&c->out, EXIT_USAGE, "give seconds, 0 to 86400",
					   "--timeout: \"%s\" is no time", timeout);
		c->timeout_ns = (uint64_t)(seconds * 1e9);
	}
	if (strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never"))
		return output_fail(&c->out, EXIT_USAGE, "give auto, always or never",
				   "--color: \"%s\" is unknown", when);
	c->out.color = output_wants_color(when);
	for (unsigned i = 0; i < c->n_options; i++)
		if (!strcmp(c->option[i].spec->name, "run-dir") &&
		    c->n_run_dirs < COMMAND_RUN_DIRS_MAX)
			c->run_dirs[c->n_run_dirs++] = c->option[i].value;
	if (!c->n_run_dirs)
		c->run_dirs[c->n_run_dirs++] =
			environment && *environment ? environment : "/run/haven";
	return EXIT_GOOD;
}

int command_parse(struct context *c, int argc, char **argv)
{
	const char *word[COMMAND_ARGS_MAX + 2];
	unsigned words = 0;
	bool literal = false;
	int code;

	c->timeout_ns = 5 * NSEC_PER_SEC;
	/* An error of the command line itself must already come in the wanted form. */
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--json") || !strcmp(argv[i], "-j"))
			c->out.json = true;
	for (int i = 1; i < argc; i++) {
		if (!literal && !strcmp(argv[i], "--")) {
			literal = true;
		} else if (!literal && argv[i][0] == '-' && argv[i][1]) {
			code = parse_option(c, argc, argv, &i);
			if (code)
				return code;
		} else if (words == HAVEN_ARRAY_LEN(word)) {
			return output_fail(&c->out, EXIT_USAGE, NULL, "too many arguments");
		} else {
			word[words++] = argv[i];
		}
	}
	code = choose_command(c, word, words);
	if (!code)
		code = check_options(c);
	return code ? code : apply_globals(c);
}
