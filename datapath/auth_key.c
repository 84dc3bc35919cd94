/* SPDX-License-Identifier: BSD-3-Clause */
#include "auth_key.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096u
#define HOW_TO_MAKE "head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \\n' > %s; chmod 0400 %s"

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Key of `digits` hexadecimal digits; false when they are not that, or too few or too many. */
static bool key_from_hex(const uint8_t *text, size_t digits, struct auth_key *key)
{
	if (digits % 2 != 0 || digits < 2 * AUTH_KEY_MIN || digits > 2 * AUTH_KEY_MAX)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (hex_value(text[i]) < 0)
			return false;
	}
	key->size = digits / 2;
	for (size_t i = 0; i < key->size; i++)
		key->bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return true;
}

/* ---- one key ----------------------------------------------------------------------------------
 */

/* A file of nothing but an even number of hexadecimal digits, at least twice the shortest key, is
 * taken for hexadecimal: a random raw key looks like that with probability below 2^-128. */
static int one_key(const uint8_t *data, size_t size, struct auth_keys *keys)
{
	struct auth_key *key = &keys->key[0];
	size_t digits = size;

	keys->n = 1;
	while (digits && (data[digits - 1] == '\n' || data[digits - 1] == '\r'))
		digits--;
	if (key_from_hex(data, digits, key))
		return 0;
	for (size_t i = 0; i < digits; i++) {
		if (hex_value(data[i]) < 0)
			digits = 0;
	}
	/* Digits that are too few for a key are a mistake, not a raw key of printable bytes. */
	if (digits || size < AUTH_KEY_MIN || size > AUTH_KEY_MAX)
		return -HAVEN_ESIZE;
	memcpy(key->bytes, data, size);
	key->size = size;
	return 0;
}

/* ---- lines of keys ----------------------------------------------------------------------------
 */

struct word {
	const uint8_t *at;
	size_t size;
};

/** The next word of the line [*at, end); size 0: none. */
static struct word next_word(const uint8_t **at, const uint8_t *end)
{
	struct word w;

	while (*at < end && isspace(**at))
		(*at)++;
	w.at = *at;
	while (*at < end && !isspace(**at))
		(*at)++;
	w.size = (size_t)(*at - w.at);
	return w;
}

static bool word_is(struct word w, const char *text)
{
	return w.size == strlen(text) && memcmp(w.at, text, w.size) == 0;
}

static bool number_from(struct word w, uint8_t *out)
{
	unsigned value = 0;

	if (w.size == 0 || w.size > 3)
		return false;
	for (size_t i = 0; i < w.size; i++) {
		if (!isdigit(w.at[i]))
			return false;
		value = value * 10 + (unsigned)(w.at[i] - '0');
	}
	*out = (uint8_t)value;
	return value < AUTH_KEY_NONE;
}

/** What is wrong with a line that holds a key; NULL: nothing, and it was taken. */
static const char *key_line(const uint8_t *at, const uint8_t *end, struct auth_keys *keys,
			    unsigned *senders)
{
	struct auth_key *key = &keys->key[keys->n];
	struct word hex, last;

	if (keys->n == AUTH_KEYS_MAX)
		return "there are more than 4 keys";
	if (!word_is(next_word(&at, end), "key") || !number_from(next_word(&at, end), &key->id))
		return "it is not 'key NUMBER HEXDIGITS [send]' with a number 0 to 254";
	for (uint32_t i = 0; i < keys->n; i++) {
		if (keys->key[i].id == key->id)
			return "this number is given twice";
	}
	hex = next_word(&at, end);
	if (!key_from_hex(hex.at, hex.size, key))
		return "the key has not 64 to 128 hexadecimal digits";
	last = next_word(&at, end);
	if (last.size && (!word_is(last, "send") || next_word(&at, end).size))
		return "only the word send may follow the key";
	if (last.size) {
		keys->send = keys->n;
		(*senders)++;
	}
	keys->n++;
	return NULL;
}

static int key_lines(const uint8_t *data, size_t size, const char *path, struct auth_keys *keys,
		     struct error_text *error)
{
	const uint8_t *at = data, *end = data + size, *line_end, *peek;
	unsigned senders = 0;

	for (unsigned line = 1; at < end; at = line_end + 1, line++) {
		const char *wrong;
		struct word first;

		line_end = memchr(at, '\n', (size_t)(end - at));
		line_end = line_end ? line_end : end;
		peek = at;
		first = next_word(&peek, line_end);
		if (first.size == 0 || first.at[0] == '#')
			continue;
		wrong = key_line(at, line_end, keys, &senders);
		if (wrong)
			return error_set(error, HAVEN_EINVAL, "key file %s: line %u: %s", path,
					 line, wrong);
	}
	if (keys->n == 0)
		return error_set(error, HAVEN_EINVAL, "key file %s: no line holds a key", path);
	if (senders > 1 || (senders == 0 && keys->n > 1))
		return error_set(error, HAVEN_EINVAL,
				 "key file %s: of its %u keys %u are marked send; remedy: mark the "
				 "one that is to seal",
				 path, keys->n, senders);
	return 0;
}

static int keys_parse(const uint8_t *data, size_t size, const char *path, struct auth_keys *keys,
		      struct error_text *error)
{
	const uint8_t *at = data;
	struct word first = next_word(&at, data + size);

	/* A file this short has no room for such a line: then it is a raw key, whatever it begins
	 * with. */
	if (size > AUTH_KEY_MAX && (word_is(first, "key") || (first.size && first.at[0] == '#')))
		return key_lines(data, size, path, keys, error);
	if (one_key(data, size, keys) == 0)
		return 0;
	return error_set(error, HAVEN_ESIZE,
			 "key file %s does not hold a key: wanted %u to %u bytes, raw or as "
			 "hexadecimal digits, or lines 'key NUMBER HEXDIGITS [send]'",
			 path, AUTH_KEY_MIN, AUTH_KEY_MAX);
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static int key_check_file(int fd, const char *path, struct error_text *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set(error, HAVEN_ESYS, "key file %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, HAVEN_EPERM, "key file %s is not a regular file", path);
	if (st.st_mode & 077)
		return error_set(
			error, HAVEN_EPERM,
			"key file %s can be used by others (mode %04o); remedy: chmod 0400 %s",
			path, (unsigned)(st.st_mode & 07777), path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(
			error, HAVEN_EPERM,
			"key file %s belongs to user %u; remedy: chown it to user %u or root", path,
			(unsigned)st.st_uid, (unsigned)geteuid());
	return 0;
}

int auth_keys_load(const char *path, struct auth_keys *keys, struct error_text *error)
{
	uint8_t data[FILE_BYTES_MAX];
	size_t size = 0;
	ssize_t n = 1;
	int fd, err;

	memset(keys, 0, sizeof(*keys));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return error_set(error, HAVEN_ENOENT,
				 "key file %s does not exist; remedy: " HOW_TO_MAKE, path, path,
				 path);
	if (fd < 0)
		return error_set(error, errno == EACCES ? HAVEN_EPERM : HAVEN_ESYS,
				 "key file %s: %s", path, strerror(errno));
	err = key_check_file(fd, path, error);
	while (!err && n > 0 && size < sizeof(data)) {
		n = read(fd, data + size, sizeof(data) - size);
		if (n < 0)
			err = error_set(error, HAVEN_ESYS, "key file %s: %s", path,
					strerror(errno));
		size += n > 0 ? (size_t)n : 0;
	}
	if (!err)
		err = keys_parse(data, size, path, keys, error);
	if (err)
		auth_keys_wipe(keys);
	sodium_memzero(data, sizeof(data));
	close(fd);
	return err;
}

void auth_keys_wipe(struct auth_keys *keys)
{
	sodium_memzero(keys, sizeof(*keys));
}
