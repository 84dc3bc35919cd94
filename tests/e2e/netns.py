# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces of the end-to-end tests: client and server with kernel stacks, one namespace
for each node, and one with the three bridges between them.

    client ── inside ──┬── a ──┬── outside ── server
                       └── b ──┘
                  ha: a, b, w
"""

import os
import subprocess

CLIENT, SERVER = "10.0.0.10/24", "192.0.2.100/24"
BRIDGES = ("ha", "inside", "outside")
# namespace: [(interface, bridge)]
LINKS = {
    "client": [("in0", "inside")],
    "server": [("out0", "outside")],
    "a": [("ha0", "ha"), ("in0", "inside"), ("out0", "outside")],
    "b": [("ha0", "ha"), ("in0", "inside"), ("out0", "outside")],
    "w": [("ha0", "ha")],
}


def run(*command, check=True):
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if check and result.returncode != 0:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result


def refusal():
    """Why namespaces cannot be made here, None when they can."""
    if os.geteuid() != 0:
        return "not root"
    name = f"hvt{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
    except OSError as error:
        return str(error)
    try:
        run("ip", "-n", name, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
    except OSError as error:
        return str(error)
    finally:
        run("ip", "netns", "del", name, check=False)
    return None


class Network:
    def __init__(self):
        self.prefix = f"hv{os.getpid()}-"
        self.made = []

    def name(self, space):
        return self.prefix + space

    def inside(self, space, command):
        """The command line that runs `command` in a namespace."""
        return ["ip", "netns", "exec", self.name(space)] + list(command)

    def run(self, space, *command, check=True):
        return run(*self.inside(space, command), check=check)

    def make(self):
        for space in ["net", *LINKS]:
            run("ip", "netns", "add", self.name(space))
            self.made.append(space)
            self.run(space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                     "net.ipv6.conf.default.disable_ipv6=1")
            run("ip", "-n", self.name(space), "link", "set", "lo", "up")
        for bridge in BRIDGES:
            run("ip", "-n", self.name("net"), "link", "add", bridge, "type", "bridge",
                "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
            run("ip", "-n", self.name("net"), "link", "set", bridge, "up")
        for space, links in LINKS.items():
            for interface, bridge in links:
                self.connect(space, interface, bridge)
        self.address("client", "in0", CLIENT)
        run("ip", "-n", self.name("client"), "route", "add", "default", "via", "10.0.0.1")
        self.address("server", "out0", SERVER)

    def connect(self, space, interface, bridge):
        """A veth pair from a namespace to a bridge, without checksum and segment offload: what
        leaves it must be whole packets, since packet sockets are at the other end."""
        far = f"{space}-{interface}"
        run("ip", "link", "add", interface, "netns", self.name(space), "type", "veth",
            "peer", "name", far, "netns", self.name("net"))
        run("ip", "-n", self.name("net"), "link", "set", far, "master", bridge, "up")
        for where, name in ((space, interface), ("net", far)):
            self.run(where, "ethtool", "-K", name, "tx", "off", "rx", "off", "gso", "off",
                     "tso", "off", "gro", "off", check=False)
        if space not in ("client", "server"):
            run("ip", "-n", self.name(space), "link", "set", interface, "arp", "off")
        run("ip", "-n", self.name(space), "link", "set", interface, "up")

    def address(self, space, interface, address):
        run("ip", "-n", self.name(space), "address", "add", address, "dev", interface)

    def tcp_resets(self, space):
        """Connections reset and resets sent, as the kernel counts them."""
        lines = self.run(space, "cat", "/proc/net/snmp").stdout.splitlines()
        names, values = [line.split()[1:] for line in lines if line.startswith("Tcp:")]
        tcp = dict(zip(names, map(int, values)))
        return tcp["EstabResets"] + tcp["OutRsts"]

    def remove(self):
        for space in self.made:
            run("ip", "netns", "del", self.name(space), check=False)
