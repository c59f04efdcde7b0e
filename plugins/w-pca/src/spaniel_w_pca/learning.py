"""Training of an encoder that learns layer by layer from a larger one, by ``spaniel train``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from spaniel import Context, UsageError
from spaniel_neural.capture import capture
from spaniel_train.batch import Batch, Outputs
from spaniel_train.models import Trainee, locate, refuse
from spaniel_train.protocols import Evaluates, Objective, Role
from spaniel_train.recipe import Model
from spaniel_train.trainees.encoders import BiEncoderMaker, EncoderTrainee
from spaniel_train.trainees.folders import transformer_of
from torch import Tensor

from spaniel_w_pca.config import LayerwiseTraineeConfig
from spaniel_w_pca.features import LayerErrors, Projections, Shown, Way, layer_errors, shown_by

if TYPE_CHECKING:
    from spaniel_train.data import Data

LAYERS, TEACHER = "teacher's layers", "teacher's matrix"
"""What objectives need that only these models give: errors by way of comparing, and the teacher's own scores of a batch."""
_NAME = "distillation"
_REMEMBERED = 2**16
"""Texts whose vectors are kept: 100 MB of 384 dimensions."""


class LayerwiseTrainee(EncoderTrainee):
    """A bi-encoder beside its teacher, which reads the same tokens and is not trained.

    The projections are parameters of the model while it is trained, and are not saved with it. What is kept of a text is
    its vector, the teacher's vector, and the errors of its layers, so that gradients are cached as those of any model.

    Args:
        model: the student, of sentence-transformers.
        teacher: the teacher in training form.
        known: vectors that the teacher has given, by tokens.
    """

    def __init__(self, model: Any, teacher: EncoderTrainee, known: dict[str, Tensor] | None = None) -> None:
        super().__init__(model)
        self.teacher = teacher
        self.known: dict[str, Tensor] = {} if known is None else known
        self.ways: list[Way] = []
        self.student_shows: Shown = shown_by(self._transformer)
        self.teacher_shows: Shown = shown_by(_transformer_in(teacher.model))
        self.projections = Projections(self.student_shows, self.teacher_shows)
        self._transformer.add_module(_NAME, self.projections)

    @property
    def _transformer(self) -> Any:
        return _transformer_in(self.model)

    def meet(self, objectives: Sequence[Objective], data: Data) -> None:
        """Learn in which ways objectives compare layers."""
        self.ways = list(dict.fromkeys(one.way for one in objectives if hasattr(one, "way")))

    def represented(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return for each text its vector, the teacher's vector, the errors of each way, and its tokens."""
        mask = features["attention_mask"].float()
        wanted: list[Any] = self.teacher_shows.modules if self.ways else []
        with torch.no_grad(), capture(self.teacher.model, wanted) as theirs:
            goal = self._read(features, role) if self.ways else self._remembered(features, role)
        with capture(self.model, self.student_shows.modules if self.ways else []) as ours:
            vectors = self.model(dict(features), task=role)["sentence_embedding"].float()
        student, teacher = ([tap[0].output for tap in taps.values()] for taps in (ours, theirs))
        errors = [layer_errors(student, teacher, self.student_shows, self.projections, mask, way) for way in self.ways]
        return torch.cat([vectors, goal, *errors, mask.sum(1, keepdim=True)], 1)

    def _read(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return the teacher's vectors of texts."""
        made: Tensor = self.teacher.model(dict(features), task=role)["sentence_embedding"].float()
        return made

    def _remembered(self, features: dict[str, Any], role: Role) -> Tensor:
        """Return the same, read once in a session where no layers are compared."""
        lengths = features["attention_mask"].sum(1).tolist()
        names = [f"{role} {ids[:length]}" for ids, length in zip(features["input_ids"].tolist(), lengths, strict=True)]
        unknown = [place for place, name in enumerate(names) if name not in self.known]
        if unknown:
            part = {key: v[unknown] if isinstance(v, Tensor) else v for key, v in features.items()}
            made = self._read(part, role)
            if len(self.known) + len(names) > _REMEMBERED:
                self.known.clear()
                return self._read(features, role)
            self.known.update((names[place], vector) for place, vector in zip(unknown, made, strict=True))
        return torch.stack([self.known[name] for name in names])

    def outputs(self, representations: Tensor, batch: Batch) -> Outputs:
        """Return scores, the teacher's scores, and errors by way."""
        columns = 1 + 2 * len(self.student_shows.hidden)
        goal = representations.shape[1] - 1 - columns * len(self.ways)
        ours = int(self.model.get_embedding_dimension())
        parts = torch.split(representations, [ours, goal - ours, *[columns] * len(self.ways), 1], 1)
        tokens = parts[-1][:, 0]
        made = self.compared(parts[0][: len(batch)], parts[0][len(batch) :], batch)
        scaled = self.teacher.scaled(parts[1])
        errors = {way: LayerErrors.from_columns(part, tokens) for way, part in zip(self.ways, parts[2:-1], strict=True)}
        more = {LAYERS: errors, TEACHER: scaled[: len(batch)] @ scaled[len(batch) :].T}
        return Outputs(made.scores, made.matrix, made.queries, made.texts, more)

    def save(self, folder: Path) -> None:
        """Write the student alone, as sentence-transformers loads it."""
        delattr(self._transformer, _NAME)
        try:
            super().save(folder)
        finally:
            self._transformer.add_module(_NAME, self.projections)


class LayerwiseMaker:
    """Makes them of folders of this plugin's encoders, or of any other whose layers can be compared."""

    task = "encoder"
    gives = frozenset({"matrix", "vectors", LAYERS, TEACHER})
    evaluates: frozenset[Evaluates] = frozenset({"search", "rerank"})

    def __init__(self, config: LayerwiseTraineeConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.bi_encoders = BiEncoderMaker(None, context)

    def check(self, spec: Model) -> None:
        """Refuse what does not go with a teacher."""
        refuse(spec, "layerwise-encoder", "documents", "lora")

    def load(self, spec: Model, folder: Path, device: torch.device) -> Trainee:
        """Load student and teacher.

        Raises:
            UsageError: they do not read the same tokens, or their layers cannot be compared.
        """
        student = self.bi_encoders.load(spec, folder, device)
        teacher = self._teacher(spec, folder, device)
        name = self.config.teacher or "the base"
        if student.model.tokenizer.get_vocab() != teacher.model.tokenizer.get_vocab():
            raise UsageError(f"model: {folder} and its teacher {name} do not read the same tokens")
        reads = _positions(teacher.model)
        if reads is not None and (student.model.max_seq_length or 0) > reads:
            raise UsageError(
                f"model.max_length: the teacher {name} reads {reads} tokens at most; set max_length={reads}"
            )
        if self.config.teacher is None:
            return LayerwiseTrainee(student.model, teacher)
        named = f"vectors of the teacher {self.config.teacher} on {device}"
        return LayerwiseTrainee(student.model, teacher, self.context.remember(named, dict))

    def _teacher(self, spec: Model, folder: Path, device: torch.device) -> EncoderTrainee:
        base = self.config.teacher or str(folder)
        asked = Model(kind=spec.kind, base=base, pooling=spec.pooling if self.config.teacher is None else "auto")
        teacher = self.bi_encoders.load(asked, locate(asked, self.context.offline), device)
        assert isinstance(teacher, EncoderTrainee)  # without documents' vectors of their own
        teacher.model.to(device).requires_grad_(False).eval()
        return teacher


def _transformer_in(model: Any) -> Any:
    """Return the model of transformers in one of sentence-transformers.

    Raises:
        UsageError: there is none.
    """
    first = transformer_of(model)
    if first is None:
        raise UsageError("model: student and teacher have a transformer, whose layers are compared")
    return first.model


def _positions(model: Any) -> int | None:
    first = transformer_of(model)
    return getattr(first.config, "max_position_embeddings", None) if first is not None else None
