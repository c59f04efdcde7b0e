"""The adapter: a model's folder, and a donor's → the model with the donor's tokenizer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spaniel import Context, UsageError
from spaniel.collections import find_dataset
from torch import Tensor

from spaniel_omp_tokenizer.config import OmpTokenizerConfig
from spaniel_omp_tokenizer.digits import differences, scheme_of
from spaniel_omp_tokenizer.donors import Donor, check_named, donor_files, read_donor
from spaniel_omp_tokenizer.folder import (
    check_shapes,
    copy_rest,
    shift_positions,
    write_config,
    write_poolings,
    write_weights,
)
from spaniel_omp_tokenizer.framing import check_digits, prepare
from spaniel_omp_tokenizer.layout import Layout, read_layout, read_tokenizer
from spaniel_omp_tokenizer.matching import Matching, match
from spaniel_omp_tokenizer.quality import meter_of
from spaniel_omp_tokenizer.rebuilding import Exchange, rebuild
from spaniel_omp_tokenizer.training import undertrained
from spaniel_omp_tokenizer.vectors import Role
from spaniel_omp_tokenizer.vocabulary import Vocabulary, read_vocabulary


class OmpTokenizer:
    """Tokenizer transplantation by orthogonal matching pursuit, and the methods that the paper compares it with.

    Tokens that both models know keep the base's vectors. Every other token of the donor is written as a sum of shared
    tokens in the donor's space, and the same sum of the base's vectors is its vector. Input and output
    matrices are rebuilt one by one; where the base ties them, the input's serves both. A bias of the output is carried as one
    more dimension. All other weights are kept bit by bit.
    """

    def __init__(self, config: OmpTokenizerConfig, context: Context) -> None:
        self.config = config
        self.context = context

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digests of the donor's weights and tokenizer, or of the documents that one is trained on."""
        check_named(self.config)
        if self.config.donor is None:
            return {"documents": find_dataset(self.context, str(self.config.train_on)).documents().recipe.address}
        files = donor_files(self.context, self.config.donor)
        return {path.name: self.context.store.digest_of(path) for path in files}

    def adapt(self, model: Path, out: Path) -> Mapping[str, Any]:
        """Write the model with the donor's tokenizer.

        Raises:
            UsageError: one of the two is no model whose vocabulary is known, or the options do not suit them.
        """
        started = time.perf_counter()
        own = read_layout(model)
        theirs = read_donor(self.context, self.config, own.folder)
        meter = None if self.config.measure_on is None else meter_of(self.context, self.config.measure_on, own)
        before = None if meter is None else meter.of(model)
        inputs = own.read(own.inputs[0])
        outputs = own.read(own.outputs[0]) if own.outputs else None
        base = read_vocabulary(read_tokenizer(own.folder), len(inputs))
        donor = read_vocabulary(theirs.tokenizer, None if theirs.inputs is None else len(theirs.inputs))
        # Methods that read no vectors make do with vectors of no dimensions.
        donor_inputs = torch.zeros(donor.size, 0) if theirs.inputs is None else theirs.inputs
        donor_outputs = donor_inputs if theirs.outputs is None else theirs.outputs
        keep = self.config.digits == "keep-base"
        if keep:
            check_digits(base, donor)
        frame = self.config.template == "base" or (self.config.template == "auto" and not own.is_causal)
        whole = max(donor.size, len(donor.tokenizer))
        prepared = prepare(base, donor, whole, frame=frame, single_digits=keep)
        rows = whole + len(prepared.added)
        bias = own.read(own.biases[0]).reshape(-1) if own.biases else None
        bad = (
            self._undertrained(base, inputs, outputs),
            self._undertrained(donor, donor_inputs, theirs.outputs),
        )
        # The bias belongs to the matrix that the output uses, which may be the input's.
        jobs: list[tuple[Role, tuple[str, ...], Tensor, Tensor, Tensor | None]] = [
            ("input", own.inputs, inputs, donor_inputs, bias if outputs is None else None)
        ]
        if outputs is not None:
            jobs.append(("output", own.outputs, outputs, donor_outputs, bias))
        first = self._match(base, donor, "input", keep)
        examples = self._examples(donor, first)
        report: dict[str, Any] = self._counts(base, donor, first, prepared.added)
        made: dict[str, Tensor] = {}
        for role, names, matrix, values, offset in jobs:
            matching = self._match(base, donor, role, keep)
            exchange = _exchange(base, donor, matching, bad, rows, (theirs.rotary, own.rotary))
            new, moved, report[role] = rebuild(
                self.context, self.config, exchange, matrix, offset, values, role, examples
            )
            report["anchors"] = len(exchange.anchors)
            report["zeroed"] = len(exchange.empty)
            for row, number in prepared.added:
                new[row] = matrix[number]
                if moved is not None and offset is not None:
                    moved[row] = offset[number]
            made |= dict.fromkeys(names, new)
            if moved is not None:
                made |= {name: moved.reshape(1, -1) if own.read(name).dim() == 2 else moved for name in own.biases}
        said = self._write(model, out, own, theirs, base, prepared.tokenizer, frame, rows, made, first)
        if meter is not None:
            told = {"collection": self.config.measure_on, "measure": meter.measure, **meter.facts()}
            said["quality"] = {**told, "before": before, "after": meter.of(out)}
        return {**report, **said, "seconds": round(time.perf_counter() - started, 2)}

    def _write(
        self,
        model: Path,
        out: Path,
        own: Layout,
        theirs: Donor,
        base: Vocabulary,
        tokenizer: Any,
        frame: bool,
        rows: int,
        made: dict[str, Tensor],
        matching: Matching,
    ) -> dict[str, Any]:
        place = copy_rest(model, out, own)
        tokenizer.save_pretrained(place)
        vocabulary = read_vocabulary(tokenizer, rows)
        made |= shift_positions(own, vocabulary.role("pad"))
        # Tensors under several names are written apart: safetensors refuses shared memory.
        write_weights(own, place, {name: tensor.clone() for name, tensor in made.items()})
        if own.config:
            same = {old: new for new, old in reversed(matching.copied.tolist())}
            positions = [len(tensor) for name, tensor in made.items() if name.endswith("position_embeddings.weight")]
            sizes = {"vocab_size": rows, **({"max_position_embeddings": positions[0]} if positions else {})}
            write_config(own, place, sizes, base, vocabulary, {} if frame else theirs.config, same)
            write_poolings(out, own.config.get("vocab_size"), rows)
            check_shapes(place)
        schemes = scheme_of(base), scheme_of(vocabulary)
        told: dict[str, Any] = {"rows": rows, "digits": {"base": schemes[0].name, "result": schemes[1].name}}
        apart = differences(*schemes)
        if apart and self.config.digits != "as-donor":
            told["digits"]["differences"] = apart
            told["warnings"] = ["numbers are split otherwise than the model has learned; arithmetic will suffer"]
        return told

    def _match(self, base: Vocabulary, donor: Vocabulary, role: Role, digits: bool) -> Matching:
        return match(
            base,
            donor,
            bytes_too=self.config.byte_match in (role, "both"),
            prefixes=self.config.prefix_match in (role, "both"),
            special=self.config.special,
            digits=digits,
        )

    def _undertrained(self, vocabulary: Vocabulary, inputs: Tensor, outputs: Tensor | None) -> set[int]:
        return undertrained(vocabulary, inputs, outputs) if self.config.well_trained else set()

    def _examples(self, donor: Vocabulary, matching: Matching) -> list[int]:
        new = {donor.keys[number].plain: number for number in matching.new.tolist()}
        texts = {text if text in new else f" {text}" for text in self.config.examples}
        unknown = sorted(texts - set(new))
        if unknown:
            raise UsageError(f"examples: {unknown[0].strip()!r} is no new token of the donor")
        return [new[text] for text in sorted(texts)]

    def _counts(
        self, base: Vocabulary, donor: Vocabulary, matching: Matching, added: tuple[tuple[int, int], ...]
    ) -> dict[str, Any]:
        groups = ("exact", "folded", "bytes", "prefix", "new")
        return {
            "base tokens": len(base.keys),
            "donor tokens": len(donor.keys),
            **{name: len(getattr(matching, name)) for name in groups},
            "special tokens without a counterpart": list(matching.unmapped),
            "special tokens added": [base.written[number] for _, number in added],
        }


def _exchange(
    base: Vocabulary, donor: Vocabulary, matching: Matching, bad: tuple[set[int], set[int]], rows: int, rotary: Any
) -> Exchange:
    """Choose anchors among the shared tokens, and the tokens that stay empty: new ones that the donor never learned."""
    exact = matching.exact
    keep = [ours not in bad[0] and theirs not in bad[1] for theirs, ours in exact.tolist()]
    empty = frozenset(number for number in matching.new.tolist() if number in bad[1])
    return Exchange(base, donor, matching, exact[np.array(keep, bool)], empty, rows, rotary)
