#!/bin/sh
# Runs and compares pipelines on the collection that every Python carries, then explains a hit.
set -eu
out="$1"
mkdir -p "$out"
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

query="how do I run another program and read what it prints"
hybrid="rrf(bm25, dense)"

say spaniel compare '"bm25"' '"dense"' "\"$hybrid\"" '"0.4 * bm25 + 0.6 * dense"' python-docs
spaniel compare "bm25" "dense" "$hybrid" "0.4 * bm25 + 0.6 * dense" python-docs --report "$out/report.html"

say spaniel search "\"$hybrid\"" python-docs "\"$query\"" -k 5
spaniel search "$hybrid" python-docs "$query" -k 5

say spaniel explain "\"$hybrid\"" python-docs "\"$query\""
spaniel explain "$hybrid" python-docs "$query"

say spaniel run "\"bm25(k=1000) % 100\"" python-docs -o "$out/bm25.trec"
spaniel run "bm25(k=1000) % 100" python-docs -o "$out/bm25.trec"
say spaniel rerun "$out/bm25.trec"
spaniel rerun "$out/bm25.trec"
