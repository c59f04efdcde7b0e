"""What language models learn: tokens that were masked, and tokens that come next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Context, UsageError
from torch import Tensor

from spaniel_train.batch import Batch, Outputs
from spaniel_train.config import CausalLmConfig, MaskedLmConfig
from spaniel_train.protocols import Need
from spaniel_train.tokens import IGNORED, Reading, Tokens, Vocabulary


class _Language:
    """The mean over the targets of a batch of their negative log-likelihood, each counting by its token's weight."""

    need: Need

    def __init__(self, config: Any, context: Context) -> None:
        self.config = config
        self.context = context
        self._table: NDArray[np.float32] | None = None
        self._file = Path(config.weights) if config.weights not in ("none", "idf") else None
        if self._file is not None and not self._file.is_file():
            raise UsageError(f"weights={config.weights!r} is neither none nor idf, and there is no such file")

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the file of weights, where there is one."""
        return {} if self._file is None else {"weights": self.context.store.digest_of(self._file)}

    @property
    def needs(self) -> frozenset[Need]:
        """The losses of the tokens."""
        return frozenset({self.need})

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Return the weighted mean over all targets, a scalar."""
        tokens: Tensor = outputs.more[self.need]
        return tokens[:, 0].sum() / tokens[:, 1].sum().clamp(min=1e-12)

    def fit(self, vocabulary: Vocabulary, texts: Iterable[str]) -> None:
        """Count texts for the weights, or read the table of them."""
        if self.config.weights == "idf":
            found, count = vocabulary.counted(texts)
            self._table = np.log1p((count - found + 0.5) / (found + 0.5)).astype(np.float32)
        elif self._file is not None:
            self._table = _read_table(self._file, vocabulary)

    def weights(self, targets: NDArray[np.int64], vocabulary: Vocabulary) -> NDArray[np.float32]:
        """Return the weight of each target, 0 where nothing is predicted."""
        predicted = targets != IGNORED
        made: NDArray[np.float32] = predicted.astype(np.float32)
        if self._table is not None:
            made[predicted] = self._table[targets[predicted]]
        return made


class MaskedLm(_Language):
    """Masked language modelling (Devlin et al., BERT, NAACL 2019, section 3.1), by whole words or by tokens.

    Of each text, words are drawn until the share of its tokens is reached; each of their tokens is masked, replaced by a
    random one or left alone, and is predicted.
    """

    need = "masked tokens"
    config: MaskedLmConfig

    def reading(self, tokens: Tokens, vocabulary: Vocabulary, seeds: Sequence[int]) -> Reading:
        """Mask tokens."""
        config, mask = self.config, vocabulary.mask
        ids = tokens.ids.copy()
        targets = np.full_like(ids, IGNORED)
        for row, seed in enumerate(seeds):
            rng = np.random.default_rng(seed)
            places = np.flatnonzero(tokens.words[row] >= 0)
            if not len(places):
                continue
            words = tokens.words[row, places] if config.whole_words else places
            _, units, sizes = np.unique(words, return_inverse=True, return_counts=True)
            drawn = rng.permutation(len(sizes))
            wanted = max(1, round(config.share * len(places)))
            before = np.cumsum(sizes[drawn]) - sizes[drawn]
            chosen = places[np.isin(units, drawn[before < wanted])]
            targets[row, chosen] = ids[row, chosen]
            fate = rng.random(len(chosen))
            others = rng.choice(vocabulary.plain, len(chosen))
            is_random = (fate >= config.masked) & (fate < config.masked + config.random)
            ids[row, chosen[fate < config.masked]] = mask
            ids[row, chosen[is_random]] = others[is_random]
        return Reading(ids, targets)


class CausalLm(_Language):
    """Causal language modelling: each token from those before it (Radford et al., GPT, 2018, equation 1)."""

    need = "next tokens"
    config: CausalLmConfig

    def reading(self, tokens: Tokens, vocabulary: Vocabulary, seeds: Sequence[int]) -> Reading:
        """Predict the next token everywhere, the first one excepted."""
        targets = np.full_like(tokens.ids, IGNORED)
        targets[:, :-1] = np.where(tokens.filled[:, 1:], tokens.ids[:, 1:], IGNORED)
        return Reading(tokens.ids, targets)


def _read_table(path: Path, vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Return weights by token number, from JSON (token → weight) or from an array of numpy's (by number)."""
    try:
        if path.suffix == ".npy":
            table = np.load(path, allow_pickle=False).astype(np.float32)
        else:
            said = json.loads(path.read_text(encoding="utf-8"))
            table = vocabulary.table({str(token): float(weight) for token, weight in said.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"weights={str(path)!r} is no file of weights by token (.json) or by number (.npy): {error}"
        ) from error
    if table.shape != (vocabulary.size,) or not np.isfinite(table).all() or (table < 0).any():
        raise UsageError(
            f"{path} must hold {vocabulary.size} finite weights, none below 0, and holds an array {table.shape}"
        )
    made: NDArray[np.float32] = table
    return made
