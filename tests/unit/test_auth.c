/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

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

/* Keys with the seeds, which are their numbers, too; `send` is an index. */
static struct auth_keys test_keys(unsigned n, const uint8_t *seeds, unsigned send)
{
	struct auth_keys keys = {.n = n, .send = send};

	for (unsigned i = 0; i < n; i++) {
		keys.key[i] = test_key(seeds[i]);
		keys.key[i].id = seeds[i];
	}
	return keys;
}

static struct auth *test_auth_of(const struct auth_keys *keys, uint8_t self, uint64_t incarnation,
				 bool confidential)
{
	struct auth *a;

	cr_assert_eq(auth_create(&a, keys, self, 3, incarnation, confidential), 0);
	return a;
}

static struct auth *test_auth(uint8_t seed, uint8_t self, uint64_t incarnation)
{
	struct auth_keys keys = {.n = 1, .key[0] = test_key(seed)};

	return test_auth_of(&keys, self, incarnation, false);
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

/* ---- exchange of keys ------------------------------------------------------------------------ */

static void exchange(struct auth *a, unsigned n, const uint8_t *seeds, unsigned send)
{
	const struct auth_keys keys = test_keys(n, seeds, send);

	auth_keys_exchange(a, &keys);
}

static enum frame_fault passes(struct auth *from, struct auth *to, uint8_t src, uint8_t dst)
{
	uint64_t inc_src = src ? INC_B : INC_A, inc_dst = dst ? INC_B : INC_A;
	uint8_t data[FRAME_BYTES_MAX + AUTH_TAG_BYTES], sender;
	size_t n = test_sealed(from, data, src, dst, inc_src, inc_dst), bytes;

	return auth_open(to, data, n, &bytes, &sender);
}

Test(auth_exchange, three_steps_on_one_node_after_the_other_lose_no_frame)
{
	static const struct {
		uint8_t seeds[2], n, send;
	} steps[] = {{{1}, 1, 0}, {{1, 2}, 2, 0}, {{1, 2}, 2, 1}, {{2}, 1, 0}};
	const struct auth_keys first = test_keys(1, steps[0].seeds, 0);
	struct auth *a = test_auth_of(&first, 0, INC_A, false);
	struct auth *b = test_auth_of(&first, 1, INC_B, false);

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		exchange(a, steps[i].n, steps[i].seeds, steps[i].send);
		cr_assert_eq(passes(a, b, 0, 1), FRAME_OK, "step %u, a is ahead", i);
		cr_assert_eq(passes(b, a, 1, 0), FRAME_OK, "step %u, b is behind", i);
		exchange(b, steps[i].n, steps[i].seeds, steps[i].send);
		cr_assert_eq(passes(a, b, 0, 1), FRAME_OK, "step %u", i);
		cr_assert_eq(passes(b, a, 1, 0), FRAME_OK, "step %u", i);
	}
	cr_assert_eq(auth_key_id(a), 2);
	cr_assert_eq(auth_peer_key_id(a, 1), 2);
	cr_assert_eq(auth_peer_key_id(a, 2), AUTH_KEY_NONE);
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth_exchange, a_key_that_went_is_refused_and_so_is_another_one_under_its_number)
{
	const uint8_t one = 1, two = 2;
	const struct auth_keys first = test_keys(1, &one, 0);
	struct auth *a = test_auth_of(&first, 0, INC_A, false);
	struct auth *b = test_auth_of(&first, 1, INC_B, false);
	struct auth_keys other = test_keys(1, &two, 0);

	cr_assert_eq(passes(a, b, 0, 1), FRAME_OK);
	exchange(b, 1, &two, 0);
	cr_assert_eq(passes(a, b, 0, 1), FRAME_BAD_KEY);
	other.key[0].id = 1;
	auth_keys_exchange(b, &other);
	cr_assert_eq(passes(a, b, 0, 1), FRAME_BAD_TAG);
	auth_destroy(a);
	auth_destroy(b);
}

Test(auth_exchange, frames_of_two_keys_in_turn_cost_no_derivations)
{
	const uint8_t seeds[] = {1, 2};
	const struct auth_keys one = test_keys(2, seeds, 0), two = test_keys(2, seeds, 1);
	struct auth *a1 = test_auth_of(&one, 0, INC_A, false);
	struct auth *a2 = test_auth_of(&two, 0, INC_A, false);
	struct auth *b = test_auth_of(&one, 1, INC_B, false);
	uint64_t before;

	cr_assert_eq(passes(a1, b, 0, 1), FRAME_OK);
	cr_assert_eq(passes(a2, b, 0, 1), FRAME_OK);
	before = auth_derivations(b);
	for (unsigned i = 0; i < 100; i++) {
		cr_assert_eq(passes(a1, b, 0, 1), FRAME_OK);
		cr_assert_eq(passes(a2, b, 0, 1), FRAME_OK);
	}
	cr_assert_eq(auth_derivations(b), before);
	auth_destroy(a1);
	auth_destroy(a2);
	auth_destroy(b);
}

/* ---- confidential nodes ---------------------------------------------------------------------- */

static const char secret[] = "what nobody on the wire is to read";

static size_t secret_frame(uint8_t *out, uint64_t counter)
{
	struct frame f = {.type = FRAME_MIRROR,
			  .src = 0,
			  .dst = 1,
			  .src_incarnation = INC_A,
			  .dst_incarnation = INC_B,
			  .counter = counter};

	f.u.mirror = (struct frame_mirror){.kind = MIRROR_RECORDS,
					   .epoch = 1,
					   .session = 1,
					   .number = 1,
					   .first = 1,
					   .count = 1,
					   .payload = (const uint8_t *)secret,
					   .payload_bytes = sizeof(secret)};
	return frame_encode(&f, out, FRAME_BYTES_MAX);
}

struct pair {
	struct auth *a, *b;
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX];
	size_t size;
};

static void pair_make(struct pair *p, bool a_confidential, bool b_confidential)
{
	const uint8_t one = 1;
	const struct auth_keys keys = test_keys(1, &one, 0);

	cr_assert_geq(sodium_init(), 0);
	if (!crypto_aead_aes256gcm_is_available())
		cr_skip_test("this processor has no AES instructions");
	p->a = test_auth_of(&keys, 0, INC_A, a_confidential);
	p->b = test_auth_of(&keys, 1, INC_B, b_confidential);
	p->size = auth_seal(p->a, p->data, secret_frame(p->data, 7), sizeof(p->data));
	cr_assert_gt(p->size, 0);
}

static void pair_free(struct pair *p)
{
	auth_destroy(p->a);
	auth_destroy(p->b);
}

static bool shows_secret(const struct pair *p)
{
	return memmem(p->data, p->size, secret, sizeof(secret)) != NULL;
}

Test(auth_seal, records_are_unreadable_on_the_wire_and_whole_at_the_receiver)
{
	struct pair p;
	struct frame f;
	size_t bytes;
	uint8_t src;

	pair_make(&p, true, true);
	cr_assert(!shows_secret(&p));
	cr_assert_neq(frame_decode(p.data, p.size - AUTH_TAG_BYTES, &f), FRAME_OK);
	cr_assert_eq(auth_open(p.b, p.data, p.size, &bytes, &src), FRAME_OK);
	cr_assert_eq(frame_decode(p.data, bytes, &f), FRAME_OK);
	cr_assert_eq(f.u.mirror.payload_bytes, sizeof(secret));
	cr_assert_arr_eq(f.u.mirror.payload, secret, sizeof(secret));
	pair_free(&p);
}

Test(auth_seal, equal_records_look_different_each_time)
{
	uint8_t again[FRAME_BYTES_MAX + AUTH_BYTES_MAX];
	struct pair p;
	size_t n;

	pair_make(&p, true, true);
	n = auth_seal(p.a, again, secret_frame(again, 8), sizeof(again));
	cr_assert_eq(n, p.size);
	cr_assert_arr_neq(again + FRAME_HEADER_BYTES, p.data + FRAME_HEADER_BYTES, sizeof(secret));
	pair_free(&p);
}

Test(auth_seal, who_wants_secrecy_takes_no_open_record_and_who_does_not_takes_both)
{
	struct pair p;
	size_t bytes;
	uint8_t src;

	pair_make(&p, false, true);
	cr_assert(shows_secret(&p));
	cr_assert_eq(auth_open(p.b, p.data, p.size, &bytes, &src), FRAME_BAD_BODY);
	pair_free(&p);
	pair_make(&p, true, false);
	cr_assert_eq(auth_open(p.b, p.data, p.size, &bytes, &src), FRAME_OK);
	pair_free(&p);
}

Test(auth_seal, heartbeats_stay_open_for_they_hold_no_secret_and_must_be_cheap)
{
	uint8_t data[FRAME_BYTES_MAX + AUTH_BYTES_MAX], src;
	struct pair p;
	size_t bytes, n;

	pair_make(&p, true, true);
	n = test_frame(data, 0, 1, INC_A, INC_B);
	cr_assert_eq(auth_seal(p.a, data, n, sizeof(data)), n + AUTH_TAG_BYTES);
	cr_assert_eq(auth_open(p.b, data, n + AUTH_TAG_BYTES, &bytes, &src), FRAME_OK);
	pair_free(&p);
}

Test(auth_seal, every_flipped_bit_is_refused_and_a_short_buffer_too)
{
	uint8_t copy[FRAME_BYTES_MAX + AUTH_BYTES_MAX], src;
	struct pair p;
	size_t bytes, n;

	pair_make(&p, true, true);
	for (size_t bit = 0; bit < p.size * 8; bit++) {
		memcpy(copy, p.data, p.size);
		copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		cr_assert_neq(auth_open(p.b, copy, p.size, &bytes, &src), FRAME_OK, "bit %zu", bit);
	}
	n = secret_frame(copy, 9);
	cr_assert_eq(auth_seal(p.a, copy, n, n + AUTH_BYTES_MAX - 1), 0);
	pair_free(&p);
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
	struct auth_key wanted = test_key(3);
	struct auth_keys keys;
	struct error_text error;
	char hex[2 * AUTH_KEY_MIN + 2];

	key_file(wanted.bytes, wanted.size, 0400);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), 0, "%s", error.text);
	cr_assert_eq(keys.n, 1);
	cr_assert_eq(keys.key[0].size, wanted.size);
	cr_assert_arr_eq(keys.key[0].bytes, wanted.bytes, wanted.size);
	for (unsigned i = 0; i < wanted.size; i++)
		snprintf(hex + 2 * i, 3, "%02X", wanted.bytes[i]);
	strcat(hex, "\n");
	key_file(hex, strlen(hex), 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), 0, "%s", error.text);
	cr_assert_eq(keys.n, 1);
	cr_assert_eq(keys.key[0].size, wanted.size);
	cr_assert_arr_eq(keys.key[0].bytes, wanted.bytes, wanted.size);
}

Test(auth_key, open_missing_and_short_files_are_refused_with_a_remedy)
{
	struct auth_key wanted = test_key(3);
	struct auth_keys keys;
	struct error_text error;

	key_file(wanted.bytes, wanted.size, 0640);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_EPERM);
	cr_assert(strstr(error.text, "chmod 0400"), "%s", error.text);
	key_file(wanted.bytes, AUTH_KEY_MIN - 1, 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ESIZE);
	key_file("0123456789abcdef0123456789abcdef0123456789\n", 43, 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ESIZE, "too few digits");
	unlink(key_path);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ENOENT);
	cr_assert(strstr(error.text, "/dev/urandom"), "%s", error.text);
}

Test(auth_key, files_longer_than_any_key_are_refused)
{
	uint8_t data[200];
	struct auth_keys keys;
	struct error_text error;

	memset(data, 0xe1, sizeof(data));
	key_file(data, AUTH_KEY_MAX, 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), 0);
	key_file(data, AUTH_KEY_MAX + 1, 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ESIZE);
	key_file(data, sizeof(data), 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ESIZE);
	memset(data, 'a', sizeof(data));
	key_file(data, sizeof(data), 0600);
	cr_assert_eq(auth_keys_load(key_path, &keys, &error), -HAVEN_ESIZE);
}

#define HEX_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddee00"

static int lines(const char *text, struct auth_keys *keys, struct error_text *error)
{
	key_file(text, strlen(text), 0400);
	return auth_keys_load(key_path, keys, error);
}

Test(auth_key, a_file_of_lines_gives_numbered_keys_and_one_that_seals)
{
	struct error_text error;
	struct auth_keys keys;

	cr_assert_eq(lines("# old and new\n\nkey 7 " HEX_A "\n  key 8 " HEX_B " send\r\n", &keys,
			   &error),
		     0, "%s", error.text);
	cr_assert_eq(keys.n, 2);
	cr_assert_eq(keys.key[0].id, 7);
	cr_assert_eq(keys.key[1].id, 8);
	cr_assert_eq(keys.send, 1);
	cr_assert_eq(keys.key[1].size, 32);
	cr_assert_eq(keys.key[1].bytes[0], 0xff);
	cr_assert_eq(lines("key 7 " HEX_A "\n", &keys, &error), 0, "%s", error.text);
	cr_assert_eq(keys.n, 1);
	cr_assert_eq(keys.send, 0);
}

Test(auth_key, lines_that_are_wrong_are_told_with_their_number)
{
	static const struct {
		const char *text, *says;
	} wrong[] = {
		{"key 7 " HEX_A "\nkey 7 " HEX_B " send\n", "line 2: this number is given twice"},
		{"key 255 " HEX_A "\n", "line 1: it is not"},
		{"key x " HEX_A "\n", "line 1: it is not"},
		{"key 1 " HEX_A "0\n", "line 1: the key has not"},
		{"key 1 " HEX_A "\nkey 2 abcd send\n", "line 2: the key has not"},
		{"key 1 " HEX_A " receive\n", "line 1: only the word send"},
		{"key 1 " HEX_A " send now\n", "line 1: only the word send"},
		{"key 1 " HEX_A "\nkey 2 " HEX_B "\n", "of its 2 keys 0 are marked send"},
		{"key 1 " HEX_A " send\nkey 2 " HEX_B " send\n", "of its 2 keys 2 are marked"},
		{"# nothing but a long comment, longer than a key could be: ............\n",
		 "no line holds a key"},
		{"key 1 " HEX_A " send\nkey 2 " HEX_A "\nkey 3 " HEX_A "\nkey 4 " HEX_A
		 "\nkey 5 " HEX_A "\n",
		 "line 5: there are more than 4 keys"},
		{"key 1 " HEX_A "\nKEY 2 " HEX_B " send\n", "line 2: it is not"},
	};
	struct error_text error;
	struct auth_keys keys;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		cr_assert_eq(lines(wrong[i].text, &keys, &error), -HAVEN_EINVAL, "%s",
			     wrong[i].text);
		cr_assert(strstr(error.text, wrong[i].says), "%s: %s", wrong[i].text, error.text);
		cr_assert_eq(keys.n, 0);
	}
}

Test(auth_key, a_raw_key_may_begin_like_a_line)
{
	struct error_text error;
	struct auth_keys keys;

	cr_assert_eq(lines("key 1 is not a line: no room for digits!", &keys, &error), 0, "%s",
		     error.text);
	cr_assert_eq(keys.n, 1);
	cr_assert_eq(keys.key[0].id, 0);
}
