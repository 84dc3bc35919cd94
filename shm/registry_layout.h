/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Layout of the registry segment: what stands in the file, byte by byte. Who may read it and how is
 * said in registry.h.
 *
 *     header | status | gates[] | lanes[] | checkpoints[] | clients[] | index[] | directory[] |
 *     events | changes | counters | hot[] | cold[]
 *
 * A component is an *object*, which is two parts under one place number: a hot line, all that a
 * look-up touches, and a cold part. An object never changes once it is published; an update fills
 * another place and shows that. Every reference is a number; nothing in the file is a pointer.
 *
 * The section of counters describes itself (counters.h).
 *
 * The counts (struct registry_shape) are fixed when the file is made. Readers copy and check them
 * once, when they map it, and never trust the mapped words again.
 */
#ifndef HAVEN_REGISTRY_LAYOUT_H
#define HAVEN_REGISTRY_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "atomic.h"
#include "haven_assert.h"
#include "haven_types.h"

#define REGISTRY_MAGIC 0x6e76616873686d31ull /* "1mhshavn" */
#define REGISTRY_LAYOUT_VERSION 5u
#define REGISTRY_FILE "registry"
/** A handle is (generation << REGISTRY_SLOT_BITS) | slot of the directory. */
#define REGISTRY_SLOT_BITS 20
#define REGISTRY_COMPONENTS_LIMIT (1u << REGISTRY_SLOT_BITS)
#define REGISTRY_GENERATION_MAX ((1ull << (64 - REGISTRY_SLOT_BITS)) - 1)
#define REGISTRY_GATES_LIMIT 65536u
#define REGISTRY_LANES_LIMIT 65536u
#define REGISTRY_CLIENTS_LIMIT 1024u
/** Answers kept per application, a power of two. */
#define REGISTRY_REPLIES 256u
#define REGISTRY_RING_LIMIT (1u << 20)
#define REGISTRY_COUNTERS_LIMIT (1u << 30)
#define REGISTRY_DEPENDS_MAX 6u
#define REGISTRY_LOAD_MAX 1000000u
#define REGISTRY_BUCKET_ENTRIES 10u
#define REGISTRY_STATUS_PEERS HAVEN_NODES_MAX
/** No slot, gate, lane or place. */
#define REGISTRY_NONE UINT32_MAX

/** Sizes, chosen at start, fixed for the segment's life. 0 takes the default. */
struct registry_shape {
	uint32_t components; /**< default 4096, at most REGISTRY_COMPONENTS_LIMIT */
	uint32_t spare;      /**< objects beyond one per component, for updates that readers still
				  hold back; default components/8 + 1024 */
	uint32_t gates;      /**< default 256, at most REGISTRY_GATES_LIMIT */
	uint32_t lanes;      /**< default 256, at most REGISTRY_LANES_LIMIT */
	uint32_t clients;    /**< default 64, at most REGISTRY_CLIENTS_LIMIT: applications */
	uint32_t events;     /**< default 4096, a power of two up to REGISTRY_RING_LIMIT */
	uint32_t changes;    /**< default 4096, likewise: the watch ring */
	uint32_t counters_bytes; /**< room for counters, a multiple of 64; default 64 KiB */
};

/** One (component, instance). Writer: node. Readers: the component's workers, tools. */
struct registry_gate {
	uint64_t valid_until_ns; /**< gate is open while role is primary and now is before this;
				      0 unless primary. Store order: shut first, open last (G1) */
	uint64_t epoch;          /**< epoch of the role */
	uint64_t generation;     /**< grows by one with every change of role or epoch, never by a
				      lease renewal; the application confirms it. Starts above
				      whatever an earlier registry of this node has shown */
	uint32_t role;           /**< enum haven_role */
	uint32_t component;      /**< index of the owner in the directory, UINT32_MAX: free */
	uint16_t instance;       /**< cluster-wide instance number */
	uint16_t assigned_node;  /**< holder in the current view, HAVEN_NODE_NONE if none */
	uint32_t version;        /**< odd while role, epoch and generation change (G2) */
	uint64_t pad[3];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_gate) == HAVEN_CACHE_LINE, "one line per gate");

/** One lane of one checkpoint. Writer: node. Readers: the lane's worker, tools. */
struct registry_lane {
	uint64_t acked_seq;    /**< every record up to here is held by the whole in-sync set (L1) */
	uint64_t consumed_seq; /**< log slots up to here may be overwritten (L2) */
	uint64_t applied_seq;  /**< on a secondary: last record of the last whole commit applied */
	uint32_t component;    /**< owner's index in the directory, UINT32_MAX: none; set by
				    registry_lanes_give(), removing the owner frees its lines */
	uint16_t instance;
	uint8_t checkpoint; /**< number of the checkpoint within the component */
	uint8_t lane;
	uint64_t committed_seq; /**< newest commit that the node has seen in the lane */
	uint32_t lag_records;   /**< committed minus acked, as last seen by the node */
	uint32_t live;          /**< entries (blocks) in use, as of a moment ago */
	uint32_t dirty;         /**< of these, values that are in no record yet (mode DIRTY) */
	/* warm standby: records kept and not applied, and about how long one takes, ns */
	uint32_t waiting_records, record_ns;
	uint32_t pad;
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_lane) == HAVEN_CACHE_LINE, "one line per lane");

/** What a lane line belongs to, under the same number; every lane of a checkpoint says it. Writer:
 *  node, while the lane line has no owner. Readers: tools, by registry_lane_copy(). */
struct registry_checkpoint {
	char name[HAVEN_NAME_MAX]; /**< as the application gave it, zero padded */
	uint32_t key_bytes, value_bytes, capacity, lane_records; /**< struct table_shape */
	uint32_t lane_capacity; /**< entries (blocks) that this lane can hold */
	uint8_t kind;           /**< enum table_kind */
	uint8_t mode;           /**< enum table_mode */
	uint8_t lanes;          /**< of the checkpoint */
	uint8_t pad8;
	uint32_t restore; /**< of lane 0, at any time: number of the snapshot that the application
			       is to put back, 0: none. Reader: its control path */
	uint32_t pad32;
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_checkpoint) == HAVEN_CACHE_LINE, "one line per lane");
HAVEN_STATIC_ASSERT(HAVEN_WORKERS_MAX <= UINT8_MAX, "lanes are counted in a byte");

/** Answer to one request (request.h). Writer: node. */
struct registry_reply {
	uint64_t seq;    /**< of the request */
	uint64_t handle; /**< of the component */
	int64_t result;  /**< 0 or a negative enum haven_error */
	uint64_t pad;
};

/** One attached application. Writer: node. Readers: the application, tools. */
struct registry_client {
	uint64_t answered; /**< seq of the newest request that was answered (Q5) */
	uint64_t pid_start_ticks;
	uint64_t attached_ns;
	int32_t pid; /**< 0: free; stored last (release) when it attaches, first when it goes */
	uint32_t pad32;
	uint64_t pad[4];
	struct registry_reply reply[REGISTRY_REPLIES];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_client) % HAVEN_CACHE_LINE == 0, "whole lines");

#define REGISTRY_NO_KEY 255u

/** What the node knows of a peer (or of itself: the entry of its own index). */
struct registry_peer {
	char name[HAVEN_NAME_MAX];
	uint64_t incarnation;   /**< 0: never heard */
	uint64_t last_heard_ns; /**< when its newest beat was taken; 0: never */
	uint64_t beats_received;
	uint64_t beats_lost; /**< gaps in its beat sequence */
	uint64_t rtt_ns;     /**< newest measured round trip, 0: unknown */
	uint64_t epoch;      /**< its view */
	uint64_t frames_bad; /**< frames in its name that failed a check */
	uint8_t configured, voter, witness, alive, member, self;
	uint8_t links_up; /**< bit per link on which it was heard lately, unless held down */
	uint8_t key_id;   /**< number of the cluster key that its newest frame was sealed with (this
			       node's entry: the one that seals here), REGISTRY_NO_KEY: none yet */
	uint8_t held;     /**< comes and goes: gets nothing new to do */
	uint8_t links_gray;                    /**< bit per link that loses too much */
	uint8_t links_held;                    /**< bit per link that flaps and is heard again */
	uint8_t fencing;                       /**< the fence command runs against it */
	uint8_t loss_percent[HAVEN_LINKS_MAX]; /**< of the newest heartbeats, per link */
	char release[HAVEN_NAME_MAX];
};

/** An instance as the current view has it. */
struct registry_instance {
	char name[HAVEN_NAME_MAX];
	char group[HAVEN_NAME_MAX];
	uint8_t holder; /**< node index or HAVEN_NODE_NONE */
	uint8_t role;   /**< enum haven_role of this node for it */
	uint8_t wanted_secondaries;
	uint8_t pad;
	uint32_t assigned;     /**< bit per node: secondaries */
	uint32_t in_sync;      /**< bit per node, holder included */
	uint32_t ready;        /**< bit per node with a healthy component for it, as far as known */
	uint32_t sync_percent; /**< progress of a running full transfer from this node, 0…100 */
	uint32_t lag_records;  /**< largest lag of its lanes on the holder */
	uint64_t since_ns;     /**< when the holder last changed */
	uint64_t since_wall_ns;
	uint64_t since_epoch;
};

/** The optimistic block. `version` is odd while the node writes. Writer: node. */
struct registry_status {
	uint64_t version; /**< pairs S1 (release) with S2 (acquire) */
	uint64_t updated_ns;
	uint64_t epoch;
	uint64_t lease_until_ns; /**< end of this node's lease, 0: none */
	uint64_t view_since_ns, view_since_wall_ns;
	uint64_t poll_gap_max_ns;        /**< longest turn of the poll loop since start */
	uint64_t poll_gap_recent_max_ns; /**< longest turn in the last whole second */
	uint64_t stalls;                 /**< turns longer than the stall limit */
	uint64_t polls;
	uint64_t frames_in, frames_out;
	uint64_t bad_length, bad_version, bad_type, bad_peer, bad_tag, bad_replay, bad_body;
	uint64_t gate_overruns; /**< sum over local workers */
	uint32_t members;       /**< bit per node */
	uint8_t self, n_nodes, n_instances, n_voters;
	uint8_t has_view, has_lease, admitted, pad;
	uint32_t pad2;
	struct registry_peer peer[REGISTRY_STATUS_PEERS];
	struct registry_instance instance[HAVEN_INSTANCES_MAX];
};

/** Head of the file. Writer: node; everything above the last line is constant from H1 on. */
struct registry_header {
	uint64_t magic; /**< written last when the segment is made (H1) */
	uint32_t layout_version;
	uint32_t header_bytes;
	uint64_t size_bytes;
	uint64_t incarnation; /**< of the node that writes it */
	uint64_t started_ns, started_wall_ns;
	int32_t pid;
	uint32_t buckets;         /**< of the index, a power of two */
	uint64_t pid_start_ticks; /**< field 22 of /proc/PID/stat: tells pid reuse */
	char cluster[HAVEN_NAME_MAX];
	char node[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint64_t interval_ns, lease_ns, suspect_ns, guard_ns;
	uint64_t hash_seed; /**< of names in the index */
	uint64_t status_offset, gates_offset, lanes_offset, checkpoints_offset, clients_offset,
		index_offset, directory_offset, events_offset, changes_offset, counters_offset,
		hot_offset, cold_offset;
	struct registry_shape shape;
	/** The line that changes; readers look at it once per burst. */
	_Alignas(HAVEN_CACHE_LINE) uint64_t rcu_epoch; /**< see rcu.h; starts at 1, never 0 */
	uint64_t changes;    /**< number of changes ever made to components (W1) */
	uint64_t generation; /**< of the newest handle given out; stored before it is shown */
	uint64_t stopped_ns; /**< set by an orderly stop, 0 while running or after a crash */
	/* Constant like the lines above. */
	uint64_t huge_bytes; /**< of the file that the node found on 2 MiB pages */
	uint32_t pages_kind; /**< enum pages_kind that was asked for */
	int32_t numa_node;   /**< struct pages_facts */
	uint64_t pad[2];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_header) % HAVEN_CACHE_LINE == 0, "whole lines");

/** Bits of registry_hot.flags. */
enum registry_flag {
	REGISTRY_READY = 1,   /**< it declared itself healthy and complete */
	REGISTRY_DEAD = 2,    /**< proven dead; about to be removed */
	REGISTRY_PENDING = 4, /**< adopted from an earlier incarnation, not heard of yet */
};

/** All that a look-up touches of a component: one line, immutable once published. */
struct registry_hot {
	uint64_t handle;
	uint32_t version; /**< odd while the node fills this place, another even number for every
			       filling: tells readers without a slot that the place was reused
			       under them (C2); covers the cold part, too */
	uint8_t kind;     /**< enum haven_component_kind */
	uint8_t state;    /**< enum haven_role: the highest of its instances, or as set */
	uint8_t health;   /**< enum haven_health */
	uint8_t flags;    /**< enum registry_flag */
	char name[HAVEN_NAME_MAX]; /**< zero padded */
	uint32_t load;             /**< parts per million of its capacity, 0…REGISTRY_LOAD_MAX */
	uint32_t gate_first;       /**< its first gate; `instances` of them */
	uint16_t instances;
	uint16_t instance_first; /**< cluster-wide number of its group's first instance */
	uint32_t weight;
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_hot) == HAVEN_CACHE_LINE, "one line per look-up");
HAVEN_STATIC_ASSERT(offsetof(struct registry_hot, name) % 8 == 0, "compared as words");

/** The rest of the component with the same place number. */
struct registry_cold {
	char group[HAVEN_NAME_MAX];
	char release[HAVEN_NAME_MAX];
	uint64_t pid_start_ticks;
	uint64_t registered_ns, updated_ns; /**< as the node sets them; 0: never */
	int32_t pid;
	uint32_t lane_first; /**< its first lane line; `lanes` of all its checkpoints */
	uint32_t lanes;
	uint16_t format_read_min, format_read_max, format_write;
	uint16_t n_depends;
	uint32_t pad32;
	uint64_t depends[REGISTRY_DEPENDS_MAX]; /**< handles of components it needs */
	uint64_t pad[4];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_cold) == 192, "three lines");

/** Both parts in private memory: what add and update take, what copies give. */
struct registry_component {
	struct registry_hot hot;
	struct registry_cold cold;
};

/**
 * One line of the index: ten entries, each a tag (sixteen bits of the hash, a hint) and the place
 * number of an object + 1 (the truth; 0: empty). A name belongs into the bucket that its hash names
 * or, when that is full, into the next one with room; each bucket passed on the way counts it in
 * `overflow`, so a search ends at the first bucket that nobody passed.
 */
struct registry_bucket {
	uint16_t tag[REGISTRY_BUCKET_ENTRIES];
	uint32_t overflow;
	uint32_t place[REGISTRY_BUCKET_ENTRIES]; /**< pairs I1 */
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_bucket) == HAVEN_CACHE_LINE, "one line per bucket");

enum registry_change_kind { REGISTRY_ADDED = 0, REGISTRY_UPDATED, REGISTRY_REMOVED };
#define REGISTRY_CHANGE_KINDS 3

/** One change, as a watcher is told it. */
struct registry_change {
	uint64_t handle;
	uint32_t kind; /**< enum registry_change_kind */
	uint32_t slot;
	char name[HAVEN_NAME_MAX];
};
HAVEN_STATIC_ASSERT(sizeof(struct registry_change) == 48, "no padding");

#endif
