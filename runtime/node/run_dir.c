/* SPDX-License-Identifier: BSD-3-Clause */
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 320

static int run_dir_make(const char *run_dir, struct error_text *error)
{
	struct stat st;

	if (mkdir(run_dir, 0750) != 0 && errno != EEXIST)
		return error_set(error,
				 errno == EACCES || errno == EPERM ? HAVEN_EPERM : HAVEN_ESYS,
				 "cannot make the run directory %s: %s; remedy: make its parent, "
				 "or choose a run_dir that this user may write",
				 run_dir, strerror(errno));
	if (stat(run_dir, &st) != 0 || !S_ISDIR(st.st_mode))
		return error_set(error, HAVEN_ESYS, "run directory %s is not a directory", run_dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(error, HAVEN_EPERM,
				 "run directory %s belongs to user %u; remedy: chown it, or start "
				 "as that user",
				 run_dir, (unsigned)st.st_uid);
	if (st.st_mode & S_IWOTH)
		return error_set(
			error, HAVEN_EPERM,
			"run directory %s can be written by everybody; remedy: chmod 0750 %s",
			run_dir, run_dir);
	return 0;
}

int run_dir_take(const char *run_dir, struct error_text *error)
{
	char path[PATH_BYTES], pid[24] = "";
	int fd, err;

	err = run_dir_make(run_dir, error);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/" RUN_DIR_LOCK, run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return error_set(error, errno == EACCES ? HAVEN_EPERM : HAVEN_ESYS,
				 "cannot open %s: %s; remedy: start as the owner of the directory",
				 path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err = errno;
		if (err == EWOULDBLOCK && read(fd, pid, sizeof(pid) - 1) > 0)
			pid[strcspn(pid, "\n")] = '\0';
		close(fd);
		if (err != EWOULDBLOCK)
			return error_set(error, HAVEN_ESYS, "cannot lock %s: %s", path,
					 strerror(err));
		return error_set(
			error, HAVEN_EEXIST,
			"another node (process %s) owns the run directory %s; remedy: stop "
			"it, or give this node its own run_dir",
			pid[0] ? pid : "unknown", run_dir);
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || write(fd, pid, strlen(pid)) != (ssize_t)strlen(pid)) {
		err = error_set(error, HAVEN_ESYS, "cannot write %s: %s", path, strerror(errno));
		close(fd);
		return err;
	}
	return fd;
}

uint64_t run_dir_recall(const char *run_dir, const char *name)
{
	char path[PATH_BYTES];
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

int run_dir_keep(const char *run_dir, const char *name, uint64_t value)
{
	char path[PATH_BYTES], aside[PATH_BYTES + 8];
	bool written;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	snprintf(aside, sizeof(aside), "%s.new", path);
	f = fopen(aside, "we");
	if (!f)
		return -HAVEN_ESYS;
	written = fprintf(f, "%" PRIu64 "\n", value) > 0 && fflush(f) == 0 &&
		  fdatasync(fileno(f)) == 0;
	written = fclose(f) == 0 && written;
	if (!written || rename(aside, path) != 0) {
		unlink(aside);
		return -HAVEN_ESYS;
	}
	return 0;
}
