"""Reranking by a cross-encoder that compares the vectors at its markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel.observe import loaded_property
from spaniel.rerank import PointwiseReranker
from spaniel_neural.batching import run_batches
from spaniel_neural.files import model_fingerprint
from spaniel_neural.loading import Transformer, load_for

from spaniel_anncur.config import EmbCrossEncoderConfig
from spaniel_anncur.marked import compare_markers, mark_pairs, marker_ids


class EmbCrossEncoder(PointwiseReranker):
    """Scores pairs by the inner product of a query's and a document's vector, which were read together.

    Like any cross-encoder, but its score matrix has a spectrum that fewer anchors suffice for (Yadav et al., §3). A model
    that was not trained for it scores at random, in effect; ``spaniel train`` trains one (kind ``emb-cross-encoder``).
    """

    config: EmbCrossEncoderConfig
    window = 4096

    @loaded_property
    def transformer(self) -> Transformer:
        """The model, loaded on first use."""
        return load_for(self.context, self.config.model, revision=self.config.revision)

    def fingerprint(self) -> Mapping[str, str]:
        """Digest of the model's files."""
        return model_fingerprint(self.config.model, self.config.revision, self.context.store)

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """Score pairs: ``(n,)`` float32.

        Raises:
            UsageError: the model cannot be had, or a marker is no token of it.
        """
        if not len(texts):
            return np.zeros(0, np.float32)
        transformer = self.transformer
        markers = marker_ids(transformer.tokenizer, self.config.markers)
        longest = transformer.max_length(self.config.max_length) or self.config.max_length
        pairs = mark_pairs(transformer.tokenizer, markers, queries, texts, longest)

        def step(output: object, batch: object) -> torch.Tensor:
            places = torch.from_numpy(pairs.places[batch.positions]).to(transformer.device)  # type: ignore[attr-defined]
            return compare_markers(output.last_hidden_state.float(), places)  # type: ignore[attr-defined]

        scores, calls = run_batches(transformer, pairs.tokens, step, self.context.batch_size)
        self.context.count("model calls", calls)
        return scores
