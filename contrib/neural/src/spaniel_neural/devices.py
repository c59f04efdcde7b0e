"""Where models run, and in which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from spaniel import UsageError

Dtype = Literal["auto", "float32", "float16", "bfloat16"]


def choose_device(name: str) -> torch.device:
    """Return the device that a session asks for; ``"auto"`` takes an accelerator where there is one.

    Raises:
        UsageError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"the device {name!r} cannot be used ({reason}); there are auto, cpu, cuda, mps") from error
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; others give the same vectors to rounding, more slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Releases of torch before 2.6 cannot say, and are taken to have none.
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def weights_dtype(device: torch.device, dtype: Dtype) -> torch.dtype | Literal["auto"]:
    """Return the precision in which weights are held: float32 on a CPU, whose halves are a matter of :func:`autocast`."""
    if device.type == "cpu":
        return torch.float32
    return "auto" if dtype == "auto" else getattr(torch, dtype)


def autocast(device: torch.device, dtype: Dtype) -> AbstractContextManager[Any]:
    """Return the context in which a model runs: on a CPU, half precision is autocast, which sums in float32."""
    if device.type == "cpu" and dtype in ("float16", "bfloat16"):
        return torch.autocast("cpu", getattr(torch, dtype))
    return nullcontext()
