"""What a model's folder says of its views."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from spaniel import UsageError
from spaniel_neural.files import read_config, read_json

from spaniel_mvp.config import MOST_VIEWS, Aggregate

FILE = "mvp.json"
DECODER = "decoder"
"""Folder of the decoder, in that of a model whose base has none."""
FAMILIES = ("t5", "mt5", "umt5")
"""Families of an encoder and a decoder whose attention to what the encoder gives knows no positions."""
PUBLISHED_LENGTH = 256
_FORMAT = 1


@dataclass(frozen=True)
class Settings:
    """What a model is, beside its weights.

    Attributes:
        views: number of views.
        tokens: the token of each view.
        prompt: ``"text"``: views, query and passage in one text, as published; ``"pair"``: the views, then query and
            passage as the base's tokenizer pairs texts.
        max_length: tokens of a prompt.
        score: how an anchor and a passage are compared, ``"dot"`` or ``"cosine"``.
        scale: what that is multiplied with.
        aggregate: how the scores of the views become one.
        decoder: whether the decoder is in a folder of its own.
    """

    views: int
    tokens: tuple[str, ...]
    prompt: str
    max_length: int
    score: str = "dot"
    scale: float = 1.0
    aggregate: str = "mean"
    decoder: bool = False

    def write(self, folder: Path) -> None:
        """Write the settings into a model's folder."""
        content = json.dumps({"format": _FORMAT, **asdict(self)}, indent=1)
        (folder / FILE).write_text(content + "\n", encoding="utf-8")


def published(views: int = 4) -> Settings:
    """Return the settings of the published models, whose folders say nothing of them."""
    return Settings(views, tuple(f"<extra_id_{view}>" for view in range(views)), "text", PUBLISHED_LENGTH)


def read_settings(folder: Path, views: int | None = None) -> Settings:
    """Read the settings of a model's folder; those of the published models where it has none.

    Args:
        views: that the caller counts on.

    Raises:
        UsageError: the file is damaged, the model has another number of views, or the folder is no model of this sort.
    """
    if not (folder / FILE).is_file():
        family = read_config(folder).get("model_type")
        if family not in FAMILIES:
            raise UsageError(f"{folder} has no {FILE}, and a {family} is no published model of MVP: train one with it")
        return published(views or 4)
    found = _parsed(folder / FILE)
    if views is not None and views != found.views:
        raise UsageError(f"views={views}: the model in {folder} has {found.views}, and others would score wrongly")
    return found


def _parsed(path: Path) -> Settings:
    content: dict[str, Any] = read_json(path)
    if content.get("format") != _FORMAT:
        raise UsageError(f"{path} has the format {content.get('format')!r}; this version reads {_FORMAT}")
    try:
        made = Settings(**{**{k: v for k, v in content.items() if k != "format"}, "tokens": tuple(content["tokens"])})
    except (TypeError, KeyError) as error:
        raise UsageError(f"{path} is damaged: {error}") from error
    whole = all(isinstance(number, int) for number in (made.views, made.max_length)) and isinstance(made.scale, float)
    known = (
        made.prompt in ("text", "pair") and made.score in ("dot", "cosine") and made.aggregate in get_args(Aggregate)
    )
    if not (whole and known and 1 <= made.views == len(made.tokens) <= MOST_VIEWS < made.max_length):
        raise UsageError(f"{path} is damaged: {made}")
    return made


def with_aggregate(settings: Settings, asked: str | int) -> str | int:
    """Return how the views' scores become one, as asked or as the model says.

    Raises:
        UsageError: there is no such view.
    """
    if isinstance(asked, int) and asked >= settings.views:
        raise UsageError(f"aggregate={asked}: the model has the views 0 to {settings.views - 1}")
    return settings.aggregate if asked == "auto" else asked


def shortened(settings: Settings, max_length: int | None) -> Settings:
    """Return settings with another length, where one is asked for."""
    return settings if max_length is None else replace(settings, max_length=max_length)
