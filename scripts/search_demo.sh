#!/usr/bin/env bash
# Search the test pictures of easy-VQA and scikit-learn's sample photographs with the quickstart's pre-trained model:
# make an index (a second time only what changed is read), answer five queries, and measure how many of the right
# pictures are found.
#   bash scripts/search_demo.sh           after bash scripts/quickstart.sh
#   bash scripts/search_demo.sh DIR       after bash scripts/quickstart.sh DIR
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
fail() {
    echo "search_demo: error: $*" >&2
    exit 2
}
out=${1:-build/quickstart}
model=$out/pretrain
index=$out/search/index
[ -f "$model/config.json" ] ||
    fail "$model holds no model; run bash scripts/quickstart.sh${1:+ $1} first"
python=${PYTHON:-.venv/bin/python}
"$python" -c 'import lancedb, fastapi' 2>/dev/null ||
    fail "searching needs more packages: .venv/bin/pip install -r requirements-serve.txt -c constraints.txt"
drawings=$("$python" -c 'from bridgetower.preparation.easy_vqa import data_folder; print(data_folder())')/test/images
photos=$("$python" -c 'import os, sklearn.datasets; print(os.path.dirname(sklearn.datasets.__file__))')/images

bridgetower() {
    printf '\n$ bridgetower'
    printf ' %q' "$@"
    printf '\n'
    "$python" -m bridgetower "$@"
}
bridgetower index "$model" "$drawings" --output "$index"
bridgetower index "$model" "$photos" --output "$index"
bridgetower search "$index" "a red circle" --top 5
bridgetower search "$index" "a red circle" --top 5 --rerank 100
bridgetower search "$index" "the color of the triangle is blue" --top 5
bridgetower search "$index" --image "$photos/flower.jpg" --top 5
bridgetower search "$index" "a green rectangle" --image "$drawings/0.png" --top 5
echo
"$python" benchmarks/search_recall.py "$model" "$index"
