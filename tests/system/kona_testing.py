# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the daemons share: a client of the broker, and processes that end with the test.

Nothing here sleeps to synchronise: `until` polls a condition up to a deadline.
"""
import array
import contextlib
import faulthandler
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

MAGIC, VERSION = 0x414E4F4B, 5
HELLO, WELCOME, HOLD, HELD, GRANT, GRANTED = range(1, 7)


def until(condition, what, seconds=120):
    """Waits until condition() is true and returns its value; fails the test after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def header(kind, magic=MAGIC, version=VERSION):
    return struct.pack("=IHH", magic, version, kind)


def text_of(field):
    return field.split(b"\0", 1)[0].decode()


def processes(folder, name=""):
    """Numbers of the processes whose arguments or environment name the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                command = stream.read()
        except OSError:
            continue
        if folder.encode() in command and name.encode() in command.split(b"\0")[0]:
            found.append(int(pid))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Client:
    """A program, as far as kona-memd can tell."""

    def __init__(self, path, hello=True, limit=0, program=b"test"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.memory = []
        if hello:
            self.hello(limit, program)

    def send(self, packet, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([packet], control)

    def receive(self):
        """One packet and its descriptors; (b"", []) at the end of the connection."""
        try:
            data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(64))
        except ConnectionResetError:
            return b"", []
        fds = array.array("i")
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(value[: len(value) - len(value) % 4])
        return data, list(fds)

    def hello(self, limit=0, program=b"test"):
        self.send(header(HELLO) + struct.pack("=QII64s", limit, os.getpid(), 0, program))
        data, fds = self.receive()
        self.news = socket.socket(fileno=fds[0]) if fds else None
        assert len(data) == 256, f"no WELCOME: {data!r}"
        _, _, kind, self.status, _, self.lease, self.slab = struct.unpack("=IHHiIQQ", data[:32])
        assert kind == WELCOME
        self.node, self.text = text_of(data[32:96]), text_of(data[96:])
        return self.status

    def grant(self, count=1):
        """(status, ids or text); the memory's descriptor goes to self.memory."""
        self.send(header(GRANT) + struct.pack("=II", count, 0))
        return self.granted()

    def granted(self):
        data, fds = self.receive()
        assert len(data) == 2616, f"no GRANTED: {data!r}"
        _, _, kind, status, count, self.base = struct.unpack("=IHHiIQ", data[:24])
        assert kind == GRANTED
        if status:
            assert not fds
            return status, text_of(data[2456:])
        assert len(fds) == 1
        self.memory += fds
        return 0, [struct.unpack_from("=Q", data, 24 + 152 * i)[0] for i in range(count)]

    def hold(self, fds):
        self.send(header(HOLD) + struct.pack("=iI", 0, 0), fds)
        data, _ = self.receive()
        assert len(data) == 16, f"no HELD: {data!r}"
        return struct.unpack("=i", data[8:12])[0]

    def closed(self):
        """Has the daemon ended the connection? Waits for it."""
        return self.receive()[0] == b""

    def close(self):
        self.socket.close()


class Bench:
    """A folder and the processes of one test; all is gone at its end."""

    def __init__(self, build):
        self.build = os.path.realpath(build)
        self.folder = tempfile.mkdtemp(prefix="kona-test-")
        self.processes = []
        self.rack = f"unix:{self.folder}/rack.sock"
        self.socket = f"{self.folder}/memd.sock"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.processes:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
                p.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, arguments, **more):
        p = subprocess.Popen(arguments, **more)
        self.processes.append(p)
        return p

    def daemon(self, name, *arguments, expect="ready", wrap=(), **more):
        """Starts a daemon and waits until it is ready. p.log is the path of its stderr."""
        read, write = os.pipe()
        log = os.path.join(self.folder, f"{name}-{len(self.processes)}.log")
        with open(log, "wb") as stream:
            p = self.spawn([*wrap, f"{self.build}/{name}", *arguments, f"--ready-fd={write}"],
                           pass_fds=[write], stderr=stream, **more)
        os.close(write)
        p.log = log
        with os.fdopen(read) as ready:
            line = ready.readline().strip()
        if line != expect:
            raise AssertionError(f"{name} says {line!r}: {open(log).read()}")
        return p

    def rackd(self, *arguments, state="state.db", **more):
        return self.daemon("kona-rackd", f"--listen={self.rack}",
                           f"--state={self.folder}/{state}", *arguments, **more)

    def memd(self, *arguments, **more):
        return self.daemon("kona-memd", f"--rack={self.rack}", f"--socket={self.socket}",
                           "--name=one", *arguments, **more)

    def client(self, **more):
        return Client(self.socket, **more)

    def call(self, method, path, body=None, raw=None, kind="application/json"):
        """(HTTP status, parsed answer) of the controller."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(self.rack[5:])
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        connection.sendall((f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
                            ).encode() + data)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        connection.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        text = rest.decode()
        return int(head.split()[1]), json.loads(text) if text[:1] in "{[" else text

    def status(self):
        return self.call("GET", "/v1/status")[1]


@contextlib.contextmanager
def bench():
    """The usual beginning: the build folder is the first argument. A test that hangs says where."""
    faulthandler.dump_traceback_later(600, exit=True)
    with Bench(sys.argv[1]) as b:
        yield b


def stage(b, standin):
    """Puts the programs beside the stand-in for libkona.so, and returns the path of kona."""
    folder = os.path.join(b.folder, "bin")
    os.mkdir(folder)
    for name in ("kona", "kona-memd", "kona-rackd"):
        shutil.copy2(os.path.join(b.build, name), folder)
    shutil.copy2(standin, os.path.join(folder, "libkona.so"))
    return os.path.join(folder, "kona")


def file_bytes(fd):
    return os.fstat(fd).st_size
