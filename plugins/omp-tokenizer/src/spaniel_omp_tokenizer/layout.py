"""Where a model's folder keeps what is indexed by tokens: tensors, configuration, tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from spaniel import UsageError
from spaniel_neural.families import know_family
from spaniel_neural.files import read_config, weights
from spaniel_neural.loading import quietly
from spaniel_neural.modular import modules_of
from torch import Tensor

from spaniel_omp_tokenizer.rotary import Rotary

_STATIC = "embedding.weight"


@dataclass(frozen=True, eq=False)
class Layout:
    """The parts of a model that know its vocabulary.

    Attributes:
        folder: of the transformer, which may be inside the model's.
        config: of the transformer; empty for a static embedding.
        inputs: names of the tensors that hold the input matrix.
        outputs: names of those that hold an output matrix of its own; none where it is the input's.
        biases: names of those that hold the output's bias.
        files: name of a tensor → its file.
        rotary: how it turns vectors; ``None`` where it does not.
    """

    folder: Path
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    biases: tuple[str, ...]
    files: Mapping[str, Path]
    rotary: Rotary | None

    def read(self, name: str) -> Tensor:
        """Return a tensor."""
        with safe_open(self.files[name], "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    @property
    def is_causal(self) -> bool:
        """Whether it is a causal language model."""
        return "CausalLM" in " ".join(map(str, self.config.get("architectures") or ()))


def transformer_folder(folder: Path) -> Path:
    """Return where the transformer of a model is: its own folder, or that of its first module.

    Raises:
        UsageError: the model is made of other modules.
    """
    parts = modules_of(folder)
    if parts is None:
        return folder
    kind, path = parts[0]
    if kind.rpartition(".")[2] not in ("Transformer", "MLMTransformer", "StaticEmbedding"):
        raise UsageError(f"{folder} begins with {kind}; its vocabulary is not known to lie anywhere")
    return path


def read_layout(folder: Path) -> Layout:
    """Find the parts of a transformer, from its configuration and the names in its files; no weights are read.

    Raises:
        UsageError: it is no model, or keeps its token vectors where none are expected.
    """
    folder = transformer_folder(folder)
    if not (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
        return _static(folder)
    config = read_config(folder)
    files: dict[str, Path] = {}
    for path in weights(folder):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                files |= dict.fromkeys(file.keys(), path)
    model = empty_model(folder)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    source, head = model.get_input_embeddings(), model.get_output_embeddings()

    def named(*wanted: Any) -> tuple[str, ...]:
        those = [part for part in wanted if part is not None]
        names = [name for name, part in parameters.items() if any(part is one for one in those)]
        return tuple(key for key in files if any(_same(key, name) for name in names))

    inputs = named(source.weight)
    if not inputs:
        raise UsageError(f"{folder}: the files hold no {type(model).__name__}'s input embeddings")
    own = head is not None and head.weight is not source.weight
    outputs = tuple(name for name in named(head.weight if own else None) if name not in inputs)
    bias = getattr(head, "bias", None)
    others = [part for name, part in parameters.items() if _is_bias(name, part, bias)]
    biases = named(*others) + tuple(key for key in files if key.rpartition(".")[2] == "final_logits_bias")
    return Layout(folder, config, inputs, outputs, biases, files, _rotary(config))


def empty_model(folder: Path) -> Any:
    """Return the model that a folder's configuration describes, without weights."""
    import transformers as _transformers

    transformers: Any = _transformers  # many of its functions have no types
    know_family(folder)
    config = transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    names = list(config.architectures or ())
    chosen: Any = getattr(transformers, names[0], None) if names else None
    with quietly(), torch.device("meta"):
        model = chosen(config) if chosen is not None else transformers.AutoModel.from_config(config)
        model.tie_weights()
    return model


def read_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a transformer or of a static embedding.

    Raises:
        UsageError: there is none that can be read.
    """
    import transformers as _transformers

    transformers: Any = _transformers
    try:
        with quietly():
            if not (folder / "config.json").is_file() and not (folder / "tokenizer_config.json").is_file():
                return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
            return transformers.AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
    except Exception as error:  # the library of tokenizers raises plain exceptions
        raise UsageError(f"the tokenizer in {folder} cannot be read: {str(error).strip().splitlines()[0]}") from error


def read_tokenizer_file(path: Path) -> Any:
    """Return the tokenizer that a file ``tokenizer.json`` holds; its special tokens have no roles.

    Raises:
        UsageError: it cannot be read.
    """
    import transformers as _transformers

    transformers: Any = _transformers
    try:
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    except Exception as error:  # the library of tokenizers raises plain exceptions
        raise UsageError(f"the tokenizer {path} cannot be read: {str(error).strip().splitlines()[0]}") from error


def _static(folder: Path) -> Layout:
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    if _STATIC not in names:
        raise UsageError(f"{path} holds neither a transformer's weights nor {_STATIC}")
    return Layout(folder, {}, (_STATIC,), (), (), {_STATIC: path}, None)


def _same(key: str, name: str) -> bool:
    """Whether a tensor in a file is a parameter: a model's prefix may be there or not."""
    return key == name or key.endswith(f".{name}") or name.endswith(f".{key}")


def _is_bias(name: str, part: Any, bias: Any) -> bool:
    """Whether a parameter is the output's bias; some models keep it beside the layer and tie it only once it is loaded."""
    if bias is None:
        return False
    return part is bias or (
        part.shape == bias.shape and name.rpartition(".")[2] == "bias" and "head" in name.replace("predictions", "head")
    )


def _rotary(config: Mapping[str, Any]) -> Rotary | None:
    heads = config.get("num_attention_heads")
    said = config.get("rope_parameters")
    theta = config.get("rope_theta", said.get("rope_theta") if isinstance(said, dict) else None)
    if theta is None or not heads or int(config.get("hidden_size", 0)) % (2 * int(heads)):
        return None
    return Rotary(int(heads), float(theta))
