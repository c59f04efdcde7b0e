"""The donor's tokenizer, made ready for the base: what frames a text, how long it may be, how numbers are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spaniel import UsageError

from spaniel_omp_tokenizer.digits import scheme_of
from spaniel_omp_tokenizer.vocabulary import ROLES, Vocabulary


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tokenizer for the base.

    Attributes:
        tokenizer: of transformers, on its own files.
        added: ``(id, base's id)`` of special tokens that the donor lacked.
    """

    tokenizer: Any
    added: tuple[tuple[int, int], ...]


def prepare(base: Vocabulary, donor: Vocabulary, rows: int, *, frame: bool, single_digits: bool) -> Prepared:
    """Return the donor's tokenizer for the base.

    Its limits of length and its padding become the base's.

    Args:
        rows: of the donor's matrix and tokens; added tokens come behind them.
        frame: whether texts are framed as the base frames them; special tokens that the donor lacks are added.
        single_digits: whether numbers are split into digits before anything else.

    Raises:
        UsageError: the base frames texts in a way that no template says.
    """
    from tokenizers import AddedToken, Tokenizer, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast as _Fast

    fast: Any = _Fast  # its constructor has no types
    raw = Tokenizer.from_str(donor.tokenizer.backend_tokenizer.to_str())
    raw.no_truncation()
    raw.no_padding()
    roles = {role: donor.written[number] for role, number in donor.roles.items()}
    ours = base.tokenizer
    added: list[tuple[int, int]] = []
    if frame:
        wanted = [role for role in ROLES if role in base.roles]
        where: dict[int, int] = {}
        for role in wanted:
            number = base.roles[role]
            place = donor.roles.get(role, where.get(number))
            if place is None and role in ("cls", "sep"):
                place = donor.role(role)
            if place is None:
                place = rows + len(added)
                raw.add_special_tokens([AddedToken(_fresh(raw, base.written[number]), special=True, normalized=False)])
                added.append((place, number))
            where.setdefault(number, place)
            roles.setdefault(role, str(raw.id_to_token(place)))
        raw.post_processor = _template(base, where, raw, processors)
    if single_digits:
        before = raw.pre_tokenizer
        split = pre_tokenizers.Digits(individual_digits=True)
        raw.pre_tokenizer = split if before is None else pre_tokenizers.Sequence([split, before])
    made = fast(
        tokenizer_object=raw,
        model_max_length=ours.model_max_length,
        model_input_names=list(ours.model_input_names),
        padding_side=donor.tokenizer.padding_side,
        truncation_side=ours.truncation_side,
        clean_up_tokenization_spaces=False,
        **{f"{role}_token": token for role, token in roles.items()},
    )
    if getattr(donor.tokenizer, "chat_template", None):
        made.chat_template = donor.tokenizer.chat_template
    return Prepared(made, tuple(added))


def check_digits(base: Vocabulary, donor: Vocabulary) -> None:
    """Check that numbers can be split as the base splits them.

    Raises:
        UsageError: the base does not split them digit by digit, or the donor lacks a digit.
    """
    scheme = scheme_of(base)
    if scheme.name != "single":
        raise UsageError(
            f'digits="keep-base": the base splits numbers by {scheme.name}; only single digits can be kept'
        )
    lacking = [digit for digit in "0123456789" if not {("raw", digit), ("word", digit)} & set(donor.index)]
    if lacking:
        raise UsageError(f'digits="keep-base": the donor has no token for the digit {lacking[0]}')


def _fresh(raw: Any, token: str) -> str:
    """Return a name for a special token that no other token has."""
    while raw.token_to_id(token) is not None:
        token = f"<{token}>"
    return token


def _template(base: Vocabulary, where: dict[int, int], raw: Any, processors: Any) -> Any:
    """Return what frames texts and pairs as the base does, with the new ids."""
    single = base.tokenizer("a", verbose=False).encodings[0]
    pair = base.tokenizer("a", "a", verbose=False).encodings[0]
    tokens: dict[str, int] = {}

    def written(encoding: Any) -> str:
        parts: list[str] = []
        for number, types, sequence in zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True):
            if sequence is None:
                if number not in where:
                    raise UsageError(f"the base frames texts with {base.written[number]}, which has no role")
                token = raw.id_to_token(where[number])
                tokens[token] = where[number]
                parts.append(f"{token}:{types}")
            elif f"{'$A' if sequence == 0 else '$B'}:{types}" not in parts:
                parts.append(f"{'$A' if sequence == 0 else '$B'}:{types}")
        return _joined(parts)

    texts = written(single), written(pair)
    return processors.TemplateProcessing(single=texts[0], pair=texts[1], special_tokens=list(tokens.items()))


def _joined(parts: Sequence[str]) -> str:
    if any(" " in part for part in parts):
        raise UsageError("a special token with a space in it cannot frame texts")
    return " ".join(parts)
