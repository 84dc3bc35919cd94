# SPDX-License-Identifier: BSD-3-Clause
"""The node program of the translators is killed and started again, and they go on: same processes,
same tables, same flows."""

import os
import shutil
import tempfile

import cluster as clusters
import lab as labs
from processes import Family, wait_until

# Long enough that a busy test machine suspects nobody.
TIMERS = ("interval: 2ms, suspect: 200ms, lease: 400ms, guard: 1ms, stall: 20ms, "
          "mirror_timeout: 2s")
FLOWS = 400


class Pair:
    """Nodes a, b, w, a translator on a and on b, and traffic through them."""

    def __init__(self, build):
        self.directory = tempfile.mkdtemp(prefix="haven-")
        self.family = Family(os.path.join(self.directory, "logs"))
        cpus = sorted(os.sched_getaffinity(0))
        programs = clusters.Programs(build)
        place = {"a": cpus[0], "nat-a": cpus[0], "b": cpus[-1], "nat-b": cpus[-1], "w": cpus[0]}
        ports = {node: labs.memif(self.directory, 0, "ha-" + node) for node in ("a", "b", "w")}
        self.family.start("lab", labs.command_line(programs.lab, self.directory, cpus[-1], False))
        self.lab = labs.Lab(self.directory, self.family["lab"])
        configuration = clusters.write_configuration(self.directory, ports, place, "polite",
                                                     TIMERS)
        self.cluster = clusters.Cluster(
            programs, self.family, self.directory, configuration,
            lambda node: (labs.memif(self.directory, 0, "in-" + node),
                          labs.memif(self.directory, 1, "out-" + node)), place, False)

    def start(self):
        for node in ("a", "b", "w"):
            self.cluster.start_node(node)
        for node in ("a", "b"):
            self.cluster.start_nat(node)
        self.cluster.wait_whole(60)
        self.lab.ask("start", flows=FLOWS, pps=2000, new_per_s=20)
        wait_until("the flows do not open", lambda: self.lab.report()["flows"]["opened"] >= FLOWS,
                   60, 0.1)

    def restart(self, node):
        """Kill the node program alone, wait until its translator has noticed, start it again."""
        translator = self.family["nat-" + node]
        away = translator.tail().count("haven-nat: the node is gone, waiting for it")
        self.family["havend-" + node].kill()
        wait_until(f"the translator of {node} does not notice",
                   lambda: translator.tail().count("haven-nat: the node is gone, waiting for it")
                   > away, 60)
        wait_until("nobody serves", lambda: self.cluster.active() not in (None, node), 60)
        self.cluster.start_node(node)
        self.cluster.wait_whole(60)

    def close(self):
        self.family.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def restart(build, check):
    """havend is killed under a translator, on the standby's node and on the active one"""
    pair = Pair(build)
    try:
        pair.start()
        before = {node: pair.family["nat-" + node].pid for node in ("a", "b")}
        active = pair.cluster.active()
        for node in ("b" if active == "a" else "a", active):
            pair.restart(node)
            kind = "active" if node == active else "standby"
            check(f"the {kind} node: redundancy is whole again", pair.cluster.whole())
            check("its translator is the same process, and was taken back",
                  pair.family["nat-" + node].running() and
                  pair.family["nat-" + node].pid == before[node] and
                  "haven-nat: the node is back" in pair.family["nat-" + node].tail(),
                  " / ".join(pair.family["nat-" + node].tail(3)))
        # The one that was taken back takes over with the table that it was brought; a host that
        # stops its loops for long may have moved the work already.
        if pair.cluster.active() != active:
            moved = pair.cluster.ctl("switchover", "nat0", "--yes",
                                     nodes=[pair.cluster.active() or active])
            check("the work moves back to it", moved.returncode == 0, moved.stderr)
        wait_until("it does not serve", lambda: pair.cluster.active() == active, 60)
        pair.cluster.wait_whole(60)
        pair.lab.verify(30)
        report = pair.lab.settle()
        check("every flow keeps its translation",
              report["flows"]["kept"] == report["flows"]["opened"] >= FLOWS,
              str(report["flows"]))
        check("never two primaries", report["dual_primary"] == 0)
        check("both translators run to the end", all(pair.family["nat-" + node].running()
                                                     for node in ("a", "b")))
    finally:
        pair.close()
