# SPDX-License-Identifier: BSD-3-Clause
"""One node alone on this machine, without namespaces: what does not need peers."""

import os
import signal
import tempfile

from processes import Process, wait_until

CONFIGURATION = """cluster: solo
key_file: key
timers: {{interval: {interval}, suspect: 100ms, lease: 200ms, stuck: {stuck}}}
poll: {poll}
nodes:
  - name: a
    run_dir: {run_dir}
    voter: true
groups:
  - name: hello
    redundancy: 2N
    standby: hot
    instances: [hello0]
    nodes: [a]
"""


class Solo:
    """A node named a, in a directory of its own."""

    def __init__(self, build):
        self.build = build
        self.folder = tempfile.TemporaryDirectory(prefix="haven-solo-")
        self.directory = self.folder.name
        self.run_dir = os.path.join(self.directory, "run")
        self.node = None
        self.keys("cd" * 32)
        self.configure()

    def keys(self, text):
        aside = os.path.join(self.directory, "key.new")
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT, 0o400), "w") as file:
            file.write(text)
        os.rename(aside, os.path.join(self.directory, "key"))

    def configure(self, extra="", poll="polite", interval="2ms", stuck="2s"):
        with open(os.path.join(self.directory, "cluster.yaml"), "w") as file:
            file.write(CONFIGURATION.format(run_dir=self.run_dir, poll=poll, interval=interval,
                                            stuck=stuck) + extra)

    def start(self):
        self.spawn()
        self.await_socket()

    def spawn(self):
        """Without waiting for it."""
        self.node = Process("node", [os.path.join(self.build, "runtime", "havend"), "--force",
                                     "--config", os.path.join(self.directory, "cluster.yaml"),
                                     "--node", "a"], self.directory)

    def await_socket(self):
        socket = os.path.join(self.run_dir, "haven.sock")
        wait_until("the node serves its socket", lambda: os.path.exists(socket), 20)

    def told(self):
        """What the node wrote so far."""
        with open(self.node.log) as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.node:
            self.node.stop()
        self.folder.cleanup()


def reload(build, check):
    """SIGHUP: settings change at once, the rest is told, a broken file changes nothing."""
    with Solo(build) as solo:
        solo.start()

        def hangup(words):
            before = solo.told().count(words)
            solo.node.send(signal.SIGHUP)
            wait_until(f"'{words}'", lambda: solo.told().count(words) > before, 10)
            return solo.node.running()

        solo.configure(poll="busy", stuck="700ms")
        check("poll and stuck change", hangup("poll busy, stuck after 700 ms"))
        check("nothing else was said to need a restart", "restart the node" not in solo.told())
        solo.configure(interval="4ms")
        check("a timer that peers count on waits for a restart", hangup("restart the node"))
        solo.configure(extra="nonsense: 1\n")
        check("a file with errors is refused", hangup("not taken over"))
        check("its error has a place", "cluster.yaml:15:1: error" in solo.told(), solo.told())
        solo.configure()
        solo.keys("key 1 " + "ab" * 32 + "\nkey 2 " + "cd" * 32 + " send\n")
        check("keys are read again", hangup("2 keys, number 2 seals"))
        solo.keys("key 1 abc\n" + "# " * 40)
        check("a broken key file is refused", hangup("not taken over"))
        check("its error has a line", "line 1: the key has not" in solo.told(), solo.told())
        solo.keys("cd" * 32)
        check("and a right one is taken again", hangup("poll polite, stuck after 2000 ms"))
