# SPDX-License-Identifier: BSD-3-Clause
"""Two voters and no third, without namespaces: an operator says that one of them is dead."""

import json
import os
import subprocess
import tempfile

from processes import Family, wait_until

CONFIGURATION = """cluster: pair
key_file: key
two_voters: operator
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
    def __init__(self, build):
        self.build = build
        self.folder = tempfile.TemporaryDirectory(prefix="haven-pair-")
        self.directory = self.folder.name
        self.family = Family(os.path.join(self.directory, "logs"))
        key = os.path.join(self.directory, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "w") as file:
            file.write("5a" * 32)
        self.configuration = os.path.join(self.directory, "cluster.yaml")
        with open(self.configuration, "w") as file:
            file.write(CONFIGURATION.format(dir=self.directory))

    def start(self, node):
        self.family.start("havend-" + node, [
            os.path.join(self.build, "runtime", "havend"), "--force", "--config",
            self.configuration, "--node", node])

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
        for node in ("a", "b"):
            world.start(node)
        wait_until("the two do not form", lambda: world.members("b") == ["a", "b"]
                   and world.leased("b"), 60)
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
        events = world.run("b", "events").stdout
        check("who said so and why is an event", "plug pulled" in events, events[-600:])
        world.start("a")
        wait_until("who comes back is not admitted", lambda: world.members("a") == ["a", "b"]
                   and world.members("b") == ["a", "b"] and world.leased("a"), 60)
        check("who comes back is admitted with its new life", True)
