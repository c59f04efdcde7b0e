"""A search as an artifact: built by a walk, kept with its trials and plots, found again when it is asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from spaniel import Context, UsageError
from spaniel.store import Artifact, Draft, Need, Recipe

from spaniel_search.config import Budget
from spaniel_search.objectives import Objective
from spaniel_search.pool import Pool
from spaniel_search.trials import Trial, best_of
from spaniel_search.walk import Walk

TRIALS, RESULT = "trials.jsonl", "result.json"
CACHE = "evaluations.sqlite"


@dataclass(frozen=True)
class Plan:
    """What is walked, how, and for how long.

    Attributes:
        space: a component of kind ``search_space`` with the role of a space, as an expression.
        strategy: one with the role of a strategy.
        budget: what may be spent.
        batch: candidates scored between two tellings.
        processes: how many processes score; they change nothing but the time.
        seeds: candidates to begin with.
        timeout: seconds that a candidate may take, each in a worker process that is killed where it takes longer; a
            candidate that fails, dies or takes too long is a trial that failed. ``None``: no limit, and one process is
            the walk's own.
        number: of this walk among several of one plan, whose random streams differ while candidates score the same.
    """

    space: str
    strategy: str
    budget: Budget
    batch: int = 1
    processes: int = 1
    seeds: tuple[Any, ...] = ()
    number: int = 0
    timeout: float | None = None


@dataclass(frozen=True)
class Result:
    """What a search found.

    Attributes:
        trials: in the order of asking.
        ended: why the walk ended.
        spent: what it used of each part of a budget.
        facts: what else is known of it: names of space, strategy, data; held-out figures.
    """

    trials: tuple[Trial, ...]
    ended: str
    spent: Mapping[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The best trial at the highest effort that was reached, the first of equals.

        Raises:
            UsageError: every candidate failed.
        """
        found = best_of(self.trials)
        if found is None:
            reason = f"; the first: {self.trials[0].error}" if self.trials else ""
            raise UsageError(f"all {len(self.trials)} candidates failed{reason}")
        return found

    @property
    def tried(self) -> int:
        """How many configurations were scored, failed ones included, each once, at however many efforts."""
        return len({trial.digest for trial in self.trials})

    @property
    def failed(self) -> int:
        """How many of those failed, at whatever effort."""
        return len({trial.digest for trial in self.trials if trial.score is None})


Finish = Callable[[Result, Draft], None]


def search_need(
    context: Context,
    plan: Plan,
    objective: Objective,
    *,
    facts: Mapping[str, Any] | None = None,
    finish: Finish | None = None,
) -> Need:
    """Name the artifact of a search; nothing is walked yet.

    Args:
        context: the session.
        plan: what is walked, and how.
        objective: what is searched for.
        facts: part of the recipe and of the result, as JSON.
        finish: is given the result and the draft before the artifact is published, to add facts and files.
    """
    space = context.bind("search_space", plan.space)
    strategy = context.bind("search_space", plan.strategy)
    for bound, role in ((space, "space"), (strategy, "strategy")):
        if bound.registered.component.role != role:
            raise UsageError(f"`{bound.registered.name}` is a {bound.registered.component.role}; a {role} is needed")
    counted = [name for name in ("calls", "tokens") if getattr(plan.budget, name) is not None]
    if counted and getattr(context.make(strategy), "uncounted", False):
        raise UsageError(
            f"a budget of {counted[0]} does not bound `{strategy.registered.name}`, whose proxies are called beside it; "
            "give one such as 200 or 10min"
        )
    told = dict(facts or {})
    budget = plan.budget.model_dump(exclude_none=True)
    about = {"space": space.description, "strategy": strategy.description, "objective": objective.identity}
    numbered = (plan.number,) if plan.number else ()
    recipe = Recipe(
        type="search",
        component=strategy.registered.full_name,
        version=strategy.registered.version,
        config=about
        | {"budget": budget, "batch": plan.batch, "seeds": list(plan.seeds), "facts": told}
        | ({"number": plan.number} if plan.number else {})
        | ({"timeout": plan.timeout} if plan.timeout is not None else {}),
        seed=context.seed,
    )

    def build(draft: Draft) -> None:
        maker, walker = context.make(space), context.make(strategy)
        advance = draft.progress(int(plan.budget.candidates) if plan.budget.candidates else None, "candidates")
        # Files written aside by a process that was killed before it could rename them.
        for left in draft.path.glob(".*.*"):
            left.unlink()
        with Pool(objective, context.store.root / CACHE, plan.processes, plan.timeout, context.seed) as pool:
            walk = Walk(
                maker,
                walker,
                pool,
                plan.budget,
                draft.path,
                rng=context.rng("walk", str(strategy.expression), *numbered),
                batch=plan.batch,
                seeds=plan.seeds,
            )
            with closing(walk.failures):
                ended = walk.run(advance)
                walk.complete(plan.seeds[:1])
        result = Result(
            tuple(walk.trials), ended, dict(walk.spent), told | {"space": plan.space, "strategy": plan.strategy}
        )
        if best_of(walk.trials) is None:
            # Nothing is published; what made all of them fail may be mended, and then they are tried again.
            walk.forget()
        _ = result.best
        if finish is not None:
            finish(result, draft)
        write_result(result, draft)
        walk.forget()

    return Need(recipe, build)


def search(context: Context, plan: Plan, objective: Objective) -> Result:
    """Walk a space, or find the result of the same walk in the store."""
    return read_result(context.obtain(search_need(context, plan, objective)))


def write_result(result: Result, draft: Draft) -> None:
    """Write trials and facts into a draft."""
    draft.file(TRIALS).write_text("".join(trial.to_line() for trial in result.trials), encoding="utf-8")
    told = {
        "ended": result.ended,
        "spent": dict(result.spent),
        "tried": result.tried,
        "failed": result.failed,
        "best": json.loads(result.best.to_line()),
        "facts": result.facts,
    }
    draft.file(RESULT).write_text(json.dumps(told, ensure_ascii=False, indent=2, allow_nan=False), encoding="utf-8")
    draft.info.update(tried=result.tried, best=result.best.score)


def read_result(artifact: Artifact) -> Result:
    """Read the result of a search from its artifact."""
    told = json.loads(artifact.file(RESULT).read_text(encoding="utf-8"))
    lines: Sequence[str] = artifact.file(TRIALS).read_text(encoding="utf-8").splitlines()
    return Result(tuple(Trial.from_line(line) for line in lines), told["ended"], told["spent"], told["facts"])
