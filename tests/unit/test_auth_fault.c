/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Authentication and key files where the host fails them: no memory, no AES, no file, a file of
 * somebody else. And the few frames and files that only a broken caller or a slip makes.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "auth.h"
#include "fault.h"

#define INC_A 0x1001u
#define INC_B 0x2002u

static bool no_sodium, no_memory, no_aes, other_owner;
static uid_t user, owner;

int __real_sodium_init(void);
int __wrap_sodium_init(void);
int __wrap_sodium_init(void)
{
	return no_sodium ? -1 : __real_sodium_init();
}

void *__real_sodium_malloc(size_t size);
void *__wrap_sodium_malloc(size_t size);
void *__wrap_sodium_malloc(size_t size)
{
	return no_memory ? NULL : __real_sodium_malloc(size);
}

int __real_crypto_aead_aes256gcm_is_available(void);
int __wrap_crypto_aead_aes256gcm_is_available(void);
int __wrap_crypto_aead_aes256gcm_is_available(void)
{
	return no_aes ? 0 : __real_crypto_aead_aes256gcm_is_available();
}

FAULT(int, -1, open64, (const char *path, int flags), (path, flags))
FAULT(ssize_t, -1, read, (int fd, void *to, size_t n), (fd, to, n))

int __real_fstat64(int fd, struct stat64 *st);
int __wrap_fstat64(int fd, struct stat64 *st);
int __wrap_fstat64(int fd, struct stat64 *st)
{
	int err;

	if (fault_now()) {
		errno = fault_errno;
		return -1;
	}
	err = __real_fstat64(fd, st);
	if (other_owner)
		st->st_uid = owner;
	return err;
}

uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
	return other_owner ? user : __real_geteuid();
}

/* ---- frames ---------------------------------------------------------------------------------- */

static struct auth_keys keys_of(unsigned n, uint8_t first)
{
	struct auth_keys keys = {.n = n};

	for (unsigned k = 0; k < n; k++) {
		keys.key[k].id = (uint8_t)(1 + k);
		keys.key[k].size = AUTH_KEY_MIN;
		memset(keys.key[k].bytes, first + (int)k, AUTH_KEY_MIN);
	}
	return keys;
}

static struct auth *auth_make(const struct auth_keys *keys, uint8_t self, bool confidential)
{
	struct auth *a;

	cr_assert_eq(auth_create(&a, keys, self, 2, self ? INC_B : INC_A, confidential), 0);
	return a;
}

static size_t frame_make(uint8_t *out, uint8_t type, uint64_t dst_incarnation)
{
	struct frame f = {.type = type,
			  .src = 0,
			  .dst = 1,
			  .src_incarnation = INC_A,
			  .dst_incarnation = dst_incarnation,
			  .counter = 5};

	if (type == FRAME_BEAT)
		f.u.beat.seq = 1;
	else
		f.u.mirror = (struct frame_mirror){.kind = MIRROR_START, .session = 1};
	return frame_encode(&f, out, FRAME_BYTES_MAX);
}

Test(auth_fault, a_host_that_cannot_hold_a_key_is_told)
{
	const struct auth_keys keys = keys_of(1, 1);
	struct auth *a;

	no_sodium = true;
	cr_assert_eq(auth_create(&a, &keys, 0, 2, INC_A, false), -HAVEN_ESYS);
	cr_assert_null(a);
	no_sodium = false;
	no_memory = true;
	cr_assert_eq(auth_create(&a, &keys, 0, 2, INC_A, false), -HAVEN_ENOMEM);
	cr_assert_null(a);
}

Test(auth_fault, without_aes_there_is_no_secrecy_and_what_came_sealed_is_refused)
{
	const struct auth_keys keys = keys_of(1, 1);
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX], src;
	struct auth *a, *b;
	size_t n, bytes;

	cr_assert_geq(sodium_init(), 0);
	if (!crypto_aead_aes256gcm_is_available())
		cr_skip_test("this processor has no AES instructions");
	a = auth_make(&keys, 0, true);
	no_aes = true;
	cr_assert_eq(auth_create(&b, &keys, 1, 2, INC_B, true), -HAVEN_ESYS);
	b = auth_make(&keys, 1, false);
	n = auth_seal(a, data, frame_make(data, FRAME_MIRROR, INC_B), sizeof(data));
	cr_assert_gt(n, 0);
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_BAD_BODY);
	n = auth_seal(a, data, frame_make(data, FRAME_BEAT, INC_B), sizeof(data));
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK);
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth_fault, what_is_no_frame_of_ours_is_not_sealed)
{
	const struct auth_keys keys = keys_of(1, 1);
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX];
	struct auth *a = auth_make(&keys, 0, false);
	size_t n = frame_make(data, FRAME_BEAT, INC_B);

	cr_assert_eq(auth_seal(a, data, n, n - 1), 0, "longer than its buffer");
	cr_assert_eq(auth_seal(a, data, n - 1, sizeof(data)), 0, "no frame");
	data[5] = 2;
	cr_assert_eq(auth_seal(a, data, n, sizeof(data)), 0, "to nobody");
	data[5] = 1;
	data[7] = 1;
	cr_assert_eq(auth_seal(a, data, n, sizeof(data)), 0, "sealed already");
	data[7] = 0;
	cr_assert_gt(auth_seal(a, data, n, sizeof(data)), n);
	cr_assert_eq(auth_peer_key_id(a, 2), AUTH_KEY_NONE, "nobody's key");
	auth_destroy(a);
}

/* A forged frame costs a derivation only when it asks for another key than the last one. */
Test(auth_fault, the_candidates_slot_tells_keys_and_lives_apart)
{
	const struct auth_keys keys = keys_of(2, 1);
	struct auth *b = auth_make(&keys, 1, false);
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX] = {0}, src;
	size_t n, bytes;

	static const struct {
		uint64_t dst_incarnation, derived;
		uint8_t key_id;
	} steps[] = {{INC_B, 1, 1}, {INC_B, 1, 1}, {INC_B, 2, 2},
		     {0, 3, 2},     {0, 3, 2},     {INC_B, 4, 2}};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		n = frame_make(data, FRAME_BEAT, steps[i].dst_incarnation);
		frame_header_protect(data, steps[i].key_id, false,
				     (uint16_t)(n - FRAME_HEADER_BYTES));
		cr_assert_eq(auth_open(b, data, n + AUTH_TAG_BYTES, &bytes, &src), FRAME_BAD_TAG);
		cr_assert_eq(auth_derivations(b), steps[i].derived, "step %u", i);
	}
	auth_destroy(b);
}

Test(auth_fault, a_key_of_another_length_under_a_known_number_is_another_key)
{
	struct auth_keys keys = keys_of(1, 1), longer = keys, different = keys_of(1, 9);
	struct auth *a = auth_make(&keys, 0, false), *b = auth_make(&keys, 1, false);
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX], src;
	size_t n = auth_seal(a, data, frame_make(data, FRAME_BEAT, INC_B), sizeof(data)), bytes;

	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK);
	longer.key[0].size++;
	auth_keys_exchange(b, &longer);
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_BAD_TAG);
	auth_keys_exchange(b, &keys);
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK);
	auth_keys_exchange(b, &different);
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_BAD_TAG);
	auth_destroy(a);
	auth_destroy(b);
}

/* ---- key files ------------------------------------------------------------------------------- */

static char path[64];
static struct auth_keys keys;
static struct error_text error;

static int load(const char *text)
{
	int fd, err;

	snprintf(path, sizeof(path), "/tmp/haven-test-fault-%d", (int)getpid());
	unlink(path);
	fd = creat(path, 0400); /* open() is wrapped, without a mode */
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = auth_keys_load(path, &keys, &error);
	unlink(path);
	return err;
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define LONG_COMMENT "\n# ......................................................................\n"

Test(auth_key_fault, ends_of_lines_and_blanks)
{
	char big[5000];

	cr_assert_eq(load(HEX "\r\n\r\n"), 0, "%s", error.text);
	cr_assert_eq(keys.key[0].size, 32);
	cr_assert_eq(load("\n\n"), -HAVEN_ESIZE);
	cr_assert_eq(load("key 1 " HEX), 0, "the last line may lack its end");
	cr_assert_eq(load("key" LONG_COMMENT), -HAVEN_EINVAL);
	cr_assert_eq(load("key 1000 " HEX "\n"), -HAVEN_EINVAL);
	memset(big, ' ', 80);
	big[80] = '\0';
	cr_assert_eq(load(big), -HAVEN_ESIZE);
	memset(big, '#', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	cr_assert_eq(load(big), -HAVEN_EINVAL, "no more of a file is read than fits");
}

Test(auth_key_fault, files_that_cannot_be_read_are_told_why)
{
	fault_arm(1, 1, EACCES);
	cr_assert_eq(auth_keys_load("/x", &keys, &error), -HAVEN_EPERM);
	fault_arm(1, 1, ELOOP);
	cr_assert_eq(auth_keys_load("/x", &keys, &error), -HAVEN_ESYS);
	cr_assert(fault_disarm());
	cr_assert_eq(auth_keys_load("/dev/null", &keys, &error), -HAVEN_EPERM);
	cr_assert(strstr(error.text, "not a regular file"), "%s", error.text);
}

/* The calls of a load: open, fstat, read. */
static int load_failing(unsigned call)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/haven-test-fault-%d", (int)getpid());
	unlink(path);
	fd = creat(path, 0400);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, HEX, strlen(HEX)), (ssize_t)strlen(HEX));
	close(fd);
	fault_arm(call, 1, EIO);
	fd = auth_keys_load(path, &keys, &error);
	cr_assert(fault_disarm());
	unlink(path);
	return fd;
}

Test(auth_key_fault, a_file_that_fails_while_it_is_read_leaves_no_key)
{
	for (unsigned call = 1; call <= 3; call++) {
		cr_assert_eq(load_failing(call), -HAVEN_ESYS, "call %u", call);
		cr_assert_eq(keys.n, 0);
		cr_assert(strstr(error.text, strerror(EIO)), "%s", error.text);
	}
}

Test(auth_key_fault, the_owner_is_root_or_the_caller)
{
	other_owner = true;
	owner = 1234;
	user = 1234;
	cr_assert_eq(load(HEX), 0, "%s", error.text);
	owner = 0;
	cr_assert_eq(load(HEX), 0, "%s", error.text);
	owner = 99;
	cr_assert_eq(load(HEX), -HAVEN_EPERM);
	cr_assert(strstr(error.text, "chown it to user 1234 or root"), "%s", error.text);
}
