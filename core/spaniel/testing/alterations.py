"""Alterations of files whose digests will be right: what somebody would write who wants a kernel to leave its arrays."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Alteration = tuple[str, bytes]
"""What was done, and the bytes that came of it."""

_NUMBERS = (2**31 - 1, -1, 10**6, 2**40, -(2**40))
_DEEP = 100_000
_WORDS = 24
"""Places at which a file of no known form is overwritten."""


def alter(name: str, data: bytes) -> Iterator[Alteration]:
    """Yield alterations of a file, by the form that its name says."""
    if name.endswith(".npy"):
        yield from _alter_npy(data)
    elif name.endswith(".json"):
        yield from _alter_json(data)
    elif name.endswith(".safetensors"):
        yield from _alter_safetensors(data)
    else:
        yield from _alter_raw(data)


def alter_info(info: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield alterations of what a builder noted in the manifest."""
    for key, value in info.items():
        for other in _other_values(value):
            yield f"notes {key} as {str(other)[:30]}", {**info, key: other}
        yield f"does not note {key}", {k: v for k, v in info.items() if k != key}


def _other_values(value: Any) -> list[Any]:
    if isinstance(value, bool) or value is None:
        return [2, "x"]
    if isinstance(value, int):
        return [other for other in (3, 0, -1, 10**6, 2**31 - 1, 2**40, 10**400, 1.5, "3", None, [3]) if other != value]
    if isinstance(value, float):
        return [0.0, -1.0, 1e-30, "x", None]
    if isinstance(value, str):
        return ["", "x", 5, None]
    if isinstance(value, list):
        ordered = all(isinstance(one, int | float) for one in value)  # others are as good in another order
        return [[], value[:-1], [*value, *value[-1:]], value[::-1] if ordered and value != value[::-1] else {}, 7]
    return [{}, [], 7]


def _alter_npy(data: bytes) -> Iterator[Alteration]:
    values = np.load(io.BytesIO(data), allow_pickle=False)
    for what, other in _alter_numbers(values):
        yield what, _npy(other)
    yield "as another type", _npy(values.astype(np.complex64 if values.dtype.kind == "f" else np.float64))
    if values.dtype.itemsize > 1:
        yield "in the other byte order", _npy(values.astype(values.dtype.newbyteorder()))
    if values.ndim > 1 and values.size > 1:
        yield "in the order of Fortran", _npy(np.asfortranarray(values))
    yield "as a line of a matrix", _npy(values[None])
    start, text = values.tobytes(), f"'fortran_order': False, 'shape': {values.shape}, }}"
    for what, header in (
        ("an array of objects", f"{{'descr': '|O', {text}"),
        (
            "a shape of 2**62",
            f"{{'descr': '{values.dtype.str}', 'fortran_order': False, 'shape': (4611686018427387904, 4), }}",
        ),
        ("a shape of 10**9", f"{{'descr': '{values.dtype.str}', 'fortran_order': False, 'shape': (1000000000,), }}"),
        ("a shape below 0", f"{{'descr': '{values.dtype.str}', 'fortran_order': False, 'shape': (-1,), }}"),
        ("a deep header", "[" * 9000),
    ):
        padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
        yield what, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + start
    yield "nothing behind its header", data[: len(data) - values.nbytes]
    yield "half of the file", data[: len(data) // 2]
    yield "an empty file", b""


def _alter_numbers(values: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    if not values.size:
        return
    flat = values.reshape(-1)
    kind, size = values.dtype.kind, values.size
    numbers: list[Any] = []
    if kind in "iu" and values.dtype.itemsize >= 4:
        limits = np.iinfo(values.dtype)
        numbers = [number for number in _NUMBERS if limits.min <= number <= limits.max]
    elif kind == "f":
        numbers = [np.nan, np.inf, -np.inf]
    for number in numbers:
        for place in {0, size // 2, size - 1} if number in numbers[:2] else {size // 2}:
            other = flat.copy()
            other[place] = number
            if not np.array_equal(other, flat):
                yield f"{number} in place {place}", other.reshape(values.shape)
    # Numbers that are as good in another order are what a builder might have written, and nobody can tell.
    if kind in "iu" and values.dtype.itemsize >= 4 and values.ndim == 1 and not np.array_equal(flat, flat[::-1]):
        yield "reversed", flat[::-1].copy()
    yield "without its last line", values[:-1] if values.ndim else values.reshape(1)
    yield "with its last line twice", np.concatenate([values, values[-1:]]) if values.ndim else values.reshape(1)
    if values.ndim == 2 and values.shape[1] > 1:
        yield "a column less", np.ascontiguousarray(values[:, :-1])


def _npy(values: NDArray[Any]) -> bytes:
    written = io.BytesIO()
    np.save(written, values, allow_pickle=False)
    return written.getvalue()


def _alter_json(data: bytes) -> Iterator[Alteration]:
    value = json.loads(data)
    made: list[tuple[str, Any]] = [("an empty mapping", {}), ("an empty list", []), ("null", None), ("a number", 7)]
    if isinstance(value, dict):
        made += list(alter_info(value))
    elif isinstance(value, list):
        made += [(f"as {str(other)[:30]}", other) for other in _other_values(value)]
    for what, other in made:
        if other != value:
            yield what, json.dumps(other).encode()
    yield "very deep", b"[" * _DEEP + b"]" * _DEEP
    yield "a number of 5,000 digits", b"[" + b"9" * 5000 + b"]"
    yield "half of the file", data[: len(data) // 2]
    yield "an empty file", b""


def _alter_safetensors(data: bytes) -> Iterator[Alteration]:
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    for name, told in header.items():
        if name == "__metadata__":
            continue
        for what, change in (
            ("offsets beyond the file", {"data_offsets": [0, 2**40]}),
            ("offsets reversed", {"data_offsets": told["data_offsets"][::-1]}),
            ("a shape of 2**62", {"shape": [2**62, 4]}),
            ("an unknown type", {"dtype": "Q7"}),
        ):
            text = json.dumps({**header, name: {**told, **change}}).encode()
            yield f"{name}: {what}", struct.pack("<Q", len(text)) + text + data[8 + size :]
        kinds = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U64": "<u8", "U32": "<u4"}
        if told["dtype"] in kinds:
            first, last = (8 + size + offset for offset in told["data_offsets"])
            for what, other in _alter_numbers(np.frombuffer(data[first:last], kinds[told["dtype"]])):
                if len(other.tobytes()) == last - first:
                    yield f"{name}: {what}", data[:first] + other.tobytes() + data[last:]
    yield "a header of 2**63 bytes", struct.pack("<Q", 2**63) + data[8:]
    yield "half of the file", data[: len(data) // 2]
    yield "an empty file", b""


def _alter_raw(data: bytes) -> Iterator[Alteration]:
    rng = np.random.default_rng(11)
    for place in [
        *range(0, min(64, len(data) - 8), 8),
        *(rng.integers(0, max(1, len(data) - 8), _WORDS) // 4 * 4).tolist(),
    ]:
        for word in (b"\xff" * 8, struct.pack("<q", 10**6), struct.pack("<q", 2**40)):
            other = data[:place] + word + data[place + 8 :]
            if other != data:
                yield f"{word.hex()} in place {place}", other
    yield "all ones", b"\xff" * len(data)
    yield "all zeros", bytes(len(data))
    yield "half of the file", data[: len(data) // 2]
    yield "twice the file", data + data
    yield "an empty file", b""
