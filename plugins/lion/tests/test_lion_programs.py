"""Programs: typing, hashes, simplification, mutations, and the discovered one, which is Lion."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from spaniel import UsageError
from spaniel_lion.lion import Lion
from spaniel_lion.program_optimizer import ProgramOptimizer
from spaniel_lion.programs.arithmetic import work_of
from spaniel_lion.programs.forms import canonical, live_states, program_hash, simplify
from spaniel_lion.programs.functions import FUNCTIONS, UNARY, rank_of
from spaniel_lion.programs.mutation import Mutations, crossed
from spaniel_lion.programs.program import Program
from spaniel_lion.programs.published import PUBLISHED, core_of_the_discovery, read_program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import OPTIMIZER, Rank
from spaniel_lion.programs.text import parse_program, print_program
from spaniel_lion.programs.types import check_types, is_valid
from torch import nn

SHAPES = ((4, 3), (5,), (2, 2, 2))
ALL = Mutations(OPTIMIZER, tuple(FUNCTIONS))


def parse(text: str) -> Program:
    return parse_program(text, OPTIMIZER)


def trees(seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    made = {n: [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES] for n in "wgmv"}
    return {**made, "lr": 0.3}


@cache
def mutants(count: int, seed: int) -> list[Program]:
    """Return a walk of mutations from AdamW."""
    rng, program = np.random.default_rng(seed), read_program("adamw", OPTIMIZER)
    made = []
    for _ in range(count):
        program, _ = ALL.mutate(program, rng, (1, 1, 1))
        made.append(program)
    return made


def value(rank: Rank, seed: int) -> Any:
    return {
        Rank.SCALAR: 0.3 + seed,
        Rank.LEAVES: [torch.tensor(float(n + seed + 1), dtype=torch.float64) for n in range(3)],
        Rank.TREE: trees(seed)["w"],
    }[rank]


def rank_in(made: Any) -> Rank:
    if not isinstance(made, list | tuple):
        return Rank.SCALAR
    return Rank.TREE if made[0].ndim else Rank.LEAVES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ranks_are_those_of_what_runs(name: str) -> None:
    """Typing by abstract execution against execution itself, over all combinations of ranks."""
    arity = FUNCTIONS[name].arity
    for code in range(3**arity):
        ranks = tuple(Rank(code // 3**place % 3) for place in range(arity))
        wanted = rank_of(name, ranks)
        if wanted is None:
            continue
        with np.errstate(all="ignore"):
            made = work_of(name, ranks)(*[value(rank, seed) for seed, rank in enumerate(ranks)])
        assert rank_in(made) == wanted, ranks
        if wanted == Rank.TREE:
            assert [tuple(leaf.shape) for leaf in made] == list(SHAPES)
    assert rank_of(name, (Rank.TREE,) * (arity + 1)) is None


@pytest.mark.parametrize("name", [*UNARY, "+", "-", "*", "/", "max", "min", "power", "interp", "clip"])
def test_numbers_and_tensors_give_the_same(name: str) -> None:
    arity, ours = FUNCTIONS[name].arity, []
    rng = np.random.default_rng(1)
    for _ in range(20):
        numbers = (rng.standard_normal(arity) * 0.9).tolist()
        if name in ("arccosh", "power"):
            numbers[0] = abs(numbers[0]) + 1
        tensors: list[Any] = [[torch.tensor([n], dtype=torch.float64)] for n in numbers]
        ranks = [Rank.TREE] * arity
        if name in ("interp", "clip"):  # their last argument is a number always
            tensors[-1], ranks[-1] = numbers[-1], Rank.SCALAR
        with np.errstate(all="ignore"):
            one = float(work_of(name, [Rank.SCALAR] * arity)(*numbers))
        ours.append((one, float(work_of(name, ranks)(*tensors)[0])))
    assert all(a == pytest.approx(b, rel=1e-9, nan_ok=True) for a, b in ours)
    assert any(math.isfinite(a) for a, _ in ours)


def test_functions_guard_what_the_reference_guards() -> None:
    x = [torch.tensor([-4.0])]
    assert work_of("sqrt", [Rank.TREE])(x)[0].item() == 2
    assert work_of("log2", [Rank.TREE])(x)[0].item() == 2
    assert work_of("log1p", [Rank.TREE])(x)[0].item() == pytest.approx(math.log(3))
    zero = [torch.zeros(1)]
    assert work_of("/", [Rank.TREE, Rank.TREE])([torch.ones(1)], zero)[0].item() == pytest.approx(1e8)
    tree = trees()["g"]
    flat = torch.cat([leaf.flatten() for leaf in tree])
    assert work_of("global_norm", [Rank.TREE])(tree) == pytest.approx(float(flat.norm()))
    assert work_of("dot", [Rank.TREE, Rank.TREE])(tree, tree) == pytest.approx(float(flat @ flat))
    assert work_of("cosine_sim", [Rank.TREE, Rank.TREE])(tree, tree) == pytest.approx(1.0)
    cut = work_of("clip_by_global_norm", [Rank.TREE, Rank.SCALAR])(tree, 0.5)
    assert torch.cat([leaf.flatten() for leaf in cut]).norm().item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_programs_are_read_and_printed(name: str) -> None:
    program = read_program(name, OPTIMIZER)
    check_types(program, OPTIMIZER)
    assert parse(print_program(program)) == program
    head = f"def train(w, g, m, v, lr):\n{print_program(program)}".replace("\n", "\n  ")
    assert parse(head) == program


def test_nested_expressions_are_taken_apart() -> None:
    nested = parse("update = -(sign(interp(g, m, 0.9)) + 2 * w) * lr\nm = interp(g, m, -0.5)")
    flat = parse(
        "a = interp(g, m, 0.9)\nb = sign(a)\nc = 2.0 * w\nd = b + c\ne = negative(d)\nupdate = e * lr\n"
        "m = interp(g, m, -0.5)"
    )
    assert canonical(nested, OPTIMIZER) == canonical(flat, OPTIMIZER)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("update = foo(g)", "unknown"),
        ("update = sqrt(g, w)", "sqrt takes 1"),
        ("import os", "no statement"),
        ("update = __import__('os').system('true')", "applies no function"),
        ("update = g if g else w", "applies no function"),
        ("update = [x for x in g]", "applies no function"),
        ("update = 1e40 * g", "no number"),
        ("update = 'a' * g", "no number"),
        ("update = ((", "no program"),
        ("", "no statements"),
        ("update = sign(q)", "nothing has assigned"),
        ("update = global_norm(g)", "returns a scalar"),
        ("update = clip(g, w)", "does not take tree, tree"),
        ("update = sign(g)\nm = norm(g)", "returns a leaves"),
        ("update = sign(g)\nreturn update", "returns 1 values"),
        ("update = sign(g)\nreturn update, 3, v", "no variable"),
        ("def train(w, g):\n  update = sign(g)", "instead of w, g, m, v, lr"),
    ],
)
def test_what_is_no_program_is_refused_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_types(parse(text), OPTIMIZER)


def test_hashes_are_of_what_programs_mean() -> None:
    def digest(text: str) -> str:
        return program_hash(parse(text), OPTIMIZER)

    base = "a = square(g)\nb = interp(g, m, 0.9)\nupdate = b - a"
    same = [
        "x = square(g)\ny = interp(g, m, 0.9)\nupdate = y - x",
        "b = interp(g, m, 0.9)\na = square(g)\nupdate = b - a",
        base.replace("update", "noise = cosh(w)\nc = a * 2.0\nupdate"),
        "a = square(g)\nupdate = cos(g)\nb = interp(g, m, 0.9)\nupdate = b - a",
    ]
    other = [base.replace("0.9", "0.90000001"), base.replace("b - a", "a - b"), base.replace("g, m", "m, g")]
    assert {digest(text) for text in same} == {digest(base)}
    assert len({digest(text) for text in [base, *other]}) == 4
    assert digest("update = g * w") == digest("update = w * g")
    assert digest("update = g * 0.0") != digest("update = g * -0.0")


def test_a_state_that_no_step_reads_is_redundant() -> None:
    discovered = read_program("discovered", OPTIMIZER)
    assert live_states(discovered, OPTIMIZER) == ("v",)
    assert "cosh" not in print_program(simplify(discovered, OPTIMIZER))
    assert len(simplify(discovered, OPTIMIZER).statements) == 11
    assert live_states(read_program("adamw", OPTIMIZER), OPTIMIZER) == ("m", "v")
    assert live_states(parse("update = sign(g)\nm = m + g"), OPTIMIZER) == ()
    chain = parse("update = sign(v)\nv = m + g\nm = square(g)")
    assert live_states(chain, OPTIMIZER) == ("m", "v")


def test_simplified_and_canonical_programs_do_the_same() -> None:
    inputs = trees(3)
    for program in mutants(1000, seed=1):
        simple, form = simplify(program, OPTIMIZER), canonical(program, OPTIMIZER)
        assert simplify(simple, OPTIMIZER) == simple
        assert canonical(form, OPTIMIZER) == form
        assert canonical(simple, OPTIMIZER) == form
        assert parse(print_program(program)) == program
        whole = Rule(program, OPTIMIZER)(inputs)
        for other in (simple, form):
            found = Rule(other, OPTIMIZER)(inputs)
            assert found.keys() == whole.keys()
            for name, leaves in whole.items():
                for a, b in zip(leaves, found[name], strict=True):
                    assert torch.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True)


def test_mutations_stay_valid_and_come_in_equal_shares() -> None:
    rng, program, sorts = np.random.default_rng(0), read_program("adamw", OPTIMIZER), Counter[Any]()
    inputs = trees()
    for step in range(2000):
        program, sort = ALL.mutate(program, rng, (1, 1, 1))
        sorts[sort] += 1
        assert is_valid(program, OPTIMIZER)
        if step % 10 == 0:
            found = Rule(program, OPTIMIZER)(inputs)
            assert [tuple(leaf.shape) for leaf in found["update"]] == list(SHAPES)
    assert all(abs(sorts[sort] - 2000 / 3) <= 3 * math.sqrt(2000 * 2 / 9) for sort in ("insert", "delete", "modify"))


def test_each_mutation_does_what_its_name_says() -> None:
    rng, parent = np.random.default_rng(5), read_program("adamw", OPTIMIZER)
    for _ in range(50):
        longer = ALL.insert(parent, rng)
        assert longer is not None
        extra = Counter(longer.statements) - Counter(parent.statements)
        assert (len(longer.statements), sum(extra.values())) == (10, 1)
        shorter = ALL.delete(parent, rng)
        assert shorter is not None
        assert not Counter(shorter.statements) - Counter(parent.statements)
        changed = ALL.modify(parent, rng)
        assert changed is not None
        differing = [(a, b) for a, b in zip(parent.statements, changed.statements, strict=True) if a != b]
        (before, after), *more = differing
        assert not more
        assert (before.target, before.function) == (after.target, after.function)
        assert sum(x != y for x, y in zip(before.arguments, after.arguments, strict=True)) == 1
    alone = parse("update = sign(g)")
    assert ALL.delete(alone, rng) is None
    assert ALL.mutate(alone, rng, (0, 1, 0)) == (alone, None)


def test_constants_change_by_powers_of_two() -> None:
    rng, parent = np.random.default_rng(2), parse("update = g * 0.5")
    drawn = []
    for _ in range(2000):
        found = ALL.tune(parent, rng)
        assert found is not None
        drawn.append(math.log2(float(found.statements[0].arguments[1]) / 0.5))
    assert np.mean(drawn) == pytest.approx(0, abs=0.1)
    assert np.std(drawn) == pytest.approx(1, abs=0.1)
    huge = parse("update = g * 9e9")
    assert max(float(ALL.tune(huge, rng).statements[0].arguments[1]) for _ in range(50)) == 1e10  # type: ignore[union-attr]
    assert ALL.tune(parse("update = sign(g)"), rng) is None


def test_samples_and_crossings_are_valid() -> None:
    rng = np.random.default_rng(4)
    made = [ALL.sample(8, rng) for _ in range(100)]
    assert all(is_valid(program, OPTIMIZER) for program in made)
    assert len({program_hash(program, OPTIMIZER) for program in made}) > 90
    found = [crossed(a, b, OPTIMIZER, rng) for a, b in zip(made[::2], made[1::2], strict=True)]
    assert all(program is None or is_valid(program, OPTIMIZER) for program in found)
    assert sum(program is not None for program in found) > 10


def train(make: Any, steps: int) -> list[torch.Tensor]:
    """Return the weights of a small regression in double precision after so many steps."""
    generator = torch.Generator().manual_seed(7)
    weights = [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in ((6, 4), (4,))]
    optimizer = make(weights)
    for _ in range(steps):
        x = torch.randn(32, 6, generator=generator, dtype=torch.float64)
        loss = (torch.tanh(x @ weights[0]) @ weights[1] - x.sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [w.detach() for w in weights]


def test_the_discovered_program_is_lion() -> None:
    """m / √(m · m) is the sign, and two averages with 0.9 and 1.1 are one with 0.99 (section 3.1)."""
    program = parse(core_of_the_discovery())
    found = train(lambda w: ProgramOptimizer(w, program, lr=1e-2), 100)
    exact = train(lambda w: ProgramOptimizer(w, parse(core_of_the_discovery(guarded=False)), lr=1e-2), 100)
    lion = train(lambda w: Lion(w, lr=1e-2), 100)
    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(exact, lion, strict=True))
    other = train(lambda w: Lion(w, lr=1e-2, betas=(0.9, 0.98)), 100)
    for a, b, c in zip(found, lion, other, strict=True):
        # What is left is the 1e-8 that divisions add to the denominator.
        assert (a - b).abs().max() <= 1e-6 * b.abs().max()
        assert (a - c).abs().max() > 1e-3 * c.abs().max()
    assert live_states(program, OPTIMIZER) == ("v",)
    published = train(lambda w: ProgramOptimizer(w, read_program("lion", OPTIMIZER), lr=10.0), 100)
    decayed = train(lambda w: Lion(w, lr=1e-3, weight_decay=1.0), 100)
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(published, decayed, strict=True))


def test_the_momentum_of_the_discovery_has_the_printed_constants() -> None:
    program = parse(core_of_the_discovery(0.899, 1.109))
    tree = trees()
    found = Rule(program, OPTIMIZER)(tree)["v"]
    for made, g, v in zip(found, tree["g"], tree["v"], strict=True):
        assert torch.allclose(made, 0.003009 * g + 0.996991 * v, atol=1e-12)


def test_adamw_as_a_program_is_adamw_without_its_corrections() -> None:
    program = parse(PUBLISHED["adamw"])
    weights = train(lambda w: ProgramOptimizer(w, program), 20)

    class Plain(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            with torch.no_grad():
                for p in self.param_groups[0]["params"]:
                    state = self.state[p]
                    m = 0.1 * p.grad + 0.9 * state.get("m", torch.zeros_like(p))
                    v = 0.001 * p.grad.square() + 0.999 * state.get("v", torch.zeros_like(p))
                    state["m"], state["v"] = m, v
                    p.sub_(0.001 * (m / (v.sqrt() + 1e-8) + 0.01 * p))

    plain = train(lambda w: Plain(w, {}), 20)
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(weights, plain, strict=True))


def test_an_optimizer_keeps_the_states_that_its_program_reads() -> None:
    weight = nn.Parameter(torch.ones(10))
    for text, states in (("discovered", {"v"}), ("adamw", {"m", "v"}), ("update = sign(g)", set())):
        optimizer = ProgramOptimizer([weight], read_program(text, OPTIMIZER))
        weight.grad = torch.ones(10)
        optimizer.step()
        assert set(optimizer.state[weight]) == states
    # A state may be the gradient itself, which the next backward pass overwrites.
    optimizer = ProgramOptimizer([weight], parse("update = sign(m)\nreturn update, g, v"))
    weight.grad = torch.full((10,), 2.0)
    optimizer.step()
    weight.grad.zero_()
    assert optimizer.state[weight]["m"].tolist() == [2.0] * 10
    # Or each other.
    optimizer = ProgramOptimizer([weight], parse("a = m + v\nupdate = a * g\nreturn update, v, m"))
    optimizer.step()
    for name, value in (("m", 1.0), ("v", 2.0)):
        optimizer.state[weight][name].fill_(value)
    optimizer.step()
    assert [optimizer.state[weight][name][0].item() for name in "mv"] == [2.0, 1.0]


def test_norms_are_of_all_tensors_of_a_group() -> None:
    weights = [nn.Parameter(torch.zeros(70_000)), nn.Parameter(torch.zeros(4))]
    for weight, number in zip(weights, (0.5, 3.0), strict=True):
        weight.grad = torch.full_like(weight, number)
    ProgramOptimizer(weights, parse("n = global_norm(g)\nupdate = g / n")).step()
    norm = math.sqrt(70_000 * 0.25 + 36)
    assert weights[0][0].item() == pytest.approx(-0.5 / norm)
    assert weights[1][0].item() == pytest.approx(-3.0 / norm)


def test_hashes_of_many_programs_agree_with_what_they_compute() -> None:
    """Programs with one hash do the same, and such with other hashes seldom do."""
    by_hash: dict[str, list[Program]] = {}
    for program in mutants(400, seed=9):
        by_hash.setdefault(program_hash(program, OPTIMIZER), []).append(program)
    repeated = [programs for programs in by_hash.values() if len(programs) > 1]
    assert repeated
    inputs = trees(5)
    for programs in repeated:
        first, *others = (Rule(program, OPTIMIZER)(inputs)["update"] for program in programs)
        for other in others:
            assert all(torch.allclose(a, b, equal_nan=True) for a, b in zip(first, other, strict=True))
