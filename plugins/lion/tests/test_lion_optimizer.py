"""Lion beside reference libraries, and the theorems that its sign gives."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from spaniel import Context, UsageError
from spaniel.testing import contract
from spaniel_lion.lion import Lion
from spaniel_lion.optimizers import lion_from_adamw
from spaniel_lion.program_optimizer import ProgramOptimizer
from spaniel_lion.programs.published import PUBLISHED, read_program
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_train.optimizers import state_bytes
from spaniel_train.protocols import ParameterGroup
from torch import nn
from torch.nn import functional

test_lion = contract("optimizer/lion")
test_cautious_lion = contract("optimizer/cautious-lion")
test_program = contract("optimizer/program")

Make = Callable[[Any], torch.optim.Optimizer]
X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(64, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def network(dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)


def walk(make: Make, steps: int = 200, *, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Return all weights after each step, flat."""
    model = network(dtype)
    optimizer, seen = make(model.parameters()), []
    for step in range(steps):
        rows = torch.arange(step, step + 16) % 64
        loss = scale * functional.mse_loss(model(X[rows].to(dtype)), Y[rows].to(dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]).clone())
    return seen


def options(**more: Any) -> dict[str, Any]:
    return {"lr": 3e-3, "betas": (0.9, 0.99), "weight_decay": 0.1, **more}


@pytest.mark.parametrize("steps", ["single", "foreach"])
def test_the_trajectory_is_that_of_the_reference_libraries(steps: Any) -> None:
    lion_pytorch = pytest.importorskip("lion_pytorch", reason="lion-pytorch is not installed")
    ours = walk(lambda p: Lion(p, **options(steps=steps)), dtype=torch.float64)
    theirs = walk(lambda p: lion_pytorch.Lion(p, **options(decoupled_weight_decay=False)), dtype=torch.float64)
    assert (ours[-1] - theirs[-1]).abs().max() <= 1e-7
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer", reason="pytorch-optimizer is not installed")
    theirs = walk(lambda p: pytorch_optimizer.Lion(p, **options(weight_decouple=True)), dtype=torch.float64)
    assert (ours[-1] - theirs[-1]).abs().max() <= 1e-7


@pytest.mark.parametrize("caution", [0.0, 0.5])
def test_caution_is_that_of_the_reference_library(caution: float) -> None:
    reference = pytest.importorskip("lion_pytorch.cautious_lion", reason="lion-pytorch is not installed")
    ours = walk(lambda p: Lion(p, **options(caution=caution)), dtype=torch.float64)
    theirs = walk(lambda p: reference.Lion(p, **options(cautious_factor=caution)), dtype=torch.float64)
    assert (ours[-1] - theirs[-1]).abs().max() <= 1e-7
    assert (ours[-1] - walk(lambda p: Lion(p, **options()), dtype=torch.float64)[-1]).abs().max() > 1e-3


@pytest.mark.parametrize("more", [{}, {"caution": 0.0}, {"momentum_dtype": "bfloat16"}, {"independent_decay": True}])
def test_one_by_one_and_many_at_once_give_the_same_bits(more: dict[str, Any]) -> None:
    single, many = (walk(lambda p, s=s: Lion(p, **options(steps=s, **more))) for s in ("single", "foreach"))
    assert all(torch.equal(a, b) for a, b in zip(single, many, strict=True))


def test_pieces_for_the_cache_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from spaniel_lion import blocks

    program = read_program("discovered", OPTIMIZER)
    for make in (lambda p: Lion(p, **options()), lambda p: ProgramOptimizer(p, program)):
        whole = walk(make, 30)
        for size in (7, 40, 1 << 20):
            monkeypatch.setattr(blocks, "BLOCK", size)
            assert all(torch.equal(a, b) for a, b in zip(whole, walk(make, 30), strict=True))
    sides = [[torch.arange(n) for n in sizes] for sizes in [(3, 90, 2, 5, 50)] * 2]
    monkeypatch.setattr(blocks, "BLOCK", 40)
    parts = list(blocks.blocks(*sides))
    assert torch.equal(torch.cat([t for part in parts for t in part[1]]), torch.cat(sides[1]))
    assert max(sum(map(len, part[0])) for part in parts) <= 40


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.parametrize("momentum", ["parameter", "bfloat16"])
def test_compiled_steps_go_the_same_way(momentum: Any) -> None:
    # Rounding differs, and a sign that flips at a rounding moves a weight by two learning rates.
    ours = walk(lambda p: Lion(p, **options(steps="compiled", momentum_dtype=momentum)), 30)
    plain = walk(lambda p: Lion(p, **options(steps="single", momentum_dtype=momentum)), 30)
    assert torch.quantile((ours[-1] - plain[-1]).abs(), 0.95) <= 1e-5


def test_every_weight_moves_by_the_learning_rate_or_not_at_all() -> None:
    seen = walk(lambda p: Lion(p, lr=2.0**-9))
    for before, after in pairwise(seen):
        moved = ((after - before).abs() / 2.0**-9).round(decimals=4)
        assert set(moved.unique().tolist()) <= {0.0, 1.0}


def test_the_scale_of_the_loss_changes_no_bit() -> None:
    plain, scaled = (walk(lambda p: Lion(p, lr=1e-3), scale=scale)[-1] for scale in (1.0, 2.0**20))
    assert torch.equal(plain, scaled)
    plain, scaled = (walk(lambda p: torch.optim.SGD(p, lr=1e-3), scale=s, steps=5)[-1] for s in (1.0, 4.0))
    assert not torch.allclose(plain, scaled)


def test_one_average_is_the_sign_of_the_momentum() -> None:
    """With beta1 = beta2 it is the paper's ablation by one average."""

    class Ablation(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None:
            with torch.no_grad():
                for p in self.param_groups[0]["params"]:
                    state = self.state[p]
                    momentum = state.get("m", torch.zeros_like(p)).mul(0.9).add_(p.grad, alpha=1 - 0.9)
                    state["m"] = momentum
                    p.sub_(momentum.sign(), alpha=2e-3)

    ours = walk(lambda p: Lion(p, lr=2e-3, betas=(0.9, 0.9)))
    assert torch.equal(ours[-1], walk(lambda p: Ablation(p, {}))[-1])


def test_its_state_is_half_of_adamws_and_a_quarter_in_bfloat16() -> None:
    model = network()
    bytes_of = {}
    for name, made in {
        "lion": Lion(model.parameters()),
        "bfloat16": Lion(model.parameters(), momentum_dtype="bfloat16"),
        "adamw": torch.optim.AdamW(model.parameters()),
    }.items():
        functional.mse_loss(model(X.float()), Y.float()).backward()
        made.step()
        bytes_of[name] = state_bytes(made)
    weights = sum(p.numel() * 4 for p in model.parameters())
    steps = 4 * len(list(model.parameters()))
    assert bytes_of == {"lion": weights, "bfloat16": weights // 2, "adamw": 2 * weights + steps}


@pytest.mark.parametrize("momentum", ["parameter", "bfloat16"])
def test_it_goes_on_from_its_state(momentum: Any) -> None:
    model = network()
    first = Lion(model.parameters(), lr=1e-2, momentum_dtype=momentum)

    def step(of: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        functional.mse_loss(of(X.float()), Y.float()).backward()
        optimizer.step()

    for _ in range(5):
        step(model, first)
    other = copy.deepcopy(model)
    second = Lion(other.parameters(), lr=1e-2, momentum_dtype=momentum)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    dtypes = {state["momentum"].dtype for state in second.state.values()}
    assert dtypes == {torch.bfloat16 if momentum == "bfloat16" else torch.float32}
    for _ in range(5):
        step(model, first)
        step(other, second)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


EVERY: dict[str, Any] = {
    "lr": 1e-2,
    "betas": (0.8, 0.95),
    "weight_decay": 0.2,
    "caution": 0.25,
    "independent_decay": True,
    "momentum_dtype": "float32",
    "steps": "single",
    "skip_empty_rows": True,
    "skip_nonfinite": True,
    "maximize": True,
}
"""Another value of every option than its default."""


def _make_lion(parameters: Any) -> torch.optim.Optimizer:
    first, *rest = parameters
    groups = [{"params": [first], "betas": (0.5, 0.6), "momentum_dtype": "bfloat16"}, {"params": rest}]
    return Lion(groups, **EVERY)


def _make_program(parameters: Any) -> torch.optim.Optimizer:
    first, *rest = parameters
    lion = read_program("lion", OPTIMIZER)
    return ProgramOptimizer([{"params": [first], "program": lion}, {"params": rest}], PUBLISHED["adamw"], lr=2.0)


def _loaded(optimizer: Any, parameters: Any, make: Make, through: Callable[[Any], Any]) -> torch.optim.Optimizer:
    made = make(parameters)
    made.load_state_dict(through(optimizer.state_dict()))
    return made


def _through_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [_make_lion, _make_program])
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state", "file"])
def test_copies_go_on_bit_for_bit(how: str, make: Make, dtype: torch.dtype) -> None:
    """Options, those of each group too, and the bits of momenta that are finer than the weights."""
    model = network(dtype)
    first = make(model.parameters())

    def step(of: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        functional.mse_loss(of(X.to(dtype)), Y.to(dtype)).backward()
        optimizer.step()

    for _ in range(3):
        step(model, first)
    pair: Any = (model, first)
    if how == "deepcopy":
        other, second = copy.deepcopy(pair)
    elif how == "pickle":
        other, second = pickle.loads(pickle.dumps(pair))  # noqa: S301 - what was written in the line itself
    else:
        other = copy.deepcopy(model)
        second = _loaded(first, other.parameters(), make, _through_file if how == "file" else lambda state: state)
    others = {"params", "differentiable"}  # torch adds the second to what it unpickles
    sides = [[o.defaults, *o.param_groups] for o in (first, second)]
    for one, two in zip(*sides, strict=True):
        assert {k: v for k, v in one.items() if k not in others} == {k: v for k, v in two.items() if k not in others}
    held: list[Any] = [list(optimizer.state.values()) for optimizer in (first, second)]
    for one, two in zip(*held, strict=True):
        assert all(one[n].dtype == two[n].dtype and torch.equal(one[n], two[n]) for n in one)
        assert all(one[n].data_ptr() != two[n].data_ptr() for n in one), "two optimizers write to one state"
    for _ in range(3):
        step(model, first)
        step(other, second)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_momenta_in_float32_are_finer_than_weights_in_bfloat16() -> None:
    weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    first = Lion([weight], momentum_dtype="float32")
    weight.grad = torch.full_like(weight, 0.3)
    for _ in range(3):
        first.step()
    kept = first.state[weight]["momentum"]
    assert kept.dtype == torch.float32
    assert not torch.equal(kept, kept.bfloat16().float())
    second = Lion([weight], momentum_dtype="float32")
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.state[weight]["momentum"], kept)


@pytest.mark.parametrize("option", sorted(EVERY))
def test_a_group_has_every_option_for_itself(option: str) -> None:
    """Two groups step as two optimizers would, whichever option is one's own; so does a group that is added later."""

    def made(later: bool) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        one, two = (nn.Parameter(torch.randn(4, 3, generator=generator).bfloat16()) for _ in range(2))
        groups: list[dict[str, Any]] = [{"params": [one]}, {"params": [two], option: EVERY[option]}]
        optimizer = Lion(groups[:1] if later else groups, lr=3e-3, weight_decay=0.1)
        if later:
            optimizer.add_param_group(groups[1])
        alone = [copy.deepcopy(one), copy.deepcopy(two)]
        base = {"lr": 3e-3, "weight_decay": 0.1}
        each = [Lion([alone[0]], **base), Lion([alone[1]], **{**base, option: EVERY[option]})]
        for _ in range(4):
            for weight, twin in zip((one, two), alone, strict=True):
                weight.grad = torch.randn(4, 3, generator=generator).bfloat16()
                weight.grad[1] = 0
                twin.grad = weight.grad.clone()
            for stepping in (optimizer, *each):
                stepping.step()
        assert all(torch.equal(a, b) for a, b in zip((one, two), alone, strict=True))
        return [one.detach(), two.detach()]

    assert all(torch.equal(a, b) for a, b in zip(made(False), made(True), strict=True))


def test_groups_and_states_that_do_not_fit_change_nothing() -> None:
    weight, other = (nn.Parameter(torch.ones(2)) for _ in range(2))
    lion, program = Lion([weight]), ProgramOptimizer([weight], PUBLISHED["lion"])
    for wrong in ({"betas": (0.9, 2.0)}, {"lr": -1.0}, {"steps": "compiled", "caution": 0.5}, {"betas": (0.9,)}):
        with pytest.raises(UsageError, match="must be"):
            lion.add_param_group({"params": [other], **wrong})
    with pytest.raises(UsageError, match="reads `z`"):
        program.add_param_group({"params": [other], "program": "update = sign(z)"})
    assert [len(lion.param_groups), len(program.param_groups)] == [1, 1]
    adamw = torch.optim.AdamW([weight])
    weight.grad = torch.ones(2)
    adamw.step()
    with pytest.raises(UsageError, match="no state of Lion's"):
        lion.load_state_dict(adamw.state_dict())
    assert not lion.state
    older = lion.state_dict()
    for name in ("caution", "steps", "maximize", "peak"):
        older["param_groups"][0].pop(name)
    lion.load_state_dict(older)
    lion.step()
    assert lion.param_groups[0]["caution"] == 1.0


@pytest.mark.parametrize("steps", ["single", "foreach"])
def test_tensors_that_are_not_contiguous_and_some_without_gradients(steps: Any) -> None:
    """In pieces for the cache, too: what has another order in memory steps to the same numbers."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(300, 400, generator=generator) for _ in range(2)]
    plain = [nn.Parameter(value.clone()) for value in values]
    odd = [nn.Parameter(value.T.contiguous().T) for value in values]
    idle = nn.Parameter(torch.ones(3))
    assert not odd[0].is_contiguous()
    for make in (lambda p: Lion(p, lr=1e-2, steps=steps), lambda p: ProgramOptimizer(p, PUBLISHED["lion"])):
        optimizers = [make([*plain, idle]), make([*odd, idle])]
        for _ in range(3):
            for one, two in zip(plain, odd, strict=True):
                one.grad = torch.randn(300, 400, generator=generator)
                two.grad = one.grad.T.contiguous().T if one is plain[0] else one.grad.clone()
            for optimizer in optimizers:
                optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(plain, odd, strict=True))
        assert torch.equal(idle.detach(), torch.ones(3))
        assert idle not in optimizers[0].state


def test_steps_that_cannot_be_compiled_go_by_foreach(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stepped before the limit of torch's compiler stays, the rest of the step and all others go on."""
    from spaniel_lion import lion
    from torch._dynamo.exc import FailOnRecompileLimitHit

    calls: list[int] = []

    def update(weight: Any, gradient: Any, momentum: Any, numbers: Any) -> None:
        calls.append(len(weight))
        if len(calls) > 2:
            raise FailOnRecompileLimitHit("too many sorts of tensors")
        rate, decay, *betas = numbers.tolist()
        lion._step_single(weight, gradient, momentum, rate, decay, (betas[0], betas[2]), 1.0)

    plain = walk(lambda p: Lion(p, **options()), 5, dtype=torch.float64)
    monkeypatch.setattr(lion, "_compiled", lambda: update)
    with pytest.warns(UserWarning, match="too many sorts of tensors.*steps=foreach"):
        found = walk(lambda p: Lion(p, **options(steps="compiled")), 5, dtype=torch.float64)
    assert calls == [128, 16, 48]
    assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_compiled_steps_of_more_shapes_and_sorts_than_torch_compiles_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    shapes = [(n,) for n in range(12)] + [(n, 3) for n in range(1, 12)] + [()]
    dtypes = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
    weights = [nn.Parameter(torch.ones(shape, dtype=dtype)) for dtype in dtypes for shape in shapes]
    optimizer = Lion(weights, lr=0.25, steps="compiled")
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    with pytest.warns(UserWarning, match="steps=foreach"):
        optimizer.step()
    optimizer.step()
    assert all(bool((weight == 0.5).all()) for weight in weights)


def test_independent_decay_does_not_depend_on_the_peak() -> None:
    for peak in (1e-3, 1e-1):
        weight = nn.Parameter(torch.ones(3))
        optimizer = Lion([weight], lr=peak, weight_decay=0.25, independent_decay=True)
        weight.grad = torch.zeros(3)
        optimizer.step()
        assert torch.equal(weight.detach(), torch.full((3,), 0.75))
        optimizer.param_groups[0]["lr"] = peak / 2
        optimizer.step()
        assert torch.allclose(weight.detach(), torch.full((3,), 0.75 * 0.875))


def test_rows_without_a_gradient_can_stay() -> None:
    rows = {}
    for skip in (False, True):
        table = nn.Embedding(5, 4)
        with torch.no_grad():
            table.weight.fill_(1.0)
        optimizer = Lion(table.parameters(), lr=0.1, skip_empty_rows=skip)
        for used in ([0, 1], [1, 2]):
            optimizer.zero_grad()
            table(torch.tensor(used)).sum().backward()
            optimizer.step()
        rows[skip] = table.weight[:, 0].tolist()
    assert rows[False] == pytest.approx([0.8, 0.8, 0.9, 1.0, 1.0])
    assert rows[True] == pytest.approx([0.9, 0.8, 0.9, 1.0, 1.0])


def test_a_step_that_is_not_finite_is_left_out_where_it_is_told() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = Lion([weight], lr=0.5, skip_nonfinite=True)
    weight.grad = torch.tensor([float("nan"), 1.0])
    optimizer.step()
    assert (weight.tolist(), optimizer.skipped) == ([1.0, 1.0], 1)
    weight.grad = torch.ones(2)
    optimizer.step()
    assert weight.tolist() == [0.5, 0.5]
    climbing = Lion([weight], lr=0.5, maximize=True)
    climbing.step()
    assert weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": -1.0},
        {"betas": (0.9, 1.0)},
        {"caution": 2.0},
        {"steps": "fast"},
        {"momentum_dtype": "int8"},
        {"weight_decay": -1.0},
        {"steps": "compiled", "caution": 0.0},
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        Lion([nn.Parameter(torch.ones(1))], **wrong)


def test_sparse_and_complex_parameters_are_refused() -> None:
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    weight = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    weight.grad = torch.ones_like(weight)
    before = nn.Parameter(torch.ones(2))
    before.grad = torch.ones(2)
    for make in (Lion, lambda groups: ProgramOptimizer(groups, PUBLISHED["lion"])):
        with pytest.raises(UsageError, match="sparse"):
            make([{"params": [before]}, {"params": list(table.parameters())}]).step()
        with pytest.raises(UsageError, match="complex"):
            make([{"params": [before]}, {"params": [weight]}]).step()
    assert before.tolist() == [1.0, 1.0]


def test_the_component_keeps_rates_and_decays_of_groups(tmp_path: Path) -> None:
    context = Context(tmp_path)
    one, two = (nn.Parameter(torch.ones(2)) for _ in range(2))
    groups = [ParameterGroup("one", {"a": one}, rate=0.5, decay=0.0), ParameterGroup("two", {"b": two})]
    made = context.create("optimizer", "lion(learning_rate=1e-3, weight_decay=0.01, adamw_ratio=5)").make(groups)
    assert [g["lr"] for g in made.param_groups] == pytest.approx([1e-4, 2e-4])
    assert [g["weight_decay"] for g in made.param_groups] == pytest.approx([0.0, 0.05])
    assert context.create("optimizer", "cautious-lion").make(groups).param_groups[1]["caution"] == 0.0
    with pytest.warns(UserWarning, match="3 to 10 times lower"):
        context.create("optimizer", "lion(learning_rate=0.01)").make(groups)
    with pytest.raises(UsageError, match="compiled steps are plain"):
        context.create("optimizer", "cautious-lion(steps=compiled)")
    rate, decay = lion_from_adamw(1e-3, 0.01, 10)
    assert (rate, decay) == pytest.approx((1e-4, 0.1))
    with pytest.raises(UsageError, match="1 or more"):
        lion_from_adamw(1e-3, 0.01, 0.5)
