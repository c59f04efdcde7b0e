"""Encoders of the space as folders that sentence-transformers and transformers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from spaniel import UsageError
from spaniel.data.files import write_text
from spaniel_neural.loading import load_for, quietly
from spaniel_neural.locating import download_model
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from spaniel import Context

    from spaniel_w_pca.nlu import NluSpace


def write_encoder(
    context: Context, space: NluSpace, candidate: Any, seed: int, tokenizer: str, folder: Path, *, words: bool = False
) -> Path:
    """Write a candidate with fresh weights and the tokenizer of another model into an empty folder, and return it.

    The layout is that of sentence-transformers: the encoder, the mean of its vectors, scaled to length 1.

    Args:
        space: a space of this plugin.
        candidate: of the space.
        seed: of the weights.
        tokenizer: a model's folder, ``package:NAME/FOLDER``, or its name on the hub.
        words: whether the embeddings of tokens are those of that model, reduced by :func:`reduced_words`, in place of
            fresh ones. The paper begins with fresh ones, and trains on three billion words.

    Raises:
        UsageError: the tokenizer has more tokens than the space, or the space is another one.
    """
    from transformers import AutoTokenizer

    from spaniel_w_pca.family import NluEncoder, NluEncoderConfig
    from spaniel_w_pca.nlu import NluSpace

    if not isinstance(space, NluSpace):
        raise UsageError(f"{type(space).__name__} is no space whose candidates can be written as encoders")
    built = space.build(candidate, seed)
    source = download_model(tokenizer, None, context.offline)
    with quietly():
        reader = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, local_files_only=True)
        if len(reader) > space.config.vocab_size:
            raise UsageError(
                f"{tokenizer} has {len(reader):,} tokens, and the models of the space know {space.config.vocab_size:,}: "
                f"set vocab_size={len(reader)}"
            )
        model = NluEncoder(NluEncoderConfig.of(space.layers(candidate), space.sizes, pad_token_id=reader.pad_token_id))
        model.encoder.load_state_dict(built.state_dict())
        if words:
            table = load_for(context, source).model.get_input_embeddings().weight.detach().float().cpu()
            with torch.no_grad():
                model.encoder.embeddings.words.weight[: len(table)] = reduced_words(table, space.config.embed)
        reader.model_max_length = min(reader.model_max_length, space.config.positions)
        model.save_pretrained(folder)
        reader.save_pretrained(folder)
    _write_modules(folder, space.config.hidden)
    with write_text(folder / "candidate.json") as file:
        json.dump({"candidate": candidate, "seed": seed, "counts": dict(space.counts(candidate))}, file, indent=2)
    return folder


def reduced_words(table: Tensor, width: int) -> Tensor:
    """Return embeddings of words along the axes on which they differ most, with zeros where they have fewer.

    Args:
        table: ``(words, d)``.
        width: of the result, ``(words, width)``.
    """
    centred = table - table.mean(0)
    _, axes = torch.linalg.eigh((centred.T @ centred).double())
    kept = centred @ axes.flip(1)[:, :width].float()
    return functional.pad(kept, (0, width - kept.shape[1]))


def _write_modules(folder: Path, width: int) -> None:
    """Let sentence-transformers itself write what it reads."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with quietly():
        transformer = Transformer(str(folder), model_kwargs=dict(safe), config_kwargs=dict(safe))
        model = SentenceTransformer(modules=[transformer, Pooling(width, "mean"), Normalize()], device="cpu")
        model.similarity_fn_name = "cosine"
        model.save_pretrained(str(folder), create_model_card=False)
