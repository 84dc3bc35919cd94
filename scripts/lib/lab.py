# SPDX-License-Identifier: BSD-3-Clause
"""Talks to haven-lab (tests/lab) over its control socket."""

import json
import socket

from processes import Failure, wait_until

# The order gives the memif ids.
PORTS = [
    "ha/ha-a", "ha/ha-b", "ha/ha-w",
    "inside/in-a", "inside/in-b",
    "outside/out-a", "outside/out-b",
]


def port_id(name):
    return next(i for i, port in enumerate(PORTS) if port.endswith("/" + name))


def memif(directory, number, name):
    """Arguments of the DPDK device that leads to the lab's port `name`."""
    return (f"net_memif{number},role=client,id={port_id(name)},socket={directory}/memif,"
            "socket-abstract=no,bsize=2048,rsize=10")


def command_line(program, directory, cpu, busy):
    line = [program, "--dir", directory, "--memif", directory + "/memif",
            "--control", directory + "/lab", "--cpu", str(cpu)]
    for port in PORTS:
        line += ["--port", port]
    return line + (["--busy"] if busy else [])


class Lab:
    def __init__(self, directory, process):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)

        def connected():
            if not process.running():
                raise Failure("haven-lab ended while starting")
            try:
                self.socket.connect(directory + "/lab")
                return True
            except OSError:
                return False

        wait_until("haven-lab does not answer", connected, 20)
        self.stream = self.socket.makefile("rw")

    def ask(self, command, **arguments):
        try:
            self.stream.write(json.dumps({"cmd": command, **arguments}) + "\n")
            self.stream.flush()
            reply = json.loads(self.stream.readline())
        except (OSError, ValueError) as error:
            raise Failure(f"haven-lab: no answer to \"{command}\" ({error})") from error
        if not reply.get("ok", True):
            raise Failure(f"haven-lab: {command}: {reply['error']}")
        return reply

    def report(self):
        return self.ask("report")

    def settle(self):
        """Stops sending and waits until nothing is under way any more. Returns the report."""
        self.ask("stop")
        before = None

        def still():
            nonlocal before
            report = self.report()
            now = [report[way][what] for way in ("forward", "return")
                   for what in ("received", "duplicated")]
            same, before = now == before, now
            return report if same else None

        return wait_until("packets keep coming although nothing is sent", still, 5, 0.1)

    def verify(self, seconds=10):
        """Asks every flow until it is answered. Afterwards the report's flow counts are final."""
        self.ask("verify")
        wait_until("the verification of the flows does not end",
                   lambda: self.report()["flows"]["pending"] == 0, seconds, 0.1)
