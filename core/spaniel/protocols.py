"""What the components of each kind promise.

Every factory is called as ``factory(config, context)``; it stores and loads nothing. Models and indexes are loaded
on first use, artifacts are obtained through ``context.obtain``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from spaniel.data import Corpus, Queries, Run, Vectors
    from spaniel.explanation import Explanation
    from spaniel.store import Artifact, Draft, Need

Role = Literal["query", "document"]
Metadata = Sequence[Mapping[str, Any]]


@runtime_checkable
class Encoder(Protocol):
    """Texts in a role → one or several named representations from one pass."""

    def encode(self, texts: Sequence[str], role: Role, metadata: Metadata | None = None) -> Mapping[str, Vectors]:
        """Return, for each name in the component's ``gives``, vectors with one row per text, in the order given.

        The result for a text depends neither on the other texts nor on the batch size, up to float rounding.
        ``metadata`` holds one mapping per text (domain, instruction …) and may be ignored.
        """
        ...

    def fingerprint(self, role: Role) -> Mapping[str, str]:
        """Digests of what decides the output beyond the options (weights, tokenizer), without loading the model."""
        ...


@runtime_checkable
class Indexer(Protocol):
    """A corpus, or vectors of it → an index on disk."""

    can_add: bool
    can_delete: bool

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the index beyond the options, such as the name and version of an analyzer."""
        ...

    def build(self, source: Corpus | Vectors, draft: Draft) -> None:
        """Write the index's files into the draft."""
        ...

    def open(self, artifact: Artifact) -> Index:
        """Open an index that :meth:`build` wrote; runs no code from it."""
        ...


@runtime_checkable
class Index(Protocol):
    """An opened index."""

    def __len__(self) -> int:
        """Number of documents."""
        ...

    def search(self, queries: Sequence[str] | Vectors, k: int) -> Run:
        """Return the ``k`` best rows of each query, fewer where fewer match, under the tie rule of :class:`Run`."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """Queries, with an earlier run as feedback where the method wants one → a run."""

    def needs(self, corpus: Need) -> Sequence[Need]:
        """Name the artifacts that retrieval from a corpus needs, which may not exist yet; builds and loads nothing."""
        ...

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return a run with one list per query; an empty query gets an empty list unless the method can rank for it."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Queries and a run → a run over the same queries."""

    def rerank(self, queries: Queries, run: Run, corpus: Corpus) -> Run:
        """Return a run that holds no document that was not in ``run`` for its query."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """What a pointwise reranker also is: the score of any query with any text."""

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """Score pairs: ``(n,)`` float32 for ``n`` queries and ``n`` texts; pairs do not influence each other."""
        ...


@runtime_checkable
class SearchSpace(Protocol):
    """Candidates that can be sampled, mutated, crossed, checked, hashed, saved and built.

    A candidate is JSON (mappings, lists, strings, numbers), so that saving and hashing are the same for every space.
    """

    def sample(self, rng: np.random.Generator) -> Any:
        """Return a valid candidate."""
        ...

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Any:
        """Return a valid candidate near this one; the argument is left as it was."""
        ...

    def cross(self, first: Any, second: Any, rng: np.random.Generator) -> Any:
        """Return a valid candidate made of parts of both."""
        ...

    def validate(self, candidate: Any) -> None:
        """Raise :class:`spaniel.UsageError` where the candidate does not belong to the space."""
        ...

    def canonical(self, candidate: Any) -> Any:
        """Return the form that equal candidates share; its JSON is what is hashed."""
        ...

    def build(self, candidate: Any, seed: int) -> Any:
        """Make the thing that the candidate describes: a model, a prompt, a pipeline."""
        ...


@runtime_checkable
class Proxy(Protocol):
    """A cheap score of a candidate."""

    direction: Literal["maximise", "minimise"]

    def score(self, space: SearchSpace, candidate: Any, seed: int) -> float:
        """Return the candidate's score."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """A way to walk a space: ask for candidates, tell their scores (higher is better)."""

    def start(self, space: SearchSpace, rng: np.random.Generator) -> None:
        """Begin a walk of this space."""
        ...

    def ask(self) -> Any:
        """Return the next candidate to evaluate."""
        ...

    def tell(self, candidate: Any, score: float) -> None:
        """Report the score of a candidate that was asked for."""
        ...


@runtime_checkable
class Explainer(Protocol):
    """A component and an input → an explanation."""

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores that ``target`` (an object made by its factory) gives to documents for a query.

        One explanation a row. The contributions add up to the score to 1e-5, or the remainder is named.
        """
        ...


@runtime_checkable
class Dataset(Protocol):
    """A test collection (kind ``dataset``, offered by distributions; folders are the core's own)."""

    @property
    def name(self) -> str:
        """Name of the collection, for readers."""
        ...

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits that have judgments."""
        ...

    def documents(self) -> Need:
        """Name the document store of the collection."""
        ...

    def queries(self, split: str) -> Queries:
        """Return the queries of a split: those with judgments, where the split has judgments."""
        ...

    def qrels(self, split: str) -> Any:
        """Return the :class:`spaniel.data.Qrels` of a split."""
        ...
