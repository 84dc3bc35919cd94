/* SPDX-License-Identifier: BSD-3-Clause */
#include "script.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool script_find(const char *name, char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/bench-%s", BENCH_INSTALLED, name);
	if (access(path, X_OK) == 0)
		return true;
	snprintf(path, bytes, "%s/%s", BENCH_SOURCE, name);
	return access(path, X_OK) == 0;
}

FILE *script_start(const char *name, const char *const *arguments, pid_t *pid)
{
	const char *line[SCRIPT_ARGUMENTS_MAX + 2];
	char path[PATH_MAX];
	unsigned n;
	int end[2];

	line[0] = path;
	for (n = 0; n < SCRIPT_ARGUMENTS_MAX && arguments[n]; n++)
		line[n + 1] = arguments[n];
	line[n + 1] = NULL;
	if (!script_find(name, path, sizeof(path)) || pipe(end) != 0) {
		fprintf(stderr, "haven-bench: cannot run %s: %s\n", path, strerror(errno));
		return NULL;
	}
	fflush(NULL);
	*pid = fork();
	if (*pid == 0) {
		/* It ends what it started when it is told so. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(end[1], STDOUT_FILENO);
		close(end[0]);
		close(end[1]);
		execv(path, (char *const *)(const void *)line);
		_exit(127);
	}
	close(end[1]);
	return fdopen(end[0], "r");
}

int script_end(FILE *lines, pid_t pid)
{
	int status = 0;

	fclose(lines);
	waitpid(pid, &status, 0);
	return status != 0;
}

/* Built beside this program, or installed. */
bool script_tools(char *path, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", path, bytes - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	*slash = '\0';
	if (strcmp(path, BENCH_BUILT) != 0)
		snprintf(path, bytes, "%s", BENCH_INSTALLED);
	return true;
}
