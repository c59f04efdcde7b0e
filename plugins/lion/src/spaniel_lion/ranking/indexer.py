"""Building and opening indexes of counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import Corpus, PluginError
from spaniel.contents import noted, open_array, read_json, require, require_range
from spaniel.store import Artifact, Draft, digest_bytes
from spaniel_bm25.tokens import Tokens, remove_tokens
from spaniel_impacts.building import flush, invert_tokens, write_arrays
from spaniel_impacts.postings import Postings

from spaniel_lion.config import RankedIndex
from spaniel_lion.programs.published import read_program
from spaniel_lion.programs.rule import Rule
from spaniel_lion.programs.signature import RANKING
from spaniel_lion.ranking.counts import CountsIndex

if TYPE_CHECKING:
    from spaniel import Context
    from spaniel_text.protocol import Analyzer

_WRITTEN, _VOCABULARY = "index", "vocabulary.json"


class RankedIndexer:
    """Keeps for each token the documents that hold it and how often, and for each document how many tokens it has.

    Any program searches it: another one builds nothing anew.
    """

    can_add = False
    can_delete = False
    can_filter = True
    recall = 1.0

    def __init__(self, config: RankedIndex, context: Context) -> None:
        self.config = config
        self.context = context

    @cached_property
    def analyzer(self) -> Analyzer:
        analyzer: Analyzer = self.context.create("analyzer", self.config.analyzer)
        return analyzer

    @cached_property
    def rule(self) -> Rule:
        """The program, ready to run.

        Raises:
            UsageError: it is none that scores documents.
        """
        return Rule(read_program(self.config.program, RANKING), RANKING)

    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the tokens."""
        return {"analyzer": dict(self.analyzer.fingerprint())}

    def build(self, source: Any, draft: Draft) -> None:
        """Write the index of a corpus."""
        if not isinstance(source, Corpus):
            raise PluginError("spaniel-lion", f"ranked indexes a corpus, not {type(source).__name__}")
        if not draft.done(_WRITTEN):
            self._write(Tokens(draft, source, self.analyzer), draft)
            draft.finish(_WRITTEN)
        remove_tokens(draft)
        indptr = np.load(draft.file("indptr.npy"), allow_pickle=False)
        # Which token a number stands for is nowhere else to be seen.
        words = digest_bytes(draft.file(_VOCABULARY).read_bytes())
        draft.info.update(documents=len(source), terms=len(indptr) - 1, postings=int(indptr[-1]), vocabulary=words)

    def _write(self, tokens: Tokens, draft: Draft) -> None:
        batches = tokens.batches()
        lengths = np.concatenate([np.empty(0, np.int64), *(lengths for lengths, _ in batches)])
        indptr, indices, counts = invert_tokens(batches, len(tokens.vocabulary), draft)
        flush(indices, counts)
        write_arrays({"indptr": indptr, "lengths": lengths}, draft)
        words = json.dumps(list(tokens.vocabulary), ensure_ascii=False)
        draft.file(_VOCABULARY).write_text(words, encoding="utf-8")

    def check(self, artifact: Artifact) -> None:
        """Look once through all numbers; see :meth:`spaniel.protocols.Indexer.check`.

        Raises:
            ArtifactError: something is out of bounds, or the lengths are not those of the counts.
        """
        from spaniel_impacts.checking import check_postings  # compiled: loaded where it is needed

        documents = noted(artifact, "documents")
        postings = check_postings(artifact, documents, {"indptr", "indices", "data"})
        lengths, vocabulary = _read_rest(artifact, postings)
        require_range(postings.data, 1, 2**24, artifact.path / "data.npy")
        held = np.bincount(postings.indices, postings.data, minlength=documents)
        require(
            np.array_equal(held, lengths), artifact.path / "lengths.npy", "holds lengths other than its counts add to"
        )
        where = artifact.path / _VOCABULARY
        require(len(set(vocabulary)) == len(vocabulary), where, "holds a token twice")
        own = digest_bytes(where.read_bytes()) == artifact.info.get("vocabulary")
        require(own, where, "is not the one that the manifest notes")

    def open(self, artifact: Artifact) -> CountsIndex:
        """Open an index, memory-mapped.

        Raises:
            ArtifactError: it is damaged, or none.
            UsageError: the program is none that scores documents.
        """
        postings = Postings.open(artifact, noted(artifact, "documents"))
        lengths, vocabulary = _read_rest(artifact, postings)
        return CountsIndex(postings, lengths, vocabulary, self.analyzer, self.rule)


def _read_rest(artifact: Artifact, postings: Postings) -> tuple[NDArray[np.int64], list[str]]:
    """Read how many tokens documents have, and the tokens."""
    lengths = open_array(artifact.file("lengths.npy"), np.int64, (postings.documents,))
    where = artifact.file(_VOCABULARY)
    vocabulary = read_json(where)
    fits = isinstance(vocabulary, list) and len(vocabulary) == postings.terms
    fits = fits and all(type(word) is str for word in vocabulary)
    require(fits, where, f"is no list of {postings.terms} tokens")
    return lengths, vocabulary
