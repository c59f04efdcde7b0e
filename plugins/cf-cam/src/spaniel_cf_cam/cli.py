"""``spaniel cam``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from spaniel import Context, UsageError
from spaniel.cli.common import check_output, running, running_options
from spaniel.cli.main import State
from spaniel.cli.output import json_option, print_json

from spaniel_cf_cam.config import CamConfig, MapConfig
from spaniel_cf_cam.subjects import METHODS, draw

if TYPE_CHECKING:
    from spaniel_cf_cam.images import ImageSubject


@click.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    default="efficientnet-lite0",
    show_default=True,
    help="A folder or name on the hub of an image classifier, or efficientnet-lite0, which lies in a package.",
)
@click.option("--layer", help="Layer that is mapped; by default the last whose places the logits have a gradient at.")
@click.option("--target", type=int, help="Number of the class; by default the one that the model sees.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="MAP",
    default=("cf-cam",),
    show_default=True,
    help=f"Map to draw, again for several: {', '.join(METHODS)}; cf-cam takes options, as in 'cf-cam(weighting=linear)'.",
)
@click.option("--measure/--no-measure", default=True, show_default=True, help="Measure how faithful the maps are.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="PNG of the image under its maps."
)
@json_option
@running_options
@click.pass_obj
def cam(
    state: State,
    /,
    image: Path,
    model: str,
    layer: str | None,
    target: int | None,
    methods: tuple[str, ...],
    measure: bool,
    output: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show where an image classifier looks when it sees IMAGE, and how faithful each map is.

    Class sensitivity is 1 less the correlation with the map of the next likely class: 0 says that the map knows no class.
    """
    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"--output {output}: maps are drawn as .png")
    check_output(output)
    with running(state, **settings) as context:
        asked = {text: _method(context, text) for text in methods}
        from spaniel_cf_cam.classifiers import load_classifier
        from spaniel_cf_cam.images import ImageSubject

        with context.stage(f"load {model}", phase="load"):
            classifier = load_classifier(model, layer, context.offline)
        pixels, shown = classifier.read(image)
        subject = ImageSubject(classifier.model, classifier.layer, pixels, target)
        rival = ImageSubject(classifier.model, classifier.layer, pixels, subject.rival) if measure else None
        made = {}
        with context.stage("draw maps", len(asked), "maps"):
            for text, (name, config) in asked.items():
                made[text] = _draw(subject, rival, name, config, context.seed)
                context.advance(1)
    if output is not None:
        _plot(shown, {name: subject.enlarged(np.array(one["map"]))[0] for name, one in made.items()}, output)
    seen = {"class": subject.target, "name": classifier.name(subject.target), "probability": subject.probability}
    if as_json:
        print_json({"image": str(image), "layer": classifier.layer, **seen, "maps": made})
        return
    height, width = subject.shape
    click.echo(
        f"{seen['name']}, probability {subject.probability:.3f}; layer {classifier.layer}, {height} × {width} places"
    )
    if measure:
        click.echo(f"class sensitivity: beside the map of {classifier.name(subject.rival)}")
    _print(made, measure)
    if output is not None:
        click.echo(f"drawn in {output}")


def _method(context: Context, text: str) -> tuple[str, MapConfig]:
    """Return the name of a map and the options of CF-CAM.

    Raises:
        UsageError: there is no such map, or it is given options that maps of images do not have.
    """
    bound = context.bind("explain", text)
    name = bound.registered.name
    if name not in METHODS:
        raise UsageError(f"--method {text}: maps of images are {', '.join(METHODS)}")
    assert bound.config is not None  # every method has options
    others = sorted(bound.config.model_fields_set & set(CamConfig.model_fields))
    if others:
        raise UsageError(f"--method {text}: {', '.join(others)} is an option of maps of texts")
    options = {key: getattr(bound.config, key) for key in MapConfig.model_fields if hasattr(bound.config, key)}
    return name, MapConfig(**options)


def _draw(subject: ImageSubject, rival: ImageSubject | None, name: str, config: MapConfig, seed: int) -> dict[str, Any]:
    from spaniel_cf_cam.maps import cf_cam, scaled
    from spaniel_cf_cam.measures import class_sensitivity, deletion_insertion, drop_and_increase

    whole = cf_cam(subject.activations, subject.gradients, subject.shape, config) if name == "cf-cam" else None
    values = scaled(whole.values if whole is not None else draw(subject, name, config, seed))
    made: dict[str, Any] = {"map": values.reshape(subject.shape).round(4).tolist()}
    if whole is not None:
        made |= whole.facts()
    if rival is not None:
        drop, increase = drop_and_increase(subject.worth, values)
        deletion, insertion = deletion_insertion(subject.worth, values)
        sensitivity = class_sensitivity(values, scaled(draw(rival, name, config, seed)))
        made |= {"drop": drop, "increase": bool(increase), "deletion": deletion, "insertion": insertion}
        made["sensitivity"] = None if np.isnan(sensitivity) else sensitivity
    return made


def _print(made: dict[str, dict[str, Any]], measure: bool) -> None:
    width = max(20, *map(len, made))
    if measure:
        click.echo(
            f"{'map':<{width}} {'drop':>7} {'increase':>9} {'deletion':>9} {'insertion':>10} {'sensitivity':>12}"
        )
        for name, one in made.items():
            rises = "yes" if one["increase"] else "no"
            known = "flat" if one["sensitivity"] is None else f"{one['sensitivity']:.2g}"
            click.echo(
                f"{name:<{width}} {one['drop']:>7.3f} {rises:>9} {one['deletion']:>9.3f} {one['insertion']:>10.3f} "
                f"{known:>12}"
            )
    for name, one in made.items():
        if "clusters" in one:
            click.echo(
                f"{name}: {one['dominant']} dominant channels, {one['clusters']} clusters, {one['noise']} noise; "
                f"weights {100 * one['weight_spread']:.2g} % apart"
            )
        if "warning" in one:
            click.echo(f"warning: {name}: {one['warning']}", err=True)


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
