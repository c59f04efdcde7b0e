"""Cutting texts into words, sentences and passages, and leaving some out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What white space separates is a word, but for scripts that write words together: Han, hiragana, katakana.
_HAN, _HIRAGANA, _KATAKANA = (
    "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "\u3040-\u309f",
    "\u30a0-\u30ff",
)
_RUN = re.compile(rf"(?P<han>[{_HAN}]+)|[{_HIRAGANA}]+|[{_KATAKANA}]+|[^\s{_HAN}{_HIRAGANA}{_KATAKANA}]+")
_SENTENCE = re.compile(r"\S.*?(?:[.!?。！？]+[\"'”’)\]]*(?=\s|$)|[。！？]|\n{2,}|$)", re.DOTALL)
MANY = 64
"""Words from which a text is cut into sentences where the cut is left open."""


class Unit(NamedTuple):
    """A piece of a text: its kind, its first character, and the one behind its last."""

    kind: str
    start: int
    end: int


def words(text: str) -> list[Unit]:
    """Return the words of a text: what blanks separate, Chinese words, and runs of one kana.

    Chinese is cut by jieba; where it is not installed, each Chinese character is a word.
    """
    found = []
    for run in _RUN.finditer(text):
        pieces = _chinese()(run.group()) if run.lastgroup == "han" and len(run.group()) > 1 else [run.group()]
        at = run.start()
        for piece in pieces:
            found.append(Unit("token", at, at + len(piece)))
            at += len(piece)
    return found


@cache
def _chinese() -> Callable[[str], list[str]]:
    """Return what cuts a run of Chinese characters into words."""
    try:
        import jieba
    except ImportError:
        return list
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    cut: Callable[[str], list[str]] = segmenter.lcut
    return cut


def cut(text: str, unit: str, size: int = 40) -> list[Unit]:
    """Cut a text into units: ``"word"``, ``"sentence"``, ``"passage"`` (``size`` words each) or ``"auto"``."""
    tokens = words(text)
    if unit == "passage":
        starts = range(0, len(tokens), size)
        return [Unit("passage", tokens[s].start, tokens[min(s + size, len(tokens)) - 1].end) for s in starts]
    if unit == "sentence" or (unit == "auto" and len(tokens) > MANY):
        found = [(m.start(), m.start() + len(m.group().rstrip())) for m in _SENTENCE.finditer(text)]
        return [Unit("passage", start, end) for start, end in found if end > start]
    return tokens


def label(text: str, unit: Unit, longest: int = 60) -> str:
    """Return the text of a unit, in one line, cut where it is long."""
    line = " ".join(text[unit.start : unit.end].split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def keep(text: str, units: Sequence[Unit], masks: NDArray[np.bool_]) -> list[str]:
    """Return a text once for each mask, ``(masks, units)``, without the units that the mask leaves out.

    What stands between units stays, but for the white space before a unit that goes.
    """
    bounds = [0, *(unit.end for unit in units)]
    # A unit goes with the blanks before it; what else stands there stays.
    gaps = [text[before : unit.start] for before, unit in zip(bounds, units, strict=False)]
    pieces = np.array([gap + text[u.start : u.end] for gap, u in zip(gaps, units, strict=True)], dtype=object)
    bare = np.array([gap.strip() for gap in gaps], dtype=object)
    tail = text[bounds[-1] :]
    return [text if mask.all() else ("".join(np.where(mask, pieces, bare).tolist()) + tail).strip() for mask in masks]
