"""The headline check: real models with each other's tokenizers, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from spaniel import Context, Corpus, Run
from spaniel.collections import choose_split, find_dataset
from spaniel.evaluation.measures import evaluate
from spaniel.indexing import open_corpus
from spaniel.reproduction import Finding, Reproduction
from spaniel_neural.loading import load_transformer

from spaniel_omp_tokenizer import nearest
from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.donors import donor_folder
from spaniel_omp_tokenizer.measuring import bits_per_byte, bits_per_sum, sentence_vectors
from spaniel_omp_tokenizer.pursuit import combine, pursue
from spaniel_omp_tokenizer.subjects import Subject, plain_texts, pruned, read_subject

SMOLLM2, MINILM = "HuggingFaceTB/SmolLM2-135M-Instruct", "sentence-transformers/all-MiniLM-L6-v2"
ARMS: dict[str, dict[str, Any]] = {
    "OMP": {},
    "OMP, unit atoms": {"normalise_atoms": True},
    "OMP, k=8": {"k": 8},
    "interpolation": {"method": "interpolation"},
    "FOCUS": {"method": "focus"},
    "WECHSEL": {"method": "wechsel"},
    "CLP": {"method": "clp"},
    "subword": {"method": "subword"},
    "mean": {"method": "mean"},
    "zero": {"method": "zero"},
}
"""What is compared: name → options."""
PAPERS = ("FOCUS", "WECHSEL", "mean", "zero")
"""The paper's own comparisons; ZeTT, a trained network, is not among the methods here."""
OWN = "own tokenizer"
_TEXTS, _WORDS, _PIECES, _SUMS = 10, 40, 3000, 40
_QUERIES, _DOCUMENTS, _CHARACTERS, _LENGTH = 30, 150, 240, 48

Figures = dict[str, list[float]]


def run(context: Context, scale: float, seeds: Sequence[int], collection: str) -> Reproduction:
    """Exchange the tokenizers of SmolLM2 and MiniLM, by every method, and measure on texts of a collection."""
    dataset = find_dataset(context, collection)
    corpus = open_corpus(context, dataset.documents())
    small, encoder = donor_folder(context, SMOLLM2), donor_folder(context, MINILM)
    premise = {seed: _premise(seed) for seed in seeds}
    bytes_, sums, pieces = _language(context, small, encoder, corpus, scale, seeds)
    gains = _retrieval(context, encoder, small, corpus, dataset, scale, seeds)
    findings = (
        Finding(
            "on two spaces that are linear images of one, OMP finds the new vectors and averages of neighbours do not",
            "the method's premise; no figure",
            tuple(premise[seed]["omp"] for seed in seeds),
            "cosine to the truth",
            all(p["omp"] > 0.99 > p["interpolation"] > p["mean"] for p in premise.values()),
            _told({name: [p[name] for p in premise.values()] for name in next(iter(premise.values()))})
            + "; synthetic, k=16",
        ),
        Finding(
            "a language model with another tokenizer is best preserved by OMP, of all methods without training",
            "MMLU kept, Qwen's tokenizer for Llama 1B: OMP 99.1 %, zero 99.1 %, FOCUS 73.4 %, WECHSEL 63.0 %",
            tuple(bytes_["OMP"]),
            "bits a byte",
            all(fmean(bytes_["OMP"]) < fmean(bytes_[arm]) for arm in PAPERS),
            f"{_told(bytes_)}; SmolLM2 135M with the {pieces} pieces of BERT's tokenizer that {dataset.name} uses most, the "
            f"donor is MiniLM, texts of {_WORDS} words, {_texts(scale)} a seed",
        ),
        Finding(
            "numbers that are split otherwise cost arithmetic; kept digits do not",
            "GSM8K falls by 73.8 % and 78.7 % where numbers are split otherwise, by 5.6 % where they are not",
            tuple(sums["OMP"]),
            "bits a result of a sum",
            fmean(sums["OMP"]) > fmean(sums["OMP, digits kept"]),
            f"{_told(sums)}; sums of two numbers up to 49",
        ),
        Finding(
            "an encoder with another tokenizer is better preserved by OMP than by the methods that the paper compares it with",
            "not in the paper, whose models are language models",
            tuple(gains["OMP"]),
            "nDCG@10",
            all(fmean(gains["OMP"]) > fmean(gains[arm]) for arm in PAPERS),
            f"{_told(gains)}; MiniLM with SmolLM2's tokenizer and vectors, {_asked(scale)} queries of {dataset.name}, what is "
            f"judged relevant to them and {int(_DOCUMENTS * scale)} more documents a seed",
        ),
    )
    return Reproduction(findings, seeds, scale)


def _texts(scale: float) -> int:
    return max(1, int(_TEXTS * scale))


def _asked(scale: float) -> int:
    return max(5, int(_QUERIES * scale))


def _told(figures: Mapping[str, Sequence[float]]) -> str:
    return ", ".join(f"{name} {fmean(values):.3f}" for name, values in figures.items())


def _premise(seed: int) -> dict[str, float]:
    """Hidden meanings that two models see through different linear maps, with a little noise."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    meanings = drawn(1200, 24)
    donor = meanings @ drawn(24, 48) + 0.05 * drawn(1200, 48)
    base = meanings @ drawn(24, 64) + 0.05 * drawn(1200, 64)
    made = {
        "omp": combine(*pursue(donor[1000:], donor[:1000], 16).weights(), base[:1000]),
        "interpolation": combine(
            *nearest.interpolate(donor[1000:], donor[:1000], 64, "euclidean", "distance"), base[:1000]
        ),
        "mean": base[:1000].mean(0).expand(200, 64),
    }
    similarity = torch.nn.functional.cosine_similarity
    return {name: float(similarity(vectors, base[1000:], dim=1).mean()) for name, vectors in made.items()}


def _options(**options: Any) -> OmpTokenizerConfig:
    return OmpTokenizerConfig(donor="given", held_out=0.0, **options)


def _language(
    context: Context, small: Any, encoder: Any, corpus: Corpus, scale: float, seeds: Sequence[int]
) -> tuple[Figures, Figures, int]:
    """Give SmolLM2 BERT's tokenizer: bits a byte by arm and seed, bits a sum, and the pieces of the tokenizer."""
    whole = read_subject(small, encoder)
    rng = context.rng("omp-tokenizer", "pieces")
    sample = corpus.contents(np.sort(rng.permutation(len(corpus))[: int(2000 * max(1, scale))]))
    subject = pruned(whole, sample, int(_PIECES * max(1, scale)))
    model = load_transformer(small, "causal-lm", device="cpu").model
    own = model.get_input_embeddings().weight.detach().clone()
    texts = {seed: _sample_texts(subject, corpus, seed, _texts(scale)) for seed in seeds}
    numbers = {seed: np.random.default_rng(seed).integers(11, 50, (_SUMS, 2)).tolist() for seed in seeds}
    bytes_: Figures = {}
    sums: Figures = {}
    with context.stage("bits a byte", total=(len(ARMS) + 2) * len(seeds), unit="measurements"):

        def measure(name: str, split: Any, first: int, texts_too: bool, sums_too: bool) -> None:
            for seed in seeds:
                if texts_too:
                    bytes_.setdefault(name, []).append(bits_per_byte(model, first, texts[seed], split))
                if sums_too:
                    sums.setdefault(name, []).append(bits_per_sum(model, first, numbers[seed], split))
                context.advance(1)

        measure(OWN, subject.base.split, subject.base.roles["bos"], True, True)
        exchange, made = subject.exchange()
        first, split = int(subject.donor.role("bos") or 0), _splitter(made.tokenizer)
        for name, options in ARMS.items():
            matrix = subject.matrix(context, _options(**options), exchange, made)
            _swap(model, matrix)
            measure(name, split, first, True, name == "OMP")
            if name == "OMP":
                # Only the digits change, to what they are in the base, and how numbers are split.
                kept, single = subject.exchange(digits=True)
                pairs = torch.from_numpy(kept.matching.copied)
                _swap(model, matrix.clone().index_copy_(0, pairs[:, 0], own[pairs[:, 1]]))
                measure("OMP, digits kept", _splitter(single.tokenizer), first, False, True)
        _swap(model, own)
    return bytes_, sums, len(subject.donor.keys)


def _splitter(tokenizer: Any) -> Any:
    return lambda text: tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def _swap(model: Any, matrix: torch.Tensor) -> None:
    """Give a model with tied matrices other vectors."""
    source = model.get_input_embeddings()
    source.weight = torch.nn.Parameter(matrix.to(source.weight.dtype), requires_grad=False)
    head = model.get_output_embeddings()
    if head is not None:
        head.weight = source.weight
    source.num_embeddings = len(matrix)


def _sample_texts(subject: Subject, corpus: Corpus, seed: int, count: int) -> list[str]:
    rows = np.random.default_rng([seed, 1]).permutation(len(corpus))[: 40 * count]
    texts = plain_texts(subject.donor.tokenizer, corpus.contents(np.sort(rows)), _WORDS)
    return [texts[at] for at in np.random.default_rng([seed, 2]).permutation(len(texts))[:count]]


def _retrieval(
    context: Context, encoder: Any, small: Any, corpus: Corpus, dataset: Any, scale: float, seeds: Sequence[int]
) -> Figures:
    """Give MiniLM SmolLM2's tokenizer: nDCG@10 by arm and seed, over samples of a collection."""
    subject = read_subject(encoder, small)
    loaded = load_transformer(encoder, "encoder", device="cpu")
    split = choose_split(dataset, None)
    queries, qrels = dataset.queries(split), dataset.qrels(split)
    samples = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 3])
        asked = queries.select(np.sort(rng.permutation(len(queries))[: _asked(scale)]).tolist())
        relevant = {document for name in asked.ids for document in qrels.relevant(name)}
        judged = corpus.rows(sorted(relevant))
        others = rng.permutation(len(corpus))[: int(_DOCUMENTS * scale)]
        rows = np.unique(np.concatenate([judged[judged >= 0], others]))
        samples.append((asked, rows, [text[:_CHARACTERS] for text in corpus.contents(rows)]))
    used = {n for asked, _, texts in samples for text in (*asked.texts, *texts) for n in subject.donor.split(text)}
    exchange, made = subject.exchange(sorted(used))
    figures: Figures = {}
    with context.stage("retrieval", total=(len(ARMS) + 1) * len(seeds), unit="measurements"):
        for name, options in [(OWN, None), *ARMS.items()]:
            tokenizer = loaded.tokenizer if options is None else made.tokenizer
            if options is not None:
                _swap(loaded.model, subject.matrix(context, _options(**options), exchange, made))
            for asked, rows, texts in samples:
                left, right = (
                    sentence_vectors(loaded.model, tokenizer, part, _LENGTH) for part in (asked.texts, texts)
                )
                scores = left @ right.T
                listed = Run.from_matrix(np.broadcast_to(rows, scores.shape), scores)
                found = evaluate(listed, asked, corpus, _only(qrels, asked.ids), ["nDCG@10"])
                figures.setdefault(name, []).append(float(found.means["nDCG@10"]))
                context.advance(1)
    return figures


def _only(qrels: Any, names: Sequence[str]) -> Any:
    return qrels.select(names)
