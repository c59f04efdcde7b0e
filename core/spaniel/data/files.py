"""Text files, plain or compressed, line by line and with places."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from spaniel.errors import ArtifactError, UsageError


def _open(path: Path, mode: str) -> IO[bytes]:
    if path.suffix == ".gz":
        # No name and no time in the header, so that the same content gives the same bytes.
        raw = path.open(mode)
        return _GzipFile(raw, mode) if "w" in mode else gzip.open(raw, "rb")  # type: ignore[return-value]
    if path.suffix in (".zst", ".zstd"):
        try:
            import zstandard
        except ImportError:
            raise UsageError(f'{path}: zstd files need an extra: pip install "spaniel[zstd]"') from None
        opened: IO[bytes] = zstandard.open(path, mode)
        return opened
    return path.open(mode)


class _GzipFile(gzip.GzipFile):
    def __init__(self, raw: Any, mode: str) -> None:
        super().__init__(filename="", mode=mode, fileobj=raw, mtime=0)
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()


def read_lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield ``("file:line", line)`` without line ends; the line is ``None`` where its bytes are no UTF-8.

    A byte order mark at the beginning is ignored.

    Raises:
        UsageError: the file is not there, or its compression is damaged.
    """
    number = 0
    try:
        with _open(path, "rb") as file:
            for number, raw in enumerate(io.BufferedReader(file) if path.suffix == ".gz" else file, 1):  # type: ignore[type-var]
                if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                    raw = raw[3:]
                try:
                    yield f"{path}:{number}", raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    yield f"{path}:{number}", None
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
        with _open(draft, "wb") as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
            yield text
        draft.replace(path)
    except OSError as error:
        raise ArtifactError(path, f"cannot be written ({error.strerror or error})") from error
    finally:
        draft.unlink(missing_ok=True)
