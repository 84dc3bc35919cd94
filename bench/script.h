/* SPDX-License-Identifier: BSD-3-Clause */
/** Scripts that run other projects' programs for a case and write a line per result. */
#ifndef HAVEN_BENCH_SCRIPT_H
#define HAVEN_BENCH_SCRIPT_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/** Start script `name` with these arguments (NULL at the end, SCRIPT_ARGUMENTS_MAX at most): the
 *  installed one, else that of the source tree. It is told to end (SIGTERM) when this program dies.
 *  Its lines come from the stream; NULL after telling why. */
FILE *script_start(const char *name, const char *const *arguments, pid_t *pid);
/** After its last line. Returns 0, or 1 when it failed. */
int script_end(FILE *lines, pid_t pid);
/** The folder of the clients that scripts use. Returns false when there is none. */
bool script_tools(char *path, size_t bytes);

#define SCRIPT_ARGUMENTS_MAX 8

#endif
