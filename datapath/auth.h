/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Authentication of frames; it cannot be switched off.
 *
 * Each frame ends with a tag of 16 bytes: SipHash-2-4 with 128-bit output (Aumasson, Bernstein
 * 2012) over header and body, the only keyed tag that fits the time between two frames of a flood.
 * Its key belongs to one direction of one pair of incarnations: BLAKE2b, keyed by the cluster key,
 * over both ids and both incarnations. So a frame recorded in an earlier life of either side fails
 * here, and nothing has to be remembered over a restart.
 *
 * A frame is refused as cheaply as possible: length, version, type, peer, incarnation, tag. A frame
 * costs at most one derivation of a key, whatever it carries; an attacker without the cluster key
 * can displace only the slot for a peer's candidate incarnation, never the keys in use.
 *
 * Thread rule: a `struct auth` belongs to the poll loop.
 */
#ifndef HAVEN_AUTH_H
#define HAVEN_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "frame.h"

#define AUTH_TAG_BYTES 16u
/** Shortest and longest cluster key. */
#define AUTH_KEY_MIN 32u
#define AUTH_KEY_MAX 64u

/** A cluster key in memory. Wipe it with auth_key_wipe() as soon as auth_create() has it. */
struct auth_key {
	uint8_t bytes[AUTH_KEY_MAX];
	size_t size;
};

/**
 * Read a key file: 32 to 64 bytes, raw or as twice as many hexadecimal digits (a line end may
 * follow). The file must be a regular one that only its owner can use (mode 0400 or 0600) and the
 * owner must be root or the caller.
 * Errors: ENOENT, EPERM, ESIZE, ESYS; the text names the remedy.
 */
int auth_key_load(const char *path, struct auth_key *key, struct error_text *error);
void auth_key_wipe(struct auth_key *key);

struct auth;
/** Make the state of node `self` in the life `incarnation`; its memory is locked and left out of
 *  core dumps. Errors: ENOMEM. */
int auth_create(struct auth **out, const struct auth_key *key, uint8_t self, uint8_t n_nodes,
		uint64_t incarnation);
/** Wipe and free. NULL is allowed. */
void auth_destroy(struct auth *a);

/** Append the tag to an encoded frame of `bytes` in a buffer of `room`. Returns the new length, 0
 *  when the frame is not one of ours or the tag does not fit. */
size_t auth_seal(struct auth *a, uint8_t *frame, size_t bytes, size_t room);
/**
 * Check a received frame, tag included. FRAME_OK: the first `*bytes` bytes are authentic, are for
 * this node in this life (or for a sender that does not know it yet) and may be decoded. `*src` is
 * the sender it names, HAVEN_NODE_NONE if that is not a peer.
 */
enum frame_fault auth_open(struct auth *a, const uint8_t *data, size_t size, size_t *bytes,
			   uint8_t *src);
/** Keys derived so far: the cost an attacker can cause. */
uint64_t auth_derivations(const struct auth *a);

#endif
