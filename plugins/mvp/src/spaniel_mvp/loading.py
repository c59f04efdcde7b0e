"""Models of views: loaded, begun from models that have none, and saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from spaniel import UsageError
from spaniel_neural.devices import Dtype, choose_device, weights_dtype
from spaniel_neural.files import read_config
from spaniel_neural.loading import Transformer, class_for, load_transformer, quietly
from spaniel_neural.locating import download_model

from spaniel_mvp.checkpoint import is_wrapped, read_wrapped
from spaniel_mvp.model import ViewModel
from spaniel_mvp.prompts import Prompter
from spaniel_mvp.settings import DECODER, FAMILIES, FILE, Settings, read_settings, shortened

if TYPE_CHECKING:
    from spaniel import Context
    from torch import nn

    from spaniel_mvp.config import MvpConfig, MvpTraineeConfig

_HEADS = 4
_KNOWN = ("<extra_id_{}>", "[unused{}]")
"""How tokenizers that have spare tokens call them."""
_ADDED = "<view_{}>"
_TIED = ("encoder.embed_tokens.", "decoder.embed_tokens.", "lm_head.")
"""Beginnings of the names of weights that T5 shares with others, and that need not be in its file."""
_LEAST = 8
"""Tokens that a prompt has beside the views, at the least."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with what it needs to read.

    Attributes:
        model: of views.
        reader: its encoder and tokenizer, for batches.
        prompter: writes its prompts.
    """

    model: ViewModel
    reader: Transformer
    prompter: Prompter


def load(context: Context, config: MvpConfig) -> Loaded:
    """Load a model that was trained, ours or a published one.

    Raises:
        UsageError: it cannot be had, or is no model of this sort, or an option does not suit it.
    """
    folder = download_model(config.model, config.revision, context.offline)
    views = None if config.views == "auto" else config.views
    settings = shortened(read_settings(folder, views), config.max_length)
    device = choose_device(context.device)
    tokenizer = None
    if config.tokenizer is not None:
        tokenizer = _tokenizer(download_model(config.tokenizer, None, context.offline))
    loaded = _open(folder, settings, device, config.dtype, tokenizer)
    loaded.model.to(device).eval()
    return loaded


def begin(folder: Path, options: MvpTraineeConfig, given: set[str], max_length: int | None) -> Loaded:
    """Load a model to be trained: one that was trained before, or a base that gets views, on the CPU in float32.

    Args:
        given: names of the options that the user gave.

    Raises:
        UsageError: an option is another than that of the model that was trained before, or the base does not suit.
    """
    device = torch.device("cpu")
    if (folder / FILE).is_file() or (read_config(folder).get("model_type") in FAMILIES and is_wrapped(folder)):
        settings = read_settings(folder, options.views if "views" in given else None)
        for name in given & {"score", "aggregate"}:
            if getattr(options, name) != getattr(settings, name):
                raise UsageError(
                    f"{name}={getattr(options, name)}: the model in {folder} has {getattr(settings, name)}"
                )
        return _open(folder, shortened(settings, max_length), device, "float32", None)
    whole = read_config(folder).get("model_type") in FAMILIES
    base = load_transformer(folder, "seq2seq" if whole else "encoder", device=device, dtype="float32")
    tokens = _view_tokens(base, options.views)
    reads = base.max_length()
    longest = 256 if max_length is None else max_length
    if not whole and reads is not None and longest > reads:
        if max_length is not None:
            raise UsageError(f"model.max_length={max_length}: the model reads {reads} tokens at most")
        longest = reads
    if longest < options.views + _LEAST:
        raise UsageError(f"model.max_length={longest}: that leaves no room beside {options.views} views")
    settings = Settings(options.views, tokens, "text", longest, options.score)
    prompt = "text" if whole and _reads_views_first(base.tokenizer, settings) else "pair"
    settings = replace(settings, prompt=prompt, aggregate=options.aggregate, decoder=not whole)
    if not whole and options.score == "dot":
        # The states of such a base are long: products with them are kept near 1, as attention keeps its own.
        settings = replace(settings, scale=base.hidden_size**-0.5)
    head = None if whole else _decoder(base.hidden_size, options.decoder_layers)
    return _joined(base.folder, base.tokenizer, base.model, head, settings, device, "float32")


def save(loaded: Loaded, folder: Path) -> None:
    """Write a model: its base as transformers loads it, its decoder beside it where the base has none, its settings."""
    folder.mkdir(parents=True, exist_ok=True)
    with quietly():
        loaded.model.base.save_pretrained(str(folder))
        loaded.reader.tokenizer.save_pretrained(str(folder))
        if loaded.model.head is not None:
            loaded.model.head.save_pretrained(str(folder / DECODER))
    loaded.model.settings.write(folder)


def _open(folder: Path, settings: Settings, device: torch.device, dtype: Dtype, tokenizer: Any) -> Loaded:
    if not settings.decoder:
        if tokenizer is None and not is_wrapped(folder):
            base = load_transformer(folder, "seq2seq", device=device, dtype=dtype)
            return _joined(folder, base.tokenizer, base.model, None, settings, device, dtype)
        model = _published(folder, device, dtype)
        return _joined(folder, tokenizer or _tokenizer(folder), model, None, settings, device, dtype)
    base = load_transformer(folder, "encoder", device=device, dtype=dtype)
    head = _load_decoder(folder / DECODER, device, dtype)
    return _joined(folder, tokenizer or base.tokenizer, base.model, head, settings, device, dtype)


def _joined(
    folder: Path, tokenizer: Any, base: Any, head: Any, settings: Settings, device: torch.device, dtype: Dtype
) -> Loaded:
    model = ViewModel(base, head, settings)
    reader = Transformer(folder, tokenizer, model.encoder, device, dtype)
    if settings.decoder:
        reader.max_length(settings.max_length)  # refuses what its positions do not reach
    return Loaded(model, reader, Prompter(tokenizer, settings))


def _published(folder: Path, device: torch.device, dtype: Dtype) -> nn.Module:
    """Load a T5 whose weights may have the names of the published code."""
    from transformers import AutoConfig

    with quietly():
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        model: nn.Module = class_for("seq2seq", config.model_type).from_config(config)
    try:
        report = model.load_state_dict(read_wrapped(folder), strict=False)
    except RuntimeError as error:
        raise UsageError(f"the weights in {folder} have other shapes than its config.json says: {error}") from error
    lacking = sorted(key for key in report.missing_keys if not key.startswith(_TIED))
    if lacking or report.unexpected_keys:
        what = f"lack {lacking[0]}" if lacking else f"hold {sorted(report.unexpected_keys)[0]}, which no T5 has"
        raise UsageError(f"the weights in {folder} are none of a T5: they {what}")
    arithmetic = weights_dtype(device, dtype)
    return model if arithmetic == "auto" else model.to(arithmetic)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        with quietly():
            return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"{folder} has no tokenizer that can be loaded ({reason}): give one with tokenizer="
        ) from error


def _load_decoder(folder: Path, device: torch.device, dtype: Dtype) -> Any:
    from transformers import T5ForConditionalGeneration

    try:
        with quietly():
            return T5ForConditionalGeneration.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, dtype=weights_dtype(device, dtype)
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"the decoder in {folder} cannot be loaded: {str(error).strip().split(chr(10))[0]}") from error


def _decoder(width: int, layers: int) -> Any:
    """Return T5's decoder with random weights, for vectors of some width; its encoder has no layer, and is not used."""
    from transformers import T5Config, T5ForConditionalGeneration

    heads = _HEADS if width % _HEADS == 0 else 1
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    shape = {"d_model": width, "d_kv": width // heads, "num_heads": heads, "d_ff": 2 * width}
    fields: dict[str, Any] = {"vocab_size": 2, **special, **shape, "num_layers": 0, "num_decoder_layers": layers}
    config = T5Config(**fields)
    made = T5ForConditionalGeneration(config)
    for parameter in made.get_encoder().final_layer_norm.parameters():
        parameter.requires_grad_(False)
    return made


def _reads_views_first(tokenizer: Any, settings: Settings) -> bool:
    """Return whether a text that begins with the views gives them the first tokens, as T5's own tokenizer does."""
    try:
        Prompter(tokenizer, settings).tokens(["query"], ["passage"])
    except UsageError:
        return False
    return True


def _view_tokens(base: Transformer, views: int) -> tuple[str, ...]:
    """Return the tokens of views: spare ones of the tokenizer, else new ones, which start at random."""
    tokenizer = base.tokenizer
    known = tokenizer.get_vocab()
    for pattern in _KNOWN:
        names = tuple(pattern.format(view) for view in range(views))
        if all(name in known for name in names):
            return names
    names = tuple(_ADDED.format(view) for view in range(views))
    tokenizer.add_tokens(list(names), special_tokens=True)
    if len(tokenizer) > base.model.get_input_embeddings().num_embeddings:
        with quietly():
            base.model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return names
