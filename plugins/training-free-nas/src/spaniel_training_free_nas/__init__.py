"""Training-free architecture search (Serianni and Kalita, ACL 2023): two spaces, all proxies, and the published benchmark."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_PACKAGE = "spaniel_training_free_nas"
_PAPER = "Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, ACL 2023"
_MELLOR = "Mellor et al., Neural Architecture Search without Training, ICML 2021"
_CELOTTI = "Celotti et al., Improving Zero-Shot Neural Architecture Search with Parameters Scoring, 2020"
_PROXIES = (
    ("hidden-covariance", "HiddenCovarianceConfig", "hidden:HiddenCovariance",
     "how uncorrelated the features of a layer's hidden states are", _PAPER),
    ("hidden-saliency", "HiddenSaliencyConfig", "hidden:HiddenSaliency",
     "hidden states times their gradients", _PAPER),
    ("activation-distance", "ActivationDistanceConfig", "hidden:ActivationDistance",
     "how unlike the binary codes of activations are between texts", _MELLOR),
    ("jacobian-covariance", "JacobianConfig", "jacobians:JacobianCovariance",
     "how uncorrelated the gradients in the inputs are", _MELLOR),
    ("jacobian-cosine", "JacobianConfig", "jacobians:JacobianCosine",
     "how unlike in direction the gradients in the inputs are", _CELOTTI),
    ("large-noise-jacobian", "LargeNoiseConfig", "jacobians:LargeNoiseJacobian",
     "how little noise in the inputs changes a Jacobian's score", _CELOTTI),
    ("more-noised-jacobian", "NoisedConfig", "jacobians:MoreNoisedJacobian",
     "the product of a Jacobian's scores under rising noise", _CELOTTI),
    ("synaptic-saliency", "NormalisedConfig", "synapses:SynapticSaliency",
     "weights of feed-forward networks, or of recurrent cells, times their gradients",
     "Tanaka et al., Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic Flow, NeurIPS 2020"),
    ("synaptic-diversity", "NormalisedConfig", "synapses:SynapticDiversity",
     "nuclear norms of weights and gradients of attention",
     "Zhou et al., Training-free Transformer Architecture Search, CVPR 2022"),
    ("head-importance", "NormalisedConfig", "synapses:HeadImportance",
     "weights that heads are made of times their gradients", _PAPER),
    ("head-confidence", "NormalisedConfig", "synapses:HeadConfidence",
     "the largest value over the tokens of what heads are made of", _PAPER),
    ("softmax-confidence", "ConfidenceConfig", "synapses:SoftmaxConfidence",
     "the largest attention weight of a query", _PAPER),
)  # fmt: skip


@hookimpl
def search_space() -> Iterator[Component]:
    yield Component(
        "flexibert",
        config=f"{_PACKAGE}.config:FlexiBertConfig",
        factory=f"{_PACKAGE}.flexibert:FlexiBert",
        summary="small encoders that differ in width, depth, operations, heads and feed-forward networks",
        paper=f"{_PAPER}; Tuli et al., FlexiBERT, JAIR 2023",
        role="space",
    )
    yield Component(
        "rnn-cells",
        config=f"{_PACKAGE}.config:RnnCellsConfig",
        factory=f"{_PACKAGE}.rnn_cells:RnnCells",
        summary="cells of recurrent networks, as graphs of simple operations",
        paper="Klyuchnikov et al., NAS-Bench-NLP: Neural Architecture Search Benchmark for NLP, IEEE Access 2022",
        role="space",
    )
    for name, config, factory, summary, paper in _PROXIES:
        yield Component(
            name,
            config=f"{_PACKAGE}.config:{config}",
            factory=f"{_PACKAGE}.{factory}",
            summary=summary,
            paper=paper,
            role="proxy",
        )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command(
        "nas-bench", f"{_PACKAGE}.cli:nas_bench", "recompute a published benchmark of proxies, or run others on it"
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "training-free-nas",
        f"{_PACKAGE}.reproduce:run",
        claim="hidden covariance ranks recurrent cells better than other proxies; no proxy beats size for transformers",
        paper=_PAPER,
        minutes=8,
        collection="python-docs",
    )
