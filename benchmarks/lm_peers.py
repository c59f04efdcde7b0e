"""Generating and scoring with a small language model, beside transformers on the same prompts in the same process.

    python benchmarks/lm_peers.py path/to/beir-folder --prompts 8

Rounds alternate, so that what else the machine does meets both; the ratio is that of the medians. The peer generates with
`generate` and a batch padded on the left, and scores each label with one pass over text and label, batched likewise.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from spaniel import Context
from spaniel.data import FolderDataset
from spaniel.indexing import open_corpus
from spaniel_lm.labels import LabelScorer
from spaniel_lm.protocol import Generation

LABELS = [" yes, it answers the question", " no, it does not", " in part", " nobody can tell"]


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def padded(rows: list[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows padded on the left, and their mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[padding] * (width - len(row)) + row for row in rows])
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])


def peer_generate(model: Any, rows: list[list[int]], tokens: int) -> list[list[int]]:
    """Generate as transformers does."""
    network, padding = model.transformer.model, model.transformer.padding
    ids, mask = padded(rows, padding)
    made = network.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, pad_token_id=padding)
    return [row[ids.shape[1] :].tolist() for row in made]


def peer_score(model: Any, rows: list[list[int]], labels: list[list[int]]) -> np.ndarray:
    """Score labels with a whole pass for each pair."""
    network, pairs = model.transformer.model, [(row, label) for row in rows for label in labels]
    ids, mask = padded([[*row, *label] for row, label in pairs], model.transformer.padding)
    longest = max(map(len, labels))
    with torch.inference_mode():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        out = network(ids, attention_mask=mask, position_ids=positions, logits_to_keep=longest + 1).logits
        plain = torch.log_softmax(out[:, :-1].float(), -1).gather(2, ids[:, -longest:, None])[:, :, 0]
    totals = [float(values[longest - len(label) :].sum()) for values, (_, label) in zip(plain, pairs, strict=True)]
    return np.array(totals).reshape(len(rows), len(labels))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--lm", default="smollm2", show_default=True, help="a local language model")
@click.option("--prompts", "count", default=8, show_default=True)
@click.option("--tokens", default=24, show_default=True, help="tokens of an answer")
@click.option("--rounds", default=3, show_default=True)
@click.option("--store", default=None, help="folder of artifacts; by default a temporary one")
@click.option("--json", "as_json", is_flag=True)
def main(folder: Path, lm: str, count: int, tokens: int, rounds: int, store: str | None, as_json: bool) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        context = Context(store or temporary, device="cpu")
        corpus = open_corpus(context, FolderDataset(folder).documents())
        model: Any = context.create("language_model", lm)
        texts = [" ".join(text.split()[:80]) for text in corpus.contents(range(count))]
        rows, labels = model.tokenizer.ids(texts), model.tokenize(LABELS)
        scorer, settings = LabelScorer(model), Generation(tokens)
        model.next_logits(texts[:1])
        pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "generate": (lambda: model.generate(texts, settings), lambda: peer_generate(model, rows, tokens)),
            "score": (lambda: scorer.score(texts, LABELS), lambda: peer_score(model, rows, labels)),
        }
        result: dict[str, Any] = {"prompts": count, "threads": torch.get_num_threads()}
        for name, (ours, theirs) in pairs.items():
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for at, run in enumerate((ours, theirs)):
                    seconds, made = timed(run)
                    times[at].append(seconds)
                    result[f"{name}_{'peer' if at else 'spaniel'}_made"] = _summary(name, made)
            medians = [statistics.median(one) for one in times]
            result[f"{name}_spaniel_seconds"], result[f"{name}_transformers_seconds"] = medians
            result[f"{name}_spread"] = [round(max(one) / min(one), 3) for one in times]
            result[f"{name}_ratio"] = medians[1] / medians[0]
    same = [result.pop(f"{name}_{side}_made") for name in pairs for side in ("spaniel", "peer")]
    shorter = [one[: len(other)] == other[: len(one)] for one, other in zip(same[0], same[1], strict=True)]
    result["same_answers"] = f"{sum(shorter)} of {count}"
    result["largest_difference_of_scores"] = float(np.abs(np.array(same[2]) - np.array(same[3])).max())
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, value in result.items():
        click.echo(f"{name:<36} {value:.4g}" if isinstance(value, float) else f"{name:<36} {value}")


def _summary(name: str, made: Any) -> Any:
    if name == "score":
        return np.asarray(made).tolist()
    return [list(getattr(one, "tokens", one)) for one in made]


if __name__ == "__main__":
    main()
