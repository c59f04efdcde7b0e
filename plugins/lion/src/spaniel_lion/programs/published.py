"""The programs of the paper, and where users' own come from."""

from __future__ import annotations

from pathlib import Path

from spaniel import UsageError

from spaniel_lion.programs.program import Program
from spaniel_lion.programs.signature import RANKING, Signature
from spaniel_lion.programs.text import parse_program

ADAMW = """\
g2 = square(g)
m = interp(g, m, 0.9)
v = interp(g2, v, 0.999)
sqrt_v = sqrt(v)
update = m / sqrt_v
wd = w * 0.01
update = update + wd
lr = lr * 0.001
update = update * lr
return update, m, v
"""
"""Program 3: AdamW without bias correction and epsilon, which the published search starts from."""

DISCOVERED = """\
g = clip(g, lr)
g = arcsin(g)
m = interp(g, v, 0.899)
m2 = m * m
v = interp(g, m, 1.109)
abs_m = sqrt(m2)
update = m / abs_m
wd = w * 0.4602
update = update + wd
lr = lr * 0.0002
m = cosh(update)
update = update * lr
return update, m, v
"""
"""Program 4: what the published search found, after selection and without redundant statements."""

LION = """\
update = interp(g, m, 0.9)
update = sign(update)
m = interp(g, m, 0.99)
wd = w * 1.0
update = update + wd
lr = lr * 0.0001
update = update * lr
return update, m, v
"""
"""Program 1 with the constants of algorithm 2 and a weight decay of 1; the learning rate is 1e-4 at its peak of 1."""

BM25 = """\
norm = dl / al
norm = interp(1.0, norm, 0.75)
norm = norm * 1.2
below = tf + norm
part = tf / below
rest = n - df
rest = rest + 0.5
held = df + 0.5
idf = rest / held
idf = log1p(idf)
score = idf * part
score = score * qtf
return score
"""
"""Lucene's variant of BM25 with k1 = 1.2 and b = 0.75 (Kamphuis et al., Which BM25 Do You Mean?, ECIR 2020)."""

PUBLISHED = {"adamw": ADAMW, "discovered": DISCOVERED, "lion": LION}
"""Programs that update weights."""
PUBLISHED_RANKINGS = {"bm25": BM25}
"""Programs that score documents."""
_MOST = 1_000_000
"""Bytes of a file that is read as a program, at most."""


def core_of_the_discovery(beta1: float = 0.9, beta2: float = 1.1, guarded: bool = True) -> str:
    """Return the discovered program without ``clip``, ``arcsin`` and decay, as text.

    Its sign is m / √(m · m), and its two averages are one: v ← (1 - b + b (1 - a)) g + a b v, which for a = 0.9 and
    b = 1.1 is 0.01 g + 0.99 v, Lion's momentum (section 3.1).

    Args:
        beta1: a.
        beta2: b.
        guarded: whether the division adds 1e-8 to its denominator, as ``/`` does; else it is a product with the reciprocal,
            so that m must not be 0.
    """
    sign = "update = m / abs_m" if guarded else "inverse = reciprocal(abs_m)\nupdate = m * inverse"
    return (
        f"m = interp(g, v, {beta1!r})\nm2 = m * m\nv = interp(g, m, {beta2!r})\nabs_m = sqrt(m2)\n"
        f"{sign}\nupdate = update * lr\nreturn update, m, v\n"
    )


def read_program(given: str, signature: Signature) -> Program:
    """Return a published program by its name, or the one in a file or text.

    Raises:
        UsageError: there is none.
    """
    published = PUBLISHED_RANKINGS if signature == RANKING else PUBLISHED
    if given in published:
        return parse_program(published[given], signature)
    if "=" in given:
        return parse_program(given, signature)
    path = Path(given)
    if not path.is_file() or path.stat().st_size > _MOST:
        raise UsageError(f"{given!r} is neither a program nor a file of one; published ones are {', '.join(published)}")
    try:
        return parse_program(path.read_text(encoding="utf-8"), signature)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{given} cannot be read: {error}") from error
