/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"

#define INC_A 0x1001u
#define INC_B 0x2002u

static struct auth_key test_key(uint8_t seed)
{
	struct auth_key key = {.size = AUTH_KEY_MIN};

	for (unsigned i = 0; i < key.size; i++)
		key.bytes[i] = (uint8_t)(seed + 7 * i);
	return key;
}

static struct auth *test_auth(uint8_t seed, uint8_t self, uint64_t incarnation)
{
	struct auth_key key = test_key(seed);
	struct auth *a;

	cr_assert_eq(auth_create(&a, &key, self, 3, incarnation), 0);
	return a;
}

static size_t test_frame(uint8_t *out, uint8_t src, uint8_t dst, uint64_t src_inc, uint64_t dst_inc)
{
	struct frame f = {.type = FRAME_BEAT,
			  .src = src,
			  .dst = dst,
			  .src_incarnation = src_inc,
			  .dst_incarnation = dst_inc,
			  .counter = 5};

	f.u.beat.seq = 1;
	return frame_encode(&f, out, FRAME_BYTES_MAX);
}

static size_t test_sealed(struct auth *a, uint8_t *out, uint8_t src, uint8_t dst, uint64_t src_inc,
			  uint64_t dst_inc)
{
	size_t n = test_frame(out, src, dst, src_inc, dst_inc);

	cr_assert_gt(n, 0);
	n = auth_seal(a, out, n, FRAME_BYTES_MAX + AUTH_TAG_BYTES);
	cr_assert_gt(n, AUTH_TAG_BYTES);
	return n;
}

Test(auth, a_sealed_frame_opens_at_its_receiver_only)
{
	struct auth *a = test_auth(1, 0, INC_A), *b = test_auth(1, 1, INC_B);
	struct auth *c = test_auth(1, 2, INC_B), *stranger = test_auth(2, 1, INC_B);
	uint8_t data[FRAME_BYTES_MAX + AUTH_TAG_BYTES], src;
	size_t n = test_sealed(a, data, 0, 1, INC_A, INC_B), bytes;

	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK);
	cr_assert_eq(bytes, n - AUTH_TAG_BYTES);
	cr_assert_eq(src, 0);
	cr_assert_eq(auth_open(c, data, n, &bytes, &src), FRAME_BAD_PEER);
	cr_assert_eq(auth_open(a, data, n, &bytes, &src), FRAME_BAD_PEER);
	cr_assert_eq(auth_open(stranger, data, n, &bytes, &src), FRAME_BAD_TAG);
	auth_destroy(a);
	auth_destroy(b);
	auth_destroy(c);
	auth_destroy(stranger);
}

Test(auth, every_flipped_bit_is_refused)
{
	struct auth *a = test_auth(1, 0, INC_A), *b = test_auth(1, 1, INC_B);
	uint8_t data[FRAME_BYTES_MAX + AUTH_TAG_BYTES], src;
	size_t n = test_sealed(a, data, 0, 1, INC_A, INC_B), bytes;

	for (size_t bit = 0; bit < n * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		cr_assert_neq(auth_open(b, data, n, &bytes, &src), FRAME_OK, "bit %zu", bit);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK);
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth, every_wrong_length_is_refused)
{
	struct auth *a = test_auth(1, 0, INC_A), *b = test_auth(1, 1, INC_B);
	uint8_t data[FRAME_BYTES_MAX + 2 * AUTH_TAG_BYTES] = {0}, src;
	size_t n = test_sealed(a, data, 0, 1, INC_A, INC_B), bytes;

	for (size_t size = 0; size < sizeof(data); size++) {
		if (size != n)
			cr_assert_eq(auth_open(b, data, size, &bytes, &src), FRAME_BAD_LENGTH,
				     "size %zu", size);
	}
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth, frames_of_an_earlier_life_of_the_receiver_are_replays)
{
	struct auth *a = test_auth(1, 0, INC_A), *b = test_auth(1, 1, INC_B + 1);
	uint8_t data[FRAME_BYTES_MAX + AUTH_TAG_BYTES], src;
	size_t n = test_sealed(a, data, 0, 1, INC_A, INC_B), bytes;
	uint64_t before = auth_derivations(b);

	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_BAD_REPLAY);
	cr_assert_eq(auth_derivations(b), before, "refused before a key is derived");
	n = test_sealed(a, data, 0, 1, INC_A, 0);
	cr_assert_eq(auth_open(b, data, n, &bytes, &src), FRAME_OK, "a sender that knows no life");
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth, a_flood_costs_one_derivation_a_frame_and_leaves_the_known_key)
{
	struct auth *a = test_auth(1, 0, INC_A), *b = test_auth(1, 1, INC_B);
	uint8_t good[FRAME_BYTES_MAX + AUTH_TAG_BYTES], bad[FRAME_BYTES_MAX + AUTH_TAG_BYTES], src;
	size_t n = test_sealed(a, good, 0, 1, INC_A, INC_B), bytes, m;
	uint64_t before;

	cr_assert_eq(auth_open(b, good, n, &bytes, &src), FRAME_OK);
	before = auth_derivations(b);
	for (uint64_t i = 1; i <= 1000; i++) {
		m = test_frame(bad, 0, 1, INC_A + i, INC_B);
		memset(bad + m, 0x5a, AUTH_TAG_BYTES);
		cr_assert_eq(auth_open(b, bad, m + AUTH_TAG_BYTES, &bytes, &src), FRAME_BAD_TAG);
		cr_assert_eq(auth_open(b, good, n, &bytes, &src), FRAME_OK);
	}
	cr_assert_eq(auth_derivations(b), before + 1000);
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth, a_new_life_of_the_sender_takes_the_cache_and_a_replayed_old_one_does_not)
{
	struct auth *old = test_auth(1, 0, INC_A), *new = test_auth(1, 0, INC_A + 9);
	struct auth *b = test_auth(1, 1, INC_B);
	uint8_t first[FRAME_BYTES_MAX + AUTH_TAG_BYTES], second[FRAME_BYTES_MAX + AUTH_TAG_BYTES];
	size_t n = test_sealed(old, first, 0, 1, INC_A, INC_B), bytes;
	size_t m = test_sealed(new, second, 0, 1, INC_A + 9, INC_B);
	uint64_t before;
	uint8_t src;

	cr_assert_eq(auth_open(b, first, n, &bytes, &src), FRAME_OK);
	cr_assert_eq(auth_open(b, second, m, &bytes, &src), FRAME_OK);
	cr_assert_eq(auth_open(b, first, n, &bytes, &src), FRAME_OK, "the protocol refuses it");
	before = auth_derivations(b);
	cr_assert_eq(auth_open(b, second, m, &bytes, &src), FRAME_OK);
	cr_assert_eq(auth_derivations(b), before, "still cached");
	auth_destroy(old);
	auth_destroy(new);
	auth_destroy(b);
}

Test(auth, sealing_refuses_foreign_frames_and_small_buffers)
{
	struct auth *a = test_auth(1, 0, INC_A);
	uint8_t data[FRAME_BYTES_MAX + AUTH_TAG_BYTES];
	size_t n = test_frame(data, 1, 0, INC_A, INC_B);

	cr_assert_eq(auth_seal(a, data, n, sizeof(data)), 0);
	n = test_frame(data, 0, 1, INC_A, INC_B);
	cr_assert_eq(auth_seal(a, data, n, n + AUTH_TAG_BYTES - 1), 0);
	cr_assert_eq(auth_seal(a, data, n, n + AUTH_TAG_BYTES), n + AUTH_TAG_BYTES);
	auth_destroy(a);
}

/* ---- key files ------------------------------------------------------------------------------ */

static char key_path[64];

static void key_file(const void *data, size_t size, mode_t mode)
{
	int fd;

	snprintf(key_path, sizeof(key_path), "/tmp/haven-test-key-%d", (int)getpid());
	unlink(key_path);
	fd = open(key_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	cr_assert_eq(fchmod(fd, mode), 0);
	close(fd);
}

static void key_file_remove(void)
{
	unlink(key_path);
}

TestSuite(auth_key, .fini = key_file_remove);

Test(auth_key, raw_and_hexadecimal_files_give_the_same_key)
{
	struct auth_key wanted = test_key(3), key;
	struct error_text error;
	char hex[2 * AUTH_KEY_MIN + 2];

	key_file(wanted.bytes, wanted.size, 0400);
	cr_assert_eq(auth_key_load(key_path, &key, &error), 0, "%s", error.text);
	cr_assert_eq(key.size, wanted.size);
	cr_assert_arr_eq(key.bytes, wanted.bytes, wanted.size);
	for (unsigned i = 0; i < wanted.size; i++)
		snprintf(hex + 2 * i, 3, "%02X", wanted.bytes[i]);
	strcat(hex, "\n");
	key_file(hex, strlen(hex), 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), 0, "%s", error.text);
	cr_assert_eq(key.size, wanted.size);
	cr_assert_arr_eq(key.bytes, wanted.bytes, wanted.size);
}

Test(auth_key, open_missing_and_short_files_are_refused_with_a_remedy)
{
	struct auth_key wanted = test_key(3), key;
	struct error_text error;

	key_file(wanted.bytes, wanted.size, 0640);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_EPERM);
	cr_assert(strstr(error.text, "chmod 0400"), "%s", error.text);
	key_file(wanted.bytes, AUTH_KEY_MIN - 1, 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ESIZE);
	key_file("0123456789abcdef0123456789abcdef0123456789\n", 43, 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ESIZE, "too few digits");
	unlink(key_path);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ENOENT);
	cr_assert(strstr(error.text, "/dev/urandom"), "%s", error.text);
}

Test(auth_key, files_longer_than_any_key_are_refused)
{
	uint8_t data[200];
	struct auth_key key;
	struct error_text error;

	memset(data, 0xe1, sizeof(data));
	key_file(data, AUTH_KEY_MAX, 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), 0);
	key_file(data, AUTH_KEY_MAX + 1, 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ESIZE);
	key_file(data, sizeof(data), 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ESIZE);
	memset(data, 'a', sizeof(data));
	key_file(data, sizeof(data), 0600);
	cr_assert_eq(auth_key_load(key_path, &key, &error), -HAVEN_ESIZE);
}
