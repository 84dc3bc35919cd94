# SPDX-License-Identifier: BSD-3-Clause
"""Runs in the namespace of the bridges: takes a genuine frame from node w to node a off the port
that w is behind, and sends spoilt copies of it out of the port that a is behind, COUNT of each
kind. usage: send_frames.py FROM TO COUNT"""

import socket
import sys
import time

ETH_P_ALL = 3
ETHERTYPE = b"\x88\xb5"
HEADER = 14
VERSION, SRC, DST, BODY = HEADER + 2, HEADER + 4, HEADER + 5, HEADER + 44


def packet_socket(interface):
    # A bridge takes frames away before any socket but those for all protocols sees them.
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind((interface, 0))
    raw.settimeout(5)
    return raw


def genuine(raw, seconds=5):
    """A frame from w (node 2) to a (node 0) that is long enough to be a heartbeat."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = raw.recv(2048)
        if (frame[HEADER - 2:HEADER + 2] == ETHERTYPE + b"VH" and len(frame) > BODY + 32 and
                frame[SRC] == 2 and frame[DST] == 0):
            return bytearray(frame)
    sys.exit("no frame from node w to node a was seen")


def changed(frame, at, value):
    copy = bytearray(frame)
    copy[at] = value
    return copy


def main():
    count = int(sys.argv[3])
    frame = genuine(packet_socket(sys.argv[1]))
    spoilt = {
        "version": changed(frame, VERSION, 77),
        "length": frame[:HEADER + 20],
        "peer": changed(frame, SRC, 30),
        "tag": changed(frame, len(frame) - 1, frame[-1] ^ 1),
        "body, which the tag covers": changed(frame, BODY + 3, frame[BODY + 3] ^ 0x80),
        "replay": frame,
    }
    to = packet_socket(sys.argv[2])
    for copy in spoilt.values():
        for _ in range(count):
            to.send(copy)
            time.sleep(0.001)


main()
