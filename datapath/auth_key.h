/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Cluster keys and their file.
 *
 * The file holds either nothing but one key, 32 to 64 bytes, raw or as hexadecimal digits (it has
 * number 0), or lines of the form
 *
 *     key NUMBER HEXDIGITS [send]
 *
 * with up to AUTH_KEYS_MAX keys of different numbers 0…254. All are accepted from peers; the one
 * marked `send` (or the only one) seals. So keys are exchanged without a gap in three steps, each
 * on every node before the next begins: add the new key, mark it `send`, take the old one out.
 */
#ifndef HAVEN_AUTH_KEY_H
#define HAVEN_AUTH_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/** Shortest and longest cluster key. */
#define AUTH_KEY_MIN 32u
#define AUTH_KEY_MAX 64u
#define AUTH_KEYS_MAX 4u
/** No key's number. */
#define AUTH_KEY_NONE 255u

struct auth_key {
	uint8_t bytes[AUTH_KEY_MAX];
	size_t size;
	uint8_t id; /**< its number, which each frame carries */
};

/** Wipe it with auth_keys_wipe() as soon as nobody needs it. */
struct auth_keys {
	uint32_t n;    /**< 1…AUTH_KEYS_MAX */
	uint32_t send; /**< index of the one that seals */
	struct auth_key key[AUTH_KEYS_MAX];
};

/**
 * Read a key file. It must be a regular one that only its owner can use (mode 0400 or 0600) and the
 * owner must be root or the caller.
 * Errors: ENOENT, EPERM, ESIZE (a key too short or too long), EINVAL (a line that is none), ESYS;
 * the text names the line and the remedy.
 */
int auth_keys_load(const char *path, struct auth_keys *keys, struct error_text *error);
void auth_keys_wipe(struct auth_keys *keys);

#endif
