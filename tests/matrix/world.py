# SPDX-License-Identifier: BSD-3-Clause
"""The struck cluster: nodes a and b with a translator each, a witness, checked traffic, and every
fault that may befall them."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))

# pylint: disable=wrong-import-position,import-error
import cluster as clusters
import figures
import lab as labs
from processes import Family, wait_until

NODES = ("a", "b", "w")
# Kinds of events that tell a failure's story.
TELLING = ("role", "in-sync", "out-of-sync", "state-lost", "node-start", "component-dead", "view",
           "lease-lost", "sync-done", "no-successor", "role-released")


class World:
    """The cluster of the demonstration, its network, and the watch over the gates. `flows` are
    opened at the start, `new_per_s` more join; each second sees `pps` packets."""

    groups = ("nat",)
    least_gap_ns = 0  # how long this host stops a loop, if it does not look worse

    def __init__(self, build, flows=400, pps=3000, new_per_s=50):
        self.traffic = {"flows": flows, "pps": pps, "new_per_s": new_per_s}
        self.known_flows = {}
        self.told_losses = 0
        self.directory = tempfile.mkdtemp(prefix="haven-")
        self.family = Family(os.path.join(self.directory, "logs"))
        self.programs = clusters.Programs(build)
        self.watch_program = self.programs.find("tests/matrix/gate-watch")
        cpus = sorted(os.sched_getaffinity(0))
        first, last = cpus[0], cpus[1 % len(cpus)]
        self.cpus = {"a": first, "nat-a": first, "b": last, "nat-b": last, "w": first, "lab": last}
        self.family.start("lab", labs.command_line(self.programs.lab, self.directory,
                                                   self.cpus["lab"], False))
        self.lab = labs.Lab(self.directory, self.family["lab"])
        ports = {n: labs.memif(self.directory, 0, "ha-" + n) for n in NODES}
        self.cluster = clusters.Cluster(
            self.programs, self.family, self.directory,
            clusters.write_configuration(self.directory, ports, self.cpus, "polite",
                                         self.timers(), groups=self.groups),
            lambda node: (labs.memif(self.directory, 0, "in-" + node),
                          labs.memif(self.directory, 1, "out-" + node)), self.cpus, False,
            nat_options=["--flows", str(max(2 * flows, 131072))])

    def timers(self):
        self.lab.ask("mark")
        time.sleep(1)
        gap_ns = max(self.lab.report()["poll_gap_max_ns"], self.least_gap_ns)
        return clusters.timers_for(gap_ns)[0]

    def start(self):
        for node in NODES:
            self.cluster.start_node(node)
        for node in ("a", "b"):
            self.cluster.start_nat(node)
        self.cluster.wait_whole()
        self.start_load()

    def start_load(self):
        """The watch over the gates, and the traffic."""
        self.family.start("watch", [self.watch_program, self.cluster.run_dir("a"),
                                    self.cluster.run_dir("b")], capture=True)
        self.lab.ask("start", **self.traffic)
        wait_until("the translator does not answer",
                   lambda: self.lab.report()["return"]["received"] > 0, 20, 0.1)
        wait_until("not all flows come through",
                   lambda: self.lab.report()["flows"]["opened"] >= self.traffic["flows"],
                   20 + 2 * self.traffic["flows"] / self.traffic["pps"], 0.5)

    def close(self):
        self.family.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- what faults are made of -------------------------------------------------------------

    def send(self, number, *names):
        for name in names:
            if self.family[name].running():
                self.family[name].send(number)

    def of(self, node):
        """Names of what runs on a node, the application first."""
        return ["havend-w"] if node == "w" else ["nat-" + node, "havend-" + node]

    def cut(self, node, way=None):
        self.lab.ask("cut", port="ha-" + node, **({"way": way} if way else {}))

    def impair(self, **settings):
        for node in NODES:
            self.lab.ask("impair", port="ha-" + node, **settings)

    def heal(self):
        """Everything that a fault may have left."""
        for node in NODES:
            self.lab.ask("uncut", port="ha-" + node)
        self.impair()
        for node in NODES:
            self.send(signal.SIGCONT, *self.of(node))
        if not self.family["havend-w"].running():
            self.family["havend-w"].child.wait()
            self.cluster.start_node("w")
        self.cluster.restart_missing()

    def events(self, since_ns, kinds):
        """(at_ns, text) of what the nodes tell of these kinds since then."""
        found = []
        for line in self.cluster.ctl("events", "--json").stdout.splitlines():
            event = json.loads(line)
            if event.get("at_ns", 0) >= since_ns and event.get("kind") in kinds:
                found.append((event["at_ns"], f"{event['node']}: {event['text']}"))
        return found

    def story(self, since_ns, telling=TELLING):
        """What the nodes tell of roles, copies and views since then."""
        return [f"{(at - since_ns) / 1e6:9.3f} ms  {text}"
                for at, text in self.events(since_ns, telling)]

    def watched(self):
        """What the watch over the gates has seen in the end."""
        process = self.family["watch"]
        process.send(signal.SIGTERM)
        return json.loads(process.child.stdout.readline())

    def served(self, since_ns):
        """Data came through on both sides since then."""
        ports = self.lab.report()["ports"].values()
        return all(any(p["network"] == side and p["last_data_ns"] > since_ns for p in ports)
                   for side in ("inside", "outside"))


def storm(world, names, restart):
    """Killed again as soon as it is back, four times."""
    for _ in range(4):
        world.send(signal.SIGKILL, *names)
        time.sleep(0.15)
        restart()
        time.sleep(0.15)


def storm_app(world, old):
    storm(world, ["nat-" + old], world.cluster.restart_missing)


def storm_node(world, old):
    storm(world, world.of(old), world.cluster.restart_missing)


def other(node):
    return "b" if node == "a" else "a"


def isolate_all(world, _old):
    for node in NODES:
        world.cut(node)


def switch(world, old):
    world.cluster.ctl("switchover", "nat0", "--yes", nodes=[old])


# Name: (what it does, given the world and the node that serves; does a majority stay together so
# that the work must be served while the fault lasts?)
FAULTS = {
    "kill-app": (lambda w, n: w.send(signal.SIGKILL, "nat-" + n), True),
    "stop-app": (lambda w, n: w.send(signal.SIGSTOP, "nat-" + n), None),
    "kill-node": (lambda w, n: w.send(signal.SIGKILL, *w.of(n)), True),
    "kill-havend": (lambda w, n: w.send(signal.SIGKILL, "havend-" + n), True),
    "stop-node": (lambda w, n: w.send(signal.SIGSTOP, *w.of(n)), True),
    "stop-havend": (lambda w, n: w.send(signal.SIGSTOP, "havend-" + n), True),
    "kill-standby": (lambda w, n: w.send(signal.SIGKILL, *w.of(other(n))), True),
    "stop-standby": (lambda w, n: w.send(signal.SIGSTOP, *w.of(other(n))), True),
    "kill-witness": (lambda w, n: w.send(signal.SIGKILL, "havend-w"), True),
    "cut": (lambda w, n: w.cut(n), True),
    "cut-in": (lambda w, n: w.cut(n, "in"), True),
    "cut-out": (lambda w, n: w.cut(n, "out"), True),
    "cut-standby": (lambda w, n: w.cut(other(n)), True),
    "cut-standby-in": (lambda w, n: w.cut(other(n), "in"), True),
    "cut-standby-out": (lambda w, n: w.cut(other(n), "out"), True),
    "cut-witness": (lambda w, n: w.cut("w"), True),
    "cut-all": (isolate_all, False),
    "loss": (lambda w, n: w.impair(loss_ppm=300000), None),
    "double": (lambda w, n: w.impair(dup_ppm=500000), None),
    "reorder": (lambda w, n: w.impair(late_ppm=300000, late_us=3000), None),
    "corrupt": (lambda w, n: w.impair(corrupt_ppm=200000), None),
    "replay": (lambda w, n: w.impair(replay_ppm=300000), None),
    "everything": (lambda w, n: w.impair(loss_ppm=100000, dup_ppm=100000, corrupt_ppm=50000,
                                         late_ppm=100000, late_us=5000, replay_ppm=100000), None),
    "storm-app": (storm_app, None),
    "storm-node": (storm_node, None),
    "switchover": (switch, True),
}
# These leave processes and cuts alone and may lie under any other fault.
NETWORK = ("loss", "double", "reorder", "corrupt", "replay", "everything")


def state_wrong(world, report, lanes, old, status):
    """Flows and acknowledged records that are not as they were before the cycle."""
    wrong = []
    holder = world.cluster.instance(status).get("holder")
    now_lanes = world.cluster.lanes(holder, status)
    for what in ("changed", "shared", "unanswered"):
        # Flows never forget what once happened to them.
        number = report["flows"][what] - world.known_flows.get(what, 0)
        world.known_flows[what] = report["flows"][what]
        if number > 0:
            wrong.append(f"{number} flows {what}")
    for what, number in report["faults"].items():
        if number and not (what.startswith("translation") and world.known_flows["changed"]):
            wrong.append(f"{number} packets with a wrong {what}")
    if holder == old:
        missing = sum(max(0, lane["acked_seq"] - now_lanes.get(key, {}).get("acked_seq", 0))
                      for key, lane in lanes.items())
    else:
        acked, present = figures.records(lanes, now_lanes)
        missing = acked - present
    if missing:
        wrong.append(f"{missing} acknowledged records are missing")
    return wrong
