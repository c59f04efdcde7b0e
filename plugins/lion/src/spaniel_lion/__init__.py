"""Lion for Spaniel: the optimizer, any program as an optimizer or a ranking function, and the search that finds them."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Experiment, hookimpl

_PAPER = "Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023"


@hookimpl
def optimizer() -> Iterator[Component]:
    yield Component(
        "lion",
        config="spaniel_lion.config:LionConfig",
        factory="spaniel_lion.optimizers:LionMaker",
        summary="each weight moves by the learning rate, by the sign of a momentum; one number kept for each parameter",
        paper=f"{_PAPER}, algorithm 2",
    )
    yield Component(
        "cautious-lion",
        config="spaniel_lion.config:LionConfig",
        factory="spaniel_lion.optimizers:LionMaker",
        summary="Lion without the moves that go against the gradient's own sign",
        paper="Liang et al., Cautious Optimizers: Improving Training with One Line of Code, 2024, algorithm 1",
        options={"caution": 0.0},
    )
    yield Component(
        "program",
        config="spaniel_lion.config:ProgramOptimizerConfig",
        factory="spaniel_lion.optimizers:ProgramMaker",
        summary="an update rule given as a program, such as one that a search has found",
        paper=f"{_PAPER}, section 2.1",
    )


@hookimpl
def index() -> Iterator[Component]:
    yield Component(
        "ranked",
        config="spaniel_lion.config:RankedIndex",
        factory="spaniel_lion.ranking.indexer:RankedIndexer",
        summary="how often each word occurs in each document; searched by a program",
        takes=("corpus",),
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "ranked",
        config="spaniel_lion.config:Ranked",
        factory="spaniel_lion.ranking.retriever:RankedRetriever",
        summary="lexical retrieval by a program, such as one that a search has found; BM25 is one",
        paper=f"{_PAPER}, section 2, with another signature",
    )


@hookimpl
def search_space() -> Iterator[Component]:
    yield Component(
        "programs",
        config="spaniel_lion.config:ProgramsConfig",
        factory="spaniel_lion.space:Programs",
        summary="programs that update weights from gradients: put in, taken out and changed statement by statement",
        paper=f"{_PAPER}, section 2",
        role="space",
    )
    yield Component(
        "ranking-programs",
        config="spaniel_lion.config:RankingProgramsConfig",
        factory="spaniel_lion.space:RankingPrograms",
        summary="programs that score documents from counts of words, starting from BM25",
        paper=f"{_PAPER}, section 2, with another signature",
        role="space",
    )
    yield Component(
        "judgments",
        config="spaniel_lion.config:JudgmentsConfig",
        factory="spaniel_lion.ranking.proxy:Judgments",
        summary="how well a program ranks the judged queries of a collection; some validate, and some are held out",
        role="proxy",
    )
    yield Component(
        "digits",
        config="spaniel_lion.config:DigitsConfig",
        factory="spaniel_lion.proxies:Digits",
        summary="how well a program trains a small network on handwritten digits",
        paper=f"{_PAPER}, section 2.2",
        role="proxy",
        extra="digits",
    )
    yield Component(
        "titles",
        config="spaniel_lion.config:TitlesConfig",
        factory="spaniel_lion.proxies:Titles",
        summary="how well a program trains a small encoder to find the text that a title is of",
        paper=f"{_PAPER}, section 2.3",
        role="proxy",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command(
        "programs",
        "spaniel_lion.cli:programs",
        "look at programs that update weights or score documents, and search for better ones",
    )


@hookimpl
def experiments() -> Iterator[Experiment]:
    yield Experiment(
        "lion",
        "spaniel_lion.reproduce:run",
        "Lion trains an encoder as well as AdamW with half the state, and a search over programs beats tuning AdamW",
        _PAPER,
        minutes=9,
        collection="python-docs",
        extra="reproduce",
    )
