/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The wire format: each list names the fields of one part of a frame in their order, with the
 * width, the member of the C structure and a word for people. Integers are little-endian, nothing
 * is padded. The codec (frame.c, view.c) and the dissector for Wireshark (datapath/dissector.c) are
 * made from these lists, so they cannot disagree.
 *
 *     F(width, member, text)   width: u8, u16, u32 or u64
 *
 * A frame is the header and one body by its type; auth.h says what may follow.
 */
#ifndef HAVEN_WIRE_H
#define HAVEN_WIRE_H

#define WIRE_HEADER(F)                                                                             \
	F(u16, magic, "Magic")                                                                     \
	F(u8, version, "Version")                                                                  \
	F(u8, type, "Type")                                                                        \
	F(u8, src, "Source node")                                                                  \
	F(u8, dst, "Destination node")                                                             \
	F(u8, key_id, "Key number")                                                                \
	F(u8, sealed, "Sealed")                                                                    \
	F(u16, body_bytes, "Body bytes")                                                           \
	F(u16, zero16, "Zero")                                                                     \
	F(u64, src_incarnation, "Source incarnation")                                              \
	F(u64, dst_incarnation, "Destination incarnation")                                         \
	F(u64, counter, "Counter")                                                                 \
	F(u64, zero64, "Zero")

#define WIRE_BEAT(F)                                                                               \
	F(u64, seq, "Sequence")                                                                    \
	F(u64, echo, "Echo")                                                                       \
	F(u64, echo_hold_ns, "Echo held (ns)")                                                     \
	F(u64, epoch, "Epoch")                                                                     \
	F(u64, config, "Configuration")                                                            \
	F(u64, floor, "Epoch floor")                                                               \
	F(u64, prepare, "Ballot asked for")                                                        \
	F(u64, promised, "Ballot promised")                                                        \
	F(u64, accepted, "Ballot accepted")                                                        \
	F(u64, accepted_digest, "Digest accepted")                                                 \
	F(u64, wait_ns, "Promises last (ns)")                                                      \
	F(u64, released, "Roles released")                                                         \
	F(u64, yielded, "Roles yielded")                                                           \
	F(u64, lost, "Copies lost")                                                                \
	F(u64, ready, "Components ready")                                                          \
	F(u32, heard, "Nodes heard")                                                               \
	F(u8, flags, "Flags")

/** Before the view itself. */
#define WIRE_VIEW_HEAD(F)                                                                          \
	F(u8, kind, "Kind")                                                                        \
	F(u64, ballot, "Ballot")                                                                   \
	F(u64, base, "Follows epoch")                                                              \
	F(u64, wait_ns, "New holder waits (ns)")

/** Then one incarnation (u64) per node and one WIRE_VIEW_INSTANCE per instance. */
#define WIRE_VIEW(F)                                                                               \
	F(u64, epoch, "Epoch")                                                                     \
	F(u8, author, "Author")                                                                    \
	F(u8, formation, "Formation")                                                              \
	F(u8, n_nodes, "Nodes")                                                                    \
	F(u8, n_instances, "Instances")                                                            \
	F(u32, members, "Members")

#define WIRE_VIEW_INSTANCE(F)                                                                      \
	F(u8, holder, "Holder")                                                                    \
	F(u32, assigned, "Secondaries")                                                            \
	F(u32, in_sync, "In sync")                                                                 \
	F(u16, lineage, "Lineage")

/** The payload follows. */
#define WIRE_MIRROR(F)                                                                             \
	F(u8, stream.instance, "Instance")                                                         \
	F(u8, stream.checkpoint, "Checkpoint")                                                     \
	F(u8, stream.lane, "Lane")                                                                 \
	F(u8, kind, "Kind")                                                                        \
	F(u64, epoch, "Epoch")                                                                     \
	F(u64, session, "Session")                                                                 \
	F(u64, number, "Number")                                                                   \
	F(u64, first, "First")                                                                     \
	F(u32, count, "Count")                                                                     \
	F(u32, shape, "Shape")                                                                     \
	F(u16, payload_bytes, "Payload bytes")

#define WIRE_MIRROR_ACK(F)                                                                         \
	F(u8, stream.instance, "Instance")                                                         \
	F(u8, stream.checkpoint, "Checkpoint")                                                     \
	F(u8, stream.lane, "Lane")                                                                 \
	F(u8, gap, "Gap")                                                                          \
	F(u8, refused, "Refused")                                                                  \
	F(u64, epoch, "Epoch")                                                                     \
	F(u64, session, "Session")                                                                 \
	F(u64, next, "Next number")                                                                \
	F(u64, applied, "Applied")

/** The payload follows. */
#define WIRE_DIGEST(F)                                                                             \
	F(u8, stream.instance, "Instance")                                                         \
	F(u8, stream.checkpoint, "Checkpoint")                                                     \
	F(u8, stream.lane, "Lane")                                                                 \
	F(u64, epoch, "Epoch")                                                                     \
	F(u64, session, "Session")                                                                 \
	F(u64, position, "Position")                                                               \
	F(u32, first, "First")                                                                     \
	F(u32, count, "Count")                                                                     \
	F(u32, live, "Live entries")                                                               \
	F(u16, payload_bytes, "Payload bytes")

/** Bytes of a list. */
#define WIRE_WIDTH_u8 1
#define WIRE_WIDTH_u16 2
#define WIRE_WIDTH_u32 4
#define WIRE_WIDTH_u64 8
#define WIRE_ADD(width, member, text) +WIRE_WIDTH_##width
#define WIRE_BYTES(list) (0 list(WIRE_ADD))

/** Write or read the fields of `*p` with the cursor `at`. */
#define WIRE_PUT(width, member, text) bytes_put_##width(at, p->member);
#define WIRE_GET(width, member, text) p->member = bytes_get_##width(at);

#endif
