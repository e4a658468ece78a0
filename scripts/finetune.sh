#!/usr/bin/env bash
# Fine-tunes a model on your own tables (docs/own_data.md) by their kind: classes, questions, or captions (retrieval).
#   DATA_ROOT=data/own bash scripts/finetune.sh NAME [CHECKPOINT] [argument of train.py...]
# NAME.json describes the tables. CONFIG=configs/finetune_pretrain.json goes on with pre-training on captions instead.
# scripts/launch.sh lists the other environment variables; DATA_ROOT is data/own and OUTPUT output/NAME by default.
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

name=${1:-}
[[ -n "$name" && "$name" != -* ]] || fail "name your tables: bash scripts/finetune.sh NAME [CHECKPOINT]"
shift
if [[ $# -gt 0 && "$1" != -* ]]; then
    CHECKPOINT=$1
    shift
fi
DATA_ROOT=${DATA_ROOT:-data/own}
OUTPUT=${OUTPUT:-output/$name}
description=$DATA_ROOT/$name.json
[ -f "$description" ] || fail "$description does not exist; make it with python -m bridgetower.preparation table"
kind=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))["kind"])' "$description") ||
    fail "$description does not describe tables; make it with python -m bridgetower.preparation table"
settings=("data.datasets=[\"$name\"]")
case $kind in
    classify | snli) config=finetune_classify.json ;;
    pair_classify | nlvr2) config=finetune_classify.json settings+=("task.name=pair_classify") ;;
    vqa) config=finetune_vqa.json ;;
    caption) config=finetune_retrieval.json ;;
    *) fail "$description holds $kind samples; use any of caption, classify, pair_classify and vqa" ;;
esac
if [[ "${CONFIG:-}" == *pretrain* ]]; then DO=${DO:-train eval}; fi
from_checkpoint base "$config" --set "${settings[@]}" "$@"
