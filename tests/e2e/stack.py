# SPDX-License-Identifier: BSD-3-Clause
"""The cluster in its namespaces, and the faults of the tests."""

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
from netns import Network
from processes import Failure, Family, wait_until

# Packets go through the kernel on their way, and everything shares few CPUs.
TIMERS = ("interval: 2ms, suspect: 30ms, lease: 60ms, guard: 1ms, rate_ppm: 200, "
          "stall: 5ms, mirror_timeout: 500ms")


def packet_device(number, interface):
    return f"net_af_packet{number},iface={interface}"


class Stack:
    """Context manager: namespaces, nodes, translators; nothing of it is left afterwards."""

    def __init__(self, build):
        self.programs = clusters.Programs(build)
        self.network = Network()
        self.directory = tempfile.mkdtemp(prefix="haven-e2e-")
        self.family = Family(os.path.join(self.directory, "logs"))
        cpus = sorted(os.sched_getaffinity(0))
        first, last = cpus[0], cpus[1 % len(cpus)]
        self.cpus = {"a": first, "nat-a": first, "b": last, "nat-b": last, "w": first}
        ports = {node: packet_device(0, "ha0") for node in ("a", "b", "w")}
        self.configuration = clusters.write_configuration(
            self.directory, ports, self.cpus, "polite", TIMERS)
        self.cluster = clusters.Cluster(
            self.programs, self.family, self.directory, self.configuration,
            lambda node: (packet_device(0, "in0"), packet_device(1, "out0")),
            self.cpus, False, self.network.inside)

    def __enter__(self):
        try:
            self.network.make()
            for node in ("a", "b", "w"):
                self.cluster.start_node(node)
            for node in ("a", "b"):
                self.cluster.start_nat(node)
            self.cluster.wait_whole()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, (Failure, AssertionError)):
            for name, lines in self.family.tails():
                print(f"--- {name}")
                for line in lines:
                    print("  " + line)
        self.close()

    def close(self):
        self.family.close()
        self.network.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name, space, *command):
        return self.family.start(name, self.network.inside(space, command))

    # -- faults: each returns when redundancy is whole again, and tells how long that took --------

    def moved(self, old):
        new = "b" if old == "a" else "a"
        wait_until(f"node {new} does not take over", lambda: self.cluster.active() == new, 10)
        return new

    def kill_nat(self):
        """kill -9 of the active translator, which is then started again."""
        old = self.cluster.active()
        self.family["nat-" + old].kill()
        self.moved(old)
        time.sleep(1)
        self.cluster.restart_missing()
        self.cluster.wait_whole()

    def kill_node(self):
        """kill -9 of the active node with its translator; both are then started again."""
        old = self.cluster.active()
        self.cluster.kill_node(old)
        self.moved(old)
        time.sleep(1)
        self.cluster.restart_missing()
        self.cluster.wait_whole()

    def switchover(self):
        """The operator moves the work to the other node."""
        old = self.cluster.active()
        result = self.cluster.ctl("switchover", "nat0", "--yes", nodes=[old])
        if result.returncode != 0:
            raise Failure("switchover: " + (result.stderr or result.stdout).strip())
        self.moved(old)
        self.cluster.wait_whole()

    def stop_in_order(self, *names):
        for name in names:
            if name in self.family.member:
                self.family[name].stop()

    def signal(self, name, number=signal.SIGTERM):
        self.family[name].send(number)
