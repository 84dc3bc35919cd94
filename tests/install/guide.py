# SPDX-License-Identifier: BSD-3-Clause
"""What GUIDE.md quotes, and packets for its example."""

import re
import struct

ETHER = bytes(range(12)) + b"\x08\x00"


def quotes(text):
    """(language, path, body) of every fenced block of the text; path "" when it names none."""
    return re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", text, flags=re.M | re.S)


def wrong_quotes(text, read):
    """Which C and YAML blocks do not stand in the file they name, line by line; `read` gives the
    text of a path, or None."""
    wrong = []
    for language, path, body in quotes(text):
        if language == "sh":
            continue
        source = read(path) if path else None
        if source is None or "\n" + body not in "\n" + source:
            wrong.append(f"{path or 'no file named'}: {body.splitlines()[0]}")
    return wrong


def udp(source, destination, source_port, destination_port):
    """A frame; the addresses as four bytes."""
    body = b"payload!"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(body), 0, 0, 64, 17, 0, bytes(source),
                     bytes(destination))
    return (ETHER + ip + struct.pack("!HHHH", source_port, destination_port, 8 + len(body), 0)
            + body)


def pcap_write(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def pcap_read(path):
    """The whole frames of a file; the last one may be cut where a process was killed."""
    with open(path, "rb") as file:
        data = file.read()
    magic, at, frames = struct.unpack_from("<I", data)[0], 24, []
    assert magic in (0xa1b2c3d4, 0xa1b23c4d), hex(magic)
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        if at + 16 + length > len(data):
            break
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames
