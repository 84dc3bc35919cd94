/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Frames between nodes: one header, five bodies. Pure codec; Ethernet header and authentication
 * tag are put around it by datapath/ (auth.h), which also checks them before anything here runs.
 *
 * A frame goes from one node to one other. `counter` grows with every frame from src to dst of one
 * pair of incarnations and never repeats; copies on several links carry the same counter.
 * `dst_incarnation` 0 means "not known yet": such a frame proves nothing but that somebody who
 * holds the key sent it at some time, so only its source is looked at.
 */
#ifndef HAVEN_FRAME_H
#define HAVEN_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "view.h"

#define FRAME_MAGIC 0x4856u /* "HV" */
#define FRAME_VERSION 2u
/** Largest encoded frame without tags; with them, and UDP over IPv6, it fits an MTU of 1500. */
#define FRAME_BYTES_MAX 1416u
#define FRAME_HEADER_BYTES 44u
/** What a sealed body (auth.h) is longer by. */
#define FRAME_SEAL_BYTES 16u
/** Room for records or entries in a mirror frame. */
#define FRAME_MIRROR_PAYLOAD_MAX (FRAME_BYTES_MAX - FRAME_HEADER_BYTES - 64u)

enum frame_type {
	FRAME_BEAT = 1,   /**< heartbeat with the sender's whole agreement state */
	FRAME_VIEW,       /**< a view: committed, proposed or accepted */
	FRAME_MIRROR,     /**< part of a mirror stream */
	FRAME_MIRROR_ACK, /**< receiver's position in a stream */
	FRAME_DIGEST,     /**< digests of a block of entries, to be compared with the replica */
	FRAME_TYPE_END
};

/** Ballots order proposals for one epoch: round, then node. 0: none. */
typedef uint64_t ballot_t;
#define BALLOT(round, node) (((uint64_t)(round) << 8) | (uint8_t)(node))
#define BALLOT_NODE(b) ((uint8_t)((b)&0xff))
#define BALLOT_ROUND(b) ((b) >> 8)

enum beat_flags {
	BEAT_GRANT = 1 << 0,   /**< the echo is also a promise: the receiver's lease may count it */
	BEAT_AMNESIC = 1 << 1, /**< no memory, silence over: ready to take part in a formation */
	BEAT_WITNESS = 1 << 2, /**< hosts no components */
	BEAT_LEAVING = 1 << 3, /**< is giving everything away, to end */
	BEAT_LEFT = 1 << 4,    /**< this life holds, grants and votes nothing any more */
};

struct frame_beat {
	uint64_t seq;          /**< grows by one per beat to this receiver */
	uint64_t echo;         /**< newest seq heard from the receiver, 0: none */
	uint64_t echo_hold_ns; /**< how long the echo waited here: round trip = now - sent - hold */
	uint64_t epoch;        /**< sender's view */
	uint64_t config;       /**< digest of what must be equal on all nodes */
	uint64_t floor;        /**< no epoch up to here may be formed anew */
	ballot_t prepare;      /**< sender asks for promises with this ballot, 0: does not */
	ballot_t promised, accepted;
	uint64_t accepted_digest;
	uint64_t wait_ns;  /**< until the sender's own promises allow what it accepted */
	uint64_t released; /**< bit per instance: given up by the sender in this epoch */
	uint64_t yielded;  /**< subset: and it does not want it back now */
	uint64_t lost;     /**< bit per instance: sender's copy is gone (was in sync) */
	uint64_t ready;    /**< bit per instance: healthy component that may be assigned */
	uint32_t heard;    /**< nodes the sender hears */
	uint8_t flags;     /**< enum beat_flags */
};

enum frame_view_kind {
	FRAME_VIEW_COMMITTED = 0,
	FRAME_VIEW_PROPOSED,
	FRAME_VIEW_ACCEPTED,
	FRAME_VIEW_FORCED, /**< proposed again because an earlier ballot may have chosen it */
};

struct frame_view {
	uint8_t kind;     /**< enum frame_view_kind */
	ballot_t ballot;  /**< of a proposed or accepted one */
	uint64_t base;    /**< epoch it follows; 0 for a committed one */
	uint64_t wait_ns; /**< committed: how long a new holder must still wait */
	struct view view;
};

enum mirror_kind {
	MIRROR_START = 0, /**< begin a session: the receiver empties its replica. first: committed
			       sequence the session starts from; count: unused */
	MIRROR_RECORDS,   /**< records first … first+count-1 of the lane */
	MIRROR_ENTRIES,   /**< live entries among indices first … first+count-1 */
	MIRROR_END,       /**< whole table sent; in sync once applied up to `first` */
};

/** Identity of a stream: one lane of one checkpoint of one instance, from holder to secondary. */
struct mirror_stream {
	uint8_t instance, checkpoint, lane;
};

struct frame_mirror {
	struct mirror_stream stream;
	uint8_t kind;     /**< enum mirror_kind */
	uint64_t epoch;   /**< sender's view */
	uint64_t session; /**< names one life of the stream */
	uint64_t number;  /**< frame of the session: 0, 1, 2, … applied in this order */
	uint64_t first;
	uint32_t count;
	uint32_t shape; /**< digest of the table's shape: both sides must have the same */
	uint16_t payload_bytes;
	const uint8_t *payload; /**< decoded: points into the received frame */
};

struct frame_mirror_ack {
	struct mirror_stream stream;
	uint8_t gap;     /**< a later frame than `next` has come: resend now */
	uint8_t refused; /**< receiver cannot hold this stream (shape, memory) */
	uint64_t epoch;  /**< receiver's view */
	uint64_t session;
	uint64_t next;    /**< all frames below are applied */
	uint64_t applied; /**< last record of the last whole commit applied */
};

/** `live` of a digest frame when the sender's table does not stand at a commit. */
#define FRAME_LIVE_UNKNOWN UINT32_MAX

/** Digests of one block of the sender's table; outside of the session's order, never repeated. */
struct frame_digest {
	struct mirror_stream stream;
	uint64_t epoch;        /**< sender's view */
	uint64_t session;      /**< of the stream, as in struct frame_mirror */
	uint64_t position;     /**< committed when the sender began to look */
	uint32_t first, count; /**< the block: entries first … first+count-1 of the sender's pool */
	uint32_t live;         /**< entries in use at `position`, or FRAME_LIVE_UNKNOWN */
	uint16_t payload_bytes;
	const uint8_t *payload; /**< see mirror_digest.h; decoded: points into the received frame */
};

struct frame {
	uint8_t type; /**< enum frame_type */
	uint8_t src, dst;
	uint64_t src_incarnation, dst_incarnation;
	uint64_t counter;
	union {
		struct frame_beat beat;
		struct frame_view view;
		struct frame_mirror mirror;
		struct frame_mirror_ack ack;
		struct frame_digest digest;
	} u;
};

/** Why a frame was not taken; each is a counter. */
enum frame_fault {
	FRAME_OK = 0,
	FRAME_BAD_LENGTH,
	FRAME_BAD_VERSION,
	FRAME_BAD_TYPE,
	FRAME_BAD_PEER,
	FRAME_BAD_TAG,
	FRAME_BAD_REPLAY,
	FRAME_BAD_BODY,
	FRAME_BAD_KEY, /**< sealed with a key that is not in force here */
	FRAME_FAULT_COUNT
};

/** Fixed header alone, for authentication before parsing. Offsets are part of the wire format. */
struct frame_header {
	uint8_t version, type, src, dst, key_id;
	bool sealed; /**< the body is encrypted */
	uint16_t body_bytes;
	uint64_t src_incarnation, dst_incarnation, counter;
};
enum frame_fault frame_header_decode(const uint8_t *data, size_t size, struct frame_header *out);
/** Set in an encoded frame what protecting or opening its body changes in the header. */
void frame_header_protect(uint8_t *frame, uint8_t key_id, bool sealed, uint16_t body_bytes);
/** Encode; returns the number of bytes, 0 when it does not fit. A payload of
 *  FRAME_MIRROR or FRAME_DIGEST must already stand at frame_mirror_payload(out) or
 *  frame_digest_payload(out), or be given by its `payload` elsewhere. */
size_t frame_encode(const struct frame *f, uint8_t *out, size_t size);
/** Where a mirror frame's payload goes in a buffer of FRAME_BYTES_MAX, so that it is filled once.
 */
uint8_t *frame_mirror_payload(uint8_t *out);
uint8_t *frame_digest_payload(uint8_t *out);
enum frame_fault frame_decode(const uint8_t *data, size_t size, struct frame *out);

#endif
