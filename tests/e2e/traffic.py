# SPDX-License-Identifier: BSD-3-Clause
"""Cases with real peers: a download and an iperf3 run cross the translators while these are struck
down three times."""

import hashlib
import json
import os
import time

from processes import Failure, wait_until
from stack import Stack

FILE_BYTES = 192 << 20
RATE = 8 << 20
IPERF_SECONDS = 26
NGINX = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 16; }}
http {{
  access_log {dir}/access.log;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{ listen 192.0.2.100:80; root {dir}/www; }}
}}
"""


def make_file(path):
    """Random content; returns its digest."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(FILE_BYTES >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def strike_all(stack, check, still_running):
    """The three faults; each must fall into the running transfer."""
    for number, (name, fault) in enumerate((("kill -9 of the active translator", stack.kill_nat),
                                            ("kill -9 of the active node", stack.kill_node),
                                            ("switchover back", stack.switchover))):
        check(f"{name} falls into the transfer", still_running())
        begin = time.monotonic()
        fault()
        print(f"  {name}: redundancy whole again after {time.monotonic() - begin:.1f} s")
        if number < 2:
            time.sleep(1)
    check("the last fault was over before the transfer was", still_running())


def serve(stack, directory):
    www = os.path.join(directory, "www")
    os.mkdir(www)
    configuration = os.path.join(directory, "nginx.conf")
    with open(configuration, "w") as file:
        file.write("user root;" + NGINX.format(dir=directory))
    digest = make_file(os.path.join(www, "big"))
    process = stack.start("nginx", "server", "nginx", "-c", configuration, "-p", directory)
    wait_until("nginx does not start",
               lambda: os.path.exists(directory + "/nginx.pid") or not process.running(), 10)
    if not process.running():
        raise Failure("nginx ended while starting")
    return digest


def download(build, check):
    """curl from nginx, a file large enough to last over all three faults."""
    with Stack(build) as stack:
        directory = os.path.join(stack.directory, "web")
        os.mkdir(directory)
        digest = serve(stack, directory)
        target = os.path.join(directory, "got")
        before = stack.network.tcp_resets("client") + stack.network.tcp_resets("server")
        curl = stack.start(
            "curl", "client", "curl", "--silent", "--show-error", "--fail", "--output", target,
            "--limit-rate", str(RATE), "--max-time", "180", "--write-out",
            "%{http_code} %{size_download} %{num_connects} %{time_total}\\n",
            "http://192.0.2.100/big")
        wait_until("the download does not begin",
                   lambda: os.path.exists(target) and os.path.getsize(target) > 1 << 20 or
                   not curl.running(), 10)
        strike_all(stack, check, curl.running)
        wait_until("the download does not end", lambda: not curl.running(), 180, 0.2)
        status = curl.child.returncode
        words = (curl.tail(1) or [""])[0].split()
        check("curl ended well", status == 0, f"status {status}: {' '.join(words)}")
        check("one request on one connection",
              words[:3] == ["200", str(FILE_BYTES), "1"], " ".join(words))
        with open(directory + "/access.log") as log:
            requests = log.read().splitlines()
        check("the server saw one request", len(requests) == 1, f"{len(requests)} requests")
        check("the checksum matches", os.path.exists(target) and digest_of(target) == digest)
        after = stack.network.tcp_resets("client") + stack.network.tcp_resets("server")
        check("no connection was reset", after == before, f"{after - before} resets")
        stack.family["nginx"].stop()


def intervals_of(path):
    try:
        with open(path) as file:
            result = json.load(file)
    except (OSError, ValueError):
        return [], "no result"
    return ([i["sum"] for i in result.get("intervals", [])], result.get("error"))


def recovery(check, intervals):
    """Every second with faults or without moved data again after it."""
    rates = [i["bits_per_second"] / 1e6 for i in intervals]
    print("  Mbit/s in each half second: " + " ".join(f"{r:.0f}" for r in rates))
    silent = longest = 0
    for rate in rates:
        silent = silent + 1 if rate == 0 else 0
        longest = max(longest, silent)
    check("data moved again within two seconds after each fault", rates and longest <= 4,
          f"{longest / 2:g} s without data")
    check("data moved in the last second", len(rates) > 2 and rates[-2] > 0)


def iperf(build, check):
    """iperf3 with bounded rate across the same faults."""
    with Stack(build) as stack:
        server = stack.start("iperf3-server", "server", "iperf3", "--server", "--one-off")
        wait_until("iperf3 does not listen",
                   lambda: ":5201" in stack.network.run("server", "ss", "-ltn").stdout or
                   not server.running(), 10)
        before = stack.network.tcp_resets("client") + stack.network.tcp_resets("server")
        out = os.path.join(stack.directory, "iperf.json")
        client = stack.start(
            "iperf3", "client", "iperf3", "--client", "192.0.2.100", "--time", str(IPERF_SECONDS),
            "--interval", "0.5", "--bitrate", "80M", "--json", "--logfile", out)
        time.sleep(2)
        strike_all(stack, check, client.running)
        wait_until("iperf3 does not end", lambda: not client.running(), IPERF_SECONDS + 30, 0.2)
        intervals, error = intervals_of(out)
        check("iperf3 ended well", client.child.returncode == 0 and not error, str(error))
        recovery(check, intervals)
        after = stack.network.tcp_resets("client") + stack.network.tcp_resets("server")
        check("no connection was reset", after == before, f"{after - before} resets")
