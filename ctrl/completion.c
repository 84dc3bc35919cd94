/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "command.h"

static void print_options(const struct option_spec *list)
{
	for (; list && list->name; list++)
		printf(" --%s", list->name);
}

/* Patterns of all options that take a value: the next word is not a command. */
static void print_valued_options(void)
{
	for (const struct option_spec *o = global_options; o->name; o++)
		if (o->argument)
			printf("--%s | ", o->name);
	for (const struct command *const *c = commands; *c; c++)
		for (const struct option_spec *o = (*c)->options; o && o->name; o++)
			if (o->argument)
				printf("--%s | ", o->name);
	printf("--");
}

/* Names of objects are asked of havenctl itself when the user presses tab. */
static void print_objects(const struct command *c)
{
	if (!c->objects)
		return;
	if (!strcmp(c->objects, "instance") || !strcmp(c->objects, "component") ||
	    !strcmp(c->objects, "checkpoint"))
		printf("\t\twords=\"$(_havenctl_names %s)\" ;;\n", c->objects);
	else if (!strcmp(c->objects, "command"))
		printf("\t\twords=\"$commands\" ;;\n");
	else if (!strcmp(c->objects, "shell"))
		printf("\t\twords=bash ;;\n");
	else
		printf("\t\tCOMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
}

static void print_case(const struct command *c, bool options)
{
	if (options ? !(c->options && c->options->name) : !c->objects)
		return;
	printf("\t\"%s\")\n", c->name);
	if (!options) {
		print_objects(c);
		return;
	}
	printf("\t\twords+=\"");
	print_options(c->options);
	printf("\" ;;\n");
}

static void print_first_words(void)
{
	char seen[512] = " ";

	for (const struct command *const *c = commands; *c; c++) {
		char word[64];

		snprintf(word, sizeof(word), " %.*s ", (int)strcspn((*c)->name, " "), (*c)->name);
		if (strstr(seen, word))
			continue;
		strncat(seen, word + 1, sizeof(seen) - strlen(seen) - 1);
	}
	printf("%.*s", (int)strlen(seen) - 2, seen + 1);
}

static void print_verbs(void)
{
	for (const struct command *const *c = commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');

		if (space)
			printf("\t%.*s) verbs+=\" %s\" ;;&\n", (int)(space - (*c)->name),
			       (*c)->name, space + 1);
	}
}

static int completion_run(struct context *c)
{
	if (strcmp(c->args[0], "bash"))
		return output_fail(&c->out, EXIT_NO_OBJECT, "only bash is known",
				   "no completion for the shell \"%s\"", c->args[0]);
	printf("# bash completion for havenctl; made by `havenctl completion bash`\n"
	       "_havenctl_names() {\n"
	       "\thavenctl \"$1\" list --json 2>/dev/null |\n"
	       "\t\tsed -n 's/^ *\"name\": \"\\([^\"]*\\)\".*/\\1/p'\n}\n"
	       "_havenctl() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} name= words= verbs= i w\n"
	       "\tlocal commands=\"");
	print_first_words();
	printf("\"\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tw=${COMP_WORDS[i]}\n"
	       "\t\tcase $w in\n"
	       "\t\t");
	print_valued_options();
	printf(") ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*) name+=\"${name:+ }$w\" ;;\n"
	       "\t\tesac\n\tdone\n"
	       "\tcase $name in\n");
	print_verbs();
	printf("\tesac\n"
	       "\tif [[ $word == -* ]]; then\n\t\twords=\"");
	print_options(global_options);
	printf("\"\n\t\tcase $name in\n");
	for (const struct command *const *k = commands; *k; k++)
		print_case(*k, true);
	printf("\t\tesac\n\telif [[ -z $name ]]; then\n\t\twords=$commands\n"
	       "\telif [[ -n $verbs ]]; then\n\t\twords=$verbs\n"
	       "\telse\n\t\tcase $name in\n");
	for (const struct command *const *k = commands; *k; k++)
		print_case(*k, false);
	printf("\t\tesac\n\tfi\n"
	       "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
	       "complete -F _havenctl havenctl\n");
	return EXIT_GOOD;
}

const struct command command_completion = {
	.name = "completion",
	.arguments = "SHELL",
	.args_min = 1,
	.args_max = 1,
	.objects = "shell",
	.summary = "print the completion script of a shell",
	.details = "Print the completion script for bash, made from the command table. The "
		   "installed package carries it already.",
	.run = completion_run,
};
