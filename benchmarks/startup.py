"""Start-up of the command with many plugins installed, as multiples of ``python -c pass``.

The plugins are written to a temporary folder: distributions with an entry point, declarations of three components, a
config module and a method module, as authors write them. All programs run in turn, so that a busy machine slows all
alike.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spaniel.testing import write_distribution

LIMITS = {"spaniel --help": 10.0, "spaniel components": 14.0}
"""Multiples that the design allows with 50 plugins."""
_MAIN = "import sys; from spaniel.cli import main; main(prog_name='spaniel')"
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "import spaniel": ["-c", "import spaniel"],
    "spaniel --help": ["-c", _MAIN, "--help"],
    "spaniel components": ["-c", _MAIN, "components"],
}


def write_plugins(folder: Path, count: int) -> None:
    """Write ``count`` installed plugins into a folder."""
    for number in range(count):
        package = f"bench_plugin_{number}"
        declarations = [
            f'"""Plugin {number}."""\n\nfrom __future__ import annotations\n\nfrom collections.abc import Iterator\n',
            "from spaniel import Command, Component, Experiment, hookimpl\n",
        ]
        for kind in ("encode", "retrieve", "rerank"):
            declarations.append(
                f"\n@hookimpl\ndef {kind}() -> Iterator[Component]:\n    yield Component(\n"
                f'        "bench-{number}",\n        config="{package}.config:Model",\n'
                f'        factory="{package}.method:Method",\n        summary="component {number} of kind {kind}",\n'
                f'        paper="Somebody et al., A method, 2020",\n    )\n'
            )
        modules = {
            f"{package}/__init__.py": "\n".join(declarations),
            f"{package}/config.py": "from spaniel import Config\n\n\nclass Model(Config):\n    pass\n",
            f"{package}/method.py": "import torch\n",
        }
        write_distribution(folder, f"bench-plugin-{number}", modules, {f"bench-{number}": package})


def measure(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Return the median wall and CPU seconds of each program."""
    # Compiled modules are kept, as they are wherever software is installed.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env = {**kept, "PYTHONPATH": str(folder), "SPANIEL_CONFIG": str(folder / "config")}
    wall: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    cpu: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(repeats + 1):
        for name, arguments in PROGRAMS.items():
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:  # the first one compiles what it imports
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {name: {"wall": statistics.median(wall[name]), "cpu": statistics.median(cpu[name])} for name in PROGRAMS}


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=50, help="how many plugins are installed (50)")
    parser.add_argument("--repeats", type=int, default=15, help="how often each program runs (15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spaniel-startup-") as name:
        write_plugins(Path(name), arguments.plugins)
        measured = measure(Path(name), arguments.repeats)
    base = measured["python -c pass"]
    rows = [
        {
            "program": program,
            "wall_ms": seconds["wall"] * 1000,
            "cpu_ms": seconds["cpu"] * 1000,
            "wall_ratio": seconds["wall"] / base["wall"],
            "cpu_ratio": seconds["cpu"] / base["cpu"],
            "limit": LIMITS.get(program),
        }
        for program, seconds in measured.items()
    ]
    if arguments.json:
        print(json.dumps({"plugins": arguments.plugins, "repeats": arguments.repeats, "rows": rows}, indent=2))
        return
    print(f"{arguments.plugins} plugins, median of {arguments.repeats}\n")
    print(f"{'':<20} {'wall':>9} {'CPU':>9} {'× wall':>7} {'× CPU':>7} {'limit':>6}")
    for row in rows:
        limit = f"{row['limit']:.0f}" if row["limit"] else ""
        times = f"{row['wall_ms']:>6.1f} ms {row['cpu_ms']:>6.1f} ms"
        print(f"{row['program']:<20} {times} {row['wall_ratio']:>7.1f} {row['cpu_ratio']:>7.1f} {limit:>6}")


if __name__ == "__main__":
    main()
