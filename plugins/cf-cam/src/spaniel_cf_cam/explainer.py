"""Maps over the words of a text, as explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from spaniel import Contribution, Corpus, Explanation
from spaniel_explain.reading import can_read, read
from spaniel_explain.texts import words

from spaniel_cf_cam.config import CamConfig, CfCamConfig, MapConfig
from spaniel_cf_cam.maps import cf_cam
from spaniel_cf_cam.subjects import draw
from spaniel_cf_cam.text import TextSubject

if TYPE_CHECKING:
    from spaniel import Context


class Cam:
    """Says where a layer's activations speak for a score, word by word.

    The values of a map are no parts of the score: what they leave of it is the remainder. Of words they are the largest, or
    the sum, of their pieces'.
    """

    method: ClassVar[str]
    config: Any

    def __init__(self, config: CamConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def accepts(self, target: Any) -> bool:
        """Return whether the stage has a transformer that can be read."""
        return can_read(self.context, target)

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores of documents for a query.

        Raises:
            UsageError: the target's score cannot be differentiated, or its model has no such layer.
        """
        config: CamConfig = self.config
        made = []
        for document in corpus.documents(rows):
            reading = read(self.context, target, query, document, config.side)
            subject = TextSubject(reading, config.layer, config.center, config.exclude_special)
            values, facts = self.map(subject)
            if config.relu:
                values = np.maximum(values, 0)
            text = query if config.side == "query" else document.contents
            parts = self._words(values, subject, text)
            remainder = subject.score - sum(part.score for part in parts)
            parameters = {"side": config.side, "layer": config.layer, **facts}
            self.context.count("model calls", 1)
            made.append(
                Explanation(self.method, self.method, query, document.id, subject.score, parts, remainder, parameters)
            )
        return made

    def map(self, subject: TextSubject) -> tuple[NDArray[np.float64], Mapping[str, Any]]:
        """Return the map over the subject's tokens, and what readers should know of it."""
        return draw(subject, self.method, MapConfig(), self.context.seed), {}

    def _words(self, values: NDArray[np.float64], subject: TextSubject, text: str) -> tuple[Contribution, ...]:
        config: CamConfig = self.config
        units = words(text)
        ends = np.array([unit.end for unit in units], np.int64)
        pooled: dict[int, list[float]] = {}
        for value, place in zip(values.tolist(), subject.places.tolist(), strict=True):
            spot = subject.reading.spots[place]
            if spot is None or spot.side != config.side:
                continue
            word = int(np.searchsorted(ends, spot.start, side="right"))
            if word < len(units):
                pooled.setdefault(word, []).append(value)
        # The one that says most, for or against.
        pool = sum if config.word_pool == "sum" else (lambda pieces: max(pieces, key=abs))
        return tuple(
            Contribution(
                text[units[word].start : units[word].end],
                float(pool(pieces)),
                "token",
                side=config.side,
                span=(units[word].start, units[word].end),
            )
            for word, pieces in sorted(pooled.items())
        )


class CfCam(Cam):
    """CF-CAM; its explanations say how many channels are dominant, noise, and in how many clusters."""

    method = "cf-cam"
    config: CfCamConfig

    def map(self, subject: TextSubject) -> tuple[NDArray[np.float64], Mapping[str, Any]]:
        """Return the map and what the channels are."""
        options = MapConfig(**{name: getattr(self.config, name) for name in MapConfig.model_fields})
        made = cf_cam(subject.activations, subject.gradients, subject.shape, options, segments=subject.segments)
        return made.values, made.facts()


class GradCam(Cam):
    """Grad-CAM."""

    method = "grad-cam"


class GradCamPp(Cam):
    """Grad-CAM++."""

    method = "grad-cam-pp"


class SmoothGradCamPp(Cam):
    """Smooth Grad-CAM++."""

    method = "smooth-grad-cam-pp"


class HiresCam(Cam):
    """HiResCAM."""

    method = "hires-cam"


class LayerCam(Cam):
    """LayerCAM."""

    method = "layer-cam"


class ScoreCam(Cam):
    """Score-CAM."""

    method = "score-cam"


class AblationCam(Cam):
    """Ablation-CAM."""

    method = "ablation-cam"
