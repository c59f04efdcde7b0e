"""Search for Spaniel: strategies, proxies, a space of pipelines, and the commands ``explore`` and ``correlate``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, hookimpl

_STRATEGIES = (
    ("random", "Random", "sampling:Random", "independent samples",
     "Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012"),
    ("genetic", "Genetic", "genetic:Genetic", "generations of children of the best so far, by crossing and mutation",
     "Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, ECCV 2020"),
    ("ageing-evolution", "AgeingEvolution", "ageing:AgeingEvolution",
     "mutate the best of a few of the living; the oldest dies",
     "Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019"),
    ("particle-swarm", "ParticleSwarm", "swarm:ParticleSwarm",
     "particles drawn to their own best place and to the swarm's",
     "Clerc and Kennedy, The Particle Swarm, IEEE TEC 2002; by crossing: Zang et al., ACL 2020"),
    ("greedy", "Greedy", "greedy:Greedy", "climb to the best of some neighbours, and begin anew at the top",
     "Russell and Norvig, Artificial Intelligence: A Modern Approach, random-restart hill climbing"),
    ("successive-halving", "SuccessiveHalving", "halving:SuccessiveHalving",
     "many candidates at little effort, fewer and fewer at more",
     "Jamieson and Talwalkar, AISTATS 2016; Li et al., Hyperband, JMLR 2018"),
    ("funnel", "Funnel", "funnel:Funnel", "sample many, and score in full only what cheap proxies leave",
     "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021"),
)  # fmt: skip


@hookimpl
def search_space() -> Iterator[Component]:
    for name, config, factory, summary, paper in _STRATEGIES:
        yield Component(
            name,
            config=f"spaniel_search.config:{config}",
            factory=f"spaniel_search.strategies.{factory}",
            summary=summary,
            paper=paper,
            role="strategy",
        )
    yield Component(
        "optuna",
        config="spaniel_search.config:OptunaConfig",
        factory="spaniel_search.strategies.study:OptunaStudy",
        summary="Optuna's tree-structured Parzen estimator, for spaces with axes",
        paper="Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Akiba et al., Optuna, KDD 2019",
        role="strategy",
        extra="optuna",
    )
    yield Component(
        "count",
        config="spaniel_search.config:CountConfig",
        factory="spaniel_search.proxies:Count",
        summary="a size of the candidate (parameters, depth, flops …): what every other proxy has to beat",
        role="proxy",
    )
    yield Component(
        "pipelines",
        config="spaniel_search.config:PipelinesConfig",
        factory="spaniel_search.pipelines.space:Pipelines",
        summary="every way to fill the holes of an expression, as in `bm25(k1=?, b=?) >> ?rerank`",
        role="space",
    )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("explore", "spaniel_search.cli:explore", "fill the holes of a pipeline with what works best")
    yield Command("walk", "spaniel_search.cli:walk", "find the candidate of a space that a proxy likes best")
    yield Command("correlate", "spaniel_search.cli:correlate", "show how well cheap scores rank candidates")
