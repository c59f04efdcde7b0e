"""The published benchmark: 500 trained encoders with GLUE scores, and recurrent networks with losses (CC BY 4.0).

The files are those of the folder ``data`` of the authors' repository, ``aaronserianni/training-free-nas``, plain or as ``.gz``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.data.files import read_lines

from spaniel_training_free_nas import architectures
from spaniel_training_free_nas.architectures import Candidate
from spaniel_training_free_nas.config import FlexiBertConfig

Floats = NDArray[np.float64]
ENCODERS, ENCODER_PROXIES = "BERT_benchmark.json", "BERT_results_activation.csv"
CELLS, CELL_SIZES = "RNN_results.csv", "RNN_parameters.csv"
TASKS = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst", "sts")
_NORMALISED = " Normalized"


@dataclass(frozen=True)
class Encoders:
    """The trained encoders.

    Attributes:
        candidates: of the space ``flexibert``, in the order of the file.
        glue: ``(n,)``, mean of the eight GLUE scores on the development sets.
        tasks: ``(n, 8)``, the scores, in the order of :data:`TASKS`.
        seconds: ``(n,)``, how long each was trained.
    """

    candidates: list[Candidate]
    glue: Floats
    tasks: Floats
    seconds: Floats

    @property
    def depth(self) -> NDArray[np.int64]:
        """Number of blocks: ``(n,)``."""
        return np.array([len(one["layers"]) for one in self.candidates])

    @property
    def hidden(self) -> NDArray[np.int64]:
        """Width: ``(n,)``."""
        return np.array([one["hidden"] for one in self.candidates])

    def parameters(self, **options: Any) -> Floats:
        """Return how many parameters each has in a space with these options, such as ``build="declared"``: ``(n,)``."""
        config = FlexiBertConfig(**options)
        return np.array([architectures.count(config, one)["parameters"] for one in self.candidates])


def read_encoders(folder: Path) -> Encoders:
    """Read the trained encoders.

    Raises:
        UsageError: the file is not there, or is another one.
    """
    path = find(folder, ENCODERS)
    text = "\n".join(line or "" for _, line in read_lines(path))
    try:
        entries = json.loads(text)
        candidates = [_candidate(entry["hparams"]["model_hparam_overrides"]) for entry in entries]
        scores = np.array([[entry["scores"][task] for task in (*TASKS, "glue")] for entry in entries], np.float64)
        seconds = np.array([entry["time_to_train"] for entry in entries], np.float64)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{path} is no file of trained encoders: {type(error).__name__}: {error}") from error
    return Encoders(candidates, scores[:, -1], scores[:, :-1], seconds)


def _candidate(settings: Mapping[str, Any]) -> Candidate:
    layers = []
    for layer in settings["nas_config"]["encoder_layers"]:
        kind, parameter = layer["operation_type"], layer["operation_parameter"]
        layers.append(
            {
                "op": f"{kind}{parameter}" if kind == "DSC" else parameter,
                "heads": layer["num_operation_heads"],
                "ff": layer["feed_forward_dimension"],
                "num_ff": layer["num_feed_forward"],
            }
        )
    return {"hidden": settings["hidden_size"], "layers": layers}


def encoder_proxies(folder: Path) -> dict[str, Floats]:
    """Return the published columns of the encoders by name, normalised ones included: name → ``(n,)``."""
    columns = read_columns(find(folder, ENCODER_PROXIES))
    return {name: values for name, values in columns.items() if name not in ("ID", "GLUE Score")}


def cells(folder: Path) -> tuple[Floats, dict[str, Floats]]:
    """Return the test losses of the recurrent networks, ``(n,)``, and the published columns, name → ``(n,)``."""
    columns = read_columns(find(folder, CELLS))
    loss = columns.pop("loss")
    return loss, {name: v for name, v in columns.items() if name not in ("perplexity", "bits per word")}


def cell_sizes(folder: Path) -> tuple[Floats, Floats]:
    """Return test losses and parameter counts of the recurrent networks: ``(n,)`` each; malformed lines are left out."""
    columns = read_columns(find(folder, CELL_SIZES))
    return columns["loss"], columns["total paramters"]


def find(folder: Path, name: str) -> Path:
    """Return where a file of the benchmark is.

    Raises:
        UsageError: the folder does not have it.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UsageError(
        f"{folder} has no {name} (or {name}.gz): give the folder `data` of aaronserianni/training-free-nas"
    )


def read_columns(path: Path) -> dict[str, Floats]:
    """Return the columns of numbers of a table: name → ``(n,)``; lines with other than finite numbers are left out.

    The first column of a table of log files is their name, and is left out. Heads that come again are, too.
    """
    lines = [line.removeprefix("\ufeff").split(",") for _, line in read_lines(path) if line]
    head, *rows = lines
    texts = 1 if head[0] == "log name" else 0
    kept = []
    for row in rows:
        if len(row) != len(head):
            continue
        try:
            values = [float(cell) for cell in row[texts:]]
        except ValueError:
            continue
        if all(map(math.isfinite, values)):
            kept.append(values)
    table = np.array(kept, np.float64).reshape(len(kept), len(head) - texts)
    return {name: table[:, at] for at, name in enumerate(head[texts:])}


def operation_effects(encoders: Encoders) -> list[tuple[str, float, float]]:
    """Fit GLUE by least squares on size and the shares of operations: for each term its name, effect and t value.

    Terms are 4 blocks, 256 wide, both, the shares of each operation beside plain attention, and the means over blocks of
    4 heads, 3 feed-forward linears and 1024-wide ones.
    """
    ops = ("WMA", "DFT", "DCT", "DSC5", "DSC9")
    deep, wide = encoders.depth == 4, encoders.hidden == 256
    columns: dict[str, Any] = {"intercept": np.ones(len(deep)), "4 blocks": deep, "256 wide": wide, "both": deep & wide}

    def shares(gene: str, value: Any) -> Floats:
        return np.array([np.mean([layer[gene] == value for layer in one["layers"]]) for one in encoders.candidates])

    columns |= {f"share of {op}": shares("op", op) for op in ops}
    columns |= {
        "4 heads": shares("heads", 4),
        "3 linears": shares("num_ff", 3),
        "1024 wide linears": shares("ff", 1024),
    }
    x = np.stack([np.asarray(values, np.float64) for values in columns.values()], 1)
    effects, squared, *_ = np.linalg.lstsq(x, encoders.glue, rcond=None)
    variance = float(squared[0]) / (len(x) - x.shape[1])
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))
    return [(name, float(e), float(e / s)) for name, e, s in zip(columns, effects, errors, strict=True)]


def descriptors(encoders: Encoders, folds: int = 5) -> Floats:
    """Predict each GLUE score by a linear fit on the other folds: blocks, width, plain-attention blocks, log parameters.

    Folds are every ``folds``-th encoder.
    """
    attending = [sum(layer["op"] in ("SDP", "WMA") for layer in one["layers"]) for one in encoders.candidates]
    columns = [encoders.depth, encoders.hidden, attending, np.log(encoders.parameters())]
    x = np.stack([np.ones(len(attending)), *(np.asarray(values, np.float64) for values in columns)], 1)
    fold = np.arange(len(x)) % folds
    predicted = np.empty(len(x))
    for one in range(folds):
        held = fold == one
        predicted[held] = x[held] @ np.linalg.lstsq(x[~held], encoders.glue[~held], rcond=None)[0]
    return predicted


def selected(glue: Floats, criteria: Mapping[str, Sequence[float]], top: int = 10) -> list[tuple[str, float]]:
    """Return the mean GLUE of the ``top`` encoders by each criterion, then by the scores themselves and of all.

    Among equals at the cut each is as likely as another, so that their mean stands for them.
    """
    made = []
    for name, values in {**criteria, "the scores themselves": glue}.items():
        v = np.asarray(values, np.float64)
        cut = np.sort(v)[-top]
        above = v > cut
        made.append((name, float((glue[above].sum() + (top - above.sum()) * glue[v == cut].mean()) / top)))
    return [*made, ("all of them", float(glue.mean()))]
