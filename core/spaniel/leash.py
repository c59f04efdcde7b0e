"""Processes that end with the one that started them, and take along what they have started themselves.

The parent holds the end of a pipe, which the system closes however the parent ends. A watcher in the child's own process
group waits for that, and kills the group: it needs neither the child's interpreter, which may be busy, nor its consent.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO


def start(
    module: str, arguments: Sequence[str], *, stdout: IO[bytes] | None = None, stderr: IO[bytes] | int | None = None
) -> subprocess.Popen[bytes]:
    """Run a module in a process of its own that reads nothing; wait for it by ``wait``, and then call :func:`end`.

    Args:
        module: what ``python -m`` would run; the current folder is not on its path.
        arguments: its arguments.
        stdout: the file that it writes to; by default this process's own.
        stderr: likewise, or ``subprocess.STDOUT``.
    """
    command = [sys.executable, "-P", "-m", "spaniel.leash", module, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, where it has not ended, and with it whatever it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _tie() -> None:
    """Tie this process and its group to the pipe that it has for standard input, and put nothing in its place."""
    leash, nothing = os.dup(0), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    if not hasattr(os, "fork"):
        threading.Thread(target=_wait, args=(leash,), daemon=True).start()
        return
    if os.getpgrp() != os.getpid():
        os.setpgrp()
    if os.fork():
        os.close(leash)
        return
    for stream in (1, 2):  # whoever reads them is not to wait for the watcher
        os.dup2(nothing, stream)
    _wait(leash)


def _wait(leash: int) -> None:
    while os.read(leash, 1):
        pass
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    _tie()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
