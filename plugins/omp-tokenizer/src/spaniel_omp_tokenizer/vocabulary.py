"""Tokenizers of all families under one naming of tokens, so that equal tokens are found whatever they are written as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from spaniel import UsageError

Sort = Literal["word", "raw", "special", "bytes"]
Family = Literal["bytes", "pieces", "wordpiece", "words"]
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
NEAR = {"cls": "bos", "bos": "cls", "sep": "eos", "eos": "sep"}
"""Role → the one that stands in its place where a tokenizer has no token for it."""
_MARK = "\u2581"


class Key(NamedTuple):
    """A token, whatever tokenizer it is of.

    Attributes:
        sort: ``word`` begins a word, ``raw`` goes on with one, ``special`` has a role, ``bytes`` is no whole character.
        text: without what marks the sort; a special token's roles or, for one without a role, what is written; bytes in
            hexadecimal.
    """

    sort: Sort
    text: str

    @property
    def plain(self) -> str:
        """The text that the token stands for, a space before a word included."""
        return f" {self.text}" if self.sort == "word" else self.text


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens of a tokenizer.

    Attributes:
        tokenizer: of transformers.
        family: how it writes tokens.
        keys: id → token.
        roles: role → id of its special token.
        written: id → the token as the tokenizer writes it.
    """

    tokenizer: Any
    family: Family
    keys: Mapping[int, Key]
    roles: Mapping[str, int]
    written: Mapping[int, str] = field(repr=False)

    @cached_property
    def index(self) -> Mapping[Key, int]:
        """Token → id, the smallest where several are the same; special tokens under their text and each of their roles."""
        made: dict[Key, int] = {}
        for number, key in sorted(self.keys.items()):
            made.setdefault(Key("special", self.written[number]) if key.sort == "special" else key, number)
        return made | {Key("special", role): number for role, number in self.roles.items()}

    @property
    def size(self) -> int:
        """Rows that a matrix needs for it."""
        return max(len(self.keys), max(self.keys, default=-1) + 1)

    @property
    def lowercases(self) -> bool:
        """Whether it reads texts as if they had no capitals."""
        said = self.tokenizer.backend_tokenizer.normalizer
        return said is not None and said.normalize_str("AÇZ") != "AÇZ" and "A" not in said.normalize_str("A")

    def role(self, role: str) -> int | None:
        """Return the id of the special token for a role, or for the nearest role; ``None`` where there is none."""
        found = self.roles.get(role)
        return found if found is not None else self.roles.get(NEAR.get(role, ""))

    def roles_of(self, number: int) -> list[str]:
        """Return the roles of a token."""
        return [role for role, other in self.roles.items() if other == number]

    def split(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def read_vocabulary(tokenizer: Any, rows: int | None = None) -> Vocabulary:
    """Name the tokens of a tokenizer.

    Args:
        tokenizer: of transformers, a fast one.
        rows: of the model's matrix; tokens beyond it are left out.

    Raises:
        UsageError: it is no fast one.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UsageError(f"{type(tokenizer).__name__} has no tokenizer.json: only fast tokenizers can be read")
    said = json.loads(tokenizer.backend_tokenizer.to_str())
    family, continues = _family(said)
    added = {int(t["id"]): t for t in said.get("added_tokens", ())}
    special = {number for number, token in added.items() if token["special"]}
    roles = {}
    for role in ROLES:
        number = getattr(tokenizer, f"{role}_token_id", None)
        if number is not None and (rows is None or number < rows):
            roles[role] = int(number)
    keys, written = {}, {}
    for token, number in tokenizer.get_vocab().items():
        if rows is not None and number >= rows:
            continue
        written[number] = token
        if number in special or number in roles.values():
            mine = [role for role, other in roles.items() if other == number]
            keys[number] = Key("special", "+".join(mine) if mine else token)
        elif number in added:
            keys[number] = _spaced(token)
        else:
            keys[number] = _key(token, family, continues)
    return Vocabulary(tokenizer, family, keys, roles, written)


def _family(said: Mapping[str, Any]) -> tuple[Family, str]:
    """Return how a tokenizer writes tokens, and what a WordPiece model writes before the rest of a word."""
    model = said["model"]
    kind = model.get("type") or ("WordPiece" if "continuing_subword_prefix" in model else "BPE")
    if kind == "WordPiece":
        return "wordpiece", model.get("continuing_subword_prefix") or "##"
    if kind == "WordLevel":
        return "words", ""
    around = json.dumps([said.get("pre_tokenizer"), said.get("decoder")])
    vocabulary = model.get("vocab", ())
    if "ByteLevel" in around or "\u0120hello" in vocabulary:
        return "bytes", ""
    return "pieces", ""


def _key(token: str, family: Family, continues: str) -> Key:
    if family == "wordpiece":
        return Key("raw", token[len(continues) :]) if token.startswith(continues) else Key("word", token)
    if family == "words":
        return Key("word", token)
    if family == "bytes":
        try:
            raw = bytes(_BYTES[letter] for letter in token)
        except KeyError:
            return _spaced(token)
        try:
            return _spaced(raw.decode("utf-8"))
        except UnicodeDecodeError:
            return Key("bytes", raw.hex())
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return Key("bytes", token[3:5].lower())
    return _spaced(token.replace(_MARK, " "))


def _spaced(text: str) -> Key:
    return Key("word", text[1:]) if text.startswith(" ") else Key("raw", text)


def _letters() -> dict[str, int]:
    """Return the letters that byte-level tokenizers write bytes as (GPT-2's table): printable ones are themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _letters()
