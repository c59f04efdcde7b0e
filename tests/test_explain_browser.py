"""The page in a real browser: it draws, without a network and without an error, in light and dark, wide and narrow."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from spaniel import Contribution, Explanation
from spaniel.explanation import Contrast

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# The test's own script, behind the page's: it moves the pointer, folds a part, and writes down what happened.
PROBE = """<script>
const mark = document.querySelector("mark"), fold = document.querySelector("details");
mark.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
const lit = document.querySelectorAll(".lit").length;
mark.dispatchEvent(new MouseEvent("mouseout", {bubbles: true}));
const open = fold.open; fold.querySelector("summary").click();
document.title = [lit, document.querySelectorAll(".lit").length, open, fold.open,
  document.documentElement.scrollWidth <= innerWidth, getComputedStyle(mark).backgroundColor].join("|");
mark.focus();
document.title += "|" + (document.activeElement === mark) + "|" + document.querySelectorAll(".lit").length +
  "|" + getComputedStyle(mark, "::after").content.includes(mark.getAttribute("aria-label"));
</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")]


def made(name: str, score: float) -> Explanation:
    text = "a spaniel retrieves game from the cold water " * 3
    places = (("document", 2, 9), ("document", 47, 54))
    match = Contribution("spaniel", score, "match", places=places)
    parts = (
        Contribution("dog", score, "token", (match,), "matches spaniel", "query", (0, 3)),
        Contribution("water", -0.4, "token", side="query", span=(4, 9)),
        Contribution("a-word-that-is-longer-than-any-column-of-the-page-" * 3, 0.1),
    )
    return Explanation("dense", "e", "dog water", name, score - 0.2, parts, 0.1, text=text)


@pytest.mark.parametrize("width", [1000, 500])
@pytest.mark.parametrize("kind", ["explanation", "contrast"])
def test_the_page_works(kind: str, width: int, tmp_path: Path) -> None:
    one = made("first", 1.5)
    shown = one if kind == "explanation" else Contrast(one, made("second", 0.5))
    page = tmp_path / "page.html"
    shown.save(page)
    if kind == "explanation":
        probed = tmp_path / "probed.html"
        probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), encoding="utf-8")
        dom = _chromium(tmp_path, "--dump-dom", f"--window-size={width},800", probed.as_uri()).stdout
        title = re.search(r"<title>([^<]*)</title>", dom)
        assert title is not None
        lit, after, before, folded, fits, colour, focused, lit_by_key, _ = title.group(1).split("|")
        assert focused == "true"
        assert int(lit_by_key) >= 1
        assert (int(lit) >= 1, after, before, folded, fits) == (True, "0", "true", "false", "true")
        assert colour not in ("", "rgba(0, 0, 0, 0)")
    picture = tmp_path / "page.png"
    _chromium(tmp_path, f"--screenshot={picture}", f"--window-size={width},800", page.as_uri())
    data = picture.read_bytes()
    assert struct.unpack(">I", data[16:20])[0] == width
    assert len(data) > 10_000  # an empty page is smaller


def _chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    profile = folder / "profile"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
