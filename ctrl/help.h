/* SPDX-License-Identifier: BSD-3-Clause */
/** Help, manual page section and completion, all made from the command table. */
#ifndef HAVENCTL_HELP_H
#define HAVENCTL_HELP_H

#include "command.h"

/** Help of one command, or the overview when `command` is NULL. */
void help_show(const struct context *c, const struct command *command);
/** COMMANDS, GLOBAL OPTIONS and EXIT STATUS of the manual page, in mdoc. */
void help_mdoc(void);

#endif
