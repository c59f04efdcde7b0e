"""Explanations as HTML: one file, no network; fragments without script for notebooks, pages with one that lights up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from spaniel.explanation.contrast import Difference
from spaniel.explanation.contribution import Contribution, Place
from spaniel.explanation.shading import segments, strongest
from spaniel.explanation.style import SCRIPT, STYLE

if TYPE_CHECKING:
    from spaniel.explanation.contrast import Contrast
    from spaniel.explanation.explanation import Explanation

_ROWS = 30
"""Parts that are shown at once; the rest is folded away."""
_LONG = 1500
"""Characters from which a text is folded."""


def page(fragment: str, title: str) -> str:
    """Return a whole page around a fragment."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title></head><body class='spaniel-page'>{fragment}<script>{SCRIPT}</script></body></html>"
    )


def figure(explanation: Explanation) -> str:
    """Return an explanation as a fragment; see :meth:`Explanation.to_html`."""
    parts = explanation.parts()
    rest = f"; {explanation.remainder:+.2g} of it is not explained" if explanation.remainder else ""
    return _figure(
        f"<b>{_name(explanation.document_id)}</b> {_shown(explanation)} "
        f"for <q>{_name(explanation.query)}</q> {_under(explanation)}, "
        f"explained by <code>{escape(explanation.explainer)}</code>{_settings(explanation)}{rest}{_absence(explanation)}",
        _trail(explanation.stages),
        _texts(explanation),
        _rows(parts, _Scale(parts)),
    )


def contrast_figure(contrast: Contrast) -> str:
    """Return a contrast as a fragment; see :meth:`Contrast.to_html`."""
    first, second = contrast.first, contrast.second
    sides = "".join(
        f"<section><h4>{_name(one.document_id)} <small>{escape(one.unit)} {one.amount}</small></h4>"
        f"{_absence(one)}{_trail(one.stages)}{_texts(one, name, whole=True)}</section>"
        for one, name in ((first, "first"), (second, "second"))
    )
    return _figure(
        f"Why <b>{_name(first.document_id)}</b> and not <b>{_name(second.document_id)}</b> for <q>{_name(first.query)}</q> "
        f"{_under(first)}, explained by <code>{escape(first.explainer)}</code>{_settings(first)}: "
        f"{first.score:.4f} − {second.score:.4f} = {contrast.difference.score:+.4f}",
        f"<div class='sides'>{sides}</div>",
        _differences(contrast),
    )


class _Scale:
    """Where bars begin and how long they are, in hundredths of their room."""

    def __init__(self, parts: Sequence[Contribution]) -> None:
        low = min([0.0, *(part.score for part in parts)])
        high = max([0.0, *(part.score for part in parts)])
        self.low, self.size = low, (high - low) or 1.0

    def bar(self, score: float, name: str = "") -> str:
        zero = -100 * self.low / self.size
        length = 100 * abs(score) / self.size
        start = zero if score >= 0 else zero - length
        colour = name or ("for" if score >= 0 else "against")
        return f"<i class='{colour}' style='left:{start:.2f}%;width:{max(length, 0.3):.2f}%'></i>"

    def axis(self) -> str:
        return f"<i class='axis' style='left:{-100 * self.low / self.size:.2f}%'></i>"


def _rows(parts: Sequence[Contribution], scale: _Scale) -> str:
    made = [_row(part, scale) for part in parts]
    folded = ""
    if len(made) > _ROWS + 5:
        rest = sum(part.score for part in parts[_ROWS:])
        line = (
            f"<span class='label'>{len(made) - _ROWS} more</span><span></span><span class='number'>{rest:+.4f}</span>"
        )
        folded = f"<details><summary class='part'>{line}</summary>{''.join(made[_ROWS:])}</details>"
        made = made[:_ROWS]
    return f"<div class='parts'>{''.join(made)}{folded}</div>"


def _row(part: Contribution, scale: _Scale) -> str:
    colour = "rest" if part.kind in ("remainder", "baseline") else ""
    line = (
        f"<span class='label'>{_name(part.label)}</span>"
        f"<span class='room'>{scale.axis()}{scale.bar(part.score, colour)}</span>"
        f"<span class='number'>{part.score:+.4f}</span><span class='note'>{_name(part.note)}</span>"
    )
    place = f" {_spots(_places(part))} {_tip(f'{part.label}: {part.score:+.6g} ({part.kind})')}"
    if not part.children:
        return f"<div class='part'{place}>{line}</div>"
    children = part.sorted()
    return (
        f"<details open><summary class='part'{place}>{line}</summary>"
        f"<div class='inner'>{_rows(children, _Scale(children))}</div></details>"
    )


def _differences(contrast: Contrast) -> str:
    head = "".join(f"<span>{text}</span>" for text in ("", "each", "", "", "difference", ""))
    rows, rest = list(contrast.rows), contrast.difference.remainder
    if rest:
        remainder = Contribution("(remainder)", rest, "remainder")
        rows.append(Difference(remainder, contrast.first.remainder, contrast.second.remainder))
    names = (contrast.first.document_id, contrast.second.document_id)
    return f"<div class='parts'><div class='pair head'>{head}</div>{_pairs(rows, names)}</div>"


def _pairs(rows: Sequence[Difference], names: tuple[str, str]) -> str:
    scale = _Scale([Contribution("", value) for row in rows for value in (row.first, row.second)])
    wide = _Scale([row.part for row in rows])
    return "".join(_pair(row, names, scale, wide) for row in rows)


def _pair(row: Difference, names: tuple[str, str], scale: _Scale, wide: _Scale) -> str:
    part, here, there = row.part, row.first, row.second
    tip = f"{part.label}: {here:+.4f} in {names[0]}, {there:+.4f} in {names[1]}"
    place = f" {_spots([*_places(part), *row.places])} {_tip(tip)}"
    line = (
        f"<span class='label'>{_name(part.label)}</span>"
        f"<span class='room two'>{scale.axis()}{scale.bar(here, 'first')}{scale.bar(there, 'second')}</span>"
        f"<span class='number first'>{here:+.4f}</span><span class='number second'>{there:+.4f}</span>"
        f"<span class='room'>{wide.axis()}{wide.bar(part.score)}</span>"
        f"<span class='number'>{part.score:+.4f}</span>"
    )
    if not row.inner:
        return f"<div class='pair'{place}>{line}</div>"
    return (
        f"<details open><summary class='pair'{place}>{line}</summary>"
        f"<div class='inner'>{_pairs(row.inner, names)}</div></details>"
    )


def _texts(explanation: Explanation, name: str = "document", whole: bool = False) -> str:
    """Return both texts with their parts shaded; nothing where nothing stands in them, unless they are to be seen whole.

    ``name`` is that of the document's places.
    """
    query = _shaded(explanation.query, explanation.contributions, "query", "query")
    document = _shaded(explanation.text, explanation.contributions, "document", name)
    if not (query or document or (whole and explanation.text)):
        return ""
    made = f"<p class='text' aria-label='the query'>{query or _name(explanation.query)}</p>"
    if explanation.text:
        shown = document or _name(explanation.text)
        fold = "" if len(explanation.text) < _LONG and document else "<summary>the document</summary>"
        open_ = " open" if document else ""
        text = f"<p class='text' aria-label='the document'>{shown}</p>"
        made += f"<details{open_}>{fold}{text}</details>" if fold else text
    return made


def _shaded(text: str, parts: Sequence[Contribution], side: str, name: str) -> str:
    """Return a text with its parts shaded; nothing where none stands in it.

    What is shaded can be reached by keys, and says its number to those who do not see it.
    """
    pieces = segments(text, parts, side)
    if all(piece.score is None for piece in pieces):
        return ""
    largest, start, made = strongest(pieces), 0, []
    for piece in pieces:
        end = start + len(piece.text)
        if piece.score is None:
            made.append(escape(piece.text))
        else:
            share = piece.score / largest
            colour = "for" if share >= 0 else "against"
            tip = f"{', '.join(piece.names)}: {piece.score:+.4g}"
            made.append(
                f"<mark class='{colour}' style='--share:{abs(share):.3f}' {_spots([(name, start, end)])} {_tip(tip)} "
                f"tabindex='0' role='note' aria-label='{escape(tip)}'>{escape(piece.text)}</mark>"
            )
        start = end
    return "".join(made)


def _trail(stages: Sequence[Place]) -> str:
    if len(stages) < 2:
        return ""
    return f"<ol class='trail'>{''.join(_stations(stages))}</ol>"


def _stations(stages: Sequence[Place]) -> Iterator[str]:
    for place in stages:
        rank = f"{place.rank}<small> of {place.documents}</small>" if place.rank else "✎" if place.note else "–"
        yield f"<li {_tip(f'{place.stage}: {place.words}')}><code>{escape(place.stage)}</code><b>{rank}</b></li>"


def _figure(caption: str, *rooms: str) -> str:
    return (
        f"<figure class='spaniel-explanation'><style>{STYLE}</style><figcaption>{caption}</figcaption>"
        f"{''.join(rooms)}</figure>"
    )


def _settings(explanation: Explanation) -> str:
    said = ", ".join(f"{name}={value}" for name, value in explanation.parameters.items())
    return f" <small>({escape(said)})</small>" if said else ""


def _shown(explanation: Explanation) -> str:
    verb = "scores" if explanation.unit == "score" else f"has the {escape(explanation.unit)}"
    return f"{verb} {explanation.amount}"


def _name(text: str) -> str:
    """Return a text that keeps its direction of writing to itself."""
    return f"<bdi>{escape(text)}</bdi>" if text else ""


def _under(explanation: Explanation) -> str:
    target, pipeline = explanation.target, explanation.pipeline
    said = f" in <code>{escape(pipeline)}</code>" if pipeline not in ("", target) else ""
    return f"under <code>{escape(target)}</code>{said}"


def _absence(explanation: Explanation) -> str:
    return f"<p class='absence'>{escape(explanation.absence)}</p>" if explanation.absence else ""


def _places(part: Contribution) -> list[tuple[str, int, int]]:
    own = [(str(part.side), *part.span)] if part.span is not None else []
    return [*own, *part.places]


def _spots(places: Sequence[tuple[str, int, int]]) -> str:
    """Return where something stands as an attribute, ``query:0-3 document:5-9``."""
    said = " ".join(f"{name}:{start}-{end}" for name, start, end in places)
    return f"data-spots='{said}'" if said else ""


def _tip(text: str) -> str:
    return f"data-tip='{escape(text)}'"
