"""``spaniel cam``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from spaniel import UsageError

from spaniel_cf_cam.subjects import METHODS, draw


@click.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    default="efficientnet-lite0",
    show_default=True,
    help="A folder or name on the hub of an image classifier, or efficientnet-lite0, which lies in a package.",
)
@click.option("--layer", help="Layer that is mapped; by default the last that has places.")
@click.option("--target", type=int, help="Number of the class; by default the one that the model sees.")
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), help="Maps to draw; by default cf-cam.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Option of CF-CAM, as weighting=linear.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="PNG of the image under its maps."
)
@click.option("--offline", is_flag=True, help="Fetch no model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cam(
    image: Path,
    model: str,
    layer: str | None,
    target: int | None,
    methods: tuple[str, ...],
    options: tuple[str, ...],
    output: Path | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Show where an image classifier looks when it sees IMAGE, and how faithful each map is."""
    from spaniel_cf_cam.classifiers import load_classifier
    from spaniel_cf_cam.images import ImageSubject
    from spaniel_cf_cam.maps import scaled
    from spaniel_cf_cam.measures import deletion_insertion, drop_and_increase

    config = _config(options)
    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: maps are drawn as .png")
    classifier = load_classifier(model, layer, offline)
    pixels, shown = classifier.read(image)
    subject = ImageSubject(classifier.model, classifier.layer, pixels, target)
    made: dict[str, Any] = {}
    for method in methods or ("cf-cam",):
        values = scaled(draw(subject, method, config))
        drop, increase = drop_and_increase(subject.worth, values)
        deletion, insertion = deletion_insertion(subject.worth, values)
        made[method] = {
            "map": values.reshape(subject.shape).round(4).tolist(),
            "drop": drop,
            "increase": bool(increase),
            "deletion": deletion,
            "insertion": insertion,
        }
    if output is not None:
        _plot(shown, {name: subject.enlarged(np.array(one["map"]))[0] for name, one in made.items()}, output)
    seen = {"class": subject.target, "name": classifier.name(subject.target), "probability": subject.probability}
    if as_json:
        click.echo(json.dumps({"image": str(image), "layer": classifier.layer, **seen, "maps": made}))
        return
    click.echo(
        f"{seen['name']}, probability {subject.probability:.3f}; layer {classifier.layer}, {subject.shape} places"
    )
    click.echo(f"{'map':<20} {'drop':>7} {'increase':>9} {'deletion':>9} {'insertion':>10}")
    for name, one in made.items():
        rises = "yes" if one["increase"] else "no"
        click.echo(f"{name:<20} {one['drop']:>7.3f} {rises:>9} {one['deletion']:>9.3f} {one['insertion']:>10.3f}")
    if output is not None:
        click.echo(f"drawn in {output}")


def _config(options: tuple[str, ...]) -> Any:
    import yaml
    from pydantic import ValidationError

    from spaniel_cf_cam.config import MapConfig

    given: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--option {option}: write NAME=VALUE, as in weighting=linear")
        given[name] = yaml.safe_load(value)
        if isinstance(given[name], int) and not isinstance(given[name], bool):
            given[name] = float(given[name])
    try:
        return MapConfig(**given)
    except ValidationError as error:
        first = error.errors()[0]
        allowed = ", ".join(MapConfig.model_fields)
        raise UsageError(f"--option {first['loc'][0]}: {first['msg']}; options are {allowed}") from error


def _plot(shown: Any, maps: dict[str, Any], path: Path) -> None:
    """Draw the image, and under each map: 40 % of the map's colours, 60 % of the image, as the authors do."""
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError('drawing needs matplotlib: pip install "spaniel-cf-cam[images]"') from error
    figure = Figure(figsize=(3 * (len(maps) + 1), 3.2), layout="constrained")
    axes = figure.subplots(1, len(maps) + 1)
    pixels = np.asarray(shown, np.float64) / 255
    axes[0].imshow(pixels)
    for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
        coloured = colormaps["jet"](np.clip(values, 0, 1))[..., :3]
        axis.imshow(0.4 * coloured + 0.6 * pixels)
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    draft = path.with_name(f".{path.name}")
    figure.savefig(draft, format="png", dpi=120)
    draft.replace(path)
