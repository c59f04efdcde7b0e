"""From many programs to one: the funnel of larger and larger tasks, and statements that hardly matter (section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spaniel import Context
from spaniel.protocols import Proxy, SearchSpace
from spaniel_search.proxies import sign

from spaniel_lion.programs.forms import simplify
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.text import print_program
from spaniel_lion.programs.types import is_valid
from spaniel_lion.space import Programs


class Stage(NamedTuple):
    """What a stage of a funnel saw.

    Attributes:
        proxy: its task.
        baseline: score of the program to beat; higher is better here, whatever the proxy's direction is.
        scores: program → score, of those that came to the stage.
        passed: those that beat the baseline, the best first.
    """

    proxy: str
    baseline: float
    scores: dict[str, float]
    passed: list[str]


def funnel(
    context: Context, space: str, candidates: Sequence[str], proxies: Sequence[str], baseline: str
) -> list[Stage]:
    """Let candidates through larger and larger tasks; what beats the baseline on one goes on to the next.

    Args:
        context: the session; its seed is that of the trainings.
        space: the space of the candidates.
        candidates: programs; those with the same hash count once.
        proxies: the tasks, the cheapest first.
        baseline: the program to beat, such as a tuned AdamW.

    Returns:
        a stage for each task that any candidate came to.
    """
    maker: SearchSpace = context.create("search_space", space)
    left = list({maker.canonical(candidate): candidate for candidate in candidates}.values())
    stages = []
    with context.stage("funnel", phase="build"):
        for name in proxies:
            if not left:
                break
            proxy: Proxy = context.create("search_space", name)
            bar = sign(proxy) * proxy.score(maker, baseline, context.seed)
            scores = {one: sign(proxy) * proxy.score(maker, one, context.seed) for one in left}
            context.count("proxy calls", len(left) + 1)
            left = sorted((one for one in left if scores[one] > bar), key=lambda one: -scores[one])
            stages.append(Stage(name, bar, scores, left))
    return stages


def shrink(context: Context, space: str, candidate: str, proxy: str, tolerance: float) -> str:
    """Return the program without statements whose removal costs at most ``tolerance`` of its score.

    It goes over the statements from the last to the first, and again until none can be removed: each time the whole
    program is scored, so that what was removed before counts. Removing a statement may let another variable of that name
    through, as ``update = update + wd`` does.
    """
    maker: Programs = context.create("search_space", space)
    scorer: Proxy = context.create("search_space", proxy)

    def score(program: Program) -> float:
        return sign(scorer) * scorer.score(maker, print_program(program), context.seed)

    signature = maker.signature
    program = simplify(maker.read(candidate), signature)
    least = score(program) - tolerance
    removed = True
    while removed:
        removed = False
        for at in range(len(program.statements) - 1, -1, -1):
            statements = (*program.statements[:at], *program.statements[at + 1 :])
            smaller = Program(statements, program.returns)
            if is_valid(smaller, signature) and score(smaller) >= least:
                program, removed = simplify(smaller, signature), True
                break
    return print_program(program)
