#!/bin/sh
# Compares pipelines on the documentation that every Python carries, explains a hit, and repeats a run.
set -eu
out="$1"
mkdir -p "$out"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

# The encoder reads the first 32 tokens of each document, so that two cores encode the collection in about a minute.
dense="dense(encoder=minilm(max_length=32))"
hybrid="rrf(bm25, $dense)"

say "spaniel compare \"bm25\" \"$dense\" \"$hybrid\" \"0.4 * bm25 + 0.6 * $dense\" python-docs --report $out/report.html"
spaniel compare "bm25" "$dense" "$hybrid" "0.4 * bm25 + 0.6 * $dense" python-docs --report "$out/report.html"

say "spaniel explain \"$hybrid\" python-docs \"run another program and read what it prints\""
spaniel explain "$hybrid" python-docs "run another program and read what it prints"

say "spaniel run \"bm25(k=1000) % 100\" python-docs -o $out/bm25.trec"
spaniel run "bm25(k=1000) % 100" python-docs -o "$out/bm25.trec"

say "spaniel rerun $out/bm25.trec"
spaniel rerun "$out/bm25.trec"
