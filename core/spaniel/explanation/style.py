"""The looks of explanations in HTML, and what moves on their pages."""

from __future__ import annotations

STYLE = """
.spaniel-explanation{--ink:#1c2330;--soft:#5b6575;--line:#d5dae2;--paper:#fff;--for:37,99,190;--against:200,95,20;
--one:#2563be;--two:#c85f14;--rest:#8a92a0;color:var(--ink);background:var(--paper);font:14px/1.5 system-ui,sans-serif;
margin:1em 0;padding:1em 1.2em;max-width:64em;border:1px solid var(--line);border-radius:8px;box-sizing:border-box}
@media (prefers-color-scheme:dark){.spaniel-explanation{--ink:#e4e8ef;--soft:#9aa5b5;--line:#3a4352;--paper:#171c25;
--for:88,150,240;--against:235,135,60;--one:#6ba5f5;--two:#f09a55;--rest:#7d8797}}
.spaniel-page{margin:0;padding:1em;background:#f3f5f8;color-scheme:light dark}
@media (prefers-color-scheme:dark){.spaniel-page{background:#0f131a}}
.spaniel-page .spaniel-explanation{margin:0 auto}
.spaniel-explanation *{box-sizing:border-box}
.spaniel-explanation figcaption{margin:0 0 .8em;overflow-wrap:anywhere}
.spaniel-explanation code{font:12.5px ui-monospace,monospace;background:none;color:inherit;padding:0}
.spaniel-explanation small,.spaniel-explanation .note{color:var(--soft);font-size:12.5px}
.spaniel-explanation q{quotes:"“" "”"}
.spaniel-explanation .text{margin:.5em 0;padding:.5em .8em;border-left:3px solid var(--line);line-height:1.9;
overflow-wrap:anywhere;white-space:pre-wrap}
.spaniel-explanation mark{color:inherit;border-radius:3px;padding:.12em .1em;cursor:default}
.spaniel-explanation mark.for{background:rgba(var(--for),calc(.62*var(--share)))}
.spaniel-explanation mark.against{background:rgba(var(--against),calc(.62*var(--share)))}
.spaniel-explanation .lit,.spaniel-explanation mark:hover,.spaniel-explanation :focus-visible{
outline:2px solid var(--ink);outline-offset:0}
.spaniel-explanation .absence{margin:.5em 0;padding:.2em .8em;border-left:3px solid var(--two)}
.spaniel-explanation .trail{display:flex;flex-wrap:wrap;gap:.4em;list-style:none;margin:.4em 0 .8em;padding:0}
.spaniel-explanation .trail li{display:flex;gap:.6em;align-items:baseline;border:1px solid var(--line);border-radius:6px;
padding:.1em .6em;margin:0;overflow-wrap:anywhere}
.spaniel-explanation .trail li+li::before{content:"→";color:var(--soft)}
.spaniel-explanation .parts{margin-top:.8em}
.spaniel-explanation .part{display:grid;grid-template-columns:minmax(7em,14em) minmax(6em,1fr) 6em minmax(0,15em);
gap:.2em .9em;align-items:center;padding:.12em .3em;border-radius:4px;position:relative}
.spaniel-explanation .pair{display:grid;grid-template-columns:minmax(7em,12em) minmax(5em,1fr) 5em 5em minmax(5em,1fr) 5em;
gap:.2em .8em;align-items:center;padding:.12em .3em;border-radius:4px;position:relative}
.spaniel-explanation .head{color:var(--soft);font-size:12.5px}
.spaniel-explanation .part:hover,.spaniel-explanation .pair:hover{background:rgba(var(--for),.1)}
.spaniel-explanation .label,.spaniel-explanation .note{overflow-wrap:anywhere}
.spaniel-explanation .number{text-align:right;font-variant-numeric:tabular-nums}
.spaniel-explanation .number.first{color:var(--one)}.spaniel-explanation .number.second{color:var(--two)}
.spaniel-explanation .room{position:relative;height:1em;display:block}
.spaniel-explanation .room i{position:absolute;top:0;bottom:0;border-radius:2px}
.spaniel-explanation .room.two i.first{bottom:52%}.spaniel-explanation .room.two i.second{top:52%}
.spaniel-explanation i.for,.spaniel-explanation i.first{background:var(--one)}
.spaniel-explanation i.against,.spaniel-explanation i.second{background:var(--two)}
.spaniel-explanation i.rest{background:var(--rest)}
.spaniel-explanation .room i.axis{width:1px;background:var(--soft);top:-.25em;bottom:-.25em}
.spaniel-explanation summary{cursor:pointer;color:inherit}
.spaniel-explanation summary:is(.part,.pair){list-style:none}
.spaniel-explanation summary:is(.part,.pair)::-webkit-details-marker{display:none}
.spaniel-explanation summary:is(.part,.pair)>.label::before{content:"▸";display:inline-block;width:1em;color:var(--soft)}
.spaniel-explanation details[open]>summary:is(.part,.pair)>.label::before{content:"▾"}
.spaniel-explanation .inner{margin-left:1em;padding-left:.6em;border-left:2px solid var(--line)}
.spaniel-explanation .inner .parts{margin-top:0}
.spaniel-explanation .sides{display:grid;grid-template-columns:1fr 1fr;gap:1.2em}
.spaniel-explanation section{min-width:0}
.spaniel-explanation h4{margin:.2em 0;font-size:14px;overflow-wrap:anywhere}
.spaniel-explanation section:nth-child(1) h4{color:var(--one)}.spaniel-explanation section:nth-child(2) h4{color:var(--two)}
.spaniel-explanation [data-tip]{position:relative}
.spaniel-explanation [data-tip]:is(:hover,:focus-visible)::after{content:attr(data-tip);
position:absolute;z-index:9;left:.5em;bottom:100%;
width:max-content;max-width:32em;padding:.15em .6em;border-radius:5px;background:var(--ink);color:var(--paper);
font:12.5px/1.5 system-ui,sans-serif;white-space:normal;pointer-events:none}
@media (max-width:44em){.spaniel-explanation .part{grid-template-columns:minmax(5em,9em) minmax(3em,1fr) 5em}
.spaniel-explanation .part .note{grid-column:1/-1}.spaniel-explanation .part .note:empty{display:none}
.spaniel-explanation .sides{grid-template-columns:1fr}
.spaniel-explanation .pair{grid-template-columns:minmax(5em,8em) minmax(3em,1fr) 4.6em}
.spaniel-explanation .pair>:nth-child(3),.spaniel-explanation .pair>:nth-child(4),
.spaniel-explanation .pair>:nth-child(5){display:none}}
@media print{.spaniel-page{background:none;padding:0;color-scheme:light}.spaniel-explanation{--ink:#1c2330;--soft:#5b6575;
--line:#d5dae2;--paper:#fff;--for:37,99,190;--against:200,95,20;--one:#2563be;--two:#c85f14;border:0;padding:0;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
.spaniel-explanation :is(.part,.pair,mark){break-inside:avoid}
.spaniel-explanation details::details-content{content-visibility:visible;display:block}
.spaniel-explanation [data-tip]::after{display:none}}
"""

# What the pointer or the keyboard is on lights up wherever it stands: a part in its texts, and a place among the parts.
SCRIPT = """
"use strict";
for (const figure of document.querySelectorAll(".spaniel-explanation")) {
  const elements = [...figure.querySelectorAll("[data-spots]")];
  const spots = new Map(elements.map(element => [element, element.dataset.spots.split(" ").map(spot => {
    const [side, place] = spot.split(":"), [from, to] = place.split("-").map(Number);
    return {side, from, to};
  })]));
  const meet = (a, b) => a.side === b.side && a.from < b.to && b.from < a.to;
  const light = (event, on) => {
    const here = event.target.closest("[data-spots]");
    if (!here) return;
    for (const [other, places] of spots)
      if (other !== here && places.some(a => spots.get(here).some(b => meet(a, b)))) other.classList.toggle("lit", on);
  };
  for (const [name, on] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]])
    figure.addEventListener(name, event => light(event, on));
}
"""
