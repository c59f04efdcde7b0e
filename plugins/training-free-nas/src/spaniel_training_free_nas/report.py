"""Correlations of proxies with what the published networks are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spaniel_search.correlation import Correlation, correlate

from spaniel_training_free_nas import bench
from spaniel_training_free_nas.bench import Encoders

Floats = NDArray[np.float64]


def sizes(encoders: Encoders) -> dict[str, Floats]:
    """Return what costs nothing to know: name → ``(n,)``."""
    return {
        "layers": encoders.depth.astype(np.float64),
        "hidden size": encoders.hidden.astype(np.float64),
        "parameters as trained": encoders.parameters(),
        "parameters as declared, trained widths": encoders.parameters(build="declared-operations"),
        "fit on four sizes": bench.descriptors(encoders),
    }


def agreements(
    worth: Floats,
    columns: Mapping[str, Floats],
    trivial: Mapping[str, Floats],
    *,
    strata: Sequence[Any] | None = None,
    resamples: int = 0,
) -> list[Correlation]:
    """Return how columns and sizes agree with what networks are worth; see :func:`spaniel_search.correlation.correlate`."""
    told, sized = ({name: values.tolist() for name, values in one.items()} for one in (columns, trivial))
    return correlate(worth.tolist(), told, sized, strata=strata, resamples=resamples)


def encoder_correlations(folder: Path, encoders: Encoders, resamples: int = 0) -> list[Correlation]:
    """Return how the published columns, and sizes, agree with GLUE: for all encoders, then within each depth."""
    columns = bench.encoder_proxies(folder)
    published = {name: values for name, values in columns.items() if name != "Number of Parameters"}
    trivial = {"parameters as published": columns["Number of Parameters"], **sizes(encoders)}
    return agreements(encoders.glue, published, trivial, strata=encoders.depth.tolist(), resamples=resamples)


def cell_correlations(folder: Path, resamples: int = 0) -> list[Correlation]:
    """Return how the published columns agree with minus the test loss; then the number of parameters, in a table of its own."""
    loss, columns = bench.cells(folder)
    found = agreements(-loss, columns, {}, resamples=resamples)
    other, parameters = bench.cell_sizes(folder)
    return found + agreements(-other, {}, {"parameters": parameters}, resamples=resamples)


def selections(folder: Path, encoders: Encoders, top: int = 10) -> list[tuple[str, float]]:
    """Return the mean GLUE of the best by each published column, in its better direction, and by sizes."""
    criteria: dict[str, Any] = {}
    for name, values in (bench.encoder_proxies(folder) | sizes(encoders)).items():
        criteria[name] = values
    return bench.selected(encoders.glue, criteria, top)


def scored_correlations(
    encoders: Encoders, scores: dict[str, Floats], space: Any, resamples: int = 0
) -> list[Correlation]:
    """Return how scores of the first encoders agree with GLUE, with sizes beside them, for all and within each depth."""
    n = len(next(iter(scores.values())))
    built = np.array([space.counts(one)["parameters"] for one in encoders.candidates[:n]])
    trivial = {name: values[:n] for name, values in sizes(encoders).items()}
    trivial["parameters as built"] = built
    return agreements(encoders.glue[:n], scores, trivial, strata=encoders.depth[:n].tolist(), resamples=resamples)


def spread_over_seeds(found: Sequence[Sequence[Correlation]]) -> list[list[str]]:
    """Return rows of a table: proxy, stratum, and tau-b as its mean and half its range over the seeds.

    Args:
        found: by seed, correlations of the same proxies in the same order.
    """
    rows = []
    for several in zip(*found, strict=True):
        taus = [one.tau for one in several if one.tau is not None]
        told = f"{np.mean(taus):.3f} ± {(max(taus) - min(taus)) / 2:.3f}" if taus else "–"
        rows.append([several[0].proxy, several[0].stratum, told])
    return rows
