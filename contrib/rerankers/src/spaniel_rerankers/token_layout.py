"""What the folder of a token-level encoder says about itself, read without loading the model.

The layouts are those of transformers, of sentence-transformers' ``SentenceTransformer`` (whose token vectors are taken
before they are pooled) and of its ``MultiVectorEncoder``. Those of PyLate and of Stanford's ColBERT are run by
sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from spaniel import UsageError
from spaniel.store import Store
from spaniel_neural.files import read_config, read_json, transformer_digest, weights
from spaniel_neural.modular import choose_prompt, folder_digest, modules_of, said_of, settings_of

_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
_STANFORD = "artifact.metadata"
_PYLATE = ("query_prefix", "document_prefix", "skiplist_words", "do_query_expansion", "query_length")
_TOKENS = "token_embeddings"


class Expansion(NamedTuple):
    """How queries are filled up with a token, as in ColBERT.

    Attributes:
        length: tokens of a query at the least.
        cuts: whether longer queries are cut there.
        attends: whether the other tokens see those that fill up.
        token: with what; ``None`` for the tokenizer's mask.
    """

    length: int
    cuts: bool = True
    attends: bool = False
    token: str | None = None


@dataclass(frozen=True)
class TokenLayout:
    """The folder of a token-level encoder.

    Attributes:
        folder: the whole folder.
        transformer: where the transformer is.
        projections: folders of linear layers that follow it.
        normalizes: whether token vectors are scaled to length 1.
        skipped: tokens that get no vectors, by role.
        lengths: tokens after which a text is cut off, by role, where the folder says.
        expansion: how queries are filled up.
        lowercase: whether texts are lowercased first.
        prompts: the model's own prompts by name.
        default_prompt: name of the prompt for a role that has none.
        is_plain: whether it is run here; what is not is run by sentence-transformers.
    """

    folder: Path
    transformer: Path
    projections: tuple[Path, ...] = ()
    normalizes: bool = True
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lengths: Mapping[str, int | None] = field(default_factory=dict)
    expansion: Expansion | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    is_plain: bool = True

    def prompt(self, role: str, given: str | None) -> str:
        """Return what is put before a text: the option, or the prompt that it names, else the model's own."""
        return choose_prompt(self.prompts, self.default_prompt, role, given)

    def digest(self, store: Store) -> str:
        """Return the digest of weights, tokenizer and settings; the same wherever the files are."""
        if self.is_plain and not self.projections:
            skipped = {role: list(words) for role, words in self.skipped.items()}
            settings = [self.normalizes, skipped, dict(self.lengths), self.expansion, self.lowercase]
            return transformer_digest(self.transformer, store, settings)
        return folder_digest(self.folder, store)


def read_token_layout(folder: Path) -> TokenLayout:
    """Read what a folder says about its model.

    Raises:
        UsageError: it holds no model of this sort, weights in another form than safetensors, or asks for code of its own.
    """
    if (folder / _STANFORD).is_file():
        weights(folder)
        return TokenLayout(folder, folder, is_plain=False)
    parts = modules_of(folder, ("sentence_transformers.", "pylate."))
    layout = TokenLayout(folder, folder) if parts is None else _read_modules(folder, parts)
    if layout.is_plain:
        read_config(layout.transformer)
        weights(layout.transformer)
    return layout


def _read_modules(folder: Path, parts: list[tuple[str, Path]]) -> TokenLayout:
    said = said_of(folder)
    names = [name.rpartition(".")[2] for name, _ in parts]
    kind = str(said.get("model_type") or "SentenceTransformer")
    layout = TokenLayout(
        folder,
        folder,
        prompts={str(name): str(text or "") for name, text in (said.get("prompts") or {}).items()},
        default_prompt=said.get("default_prompt_name"),
        is_plain=False,
    )
    if kind == "ColBERT" or any(said.get(key) is not None for key in _PYLATE):
        return layout
    if kind not in ("MultiVectorEncoder", "SentenceTransformer") or names[:1] != ["Transformer"]:
        raise UsageError(f"{folder} holds a {kind} of {', '.join(names)}, which gives no token vectors")
    settings = settings_of(parts[0][1])
    layout = replace(layout, transformer=parts[0][1], lowercase=bool(settings.get("do_lower_case")))
    is_text = (
        settings.get("transformer_task", "feature-extraction") == "feature-extraction"
        and settings.get("modality_config", _TEXT) == _TEXT
        and not settings.get("processing_kwargs")
    )
    if kind == "SentenceTransformer":
        if not is_text:
            raise UsageError(f"{folder} holds a SentenceTransformer that gives no token vectors")
        usual = settings.get("max_seq_length")
        return replace(layout, lengths={"query": usual, "document": usual}, is_plain=True)
    return _read_multi_vector(layout, settings, list(zip(names, parts, strict=True))[1:]) if is_text else layout


def _read_multi_vector(
    layout: TokenLayout, settings: Mapping[str, Any], rest: list[tuple[str, tuple[str, Path]]]
) -> TokenLayout:
    projections: list[Path] = []
    skipped: dict[str, tuple[str, ...]] = {}
    normalizes = False
    for name, (_, path) in rest:
        content = read_json(path / "config.json") if (path / "config.json").is_file() else {}
        if name == "Dense" and content.get("module_input_name") == content.get("module_output_name") == _TOKENS:
            if str(content.get("activation_function")).rpartition(".")[2] != "Identity" or normalizes:
                return layout
            projections.append(path)
        elif name == "MultiVectorMask" and not content.get("keep_only_token_ids"):
            words = tuple(content.get("skiplist_words") or ())
            skipped = {str(role): words for role in content.get("skiplist_tasks") or ("document",)}
        elif name == "Normalize" and content.get("module_input_name") == _TOKENS:
            normalizes = True
        else:
            return layout
    said = settings.get("query_expansion")
    expansion = None
    if said:
        cuts = said.get("strategy") == "fixed"
        expansion = Expansion(int(said["length"]), cuts, bool(said.get("attend")), said.get("token"))
    usual = settings.get("max_seq_length")
    lengths = {role: settings.get(f"{role}_length") or usual for role in ("query", "document")}
    return replace(
        layout,
        projections=tuple(projections),
        normalizes=normalizes,
        skipped=skipped,
        lengths=lengths,
        expansion=expansion,
        is_plain=True,
    )
