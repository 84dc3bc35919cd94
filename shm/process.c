/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client_segment.h"

/** Field 22 stands this many fields after the command name, which ends at the last ')'. */
#define START_AFTER_NAME 20

uint64_t process_start_ticks(int pid)
{
	char path[40], text[1024];
	ssize_t n;
	char *at;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	/* The name may hold spaces and brackets; nothing after it does. */
	at = strrchr(text, ')');
	for (int i = 0; at && i < START_AFTER_NAME; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

int process_pidfd(int pid, uint64_t start_ticks)
{
	int fd;

	if (pid <= 0)
		return -HAVEN_ENOENT;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH ? -HAVEN_ENOENT : -HAVEN_ESYS;
	/* Equal start times now mean that the wanted process had this number all the time from its
	 * start until now, hence also when the descriptor was opened. */
	if (start_ticks == 0 || process_start_ticks(pid) != start_ticks) {
		close(fd);
		return -HAVEN_ENOENT;
	}
	return fd;
}

bool process_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	/* A failed call proves nothing, so it counts as alive. */
	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}
