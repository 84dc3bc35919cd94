/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Exit codes of havenctl. They are an interface: scripts and monitoring depend on them, so a number
 * never changes its meaning. `havenctl exit-codes` prints this table.
 */
#ifndef HAVENCTL_EXIT_CODE_H
#define HAVENCTL_EXIT_CODE_H

enum exit_code {
	EXIT_GOOD = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3,
	EXIT_NO_OBJECT = 4,
	EXIT_PERMISSION = 5,
	EXIT_TIMEOUT = 6,
	EXIT_CONFIG = 7,
	EXIT_VERSION = 8,
	EXIT_DEGRADED = 10,
	EXIT_CRITICAL = 11,
	EXIT_UNKNOWN = 12,
};

struct exit_entry {
	enum exit_code code;
	const char *name;    /**< stable label, also `error.code` in JSON */
	const char *meaning; /**< half a sentence */
};

/** Ends with a NULL name. */
extern const struct exit_entry exit_table[];
/** Label of a code; never NULL. */
const char *exit_name(enum exit_code code);
/** Exit code for a library error of either sign. */
enum exit_code exit_of_error(int error);

#endif
