"""Text of language models made plain, before an order is read from it: thoughts are cut, characters are of one kind."""

from __future__ import annotations

import html
import re
import unicodedata

_WORDS = "think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis"
_OPENS = re.compile(
    rf"<(?:\w+:)?(?:{_WORDS})>|\[(?:{_WORDS})\]|◁(?:{_WORDS})▷"
    r"|<\|(?:begin_of_thought|start_thinking|think)\|>|<\|channel\|>\s*(?:analysis|commentary)",
    re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"</(?:\w+:)?(?:{_WORDS})>|\[/(?:{_WORDS})\]|◁/(?:{_WORDS})▷"
    r"|<\|(?:end_of_thought|end_thinking|/think)\|>|<\|channel\|>\s*final(?:\s*<\|message\|>)?",
    re.IGNORECASE,
)
_OVER = re.compile(r"<\|(?:im_end|eot_id|eom_id|endoftext|end_of_text|end_of_turn)\|>|</s>|<end_of_turn>|<EOS>")
"""Marks behind which a model talks on in other roles."""
_TAG = re.compile(r"</?[a-z_][a-z_ ]{0,30}/?>|</[a-z_-]{1,20}\d{1,3}>|<\|[a-z_]{1,30}\|>", re.IGNORECASE)
_NUMBERED_TAG = re.compile(r"<[a-z_]{1,30}\s[^<>\d]{0,60}(\d{1,9})[^<>\d]{0,60}>", re.IGNORECASE)
_COUNTED_TAG = re.compile(r"<([a-z]{1,20})[_-]?(\d{1,3})>", re.IGNORECASE)
_NUMBERING = re.compile(r"^([ *]*)([①-⑳])(?=[ .:)*]*[\[【A-Za-z])", re.MULTILINE)
_PLACE = re.compile(
    r"(?<![</\w])(rank|position|place|rang|platz|puesto)\s?#?(\d{1,3})\s*(?:[→⇒➔➜➡»>]|[-=]+>)", re.IGNORECASE
)
_PAIRS = re.compile(
    r"(?<![\w.\]])\[?\d{1,3}\]?\s?[:=]\s?(?:\d{1,3}|\d?\.\d{1,9})(?:\s?[,;]\s?\[?\d{1,3}\]?\s?[:=]\s?(?:\d{1,3}|\d?\.\d{1,9}))+"
    r"(?![\w.]*\d)"
)
"""Pairs in one line, ``1: 3, 2: 1`` or ``[1]=0.2, [2]=0.9``, which are a list all the same."""
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")
_STRUCK = re.compile(r"~~[^~\n]*~~")
_KEYCAP = re.compile("(\\d)\N{VARIATION SELECTOR-16}?\N{COMBINING ENCLOSING KEYCAP}")
_GREATER = re.compile(r"\\(?:succ|gt|rightarrow|to)\b|[→⇒➔➜➡›»≻≥⟩⟶▶]|-->?|=+>|>{2,}")
_ARRAY = re.compile(r"\[[\s\d,;\"']*\]")
_ANGLES = re.compile(r"[〈《<](\s*\d+\s*)[〉》>]")
_HAN = re.compile(
    r"(?:(?<!\w)|(?<=第)|(?<=段落)|(?<=文档)|(?<=文章)|(?<=文書))[一二三四五六七八九十]{1,3}(?=\W|[段篇]|$)"
)
_BRACKETS = str.maketrans("【】〔〕〖〗「」『』〚〛❲❳⟦⟧", "[]" * 8)
_CIRCLED = {ord(sign): f"[{at}]" for at, sign in enumerate("①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳", 1)}
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("、،；", ","))


def without_thoughts(text: str) -> str:
    """Return what stands outside of the blocks in which a model thinks.

    Blocks may be nested. One that is not closed goes to the end; of one that is not opened, since the prompt has opened it,
    everything before its end is a thought.
    """
    marks = [(found.start(), found.end(), 1) for found in _OPENS.finditer(text)]
    marks += [(found.start(), found.end(), -1) for found in _CLOSES.finditer(text)]
    kept: list[str] = []
    depth, last = 0, 0
    for start, end, step in sorted(marks):
        if depth == 0:
            kept.append(text[last:start])
        if step < 0 and depth == 0:
            kept.clear()
        depth, last = max(0, depth + step), end
    answer = "\n".join([*kept, text[last:] if depth == 0 else ""])
    over = _OVER.search(answer)
    if over and answer[: over.start()].strip():
        answer = answer[: over.start()]
    if not answer.strip() and marks and max(marks)[2] < 0:
        return text[last:]  # a thought has spoken of such a block
    return answer


def plain(text: str) -> str:
    """Return text with ASCII digits, square brackets and ``>`` in the places of their kind, and without tags.

    Compatibility forms are composed (NFKC), so that ``［２］`` and ``[٢]`` are ``[2]``.
    """
    text = _NUMBERING.sub(
        lambda found: f"{found[1]}{_CIRCLED[ord(found[2])][1:-1]}.", _UNSEEN.sub("", html.unescape(text))
    )
    text = _PLACE.sub(r"\1 \2: ", text.translate(_CIRCLED).translate(_BRACKETS))
    text = unicodedata.normalize("NFKC", _KEYCAP.sub(r"[\1]", text)).translate(_DASHES)
    digits = {ord(sign): str(unicodedata.decimal(sign)) for sign in set(text) if sign > "\x7f" and sign.isdecimal()}
    text = _STRUCK.sub(" ", _GREATER.sub(">", text.translate(digits)))
    text = _HAN.sub(_han, _ANGLES.sub(r"[\1]", text))
    text = _PAIRS.sub(lambda found: "\n" + re.sub(r"\s?[,;]\s?", "\n", found[0]) + "\n", text)
    text = _COUNTED_TAG.sub(r"\n\1 \2: ", text)
    return _ARRAY.sub(lambda found: " ".join(found[0].split()), _TAG.sub("\n", _NUMBERED_TAG.sub(r"\n[\1]\n", text)))


def _han(found: re.Match[str]) -> str:
    tens, ten, ones = found[0].rpartition("十")
    value = int(unicodedata.numeric(ones)) if len(ones) == 1 else 0
    return str(value + (10 * (int(unicodedata.numeric(tens)) if len(tens) == 1 else 1) if ten else 0))
