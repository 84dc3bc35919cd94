/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes a capture file with one frame of every type, on Ethernet and as UDP: numbers in them are
 * known to tests/dissector/run. usage: frame-capture FILE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "wrap.h"

#define TAG_BYTES 16u
#define SNAP_BYTES 2048u

struct pcap_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snap, network;
};

struct pcap_packet {
	uint32_t seconds, microseconds, bytes, whole;
};

static void write_all(FILE *f, const void *data, size_t bytes)
{
	if (fwrite(data, bytes, 1, f) != 1) {
		perror("frame-capture");
		exit(1);
	}
}

static void write_frame(FILE *f, const struct frame *frame, enum wrap_kind kind)
{
	struct wrap w = {.kind = kind, .udp_port = WRAP_UDP_PORT_DEFAULT};
	struct wrap_address to = {.ip = {10, 0, 0, 2}};
	uint8_t packet[SNAP_BYTES] = {0};
	size_t header = wrap_bytes(&w);
	size_t bytes = frame_encode(frame, packet + header, FRAME_BYTES_MAX) + TAG_BYTES;
	struct pcap_packet p = {.bytes = (uint32_t)(header + bytes),
				.whole = (uint32_t)(header + bytes)};

	memcpy(w.self.ip, (uint8_t[]){10, 0, 0, 1}, 4);
	wrap_mac("demo", 0, w.self.mac);
	wrap_mac("demo", 1, to.mac);
	wrap_write(&w, &to, packet, bytes);
	write_all(f, &p, sizeof(p));
	write_all(f, packet, p.bytes);
}

static struct frame frame_of(uint8_t type)
{
	return (struct frame){.type = type,
			      .src = 0,
			      .dst = 1,
			      .src_incarnation = 1001,
			      .dst_incarnation = 1002,
			      .counter = 1003};
}

static void write_each(FILE *f, enum wrap_kind kind)
{
	struct frame beat = frame_of(FRAME_BEAT), view = frame_of(FRAME_VIEW);
	struct frame mirror = frame_of(FRAME_MIRROR), ack = frame_of(FRAME_MIRROR_ACK);
	struct frame digest = frame_of(FRAME_DIGEST);

	beat.u.beat = (struct frame_beat){.seq = 2001, .epoch = 2002, .heard = 7, .flags = 1};
	write_frame(f, &beat, kind);
	view.u.view = (struct frame_view){
		.kind = FRAME_VIEW_COMMITTED,
		.wait_ns = 3001,
		.view = {.epoch = 3002, .n_nodes = 3, .n_instances = 2, .members = 7}};
	for (unsigned i = 0; i < 3; i++)
		view.u.view.view.incarnation[i] = 3010 + i;
	for (unsigned i = 0; i < 2; i++)
		view.u.view.view.instance[i] = (struct view_instance){
			.holder = (uint8_t)i, .in_sync = 1u << i, .lineage = (uint16_t)(3020 + i)};
	write_frame(f, &view, kind);
	mirror.u.mirror = (struct frame_mirror){.stream = {4, 5, 6},
						.kind = MIRROR_RECORDS,
						.session = 4001,
						.number = 4002,
						.first = 4003,
						.count = 1,
						.payload_bytes = 5,
						.payload = (const uint8_t *)"bytes"};
	write_frame(f, &mirror, kind);
	ack.u.ack = (struct frame_mirror_ack){.stream = {4, 5, 6}, .next = 5001, .applied = 5002};
	write_frame(f, &ack, kind);
	digest.u.digest = (struct frame_digest){.stream = {4, 5, 6},
						.session = 6001,
						.position = 6002,
						.first = 6003,
						.count = 1,
						.live = 6004,
						.payload_bytes = 5,
						.payload = (const uint8_t *)"bytes"};
	write_frame(f, &digest, kind);
}

int main(int argc, char **argv)
{
	const struct pcap_head head = {.magic = 0xa1b2c3d4,
				       .major = 2,
				       .minor = 4,
				       .snap = SNAP_BYTES,
				       .network = 1}; /* Ethernet */
	FILE *f = argc == 2 ? fopen(argv[1], "wb") : NULL;

	if (!f) {
		fputs("usage: frame-capture FILE\n", stderr);
		return 2;
	}
	write_all(f, &head, sizeof(head));
	write_each(f, WRAP_ETHERNET);
	write_each(f, WRAP_UDP4);
	write_each(f, WRAP_UDP6);
	return fclose(f) == 0 ? 0 : 1;
}
