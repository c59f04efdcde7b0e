"""A model's tokenizer: prompts → tokens, chats → text, counting and cutting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError

from spaniel_lm.capabilities import is_chat
from spaniel_lm.protocol import Continuation, Message, Prompt

_CONTEXT = 4
"""Tokens before one that its text may depend on."""


class Tokenizer:
    """A tokenizer of transformers.

    Args:
        tokenizer: of transformers, a fast one.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.raw = tokenizer

    @property
    def has_template(self) -> bool:
        """Whether it knows how chats are written."""
        return bool(self.raw.chat_template)

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as text, ready for the answer.

        Raises:
            UsageError: there is no template, or it refuses the chat.
        """
        if not self.has_template:
            raise UsageError("the model's tokenizer has no chat template: give texts instead of chats")
        turns = [{"role": message.role, "content": message.content} for message in chat]
        try:
            text: str = self.raw.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # templates raise what they like
            raise UsageError(f"the model's chat template refuses this chat: {error}") from error
        return text

    def ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return the token numbers of prompts; one without a token gets the one that begins texts.

        A text gets the tokenizer's special tokens, a chat those that its template writes.
        """
        made: list[list[int]] = [[]] * len(prompts)
        texts = [at for at, prompt in enumerate(prompts) if isinstance(prompt, str)]
        chats = [at for at, prompt in enumerate(prompts) if is_chat(prompt)]
        numbers = {*range(len(prompts))} - {*texts, *chats}
        for at, ids in zip(texts, self._split([prompts[at] for at in texts], True), strict=True):
            made[at] = ids
        rendered = [self.render(prompts[at]) for at in chats]  # type: ignore[arg-type]
        for at, ids in zip(chats, self._split(rendered, False), strict=True):
            made[at] = ids
        for at in numbers:
            made[at] = [self._checked(number) for number in prompts[at]]
        return [ids or [self._first()] for ids in made]

    def plain(self, texts: Sequence[Continuation]) -> list[list[int]]:
        """Return the token numbers of texts by themselves, without special tokens; numbers stay as they are."""
        made = [[] if isinstance(text, str) else [self._checked(number) for number in text] for text in texts]
        places = [at for at, text in enumerate(texts) if isinstance(text, str)]
        for at, ids in zip(places, self._split([texts[at] for at in places], False), strict=True):
            made[at] = ids
        return made

    def count(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens each prompt has: ``(prompts,)``."""
        return np.fromiter(map(len, self.ids(prompts)), np.int64, len(prompts))

    def cut(self, texts: Sequence[str], tokens: Sequence[int]) -> list[str]:
        """Return the beginning of each text that has so many tokens at most."""
        if not texts:
            return []
        made = self.raw(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        kept = []
        for text, spans, most in zip(texts, made["offset_mapping"], tokens, strict=True):
            kept.append(text if len(spans) <= most else text[: spans[most - 1][1]] if most > 0 else "")
        return kept

    def spans(self, text: str) -> tuple[list[int], list[int]]:
        """Return the token numbers of a text, special ones included, and the character at which each begins."""
        made = self.raw(text, return_offsets_mapping=True, verbose=False)
        ids = [int(number) for number in made["input_ids"]]
        return (ids, [int(start) for start, _ in made["offset_mapping"]]) if ids else ([self._first()], [0])

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones left out."""
        made: str = self.raw.decode(list(ids), skip_special_tokens=True)
        return made

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the text that each token adds to those before it."""
        made = []
        for at in range(len(ids)):
            before = list(ids[max(0, at - _CONTEXT) : at])
            made.append(self.text([*before, ids[at]])[len(self.text(before)) :])
        return made

    def _split(self, texts: Sequence[Any], special: bool) -> list[list[int]]:
        if not texts:
            return []
        made = self.raw(list(texts), add_special_tokens=special, return_attention_mask=False, verbose=False)
        ids: list[list[int]] = made["input_ids"]
        return ids

    def _first(self) -> int:
        for name in ("bos_token_id", "cls_token_id", "eos_token_id", "pad_token_id"):
            number = getattr(self.raw, name, None)
            if number is not None:
                return int(number)
        raise UsageError("an empty prompt: the model's tokenizer has no token that begins a text")

    def _checked(self, number: Any) -> int:
        if not 0 <= int(number) < len(self.raw):
            raise UsageError(f"there is no token {number}; the model's tokenizer has {len(self.raw)}")
        return int(number)


def load_tokenizer(name: str, offline: bool) -> Tokenizer:
    """Load a tokenizer by its folder or its name on the hub; no code of its own is run.

    Raises:
        UsageError: there is none.
    """
    import transformers

    folder = Path(name).expanduser()
    place, local = (str(folder), True) if folder.is_dir() else (name, offline)
    try:
        made = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=local)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"there is no tokenizer {name!r} to load: {reason}") from error
    return Tokenizer(made)
