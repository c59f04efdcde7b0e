"""Bytes → text, whatever encoding they have."""

from __future__ import annotations

import codecs

from spaniel.errors import UsageError

SAMPLE = 2**16
"""Bytes that a guess is made from."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WESTERN = "windows-1252"
_LATIN = (
    "windows-1250",
    "windows-1252",
    "windows-1254",
    "windows-1257",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-9",
    "iso-8859-15",
)
_SURE = 0.1
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")


class NoTextError(Exception):
    """Bytes are no text; the message says why."""


def check_encoding(name: str) -> str:
    """Return the name of an encoding as Python has it.

    Raises:
        UsageError: there is no such encoding of texts.
    """
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, TypeError) as error:
        raise UsageError(f"{name!r} is no encoding; there are utf-8, windows-1252, shift_jis and others") from error


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return the text of some bytes, with ``\\n`` at the ends of lines, and its encoding where that is a guess.

    In this order: a byte order mark, UTF-16 of mostly Western letters, UTF-8, the encoding that the file declares or the
    user gave, a guess by chardet. Where most letters are ASCII and the guess is no Latin encoding or not sure, it is
    windows-1252.

    Raises:
        NoTextError: they are no text, or of an encoding that is not known.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _tidy(_decoded(data, encoding)), ""
    sample = data[:SAMPLE]
    if encoding := _wide(sample):
        return _tidy(_decoded(data, encoding)), encoding
    if b"\0" in sample or sum(byte in _CONTROLS for byte in sample) > len(sample) // 50:
        raise NoTextError("binary")
    try:
        return _tidy(data.decode("utf-8")), ""
    except UnicodeDecodeError:
        pass
    known = _known(declared)
    guessed = "" if known else _guess(data)
    return _tidy(_decoded(data, known or guessed)), guessed


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise NoTextError(f"undecodable (byte {error.start} is no {encoding})") from error


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _wide(sample: bytes) -> str:
    """Return which UTF-16 a text without a mark is: of most of its characters one byte, always the same, is zero."""
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    enough = max(2, len(sample) // 5)
    return "utf-16-be" if not second and first > enough else "utf-16-le" if not first and second > enough else ""


def _known(name: str | None) -> str | None:
    try:
        return check_encoding(name) if name else None
    except UsageError:
        return None


def _guess(data: bytes) -> str:
    import chardet

    high = data.translate(None, bytes(range(128)))[:SAMPLE]
    # Around the first byte that is no ASCII: the beginning of a file may have none.
    first = data.find(high[:1])
    sample = data[max(0, first - SAMPLE // 2) :][:SAMPLE]
    guessed = chardet.detect(sample)
    encoding = str(guessed["encoding"] or "").lower()
    mostly_ascii = 3 * sum(byte > 127 for byte in sample) < len(sample)
    if mostly_ascii and (encoding not in _LATIN or float(guessed["confidence"] or 0) < _SURE):
        encoding = _WESTERN
    known = _known(encoding)
    if known is None:
        raise NoTextError("binary" if "octet" in str(guessed.get("mime_type")) else "undecodable (no known encoding)")
    # Of windows-1252 five bytes mean nothing; ISO 8859-1 has them as control characters.
    return "iso8859-1" if known == "cp1252" and set(high) & set(b"\x81\x8d\x8f\x90\x9d") else known
