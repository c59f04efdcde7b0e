"""Loading transformers under one policy: safetensors alone, no code of a model's own, nothing missing unnoticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from spaniel import UsageError

from spaniel_neural.devices import Dtype, autocast, choose_device, weights_dtype
from spaniel_neural.families import know_family
from spaniel_neural.files import read_config, read_json, weights
from spaniel_neural.locating import download_model

if TYPE_CHECKING:
    from spaniel import Context

Task = Literal["encoder", "masked-lm", "sequence-classification", "token-classification", "causal-lm", "seq2seq"]
"""What a model is loaded for: which head it gets."""
CLASSES: dict[str, str] = {
    "encoder": "AutoModel",
    "masked-lm": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
"""Task → the class of transformers that makes the model."""
_BOTH = ("t5", "mt5", "umt5", "longt5")
"""Families whose plain class is encoder and decoder together, and wants texts for both."""
_FROM_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "ibert")
"""Families that count positions from the padding's number on, so that a text cannot have all of them."""
UNBOUNDED = 10**6
"""Tokens from which a stated maximum means that there is none."""


@dataclass(frozen=True, eq=False)
class Transformer:
    """A loaded model and its tokenizer, for inference unless it is put in training mode.

    Attributes:
        folder: where it was loaded from.
        tokenizer: of transformers.
        model: of transformers, on ``device``, in evaluation mode.
        device: where it runs.
        dtype: arithmetic asked for.
        finished: is told how many texts each batch had, once it is finished; see :meth:`spaniel.Context.finished`.
    """

    folder: Path
    tokenizer: Any
    model: Any
    device: torch.device
    dtype: Dtype = "auto"
    finished: Callable[[int], None] = lambda texts: None

    @property
    def hidden_size(self) -> int:
        """Dimensions of a token vector."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def padding(self) -> int:
        """Number of the token that fills rows up; it is masked, so any will do where the tokenizer has none."""
        return int(self.tokenizer.pad_token_id or 0)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the model's arithmetic is the one asked for."""
        return autocast(self.device, self.dtype)

    def max_length(self, asked: int | None = None, usual: int | None = None) -> int | None:
        """Return the tokens after which a text is cut off, or ``None`` where there is no limit.

        Args:
            asked: by the user.
            usual: by the model's own files, where the user leaves it open; else the tokenizer's.

        Raises:
            UsageError: the model cannot read as many as were asked for.
        """
        config = self.model.config.get_text_config()
        positions = int(getattr(config, "max_position_embeddings", None) or UNBOUNDED)
        if config.model_type in _FROM_PADDING:
            positions -= int(config.pad_token_id) + 1
        if asked is not None and asked > positions:
            raise UsageError(f"max_length={asked}: {self.folder} reads {positions} tokens at most")
        length = asked or usual or min(self.tokenizer.model_max_length, positions)
        return int(length) if length < UNBOUNDED else None


def load_transformer(
    name: str | Path,
    task: Task = "encoder",
    *,
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: Dtype = "auto",
    offline: bool = False,
    attention: str | None = None,
    fresh: Sequence[str] = (),
    seed: int = 0,
    **settings: Any,
) -> Transformer:
    """Load a model and its tokenizer.

    Args:
        name: a folder, ``package:NAME/FOLDER``, or a name on the hub; see :func:`spaniel_neural.locating.find_model`.
        task: which head the model has.
        revision: branch, tag or commit of a name on the hub.
        device: as the session's; see :func:`spaniel_neural.devices.choose_device`.
        dtype: arithmetic; auto: float32 on a CPU, the stored precision on an accelerator.
        offline: whether the hub may not be asked.
        attention: ``"eager"`` or ``"sdpa"``, where a method needs one; else what transformers chooses.
        fresh: beginnings of the names of weights that the folder may lack, or have in another shape, such as
            ``"classifier"``; they start at random.
        seed: of those.
        settings: fields of the model's configuration that replace its own, such as ``num_labels=1``.

    Raises:
        UsageError: there is no such model or device, its weights are not in safetensors, lack something or do not fit,
            or it asks for code of its own.
    """
    folder = download_model(str(name), revision, offline)
    chosen = device if isinstance(device, torch.device) else choose_device(device)
    config = read_config(folder)
    weights(folder)
    know_family(folder)
    _refuse_code(folder, config)
    from transformers import AutoTokenizer

    made_by = class_for(task, str(config.get("model_type")))
    options = {**settings, **({"attn_implementation": attention} if attention else {})}
    try:
        with quietly(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
            model, report = made_by.from_pretrained(
                str(folder),
                dtype=weights_dtype(chosen, dtype),
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told by the report, below
                **options,
            )
    except MemoryError:
        raise
    except Exception as error:  # whatever a folder's settings make of the library
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"the model in {folder} cannot be loaded for {task}: {reason}") from error
    # A pooler on top of an encoder's last layer is not used, and many checkpoints come without one.
    spared = tuple(fresh) + (("pooler.",) if task == "encoder" else ())
    absent = {*report["missing_keys"], *(str(key[0]) for key in report["mismatched_keys"])}
    lacking = sorted(key for key in absent if not _begins(key, spared))
    if lacking:
        raise UsageError(
            f"the weights in {folder} lack {len(lacking)} that the model needs for {task}, or have them in another shape; "
            f"the first is {lacking[0]}"
        )
    return Transformer(folder, tokenizer, model.to(chosen).eval(), chosen, dtype)


def class_for(task: Task, model_type: str) -> Any:
    """Return the class of transformers that makes a model of a family for a task.

    Raises:
        UsageError: there is no such task.
    """
    import transformers

    if task not in CLASSES:
        raise UsageError(f"a model is loaded for {', '.join(get_args(Task))}, not for {task!r}")
    alone = task == "encoder" and model_type in _BOTH
    return getattr(transformers, "AutoModelForTextEncoding" if alone else CLASSES[task])


def load_for(
    context: Context,
    name: str | Path,
    task: Task = "encoder",
    *,
    revision: str | None = None,
    dtype: Dtype = "auto",
    **options: Any,
) -> Transformer:
    """Load a model as a session asks: on its device, from the hub only where it is not offline, as a stage of loading.

    Args:
        options: whatever else :func:`load_transformer` takes.
    """
    place: dict[str, Any] = {"device": context.device, "offline": context.offline}
    with context.stage(f"load {name}", phase="load"):
        loaded = load_transformer(name, task, revision=revision, dtype=dtype, **place, **options)
    return replace(loaded, finished=context.finished)


def _begins(key: str, beginnings: tuple[str, ...]) -> bool:
    """Whether a weight's name, or the rest of it after any dot, begins with one of some names."""
    parts = key.split(".")
    return any(".".join(parts[at:]).startswith(beginnings) for at in range(len(parts))) if beginnings else False


def _refuse_code(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a folder that only its own code can load."""
    from transformers import CONFIG_MAPPING

    if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING:
        wanted = ", ".join(sorted(map(str, config["auto_map"].values())))
        raise UsageError(f"{folder} asks for code of its own ({wanted}); only models that transformers knows are run")
    said = folder / "tokenizer_config.json"
    tokenizer = read_json(said) if said.is_file() else {}
    if "auto_map" in tokenizer and not (folder / "tokenizer.json").is_file():
        raise UsageError(f"the tokenizer in {folder} asks for code of its own, and has no tokenizer.json to do without")


@contextmanager
def quietly() -> Iterator[None]:
    """Keep the progress bars and reports of transformers away: what is wrong is raised."""
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
