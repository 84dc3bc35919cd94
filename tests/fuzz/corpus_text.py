#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The corpus of a fuzz target as text, one input per line: its name and its bytes in hex.

usage: corpus_text.py pack FOLDER FILE     every file of the folder becomes a line
       corpus_text.py unpack FILE FOLDER   every line becomes a file"""

import os
import sys


def pack(folder, path):
    with open(path, "w", encoding="ascii") as text:
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as one:
                text.write(f"{name} {one.read().hex()}\n")


def unpack(path, folder):
    os.makedirs(folder, exist_ok=True)
    with open(path, encoding="ascii") as text:
        for line in text:
            name, data = line.split()
            with open(os.path.join(folder, name), "wb") as one:
                one.write(bytes.fromhex(data))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        print(__doc__, file=sys.stderr)
        return 2
    (pack if sys.argv[1] == "pack" else unpack)(sys.argv[2], sys.argv[3])
    return 0


sys.exit(main())
