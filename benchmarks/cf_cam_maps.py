"""Class activation maps: what each costs beside Grad-CAM, on a real network that reads an image of noise, and on a text.

    python benchmarks/cf_cam_maps.py
    python benchmarks/cf_cam_maps.py --json

The limit of a map by gradients is one pass forwards and one back. A ratio is a method's time over Grad-CAM's in the same
round, the passes of both included; Score-CAM and Ablation-CAM, with a pass for each channel, are timed in one round. The
last line is CF-CAM's clustering alone, which does not depend on the class: with it kept, another class or another draw of
noise costs a pass and little more.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import torch
from spaniel import Context, Document
from spaniel_cf_cam.channels import sort_channels
from spaniel_cf_cam.classifiers import load_classifier
from spaniel_cf_cam.config import MapConfig
from spaniel_cf_cam.images import ImageSubject
from spaniel_cf_cam.subjects import METHODS, Subject, draw
from spaniel_cf_cam.text import TextSubject
from spaniel_explain.reading import read

_TEXT = "Sorting is stable: when several records have the same key, their original order is preserved. " * 8
QUICK = [method for method in METHODS if method not in ("score-cam", "ablation-cam")]
"""Methods without a pass for each channel; the others are timed once."""


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def image() -> Callable[[], Subject]:
    """Return what reads an image by EfficientNet-lite0: 1,280 channels of 7 by 7 places."""
    classifier = load_classifier("efficientnet-lite0")
    torch.manual_seed(0)
    pixels = torch.randn(3, classifier.size, classifier.size) / 2
    return lambda: ImageSubject(classifier.model, classifier.layer, pixels)


def text(context: Context) -> Callable[[], Subject]:
    """Return what reads a text of some hundred tokens by MiniLM: 384 channels."""
    stage = context.create("retrieve", "dense(encoder=minilm)")
    reading = read(context, stage, "sort a list by two keys", Document("d", "", _TEXT), "document")
    return lambda: TextSubject(reading, -2, center=True, exclude_special=True)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds to time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, as_json: bool) -> None:
    """Time every method on both cases."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for case, make in (("image", image()), ("text", text(Context(folder)))):
            draw(make(), "grad-cam", MapConfig())  # warms up
            taken: dict[str, list[float]] = {}
            for number in range(rounds):
                for method in METHODS if number == 0 else QUICK:
                    taken.setdefault(method, []).append(seconds(lambda m=method, f=make: draw(f(), m, MapConfig())))  # type: ignore[misc]
                clustering = partial(sort_channels, make().activations, MapConfig())
                taken.setdefault("clustering alone", []).append(seconds(clustering))
            for name, times in taken.items():
                ratios = [one / grad for one, grad in zip(times, taken["grad-cam"], strict=False)]
                lines.append(
                    {
                        "case": case,
                        "method": name,
                        "ms": round(1000 * statistics.median(times), 1),
                        "ratio": round(statistics.median(ratios), 2),
                        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
                    }
                )
    if as_json:
        click.echo(json.dumps(lines))
        return
    click.echo(f"{'case':<6} {'method':<20} {'ms':>8}   times Grad-CAM")
    for line in lines:
        low, high = line["spread"]  # type: ignore[misc]
        click.echo(f"{line['case']:<6} {line['method']:<20} {line['ms']:>8}   {line['ratio']} ({low} to {high})")


if __name__ == "__main__":
    main()
