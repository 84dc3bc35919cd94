/* SPDX-License-Identifier: BSD-3-Clause */
/** Snapshot files as the commands show them (cmd_snapshot.c). */
#ifndef HAVENCTL_SNAPSHOT_FILE_H
#define HAVENCTL_SNAPSHOT_FILE_H

#include "command.h"
#include "snapshot.h"

/** Tell an error of a file or of the node. Returns its exit code. */
int snapshot_tell(const struct output *o, int error, const char *hint,
		  const struct error_text *text);
/** Open it for reading. Returns EXIT_GOOD or the code of a told error. */
int snapshot_file_open(const struct output *o, const char *path, int *fd);
/** Read and check all of it. Returns 0 or a negative error. */
int snapshot_file_check(int fd, const char *path, struct snapshot_head *head,
			struct error_text *error);
/** Print what its head says, as the command line wants it; `what` is the word for people. */
void snapshot_print(const struct context *c, const struct snapshot_head *h, const char *schema,
		    const char *path, const char *what);

#endif
