"""What a model is worth before and after its tokenizer was exchanged, on a collection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, Queries, Run, UsageError
from spaniel.collections import find_dataset
from spaniel.evaluation.measures import evaluate
from spaniel.system import Task, open_task
from spaniel_neural.loading import load_transformer

from spaniel_omp_tokenizer.layout import Layout, read_tokenizer
from spaniel_omp_tokenizer.measuring import bits_per_byte
from spaniel_omp_tokenizer.vocabulary import read_vocabulary

if TYPE_CHECKING:
    from spaniel.data import DenseVectors

TEXTS, CHARACTERS = 50, 500
"""Texts whose bits are counted, and how much of each is read."""
QUERIES, OTHERS = 100, 300
"""Queries that are asked, and documents that are searched beside those judged relevant to them."""
_TOGETHER = 32


class Meter(Protocol):
    """Measures a model's folder."""

    measure: str

    def of(self, folder: Path) -> float:
        """Return what the model is worth."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Return what it is measured on."""
        ...


def meter_of(context: Context, collection: str, layout: Layout) -> Meter:
    """Return what measures a base and what becomes of it.

    Args:
        context: the session; its seed draws the sample.
        collection: whose texts, or queries and judgments, are read.
        layout: of the base.

    Raises:
        UsageError: the model is neither a causal language model nor an encoder, or the collection has no judgments for it.
    """
    task = open_task(context, find_dataset(context, collection), None)
    if layout.is_causal:
        return Bits(context, task)
    kinds = " ".join(map(str, layout.config.get("architectures") or ()))
    if not layout.config or "ConditionalGeneration" in kinds:
        raise UsageError(f"measure_on measures causal language models and encoders; {layout.folder} is neither")
    return Gain(context, task)


class Bits:
    """Bits a byte of texts; the less, the better. The token before a text is the one that begins texts."""

    measure = "bits a byte"

    def __init__(self, context: Context, task: Task) -> None:
        self.context = context
        rows = context.rng("omp-tokenizer", "quality").permutation(len(task.corpus))[:TEXTS]
        texts = [text[:CHARACTERS] for text in task.corpus.contents(np.sort(rows))]
        self.texts = [text for text in texts if text.strip()]
        if not self.texts:
            raise UsageError(f"{task.dataset.name} has no texts to measure on")

    def facts(self) -> Mapping[str, Any]:
        return {"texts": len(self.texts), "characters": CHARACTERS}

    def of(self, folder: Path) -> float:
        model = load_transformer(folder, "causal-lm", device="cpu").model
        tokenizer = read_tokenizer(folder)
        vocabulary = read_vocabulary(tokenizer)
        begin = vocabulary.role("bos")
        first = begin if begin is not None else next(iter(vocabulary.roles.values()), 0)
        total = sum(len(text.encode()) for text in self.texts)
        spent = 0.0
        with self.context.stage("bits a byte", total=len(self.texts), unit="texts"):
            for text in self.texts:
                spent += bits_per_byte(model, first, [text], vocabulary.split) * len(text.encode())
                self.context.advance(1)
        return spent / total


class Gain:
    """nDCG@10 of an encoder over a sample: some queries, what is judged relevant to them, and other documents."""

    measure = "nDCG@10"

    def __init__(self, context: Context, task: Task) -> None:
        if task.qrels is None:
            raise UsageError(f"{task.dataset.name} has no judgments; an encoder cannot be measured on it")
        self.context, self.task, self.qrels = context, task, task.qrels
        judged = [at for at, name in enumerate(task.queries.ids) if task.qrels.relevant(name)]
        rng = context.rng("omp-tokenizer", "quality")
        self.queries: Queries = task.queries.select(np.sort(rng.permutation(judged)[:QUERIES]).tolist())
        relevant = sorted({document for name in self.queries.ids for document in task.qrels.relevant(name)})
        held = task.corpus.rows(relevant)
        others = rng.permutation(len(task.corpus))[:OTHERS]
        self.rows: NDArray[np.int64] = np.unique(np.concatenate([held[held >= 0], others]))
        if not len(self.queries):
            raise UsageError(f"{task.dataset.name} has no query with a relevant document")

    def facts(self) -> Mapping[str, Any]:
        return {"queries": len(self.queries), "documents": len(self.rows)}

    def of(self, folder: Path) -> float:
        encoder: Any = self.context.create("encode", f"sentence-transformer(model={json.dumps(str(folder))})")
        texts = self.task.corpus.contents(self.rows)
        with self.context.stage("nDCG@10 of a sample", total=len(texts) + len(self.queries), unit="texts"):
            asked = self._encode(encoder, self.queries.texts, "query")
            scores = asked @ self._encode(encoder, texts, "document").T
        listed = Run.from_matrix(np.broadcast_to(self.rows, scores.shape), scores)
        judged = self.qrels.select(self.queries.ids)
        return float(evaluate(listed, self.queries, self.task.corpus, judged, [self.measure]).means[self.measure])

    def _encode(self, encoder: Any, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        made = []
        for start in range(0, len(texts), _TOGETHER):
            part = texts[start : start + _TOGETHER]
            made.append(cast("DenseVectors", encoder.encode(part, role)["dense"]).values)
            self.context.advance(len(part))
        return np.concatenate(made)
