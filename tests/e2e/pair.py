# SPDX-License-Identifier: BSD-3-Clause
"""Two voters and no third, without namespaces: an operator, or a command, says that one is dead."""

import json
import os
import signal
import subprocess
import tempfile
import time

from processes import Family, wait_until

CONFIGURATION = """cluster: pair
key_file: key
{two_voters}
timers: {{interval: 10ms, suspect: 500ms, lease: 1s, guard: 5ms}}
nodes:
  - name: a
    run_dir: {dir}/run-a
    ports: ["net_memif0,role=server,id=0,socket={dir}/m,socket-abstract=no"]
  - name: b
    run_dir: {dir}/run-b
    ports: ["net_memif0,role=client,id=0,socket={dir}/m,socket-abstract=no"]
"""


class Pair:
    def __init__(self, build, two_voters="two_voters: operator", fence=None):
        """`fence`: text of a script that stands in the folder as the program "fence"."""
        self.build = build
        self.folder = tempfile.TemporaryDirectory(prefix="haven-pair-")
        self.directory = self.folder.name
        self.family = Family(os.path.join(self.directory, "logs"))
        key = os.path.join(self.directory, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "w") as file:
            file.write("5a" * 32)
        self.write_fence(fence or "exit 1")
        self.configuration = os.path.join(self.directory, "cluster.yaml")
        with open(self.configuration, "w") as file:
            file.write(CONFIGURATION.format(
                dir=self.directory, two_voters=two_voters.format(dir=self.directory)))

    def write_fence(self, script):
        """Put the program in place, in one step: a node may start it at any time."""
        path = os.path.join(self.directory, "fence")
        with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o755), "w") as file:
            file.write("#!/bin/sh\n" + script.format(dir=self.directory) + "\n")
        os.rename(path + ".new", path)

    def form(self):
        """Both nodes run and are one cluster."""
        for node in ("a", "b"):
            self.start(node)
        wait_until("the two do not form", lambda: self.members("b") == ["a", "b"]
                   and self.leased("b"), 60)

    def start(self, node):
        process = self.family.start("havend-" + node, [
            os.path.join(self.build, "runtime", "havend"), "--force", "--config",
            self.configuration, "--node", node])
        with open(os.path.join(self.directory, "pid-" + node), "w") as file:
            file.write(str(process.pid))

    def run(self, node, *words):
        return subprocess.run(
            [os.path.join(self.build, "ctrl", "havenctl"), "--run-dir",
             os.path.join(self.directory, "run-" + node), *words],
            capture_output=True, text=True, timeout=20, check=False)

    def ctl(self, node, *words):
        """Exit code and the object printed."""
        result = self.run(node, *words, "--json")
        text = result.stdout or result.stderr
        return result.returncode, json.loads(text) if text.startswith("{") else {}

    def state(self, node):
        """What the node says of itself."""
        return self.ctl(node, "status")[1].get("data", {}).get("registries", [{}])[0]

    def members(self, node):
        return self.state(node).get("members", [])

    def leased(self, node):
        return self.state(node).get("has_lease", False)

    def problems(self, node):
        return self.ctl(node, "status")[1].get("data", {}).get("problems", [])

    def events(self, node):
        return self.run(node, "events").stdout

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            for name, lines in self.family.tails():
                print(f"--- {name}", *lines, sep="\n  ")
        self.family.close()
        self.folder.cleanup()


def pair(build, check):
    """Two voters: the survivor stands still until an operator confirms the death of the other."""
    with Pair(build) as world:
        world.form()
        code, answer = world.ctl("b", "confirm-dead", "a", "--yes")
        check("a node that is heard cannot be confirmed dead", code == 1, str(answer))
        world.family["havend-a"].kill()
        wait_until("the survivor keeps its lease", lambda: not world.leased("b"), 10)
        check("silence alone lets nobody go on", world.members("b") == ["a", "b"])
        code, answer = world.ctl("b", "confirm-dead", "a", "--yes", "--because", "plug pulled")
        check("the word of the operator is taken", code == 0, str(answer))
        wait_until("the survivor does not go on", lambda: world.members("b") == ["b"]
                   and world.leased("b"), 10)
        check("the survivor has a lease and a view of its own", True)
        events = world.events("b")
        check("who said so and why is an event", "plug pulled" in events, events[-600:])
        world.start("a")
        wait_until("who comes back is not admitted", lambda: world.members("a") == ["a", "b"]
                   and world.members("b") == ["a", "b"] and world.leased("a"), 60)
        check("who comes back is admitted with its new life", True)


# Cuts a node off as a switched outlet would, and waits for its end as one that answers would.
KILL = """
pid=$(cat {dir}/pid-$HAVEN_FENCE_NODE) || exit 2
kill -9 $pid
while [ -e /proc/$pid/stat ] && ! grep -q ') Z' /proc/$pid/stat; do :; done
echo "$HAVEN_CLUSTER: killed $HAVEN_FENCE_NODE"
"""
FENCE = "two_voters: fence\nfence: {{command: [{dir}/fence], timeout: 2s, delay: 100ms}}"


def alone(world, node):
    return world.members(node) == [node] and world.leased(node)


def fence(build, check):
    """Two voters: the survivor has a command cut the other one off, and goes on when it did."""
    with Pair(build, FENCE, fence="echo no route to the outlet >&2; exit 3") as world:
        world.form()
        world.family["havend-a"].send(signal.SIGSTOP)
        wait_until("no failure is told",
                   lambda: "exit status 3: no route to the outlet" in world.events("b"), 20)
        check("a command that fails is told with its status and last line", True)
        wait_until("the survivor keeps its lease", lambda: not world.leased("b"), 10)
        check("and proves nothing", world.members("b") == ["a", "b"])
        world.write_fence("while :; do :; done")
        wait_until("a command that runs does not show",
                   lambda: "node-fencing" in [p["kind"] for p in world.problems("b")], 60)
        check("a command that runs shows in the status", True)
        wait_until("no time-out is told", lambda: "no end in time" in world.events("b"), 60)
        check("a command that hangs is ended, and proves nothing",
              world.members("b") == ["a", "b"] and not world.leased("b"))
        world.write_fence(KILL)
        wait_until("the survivor does not go on", lambda: alone(world, "b"), 60)
        check("it is tried again, and the survivor goes on", True)
        check("the other one was really cut off", not world.family["havend-a"].running())
        events = world.events("b")
        check("each step is an event", "fence command for node a is started" in events
              and "that node a is cut off" in events and "by the word of the fence command"
              in events, events[-900:])
        world.start("a")
        wait_until("who comes back is not admitted", lambda: world.members("a") == ["a", "b"]
                   and world.members("b") == ["a", "b"] and world.leased("a"), 60)
        check("who comes back is admitted and not fenced", world.family["havend-a"].running())
    with Pair(build, FENCE, fence="touch {dir}/begun; while :; do :; done") as world:
        world.form()
        world.family["havend-a"].send(signal.SIGSTOP)
        wait_until("the command is not started",
                   lambda: os.path.exists(os.path.join(world.directory, "begun")), 20)
        world.family["havend-a"].send(signal.SIGCONT)
        wait_until("the command is not stopped",
                   lambda: "stopped: the node was heard" in world.events("b"), 20)
        wait_until("the two do not go on", lambda: world.leased("b") and world.leased("a")
                   and world.members("a") == ["a", "b"], 60)
        check("a node that is heard again ends the command, and both go on", True)


def leave(build, check):
    """Two voters: one is stopped in order, and the other goes on without suspicion or fence."""
    with Pair(build, FENCE, fence="touch {dir}/fenced") as world:
        world.form()
        world.family["havend-a"].send(signal.SIGTERM)
        wait_until("the survivor does not go on", lambda: alone(world, "b"), 10)
        check("the survivor goes on alone", True)
        wait_until("the node does not end", lambda: not world.family["havend-a"].running(), 20)
        check("the node ended in order", world.family["havend-a"].child.returncode == 0)
        # Longer than a lease: silence would have ended it, and would have called for the command.
        epochs = world.state("b")["epoch"]
        end = time.monotonic() + 3
        wait_until("time stands still", lambda: time.monotonic() > end, 10)
        check("its lease goes on", alone(world, "b") and world.state("b")["epoch"] == epochs)
        events = world.events("b")
        check("that the node left is an event", "node a has left in order" in events,
              events[-900:])
        check("nobody was suspected", "suspected" not in events, events[-900:])
        check("no fence command was run",
              not os.path.exists(os.path.join(world.directory, "fenced"))
              and "fence command" not in events, events[-900:])
        world.start("a")
        wait_until("who comes back is not admitted", lambda: world.members("a") == ["a", "b"]
                   and world.members("b") == ["a", "b"] and world.leased("a"), 60)
        check("who comes back is admitted with its new life", True)
