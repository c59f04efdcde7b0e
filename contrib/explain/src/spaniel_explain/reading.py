"""Texts as models read them, with a score that can be differentiated.

What is asked of a component is public in the tree's own: an encoder or reranker has a ``layout`` (``is_plain``) and a
``model`` that holds the ``transformer``, its ``max_length``, and what makes a vector or a score of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from spaniel import Corpus, Document, UsageError
from spaniel_neural.loading import Transformer
from spaniel_neural.pooling import pool
from torch import Tensor

from spaniel_explain.scoring import Encoded, Pairs, encoder_of, scorer_of

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel.data import DenseVectors, SparseVectors
    from spaniel.protocols import Role

APART = 0.02
"""How far, relative to the score, the differentiated score may be from the component's own: the rounding of bfloat16."""
_TINY = 1e-12


class Spot(NamedTuple):
    """Where a token stands: the text, its first character, and the one behind its last."""

    side: str
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Reading:
    """A text, or a pair of texts, as a model reads it.

    Attributes:
        transformer: the model.
        inputs: what it is called with, each ``(1, tokens)``.
        spots: where each token stands; ``None`` for special tokens and those of prompts.
        score: the model's output → scores, ``(rows,)``.
    """

    transformer: Transformer
    inputs: dict[str, Tensor]
    spots: tuple[Spot | None, ...]
    score: Callable[[Any], Tensor]

    def embedding(self) -> Any:
        """Return the layer that gives each token its vector."""
        return self.transformer.model.get_input_embeddings()

    def embedded(self, ids: Tensor) -> Tensor:
        """Return the vectors of token numbers, without a gradient."""
        with torch.no_grad():
            made: Tensor = self.embedding()(ids)
        return made

    def run(self, embedded: Tensor) -> Tensor:
        """Score the input with other token vectors, ``(rows, tokens, dimensions)``: ``(rows,)``."""
        inputs = {name: tensor.expand(len(embedded), -1) for name, tensor in self.inputs.items()}
        with _replaced(self.embedding(), embedded), self.transformer.autocast():
            return self.score(self.transformer.model(**inputs)).float()


def can_read(context: Context, target: Any) -> bool:
    """Return whether a stage's model may be read; loads none."""
    scorer = scorer_of(context, target)
    if isinstance(scorer, Pairs):
        return hasattr(type(target), "layout") and hasattr(type(target), "model")
    found = encoder_of(context, target) if isinstance(scorer, Encoded) else None
    if found is None or found[1] not in ("dense", "sparse"):
        return False
    encoder = type(context.create("encode", found[0]))
    return hasattr(encoder, "layout") and hasattr(encoder, "model")


def read(context: Context, target: Any, query: str, document: Document, side: Role) -> Reading:
    """Return how the stage's model reads a text, the other one being fixed; a cross-encoder reads both.

    Raises:
        UsageError: the stage has no model whose score can be differentiated.
    """
    scorer = scorer_of(context, target)
    if not can_read(context, target):
        raise UsageError(f"{type(target).__name__} has no transformer whose score could be differentiated")
    if isinstance(scorer, Encoded):
        return _of_encoder(scorer, query, document, side)
    _check_plain(target)
    return _of_pair(target.model, query, document)


def check_score(context: Context, score: float, target: Any, query: str, row: int, corpus: Corpus, name: str) -> None:
    """Hold the score of a reading against the component's own.

    Raises:
        UsageError: they are apart: the model is read otherwise than it scores.
    """
    scorer = scorer_of(context, target)
    assert scorer is not None  # what can be read has a score
    own = float(scorer.vary_query([query], [row], corpus)[0, 0])
    if abs(own - score) > APART * max(1.0, abs(own)):
        raise UsageError(
            f"`{name}` finds the score {score:.4f} where {type(target).__name__} gives {own:.4f}: "
            "its model is not read as it reads; explain it by occlusion or shapley"
        )


def _check_plain(component: Any) -> None:
    if not component.layout.is_plain:
        raise UsageError(
            f"the model of {component.config.model} is made of modules of its own, which are run whole: "
            "explain it by occlusion or shapley"
        )


def _of_encoder(scorer: Encoded, query: str, document: Document, side: Role) -> Reading:
    encoder: Any = scorer.encoder
    _check_plain(encoder)
    model = encoder.model
    text = query if side == "query" else document.contents
    given = getattr(encoder.config, f"prompt_{side}", None)
    asks = hasattr(encoder.config, "prompt_query")
    prompt = encoder.layout.prompt(side, given) if asks else encoder.layout.prompts.get(side, "")
    lowers = bool(getattr(model, "lowercase", False))
    inputs, spots = _one_text(model.transformer, text, side, prompt, model.max_length, lowers)
    if scorer.name == "dense":
        other = scorer.documents([document]) if side == "query" else scorer.queries([query])
        score = _dense_score(model.pooling, cast("DenseVectors", other))
    else:
        both = scorer.queries([query]), scorer.documents([document])
        mine, others = both if side == "query" else both[::-1]
        score = _sparse_score(model, cast("SparseVectors", mine), cast("SparseVectors", others))
    return Reading(model.transformer, inputs, spots, score)


def _dense_score(pooling: str, other: DenseVectors) -> Callable[[Any], Tensor]:
    fixed = torch.from_numpy(np.array(other.values[0], np.float32))

    def score(output: Any) -> Tensor:
        hidden = output.last_hidden_state.float()
        lengths = torch.full((len(hidden),), hidden.shape[1], device=hidden.device)
        vectors = pool(hidden, lengths, pooling)[:, : len(fixed)]
        if other.metric == "cosine":
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=_TINY)
        scores: Tensor = vectors @ fixed.to(vectors.device)
        return scores

    return score


def _sparse_score(model: Any, mine: SparseVectors, others: SparseVectors) -> Callable[[Any], Tensor]:
    # Terms that one of the texts lacks add nothing; those that pruning took away stay away.
    terms, _, places = np.intersect1d(mine.indices, others.indices, return_indices=True)
    chosen, fixed = torch.from_numpy(terms.astype(np.int64)), torch.from_numpy(others.values[places])

    def score(output: Any) -> Tensor:
        hidden = output.logits
        weight = model.weight[chosen.to(hidden.device)]
        bias = None if model.bias is None else model.bias[chosen.to(hidden.device)]
        logits = torch.nn.functional.linear(hidden, weight, bias).float()
        if model.pooling == "max":
            logits = logits.amax(dim=1)
        weights = logits.relu().log1p()
        weights = weights.log1p() if model.activation == "log1p_relu" else weights
        weights = weights if model.pooling == "max" else weights.sum(dim=1)
        scores: Tensor = weights @ fixed.to(weights.device)
        return scores

    return score


def _of_pair(model: Any, query: str, document: Document) -> Reading:
    prompt = model.prompt or ""
    texts = (prompt + query, document.contents)
    inputs, spots = _tokenized(model.transformer, texts, ("query", "document"), model.max_length, len(prompt))

    def score(output: Any) -> Tensor:
        scored: Tensor = model.activation(output.logits.float())[:, model.label]
        return scored

    return Reading(model.transformer, inputs, spots, score)


def tokens_of(
    transformer: Transformer, text: str, side: Role, prompt: str, max_length: int | None, lowers: bool
) -> tuple[list[str], tuple[Spot | None, ...]]:
    """Return the names of a text's tokens behind a prompt, and where they stand in the text.

    Args:
        lowers: whether the text is lowercased before it is read.
    """
    inputs, spots = _one_text(transformer, text, side, prompt, max_length, lowers)
    names: list[str] = transformer.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    return names, spots


def _one_text(
    transformer: Transformer, text: str, side: Role, prompt: str, max_length: int | None, lowers: bool
) -> tuple[dict[str, Tensor], tuple[Spot | None, ...]]:
    prompted = (prompt + text).lower() if lowers else prompt + text
    inputs, spots = _tokenized(transformer, (prompted,), (side,), max_length, len(prompt))
    # Where lowercasing changes the length nothing has its place any more.
    return inputs, spots if len(prompted) == len(prompt + text) else (None,) * len(spots)


def _tokenized(
    transformer: Transformer, texts: tuple[str, ...], sides: tuple[str, ...], max_length: int | None, prompt: int
) -> tuple[dict[str, Tensor], tuple[Spot | None, ...]]:
    """Return the model's inputs, and where each token stands in its text behind a prompt of the first."""
    tokenizer = transformer.tokenizer
    if not tokenizer.is_fast:
        raise UsageError(f"the tokenizer in {transformer.folder} does not say where its tokens stand")
    typed = len(texts) > 1 and "token_type_ids" in tokenizer.model_input_names
    # As a batch of one: alone, an empty second text would be taken for none.
    made = tokenizer(
        *([text] for text in texts),
        truncation="longest_first" if max_length is not None else False,
        max_length=max_length,
        return_offsets_mapping=True,
        return_token_type_ids=typed,
        verbose=False,
    )
    spots: list[Spot | None] = []
    for (start, end), owner in zip(made["offset_mapping"][0], made.sequence_ids(0), strict=True):
        behind = prompt if owner == 0 else 0
        placed = owner is not None and end > start and end > behind
        spots.append(Spot(sides[owner], max(start - behind, 0), end - behind) if placed else None)
    names = ("input_ids", *(["token_type_ids"] if typed else []))
    return {name: torch.tensor(made[name], device=transformer.device) for name in names}, tuple(spots)


@contextmanager
def _replaced(layer: Any, output: Tensor) -> Iterator[None]:
    handle = layer.register_forward_hook(lambda *_: output)
    try:
        yield
    finally:
        handle.remove()
