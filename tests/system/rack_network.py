# SPDX-License-Identifier: BSD-2-Clause
"""Hosts of a test: network namespaces with an address each, joined by a router in one of their own.
Needs root and ip(8); `usable` says why not. All is gone at the end.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from kona_testing import Bench, until


def ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=check)


def usable():
    """None, or the reason why there can be no namespaces."""
    if os.geteuid():
        return "needs root, for network namespaces"
    if not shutil.which("ip"):
        return "needs ip(8)"
    done = ip("netns", "add", f"kona-try-{os.getpid()}", check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.strip()}"
    ip("netns", "del", f"kona-try-{os.getpid()}")
    return None


RACK = ["--slab=1M", "--replicas=2"]


class Network(Bench):
    """A bench whose daemons run on hosts of their own."""

    def __init__(self, build):
        super().__init__(build)
        self.tag = f"kona{os.getpid()}"
        self.hosts, self.nodes, self.memds = [], {}, {}
        self.hub = self.host_name("hub")
        ip("netns", "add", self.hub)
        self.hosts.append(self.hub)
        subprocess.run(["ip", "netns", "exec", self.hub, "sh", "-c",
                        "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
        self.rack_url = None

    def __exit__(self, *exception):
        super().__exit__(*exception)
        for host in self.hosts:
            ip("netns", "del", host, check=False)

    def host_name(self, name):
        return f"{self.tag}-{name}"

    def add_host(self, name):
        """A host with the next address; returns that."""
        host, number = self.host_name(name), len(self.hosts)
        ip("netns", "add", host)
        self.hosts.append(host)
        ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{number}",
           "netns", self.hub)
        ip("-n", self.hub, "address", "add", f"10.77.{number}.1/24", "dev", f"p{number}")
        ip("-n", self.hub, "link", "set", f"p{number}", "up")
        ip("-n", host, "address", "add", f"10.77.{number}.2/24", "dev", "eth0")
        ip("-n", host, "link", "set", "eth0", "up")
        ip("-n", host, "link", "set", "lo", "up")
        ip("-n", host, "route", "add", "default", "via", f"10.77.{number}.1")
        return f"10.77.{number}.2"

    def peers_of(self, name):
        """The addresses that hold TCP connections to this host."""
        done = subprocess.run(self.on(name) + ["ss", "-tnH", "state", "established"],
                              capture_output=True, text=True, check=True)
        return {line.split()[-1].rsplit(":", 1)[0] for line in done.stdout.splitlines()}

    def port_of(self, name):
        return f"p{self.hosts.index(self.host_name(name))}"

    def cut(self, name):
        ip("-n", self.hub, "link", "set", self.port_of(name), "down")

    def mend(self, name):
        ip("-n", self.hub, "link", "set", self.port_of(name), "up")

    def break_links(self, name):
        """Resets all connections that clients have to this node, if this kernel can."""
        subprocess.run(self.on(name) + ["ss", "-K", "-t", "sport", "=", ":7700"],
                       stdout=subprocess.DEVNULL, check=False)

    def on(self, name):
        return ["ip", "netns", "exec", self.host_name(name)]

    def start_rackd(self, *arguments, port=0):
        """On host `rack`; --insecure: the namespaces are a network of their own."""
        address = self.rack_url[7:] if self.rack_url else f"{self.add_host('rack')}:{port}"
        p = self.daemon("kona-rackd", f"--listen={address}", "--insecure",
                        f"--state={self.folder}/state", *arguments, wrap=self.on("rack"))
        found = re.search(r"listening at (http://[^\s,]+)", open(p.log).read())
        self.rack_url = found.group(1)
        return p

    def start_memd(self, name, *arguments):
        """The node `name` on its host, which is made at the first time."""
        if name not in self.nodes:
            self.nodes[name] = self.add_host(name)
        self.memds[name] = self.daemon(
            "kona-memd", f"--rack={self.rack_url}", f"--socket={self.folder}/{name}.sock",
            f"--name={name}", f"--data={self.nodes[name]}:7700", "--lend=256M", *arguments,
            wrap=self.on(name))
        return self.memds[name]

    def restart_memd(self, name, seconds=30):
        """What was killed returns, and has told the controller that it holds nothing."""
        log = self.start_memd(name).log
        until(lambda: re.search(r" lends | registered at ", open(log, encoding="utf-8").read()),
              f"{name} is registered", seconds)

    def kill(self, name):
        self.memds[name].kill()
        self.memds[name].wait()

    def curl(self, path, body=None):
        """The parsed answer of the controller: of a GET, or, with a body, of a POST."""
        done = subprocess.run(self.on("rack") + ["python3", "-c",
                              "import sys, urllib.request as u;"
                              "r = u.Request(sys.argv[1], data=sys.stdin.buffer.read() or None,"
                              " headers={'Content-Type': 'application/json'});"
                              "print(u.urlopen(r, timeout=5).read().decode())",
                              self.rack_url + path], input=body or b"", capture_output=True,
                              check=True)
        return json.loads(done.stdout)

    def is_whole(self, without=None):
        """Has every slab two full replicas and no other, none of them on node `without`?"""
        slabs = self.curl("/v1/slabs")["slabs"]
        return slabs and all(len(s["replicas"]) == 2 and
                             all(r["state"] == "full" and r["node"] != without
                                 for r in s["replicas"]) for s in slabs)

    def whole(self, what, seconds=40, without=None):
        try:
            until(lambda: self.is_whole(without), f"two replicas of everything: {what}", seconds)
        except AssertionError:
            self.tell()
            raise

    def settled(self, what, seconds=60):
        """Whole, and still so after every program had the time to find a node dead (1.5 s) and its
        broker to reach a controller (a beat each second, which may take one)."""
        since, end = None, time.monotonic() + seconds
        while since is None or time.monotonic() < since + 4:
            if not self.is_whole():
                since = None
            elif since is None:
                since = time.monotonic()
            assert time.monotonic() < end, f"never settled: {what}"
            time.sleep(0.1)

    def number_of(self, name):
        """Of the node, as the controller counts."""
        number, = [n["node"] for n in self.curl("/v1/status")["nodes"] if n["name"] == name]
        return number

    def drain(self, name):
        """Waits until nothing stands there; then the node is as before."""
        node = self.number_of(name)
        self.curl(f"/v1/nodes/{node}/drain", b"{}")
        self.whole(f"{name} is drained", without=node)
        self.curl(f"/v1/nodes/{node}/undrain", b"{}")

    def tell(self):
        """What somebody wants to know who looks into a failure."""
        print(json.dumps(self.curl("/v1/status")))
        for slab in self.curl("/v1/slabs")["slabs"]:
            if len(slab["replicas"]) != 2 or any(r["state"] != "full" for r in slab["replicas"]):
                print(json.dumps(slab))
        for p in self.processes:
            for name in ("log", "out"):
                if hasattr(p, name):
                    with open(getattr(p, name), encoding="utf-8", errors="replace") as f:
                        print(getattr(p, name), f.read()[-2000:])

    def run_far(self, host, program, *options, rack=True):
        """kona run on that host, by a broker of its own (rack), with what the program prints as p.out; ready when it says so."""
        out = os.path.join(self.folder, f"out-{len(self.processes)}")
        with open(out, "wb") as stream:
            p = self.spawn(self.on(host) + [f"{self.build}/kona", "run",
                                            *([f"--rack={self.rack_url}"] if rack else []),
                                            *options, "--", *program],
                           stdout=stream, stderr=stream)
        p.out = out
        return p


def run_two(net, verifying, mib, *options):
    """Two verifying programs on hosts of their own, one of which forks, with these options; checks
    that each of them uses memory nodes from its own address."""
    addresses, programs = [], []
    for name, size, more, own in (("client", mib, [], []),
                                  ("other-client", mib // 2, ["fork"], options)):
        addresses.append(net.add_host(name))
        programs.append(net.run_far(name, [verifying, str(size), *more], "--local=8M", *own))
    for p in programs:
        ready(p)
    peers = set().union(*(net.peers_of(name) for name in net.nodes))
    assert len(set(addresses)) == 2 and set(addresses) <= peers, (addresses, peers)
    return programs


def said(p):
    with open(p.out, encoding="utf-8", errors="replace") as f:
        return f.read()


def ready(p, seconds=60):
    until(lambda: "ready" in said(p) or p.poll() is not None, "the program is ready", seconds)
    assert "ready" in said(p), said(p)


def verified(p, most_ms=5000):
    """Ends a verifying program and returns (values, longest ms)."""
    ends(p)
    found = re.search(r"checked (\d+) values, the longest access took (\d+) ms", said(p))
    assert p.returncode == 0 and found, (p.returncode, said(p))
    assert int(found.group(2)) < most_ms, said(p)
    return int(found.group(1)), int(found.group(2))


def ends(p):
    """SIGTERM to the program itself, the child of kona run that is no daemon."""
    os.kill(program_of(p), signal.SIGTERM)
    p.wait(60)


def program_of(p):
    with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii") as f:
        children = [int(c) for c in f.read().split()]
    for child in children:
        with open(f"/proc/{child}/comm", encoding="ascii") as f:
            if not f.read().startswith("kona"):
                return child
    raise AssertionError(f"no program among {children}: {said(p)}")
