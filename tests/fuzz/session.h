/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Three brains in virtual time for the target of sequences. Each frame is encoded, sealed, held,
 * opened and decoded on its way, as between real nodes. Node 0 is the one that forged frames reach;
 * its peers hear only what nodes really said, though late, twice or never.
 *
 * After every step the node is judged: what it tells must follow the rules below. As long as nobody
 * has forged a frame, no two nodes may act at once; with a key in the hands of a liar that cannot
 * be promised, but no assertion may fail, no epoch go back, no move of a role be illegal and no
 * frame leave that a peer could not read.
 */
#ifndef HAVEN_FUZZ_SESSION_H
#define HAVEN_FUZZ_SESSION_H

#include "auth.h"
#include "brain.h"

#define SESSION_NODES 3u
#define SESSION_INSTANCES 2u
#define SESSION_MAIL 64u
#define SESSION_LIVES 4u
#define SESSION_FRAME_MAX (FRAME_BYTES_MAX + AUTH_BYTES_MAX)
#define SESSION_TICK_NS 250000u

/** A sealed frame on its way. */
struct session_mail {
	uint8_t src, dst, src_life;
	uint16_t size;
	uint8_t bytes[SESSION_FRAME_MAX];
};

struct session_node {
	unsigned life; /**< 0…SESSION_LIVES-1, one more at each restart */
	bool lane;     /**< instance 0 has a checkpoint of one lane */
	bool ready[SESSION_INSTANCES];
	uint8_t role[SESSION_INSTANCES]; /**< as told */
	uint64_t epoch, position;
	uint64_t counter[SESSION_NODES]; /**< of the newest frame to each */
};

struct session {
	bool confidential, forged;
	uint64_t now;
	struct session_node node[SESSION_NODES];
	uint8_t cut[SESSION_NODES]; /**< mask of nodes that do not hear this one */
	unsigned mail_count;
	struct session_mail mail[SESSION_MAIL]; /**< when it is full the oldest is lost */
	struct session_mail last;               /**< the newest one delivered to node 0 */
};

/** Begin, all nodes dead to each other, components ready. */
void session_start(struct session *s, bool confidential);
/** One instant later: all mail is delivered, everybody ticks. */
void session_tick(struct session *s);
/** Time passes and nobody does anything. */
void session_sleep(struct session *s, uint64_t ns);
/** Deliver the letter `k`; `keep`: it will come again. */
void session_deliver(struct session *s, unsigned k, uint8_t link, bool keep);
void session_drop(struct session *s, unsigned k);
/** Deliver the last letter to node 0 once more. */
void session_replay(struct session *s, uint8_t link);
/** Change bytes of the plain frame of letter `k`, seal it again, and deliver it if it is for node
 *  0. The letter itself stays as it was. */
void session_forge(struct session *s, unsigned k, uint16_t at, const uint8_t *bytes, size_t n);
/** A frame with this body in a peer's name. */
void session_invent(struct session *s, uint8_t src, uint8_t type, const uint8_t *body, size_t n);
/** An event of the node's own side. */
void session_event(struct session *s, unsigned node, struct brain_event e);
void session_component(struct session *s, unsigned node, unsigned instance, bool up);
void session_commit(struct session *s, unsigned node, unsigned records);
void session_restart(struct session *s, unsigned node);

const struct brain *session_brain(unsigned node);
/** Keep this state, to return to it. One state is kept per value of `confidential`. */
void session_keep(const struct session *s);
void session_return(struct session *s, bool confidential);

#endif
