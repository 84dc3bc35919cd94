/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message of any content and length on the node's socket, with or without a descriptor.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "message.h"

static int ends[2];
static struct message good;

void fuzz_make(void)
{
	FUZZ_REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	good = (struct message){
		.version = MESSAGE_VERSION, .type = MESSAGE_REGISTER, .size = sizeof(good)};
	memcpy(good.u.reg.name, "nat", 4);
	fuzz_base.bytes = (uint8_t *)&good;
	fuzz_base.size = sizeof(good);
	fuzz_section_add("head", 0, offsetof(struct message, u));
	fuzz_section_add("body", offsetof(struct message, u), sizeof(good.u));
	fuzz_section_add("text", offsetof(struct message, text), sizeof(good.text));
	fuzz_section_add("any", 0, sizeof(good));
}

void fuzz_repair(uint8_t *image)
{
	struct message *m = (struct message *)(void *)image;

	m->version = MESSAGE_VERSION;
	m->size = sizeof(*m);
}

static void name_good(const char *name)
{
	FUZZ_REQUIRE(strnlen(name, HAVEN_NAME_MAX) < HAVEN_NAME_MAX);
}

static void strings_good(const struct message *m)
{
	FUZZ_REQUIRE(strnlen(m->text, sizeof(m->text)) < sizeof(m->text));
	switch (m->type) {
	case MESSAGE_REGISTER:
		name_good(m->u.reg.name);
		name_good(m->u.reg.group);
		name_good(m->u.reg.release);
		break;
	case MESSAGE_CHECKPOINT:
		name_good(m->u.checkpoint.shape.name);
		break;
	case MESSAGE_SWITCHOVER:
		name_good(m->u.switchover.instance);
		name_good(m->u.switchover.to);
		break;
	default:
		break;
	}
}

/** A shape that came by the socket is used as it is. */
static void shape_use(const struct message *m)
{
	struct table_geometry g;

	if (m->type != MESSAGE_CHECKPOINT ||
	    table_geometry_make(&m->u.checkpoint.shape, &g, NULL) != 0)
		return;
	FUZZ_REQUIRE(g.total_bytes >= (uint64_t)g.shape.lanes * g.lane_bytes);
	FUZZ_REQUIRE(g.entries_offset + (uint64_t)g.lane_entries * g.entry_bytes <= g.lane_bytes);
	FUZZ_REQUIRE((uint64_t)g.lane_entries * g.shape.lanes >= g.shape.capacity);
	FUZZ_REQUIRE(g.lane_heads >= g.lane_entries);
}

static void send_with(const uint8_t *image, size_t size, unsigned descriptors)
{
	union {
		char bytes[CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = (void *)image, .iov_len = size};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (descriptors) {
		struct cmsghdr *c;

		h.msg_control = &control;
		h.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
		for (unsigned i = 0; i < descriptors; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &ends[0], sizeof(int));
	}
	FUZZ_REQUIRE(sendmsg(ends[0], &h, MSG_NOSIGNAL) == (ssize_t)size);
}

/** The number that the next descriptor would have. */
static int free_descriptor(void)
{
	int fd = dup(ends[0]);

	close(fd);
	return fd;
}

void fuzz_use(uint8_t *image, size_t size, uint8_t flags, const uint8_t *rest, size_t n)
{
	struct message m;
	int before = free_descriptor(), fd, status;

	send_with(image, size, (flags & FUZZ_EXTRA) && n > 2 ? rest[2] % 17 : 0);
	status = message_receive(ends[1], &m, &fd, 0);
	if (status == 0) {
		FUZZ_REQUIRE(size == sizeof(m));
		strings_good(&m);
		shape_use(&m);
	} else {
		FUZZ_REQUIRE(fd == -1);
	}
	if (fd >= 0)
		close(fd);
	FUZZ_REQUIRE(free_descriptor() == before); /* none stays */
}
