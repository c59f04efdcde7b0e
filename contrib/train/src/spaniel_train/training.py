"""The loop over optimizer steps.

It is not that of sentence-transformers' trainers or transformers' ``Trainer``, whose models it trains: their checkpoints
keep optimizer, scheduler and random states in pickles, which are not read here; a loss there does not know the optimizer
step, by which weights are scheduled; gradient caching there belongs to single losses, here it holds for any sum of
objectives; and their random state runs on from step to step, where each step here has seeds of its own, so that going on
after a kill needs no state but weights and the optimizer's.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spaniel import Context, UsageError
from spaniel.data.files import write_text
from spaniel.learning import Lesson, write_lessons
from spaniel.store import canonical_json, digest_bytes
from spaniel_neural.devices import choose_device
from torch import Tensor

from spaniel_train.batch import Batch, Outputs, collate
from spaniel_train.checkpoints import Progress, Workplace, alone
from spaniel_train.data import Data, load_data, plan_epoch
from spaniel_train.evaluating import Evaluator
from spaniel_train.lessons import lessons_of, merged
from spaniel_train.models import Trainee, load_trainee, locate
from spaniel_train.optimizers import describe_groups, group_parameters, state_bytes
from spaniel_train.processes import Team
from spaniel_train.protocols import LANGUAGE, Objective, ParameterGroup, TraineeMaker
from spaniel_train.recipe import Recipe
from spaniel_train.schedules import rate_at, weight_at
from spaniel_train.steps import Gradients

_STREAM = "spaniel-train"


class Training:
    """A training by a recipe, which has been checked.

    Args:
        context: the session; its seed is the recipe's.
        recipe: what to do.
        out: the folder of the model that comes out; what is not finished lies beside it.
    """

    def __init__(self, context: Context, recipe: Recipe, out: Path) -> None:
        self.context = context
        self.recipe = recipe
        self.out = out
        self.workplace = Workplace(out.parent / f".{out.name}.training")
        self.maker: TraineeMaker = context.create("trainee", recipe.model.kind)
        self.objectives: list[Objective] = [context.create("objective", term.use) for term in recipe.objectives]
        self.team = Team(choose_device(context.device))
        self.progress = Progress()

    def run(self, resume: bool = False, again: bool = False) -> dict[str, Any]:
        """Train, write the model, and return the report.

        Of several processes, all train, and the first one measures and writes.

        Raises:
            UsageError: the data, the model or the groups of parameters do not suit the recipe, or a training was stopped
                here and the arguments do not say what to do with it.
        """
        recipe, context = self.recipe, self.context
        data = load_data(context, recipe.data)
        if any("teacher" in objective.needs for objective in self.objectives):
            data.require_teacher()
        if not self.maker.gives & LANGUAGE:
            data.require_queries()
        evaluator = None
        if recipe.evaluation is not None:
            evaluator = Evaluator(context, recipe.evaluation)
        lock = self.workplace.folder.parent / f"{self.workplace.folder.name}.lock"
        with self.team as team, alone(lock) if team.rank == 0 else nullcontext():
            team.first(lambda: self.workplace.begin(self._job(data), resume, again))
            return self._run(data, evaluator)

    def _run(self, data: Data, evaluator: Evaluator | None) -> dict[str, Any]:
        recipe, context, team = self.recipe, self.context, self.team
        trainee = load_trainee(context, recipe.model, team.device, self.workplace.folder / f"fresh-{team.rank}")
        trainee.dtype = recipe.dtype
        trainee.meet(self.objectives, data)
        model = trainee.model
        gradients = Gradients(trainee, recipe.batches.part, recipe.batches.cached, team)
        strict = "groups" in recipe.optimizer.model_fields_set
        groups = group_parameters(model, recipe.optimizer.groups, strict)
        optimizers = self._optimizers(groups)
        rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.progress = progress = self.workplace.restore(model, optimizers)
        if len(set(team.exchange(progress.step))) > 1:
            raise UsageError(f"{self.workplace.folder}: the processes do not see the same checkpoint; share the folder")
        steps = count_steps(data, recipe, context)
        with context.stage(f"train {self.out.name}", steps, "steps", phase="build"):
            context.advance(progress.step)
            for step, batches in self._steps(data, steps, progress.step):
                if self._is_over():
                    break
                started = time.perf_counter()
                model.train()
                losses = self._add_gradients(gradients, data, step, batches)
                weights = [p for group in groups for p in group[1].parameters.values()]
                team.reduce(weights)
                if recipe.optimizer.clip is not None:
                    torch.nn.utils.clip_grad_norm_(weights, recipe.optimizer.clip, foreach=False)
                pace = rate_at(recipe.optimizer.rate, step, steps)
                before = time.perf_counter()
                for optimizer, peaks in zip(optimizers, rates, strict=True):
                    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                        group["lr"] = peak * pace
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                progress.optimizer_seconds += time.perf_counter() - before
                progress.seconds += time.perf_counter() - started
                progress.losses.append(losses)
                progress.step = step + 1
                if evaluator is not None and self._is_due(evaluator.spec.every, steps):
                    self._evaluate(evaluator, trainee)
                if self._is_due(recipe.checkpoint, steps) and team.rank == 0:
                    self.workplace.save(progress, model, optimizers)
                context.advance(1)
        report = self._report(data, groups, optimizers, evaluator, steps)
        best = evaluator is not None and evaluator.spec.keep == "best" and progress.best is not None
        base = locate(recipe.model, context.offline) if recipe.model.fresh is None else None
        lessons = lessons_of(recipe, data, evaluator, base) if team.rank == 0 else []
        team.first(lambda: self._write(trainee, report, best, lessons))
        return report

    def _optimizers(self, groups: Sequence[tuple[Any, ParameterGroup]]) -> list[torch.optim.Optimizer]:
        """One optimizer for each distinct expression, over all groups that ask for it."""
        shared: dict[str, list[ParameterGroup]] = {}
        for rule, group in groups:
            use = rule.use if rule is not None and rule.use is not None else self.recipe.optimizer.use
            shared.setdefault(str(use), []).append(group)
        return [self.context.create("optimizer", use).make(members) for use, members in shared.items()]

    def _steps(self, data: Data, steps: int, start: int) -> Iterator[tuple[int, list[NDArray[np.int64]]]]:
        step = epoch = 0
        size = self.recipe.batches.accumulation
        while step < steps:
            planned = plan_epoch(data, self.recipe.batches, self.context.rng(_STREAM, "epoch", epoch))
            for at in range(0, len(planned), size):
                if step == steps:
                    return
                if step >= start:
                    yield step, planned[at : at + size]
                step += 1
            epoch += 1

    def _add_gradients(
        self, gradients: Gradients, data: Data, step: int, batches: Sequence[NDArray[np.int64]]
    ) -> dict[str, float]:
        """Add the gradients of an optimizer step; a batch counts by its rows. Return the mean losses by name."""
        drawn = self.recipe.batches
        rows = sum(map(len, batches))
        names = [str(term.use) for term in self.recipe.objectives]
        weights = [weight_at(term.weight, step) for term in self.recipe.objectives]
        means = dict.fromkeys(["loss", *names], 0.0)
        for number, chosen in enumerate(batches):
            rng = self.context.rng(_STREAM, "texts", step, number)
            batch = collate(
                [data.rows[row] for row in chosen.tolist()],
                data.known,
                drawn.positives,
                drawn.negatives,
                rng,
                self.context.seed_for(_STREAM, "batch", step, number),
            )
            share = len(chosen) / rows

            def loss(outputs: Outputs, batch: Batch, share: float = share) -> Tensor:
                made = [objective.loss(outputs, batch) for objective in self.objectives]
                for name, one in zip(names, made, strict=True):
                    means[name] += share * float(one.detach())
                return sum((w * one for w, one in zip(weights, made, strict=True)), outputs.scores.new_zeros(()))

            def seed(part: int, number: int = number) -> int:
                return self.context.seed_for(_STREAM, "dropout", step, number, part)

            means["loss"] += share * gradients.add(batch, loss, share, seed)
        if not np.isfinite(means["loss"]):
            raise UsageError(
                f"the loss is {means['loss']} at step {step}: lower the learning rate, or look at the data"
            )
        return means

    def _is_due(self, every: int, steps: int) -> bool:
        return self.progress.step % every == 0 or self.progress.step == steps

    def _is_over(self) -> bool:
        spec = self.recipe.evaluation
        return spec is not None and spec.patience is not None and self.progress.waited >= spec.patience

    def _evaluate(self, evaluator: Evaluator, trainee: Trainee) -> None:
        progress = self.progress
        value = self.team.first(lambda: evaluator.measure(trainee))
        progress.evaluations[str(progress.step)] = value
        if progress.best is None or value > progress.best:
            progress.best, progress.best_step, progress.waited = value, progress.step, 0
            if self.team.rank == 0:
                self.workplace.save_best(trainee.model)
        else:
            progress.waited += 1

    def _job(self, data: Data) -> dict[str, Any]:
        spec = self.recipe.model
        base = self.recipe.model.model_dump(mode="json")
        if spec.fresh is None:
            folder = locate(spec, self.context.offline)
            digests = {
                path.relative_to(folder).as_posix(): self.context.store.digest_of(path)
                for path in sorted(folder.rglob("*"))
                if path.suffix in (".safetensors", ".json", ".txt")
            }
            base["files"] = digest_bytes(canonical_json(digests))
        if spec.documents is not None:
            base["documents"] = dict(self.context.create("encode", spec.documents).fingerprint("document"))
        read = [dict(one.fingerprint()) for one in self.objectives if hasattr(one, "fingerprint")]
        options = self.recipe.model_dump(mode="json", exclude={"model", "data", "checkpoint"})
        return {
            "recipe": digest_bytes(canonical_json({**options, "read": read})),
            "model": digest_bytes(canonical_json(base)),
            "data": data.digest,
            "seed": self.context.seed,
            "version": version("spaniel-train"),
        }

    def _report(
        self,
        data: Data,
        groups: Sequence[tuple[Any, ParameterGroup]],
        optimizers: Sequence[torch.optim.Optimizer],
        evaluator: Evaluator | None,
        steps: int,
    ) -> dict[str, Any]:
        progress = self.progress
        done = max(1, progress.step)
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "data": {name: int((data.datasets == n).sum()) for n, name in enumerate(data.names)},
            "data_digest": data.digest,
            "seed": self.context.seed,
            "processes": self.team.size,
            "steps": progress.step,
            "steps_planned": steps,
            "seconds": progress.seconds,
            "ms_per_step": 1000 * progress.seconds / done,
            "optimizers": [
                {
                    "optimizer": type(optimizer).__name__,
                    "state_bytes": state_bytes(optimizer),
                    "parameters": sum(p.numel() for group in optimizer.param_groups for p in group["params"]),
                }
                for optimizer in optimizers
            ],
            "optimizer_ms_per_step": 1000 * progress.optimizer_seconds / done,
            "groups": describe_groups(groups),
            "measure": evaluator.spec.measure if evaluator is not None else None,
            "queries_measured": len(evaluator.queries) if evaluator is not None else 0,
            "evaluations": progress.evaluations,
            "best_step": progress.best_step,
            "kept": evaluator.spec.keep if evaluator is not None else "last",
            "losses": progress.losses,
            "versions": {
                name: version(name) for name in ("spaniel-train", "sentence-transformers", "transformers", "torch")
            },
        }

    def _write(self, trainee: Trainee, report: Mapping[str, Any], best: bool, lessons: Sequence[Lesson]) -> None:
        """Write the model aside and rename it; its report beside it; then what was unfinished goes."""
        if best:
            self.workplace.restore_best(trainee.model)
        draft = self.out.parent / f".{self.out.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            trainee.save(draft)
            write_lessons(draft, merged(lessons))
            with write_text(self.out.with_name(f"{self.out.name}.json")) as file:
                json.dump(report, file, ensure_ascii=False, indent=1)
            draft.replace(self.out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self.workplace.remove()


def count_steps(data: Data, recipe: Recipe, context: Context) -> int:
    """Return the optimizer steps of a training."""
    if recipe.steps is not None:
        return recipe.steps
    assert recipe.epochs is not None  # a recipe has one of the two
    size = recipe.batches.accumulation
    plans = (plan_epoch(data, recipe.batches, context.rng(_STREAM, "epoch", epoch)) for epoch in range(recipe.epochs))
    return sum(-(-len(plan) // size) for plan in plans)
