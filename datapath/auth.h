/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Authentication of frames, which cannot be switched off, and encryption of what may be secret.
 *
 * Each frame ends with a tag of 16 bytes: SipHash-2-4 with 128-bit output (Aumasson, Bernstein
 * 2012) over header and body, the only keyed tag that fits the time between two frames of a flood.
 * Its key belongs to one direction of one pair of incarnations: BLAKE2b, keyed by a cluster key,
 * over both ids and both incarnations. So a frame recorded in an earlier life of either side fails
 * here, and nothing has to be remembered over a restart.
 *
 * With `confidential` the bodies of views and mirror frames are sealed before that by AES-256-GCM
 * (NIST SP 800-38D) under a second derived key. Its nonce is the frame's counter, which never
 * repeats between two incarnations; a restart brings a new incarnation and so a new key, so
 * nonces do not repeat over a kill either. Such a node takes no view and no record that came open.
 *
 *     header | body | tag                            open
 *     header | encrypted body | GCM tag | tag        sealed: FRAME_SEALED in the header
 *
 * A frame is refused as cheaply as possible: length, version, type, peer, key, incarnation, tag. A
 * frame costs at most one derivation of a key, whatever it carries; an attacker without a cluster
 * key can displace only the slot for a peer's candidate incarnation, never the keys in use.
 *
 * Thread rule: a `struct auth` belongs to the poll loop.
 */
#ifndef HAVEN_AUTH_H
#define HAVEN_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth_key.h"
#include "error.h"
#include "frame.h"

#define AUTH_TAG_BYTES 16u
/** Most bytes that auth_seal() adds to an encoded frame. */
#define AUTH_BYTES_MAX (AUTH_TAG_BYTES + FRAME_SEAL_BYTES)

struct auth;
/** Make the state of node `self` in the life `incarnation`; its memory is locked and left out of
 *  core dumps. The keys are copied. Errors: ENOMEM, ESYS (`confidential`, and this processor has no
 *  AES instructions). */
int auth_create(struct auth **out, const struct auth_keys *keys, uint8_t self, uint8_t n_nodes,
		uint64_t incarnation, bool confidential);
/** Wipe and free. NULL is allowed. */
void auth_destroy(struct auth *a);
/** Exchange the cluster keys. What peers sealed with a key that stays goes on being accepted
 * without a gap; frames of one that went are refused from now on. */
void auth_keys_exchange(struct auth *a, const struct auth_keys *keys);

/** Protect an encoded frame of `bytes` in a buffer of `room`, in place. Returns the new length, 0
 *  when the frame is not one of ours or the result does not fit. */
size_t auth_seal(struct auth *a, uint8_t *frame, size_t bytes, size_t room);
/**
 * Check a received frame, and open it in place. FRAME_OK: the first `*bytes` bytes are authentic,
 * are for this node in this life (or for a sender that does not know it yet) and may be decoded.
 * `*src` is the sender it names, HAVEN_NODE_NONE if that is not a peer.
 */
enum frame_fault auth_open(struct auth *a, uint8_t *data, size_t size, size_t *bytes, uint8_t *src);

/** Number of the key that seals here. */
uint8_t auth_key_id(const struct auth *a);
/** Number of the key of the newest authentic frame from `peer`, AUTH_KEY_NONE: none yet. */
uint8_t auth_peer_key_id(const struct auth *a, unsigned peer);
/** Keys derived so far: the cost an attacker can cause. */
uint64_t auth_derivations(const struct auth *a);

#endif
