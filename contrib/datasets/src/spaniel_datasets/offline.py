"""ir_datasets without the network: what lies on the machine is read, anything else is refused at once, with its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spaniel import UsageError


@contextmanager
def network(allowed: bool, name: str) -> Iterator[None]:
    """Let ir_datasets read collections, and fetch what it lacks where that is allowed.

    Raises:
        UsageError: it would have to fetch a file and may not; the message says where a copy of it belongs.
    """
    if allowed:
        yield
        return
    from ir_datasets.util import download

    original_path, original_stream = download.Download.path, download.Download.stream

    def local(wanted: Any) -> list[Any]:
        return [mirror for mirror in wanted.mirrors if isinstance(mirror, download.LocalDownload)]

    def refuse(wanted: Any) -> UsageError:
        place = wanted._cache_path
        home = f"put a copy of it at {place}, or " if place else ""
        return UsageError(
            f"{name} has a file that is not on this machine, and this run is offline: {home}set IR_DATASETS_HOME to the "
            "folder of ir_datasets where one lies, or run once without --offline"
        )

    def path(self: Any, force: bool = True) -> Any:
        known = self._path is not None or not force or (self._cache_path is not None and _is_there(self._cache_path))
        if known:
            return original_path(self, force)
        mirrors, self.mirrors = self.mirrors, local(self)
        try:
            if not self.mirrors:
                raise refuse(self)
            return original_path(self, force)
        except (OSError, RuntimeError) as error:
            raise refuse(self) from error
        finally:
            self.mirrors = mirrors

    def stream(self: Any) -> Any:
        if self._stream and not local(self):
            raise refuse(self)
        return original_stream(self)

    download.Download.path, download.Download.stream = path, stream
    try:
        yield
    finally:
        download.Download.path, download.Download.stream = original_path, original_stream


def _is_there(path: Any) -> bool:
    return Path(path).exists()
