# SPDX-License-Identifier: BSD-3-Clause
"""Runs in the namespace of node w: takes a genuine frame that w sends to node a off the wire and
sends spoilt copies of it, COUNT of each kind. usage: send_frames.py INTERFACE COUNT"""

import socket
import sys
import time

ETHERTYPE = 0x88B5
HEADER = 14
VERSION, SRC, DST, BODY = HEADER + 2, HEADER + 4, HEADER + 5, HEADER + 44


def genuine(raw, seconds=5):
    """A frame from w (node 2) to a (node 0) that is long enough to be a heartbeat."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame, address = raw.recvfrom(2048)
        if (address[2] == socket.PACKET_OUTGOING and len(frame) > BODY + 32 and
                frame[HEADER:HEADER + 2] == b"VH" and frame[SRC] == 2 and frame[DST] == 0):
            return bytearray(frame)
    sys.exit("no frame from node w to node a was seen")


def changed(frame, at, value):
    copy = bytearray(frame)
    copy[at] = value
    return copy


def main():
    interface, count = sys.argv[1], int(sys.argv[2])
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    raw.bind((interface, ETHERTYPE))
    raw.settimeout(5)
    frame = genuine(raw)
    spoilt = {
        "version": changed(frame, VERSION, 77),
        "length": frame[:HEADER + 20],
        "peer": changed(frame, SRC, 30),
        "tag": changed(frame, len(frame) - 1, frame[-1] ^ 1),
        "body": changed(frame, BODY + 3, frame[BODY + 3] ^ 0x80),
        "replay": frame,
    }
    for copy in spoilt.values():
        for _ in range(count):
            raw.send(copy)
            time.sleep(0.001)


main()
