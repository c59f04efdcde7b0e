"""The optimizers as components of recipes, and how AdamW's settings become Lion's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from spaniel import Context, UsageError
from spaniel_train.optimizers import torch_groups
from spaniel_train.protocols import ParameterGroup

from spaniel_lion.config import LionConfig, ProgramOptimizerConfig
from spaniel_lion.lion import Lion
from spaniel_lion.program_optimizer import ProgramOptimizer
from spaniel_lion.programs.published import read_program
from spaniel_lion.programs.signature import OPTIMIZER
from spaniel_lion.programs.types import check_types

_HIGH = 1e-3
"""A learning rate above which Lion is warned of: the paper's highest is 3e-4, of vision models with batches of 4096."""


class LionMaker:
    """Lion over groups of parameters."""

    def __init__(self, config: LionConfig, context: Context) -> None:
        self.config = config

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer; a learning rate that looks like AdamW's is warned of."""
        config = self.config
        rate, decay = lion_from_adamw(config.learning_rate, config.weight_decay, config.adamw_ratio)
        if rate > _HIGH:
            warnings.warn(
                f"lion moves every weight by the learning rate, and {rate:g} is high: it is 3 to 10 times lower than "
                "AdamW's (give adamw_ratio to start from AdamW's)",
                stacklevel=2,
            )
        return Lion(
            torch_groups(groups, rate, decay),
            lr=rate,
            betas=(config.beta1, config.beta2),
            weight_decay=decay,
            caution=config.caution,
            independent_decay=config.independent_decay,
            momentum_dtype=config.momentum_dtype,
            steps=config.steps,
            skip_empty_rows=config.skip_empty_rows,
            skip_nonfinite=config.skip_nonfinite,
        )


class ProgramMaker:
    """A program over groups of parameters. A program decays as it says: weight decay of groups is passed over."""

    def __init__(self, config: ProgramOptimizerConfig, context: Context) -> None:
        self.config = config

    def make(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return the optimizer.

        Raises:
            UsageError: the program is none of an optimizer.
        """
        program = read_program(self.config.program, OPTIMIZER)
        check_types(program, OPTIMIZER)
        return ProgramOptimizer(torch_groups(groups, self.config.learning_rate, 0.0), program)


def lion_from_adamw(learning_rate: float, weight_decay: float, ratio: float = 3.0) -> tuple[float, float]:
    """Return Lion's learning rate and weight decay for AdamW's: lower and higher by the ratio, so that their product,
    the decay of a step, stays (section 5: 3 to 10).

    Raises:
        UsageError: the ratio is below 1.
    """
    if ratio < 1:
        raise UsageError(f"the ratio of AdamW's learning rate to Lion's is {ratio:g}; it must be 1 or more")
    return learning_rate / ratio, weight_decay * ratio
