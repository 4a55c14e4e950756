# SPDX-License-Identifier: BSD-2-Clause
"""Linux swap to compressed memory, for one process at a time: a zram device and a memory cgroup of
our own. All is undone at the end of the `with` block; swap that was there before is not touched."""

import os
import subprocess
import threading
from pathlib import Path

from kona_bench import Failure, wait_for

CONTROL = Path("/sys/class/zram-control")
GROUPS = Path("/sys/fs/cgroup/memory")
PAGE_CLUSTER = Path("/proc/sys/vm/page-cluster")
SIZE_BYTES = 1 << 30
PRIORITY = "32767"  # above any other swap: ours is used first
NUDGE_BYTES = 256 << 10


def why_not():
    """The reason why this machine cannot do it, or None."""
    if os.geteuid():
        return "it takes root"
    if not (GROUPS / "memory.limit_in_bytes").exists():
        return f"there is no memory cgroup (v1) at {GROUPS}"
    if not CONTROL.exists():
        return "the kernel has no zram"
    return None


class ZramSwap:
    def __enter__(self):
        self.group = GROUPS / f"kona-demo-{os.getpid()}"
        self.device = self.number = None
        self.swapping = False
        self.limit_bytes = -1
        self.nudges = 0
        self.lock = threading.Lock()  # of the limit
        self.leaving = threading.Event()
        self.nudger = threading.Thread(target=self._nudge, daemon=True)
        self.page_cluster = PAGE_CLUSTER.read_text()
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self):
        self.number = (CONTROL / "hot_add").read_text().strip()
        self.device = Path(f"/dev/zram{self.number}")
        Path(f"/sys/block/zram{self.number}/disksize").write_text(str(SIZE_BYTES))
        wait_for(f"{self.device}", self.device.exists)
        subprocess.run(["mkswap", str(self.device)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["swapon", "-p", PRIORITY, str(self.device)], check=True)
        self.swapping = True
        # Its accesses are random: reading neighbours from swap would only cost it time.
        PAGE_CLUSTER.write_text("0")
        self.group.mkdir()
        (self.group / "memory.swappiness").write_text("100")
        # Linux 6.18 gives up on a small group now and then, with all of it reclaimable, and kills
        # the process. So the killer stays off, and whoever it would have killed is let go on.
        (self.group / "memory.oom_control").write_text("1")
        self.nudger.start()

    def __exit__(self, *ignored):
        """Every step is tried, whatever became of the one before."""
        self.leaving.set()
        steps = [lambda: PAGE_CLUSTER.write_text(self.page_cluster)]
        if self.group.exists():
            steps += [self.remove_limit, lambda: wait_for("leaving the cgroup", self._remove_group)]
        if self.swapping:
            steps.append(lambda: subprocess.run(["swapoff", str(self.device)], check=True))
        if self.number is not None:
            steps.append(lambda: Path(f"/sys/block/zram{self.number}/reset").write_text("1"))
            steps.append(lambda: (CONTROL / "hot_remove").write_text(self.number))
        failures = []
        for step in steps:
            try:
                step()
            except (Failure, OSError, subprocess.SubprocessError) as failure:
                failures.append(str(failure))
        if failures:
            raise Failure("could not undo all of the swap: " + "; ".join(failures))

    def _remove_group(self):
        try:
            self.group.rmdir()
        except OSError:
            return False
        return True

    def join(self):
        """For a child before it executes."""
        (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def usage_bytes(self):
        return int((self.group / "memory.usage_in_bytes").read_text())

    def _write_limit(self, limit_bytes):
        (self.group / "memory.limit_in_bytes").write_text(str(limit_bytes))

    def limit(self, limit_bytes):
        """-1: none."""
        with self.lock:
            self._write_limit(limit_bytes)
            self.limit_bytes = limit_bytes

    def remove_limit(self):
        self.limit(-1)
        (self.group / "memory.force_empty").write_text("0")

    def _nudge(self):
        """A limit that is raised wakes who waits for memory; a moment later it is as before."""
        while not self.leaving.wait(0.005):
            try:
                if "under_oom 1" not in (self.group / "memory.oom_control").read_text():
                    continue
                with self.lock:
                    if self.limit_bytes >= 0:
                        self._write_limit(self.limit_bytes + NUDGE_BYTES)
                        self._write_limit(self.limit_bytes)
                self.nudges += 1
            except OSError:
                continue  # the group is busy, or gone

    def counters(self):
        """Pages read from swap and written to it, on the whole machine."""
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return {"swapped_in_pages": int(counts["pswpin"]),
                "swapped_out_pages": int(counts["pswpout"]),
                "rescues": self.nudges}
