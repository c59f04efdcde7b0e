"""A worker process that scores one candidate at a time, and that can be killed."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from spaniel import ArtifactError, PluginError, UsageError

from spaniel_search.scoring import Scored, Scorer, failure

STARTING = 600.0
"""Seconds that a worker may take to load what it scores with, beside the limit of a candidate."""
_CLOSING = 5.0
_KILL_ME = 1
"""``PR_SET_PDEATHSIG`` of Linux."""


class Worker:
    """A process with an objective of its own. It is spawned, so that no lock or thread of this one is copied.

    Args:
        recipe: import path of a function, and its arguments, that make the objective.
        identity: of the objective.
        cache: file of the evaluation cache.
        seed: of the session.
        limit: seconds that a candidate may take; ``None``: no limit.
    """

    def __init__(
        self, recipe: tuple[str, dict[str, Any]], identity: str, cache: Path, seed: int, limit: float | None
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.limit = limit
        self.process = spawn.Process(target=_serve, args=(theirs, recipe, identity, str(cache), seed))
        self.process.start()
        theirs.close()
        self.is_ready = False
        self._begun = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether its process has ended."""
        return self.process.exitcode is not None

    @property
    def left(self) -> float | None:
        """Seconds until it has taken too long; ``None`` where there is no limit."""
        if self.limit is None:
            return None
        most = self.limit if self.is_ready else self.limit + STARTING
        return max(0.0, most - (time.monotonic() - self._begun))

    def send(self, candidate: Any, effort: float, most: Mapping[str, float]) -> None:
        """Give it a candidate."""
        with suppress(OSError):  # that it has died is seen when its answer is read
            self.pipe.send_bytes(json.dumps([candidate, effort, dict(most)]).encode())
        self._begun = time.monotonic()

    def receive(self) -> Scored | None:
        """Read what it has to say; ``None``: it was starting, and is ready.

        Raises:
            ArtifactError: something on disk is damaged.
            PluginError: the objective cannot be made in it, or it died while it started.
        """
        try:
            said = json.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            self.process.join(_CLOSING)
            reason = f"its process {_ended(self.process.exitcode)}"
            self.kill()
            if not self.is_ready:
                raise PluginError("spaniel-search", f"a worker could not start: {reason}") from None
            return self._failed(reason)
        if "damaged" in said:
            path, message = said["damaged"]
            raise ArtifactError(path, message.removeprefix(f"{path}: "))
        if "refused" in said:
            raise UsageError(f"a worker process could not start: {said['refused']}")
        if "ready" in said:
            self.is_ready, self._begun = True, time.monotonic()
            return None
        scored: Scored = said
        return scored

    def expire(self) -> Scored:
        """Kill it, since its candidate takes too long.

        Raises:
            PluginError: it was starting still.
        """
        self.kill()
        if not self.is_ready:
            raise PluginError("spaniel-search", f"a worker did not start within {(self.limit or 0.0) + STARTING:,g} s")
        return self._failed(f"it took longer than {self.limit:,g} s; --trial-timeout gives more")

    def close(self) -> None:
        """Let it end, and end it where it does not."""
        self.pipe.close()
        if self.is_ready:
            self.process.join(_CLOSING)
        self.kill()

    def kill(self) -> None:
        """End it at once, with what it has started itself."""
        pid = self.process.pid
        if self.process.is_alive() and pid is not None:
            if hasattr(os, "killpg"):
                with suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
            self.process.kill()
        self.process.join()

    def _failed(self, reason: str) -> Scored:
        return {**failure(reason), "seconds": time.monotonic() - self._begun}


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _serve(pipe: Connection, recipe: tuple[str, dict[str, Any]], identity: str, cache: str, seed: int) -> None:
    _settle()
    path, arguments = recipe
    module, _, name = path.partition(":")
    try:
        scorer = Scorer(getattr(import_module(module), name)(**arguments), identity, Path(cache), seed)
    except BaseException as error:
        pipe.send_bytes(json.dumps({"refused": f"{error}"}).encode())
        return
    with closing(scorer), suppress(EOFError, OSError):  # the other end is closed: there is nothing more to score
        pipe.send_bytes(b'{"ready": true}')
        while True:
            candidate, effort, most = json.loads(pipe.recv_bytes())
            try:
                said: Mapping[str, Any] = scorer.score(candidate, effort, most)
            except ArtifactError as error:
                said = {"damaged": [error.path, str(error)]}
            pipe.send_bytes(json.dumps(said).encode())


def _settle() -> None:
    """Make this process a group of its own that ends with the one that started it and writes nothing to its output."""
    sys.stdout.flush()
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)
    if sys.platform == "linux":
        # Code that never lets go of the interpreter would not let the thread below look, either.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_KILL_ME, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
