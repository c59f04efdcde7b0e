"""Recorded answers: kept in the store under the whole request, and asked for once.

Each call's missing answers become one artifact, written in chunks that outlive a kill. An answer is found by its own
request, in whichever artifact of the model it lies; one that a call has left which did not end is taken over by the next.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import UsageError
from spaniel.store import Draft, Need, Recipe, canonical_json, digest_bytes

from spaniel_lm.capabilities import check_pairs, require, wanted_for
from spaniel_lm.config import RecordedConfig
from spaniel_lm.protocol import (
    Answer,
    Capability,
    Constraint,
    Continuation,
    Generation,
    LanguageModel,
    Message,
    Processor,
    Prompt,
    Scored,
)
from spaniel_lm.requests import Record, read_records, scored_record, to_answer, to_scored, wanted_answer, wanted_scores

if TYPE_CHECKING:
    from spaniel import Context

_IDENTITY = "model.json"
TYPE = "answers"
"""Type of the artifacts."""
_PASSED: frozenset[Capability] = frozenset(
    {"generate", "sample", "beams", "processors", "schema", "logprobs", "chat", "tokens"}
)


class RecordedModel:
    """Another model, whose answers are kept.

    What was answered before costs nothing again; its calls, tokens, seconds and cost are counted as they were, so that
    a table shows what the method costs and not what was left of it. ``"answers replayed"`` says how many those were.
    """

    def __init__(self, config: RecordedConfig, context: Context) -> None:
        self.config = config
        self.context = context
        self.name = f"recorded(lm={config.lm})"
        self._found: dict[str, Record] = {}
        self._left: dict[str, Record] = {}
        self._scanned = False

    @cached_property
    def inner(self) -> LanguageModel:
        """The model that is recorded."""
        made: LanguageModel = self.context.create("language_model", self.config.lm)
        return made

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What tells its answers from those of other models."""
        bound = self.context.bind("language_model", self.config.lm)
        return {"component": bound.registered.full_name, **self.inner.fingerprint()}

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the model whose results can be kept."""
        return self.inner.capabilities & _PASSED

    @property
    def window(self) -> int | None:
        """The model's own."""
        return self.inner.window

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the model's own."""
        return self.inner.fingerprint()

    def generate(
        self,
        prompts: Sequence[Prompt],
        settings: Generation = Generation(),  # noqa: B008 - frozen
        *,
        processors: Sequence[Processor] = (),
        constraints: Constraint | Sequence[Constraint] | None = None,
    ) -> list[Answer]:
        """Return one answer a prompt; the model is asked for those that are not there yet.

        Constraints are told apart by their ``fingerprint()``; processors cannot be, and are refused.
        """
        require(self, *wanted_for(prompts, settings, processors, constraints))
        if processors:
            raise UsageError("answers under logits processors cannot be recorded: nothing says what a processor does")
        if settings.temperature > 0 and settings.seed is None:
            settings = replace(settings, seed=self.context.seed)
        bound = (
            constraints if constraints is None or isinstance(constraints, Sequence) else [constraints] * len(prompts)
        )
        wanted = [
            wanted_answer(prompt, settings, None if bound is None else bound[at]) for at, prompt in enumerate(prompts)
        ]

        def ask(places: Sequence[int]) -> list[Any]:
            chosen = None if bound is None else [bound[at] for at in places]
            made = self.inner.generate([prompts[at] for at in places], settings, constraints=chosen)
            return [answer.to_json() for answer in made]

        return [to_answer(record) for record in self._obtain(wanted, ask)]

    def logprobs(self, prompts: Sequence[Prompt], continuations: Sequence[Continuation]) -> list[Scored]:
        """Score one continuation a prompt; the model is asked for those that are not there yet."""
        require(self, *wanted_for(prompts))
        check_pairs(prompts, continuations)
        wanted = [wanted_scores(prompt, one) for prompt, one in zip(prompts, continuations, strict=True)]

        def ask(places: Sequence[int]) -> list[Any]:
            made = self.inner.logprobs([prompts[at] for at in places], [continuations[at] for at in places])
            return [scored_record(one) for one in made]

        return [to_scored(record) for record in self._obtain(wanted, ask)]

    def next_logits(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Refuse: logits are not kept."""
        require(self, "next-logits", hint="their logits are too large to keep; ask the model itself")
        raise AssertionError

    def hidden(self, prompts: Sequence[Prompt], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Refuse: hidden states are not kept."""
        require(self, "hidden-states", hint="they are too large to keep; ask the model itself")
        raise AssertionError

    def render(self, chat: Sequence[Message]) -> str:
        """Return a chat as the model's template writes it."""
        return self.inner.render(chat)

    def count_tokens(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return how many tokens each prompt has."""
        return self.inner.count_tokens(prompts)

    def cut(self, texts: Sequence[str], tokens: Sequence[int]) -> list[str]:
        """Return the beginning of each text that has so many tokens at most."""
        return self.inner.cut(texts, tokens)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text by itself."""
        return self.inner.tokenize(texts)

    def prefix(self, prompt: Prompt) -> AbstractContextManager[None]:
        """Refuse: what is recorded is not computed."""
        require(self, "prefix")
        raise AssertionError

    def records(self) -> Iterator[Record]:
        """Yield everything that was recorded of this model, in the order of the requests' digests."""
        self._scan()
        yield from (self._found[key] for key in sorted(self._found))

    def _obtain(self, wanted: Sequence[dict[str, Any]], ask: Callable[[Sequence[int]], list[Any]]) -> list[Record]:
        self._scan()
        keys = [digest_bytes(canonical_json(request)) for request in wanted]
        missing = {key: at for at, key in reversed(list(enumerate(keys))) if key not in self._found}
        new = set(missing)
        if missing:
            self._record(dict(sorted(missing.items(), key=lambda item: item[1])), wanted, ask)
        # What was taken over from a call that did not end was paid for by that one, too.
        new -= set(self._left)
        old = [self._found[key] for key in dict.fromkeys(keys) if key not in new]
        for record in old:
            self.context.replay(record["seconds"], record["cost"])
        if old:
            self.context.count("answers replayed", len(old))
        return [self._found[key] for key in keys]

    def _record(
        self, missing: dict[str, int], wanted: Sequence[dict[str, Any]], ask: Callable[[Sequence[int]], list[Any]]
    ) -> None:
        """Ask for what is missing, chunk by chunk, in an artifact of its own."""

        def build(draft: Draft) -> None:
            done = {
                record["key"] for path in _parts(draft.path) if draft.done(path.name) for record in read_records(path)
            }
            for path in list(_parts(draft.path)):
                if not draft.done(path.name):
                    path.unlink()  # a kill came before it was whole
            number = sum(1 for _ in _parts(draft.path))
            if not draft.done(_IDENTITY):
                path = draft.file(_IDENTITY)
                path.write_bytes(canonical_json(self.identity))
                draft.finish(_IDENTITY, path)
            left = [key for key in missing if key not in done]
            saved = [key for key in left if key in self._left]
            asked = [key for key in left if key not in self._left]
            chunks = [asked[start : start + self.config.chunk] for start in range(0, len(asked), self.config.chunk)]
            advance = draft.progress(len(missing), "answers")
            advance(len(done))
            for chunk in [saved, *chunks] if saved else chunks:
                failure: Exception | None = None
                if chunk is saved:
                    records = [self._left[key] for key in saved]
                else:
                    records, failure = self._ask(chunk, [missing[key] for key in chunk], wanted, ask)
                if records:
                    path = draft.file(f"part-{number:05}.jsonl")
                    path.write_bytes(b"".join(canonical_json(record) + b"\n" for record in records))
                    draft.finish(path.name, path)
                    number += 1
                advance(len(records))
                if failure is not None:
                    self._left |= {record["key"]: record for record in records}
                    raise failure
            draft.info["answers"] = len(missing)

        digest = digest_bytes(canonical_json(sorted(missing)))
        recipe = Recipe(TYPE, "spaniel-lm/recorded", version("spaniel-lm"), self.identity, None, {"requests": digest})
        artifact = self.context.obtain(Need(recipe, build))
        for path in _parts(artifact.path):
            self._take(read_records(path))

    def _ask(
        self,
        keys: Sequence[str],
        places: Sequence[int],
        wanted: Sequence[dict[str, Any]],
        ask: Callable[[Sequence[int]], list[Any]],
    ) -> tuple[list[Record], Exception | None]:
        """Return records of a chunk, with its cost shared among them, and what went wrong with the others."""
        failure: Exception | None = None
        started = time.perf_counter()
        with self.context.stage(f"ask {self.config.lm}", len(keys), "prompts") as stage:
            try:
                with self.context.following(len(keys), self.context.advance):
                    results = ask(places)
            except UsageError as error:
                answered = getattr(error, "results", None)
                if answered is None:
                    raise
                plain = [None if one is None else _plain(one) for one in answered]
                results, failure = plain, error
        seconds = time.perf_counter() - started - stage.loading
        kept = [(key, at, one) for key, at, one in zip(keys, places, results, strict=True) if one is not None]
        share = 1 / max(1, len(kept))
        cost = {name: amount * share for name, amount in stage.cost.items()}
        records = [
            {"key": key, "request": wanted[at], "result": one, "seconds": seconds * share, "cost": cost}
            for key, at, one in kept
        ]
        return json.loads(json.dumps(records)), failure

    def _scan(self) -> None:
        """Read what the store holds of this model, and what calls have left that did not end."""
        if self._scanned:
            return
        store, identity = self.context.store, json.loads(canonical_json(self.identity))
        for entry in store.list():
            artifact = entry.artifact
            if artifact is not None and artifact.recipe.type == TYPE and artifact.recipe.config == identity:
                for path in _parts(store.open(artifact.address).path):
                    self._take(read_records(path))
            elif entry.unfinished and _identity(entry.path) == identity:
                for path in _parts(entry.path):
                    self._left |= {record["key"]: record for record in _whole_records(path)}
        self._scanned = True

    def _take(self, records: Iterator[Record]) -> None:
        for record in records:
            self._found.setdefault(record["key"], record)


def _plain(result: Any) -> Any:
    return result.to_json() if isinstance(result, Answer) else scored_record(result)


def _parts(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("part-*.jsonl"))


def _identity(folder: Path) -> Any:
    try:
        return json.loads((folder / _IDENTITY).read_bytes())
    except (OSError, ValueError):
        return None


def _whole_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file that may end in the middle of one."""
    try:
        yield from read_records(path)
    except (UsageError, OSError):
        return
