# SPDX-License-Identifier: BSD-2-Clause
"""A Redis server to measure: started, loaded, put under load by redis-benchmark, read back.

Keys are key:000000000000 and so on, as redis-benchmark draws them."""

import dataclasses
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from kona_bench import Failure, Program, on_cpus, wait_for

CLIENTS = 25  # each of the two load generators
BATCH = 1000
DIGITS = random.Random(1).randbytes(1 << 19).hex().encode()


def pack(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def split_cpus():
    """The server with all that serves it on one CPU, the load generators on another: where the
    scheduler puts threads would else decide more than what is compared. Two sets, or None."""
    cpus = sorted(os.sched_getaffinity(0))
    return ({cpus[0]}, {cpus[1]}) if len(cpus) > 1 else (None, None)


def cpu_ns(pid):
    """Time of a processor that a process has taken, in all of its threads."""
    return time.clock_gettime_ns(~pid << 3 | 2)  # CPUCLOCK_SCHED, of a process


@dataclasses.dataclass(frozen=True)
class Load:
    keys: int
    value_bytes: int
    pipeline: int  # commands that each client has in flight

    def value_of(self, key):
        """Its own for each key, and of little use to a compressor."""
        start = key * 7919 % (len(DIGITS) - self.value_bytes)
        return (b"%d:" % key + DIGITS[start : start + self.value_bytes])[:self.value_bytes]

    @property
    def new_value(self):
        """What redis-benchmark writes; no other value begins like it."""
        return b"new:" + DIGITS[: self.value_bytes - 4]


class Redis:
    """A server (a program of that name or path), and what it is to be loaded with. The rest as for
    Program."""

    def __init__(self, build, load, local_bytes=None, dirty="lines", before=None,
                 server="redis-server"):
        self.load_of, self.keys = load, load.keys
        self.folder = tempfile.TemporaryDirectory(prefix="kona-demo-")
        self.socket_path = str(Path(self.folder.name) / "redis.sock")
        self.server_cpus, self.load_cpus = split_cpus()
        command = [server, "--port", "0", "--unixsocket", self.socket_path, "--save", "",
                   "--appendonly", "no", "--dir", self.folder.name]
        self.log = open(Path(self.folder.name) / "log", "wb")
        self.program = Program(build, command, local_bytes, dirty, stdin=subprocess.DEVNULL,
                               stdout=self.log, stderr=self.log,
                               preexec_fn=on_cpus(self.server_cpus, before))

    def __enter__(self):
        try:
            self.connection = wait_for("redis-server", self._connect)
            self.replies = self.connection.makefile("rb")
            self.pid = int(re.search(rb"process_id:(\d+)", self.ask(b"INFO", b"server"))[1])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored):
        self.program.__exit__()
        self.log.close()
        self.folder.cleanup()

    def _connect(self):
        if self.program.process.poll() is not None:
            self.log.flush()
            said = Path(self.log.name).read_text(errors="replace").strip().splitlines()
            raise Failure("redis-server ended: " + (said[-1] if said else "without a word"))
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(self.socket_path)
            return connection
        except OSError:
            connection.close()
            return None

    def _reply(self):
        line = self.replies.readline()
        if line[:1] == b"$" and line[1:2] != b"-":
            return self.replies.read(int(line[1:]) + 2)[:-2]
        if line[:1] not in (b"+", b":"):
            raise Failure(f"redis-server answered {line[:80]!r}")
        return line[1:-2]

    def ask(self, *words):
        self.connection.sendall(pack(*words))
        return self._reply()

    def _in_batches(self, command):
        """command(key) for every key; yields key and reply."""
        for first in range(0, self.keys, BATCH):
            batch = range(first, min(first + BATCH, self.keys))
            self.connection.sendall(b"".join(command(key) for key in batch))
            for key in batch:
                yield key, self._reply()

    def load(self):
        for key, reply in self._in_batches(
                lambda key: pack(b"SET", b"key:%012d" % key, self.load_of.value_of(key))):
            if reply != b"OK":
                raise Failure(f"SET of key {key} gave {reply!r}")

    def verify(self):
        """Reads every key back: its first value or the one that redis-benchmark wrote."""
        for key, reply in self._in_batches(lambda key: pack(b"GET", b"key:%012d" % key)):
            if reply not in (self.load_of.value_of(key), self.load_of.new_value):
                raise Failure(f"key {key} holds {reply[:40]!r}, which nobody wrote")

    def served(self):
        """GETs and SETs so far."""
        calls = dict(re.findall(rb"cmdstat_(\w+):calls=(\d+)", self.ask(b"INFO", b"commandstats")))
        return int(calls.get(b"get", 0)) + int(calls.get(b"set", 0))

    def throughput(self, seconds, windows, before_windows):
        """Operations per second in each of the windows, after a warm-up of the same length as one;
        before_windows() is called when it is over. And the operations of all windows."""
        rates = []
        with Generators(self):
            time.sleep(seconds)
            before_windows()
            first = last = self.served()
            last_time = time.monotonic()
            for _ in range(windows):
                time.sleep(seconds)
                now, now_time = self.served(), time.monotonic()
                rates.append((now - last) / (now_time - last_time))
                last, last_time = now, now_time
        return rates, last - first


class Generators:
    """Two redis-benchmark, one GETs and one SETs random keys, which can be made to stand still."""

    def __init__(self, redis):
        load = redis.load_of
        command = ["redis-benchmark", "-s", redis.socket_path, "-c", str(CLIENTS), "-P",
                   str(load.pipeline), "-n", "1000000000", "-r", str(load.keys), "-q"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                 "preexec_fn": on_cpus(redis.load_cpus)}
        self.programs = [Program(None, command + each, **quiet) for each in (
            ["GET", "key:__rand_int__"],
            ["SET", "key:__rand_int__", load.new_value.decode()])]

    def __enter__(self):
        return self

    def __exit__(self, kind, *ignored):
        ended = any(each.process.poll() is not None for each in self.programs)
        self.resume()
        for each in self.programs:
            each.__exit__()
        if ended and not kind:
            raise Failure("redis-benchmark ended early")

    def pause(self):
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def cpu_ns(self):
        return sum(cpu_ns(each.process.pid) for each in self.programs)

    def _signal(self, number):
        for each in self.programs:
            each.process.send_signal(number)
