"""Whose tokenizer it is: another model's, a tokenizer alone, or one that is trained on a collection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spaniel import Context, UsageError
from spaniel_neural.locating import download_model
from torch import Tensor

from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.layout import read_layout, read_tokenizer, read_tokenizer_file, transformer_folder
from spaniel_omp_tokenizer.rotary import Rotary
from spaniel_omp_tokenizer.trained import trained_tokenizer
from spaniel_omp_tokenizer.vectors import READS_DONOR

_FILES = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True, eq=False)
class Donor:
    """A tokenizer, and what of its model is read.

    Attributes:
        tokenizer: of transformers.
        inputs: ``(rows, dimensions)``, its token vectors; ``None`` of a tokenizer alone.
        outputs: the output's own, where there are some.
        config: of its transformer; empty where there is none.
        rotary: how it turns vectors, where it does.
    """

    tokenizer: Any
    inputs: Tensor | None = None
    outputs: Tensor | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    rotary: Rotary | None = None


def read_donor(context: Context, config: OmpTokenizerConfig, base: Path) -> Donor:
    """Read the donor that the options name.

    Args:
        context: the session.
        config: the options.
        base: folder of the base's transformer, of whose kind a tokenizer is trained.

    Raises:
        UsageError: there is no such donor, or it is a tokenizer alone and the method reads vectors.
    """
    check_named(config)
    if config.train_on is not None:
        _check_alone(config, f"a tokenizer that is trained on {config.train_on}")
        return Donor(trained_tokenizer(context, config.train_on, config.tokens, base))
    name = str(config.donor)
    file = _tokenizer_file(name)
    if file is not None:
        _check_alone(config, str(file))
        return Donor(read_tokenizer_file(file))
    folder = donor_folder(context, name)
    if is_tokenizer_alone(folder):
        _check_alone(config, str(folder))
        return Donor(read_tokenizer(folder))
    layout = read_layout(folder)
    inputs = layout.read(layout.inputs[0])
    outputs = layout.read(layout.outputs[0]) if layout.outputs else None
    return Donor(read_tokenizer(layout.folder), inputs, outputs, layout.config, layout.rotary)


def check_named(config: OmpTokenizerConfig) -> None:
    """Check that the options say whose tokenizer it is.

    Raises:
        UsageError: they do not, or say it twice.
    """
    if (config.donor is None) == (config.train_on is None):
        raise UsageError(
            "one of donor (a model, or a tokenizer) and train_on (a collection) says whose tokenizer it is: give "
            + ("one of them" if config.donor is None else "just one of them")
        )


def donor_files(context: Context, name: str) -> list[Path]:
    """Return the files of a donor that are read."""
    file = _tokenizer_file(name)
    if file is not None:
        return [file]
    folder = donor_folder(context, name)
    if is_tokenizer_alone(folder):
        return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model"))
    layout = read_layout(folder)
    paths = {*(layout.files[name] for name in (*layout.inputs, *layout.outputs)), layout.folder / "tokenizer.json"}
    return sorted(path for path in paths if path.is_file())


def donor_folder(context: Context, name: str) -> Path:
    """Return a model's folder; of a GGUF file, or a name that stands for one, the folder that spaniel-lm makes and keeps.

    Raises:
        UsageError: there is no such model.
    """
    if find_spec("spaniel_lm") is not None:
        from spaniel_lm.local.gguf import FOLDER, find_gguf, gguf_need

        file = find_gguf(name)
        if file is not None:
            return context.obtain(gguf_need(context, file)).path / FOLDER
    return download_model(name, None, context.offline)


def is_tokenizer_alone(folder: Path) -> bool:
    """Return whether a folder holds a tokenizer and no weights."""
    if (folder / "modules.json").is_file():
        folder = transformer_folder(folder)
    held = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return held and not any((folder / name).is_file() for name in _FILES) and not list(folder.glob("*.bin"))


def _tokenizer_file(name: str) -> Path | None:
    """Return the file that is a tokenizer, where the name says one."""
    path = Path(name).expanduser()
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is no tokenizer.json: {error}") from error
    if not isinstance(said, dict) or "model" not in said:
        raise UsageError(f"{path} is no tokenizer.json: it says nothing of a model of tokens")
    return path


def _check_alone(config: OmpTokenizerConfig, what: str) -> None:
    others = "subword, mean, zero, normal, gaussian"
    if config.method in READS_DONOR:
        raise UsageError(
            f"method={config.method!r} reads the donor's token vectors, and {what} has none: choose one of {others}"
        )
    if config.well_trained:
        raise UsageError(f"well_trained looks at token vectors, and {what} has none")
