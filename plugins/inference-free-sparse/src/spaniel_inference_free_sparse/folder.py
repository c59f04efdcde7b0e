"""A masked language model → an inference-free sparse encoder, as sentence-transformers has them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.store import digest_bytes

from spaniel_inference_free_sparse.config import AdaptConfig
from spaniel_inference_free_sparse.encoder import ACTIVATIONS
from spaniel_inference_free_sparse.idf import write_table
from spaniel_inference_free_sparse.layout import read_folder
from spaniel_inference_free_sparse.queries import QueryTable
from spaniel_inference_free_sparse.tokens import read_tokenizer, special_tokens
from spaniel_inference_free_sparse.weighing import Weighing

if TYPE_CHECKING:
    from spaniel import Context
    from tokenizers import Tokenizer

OFF = -1e4
"""Bias of terms that documents are not to have: so low that no score comes above 0, in any precision."""


class InferenceFree:
    """Writes the two sides of an encoder: a table of weights for queries, a model with max pooling for documents.

    The folder loads in sentence-transformers (a ``Router`` of ``SparseStaticEmbedding`` and ``SpladePooling``), in the
    encoder ``inference-free``, and as the base of a recipe of kind ``sparse``, whose scores then are the matching function
    of the paper: IDF weights, times the documents' weights. ``idf.json`` in it has the weights by token.
    """

    def __init__(self, config: AdaptConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the name of the table; the report of an adaptation has its digest."""
        return {"idf": self.config.idf or ""}

    def adapt(self, model: Path, out: Path) -> Mapping[str, Any]:
        """Read a masked language model, or an encoder that has one, and write the encoder.

        Raises:
            UsageError: the folder holds no such model, or no table is named and it has none.
        """
        from spaniel_neural.loading import quietly

        c = self.config
        source = read_folder(model)
        staged = out / ".model"
        _copy(source.documents.transformer, staged)
        _prepare_text(staged, c.text)
        tokenizer = read_tokenizer(staged)
        table, live = self._table(source, staged, tokenizer)
        network = _open_model(staged)
        width = network.get_output_embeddings().out_features
        weights = np.zeros(width, np.float32)
        weights[: len(table)] = table[:width]
        off = _switch_off(network, tokenizer, live)
        encoder = _assemble(staged, network, weights, c)
        with quietly():
            encoder.save_pretrained(str(out), create_model_card=False)
        write_table(weights, tokenizer, out / "idf.json")
        shutil.rmtree(staged)
        return {
            "tokens with a weight": int((weights > 0).sum()),
            "terms switched off": off,
            "vocabulary": width,
            "idf": digest_bytes(weights.tobytes()),
        }

    def _table(
        self, source: Any, staged: Path, tokenizer: Tokenizer
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return the weights of queries, and which terms documents may get; ``None`` for all."""
        c = self.config
        live = None
        table = np.ones(tokenizer.get_vocab_size(), np.float32)
        if c.idf is not None:
            weighing = Weighing(self.context, c.idf, staged, c.background, c.default_idf)
            if c.terms == "counted" and weighing.counts is not None:
                live = weighing.counts.frequencies > 0
            if c.weights == "idf":
                table = weighing.weights()
        elif c.weights == "idf":
            table = source.weights(tokenizer, c.default_idf)
        return QueryTable(tokenizer, table).weights, live


def _copy(transformer: Path, staged: Path) -> None:
    """Copy a masked language model's own files, without what sentence-transformers puts beside them."""
    staged.mkdir()
    for path in sorted(transformer.iterdir()):
        if (
            path.is_file()
            and path.suffix in (".json", ".safetensors", ".txt", ".model")
            and not path.name.startswith(("modules.json", "config_sentence", "sentence_", "idf.json", "router_config"))
        ):
            shutil.copyfile(path, staged / path.name)


def _prepare_text(folder: Path, how: str) -> None:
    """Put lower-casing or a leading blank before what the tokenizer does, for queries and documents alike."""
    if how == "as-is":
        return
    path = folder / "tokenizer.json"
    said = json.loads(path.read_bytes())
    first = {"type": "Lowercase"} if how == "lowercase" else {"type": "Prepend", "prepend": " "}
    rest = said.get("normalizer")
    said["normalizer"] = first if rest is None else {"type": "Sequence", "normalizers": [first, rest]}
    path.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")


def _open_model(folder: Path) -> Any:
    import torch
    from safetensors import SafetensorError
    from spaniel_neural.loading import quietly
    from transformers import AutoModelForMaskedLM

    try:
        with quietly():
            model = AutoModelForMaskedLM.from_pretrained(
                str(folder), use_safetensors=True, dtype=torch.float32, trust_remote_code=False, local_files_only=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"{folder} cannot be loaded as a masked language model: {str(error).splitlines()[0]}"
        ) from error
    layer = model.get_output_embeddings()
    if not isinstance(layer, torch.nn.Linear) or layer.bias is None:
        raise UsageError(
            f"{type(model).__name__} does not end in a matrix of its vocabulary with a bias; BERT's family does"
        )
    return model


def _switch_off(network: Any, tokenizer: Tokenizer, live: NDArray[np.bool_] | None) -> int:
    """Switch special tokens off, and all but the live terms; return how many are."""
    import torch

    bias = network.get_output_embeddings().bias
    off = np.zeros(len(bias), bool)
    off[special_tokens(tokenizer)] = True
    if live is not None:
        off[: len(live)] |= ~live[: len(bias)]
        off[len(live) :] = True
    with torch.no_grad():
        bias[torch.from_numpy(off)] = OFF
    return int(off.sum())


def _assemble(folder: Path, network: Any, weights: NDArray[np.float32], config: AdaptConfig) -> Any:
    """Return the encoder of sentence-transformers."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Router, Transformer
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
    from spaniel_neural.loading import quietly

    with quietly():
        reader = Transformer(str(folder), transformer_task="fill-mask", model_kwargs={"use_safetensors": True})
        reader.model.load_state_dict(network.state_dict())
        if config.max_length is not None:
            reader.max_seq_length = config.max_length
        table = SparseStaticEmbedding(reader.tokenizer, torch.from_numpy(weights), frozen=not config.train_idf)
        pooling = SpladePooling("max", ACTIVATIONS[config.activation], len(weights))
        router = Router.for_query_document([table], [reader, pooling])
        return SparseEncoder(modules=[router], device="cpu", similarity_fn_name="dot")
