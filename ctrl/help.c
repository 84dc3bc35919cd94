/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

#include <stdio.h>
#include <string.h>

static void show_options(const struct option_spec *list)
{
	for (; list && list->name; list++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", list->letter ? "-" : " ",
			 list->letter ? list->letter : ' ', list->letter ? ", " : "  ", list->name,
			 list->argument ? " " : "", list->argument ? list->argument : "");
		printf("  %-24s ", left);
		output_fold(list->help, 27, 27);
	}
}

static void show_overview(void)
{
	printf("usage: havenctl [options] [command] [arguments]\n\n"
	       "See and command Haven. Without a command: status.\n\ncommands:\n");
	for (const struct command *const *c = commands; *c; c++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", (*c)->name, (*c)->arguments[0] ? " " : "",
			 (*c)->arguments);
		printf("  %-24s ", left);
		output_fold((*c)->summary, 27, 27);
	}
	printf("\noptions:\n");
	show_options(global_options);
	printf("\nMore: havenctl help COMMAND, havenctl exit-codes, man havenctl\n");
}

void help_show(const struct context *c, const struct command *command)
{
	(void)c;
	if (!command) {
		show_overview();
		return;
	}
	printf("usage: havenctl [options] %s%s%s\n\n", command->name,
	       command->arguments[0] ? " " : "", command->arguments);
	output_fold(command->details, 0, 0);
	if (command->options && command->options->name) {
		printf("\noptions of %s:\n", command->name);
		show_options(command->options);
	}
	printf("\noptions of every command:\n");
	show_options(global_options);
}

/* mdoc reads a leading dot or quote as a request, and a backslash as an escape. */
static void mdoc_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		if (*text == '\\')
			fputs("\\e", stdout);
		else if (*text == '-')
			fputs("\\-", stdout);
		else
			putchar(*text);
	putchar('\n');
}

static void mdoc_options(const struct option_spec *list)
{
	if (!list || !list->name)
		return;
	printf(".Bl -tag -width Ds\n");
	for (; list->name; list++) {
		printf(".It ");
		if (list->letter)
			printf("Fl %c , ", list->letter);
		printf("Fl Fl %s", list->name);
		if (list->argument)
			printf(" Ar %s", list->argument);
		putchar('\n');
		mdoc_text(list->help);
	}
	printf(".El\n");
}

void help_mdoc(void)
{
	printf(".Sh COMMANDS\n.Bl -tag -width Ds\n");
	for (const struct command *const *c = commands; *c; c++) {
		printf(".It Cm %s", (*c)->name);
		if ((*c)->arguments[0])
			printf(" Ar %s", (*c)->arguments);
		putchar('\n');
		mdoc_text((*c)->details);
		mdoc_options((*c)->options);
	}
	printf(".El\n.Sh OPTIONS\nThese work with every command, before or after it.\n");
	mdoc_options(global_options);
	printf(".Sh EXIT STATUS\n.Bl -tag -width 10\n");
	for (const struct exit_entry *e = exit_table; e->name; e++) {
		printf(".It %d\n%s:\n", (int)e->code, e->name);
		mdoc_text(e->meaning);
	}
	printf(".El\n");
}

static int help_run(struct context *c)
{
	const struct command *command = NULL;
	char name[128];

	if (option_given(c, "mdoc")) {
		help_mdoc();
		return EXIT_GOOD;
	}
	if (c->n_args) {
		snprintf(name, sizeof(name), "%s%s%s", c->args[0], c->n_args > 1 ? " " : "",
			 c->n_args > 1 ? c->args[1] : "");
		command = command_find(name);
		if (!command)
			return output_fail(&c->out, EXIT_NO_OBJECT, "see havenctl help",
					   "there is no command \"%s\"", name);
	}
	help_show(c, command);
	return EXIT_GOOD;
}

static int exit_codes_run(struct context *c)
{
	static const struct column columns[] = {
		{"code", "CODE", COLUMN_COUNT},
		{"name", "NAME", COLUMN_TEXT},
		{"meaning", "MEANING", COLUMN_TEXT},
	};
	json_t *rows = json_array();

	for (const struct exit_entry *e = exit_table; e->name; e++) {
		json_t *row = json_object();

		put_count(row, "code", (uint64_t)e->code);
		put_text(row, "name", e->name);
		put_text(row, "meaning", e->meaning);
		json_array_append_new(rows, row);
	}
	if (c->out.json) {
		output_json("exit-codes/1", rows);
		return EXIT_GOOD;
	}
	output_table(&c->out, rows, columns, 3);
	json_decref(rows);
	return EXIT_GOOD;
}

static const struct option_spec help_options[] = {
	{"mdoc", 0, NULL, "print the generated sections of the manual page"},
	{0},
};

const struct command command_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.args_max = 2,
	.objects = "command",
	.summary = "show help",
	.details = "Show the overview, or everything about one command.",
	.options = help_options,
	.run = help_run,
};

const struct command command_exit_codes = {
	.name = "exit-codes",
	.arguments = "",
	.summary = "show what each exit code means",
	.details = "Show the table of exit codes. A number never changes its meaning.",
	.run = exit_codes_run,
};
