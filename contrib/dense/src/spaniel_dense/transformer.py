"""A transformer with pooling, run in batches of texts of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from spaniel import UsageError

from spaniel_dense.config import SentenceEncoderConfig
from spaniel_dense.layout import Layout
from spaniel_dense.pooling import pool

if TYPE_CHECKING:
    from spaniel import Context

TOKENS = {"cpu": 1024}
"""Tokens in a batch, by type of device: on a CPU what fits its caches, measured; elsewhere :data:`MANY_TOKENS`."""
MANY_TOKENS = 65_536
_UNBOUNDED = 10**6


class PooledTransformer:
    """Runs a model whose vectors are pooled from a transformer's last layer.

    Raises:
        UsageError: the folder's model cannot be loaded, or an option does not suit it.
    """

    def __init__(self, layout: Layout, config: SentenceEncoderConfig, context: Context) -> None:
        self.context = context
        self.device = choose_device(context.device)
        self.pooling = layout.pooling if config.pooling == "auto" else config.pooling
        self.lowercase = layout.lowercase
        self.autocast = config.dtype if self.device.type == "cpu" and config.dtype not in ("auto", "float32") else ""
        self.tokenizer, self.model = _load(layout, "float32" if self.device.type == "cpu" else config.dtype)
        self.model.to(self.device)
        self.max_length = self._max_length(layout, config)

    @property
    def dimensions(self) -> int:
        """Number of dimensions of a vector."""
        return int(self.model.config.get_text_config().hidden_size)

    def embed(self, texts: Sequence[str], prompt: str, role: str) -> NDArray[np.float32]:
        """Return one vector a text, ``(texts, dimensions)``; a text without a single token gets zeros."""
        flat, lengths = self._tokens([prompt + text for text in texts])
        made = np.zeros((len(texts), self.dimensions), np.float32)
        offsets = np.cumsum(lengths) - lengths
        batches = list(batch_by_length(lengths, TOKENS.get(self.device.type, MANY_TOKENS), self.context.batch_size))
        with torch.inference_mode(), self._arithmetic():
            vectors = [self._forward(flat, offsets[part], lengths[part]) for part in batches]
        if vectors:
            made[np.concatenate(batches)] = torch.cat(vectors).cpu().numpy()
        self.context.count("model calls", len(batches))
        self.context.count("tokens", len(flat))
        return made

    def _tokens(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not texts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if self.lowercase:
            texts = [text.lower() for text in texts]
        ids: list[list[int]] = self.tokenizer(
            texts,
            truncation=self.max_length is not None,
            max_length=self.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return np.fromiter(chain.from_iterable(ids), np.int64, int(lengths.sum())), lengths

    def _forward(self, flat: NDArray[np.int64], offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> torch.Tensor:
        columns = np.arange(lengths[0])
        mask = columns < lengths[:, None]
        ids = np.where(mask, flat[np.where(mask, offsets[:, None] + columns, 0)], self.tokenizer.pad_token_id or 0)
        # Without padding there is nothing to mask, and attention takes its fastest path.
        masked = None if mask.all() else torch.from_numpy(mask.astype(np.int64)).to(self.device)
        output = self.model(input_ids=torch.from_numpy(ids).to(self.device), attention_mask=masked)
        counts = torch.from_numpy(lengths).to(self.device)
        return pool(output.last_hidden_state.float(), counts, self.pooling)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", getattr(torch, self.autocast)) if self.autocast else nullcontext()

    def _max_length(self, layout: Layout, config: SentenceEncoderConfig) -> int | None:
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or _UNBOUNDED
        if config.max_length is not None and config.max_length > positions:
            raise UsageError(f"max_length={config.max_length}: {config.model} reads {positions} tokens at most")
        length = config.max_length or layout.max_length or min(self.tokenizer.model_max_length, positions)
        return int(length) if length < _UNBOUNDED else None


def batch_by_length(lengths: NDArray[np.int64], tokens: int, texts: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Yield positions of texts, the longest first, so that a batch holds ``tokens`` at most, padding included.

    A text that is longer than that is a batch of its own; texts of length 0 are left out; ``texts`` bounds a batch too.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[: int((lengths > 0).sum())]
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        end = start + min(size, texts or size)
        yield order[start:end]
        start = end


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


def _load(layout: Layout, dtype: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    where = str(layout.transformer)
    try:
        with _quietly():
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=True)
            model, report = AutoModel.from_pretrained(
                where,
                dtype=dtype if dtype == "auto" else getattr(torch, dtype),
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"the model in {where} cannot be loaded: {reason}") from error
    # A pooler on top of the last layer is not used, and many checkpoints come without one.
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise UsageError(f"the weights in {where} lack {len(missing)} that the model needs, the first {missing[0]}")
    return tokenizer, model.eval()


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the loader's progress bar and its report away: what is wrong is raised."""
    from transformers.utils import logging as _logging

    logging: Any = _logging  # its functions have no types
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
