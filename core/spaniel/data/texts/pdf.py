"""The text of PDF, by pypdf."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from typing import Any

from spaniel.data.texts.decoding import NoTextError

PAGES = 5_000
SECONDS = 120.0
"""CPU time after which the rest of a file is left: asked between pages, so that a page is read to its end."""


def read_pdf(data: bytes) -> tuple[str, Iterator[tuple[int, str | NoTextError]]]:
    """Return the title and the pages, each with its number from 1 and its text, or why it has none.

    Raises:
        NoTextError: it is no PDF, is encrypted, or pypdf is not installed.
    """
    try:
        import pypdf
    except ImportError:
        raise NoTextError('PDF needs an extra: pip install "spaniel[pdf]"') from None
    # It tells on standard error of every oddity that it gets over.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise NoTextError("encrypted")
        about = reader.metadata
        title = " ".join(str(about.title or "").split()) if about is not None else ""
        count = len(reader.pages)
    except NoTextError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise NoTextError(f"no PDF, or a damaged one ({type(error).__name__})") from error
    return title, _pages(reader, count)


def _pages(reader: Any, count: int) -> Iterator[tuple[int, str | NoTextError]]:
    end = time.thread_time() + SECONDS
    for number in range(1, count + 1):
        if number > PAGES or time.thread_time() > end:
            limit = f"{PAGES} pages" if number > PAGES else f"{SECONDS:.0f} seconds"
            yield number, NoTextError(f"more than {limit}: the rest is left out")
            return
        try:
            yield number, str(reader.pages[number - 1].extract_text() or "")
        except Exception as error:  # one page that is damaged does not lose the others
            yield number, NoTextError(f"a damaged page ({type(error).__name__})")
