"""Runs every benchmark, and writes what they print as a page of the documentation.

    python benchmarks/run_all.py                   # the results page, docs/results.md
    python benchmarks/run_all.py startup overhead  # these alone; the other sections of the page stay

Texts come from `python-docs`, the collection that every Python carries. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results.md"
COLLECTION = "{collection}"
# These make older releases of OpenBLAS safe on some processors, and slow a current numpy.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Benchmark(NamedTuple):
    """A section of the page: its title, what it says, and the scripts with their arguments."""

    title: str
    says: str
    commands: tuple[tuple[str, ...], ...]


BENCHMARKS = {
    "startup": Benchmark(
        "Start-up", "With 50 plugins installed, as multiples of `python -c pass`.", (("startup.py",),)
    ),
    "overhead": Benchmark(
        "Overhead of a pipeline",
        "A pipeline beside the library calls that it makes, on 10,000 queries; PyTerrier's own beside it, where it is "
        "installed.",
        (("overhead.py",),),
    ),
    "corpus": Benchmark(
        "Two million documents", "Built, read by row and by id, iterated; peak memory.", (("corpus_scale.py",),)
    ),
    "bm25": Benchmark("BM25", "Building and searching beside bm25s, tantivy, PISA and Lucene.", (("bm25_peers.py",),)),
    "dense": Benchmark(
        "Dense search",
        "Exact search beside faiss, usearch, sentence-transformers and numpy; then graphs.",
        (("dense_peers.py",), ("dense_peers.py", "--graphs", "--documents", "30000")),
    ),
    "vectors": Benchmark(
        "Two million vectors",
        "384 dimensions in half precision, each step in a process of its own.",
        (("dense_scale.py",), ("dense_scale.py", "--index", "quantized(bits=8)")),
    ),
    "sparse": Benchmark(
        "Learned sparse search",
        "splade-tiny's vectors, one thread, beside scipy and Seismic; then a million synthetic documents.",
        (
            ("sparse_peers.py", "--data", COLLECTION),
            ("sparse_peers.py", "--documents", "1000000", "--no-seismic"),
        ),
    ),
    "encode": Benchmark(
        "Encoding",
        "all-MiniLM-L6-v2 beside sentence-transformers; then bfloat16 beside float32.",
        (
            ("encode_peers.py", COLLECTION, "--texts", "500"),
            ("encode_precision.py", COLLECTION),
        ),
    ),
    "rerank": Benchmark(
        "Cross-encoders",
        "Pairs a second, beside sentence-transformers on the same model.",
        (("rerank_peers.py", COLLECTION, "--pairs", "1000"),),
    ),
    "lm": Benchmark(
        "Language models",
        "SmolLM2-135M, beside transformers on the same prompts.",
        (("lm_peers.py", COLLECTION),),
    ),
    "explore": Benchmark(
        "Exploring pipelines",
        "`explore` beside a hand-set grid and random search at an equal budget.",
        (("search_explore.py", COLLECTION),),
    ),
    "train": Benchmark(
        "Training",
        "Steps of the loop beside sentence-transformers' trainer on the same model, rows and batches; optimizer state.",
        (("train.py", "--steps", "5"),),
    ),
    "anncur": Benchmark(
        "Search under a budget of calls",
        "All but the scorer, beside the formulas query by query.",
        (("anncur_rounds.py",),),
    ),
    "cf-cam": Benchmark(
        "Class activation maps",
        "Each method on a real image network and on a text, beside Grad-CAM.",
        (("cf_cam_maps.py",),),
    ),
    "inference-free-sparse": Benchmark(
        "Sparse retrieval without query inference",
        "Query latency beside BM25 on the same collection.",
        (("inference_free_sparse.py", "--data", COLLECTION),),
    ),
    "limit": Benchmark(
        "Free embeddings", "An update beside one by torch's autograd.", (("limit_free_embeddings.py",),)
    ),
    "lion": Benchmark(
        "Lion",
        "A step beside AdamW and others; what a search over programs costs.",
        (("lion_steps.py",), ("lion_programs.py",)),
    ),
    "mvp": Benchmark(
        "Multi-view reranking", "Lists beside a pointwise reranker and windows.", (("mvp_latency.py", COLLECTION),)
    ),
    "omp-tokenizer": Benchmark(
        "Orthogonal matching pursuit", "Beside scikit-learn and a plain batched version.", (("omp_tokenizer.py",),)
    ),
    "training-free-nas": Benchmark(
        "Proxies", "One shared pass beside one pass each.", (("training_free_nas_passes.py",),)
    ),
    "w-pca": Benchmark(
        "Principal components", "Beside scikit-learn and proxies with gradients.", (("w_pca_scoring.py",),)
    ),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*BENCHMARKS]))
@click.option("--timeout", default=1800.0, show_default=True, help="Seconds for one command.")
def main(names: tuple[str, ...], timeout: float) -> None:
    """Run benchmarks and write their results into docs/results.md."""
    sections = _read_sections()
    with tempfile.TemporaryDirectory() as folder:
        collection = Path(folder) / "python-docs"
        spaniel = [sys.executable, "-c", "from spaniel.cli import main; main(prog_name='spaniel')"]
        subprocess.run([*spaniel, "datasets", "export", "python-docs", str(collection)], check=True)
        for name in names or BENCHMARKS:
            click.echo(f"{name} …")
            sections[name] = _section(BENCHMARKS[name], collection, timeout)
            _write(sections)
    click.echo(f"wrote {PAGE}")


def _section(benchmark: Benchmark, collection: Path, timeout: float) -> str:
    lines = [f"## {benchmark.title}", "", benchmark.says, ""]
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    for script, *arguments in benchmark.commands:
        given = [str(collection) if argument == COLLECTION else argument for argument in arguments]
        shown = ["python-docs" if argument == COLLECTION else argument for argument in arguments]
        started = time.perf_counter()
        try:
            ran = subprocess.run(
                [sys.executable, str(HERE / script), *given],
                env=environment, capture_output=True, encoding="utf-8", timeout=timeout, check=False,
            )  # fmt: skip
            said = ran.stdout if ran.returncode == 0 else f"{ran.stdout}\nfailed: {ran.stderr.strip()[-500:]}"
        except subprocess.TimeoutExpired:
            said = f"not finished after {timeout:g} s"
        seconds = time.perf_counter() - started
        said = said.replace(str(collection), "python-docs").rstrip()
        lines += ["```console", f"$ python benchmarks/{script} {' '.join(shown)}".rstrip(), said, "```", ""]
        lines += [f"{time.strftime('%Y-%m-%d')}, {seconds:.0f} s.", ""]
    return "\n".join(lines)


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        processor = found[1] if found else processor
    return f"{os.cpu_count()} processors ({processor}), Python {platform.python_version()}"


def _read_sections() -> dict[str, str]:
    """Return the sections that the page has, by the names of their benchmarks."""
    if not PAGE.is_file():
        return {}
    parts = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    titles = {benchmark.title: name for name, benchmark in BENCHMARKS.items()}
    found = {part.partition("\n")[0].removeprefix("## "): part for part in parts}
    return {titles[title]: part for title, part in found.items() if title in titles}


def _write(sections: dict[str, str]) -> None:
    head = (
        "# Results\n\nWhat `make bench` printed; [Benchmarks](benchmarks.md) says what each script measures. "
        f"Measured on {_machine()}.\n\n"
    )
    body = "\n".join(sections[name].rstrip() + "\n" for name in BENCHMARKS if name in sections)
    PAGE.write_text(head + body, encoding="utf-8")


if __name__ == "__main__":
    main()
