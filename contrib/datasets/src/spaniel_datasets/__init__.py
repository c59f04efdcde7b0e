"""Test collections for Spaniel: adds the kind ``dataset``, and the command ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator

from spaniel import Command, Component, Kind, hookimpl


@hookimpl
def kinds() -> Iterator[Kind]:
    yield Kind(
        "dataset",
        "a corpus with queries and judgments",
        {"": "spaniel.protocols:Dataset"},
        hookspecs="spaniel_datasets.hookspecs",
    )


@hookimpl
def dataset() -> Iterator[Component]:
    yield Component(
        "python-docs",
        config="spaniel_datasets.config:PythonDocs",
        factory="spaniel_datasets.embedded:python_docs",
        summary="the documentation that the running Python carries, with questions people ask and graded judgments",
    )
    yield Component(
        "wordnet",
        config="spaniel_datasets.config:WordNet",
        factory="spaniel_datasets.wordnet:dataset",
        summary="an installed WordNet: the usage example of a word is to find its gloss",
        paper="Fellbaum (ed.), WordNet: An Electronic Lexical Database, MIT Press 1998",
    )
    yield Component(
        "irds",
        config="spaniel_datasets.config:IrDatasets",
        factory="spaniel_datasets.irds:dataset",
        summary="any collection that ir_datasets knows, as in irds:beir/nfcorpus/test",
        paper="MacAvaney et al., Simplified Data Wrangling with ir_datasets, SIGIR 2021",
        extra="irds",
    )
    yield Component(
        "folder",
        config="spaniel_datasets.config:Folder",
        factory="spaniel_datasets.folders:dataset",
        summary="a folder in BEIR layout, of TREC's files, or of ordinary files",
    )
    yield Component(
        "files",
        config="spaniel_datasets.config:Files",
        factory="spaniel_datasets.folders:files",
        summary="ordinary files in a folder: text, Markdown, HTML, tables, JSON, PDF, cut into passages",
    )
    from spaniel_datasets.registered import known

    for name, path in known().items():
        yield Component(
            name,
            config="spaniel_datasets.config:Folder",
            factory="spaniel_datasets.folders:dataset",
            summary=f"your folder {path}",
            options={"path": path},
        )


@hookimpl
def commands() -> Iterator[Command]:
    yield Command("datasets", "spaniel_datasets.cli:datasets", "list, show, add and export collections")
