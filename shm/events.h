/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Event ring: the node broadcasts, everybody reads at his own pace and is told exactly how many he
 * missed. Single writer, fixed slots, no lock, no reader state in the ring.
 *
 * It is a broadcast ring (broadcast.h has the protocol and its guarantees) of event bodies; the
 * number that the ring gives a record is the event's seq.
 */
#ifndef HAVEN_EVENTS_H
#define HAVEN_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "broadcast.h"
#include "haven_types.h"

#define EVENT_DETAIL_MAX 120

/** Kinds of events; event_kind_name() gives the stable label. */
enum event_kind {
	EVENT_NODE_START = 0,
	EVENT_NODE_STOP,
	EVENT_PEER_UP,         /**< node: heard, with fresh incarnation */
	EVENT_PEER_SUSPECT,    /**< node: silent; a = silence ns, b = limit ns */
	EVENT_LINK_DOWN,       /**< node, a = link: silent while another link works */
	EVENT_LINK_UP,         /**< node, a = link */
	EVENT_VIEW,            /**< epoch: a new view; a = members mask, node = author */
	EVENT_VIEW_PROPOSED,   /**< epoch: this node proposed it; a = enum of the reason */
	EVENT_LEASE_GAINED,    /**< a = valid until ns */
	EVENT_LEASE_LOST,      /**< a = when it ended ns */
	EVENT_ROLE,            /**< instance: this node's role; a = old, b = new */
	EVENT_ROLE_RELEASED,   /**< instance: given up at once; a = enum of the reason */
	EVENT_COMPONENT_UP,    /**< detail = name; a = pid */
	EVENT_COMPONENT_READY, /**< detail = name */
	EVENT_COMPONENT_GONE,  /**< in order; detail = name */
	EVENT_COMPONENT_DEAD,  /**< detail = "name: proof"; a = pid, b = when the mark was seen */
	EVENT_COMPONENT_STUCK, /**< alive, does not poll; a = silence ns */
	EVENT_SYNC_START,      /**< instance, node = receiver */
	EVENT_SYNC_DONE,       /**< instance, node = receiver; a = entries, b = duration ns */
	EVENT_IN_SYNC,         /**< instance, node joined the in-sync set */
	EVENT_OUT_OF_SYNC,     /**< instance, node left the in-sync set */
	EVENT_STATE_LOST,      /**< instance: every in-sync copy is provably gone */
	EVENT_STALL,           /**< own poll loop stood still; a = ns */
	EVENT_CLIENT_REFUSED,  /**< detail = why */
	EVENT_CLIENT_EVICTED,  /**< detail = why */
	EVENT_SWITCHOVER,      /**< instance: operator's request; a = from, b = to, detail = who */
	EVENT_SWITCHOVER_REFUSED, /**< detail = which check failed */
	EVENT_PORT_DOWN,
	EVENT_PORT_UP,
	EVENT_NO_SUCCESSOR,       /**< instance: nobody may serve it; detail = why */
	EVENT_FIRST_PACKET,       /**< reported by an application; a = ns after promotion */
	EVENT_COMPONENTS_ADOPTED, /**< from the registry before this one: a = how many, b = dropped
				       for their process has ended, c = it took ns; detail = what
				       else could not be kept */
	EVENT_COMPONENTS_CLAIMED, /**< a process came back: a = pid, b = its components */
	EVENT_COMPONENTS_GONE,    /**< without instances: a = pid, b = how many; detail = why */
	EVENT_REGISTRY_LOST,      /**< the one before this cannot be taken over; detail = why */
	EVENT_LINK_GRAY,          /**< node, a = link: works, loses b percent of the heartbeats */
	EVENT_LINK_CLEAR,         /**< node, a = link: no longer gray, loses b percent */
	EVENT_LINK_HELD,          /**< node, a = link: flaps, counts as up again in b ns */
	EVENT_PEER_HELD,     /**< node: comes and goes, gets nothing new to do for a ns; b = times
				  it has gone */
	EVENT_FENCED,        /**< node: proven dead from outside, its vote counts as given; a = its
				  life, b = 0 operator, 1 command; detail = who or what */
	EVENT_FENCE_REVOKED, /**< node: proven dead, and heard all the same; a = its life */
	EVENT_COMPONENT_POLLS, /**< was stuck, all of its workers poll again; a = it was for ns */
	EVENT_FENCE_STARTED,   /**< node: the fence command runs; a = its life */
	EVENT_FENCE_DONE,      /**< node: the command says that it did it, in b ns; a = its life */
	EVENT_FENCE_FAILED,    /**< node: it did not; a = its life, b = ns until it is tried again;
				    detail = how it ended and the last line of its output */
	EVENT_COPY_DIFFERS,    /**< instance, node = holder: the copy here differs from the holder's
				    in a entries of one block, the first of record b; detail =
				    where. It counts no more, and is fetched anew */
	EVENT_LEFT,        /**< node: ended in order, holds nothing; a = its life, b = it took ns
				(this node's own end only) */
	EVENT_CLOCK_STOOD, /**< node: its clock stood still, machine suspended or paused; a = for ns
			    */
	EVENT_CLOCK_BAD,   /**< node: clocks disagree by a ppm, more than b; takes no role */
	EVENT_CLOCK_GOOD,  /**< node: they agree again */
	EVENT_CONFIG_DIFFERS, /**< node: configured otherwise, not heard; a, b = its digest and ours
			       */
	EVENT_KIND_COUNT
};

/** Severity: status shows warnings and worse first. */
enum event_severity { EVENT_INFO = 0, EVENT_NOTICE, EVENT_WARNING, EVENT_CRITICAL };

/** One event as readers see it. 256 bytes. Unused fields are 0, unused node or instance 0xff. */
struct event {
	uint64_t seq;     /**< 1, 2, 3, … since the segment was made */
	uint64_t at_ns;   /**< CLOCK_MONOTONIC_RAW */
	uint64_t wall_ns; /**< since 1970 */
	uint64_t epoch;   /**< view at that moment */
	uint64_t a, b, c; /**< by kind */
	uint16_t kind;    /**< enum event_kind */
	uint8_t severity; /**< enum event_severity */
	uint8_t node;
	uint8_t instance;
	uint8_t pad[3];
	char detail[EVENT_DETAIL_MAX];
	uint64_t reserved[9];
};
_Static_assert(sizeof(struct event) == 256, "four lines per event");

struct event_ring {
	struct broadcast ring;
};

size_t event_ring_bytes(uint32_t slots);
void event_ring_init(struct event_ring *ring, uint32_t slots);
/** Node only. `e->seq` is filled. */
void event_ring_publish(struct event_ring *ring, uint32_t slots, struct event *e);
/**
 * Read the event after `*position` (0: from the oldest still there). Returns 1 and advances, 0 when
 * there is none yet; adds the number of events that were overwritten before they could be read to
 * `*missed`. `slots` is the reader's own validated copy, never the ring's word.
 */
int event_ring_read(const struct event_ring *ring, uint32_t slots, uint64_t *position,
		    struct event *out, uint64_t *missed);
/** Stable label ("peer-suspect"), never NULL. */
const char *event_kind_name(unsigned kind);
/** Stable label ("warning"), never NULL. */
const char *event_severity_name(unsigned severity);
/** Why a view was proposed or a role given up (`a` of EVENT_VIEW_PROPOSED and EVENT_ROLE_RELEASED;
 *  same order as enum brain_reason), as a phrase; never NULL. */
const char *event_reason_name(uint64_t reason);
/** Number of reasons that have a phrase. */
#define EVENT_REASON_COUNT 13
/** Names a text renderer may need; any may be NULL. */
struct event_names {
	const char *(*node)(void *context, unsigned node);
	const char *(*instance)(void *context, unsigned instance);
	void *context;
};
/** One sentence for a person, without time stamp, always terminated. Returns its length. `detail`
 *  must be terminated, as event_ring_read() leaves it; it may hold any other bytes, which are shown
 *  as '?' when they could disturb a terminal. `size` > 0. */
int event_sentence(const struct event *e, const struct event_names *names, char *out, size_t size);

#endif
