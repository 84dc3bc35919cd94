# SPDX-License-Identifier: BSD-3-Clause
"""Cases with bad input: configurations, frames, clients. Each is refused with a clear reason, and
nothing else changes."""

import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

from stack import ROOT, Stack

HERE = os.path.dirname(os.path.realpath(__file__))

CONFIGURATION = """cluster: demo
key_file: {key}
timers: {{interval: 2ms, suspect: 30ms, lease: 60ms, guard: 1ms, rate_ppm: 200, stall: 5ms}}
poll: polite
nodes:
  - name: a
    run_dir: {dir}/a
    voter: true
    ports: ["net_memif0,role=client,id=0,socket={dir}/m,socket-abstract=no"]
  - name: b
    run_dir: {dir}/b
    voter: true
    ports: ["net_memif0,role=client,id=1,socket={dir}/m,socket-abstract=no"]
  - name: w
    run_dir: {dir}/w
    witness: true
    ports: ["net_memif0,role=client,id=2,socket={dir}/m,socket-abstract=no"]
groups:
  - name: nat
    redundancy: 2N
    standby: hot
    instances: [nat0]
    nodes: [a, b]
    prefer: a
"""
WITNESS = CONFIGURATION[CONFIGURATION.index("  - name: w"):CONFIGURATION.index("groups:")]
# what is wrong: (text to replace, its replacement, line of the finding, words of the reason)
MISTAKES = {
    "unknown key": ("poll: polite", "pol: polite", 4, "pol"),
    "duplicate node": ("  - name: b\n", "  - name: a\n", 10, "a"),
    "two voters without witness": (WITNESS, "", None, "witness"),
    "lease shorter than the interval allows": ("lease: 60ms", "lease: 3ms", 3, "lease"),
    "missing port": (WITNESS.splitlines(True)[3], "", None, "port"),
    "unserved redundancy model": ("2N", "N+M", None, "N+M"),
    "not YAML": ("nodes: [a, b]", "nodes: [a, b", 24, "flow sequence"),
    "a duration without unit": ("interval: 2ms", "interval: 2", 3, "interval"),
    "a group's node that does not exist": ("nodes: [a, b]", "nodes: [a, c]", None, "c"),
}
FINDING = re.compile(r"^\S+:(\d+):(\d+): error: (.*)$")


def check_file(program, path):
    return subprocess.run([program, "--check", path], capture_output=True, text=True, timeout=30,
                          check=False)


def findings(result):
    """(line, column, text) of every error told."""
    found = [FINDING.match(line) for line in (result.stdout + result.stderr).splitlines()]
    return [(int(m[1]), int(m[2]), m[3]) for m in found if m]


def configurations(build, check):
    """havend --check refuses each mistake with position, reason and remedy."""
    program = os.path.join(build, "runtime", "havend")
    with tempfile.TemporaryDirectory(prefix="haven-e2e-") as directory:
        key = os.path.join(directory, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("ab" * 32 + "\n")
        right = CONFIGURATION.format(dir=directory, key=key)
        path = os.path.join(directory, "right.yaml")
        with open(path, "w") as file:
            file.write(right)
        result = check_file(program, path)
        check("a right configuration is accepted", result.returncode == 0,
              result.stdout + result.stderr)
        for what, (old, new, line, words) in MISTAKES.items():
            path = os.path.join(directory, "wrong.yaml")
            old, new = old.format(dir=directory, key=key), new.format(dir=directory, key=key)
            assert right.count(old) >= 1, what
            with open(path, "w") as file:
                file.write(right.replace(old, new, 1))
            result = check_file(program, path)
            found = findings(result)
            check(f"{what}: refused with position, reason and remedy",
                  result.returncode == 7 and any(
                      (line is None or at == line) and words in text and
                      ("remedy" in text or what == "not YAML")
                      for at, column, text in found if column > 0),
                  f"status {result.returncode}: {result.stdout}{result.stderr}")
        result = subprocess.run([program, "--config", path, "--node", "a"], capture_output=True,
                                text=True, timeout=30, check=False)
        check("a start with it is refused as well", result.returncode == 7, result.stderr)


def counters(stack):
    registry = stack.cluster.registry("a")
    return registry["bad_frames"], registry["epoch"]


def frames(build, check):
    """Spoilt frames are counted by reason and change nothing."""
    with Stack(build) as stack:
        before, epoch = counters(stack)
        holder = stack.cluster.active()
        stack.network.run("net", sys.executable, os.path.join(HERE, "send_frames.py"),
                          "w-ha0", "a-ha0", "50")
        after, epoch_after = counters(stack)
        grown = {kind: after[kind] - before[kind] for kind in after}
        print("  counted: " + ", ".join(f"{k} {n}" for k, n in grown.items()))
        for kind in ("version", "length", "peer", "tag", "replay"):
            least = 100 if kind == "tag" else 50
            check(f"frames with a wrong {kind} are counted", grown[kind] >= least,
                  f"{grown[kind]} of {least}")
        check("the view did not change", epoch == epoch_after, f"{epoch} became {epoch_after}")
        check("the holder did not change", stack.cluster.active() == holder)
        check("redundancy stayed whole", stack.cluster.whole())


# struct message, shm/message.h: version, type, result, id, size, handle; union; text
HEAD = struct.Struct("<IHhIIQ")
UNION_BYTES, TEXT_BYTES = 208, 256
MESSAGE_BYTES = HEAD.size + UNION_BYTES + TEXT_BYTES
ATTACH = 1


def version_of(header, name):
    """A version as the sources define it, so that only what a case means is wrong."""
    with open(os.path.join(ROOT, "shm", header)) as file:
        return int(re.search(rf"#define {name} (\d+)u", file.read()).group(1))


MESSAGE = version_of("message.h", "MESSAGE_VERSION")
SEGMENT = version_of("client_segment.h", "CLIENT_SEGMENT_LAYOUT_VERSION")
REGISTRY = version_of("registry_layout.h", "REGISTRY_LAYOUT_VERSION")
TABLE = version_of("table.h", "TABLE_LAYOUT_VERSION")
SEALS = 0x0001 | 0x0002 | 0x0004  # seal, shrink, grow


def ask(run_dir, kind, union=b"", memory=None, version=MESSAGE, size=MESSAGE_BYTES):
    """One request on a node's socket. Returns (result, text); result None: connection closed."""
    descriptors = []
    if memory is not None:
        descriptors = [os.memfd_create("bad", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)]
        os.ftruncate(descriptors[0], memory)
        fcntl.fcntl(descriptors[0], 1033, SEALS)  # F_ADD_SEALS
    message = HEAD.pack(version, kind, 0, 7, MESSAGE_BYTES, 0) + union.ljust(UNION_BYTES, b"\0")
    message = message.ljust(MESSAGE_BYTES, b"\0")[:size]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(5)
        client.connect(os.path.join(run_dir, "haven.sock"))
        socket.send_fds(client, [message], descriptors)
        try:
            answer, gift, _, _ = socket.recv_fds(client, 4096, 4)
        except ConnectionResetError:
            answer, gift = b"", []
    for descriptor in [*descriptors, *gift]:
        os.close(descriptor)
    if len(answer) < MESSAGE_BYTES:
        return None, ""
    text = answer[HEAD.size + UNION_BYTES:].split(b"\0")[0].decode(errors="replace")
    return HEAD.unpack_from(answer)[2], text


def attach_union(segment=SEGMENT, registry=REGISTRY, table=TABLE):
    return struct.pack("<IIIIiIQ", segment, registry, table, 0, os.getpid(), 0, 0)


def clients(build, check):
    """A client that is wrong is told so; the others do not notice."""
    with Stack(build) as stack:
        node = stack.cluster.active()
        run_dir = stack.cluster.run_dir(node)
        result, text = ask(run_dir, ATTACH, attach_union(segment=99), memory=1 << 16)
        check("a wrong layout version is refused, with both versions", result not in (0, None) and
              "99" in text and str(SEGMENT) in text, f"{result} {text}")
        result, text = ask(run_dir, ATTACH, attach_union(), memory=4096)
        check("a segment of wrong size is refused", result not in (0, None) and "4096" in text,
              f"{result} {text}")
        result, text = ask(run_dir, ATTACH, attach_union())
        check("a missing segment is refused", result != 0 and "no client segment" in text,
              f"{result} {text}")
        result, text = ask(run_dir, 77)
        check("an unknown request is refused", result != 0 and "77" in text, f"{result} {text}")
        result, text = ask(run_dir, ATTACH, attach_union(), version=9)
        check("a wrong message version is refused", result != 0 and "version 9" in text,
              f"{result} {text}")
        result, text = ask(run_dir, ATTACH, attach_union(), size=100)
        check("a short message is refused", result != 0, f"{result} {text}")
        second_registration(stack, node, check)
        check("redundancy stayed whole", stack.cluster.whole())


def second_registration(stack, node, check):
    """The same translator once more on one node: its name is taken."""
    first = stack.family["nat-" + node]
    stack.family.member["nat-" + node + "-first"] = first
    del stack.family.member["nat-" + node]
    stack.network.run(node, "ip", "link", "add", "x0", "type", "veth", "peer", "name", "x1")
    devices = stack.cluster.nat_devices
    stack.cluster.nat_devices = lambda _: ("net_af_packet0,iface=x0", "net_af_packet1,iface=x1")
    stack.cluster.start_nat(node)
    second = stack.family["nat-" + node]
    stack.cluster.nat_devices = devices
    try:
        status = second.child.wait(20)
    except subprocess.TimeoutExpired:
        status = 0
    told = " ".join(second.tail())
    check("a second registration of a name is refused", status != 0 and "nat" in told, told)
    check("the first one serves on", first.running() and stack.cluster.active() == node)
