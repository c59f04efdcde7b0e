"""Text files, plain or compressed, line by line and with places."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from spaniel.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from spaniel.context import Context
    from spaniel.store import Store

PACKED = (".gz", ".zst", ".zstd")
"""Endings of compressed files."""
LONGEST = 2**28
"""Bytes of the longest line; no document can be larger, and no damaged file can fill the memory."""
_MARK = b"\xef\xbb\xbf"


class _Unzstd(io.RawIOBase):
    """Reads every frame of a zstd file, and notices where the last one is cut off."""

    # A small step bounds what a hostile file can unfold to at once: 128 KiB for every four bytes.
    _STEP = 2048

    def __init__(self, raw: IO[bytes], decompressor: Any) -> None:
        self._raw, self._decompressor = raw, decompressor
        self._frame: Any = None
        self._packed = self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._packed = self._packed or self._raw.read(self._STEP)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the last frame is cut off")
                return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            self._ready, self._packed = self._frame.decompress(self._packed), b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Gzip(gzip.GzipFile):
    """Writes neither name nor time into the header, so that the same content gives the same bytes."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__(filename="", mode="wb", fileobj=self._raw, mtime=0)

    def close(self) -> None:
        super().close()
        self._raw.close()


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise UsageError(f'{path}: zstd files need an extra: pip install "spaniel[zstd]"') from None
    return zstandard


def _open_read(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return io.BufferedReader(cast(io.RawIOBase, gzip.open(path)))
    if path.suffix in PACKED:
        decompressor = _zstandard(path).ZstdDecompressor()
        return io.BufferedReader(_Unzstd(path.open("rb"), decompressor), 2**17)
    return path.open("rb")


def _open_write(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], _Gzip(path))
    if path.suffix in PACKED:
        return cast(IO[bytes], _zstandard(path).open(path, "wb"))
    return path.open("wb")


def digests_of(paths: Sequence[Path], store: Store, context: Context | None = None) -> Sequence[str | OSError]:
    """Return the digests of files, or why one cannot be read; the observers of a session see how far it is."""
    if context is None:
        return store.digests_of(paths)
    size = sum(path.stat().st_size for path in paths if path.is_file())
    with context.stage("look through files", size, "bytes", phase="build"):
        return store.digests_of(paths, context.advance)


def read_head(path: Path, size: int) -> str:
    """Return the text of the first bytes of a file, unpacked; nothing where that cannot be read, or is no text."""
    try:
        with _open_read(path) as file:
            head = file.read(size)
    except (OSError, EOFError, zlib.error, UsageError):
        return ""
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        return ""
    return "" if b"\0" in head else head.decode("utf-8", "replace")


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[str, str | None]]:
    """Yield ``("file:line", line)`` without line ends; the line is ``None`` where its bytes are not of the encoding.

    The encoding is one whose line ends are ASCII's.
    A byte order mark at the beginning is ignored. Names ending in .gz, .zst and .zstd are decompressed.

    Raises:
        UsageError: the file is not there, its compression is damaged, or a line is longer than :data:`LONGEST`.
    """
    number = 0
    try:
        with _open_read(path) as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    raise UsageError(f"{path}:{number}: the line is longer than {LONGEST} bytes")
                if number == 1:
                    raw = raw.removeprefix(_MARK)
                try:
                    line = raw.decode(encoding).rstrip("\r\n")
                except UnicodeDecodeError:
                    yield f"{path}:{number}", None
                else:
                    yield f"{path}:{number}", line
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageError(f"{path}:{number + 1}: the compressed file is damaged ({error})") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        raise UsageError(f"{path}:{number + 1}: the compressed file is damaged ({error})") from error


@contextmanager
def write_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing, compressed by its name; it appears whole or not at all.

    Raises:
        ArtifactError: it cannot be written.
    """
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _open_write(draft) as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
            yield text
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except OSError as error:
        raise ArtifactError(path, f"cannot be written ({error.strerror or error})") from error
    finally:
        # A folder that cannot be written holds no draft, and may say so in its own way.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
