# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of `kona run` share: a command with a deadline that leaves nothing behind."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

SECONDS = float(os.environ.get("KONA_TEST_SECONDS", "240"))


class Scratch:
    """A folder that is gone at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="kona-test-")
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Result:
    def __init__(self, status, output, errors, hung, seconds):
        self.status, self.output, self.hung, self.seconds = status, output, hung, seconds
        self.errors = errors.decode(errors="replace")
        self.end = "hung" if hung else f"status {status} after {seconds:.1f} s"


def end_group(process):
    """Kills what is left of a command that was started in a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, seconds=None, **more):
    """Runs a command to the end of all that hold its output; a hang counts as status 124."""
    start = time.monotonic()
    more.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True, **more)
    hung = False
    try:
        output, errors = process.communicate(timeout=seconds or SECONDS)
    except subprocess.TimeoutExpired:
        hung = True
        end_group(process)
        output, errors = process.communicate()
    end_group(process)
    return Result(124 if hung else process.returncode, output, errors, hung,
                  time.monotonic() - start)
