# SPDX-License-Identifier: BSD-2-Clause
"""What bench/'s scripts share: programs that always end, counters of a phase, tables."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

PAGE = 4096


class Failure(Exception):
    """What was to be measured cannot be; the message is for the user."""


def catch_signals():
    """A signal that ends us runs every `finally` first."""

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number, frame):
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in numbers:
        signal.signal(number, leave)


def wait_for(what, condition, deadline_s=20):
    """Polls until the condition gives something true, and returns it."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.01)
    raise Failure(f"{what}: nothing after {deadline_s} s")


class Program:
    """A program, under `kona run` if local_bytes is given; ends with the `with` block."""

    def __init__(self, build, command, local_bytes=None, dirty="lines", **popen):
        self.build = build
        if local_bytes is not None:
            command = [str(Path(build) / "kona"), "run", f"--local={local_bytes}",
                       f"--dirty={dirty}", "--"] + command
        self.process = subprocess.Popen(command, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def snapshot(self):
        """The counters of the runtime as they stand now, and the first Kona process."""
        told = subprocess.run([Path(self.build) / "bench/stats-now", str(self.process.pid)],
                              stdout=subprocess.PIPE, check=True)
        report = json.loads(told.stdout)
        return report["totals"] | {"pid": report["processes"][0]["pid"]}


def on_cpus(cpus, before=None):
    """For a child before it executes."""

    def prepare():
        if cpus:
            os.sched_setaffinity(0, cpus)
        if before:
            before()

    return prepare


def _proc_bytes(pid, file, field):
    found = re.search(rf"^{field}:\s*(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.M)
    if not found:
        raise Failure(f"process {pid} tells no {field}")
    return int(found[1]) * 1024


def anonymous_bytes(pid):
    """Resident memory that is no file's: exact, unlike that of /proc/PID/status."""
    return _proc_bytes(pid, "smaps_rollup", "Anonymous")


def kernel_table_bytes(pid):
    return _proc_bytes(pid, "status", "VmPTE")


def note_load():
    if os.getloadavg()[0] > 1:
        print(f"This machine is busy (load average {os.getloadavg()[0]:.1f}): expect noise.")


# Counters that only grow: of a phase, the difference counts.
GROWING = ("guard_misses", "faults_missing", "faults_wp", "fetched_pages", "fetched_bytes",
           "zero_filled_pages", "prefetched_pages", "evicted_pages", "evicted_clean_pages",
           "recalled_pages", "written_back_bytes", "dirty_lines", "system_calls", "handler_ns",
           "evict_ns")
LEVELS = ("local_pages_peak", "local_budget_bytes", "metadata_bytes")


def phase(before, after):
    return {name: after[name] - before[name] for name in GROWING} | {
        name: after[name] for name in LEVELS}


def median_of(records, names):
    return {name: statistics.median(record[name] for record in records) for name in names}


def print_table(headings, rows):
    """The first column to the left, the others to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [headings] + rows) for i in range(len(headings))]
    for row in [headings] + rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def describe_machine():
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpus": os.cpu_count(), "cpu": model, "kernel": os.uname().release}


def write_json(path, report):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(report, indent=2) + "\n")
    temporary.replace(path)


def main(function):
    """Runs function; a Failure is one line and status 1."""
    catch_signals()
    try:
        sys.exit(function())
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        sys.exit(f"{Path(sys.argv[0]).name}: {failure}")
