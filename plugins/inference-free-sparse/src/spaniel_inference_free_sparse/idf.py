"""Weights of query terms: how rare a token is among the documents of a collection."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from spaniel import ArtifactError, Corpus, UsageError
from spaniel.store import Need, Recipe, digest_bytes

from spaniel_inference_free_sparse.tokens import count_tokens, read_tokenizer, special_tokens

if TYPE_CHECKING:
    from spaniel.store import Artifact, Draft
    from tokenizers import Tokenizer

ENGLISH = Path(__file__).with_name("english.json.gz")
"""Documents and document frequencies of BERT's uncased tokens over the glosses of WordNet 3.0 (WordNet licence)."""
PART = 65_536
"""Documents counted and recorded together; a count that was killed loses at most one part."""
_SLICE = 2_048
_TABLE = "frequencies.npy"


@dataclass(frozen=True, eq=False)
class Counts:
    """In how many documents each token comes.

    Attributes:
        documents: those with at least one token that is not special.
        frequencies: ``(vocabulary,)`` float64; not whole numbers where counts were mixed.
    """

    documents: float
    frequencies: NDArray[np.float64]

    def mixed(self, background: Counts, amount: float) -> Counts:
        """Return the counts with ``amount`` documents more, of the background's average kind."""
        share = amount / max(1.0, background.documents)
        return Counts(self.documents + amount, self.frequencies + share * background.frequencies)

    def weights(self, default: float) -> NDArray[np.float32]:
        """Return ln(1 + (N - df + 0.5) / (df + 0.5)) of each token, and ``default`` where a token has no document.

        The formula is that of the published tables: with N = 8,841,823 passages a token of one passage has 15.589539.
        """
        df = self.frequencies
        made = np.log1p((self.documents - df + 0.5) / (df + 0.5))
        return np.where(df > 0, made, default).astype(np.float32)


def count_documents(
    tokenizer: Tokenizer, texts: list[str], special: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64]]:
    """Return how many texts have a token that is not special, and ``(vocabulary,)`` in how many each token comes."""
    offsets, tokens, _ = count_tokens(tokenizer, texts)
    ordinary = ~np.isin(tokens, special)
    owners = np.repeat(np.arange(len(texts)), np.diff(offsets))
    held = np.bincount(tokens[ordinary], minlength=tokenizer.get_vocab_size())
    return len(np.unique(owners[ordinary])), held


def counts_need(tokenizer: Path, corpus: Need) -> Need:
    """Name the counts of a corpus by the tokenizer in a folder; counted once, in parts that resume."""

    def build(draft: Draft) -> None:
        documents = Corpus.open(draft.inputs[0], corpus)
        reader = read_tokenizer(tokenizer)
        special = special_tokens(reader)
        advance = draft.progress(len(documents), "documents")
        total, table = 0, np.zeros(reader.get_vocab_size(), np.int64)
        for start in range(0, len(documents), PART):
            stop = min(len(documents), start + PART)
            path = draft.file(f"part-{start // PART:06d}.npy")
            if not draft.done(path.name):
                # The last number is how many documents had a token.
                part = np.zeros(len(table) + 1, np.int64)
                for first in range(start, stop, _SLICE):
                    rows = range(first, min(stop, first + _SLICE))
                    found, held = count_documents(reader, documents.contents(rows), special)
                    part[:-1] += held
                    part[-1] += found
                    advance(len(rows))
                with path.open("wb") as file:
                    np.save(file, part)
                draft.finish(path.name, path)
            else:
                advance(stop - start)
            kept = np.load(path, allow_pickle=False)
            table += kept[:-1]
            total += int(kept[-1])
        with draft.file(_TABLE).open("wb") as file:
            np.save(file, table)
        draft.info.update(documents=total, tokens=int((table > 0).sum()))

    recipe = Recipe(
        type="idf",
        component="spaniel-inference-free-sparse/idf",
        version=version("spaniel-inference-free-sparse"),
        inputs={
            "corpus": corpus.recipe.address,
            "tokenizer": digest_bytes((tokenizer / "tokenizer.json").read_bytes()),
        },
    )
    return Need(recipe, build, (corpus,))


def open_counts(artifact: Artifact) -> Counts:
    """Read the counts of a corpus.

    Raises:
        ArtifactError: they are damaged.
    """
    path = artifact.file(_TABLE)
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"cannot be read ({error}); remove the artifact, and it is counted again") from error
    return Counts(float(artifact.info["documents"]), table.astype(np.float64))


def english_counts(tokenizer: Tokenizer) -> Counts:
    """Return the counts that come with the package, in a tokenizer's numbers.

    Raises:
        UsageError: the tokenizer has other tokens.
    """
    content: dict[str, Any] = json.loads(gzip.decompress(ENGLISH.read_bytes()))
    table, known = _by_number(tokenizer, content["frequencies"])
    if known < 0.9 * len(content["frequencies"]):
        raise UsageError(
            "the table `english` counts the tokens of uncased English BERT, and this model has others; give a collection as "
            "idf, over which they are counted"
        )
    return Counts(float(content["documents"]), table)


def read_table(path: Path, tokenizer: Tokenizer, default: float) -> NDArray[np.float32]:
    """Read weights from a JSON file of token and weight, as the released models have it (``idf.json``).

    Args:
        path: of the file.
        tokenizer: whose numbers are wanted; tokens that it lacks are passed over.
        default: weight of tokens that the file lacks.

    Raises:
        UsageError: it is no such file, or has no token of this tokenizer.
    """
    try:
        content = json.loads(path.read_bytes())
        held = {str(token): float(weight) for token, weight in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON file of token and weight ({error})") from error
    if not all(map(np.isfinite, held.values())):
        raise UsageError(f"{path} has a weight that is not finite")
    table, known = _by_number(tokenizer, held, default)
    if not known:
        raise UsageError(f"{path} has no token of this model's tokenizer; it was made for another one")
    return table.astype(np.float32)


def write_table(weights: NDArray[np.float32], tokenizer: Tokenizer, path: Path) -> None:
    """Write the weights above 0 as a JSON file of token and weight, in the order of their numbers."""
    held = {
        tokenizer.id_to_token(number): round(float(weights[number]), 7)
        for number in np.flatnonzero(weights > 0).tolist()
    }
    path.write_text(json.dumps(held, ensure_ascii=False, indent=0), encoding="utf-8")


def _by_number(
    tokenizer: Tokenizer, held: Mapping[str, float], default: float = 0.0
) -> tuple[NDArray[np.float64], int]:
    table = np.full(tokenizer.get_vocab_size(), default, np.float64)
    numbers = [tokenizer.token_to_id(token) for token in held]
    known = [number is not None for number in numbers]
    values = np.fromiter(held.values(), np.float64, len(held))
    table[[number for number in numbers if number is not None]] = values[known]
    return table, sum(known)
