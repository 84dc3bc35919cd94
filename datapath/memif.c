/* SPDX-License-Identifier: BSD-3-Clause */
#include "memif.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DRIVER "net_memif"

/** Copy the value of `key=…` in a device string; false: it is not there, or too long. */
static bool argument(const char *spec, const char *key, char *out, size_t size)
{
	size_t key_bytes = strlen(key), n;
	const char *at = spec;

	if (strncmp(spec, DRIVER, strlen(DRIVER)) != 0)
		return false;
	while ((at = strchr(at, ','))) {
		at++;
		if (strncmp(at, key, key_bytes) != 0 || at[key_bytes] != '=')
			continue;
		at += key_bytes + 1;
		n = strcspn(at, ",");
		if (n >= size)
			return false;
		memcpy(out, at, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

bool memif_is_client(const char *spec)
{
	char role[16];

	if (strncmp(spec, DRIVER, strlen(DRIVER)) != 0)
		return false;
	/* The driver's default is the client; "slave" is its older word. */
	return !argument(spec, "role", role, sizeof(role)) || strcmp(role, "client") == 0 ||
	       strcmp(role, "slave") == 0;
}

void memif_socket_tidy(const char *spec)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char abstract[8] = "yes";
	struct stat st;
	int fd;

	if (memif_is_client(spec) ||
	    !argument(spec, "socket", address.sun_path, sizeof(address.sun_path)) ||
	    !argument(spec, "socket-abstract", abstract, sizeof(abstract)) ||
	    strcmp(abstract, "no") != 0 || lstat(address.sun_path, &st) != 0 ||
	    !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	/* Refused by the kernel itself: no process has it. */
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 &&
	    errno == ECONNREFUSED)
		unlink(address.sun_path);
	close(fd);
}
