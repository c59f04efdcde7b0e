"""Search with an expensive scorer under a budget of calls: ANNCUR, ADACUR and AXN."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, Experiment, hookimpl

_ANNCUR = (
    "Yadav et al., Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix Factorization, EMNLP 2022"
)
_ADACUR = (
    "Yadav et al., Efficient k-NN Search with Cross-Encoders using Adaptive Multi-Round CUR Decomposition, Findings of "
    "EMNLP 2023"
)
_AXN = "Yadav et al., Adaptive Retrieval and Scalable Indexing for k-NN Search with Cross-Encoders, ICLR 2024"


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "cur",
        config="spaniel_anncur.config:CurIndexConfig",
        factory="spaniel_anncur.cur_index:CurIndexer",
        summary="a CUR decomposition of a score matrix: its rows as vectors of the documents, and anchor documents",
        paper=_ANNCUR,
        takes=("dense",),
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "anncur",
        config="spaniel_anncur.config:AnncurConfig",
        factory="spaniel_anncur.retriever:Anncur",
        summary="the whole collection by an expensive scorer: a few anchors scored, the rest estimated, the best scored",
        paper=_ANNCUR,
        follows="never",
    )
    yield Component(
        "adacur",
        config="spaniel_anncur.config:AdacurConfig",
        factory="spaniel_anncur.retriever:Adacur",
        summary="ANNCUR in rounds: the documents scored next are the best by the estimate so far",
        paper=_ADACUR,
        follows="may",
    )
    yield Component(
        "axn",
        config="spaniel_anncur.config:AxnConfig",
        factory="spaniel_anncur.retriever:Axn",
        summary="ADACUR over vectors fitted to a small part of the scores, beginning from a dense encoder's",
        paper=_AXN,
        follows="may",
    )


@hookimpl
def rerank() -> Iterator[Component]:
    yield Component(
        "adacur-rerank",
        config="spaniel_anncur.config:AdacurRerankConfig",
        factory="spaniel_anncur.reranker:AdacurReranker",
        summary="a long list by an expensive scorer, within a budget of calls",
        paper=_ADACUR,
    )
    yield Component(
        "emb-cross-encoder",
        config="spaniel_anncur.config:EmbCrossEncoderConfig",
        factory="spaniel_anncur.emb_cross_encoder:EmbCrossEncoder",
        summary="reads query and document together and compares the vectors at their markers",
        paper=_ANNCUR,
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "anchor-queries",
        factory="spaniel_anncur.explainer:AnchorQueries",
        summary="which anchor queries an estimated score is made of, and what the estimate misses",
        paper=_ANNCUR,
        takes=("retrieve/anncur", "retrieve/adacur"),
    )


@hookimpl(optionalhook=True)
def trainee() -> Iterator[Component]:
    yield Component(
        "emb-cross-encoder",
        config="spaniel_anncur.config:MarkersConfig",
        factory="spaniel_anncur.learning:EmbCrossEncoderMaker",
        summary="a cross-encoder that compares the vectors at its markers",
        paper=_ANNCUR,
        extra="train",
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "anncur",
        "spaniel_anncur.reproduce:run",
        "for many neighbours, CUR finds more of a scorer's best documents than reranking does at equal calls; adaptive "
        "anchors find more than random ones",
        _ANNCUR,
        minutes=4,
        collection="python-docs",
        extra="reproduce",
    )
