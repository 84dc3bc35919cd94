/* SPDX-License-Identifier: BSD-3-Clause */
#include "memif.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char spec[256];

static int listener(int type)
{
	int fd = socket(AF_UNIX, type, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/haven-memif-%d", (int)getpid());
	snprintf(spec, sizeof(spec), "net_memif0,role=server,id=0,socket=%s,socket-abstract=no",
		 address.sun_path);
	unlink(address.sun_path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	return fd;
}

static bool there(void)
{
	return access(address.sun_path, F_OK) == 0;
}

static void remove_socket(void)
{
	unlink(address.sun_path);
}

TestSuite(memif, .fini = remove_socket);

Test(memif, the_client_end_is_told_by_its_role)
{
	cr_assert(memif_is_client("net_memif0,role=client,id=1"));
	cr_assert(memif_is_client("net_memif0"));
	cr_assert(memif_is_client("net_memif3,id=1,role=slave"));
	cr_assert(!memif_is_client("net_memif0,id=1,role=server"));
	cr_assert(!memif_is_client("net_null0"));
	cr_assert(!memif_is_client("0000:01:00.0"));
}

Test(memif, a_socket_that_nobody_has_is_removed)
{
	close(listener(SOCK_SEQPACKET));
	cr_assert(there());
	memif_socket_tidy(spec);
	cr_assert(!there());
	memif_socket_tidy(spec);
}

Test(memif, a_socket_that_somebody_listens_on_stays)
{
	int fd = listener(SOCK_SEQPACKET);

	memif_socket_tidy(spec);
	cr_assert(there());
	close(fd);
}

Test(memif, other_files_ends_and_name_spaces_are_left_alone)
{
	char other[256];
	FILE *f;

	close(listener(SOCK_SEQPACKET));
	snprintf(other, sizeof(other), "net_memif0,role=client,socket=%s,socket-abstract=no",
		 address.sun_path);
	memif_socket_tidy(other);
	snprintf(other, sizeof(other), "net_memif0,role=server,socket=%s", address.sun_path);
	memif_socket_tidy(other);
	cr_assert(there());
	unlink(address.sun_path);
	f = fopen(address.sun_path, "w");
	cr_assert(f && fclose(f) == 0);
	memif_socket_tidy(spec);
	cr_assert(there(), "a plain file is nobody's socket");
}
