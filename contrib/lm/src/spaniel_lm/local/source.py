"""What a local model is, read from its files; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaniel import UsageError
from spaniel_neural.files import read_config, transformer_digest
from spaniel_neural.locating import download_model, find_model

from spaniel_lm.config import LocalConfig
from spaniel_lm.local.gguf import FOLDER, find_gguf, gguf_need
from spaniel_lm.protocol import Capability

if TYPE_CHECKING:
    from spaniel import Context

_WRITES: frozenset[Capability] = frozenset({"generate", "sample", "beams", "processors"})
_READS: frozenset[Capability] = frozenset({"logprobs", "next-logits", "hidden-states", "tokens"})
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


class Source:
    """Where a model's files are, and what they say."""

    def __init__(self, config: LocalConfig, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def folder(self) -> Path:
        """The model's folder: fetched from the hub, or made of a GGUF file, where there is none yet."""
        gguf = find_gguf(self.config.model, self.config.revision)
        if gguf is not None:
            return self.context.obtain(gguf_need(self.context, gguf)).path / FOLDER
        return download_model(self.config.model, self.config.revision, self.context.offline)

    @cached_property
    def task(self) -> str:
        """``causal-lm``, ``masked-lm`` or ``seq2seq``.

        Raises:
            UsageError: neither the options nor the configuration say.
        """
        if self.config.task != "auto":
            return self.config.task
        config = read_config(self.folder)
        names = " ".join(map(str, config.get("architectures") or ()))
        if config.get("is_encoder_decoder") or "ConditionalGeneration" in names:
            return "seq2seq"
        if "MaskedLM" in names or "ForPreTraining" in names:
            return "masked-lm"
        if "CausalLM" in names or "LMHead" in names:
            return "causal-lm"
        said = names or "no architecture"
        raise UsageError(f"{self.folder} does not say what it is ({said}): give task=causal-lm, masked-lm or seq2seq")

    @cached_property
    def capabilities(self) -> frozenset[Capability]:
        """What the kind of model allows, and chats where its tokenizer has a template."""
        said = self.folder / "tokenizer_config.json"
        text = said.read_text(encoding="utf-8") if said.is_file() else ""
        can = set(_READS | (_WRITES if self.task != "masked-lm" else set()))
        can |= {"prefix"} if self.task == "causal-lm" else set()
        if "chat_template" in text or any((self.folder / name).is_file() for name in _TEMPLATES):
            can.add("chat")
        return frozenset(can)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of the weights and what else decides the answers; fetches nothing."""
        gguf = find_gguf(self.config.model, self.config.revision)
        if gguf is not None:
            known = self.context.store.digest_of(gguf)
        else:
            folder = find_model(self.config.model, self.config.revision)
            missing = f"{self.config.model}@{self.config.revision or 'main'}"
            known = missing if folder is None else transformer_digest(folder, self.context.store)
        return {"model": known, "task": self.config.task, "dtype": self.config.dtype, "window": self.config.window}
