/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * havenctl: see and command Haven from outside. It reads the registry segment, so it works when the
 * node hangs or is dead, and speaks to the node's socket for commands alone.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "help.h"

int main(int argc, char **argv)
{
	struct context c = {0};
	int code;

	/* A reader that went away (`havenctl events | head`) is seen as a failed write. */
	signal(SIGPIPE, SIG_IGN);
	code = command_parse(&c, argc, argv);
	if (code)
		return code;
	if (option_given(&c, "version"))
		printf("havenctl %s\n", HAVEN_VERSION);
	else if (option_given(&c, "help"))
		help_show(&c, c.named ? c.command : NULL);
	else
		code = c.command->run(&c);
	return output_finish(&c.out, code);
}
