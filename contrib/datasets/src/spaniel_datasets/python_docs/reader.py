"""Reading the documentation of the running interpreter, in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from spaniel import Document, PluginError

VERSION = "1"
"""Version of the rules by which documents are made; part of the collection's address."""
TIME_LIMIT = 300


def source_fingerprint() -> dict[str, str]:
    """Return what decides the documents: the interpreter and the rules."""
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "platform": sys.platform,
        "rules": VERSION,
    }


def read_documents() -> Iterator[Document]:
    """Yield every documented object of the standard library, and every topic of the language reference.

    Importing the library's modules has side effects, so it happens in another process, with a clean environment and
    without what is installed beside the library.

    Raises:
        PluginError: that process fails.
    """
    script = Path(__file__).with_name("walk.py")
    keep = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", str(script)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**keep, "PYTHONHASHSEED": "0", "BROWSER": "true", "LC_ALL": "C.UTF-8"},
        timeout=TIME_LIMIT,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PluginError("spaniel-datasets", f"reading the documentation of Python failed: {reason}")
    for line in done.stdout.decode("utf-8").splitlines():
        name, title, text, kind, module = json.loads(line)
        yield Document(name, title, text, {"kind": kind, "module": module})
