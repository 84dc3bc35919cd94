/* SPDX-License-Identifier: BSD-3-Clause */
#include "follow.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define FOLLOW_POLL_MS 2

static volatile sig_atomic_t ended;

static void on_end(int signal)
{
	(void)signal;
	ended = 1;
}

void follow_begin(void)
{
	struct sigaction action = {.sa_handler = on_end};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool follow_on(void)
{
	return !ended && !ferror(stdout);
}

bool follow_wait(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	/* The reader of our pipe may have gone while nothing happened. */
	if (poll(&out, 1, FOLLOW_POLL_MS) > 0 && (out.revents & (POLLERR | POLLNVAL)))
		return false;
	return follow_on();
}
