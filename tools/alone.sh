#!/bin/sh
# Installs each plugin by itself beside the core, as a user would, and checks everything that it names.
#   tools/alone.sh OUT PYTHON TORCH [PLUGIN…]
set -eu
out="$1" python="$2" torch="$3"
shift 3
[ $# -gt 0 ] || set -- $(basename -a plugins/*)
mkdir -p "$out"
out="$(cd "$out" && pwd)"
rm -rf "$out/wheels" "$out/base" "$out/alone"
"$python" -m venv "$out/base"
"$out/base/bin/python" -m pip install -qq --upgrade pip
"$out/base/bin/python" -m pip install -qq "$torch"
# One wheel of each distribution stands for what an index of packages would have.
"$out/base/bin/python" -m pip wheel -qq --no-deps --wheel-dir "$out/wheels" . contrib/* plugins/*
"$out/base/bin/python" -m pip install -qq --find-links "$out/wheels" spaniel
failed=""
for name in "$@"; do
	rm -rf "$out/alone"
	# pip replaces files and changes none, so that links serve where there are any.
	cp -al "$out/base" "$out/alone" 2>/dev/null || { rm -rf "$out/alone"; cp -a "$out/base" "$out/alone"; }
	"$out/alone/bin/python" -m pip install -qq --find-links "$out/wheels" "spaniel-$name"
	echo "== spaniel-$name, beside $("$out/alone/bin/python" -m pip list 2>/dev/null | grep -c '^spaniel-') distributions of ours"
	"$out/alone/bin/python" -m pip check && "$out/alone/bin/python" -m spaniel plugins check || failed="$failed $name"
done
[ -z "$failed" ] || { echo "not whole alone:$failed" >&2; exit 1; }
