# SPDX-License-Identifier: BSD-3-Clause
"""Child processes with logs: each ends with its parent, and all of them end in close()."""

import os
import shutil
import signal
import subprocess
import time


class Failure(Exception):
    """Something that the user must be told in one sentence; the logs' tails follow."""


def now_ns():
    """The clock of every Haven event."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)


def wait_until(what, condition, seconds, step=0.05):
    """Returns the first true value of condition(); Failure when it does not come in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"timed out after {seconds:g} s: {what}")
        time.sleep(step)


class Process:
    """One child. `name` names its log file."""

    def __init__(self, name, command, log_dir, environment=None, capture=False):
        self.name = name
        self.log = os.path.join(log_dir, name + ".log")
        # The kernel ends the child if this process dies in whatever way.
        wrapper = []
        if shutil.which("setpriv"):
            wrapper = ["setpriv", "--pdeathsig", "KILL", "--"]
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                wrapper + command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self.child.pid

    def running(self):
        return self.child.poll() is None

    def send(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=3):
        """In order; by force when that takes too long."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines=12):
        try:
            with open(self.log, errors="replace") as log:
                return log.read().splitlines()[-lines:]
        except OSError:
            return []


class Family:
    """All children of a run, by name."""

    def __init__(self, log_dir):
        os.mkdir(log_dir)
        self.log_dir = log_dir
        self.member = {}

    def start(self, name, command, **options):
        old = self.member.get(name)
        if old and old.running():
            raise Failure(f"{name} is running already")
        self.member[name] = Process(name, command, self.log_dir, **options)
        return self.member[name]

    def __getitem__(self, name):
        return self.member[name]

    def check(self, expected):
        """Failure when one of `expected` has ended by itself."""
        for name in expected:
            process = self.member[name]
            if not process.running():
                raise Failure(f"{name} ended unexpectedly (status {process.child.returncode})")

    def close(self):
        for process in self.member.values():
            if process.running():
                process.send(signal.SIGCONT)
                process.send(signal.SIGTERM)
        end = time.monotonic() + 3
        for process in self.member.values():
            try:
                process.child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def tails(self):
        for name, process in self.member.items():
            lines = process.tail()
            if lines:
                yield name, lines
