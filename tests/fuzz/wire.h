/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A receiver, its peers and their keys for the target of frames. What an input begins with says on
 * which kind of link it came and who sealed it:
 *
 *     options (1) | packet as it came from the link
 *
 * A *plain* frame is what frame_encode() makes: no tag, nothing sealed.
 */
#ifndef HAVEN_FUZZ_WIRE_H
#define HAVEN_FUZZ_WIRE_H

#include "auth.h"
#include "wrap.h"

#define WIRE_NODES 3u
#define WIRE_SELF 1u /**< the receiver; 0 and 2 are its peers */
#define WIRE_FRAME_MAX (FRAME_BYTES_MAX + AUTH_BYTES_MAX)
#define WIRE_PACKET_MAX (WRAP_BYTES_MAX + WIRE_FRAME_MAX)

enum wire_option {
	WIRE_KIND = 3,         /**< mask: enum wrap_kind */
	WIRE_VLAN = 4,         /**< tagged */
	WIRE_CONFIDENTIAL = 8, /**< the receiver takes no secret that came open */
	WIRE_SEALS = 16,       /**< the senders seal what may be secret */
	WIRE_OTHER_KEY = 32    /**< the senders use the second key */
};

/** The end of node `node` of the link. */
struct wrap wire_wrap(uint8_t options, unsigned node);
/** Node WIRE_SELF's state; lives on from one input to the next. */
struct auth *wire_receiver(uint8_t options);
/** Make the receiver forget all that it derived. */
void wire_receiver_reset(uint8_t options);
/** The life in which a node seals. */
uint64_t wire_incarnation(unsigned node);

/** A good plain frame of the type from a peer to the receiver; its bytes, at most FRAME_BYTES_MAX.
 */
size_t wire_example(uint8_t type, uint8_t src, uint64_t counter, uint8_t *plain);
/** Seal (or just lengthen, when the sender would not) and wrap. Returns the packet's bytes. */
size_t wire_pack(uint8_t options, const uint8_t *plain, size_t n, uint8_t out[WIRE_PACKET_MAX]);
/** Put the right tag at the end of a packet's frame, whatever that frame is: also when its header
 *  or its sealed body was changed. False: the packet holds none. */
bool wire_sign(uint8_t options, uint8_t *packet, size_t n);
/** The plain frame in a packet; 0: there is none. */
size_t wire_unpack(uint8_t options, const uint8_t *packet, size_t n, uint8_t plain[WIRE_FRAME_MAX]);

#endif
