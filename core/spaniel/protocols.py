"""What the components of each kind promise.

Every factory is called as ``factory(config, context)``; it stores and loads nothing. Models and indexes are loaded
on first use, artifacts are obtained through ``context.obtain``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    """A corpus, or vectors of it → an index on disk.

    Attributes:
        can_add: whether its indexes are :class:`LivingIndex` and take in documents.
        can_delete: whether its indexes are :class:`LivingIndex` and let documents go.
        can_filter: whether its indexes search among the rows of a mask.
        recall: what share of the true best 10 its indexes find at the least, on the clustered vectors that the contract
            tests with; 1 says that they are exact. One that does not say is held to 1.

    An indexer whose ``is_random`` is true builds another index under another seed; of others, the seed is no part of the
    recipe.
    """

    can_add: bool
    can_delete: bool
    can_filter: bool
    recall: float

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the index beyond the options, such as the name and version of an analyzer, or of an engine."""
        ...

    def build(self, source: Corpus | Vectors, draft: Draft) -> None:
        """Write the index's files into the draft; the documents get the rows 0, 1, 2 … in the order of the source."""
        ...

    def check(self, artifact: Artifact) -> None:
        """Look once through all numbers of an index that was not built here, before it is first opened.

        Its digests are right, and its numbers may be anything. What passes can be opened and searched without reading or
        writing out of bounds, and its scores are finite; :mod:`spaniel.contents` has what such a check is made of. Where an
        engine's own file cannot be looked through, the check refuses it: the index is then opened only in the store that
        built it, or where the user said to trust the sender.

        Raises:
            ArtifactError: something is out of bounds; the message names the file.
        """
        ...

    def open(self, artifact: Artifact) -> Index:
        """Open an index that :meth:`build` or :meth:`LivingIndex.save` wrote; runs no code from it.

        Each call returns an object of its own. It shares no state with others that could change. Options that are marked
        by :data:`spaniel.config.SEARCHES` take effect here; the index was built whatever they are.
        """
        ...


@runtime_checkable
class Index(Protocol):
    """An opened index: documents under their rows.

    A row is a whole number from 0 to 2**31 - 1 that says which document is meant; the lower of two rows wins a tie. The
    index does not choose rows: those that it was built with are 0, 1, 2 … in the order of its source, and those that are
    added come with the rows that the caller gives them. A row stays the document's own until that is deleted; nothing is
    ever renumbered, so rows may have gaps.

    Any number of threads may search at once. One that compares everything where that is faster than its engine has
    ``asks_engine``, false; the contract sets it true where it looks at what the engine itself finds.
    """

    def __len__(self) -> int:
        """Number of documents."""
        ...

    def search(self, queries: Sequence[str] | Vectors, k: int, allowed: NDArray[np.bool_] | None = None) -> Run:
        """Return the ``k`` best rows of each query, fewer where fewer match, under the tie rule of :class:`Run`.

        Scores are the true scores of what is returned, also where an index is approximate in what it finds.

        Args:
            queries: texts for an index of texts, vectors for one of vectors.
            k: how many; 0 gives empty lists.
            allowed: ``(n,)`` bool, whether each row may be returned, the same for all queries; rows past its end may
                not. It is given only where the indexer says ``can_filter``, and the answer is that of an index that
                holds the allowed documents alone, with the scores of this one.
        """
        ...


@runtime_checkable
class LivingIndex(Index, Protocol):
    """An index that changes: in memory, until :meth:`save` writes it as another artifact.

    Artifacts never change, so whoever changes an index opens one of its own; :func:`spaniel.indexing.changed_need` does
    so, and names what comes out by its base and the change. A change runs alone, without searches at the same time. An
    index whose indexer can only add or only delete raises :class:`spaniel.UsageError` for the other. A change that is
    refused leaves the index as it was.
    """

    def add(self, source: Corpus | Vectors, rows: NDArray[np.integer[Any]]) -> None:
        """Take in the documents of ``source`` under ``rows``, ``(len(source),)``, in any order.

        Raises:
            UsageError: a row is held already, comes twice or is out of range, or the source does not fit the index.
        """
        ...

    def delete(self, rows: NDArray[np.integer[Any]]) -> None:
        """Let documents go; their rows are free again.

        Raises:
            UsageError: a row is not held, or comes twice.
        """
        ...

    def save(self, draft: Draft) -> None:
        """Write the index as it is now, without what was deleted, for :meth:`Indexer.open`."""
        ...


@runtime_checkable
class Retriever(Protocol):
    """Queries, with an earlier run as feedback where the method wants one → a run."""

    def needs(self, corpus: Need) -> Sequence[Need]:
        """Name the artifacts that retrieval from a corpus needs, which may not exist yet; builds and loads nothing.

        Components that its options name are asked for theirs. One whose systems search another corpus than its own says
        ``covers_systems = True``, and names what they need itself.
        """
        ...

    def retrieve(self, queries: Queries, corpus: Corpus, run: Run | None = None) -> Run:
        """Return a run with one list per query; an empty query gets an empty list unless the method can rank for it."""
        ...


@runtime_checkable
class RowScorer(Protocol):
    """What a retriever also is that scores documents without a search: explanations ask for few, and of many queries."""

    def score_rows(self, queries: Queries, rows: Sequence[int], corpus: Corpus, run: Run | None = None) -> np.ndarray:
        """Score every query with every document: ``(queries, rows)`` float64.

        They are the scores that :meth:`Retriever.retrieve` gives behind the same ``run``, whatever ``k`` and a filter
        leave of its lists; a document that no list would hold scores what the method's formula says, or 0.
        """
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

    def fingerprint(self) -> Mapping[str, str]:
        """Digests of what decides scores beyond the options, without loading a model: what names scores that are kept."""
        ...


@runtime_checkable
class SearchSpace(Protocol):
    """Candidates that can be sampled, mutated, crossed, checked, hashed, saved and built.

    A candidate is JSON (mappings, lists, strings, numbers), so that saving it is ``json.dumps`` and its hash is the
    digest of its canonical form, for every space alike. What else a space may offer is in :class:`Coordinates`,
    :class:`Countable` and :class:`Tapped`.
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


class Axis(NamedTuple):
    """One coordinate of a candidate.

    Attributes:
        name: what it is.
        size: number of its values, which are then 0, 1, 2 …; 0 for a real number from 0 to 1.
        ordered: whether neighbouring values are alike.
    """

    name: str
    size: int = 0
    ordered: bool = True


@runtime_checkable
class Coordinates(Protocol):
    """What a space also is whose candidates are points, for strategies that move along axes."""

    axes: Sequence[Axis]

    def place(self, candidate: Any) -> list[float]:
        """Return the point of a candidate, one number an axis."""
        ...

    def at(self, point: Sequence[float]) -> Any:
        """Return the valid candidate at a point; axes that do not matter there are passed over."""
        ...


@runtime_checkable
class Countable(Protocol):
    """What a space also is whose candidates can be counted without being built."""

    def counts(self, candidate: Any) -> Mapping[str, float]:
        """Return sizes by name (``"parameters"``, ``"depth"``, ``"flops"`` …), which every proxy has to beat."""
        ...


@runtime_checkable
class Tapped(Protocol):
    """What a space also is that can run a candidate once and show what went on inside."""

    def forward(self, candidate: Any, seed: int, taps: Sequence[str]) -> Mapping[str, Any]:
        """Build a candidate, run it once on the space's own data, and return what each named tap saw."""
        ...


@runtime_checkable
class Proxy(Protocol):
    """A cheap score of a candidate.

    A proxy that reads data is a :class:`DataProxy`, one that reads what a forward pass shows a :class:`TapProxy`.
    """

    direction: Literal["maximise", "minimise"]

    def score(self, space: SearchSpace, candidate: Any, seed: int) -> float:
        """Return the candidate's score."""
        ...


@runtime_checkable
class DataProxy(Proxy, Protocol):
    """A proxy that reads data of its own; ``data`` is their digest, so that scores of other data are not taken for it."""

    data: str


@runtime_checkable
class TapProxy(Proxy, Protocol):
    """A proxy that reads taps, so that many of them share one forward pass of a :class:`Tapped` space."""

    taps: Sequence[str]

    def score_taps(self, seen: Mapping[str, Any]) -> float:
        """Return the candidate's score from what the taps saw; ``score`` returns the same after a pass of its own."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """A way to walk a space: ask for candidates, tell their scores (higher is better).

    Several candidates may be asked for before the first is told; they are told in the order of asking. All that
    decides what comes next is in the state, so that a walk that was stopped goes on as if it had not been.
    """

    def start(self, space: SearchSpace, rng: np.random.Generator, seeds: Sequence[Any] = ()) -> None:
        """Begin a walk of this space, with candidates to ask for first."""
        ...

    def ask(self) -> Any:
        """Return the next candidate to evaluate."""
        ...

    def tell(self, candidate: Any, score: float) -> None:
        """Report the score of a candidate that was asked for; one that failed scores ``-sys.float_info.max``."""
        ...

    def state(self) -> Any:
        """Return the state of the walk as JSON."""
        ...

    def restore(self, space: SearchSpace, state: Any) -> None:
        """Go on from a state of an earlier walk of this space, made with the same options."""
        ...


@runtime_checkable
class Staged(Strategy, Protocol):
    """A strategy that has candidates scored at less than full effort first."""

    effort: float
    """Share of the full effort, above 0 and up to 1, at which the candidate that was asked for last is to be scored."""


@runtime_checkable
class Explainer(Protocol):
    """A component and an input → an explanation.

    What it explains is in its declaration: ``takes=("retrieve/bm25",)`` names components, ``"rerank/*"`` every component
    of a kind (such an explainer is an :class:`OpenExplainer`), and ``"pipeline"`` whole pipelines, of which ``target`` is
    then the checked :class:`spaniel.pipeline.Pipeline`.

    One whose class says ``exact = True`` leaves no remainder: its parts add up to the score that the target's list has, to
    1e-5 of its size, and the contract holds it to that.
    """

    def explain(self, target: Any, query: str, rows: Sequence[int], corpus: Corpus) -> Sequence[Explanation]:
        """Explain the scores that ``target`` (an object made by its factory) gives to documents for a query.

        One explanation a row. The contributions add up to the score to 1e-5, or the remainder is named. Spans of parts
        are places in the query and in the document's contents.
        """
        ...


@runtime_checkable
class OpenExplainer(Explainer, Protocol):
    """An explainer that takes every component of a kind, and says which of them it can explain."""

    def accepts(self, target: Any) -> bool:
        """Return whether this object can be explained; loads no model."""
        ...


@runtime_checkable
class LateExplainer(Explainer, Protocol):
    """An explainer of stages whose scores depend on the run before them."""

    def explain_behind(
        self, target: Any, query: str, rows: Sequence[int], corpus: Corpus, run: Run | None
    ) -> Sequence[Explanation]:
        """Explain as :meth:`Explainer.explain` does, the scores that ``target`` gives behind an earlier run.

        ``run`` has one list, that of the query; ``None`` where the target begins its pipeline. A target that is a
        :class:`Scorer` does not depend on it: :meth:`Explainer.explain` is asked for its own scores, and the weight of the
        run is added to what it says.
        """
        ...


@runtime_checkable
class Dataset(Protocol):
    """A test collection (kind ``dataset``, offered by distributions; folders are the core's own).

    It may have ``judging``, a :class:`spaniel.data.Judging`: what is relevant, and whether a query's own document counts.
    """

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
