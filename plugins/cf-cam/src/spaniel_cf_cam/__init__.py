"""Class activation maps: CF-CAM, and those that it is compared with, of text rankers and of image classifiers."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_PAPER = "He, Pan and Yao, CF-CAM: Cluster Filter Class Activation Mapping for Reliable Gradient-Based Interpretability, 2025"
_ANY = ("retrieve/*", "rerank/*")
_OTHERS = (
    ("grad-cam", "channels weighed by their mean gradient", "Selvaraju et al., Grad-CAM, ICCV 2017"),
    (
        "grad-cam-pp",
        "channels weighed by where their gradient is positive",
        "Chattopadhay et al., Grad-CAM++, WACV 2018",
    ),
    (
        "smooth-grad-cam-pp",
        "Grad-CAM++ on average over inputs with noise",
        "Omeiza et al., Smooth Grad-CAM++, 2019",
    ),
    ("hires-cam", "activations times gradients", "Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020"),
    ("layer-cam", "activations times positive gradients", "Jiang et al., LayerCAM, TIP 2021"),
    (
        "score-cam",
        "channels weighed by the score of the input that they mask; a model call for each",
        "Wang et al., Score-CAM, CVPR Workshops 2020",
    ),
    (
        "ablation-cam",
        "channels weighed by how much the score falls without them; a model call for each",
        "Desai and Ramaswamy, Ablation-CAM, WACV 2020",
    ),
)


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "cf-cam",
        config="spaniel_cf_cam.config:CfCamConfig",
        factory="spaniel_cf_cam.explainer:CfCam",
        summary="which words a ranker's score looks at: channels clustered, their gradients filtered",
        paper=_PAPER,
        takes=_ANY,
    )
    for name, summary, paper in _OTHERS:
        yield Component(
            name,
            config="spaniel_cf_cam.config:CamConfig",
            factory="spaniel_cf_cam.explainer:" + "".join(part.capitalize() for part in name.split("-")),
            summary=f"which words a ranker's score looks at: {summary}",
            paper=paper,
            takes=_ANY,
        )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("cam", "spaniel_cf_cam.cli:cam", "show where an image classifier looks")


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "cf-cam",
        "spaniel_cf_cam.reproduce:run",
        "CF-CAM's maps are as faithful as others' and change less when gradients are noisy",
        _PAPER,
        minutes=5,
        extra="reproduce",
    )
