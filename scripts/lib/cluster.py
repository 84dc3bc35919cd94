# SPDX-License-Identifier: BSD-3-Clause
"""The cluster of the demonstration: configuration, nodes, translators, and what havenctl says."""

import json
import math
import os
import secrets
import signal
import subprocess
import threading

from processes import Failure, wait_until

SUSPECT_MS, LEASE_MS = 12, 25
GATEWAY = "10.0.0.1/24"
OUTSIDE = "192.0.2.1/24"


def timers_for(gap_ns):
    """Timers for a host that stops a poll loop for `gap_ns`: a beat must get through between two
    such stops, and a lease must outlive three. Returns (text, suspect ms, lease ms)."""
    gap_ms = gap_ns / 1e6
    suspect = max(SUSPECT_MS, math.ceil(2.5 * gap_ms))
    lease = max(LEASE_MS, math.ceil(5 * gap_ms))
    return (f"interval: 1ms, suspect: {suspect}ms, lease: {lease}ms, guard: 1ms, rate_ppm: 200, "
            f"stall: 2ms, mirror_timeout: {max(200, 10 * suspect)}ms"), suspect, lease


class Programs:
    """Where the built programs are."""

    def __init__(self, build):
        self.build = build
        self.havend = self.find("runtime/havend")
        self.havenctl = self.find("ctrl/havenctl")
        self.nat = self.find("runtime/examples/haven-nat")
        self.lab = self.find("tests/lab/haven-lab")

    def find(self, path):
        full = os.path.join(self.build, path)
        if not os.access(full, os.X_OK):
            raise Failure(f"{full} is not there; run scripts/setup, or name a build with --build")
        return full


def write_configuration(directory, ports, cpus, poll, timers, releases="1.0", groups=("nat",)):
    """`ports` and `cpus` by node name; node w is the witness. Each group has one instance, with its
    name and a 0. Returns the file's name."""
    key = os.path.join(directory, "demo.key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    lines = ["cluster: demo", "key_file: demo.key", f"timers: {{{timers}}}", f"poll: {poll}",
             "nodes:"]
    for name, port in ports.items():
        run_dir = os.path.join(directory, "run", name)
        os.makedirs(run_dir, mode=0o750)
        lines += [f"  - name: {name}", f"    run_dir: {run_dir}",
                  "    witness: true" if name == "w" else "    voter: true",
                  f"    release: \"{releases}\"", f"    cpu: {cpus[name]}",
                  f"    ports: [\"{port}\"]"]
    lines.append("groups:")
    for name in groups:
        lines += [f"  - name: {name}", "    redundancy: 2N", "    standby: hot",
                  f"    instances: [{name}0]", "    nodes: [a, b]", "    prefer: a"]
    path = os.path.join(directory, "demo.yaml")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


class Cluster:
    """Nodes a, b, w and a translator on a and b. `nat_devices(node)` gives the DPDK devices of its
    inside and outside port."""

    def __init__(self, programs, family, directory, configuration, nat_devices, cpus, busy,
                 wrap=None, nat_options=()):
        self.programs = programs
        self.family = family
        self.directory = directory
        self.configuration = configuration
        self.nat_devices = nat_devices
        self.cpus = cpus
        self.busy = busy
        self.nat_options = list(nat_options)
        self.wrap = wrap or (lambda node, command: command)

    def run_dir(self, node):
        return os.path.join(self.directory, "run", node)

    def nat_stats(self, node):
        """File in which the translator keeps its statistics."""
        return os.path.join(self.directory, f"nat-{node}.json")

    def start_node(self, node):
        # --force: how this host stalls is known, the timers were chosen for it.
        command = [self.programs.havend, "--force", "--config", self.configuration,
                   "--node", node]
        self.family.start("havend-" + node, self.wrap(node, command))
        process = self.family["havend-" + node]

        def listening():
            if not process.running():
                raise Failure(f"havend of node {node} ended while starting")
            return self.registry(node).get("condition") == "running"

        wait_until(f"node {node} does not start", listening, 20)

    def start_nat(self, node):
        inside, outside = self.nat_devices(node)
        command = [self.programs.nat, "--run-dir", self.run_dir(node),
                   "--inside", inside, "--inside-ip", GATEWAY,
                   "--outside", outside, "--outside-ip", OUTSIDE,
                   "--cpu", str(self.cpus["nat-" + node]),
                   "--poll", "busy" if self.busy else "polite",
                   "--stats", self.nat_stats(node), *self.nat_options]
        self.family.start("nat-" + node, self.wrap(node, command))

    # -- what havenctl says ---------------------------------------------------------------------

    def ctl(self, *arguments, seconds=10, nodes=None):
        line = [self.programs.havenctl]
        for node in nodes or ("a", "b", "w"):
            line += ["--run-dir", self.run_dir(node)]
        try:
            return subprocess.run(line + list(arguments), capture_output=True, text=True,
                                  timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"havenctl {' '.join(arguments)} does not end") from error

    def status(self):
        """Data of `havenctl status`; empty while there is nothing to read."""
        result = self.ctl("status", "--json")
        try:
            return json.loads(result.stdout).get("data", {})
        except ValueError:
            return {}

    def registry(self, node, status=None):
        for entry in (status or self.status()).get("registries", []):
            if entry["node"] == node:
                return entry
        return {}

    def instance(self, status=None, name="nat0"):
        for entry in (status or self.status()).get("instances", []):
            if entry["name"] == name:
                return entry
        return {}

    def active(self):
        """Node that holds the instance, None if nobody does."""
        return self.instance().get("holder")

    def whole(self):
        """True when a primary serves each instance and the other node may replace it at once."""
        status = self.status()
        instances = status.get("instances", [])
        gates = sorted(gate["instance"] for gate in status.get("gates", []) if gate["open"])
        return (instances and all(i.get("redundancy") == "whole" for i in instances) and
                gates == sorted(i["name"] for i in instances) and
                all(self.registry(node, status).get("condition") == "running"
                    for node in ("a", "b", "w")))

    def lanes(self, node, status=None):
        """Sequences of the translator's checkpoint lanes on a node, by (checkpoint, lane)."""
        return {(lane["checkpoint"], lane["lane"]): lane
                for lane in (status or self.status()).get("lanes", []) if lane["node"] == node and
                lane["instance"] == "nat0"}

    def wait_whole(self, seconds=30):
        wait_until("redundancy does not become whole", self.whole, seconds, 0.1)

    # -- faults -----------------------------------------------------------------------------------

    def processes(self, node):
        return [self.family[name + node] for name in ("havend-", "nat-")]

    def kill_node(self, node):
        for process in self.processes(node):
            process.send(signal.SIGKILL)

    def restart_missing(self):
        """Starts what the faults have ended."""
        for node in ("a", "b"):
            daemon, nat = self.processes(node)
            for process in (daemon, nat):
                if not process.running():
                    process.child.wait()
            if not daemon.running():
                self.start_node(node)
            if not nat.running():
                self.start_nat(node)


class EventStream:
    """`havenctl events --follow` of all nodes, read by a thread into `events`."""

    def __init__(self, cluster, on_event=lambda event: None):
        line = [cluster.programs.havenctl]
        for node in ("a", "b", "w"):
            line += ["--run-dir", cluster.run_dir(node)]
        self.events = []
        self.missed = 0
        self.on_event = on_event
        self.process = cluster.family.start("events", line + ["events", "--follow", "--json"],
                                            capture=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.child.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if "at_ns" not in event:
                self.missed += event.get("missed", 0)
                continue
            self.events.append(event)
            self.on_event(event)

    def since(self, at_ns):
        """Events from then on, oldest first."""
        return sorted((e for e in list(self.events) if e["at_ns"] >= at_ns),
                      key=lambda e: e["at_ns"])
