# SPDX-License-Identifier: BSD-3-Clause
"""Nodes on links of every kind: tagged Ethernet through a bridge, UDP over IPv4 and IPv6 through a
router, which is a kernel of its own that resolves the nodes' addresses and is resolved by them."""

import json
import os
import shutil
import subprocess
import tempfile

from netns import run
from processes import Failure, Family, wait_until

NODES = ("a", "b", "w")
TIMERS = "{interval: 2ms, suspect: 60ms, lease: 120ms, guard: 1ms, mirror_timeout: 500ms}"
KINDS = {
    "tagged": [lambda n: "vlan: 100"],
    "ipv4": [lambda n: f"address: 10.9.{n}.1/24, gateway: 10.9.{n}.254"],
    "ipv6": [lambda n: f"address: fd00:9:{n}::1/64, gateway: fd00:9:{n}::254, udp_port: 4000"],
    "both": [lambda n: f"address: 10.9.{n}.1/24, gateway: 10.9.{n}.254",
             lambda n: f"address: fd00:9:{n}::1/64, gateway: fd00:9:{n}::254"],
}


class Links:
    """Namespaces a, b, w and a router (or bridge) between them, and a havend in each of the first
    three."""

    def __init__(self, build, kind):
        self.build = build
        self.kind = kind
        self.ports = KINDS[kind]
        self.prefix = f"hvl{os.getpid()}-"
        self.spaces = []
        self.directory = tempfile.mkdtemp(prefix="haven-links-")
        self.family = Family(os.path.join(self.directory, "logs"))

    def ip(self, space, *words):
        run("ip", "-n", self.prefix + space, *words)

    def inside(self, space, *command):
        return ["ip", "netns", "exec", self.prefix + space, *command]

    def make_space(self, space):
        run("ip", "netns", "add", self.prefix + space)
        self.spaces.append(space)
        self.ip(space, "link", "set", "lo", "up")

    def make(self):
        for space in ("router", *NODES):
            self.make_space(space)
        for word in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            run(*self.inside("router", "sysctl", "-qw", word))
        if self.kind == "tagged":
            self.ip("router", "link", "add", "br0", "type", "bridge", "stp_state", "0")
            self.ip("router", "link", "set", "br0", "up")
        for number, node in enumerate(NODES):
            for link in range(len(self.ports)):
                self.connect(number, node, link)

    def connect(self, number, node, link):
        near, far = f"ha{link}", f"{node}{link}"
        self.ip(node, "link", "add", near, "type", "veth", "peer", "name", far, "netns",
                self.prefix + "router")
        for space, name in ((node, near), ("router", far)):
            run(*self.inside(space, "ethtool", "-K", name, "tx", "off", "rx", "off"), check=False)
            self.ip(space, "link", "set", name, "up")
        text = self.ports[link](number)
        if self.kind == "tagged":
            self.ip("router", "link", "set", far, "master", "br0")
            return
        gateway = text.split("gateway: ")[1].split(",")[0]
        words = [gateway + ("/64" if ":" in gateway else "/24"), "dev", far]
        self.ip("router", "address", "add", *words, *(["nodad"] if ":" in gateway else []))

    def configure(self):
        key = os.path.join(self.directory, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o400), "w") as file:
            file.write("ef" * 32)
        lines = ["cluster: links", "key_file: key", f"timers: {TIMERS}", "nodes:"]
        for number, node in enumerate(NODES):
            ports = [f'{{device: "net_af_packet{link},iface=ha{link}", {text(number)}}}'
                     for link, text in enumerate(self.ports)]
            lines += [f"  - name: {node}", f"    run_dir: {self.run_dir(node)}",
                      "    witness: true" if node == "w" else "    voter: true",
                      f"    ports: [{', '.join(ports)}]"]
            os.makedirs(self.run_dir(node), mode=0o750)
        with open(os.path.join(self.directory, "cluster.yaml"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def run_dir(self, node):
        return os.path.join(self.directory, "run", node)

    def start(self, node):
        self.family.start("havend-" + node, self.inside(
            node, os.path.join(self.build, "runtime", "havend"), "--force", "--config",
            os.path.join(self.directory, "cluster.yaml"), "--node", node))

    def __enter__(self):
        try:
            self.make()
            self.configure()
            for node in NODES:
                self.start(node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, Failure):
            for name, lines in self.family.tails():
                print(f"--- {name}", *lines, sep="\n  ")
        self.close()

    def close(self):
        self.family.close()
        for space in self.spaces:
            run("ip", "netns", "del", self.prefix + space, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def peers(self, node):
        """What the node says of its peers, by name."""
        result = subprocess.run(
            [os.path.join(self.build, "ctrl", "havenctl"), "--run-dir", self.run_dir(node),
             "node", "list", "--json"], capture_output=True, text=True, timeout=20, check=False)
        if result.returncode != 0:
            return {}
        return {row["name"]: row for row in json.loads(result.stdout)["data"]}

    def whole(self):
        """Every node hears every other on all links."""
        for node in NODES:
            peers = self.peers(node)
            if len(peers) != len(NODES) or any(
                    row["state"] == "silent" or row["links_up"] < len(self.ports)
                    for name, row in peers.items() if name != node):
                return False
        return True


def links(build, check):
    """Tagged Ethernet, and UDP over IPv4 and IPv6 through a router, alone and as two links."""
    for kind in KINDS:
        with Links(build, kind) as world:
            wait_until(f"{kind}: the nodes do not hear each other", world.whole, 20)
            check(f"{kind}: all nodes hear each other on {len(world.ports)} links", True)
            world.family["havend-b"].kill()
            wait_until(f"{kind}: the death of a node is not seen", lambda: not world.whole(), 10)
            world.start("b")
            wait_until(f"{kind}: a node does not come back", world.whole, 20)
            check(f"{kind}: and again after one was killed and started anew", True)
            if kind != "both":
                continue
            world.ip("router", "link", "set", "a0", "down")
            wait_until("a dead link is not told", lambda: world.peers("b").get("a", {}).get(
                "links_up") == 1, 10)
            check("both: one link cut is a link fault, not a node fault",
                  world.peers("b")["a"]["state"] != "silent")
