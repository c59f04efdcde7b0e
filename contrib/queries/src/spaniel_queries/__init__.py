"""Rewriting queries, and passages of long documents: adds the kind ``rewrite`` and the wrapper ``passages``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Component, Kind, hookimpl


@hookimpl
def kinds() -> Iterator[Kind]:
    yield Kind(
        "rewrite",
        "queries → queries, or several texts for each",
        {"": "spaniel_queries.protocol:Rewriter"},
        hookspecs="spaniel_queries.hookspecs",
        follows="never",
        call="rewrite",
        gives="queries",
    )


@hookimpl
def rewrite() -> Iterator[Component]:
    yield Component("lower-case", factory="spaniel_queries.plain:LowerCase", summary="small letters, in every script")
    yield Component(
        "stop-phrases",
        config="spaniel_queries.config:StopPhrases",
        factory="spaniel_queries.plain:StopPhrases",
        summary="leave out what begins questions and says nothing, such as `what is the`",
    )
    yield Component(
        "spelling",
        config="spaniel_queries.config:Spelling",
        factory="spaniel_queries.spelling:Spelling",
        summary="replace words that no document has by the nearest that documents have",
        paper="Damerau, A Technique for Computer Detection and Correction of Spelling Errors, 1964",
    )
    yield Component(
        "cooccurrence",
        config="spaniel_queries.config:Cooccurrence",
        factory="spaniel_queries.cooccurrence:Cooccurrence",
        summary="add the words that documents use together with those of the query",
        paper="Dunning, Accurate Methods for the Statistics of Surprise and Coincidence, 1993",
    )
    yield Component(
        "feedback-words",
        config="spaniel_queries.config:FeedbackWords",
        factory="spaniel_queries.feedback:FeedbackWords",
        summary="add words of the first documents of the earlier run, before another retriever",
        paper="Rocchio, Relevance Feedback in Information Retrieval, 1971",
        follows="must",
    )
    yield Component(
        "hyde",
        config="spaniel_queries.config:Hyde",
        factory="spaniel_queries.asking:Hyde",
        summary="search for passages that a language model writes as answers",
        paper="Gao et al., Precise Zero-Shot Dense Retrieval without Relevance Labels, ACL 2023",
    )
    yield Component(
        "query2doc",
        config="spaniel_queries.config:Query2doc",
        factory="spaniel_queries.asking:Query2doc",
        summary="the query, several times, and a passage that a language model writes for it",
        paper="Wang, Yang and Wei, Query2doc: Query Expansion with Large Language Models, EMNLP 2023",
    )
    yield Component(
        "variants",
        config="spaniel_queries.config:VariantsOf",
        factory="spaniel_queries.asking:VariantsOf",
        summary="several rewrites by a language model, whose runs are fused",
        paper="Rackauckas, RAG-Fusion: A New Take on Retrieval-Augmented Generation, 2024",
    )


@hookimpl
def retrieve() -> Iterator[Component]:
    yield Component(
        "passages",
        config="spaniel_queries.config:Passages",
        factory="spaniel_queries.passages.wrapper:Passages",
        summary="any system or reranker over the passages of documents, whose scores become theirs",
        paper="Dai and Callan, Deeper Text Understanding for IR with Contextual Neural Language Modeling, SIGIR 2019",
    )


@hookimpl
def explain() -> Iterator[Component]:
    yield Component(
        "passage-parts",
        factory="spaniel_queries.passages.explainer:PassageParts",
        summary="which passages a document's score is made of, and how each got its own",
        takes=("retrieve/passages",),
    )
