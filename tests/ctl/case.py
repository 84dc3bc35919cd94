# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of havenctl share: a scripted registry (fixture.c), and calls of havenctl."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BUILD = os.path.join(ROOT, sys.argv[1] if len(sys.argv) > 1 else "build")
CTL = os.environ.get("HAVENCTL", os.path.join(BUILD, "ctrl", "havenctl"))
FIXTURE = os.environ.get("CTL_FIXTURE", os.path.join(BUILD, "tests", "ctl", "ctl-fixture"))

FAILOVER = [
    "event component-ready a - 0 0 nat 0",
    "event view a - 7 0 - 1000",
    "event role a 0 2 3 - 1000",
    "event component-dead a - 1234 0 nat:_kernel_mark 400000000",
    "event role-released a 0 4 0 - 41000",
    "event view a - 7 0 - 40000",
    "event role b 0 2 3 - 15000",
]


class Fixture:
    """One scripted registry."""

    def __init__(self, run_dir, node):
        os.makedirs(run_dir, exist_ok=True)
        self.run_dir = run_dir
        self.process = subprocess.Popen([FIXTURE, run_dir, node], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ok\n"

    def do(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            if self.process.stdout.readline() != "ok\n":
                raise AssertionError(f"the fixture does not do: {line}")
        return self

    def stop(self):
        """Ends in order."""
        self.process.stdin.write("stop\n")
        self.process.stdin.flush()
        self.process.wait(10)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hctl")
        self.fixtures = []
        self.addCleanup(self.clean)

    def clean(self):
        for fixture in self.fixtures:
            fixture.end()
        shutil.rmtree(self.dir)

    def node(self, name="a"):
        fixture = Fixture(os.path.join(self.dir, name), name)
        self.fixtures.append(fixture)
        return fixture

    def good(self, name="a", epoch=5):
        """A node of a cluster in which nothing is wrong and a serves nat0."""
        fixture = self.node(name).do(f"view {epoch} a b ab ab", "heard abw")
        if name != "w":
            fixture.do("component nat 1", f"role {3 if name == 'a' else 2} {epoch}")
        return fixture

    def ctl(self, *arguments, where=None, code=0, **more):
        line = [CTL, "--run-dir", where or self.dir, *arguments]
        if where == "":
            line = [CTL, *arguments]
        environment = {key: value for key, value in os.environ.items()
                       if key not in ("NO_COLOR", "HAVEN_RUN_DIR")}
        environment.update(more.pop("env", {}))
        result = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False,
                                stdin=subprocess.DEVNULL, env=environment, **more)
        if code is not None:
            self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def data(self, *arguments, **more):
        result = self.ctl(*arguments, "--json", **more)
        self.assertEqual(result.stderr, "")
        whole = json.loads(result.stdout)
        self.assertRegex(whole["schema"], r"^[a-z-]+/1$")
        self.assertRegex(whole["generated_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        return whole["data"]

    def error(self, *arguments, **more):
        """The structured error of a call, after checking that stdout stayed clean."""
        result = self.ctl(*arguments, "--json", **more)
        self.assertEqual(result.stdout, "")
        error = json.loads(result.stderr)["error"]
        self.assertEqual(set(error), {"code", "exit", "message", "hint"})
        self.assertEqual(error["exit"], result.returncode)
        return error
