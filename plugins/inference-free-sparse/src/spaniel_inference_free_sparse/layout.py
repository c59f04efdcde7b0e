"""What an inference-free encoder's folder holds, read without loading the model.

Two layouts: sentence-transformers' ``SparseEncoder`` with a ``Router`` (queries: ``SparseStaticEmbedding``, documents: a masked
language model and ``SpladePooling``), and a masked language model with ``idf.json`` beside it, as the first released models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel_neural.files import read_config, read_json, weights
from spaniel_neural.modular import inside, modules_of, said_of, settings_of
from spaniel_sparse.layout import Layout, read_layout

from spaniel_inference_free_sparse.idf import read_table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_READERS = ("MLMTransformer", "Transformer")


@dataclass(frozen=True)
class Folder:
    """An inference-free encoder's folder.

    Attributes:
        documents: the model that reads documents.
        tokenizer: where the queries' tokenizer is.
        table: the file of their weights, safetensors or JSON; ``None`` where the folder has none.
    """

    documents: Layout
    tokenizer: Path
    table: Path | None

    def weights(self, tokenizer: Tokenizer, default: float) -> NDArray[np.float32]:
        """Return the folder's own table, ``(vocabulary,)`` float32.

        Raises:
            UsageError: it has none, or a damaged one.
        """
        if self.table is None:
            raise UsageError(
                f"{self.documents.folder} has no query weights: give idf=english, a JSON file, or a collection to count them over"
            )
        if self.table.suffix == ".json":
            return read_table(self.table, tokenizer, default)
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            table: NDArray[Any] = load_file(self.table)["weight"]
        except (OSError, KeyError, SafetensorError) as error:
            raise UsageError(f"{self.table} holds no table of weights ({error})") from error
        return table.astype(np.float32)


def read_folder(folder: Path) -> Folder:
    """Read what a folder says about its two sides.

    Raises:
        UsageError: it holds no such model, weights in another form than safetensors, or asks for code of its own.
    """
    parts = modules_of(folder)
    if parts is not None and [name.rpartition(".")[2] for name, _ in parts] == ["Router"]:
        return _read_router(folder, parts[0][1])
    layout = read_layout(folder)
    if not layout.is_plain or layout.pooling != "max":
        raise UsageError(
            f"{folder}: documents are read by a masked language model with max pooling, and this one differs"
        )
    table = folder / "idf.json"
    return Folder(layout, layout.transformer, table if table.is_file() else None)


def _read_router(folder: Path, router: Path) -> Folder:
    said = read_json(router / "router_config.json")
    types, structure = said.get("types", {}), said.get("structure", {})
    rows = {
        role: [(str(types.get(place)).rpartition(".")[2], str(place)) for place in structure.get(role, [])]
        for role in ("query", "document")
    }
    names = [[name for name, _ in rows[role]] for role in ("query", "document")]
    if (
        names[0] != ["SparseStaticEmbedding"]
        or len(names[1]) != 2
        or names[1][0] not in _READERS
        or names[1][1] != "SpladePooling"
    ):
        raise UsageError(
            f"{folder} routes queries to {', '.join(names[0]) or 'nothing'} and documents to "
            f"{', '.join(names[1]) or 'nothing'}; an inference-free encoder has SparseStaticEmbedding, and a masked language "
            "model with SpladePooling"
        )
    query = inside(folder, str((router / rows["query"][0][1]).relative_to(folder)))
    reader, pooled = (router / place for _, place in rows["document"])
    pooling = read_json(pooled / "config.json")
    if pooling.get("pooling_strategy", "max") != "max":
        raise UsageError(
            f"{folder} pools documents by their {pooling['pooling_strategy']}; an inference-free encoder takes the greatest"
        )
    read_config(reader)
    weights(reader)
    prompts = {str(name): str(text) for name, text in (said_of(folder).get("prompts") or {}).items() if text}
    documents = Layout(
        folder,
        reader,
        activation=str(pooling.get("activation_function", "relu")),
        max_length=settings_of(reader).get("max_seq_length"),
        prompts=prompts,
    )
    tables = (query / "model.safetensors", query / "idf.json", folder / "idf.json")
    tokenizer = query if (query / "tokenizer.json").is_file() else reader
    return Folder(documents, tokenizer, next((path for path in tables if path.is_file()), None))
