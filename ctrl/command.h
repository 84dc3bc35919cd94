/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The command table of havenctl. It drives parsing, help, shell completion and the manual page, so
 * that none of them can tell of a command that does not exist.
 */
#ifndef HAVENCTL_COMMAND_H
#define HAVENCTL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "output.h"

#define COMMAND_ARGS_MAX 4
#define COMMAND_OPTIONS_MAX 32
#define COMMAND_RUN_DIRS_MAX 32

struct option_spec {
	const char *name;     /**< long form without dashes; NULL ends a list */
	char letter;          /**< short form, 0: none */
	const char *argument; /**< placeholder of its value, NULL: a switch */
	const char *help;
};

/** Everything a command is given. Lives for the whole run. */
struct context {
	const struct command *command;
	bool named; /**< the command line names the command; otherwise it is status */
	const char *args[COMMAND_ARGS_MAX];
	unsigned n_args;
	struct {
		const struct option_spec *spec;
		const char *value;
	} option[COMMAND_OPTIONS_MAX];
	unsigned n_options;
	const char *run_dirs[COMMAND_RUN_DIRS_MAX];
	unsigned n_run_dirs;
	uint64_t timeout_ns;
	bool quiet;
	struct output out;
};

struct command {
	const char *name;      /**< one word, or object and verb: "component list" */
	const char *arguments; /**< synopsis of the positional arguments, "" when there are none */
	unsigned args_min, args_max;
	const char *objects; /**< what the first argument names, for completion: "instance",
				  "component", "checkpoint", "command", "shell",
				  "file" or NULL */
	const char *summary; /**< one line */
	const char *details; /**< sentences for `help COMMAND` and the manual page */
	const struct option_spec *options;
	int (*run)(struct context *c); /**< returns an exit code */
};

extern const struct option_spec global_options[];
extern const struct command *const commands[]; /**< ends with NULL */

/** Command by its full name, NULL when there is none. */
const struct command *command_find(const char *name);
/** Parse the whole command line into `c`. Returns EXIT_GOOD, or the code of a told error. */
int command_parse(struct context *c, int argc, char **argv);
/** True when the option was given. */
bool option_given(const struct context *c, const char *name);
/** Its value, or `fallback` when it was not given. */
const char *option_text(const struct context *c, const char *name, const char *fallback);
/** Its value as a decimal number; false (and a told error) when it is not one. */
bool option_number(struct context *c, const char *name, uint64_t fallback, uint64_t *out);

extern const struct command command_status, command_events, command_counters, command_switchover,
	command_component_list, command_component_show, command_node_list, command_instance_list,
	command_checkpoint_list, command_checkpoint_show, command_checkpoint_snapshot,
	command_checkpoint_restore, command_checkpoint_verify, command_registry,
	command_registry_verify, command_registry_dump, command_registry_watch,
	command_confirm_dead, command_tune, command_exit_codes, command_completion, command_help;

#endif
