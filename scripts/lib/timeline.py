# SPDX-License-Identifier: BSD-3-Clause
"""The live timeline: events of all nodes in the order of their time, one line each."""

import heapq
import os
import sys
import textwrap
import threading

from processes import now_ns

# Events of several nodes come by separate ways; printing waits this long to sort them.
SETTLE_NS = 250_000_000
WIDTH = 80
HIDDEN = {"view-proposed", "lease-gained", "stall", "port-up", "client-refused", "link-up"}
COLOURS = {"info": "", "notice": "", "warning": "33", "critical": "31", "fault": "35;1",
           "lab": "36", "good": "32", "bad": "31;1", "head": "1"}


def use_colour():
    return (sys.stdout.isatty() and "NO_COLOR" not in os.environ and
            os.environ.get("TERM", "dumb") != "dumb")


class Timeline:
    def __init__(self, quiet=False):
        self.colour = use_colour()
        self.quiet = quiet
        self.start_ns = now_ns()
        self.fault_ns = None
        self.heap = []
        self.count = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def paint(self, text, style):
        code = COLOURS.get(style, "")
        return f"\033[{code}m{text}\033[0m" if self.colour and code else text

    def fault_at(self, at_ns):
        """From then on times are told since the fault; None: since the start."""
        with self.lock:
            self.fault_ns = at_ns

    def add(self, at_ns, who, text, style="info"):
        with self.lock:
            heapq.heappush(self.heap, (at_ns, self.count, who, text, style))
            self.count += 1

    def event(self, event):
        """An event of a node, as havenctl tells it."""
        if event["kind"] not in HIDDEN:
            self.add(event["at_ns"], event["node"], event["text"], event["severity"])

    def stamp(self, at_ns):
        if self.fault_ns is None or at_ns < self.fault_ns:
            return f"{(at_ns - self.start_ns) / 1e9:.3f} s"
        since = at_ns - self.fault_ns
        return f"+{since / 1e3:.0f} us" if since < 10_000_000 else f"+{since / 1e6:.1f} ms"

    def line(self, at_ns, who, text, style):
        lines = textwrap.wrap(text, WIDTH - 19) or [""]
        print(f"{self.stamp(at_ns):>12}  {who:<4} " + self.paint(lines[0], style))
        for more in lines[1:]:
            print(" " * 19 + self.paint(more, style))

    def flush(self, before_ns):
        with self.lock:
            while self.heap and self.heap[0][0] <= before_ns:
                at_ns, _, who, text, style = heapq.heappop(self.heap)
                if not self.quiet:
                    self.line(at_ns, who, text, style)
            sys.stdout.flush()

    def run(self):
        while not self.ended.wait(0.05):
            self.flush(now_ns() - SETTLE_NS)

    def say(self, text="", style=""):
        """A line for the person, after everything that is due."""
        self.flush(now_ns())
        print(self.paint(text, style), flush=True)

    def close(self):
        self.ended.set()
        self.thread.join(1)
        self.flush(now_ns())
