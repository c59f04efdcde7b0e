"""Builds that are killed, at every step and at random, and processes that race for one artifact.

Run as a program, this file is the process that is killed: it stays small, so that it can be forked often.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from spaniel.errors import ArtifactError
from spaniel.store import Artifact, Draft, Need, Recipe, Store

PARTS = 3
RECIPE = Recipe("vectors", "spaniel-x/x", "1.0", inputs={"corpus": Recipe("corpus", "spaniel-x/y", "1.0").address})


def content(part: int, size: int) -> bytes:
    return random.Random(part).randbytes(size)


def need(log: Path, size: int, pause: float = 0.0, hold: tuple[int, Path] | None = None) -> Need:
    """An artifact of several parts, and one that it is made from; what is built is appended to a log.

    Builds pause after each block that they write; after the part that ``hold`` names they wait for its file.
    """

    def source(draft: Draft) -> None:
        draft.file("documents").write_bytes(b"documents")

    def build(draft: Draft) -> None:
        for part in range(PARTS):
            if not draft.done(f"part {part}"):
                note(log, f"began {part}")
                data = content(part, size)
                with draft.file(f"parts/{part}").open("wb") as file:
                    for start in range(0, size, 4096):
                        file.write(data[start : start + 4096])
                        time.sleep(pause)
                draft.finish(f"part {part}")
                note(log, f"finished {part}")
                if hold is not None and part == hold[0]:
                    wait_for(hold[1].exists)
        draft.info["source"] = draft.inputs[0].address

    return Need(RECIPE, build, (Need(Recipe("corpus", "spaniel-x/y", "1.0"), source),))


def note(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(f"{text}\n")


def notes(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def fork(work: Callable[[], object]) -> int:
    """Run some work in another process; its exit status is 0 if it ends well."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check_nothing_half_written(root: Path) -> None:
    store = Store(root)
    for entry in store.list():
        assert entry.unfinished or (entry.artifact is not None and not store.verify(entry.address)), entry
    for recipe in (RECIPE, Recipe("corpus", "spaniel-x/y", "1.0")):
        store.find(recipe)


def check_whole(artifact: Artifact, root: Path, size: int) -> None:
    assert sorted(artifact.files) == [f"parts/{part}" for part in range(PARTS)]
    assert all(artifact.file(f"parts/{part}").read_bytes() == content(part, size) for part in range(PARTS))
    assert not list(Store(root).verify(artifact.address))
    assert not list((root / "drafts").iterdir())


def check_nothing_finished_was_repeated(log: Path) -> None:
    finished: set[str] = set()
    for line in notes(log):
        what, part = line.split()
        assert not (what == "began" and part in finished), notes(log)
        if what == "finished":
            finished.add(part)


def die_at(step: int, root: Path) -> None:
    """Kill this process at a numbered step of what it does in a store: each opening, renaming, removing, making."""
    steps = 0
    prefix = str(root)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event.startswith(("open", "os.")) and arguments and str(arguments[0]).startswith(prefix):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def every_step(folder: Path) -> None:
    """Kill a build at its first step, another at its second, and so on, until one comes through."""
    size = 100
    for step in range(1, 10_000):
        root, log = folder / str(step) / "store", folder / str(step) / "log"
        root.parent.mkdir(parents=True)

        def killed(root: Path = root, log: Path = log, step: int = step) -> None:
            die_at(step, root)
            Store(root).obtain(need(log, size))

        status = ended(fork(killed))
        assert status in (0, -signal.SIGKILL), status
        check_nothing_half_written(root)
        check_whole(Store(root).obtain(need(log, size)), root, size)
        check_nothing_finished_was_repeated(log)
        if status == 0:
            print(step - 1)
            return
    raise AssertionError("no build came through")


def at_random(folder: Path) -> None:
    """Kill one build again and again after random times that grow, whatever the machine; it must come to its end all the same."""
    size = 400_000
    chance = random.Random(13)
    root, log = folder / "store", folder / "log"
    kills = 0
    while True:
        child = fork(lambda: Store(root).obtain(need(log, size, pause=0.001)))
        time.sleep(chance.uniform(0.0, 0.1 * (1 + kills / 5)))
        os.kill(child, signal.SIGKILL)
        status = ended(child)
        check_nothing_half_written(root)
        check_nothing_finished_was_repeated(log)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
        assert kills < 500
    check_whole(Store(root).open(RECIPE.address), root, size)
    print(kills)


def removals(folder: Path) -> None:
    """Kill a removal at its every step: the artifact is whole or gone, and can be removed and built."""
    for step in range(1, 10_000):
        root, log = folder / str(step), folder / f"{step}.log"
        Store(root, full_check=10).obtain(need(log, 100))

        def killed(root: Path = root, step: int = step) -> None:
            die_at(step, root)
            Store(root).remove(RECIPE.address)

        status = ended(fork(killed))
        check_nothing_half_written(root)
        if status == 0:
            print(step - 1)
            return
        if any(entry.address == RECIPE.address for entry in Store(root).list()):
            Store(root).remove(RECIPE.address)
        assert Store(root).find(RECIPE) is None
        check_whole(Store(root).obtain(need(log, 100)), root, 100)


def imports(folder: Path) -> None:
    """Kill an import at its every step: nothing half-written opens, and the next import comes through."""
    Store(folder / "source").obtain(need(folder / "log", 100))
    Store(folder / "source").export(RECIPE.address, folder / "x.tar")
    for step in range(1, 10_000):
        root = folder / str(step)

        def killed(root: Path = root, step: int = step) -> None:
            die_at(step, root)
            Store(root).import_(folder / "x.tar")

        status = ended(fork(killed))
        check_nothing_half_written(root)
        check_whole(Store(root).import_(folder / "x.tar"), root, 100)
        if status == 0:
            print(step - 1)
            return


def race(folder: Path) -> None:
    """Let processes want the same artifact at once: one builds, all get it."""
    for attempt in range(5):
        root, log = folder / str(attempt), folder / f"{attempt}.log"
        start = time.monotonic() + 0.05

        def racer(root: Path = root, log: Path = log, start: float = start) -> None:
            time.sleep(max(0.0, start - time.monotonic()))
            check_whole(Store(root).obtain(need(log, 50_000, pause=0.0005)), root, 50_000)

        assert [ended(child) for child in [fork(racer) for _ in range(5)]] == [0] * 5
        assert Counter(notes(log)) == Counter(
            f"{what} {part}" for what in ("began", "finished") for part in range(PARTS)
        )


def heir(folder: Path) -> None:
    """Kill the process that builds while another waits: the other goes on from the last finished part."""
    root, log = folder / "store", folder / "log"
    builder = fork(lambda: Store(root).obtain(need(log, 400_000, hold=(1, folder / "never"))))
    wait_for(lambda: "finished 1" in notes(log))
    waiting = fork(lambda: check_whole(Store(root).obtain(need(log, 400_000)), root, 400_000))
    time.sleep(0.1)
    os.kill(builder, signal.SIGKILL)
    assert ended(builder) == -signal.SIGKILL
    assert ended(waiting) == 0
    check_nothing_finished_was_repeated(log)


def held(folder: Path) -> None:
    """Remove what another process is building: refused at first, done once it has ended."""
    root, log = folder / "store", folder / "log"
    released = folder / "released"
    builder = fork(lambda: Store(root).obtain(need(log, 100_000, hold=(0, released))))
    wait_for(lambda: "finished 0" in notes(log))
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="is held by another process") as caught:
        Store(root, patience=0.1).remove(RECIPE.address)
    assert caught.value.path.endswith(f"{RECIPE.address}.lock")
    assert time.monotonic() - began < 5
    released.touch()
    assert Store(root, patience=60).remove(RECIPE.address) == RECIPE.address
    assert ended(builder) == 0
    assert Store(root).find(RECIPE) is None


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def run(name: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, __file__, name, str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_build_that_is_killed_at_any_step_goes_on(tmp_path: Path) -> None:
    assert int(run("every_step", tmp_path)) > 30


def test_a_build_that_is_killed_at_random_goes_on(tmp_path: Path) -> None:
    assert int(run("at_random", tmp_path)) > 3


def test_a_removal_that_is_killed_at_any_step_leaves_nothing_half(tmp_path: Path) -> None:
    assert int(run("removals", tmp_path)) > 10


def test_an_import_that_is_killed_at_any_step_leaves_nothing_half(tmp_path: Path) -> None:
    assert int(run("imports", tmp_path)) > 10


def test_processes_that_want_the_same_build_it_once(tmp_path: Path) -> None:
    run("race", tmp_path)


def test_a_process_that_waited_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    run("heir", tmp_path)


def test_what_is_being_built_is_removed_afterwards_or_refused(tmp_path: Path) -> None:
    run("held", tmp_path)


def main(arguments: Sequence[str]) -> None:
    programs = {work.__name__: work for work in (every_step, at_random, removals, imports, race, heir, held)}
    programs[arguments[0]](Path(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
